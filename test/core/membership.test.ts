/** Changes of membership, hand-overs and forced members under faults, by seed. */
import { test } from 'vitest'
import { runMembers } from '../support/member-run.ts'

const FROM_ENV = /^(\d+)\.\.(\d+)$/.exec(process.env['MEMBER_SEEDS'] ?? '')
const RANGES: readonly [number, number][] =
  FROM_ENV === null
    ? Array.from({ length: 6 }, (_, i) => [i * 50 + 1, (i + 1) * 50])
    : [[Number(FROM_ENV[1]), Number(FROM_ENV[2])]]

test.each(RANGES)('seeds %i to %i: safe while the membership changes, live afterwards', (a, b) => {
  const failed: string[] = []
  for (let seed = a; seed <= b; seed++) {
    const { error } = runMembers(seed)
    if (error !== null) failed.push(`MEMBER_SEEDS=${seed}..${seed}: ${error.message}`)
  }
  if (failed.length > 0) throw new Error(failed.join('\n'))
})
