import { expect, test } from 'vitest'
import { type RunCounts, liveOf } from '../support/wal-run.ts'

const FIRST_SEED = Number(process.env['SEED'] ?? 1)
const SEEDS = Number(process.env['SEEDS'] ?? 60)
const STEPS = 300

test('after any crash the WAL is the fold of a prefix that holds everything flushed', () => {
  const total: Record<keyof RunCounts, number> = {
    crashes: 0,
    kills: 0,
    failedSyncs: 0,
    torn: 0,
    trimmed: 0,
    segments: 0,
    commits: 0,
    configs: 0,
    configsFromHeads: 0,
    turns: 0,
  }
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    try {
      const counts = liveOf(seed, STEPS)
      for (const key of Object.keys(total) as (keyof RunCounts)[]) total[key] += counts[key]
    } catch (error) {
      throw new Error(`SEED=${seed} SEEDS=1 repeats it`, { cause: error })
    }
  }
  if (process.env['VERBOSE'] === '1') process.stderr.write(`${JSON.stringify(total)}\n`)
  // The run is worth nothing when one of its dangers did not happen.
  if (SEEDS >= 60)
    for (const count of Object.values(total)) expect(count).toBeGreaterThan(SEEDS / 10)
}, 600_000)
