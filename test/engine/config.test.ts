/** Knobs that must fit each other. */
import { expect, test } from 'vitest'
import { isReplicaError } from '../../src/base/errors.ts'
import { specOf } from '../../src/engine/config.ts'
import type { Tuning } from '../../src/engine/node-spec.ts'
import { logRingMemory, openLogRing, publish, release, tryClaim } from '../../src/ring/log-ring.ts'

const BATCH = 65_536

function problemsOf(tuning: Partial<Tuning>): readonly string[] {
  const members = [{ id: 1 }]
  const common = { id: 1, members, dataDir: 'x', stateMachine: 'hash' } as const
  try {
    specOf({ ...common, transport: { kind: 'memory' }, tuning })
    return []
  } catch (error) {
    if (!isReplicaError(error) || error.code !== 'E_CONFIG_INVALID') throw error
    return (error.detail as { readonly problems: readonly string[] }).problems
  }
}

test('a ring is at least eight of the largest batches', () => {
  expect(problemsOf({ batchBytesMax: BATCH, ringSizeBytes: 8 * BATCH })).toEqual([])
  expect(problemsOf({ batchBytesMax: BATCH, ringSizeBytes: 4 * BATCH })).toEqual([
    'batchBytesMax: at most ringSizeBytes / 8',
  ])
})

/** The positions of a ring, three quarters full, from which a largest message finds no room. */
function stuckAt(ringSizeBytes: number): number {
  const ring = openLogRing(logRingMemory(ringSizeBytes))
  const step = BATCH / 16
  let stuck = 0
  for (let i = 0; i < ringSizeBytes / step; i++) {
    const ends: number[] = []
    while (ends.length < (0.75 * ringSizeBytes) / step) {
      tryClaim(ring, step)
      ends.push(publish(ring, step))
    }
    if (tryClaim(ring, BATCH) < 0) stuck += 1
    else publish(ring, 0)
    release(ring, ends.at(-1)!)
    tryClaim(ring, step)
    release(ring, publish(ring, step))
  }
  return stuck
}

test('what raises no pressure leaves room for a largest message, wherever the ring stands', () => {
  expect(stuckAt(8 * BATCH)).toBe(0)
  expect(stuckAt(4 * BATCH)).toBeGreaterThan(0) // it would wait for ever
})

test('a segment takes the largest message of a peer as one record', () => {
  const small = { walSegmentSizeBytes: 2 ** 20, batchBytesMax: BATCH }
  expect(problemsOf({ ...small, ringSizeBytes: 2 ** 20 })).toEqual([])
  expect(problemsOf({ ...small, ringSizeBytes: 2 ** 22 })).toEqual([
    'walSegmentSizeBytes: at least 2101376, for half of ringSizeBytes',
  ])
})
