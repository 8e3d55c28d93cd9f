/** Changes of membership, hand-overs and forced members under faults, by seed. */
import { test } from 'vitest'
import { runMembers } from '../support/member-run.ts'

const RANGE = /^(\d+)\.\.(\d+)$/.exec(process.env['MEMBER_SEEDS'] ?? '1..300')!
const [from, through] = [Number(RANGE[1]), Number(RANGE[2])]

test(`seeds ${from} to ${through}: safe while the membership changes, live afterwards`, () => {
  const failed: string[] = []
  for (let seed = from; seed <= through; seed++) {
    const { error } = runMembers(seed)
    if (error !== null) failed.push(`MEMBER_SEEDS=${seed}..${seed}: ${error.message}`)
  }
  if (failed.length > 0) throw new Error(failed.join('\n'))
})
