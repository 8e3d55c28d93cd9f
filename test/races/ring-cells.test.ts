/**
 * Two real threads and a cell ring: no cell lost, doubled, torn or early, through full and empty,
 * with sequences that pass 2^31 or 2^32. Replay a failure with the seed in its name.
 */
import { expect, test } from 'vitest'
import { bellMemory } from '../../src/ring/bell.ts'
import { cellRingMemory } from '../../src/ring/cell-ring.ts'
import { race } from './ring-roles.ts'

test.each([
  { capacity: 2, burstMax: 2, count: 60_000, startAt: 2 ** 31 - 20_000, seed: 11 },
  { capacity: 16, burstMax: 16, count: 500_000, startAt: -200_000, seed: 12 },
  { capacity: 1_024, burstMax: 64, count: 2_000_000, startAt: 2 ** 31 - 1_000_000, seed: 13 },
  { capacity: 65_536, burstMax: 512, count: 2_000_000, startAt: 0, seed: 14 },
])('cells cross threads whole and in order: %o', async (knobs) => {
  const { capacity, startAt, seed, count, burstMax } = knobs
  const memory = cellRingMemory(capacity, startAt)
  const [own, other] = [bellMemory(), bellMemory()]
  const [producer, consumer] = await race([
    ['produceCells', { memory, own, other, seed, count, burstMax }],
    ['consumeCells', { memory, own: other, other: own, seed, count }],
  ])
  expect(producer!['wakes']).toBe(producer!['parks']) // no sleep ran into its timeout
  expect(consumer!['wakes']).toBe(consumer!['parks'])
  if (capacity <= 16) expect(producer!['stalls']).toBeGreaterThan(0)
})
