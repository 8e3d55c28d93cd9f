/**
 * Rounds of chance on node processes, from CHAOS_SEED on. More of them:
 * `npm run chaos -- --rounds 1000 --seed 1`.
 */
import { rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { freshFolder } from './lab/places.ts'
import { roundsText, runRounds } from './lab/rounds.ts'

const SEED = Number(process.env['CHAOS_SEED'] ?? 1)
const ROUNDS = 6

test(`${ROUNDS} rounds of kills, pauses, failing disks and broken links lose nothing`, async () => {
  const folder = freshFolder('chaos')
  const result = await runRounds({ rounds: ROUNDS, seed: SEED, folder })
  expect(result.failures, roundsText(result)).toEqual([])
  expect(result.acknowledged).toBeGreaterThan(0)
  process.stdout.write(roundsText(result)) // what was injected, and what was skipped
  rmSync(folder, { recursive: true })
}, 180_000)
