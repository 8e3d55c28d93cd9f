/**
 * Three real threads as in a node: the writer fills frames, the decision loop hands descriptors to
 * the reader and frees what the reader reported. Every word of every frame is checked, at random
 * sizes, with abandoned claims, gaps before the end, and sequences that pass 2^31 and 2^32.
 */
import { expect, test } from 'vitest'
import { bellMemory } from '../../src/ring/bell.ts'
import { cellRingMemory } from '../../src/ring/cell-ring.ts'
import { logRingMemory } from '../../src/ring/log-ring.ts'
import { race } from './ring-roles.ts'

test.each([
  { capacityBytes: 1_024, sizeMax: 512, count: 60_000, startAt: 2 ** 31 - 50_000, seed: 21 },
  { capacityBytes: 65_536, sizeMax: 4_096, count: 150_000, startAt: -1_000_000, seed: 22 },
  { capacityBytes: 2 ** 20, sizeMax: 1_024, count: 400_000, startAt: 0, seed: 23 },
])('frames cross threads whole and in order: %o', async (knobs) => {
  const { capacityBytes, startAt, seed, count, sizeMax } = knobs
  const log = logRingMemory(capacityBytes, startAt)
  const [input, orders, reports] = [cellRingMemory(256), cellRingMemory(8), cellRingMemory(1_024)]
  const [writer, decide, reader] = [bellMemory(), bellMemory(), bellMemory()]
  const results = await race([
    ['writeFrames', { log, out: input, own: writer, other: decide, seed, count, sizeMax }],
    ['decideFrames', { log, input, orders, reports, own: decide, writer, reader, count }],
    ['readFrames', { log, orders, reports, own: reader, other: decide, seed, count }],
  ])
  for (const { parks, wakes } of results) expect(wakes).toBe(parks)
  expect(results[2]!['totalBytes']).toBeGreaterThan(count * 64)
})
