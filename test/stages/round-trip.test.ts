/** The round trip that heartbeats measure. */
import { expect, test } from 'vitest'
import type { NodeId } from '../../src/core/ids.ts'
import { createRoundTrip } from '../../src/stages/round-trip.ts'

const PEER = 2 as NodeId
const OTHER = 3 as NodeId

test('nothing is measured before the first answer', () => {
  const roundTrip = createRoundTrip()
  roundTrip.sent(PEER, 1, 10)
  expect(roundTrip.meanUs).toBe(0)
})

test('an answer is timed from its own question', () => {
  const roundTrip = createRoundTrip()
  roundTrip.sent(PEER, 1, 10)
  roundTrip.sent(OTHER, 1, 11)
  roundTrip.taken(OTHER, -1, 13)
  expect(roundTrip.meanUs).toBe(2_000)
})

test('an answer to an older question is not timed', () => {
  const roundTrip = createRoundTrip()
  roundTrip.sent(PEER, 1, 10)
  roundTrip.sent(PEER, 2, 30)
  roundTrip.taken(PEER, -1, 31)
  expect(roundTrip.meanUs).toBe(0)
  roundTrip.taken(PEER, -2, 34)
  expect(roundTrip.meanUs).toBe(4_000)
})

test('one late answer moves the mean by an eighth', () => {
  const roundTrip = createRoundTrip()
  for (const [probe, took] of [
    [1, 8],
    [2, 16],
  ] as const) {
    roundTrip.sent(PEER, probe, 100 * probe)
    roundTrip.taken(PEER, -probe, 100 * probe + took)
  }
  expect(roundTrip.meanUs).toBe(9_000)
})
