/**
 * The X-Paxos core in drawn clusters under drawn faults. XPAXOS_SEEDS=A..B runs those seeds
 * instead; a failing seed is printed and replays by itself.
 */
import { test } from 'vitest'
import { runSeed } from '../support/seed-run.ts'

const [first = 1, last = 600] = (process.env['XPAXOS_SEEDS'] ?? '1..600').split('..').map(Number)
const GROUP = 50

const groups: [number, number][] = []
for (let from = first; from <= last; from += GROUP) {
  groups.push([from, Math.min(last, from + GROUP - 1)])
}

test.each(groups)('seeds %i to %i: safe under faults, live after them', (from, through) => {
  const failed: string[] = []
  for (let seed = from; seed <= through; seed++) {
    const { error } = runSeed(seed)
    if (error !== null) failed.push(`XPAXOS_SEEDS=${seed}..${seed}: ${error.message}`)
  }
  if (failed.length > 0) throw new Error(failed.join('\n'))
})
