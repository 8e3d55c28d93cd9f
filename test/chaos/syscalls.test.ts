/**
 * A node that dies, or whose call to the disk fails, at one call of a fixed script: a sample of
 * all calls, drawn by CHAOS_SEED. All of them: `npm run chaos -- --every-syscall`.
 */
import { rmSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { freshFolder } from './lab/places.ts'
import { straceMissing } from './lab/strace.ts'
import { type SweepOptions, sweep } from './lab/sweep.ts'
import type { Fault } from './lab/trial.ts'

const SEED = Number(process.env['CHAOS_SEED'] ?? 1)
const BOUND_MS = 180_000 // only ends what hangs
const missing = straceMissing()

async function sampled(
  options: Pick<SweepOptions, 'nodes' | 'victim' | 'fault' | 'calls' | 'sample'>,
) {
  const folder = freshFolder('chaos')
  const result = await sweep({ ...options, folder, seed: SEED, lanes: 2 })
  expect(result.failures, `CHAOS_SEED=${SEED}`).toEqual([])
  expect(result.reached, 'faults came about').toBeGreaterThan(0)
  expect(result.acknowledged).toBeGreaterThan(0)
  rmSync(folder, { recursive: true })
}

type Case = [fault: Fault, nodes: 1 | 3, victim: number, calls: string[] | null, sample: number]
const CASES: Case[] = [
  ['KILL', 1, 1, null, 9],
  ['KILL', 3, 1, ['pwritev', 'fdatasync'], 2],
  ['KILL', 3, 3, ['rename', 'pwrite64'], 2],
  ['EIO', 1, 1, ['fdatasync', 'pwritev'], 3],
  ['ENOSPC', 1, 1, ['pwritev', 'pwrite64', 'openat'], 3],
  ['EIO', 3, 1, ['fdatasync', 'pwritev'], 2],
]

describe.skipIf(missing !== null)(`faults at calls to the disk ${missing ?? ''}`, () => {
  test.each(CASES)(
    '%s, %i nodes, node %i: nothing acknowledged is lost',
    (fault, nodes, victim, calls, sample) => sampled({ fault, nodes, victim, calls, sample }),
    BOUND_MS,
  )
})
