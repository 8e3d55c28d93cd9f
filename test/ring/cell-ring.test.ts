/** Behaviour of the cell ring on one thread: bounds, order, wrap, statistics. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import {
  CELL_WORDS,
  type CellRing,
  available,
  cellBase,
  cellRingMemory,
  claimedBase,
  consume,
  occupancyOf,
  openCellRing,
  publish,
  statisticsOf,
  tryClaim,
} from '../../src/ring/cell-ring.ts'

const open = (capacity: number, startAt = 0): CellRing =>
  openCellRing(cellRingMemory(capacity, startAt))

function put(ring: CellRing, ...values: number[]): void {
  expect(tryClaim(ring, values.length)).toBe(true)
  values.forEach((value, i) => (ring.words[claimedBase(ring, i)] = value))
  publish(ring)
}

function take(ring: CellRing): number[] {
  const values: number[] = []
  for (let ready = available(ring); ready > 0; ready = available(ring)) {
    for (let i = 0; i < ready; i++) values.push(ring.words[cellBase(ring, i)]!)
    consume(ring, ready)
  }
  return values
}

test('cells arrive in order, through another handle of the same memory', () => {
  const memory = cellRingMemory(8)
  const producer = openCellRing(memory)
  const consumer = openCellRing(memory)
  put(producer, 1, 2)
  put(producer, 3)
  expect(take(consumer)).toEqual([1, 2, 3])
  expect(take(consumer)).toEqual([])
})

test('claimed cells are invisible until published, and published together', () => {
  const ring = open(8)
  tryClaim(ring, 2)
  tryClaim(ring, 1)
  expect(available(ring)).toBe(0)
  expect(publish(ring)).toBe(3)
  expect(available(ring)).toBe(3)
})

test('publish without a claim does nothing', () => {
  const ring = open(8)
  expect(publish(ring)).toBe(0)
  expect(statisticsOf(ring).samples).toBe(0)
})

test('a claim is all or nothing, and every refusal counts as a stall', () => {
  const ring = open(4)
  put(ring, 1, 2, 3)
  expect(tryClaim(ring, 2)).toBe(false)
  expect(tryClaim(ring, 2)).toBe(false)
  expect(tryClaim(ring, 1)).toBe(true)
  expect(tryClaim(ring, 1)).toBe(false)
  expect(statisticsOf(ring).stalls).toBe(3)
})

test('consumed cells can be claimed again, partly too', () => {
  const ring = open(4)
  put(ring, 1, 2, 3, 4)
  expect(available(ring)).toBe(4)
  consume(ring, 1)
  expect(tryClaim(ring, 2)).toBe(false)
  expect(tryClaim(ring, 1)).toBe(true)
})

test('all 16 words of a cell keep integers up to 2^53 - 1 and are not shared with others', () => {
  const ring = open(2)
  tryClaim(ring, 2)
  for (let i = 0; i < 2; i++)
    for (let word = 0; word < CELL_WORDS; word++)
      ring.words[claimedBase(ring, i) + word] = Number.MAX_SAFE_INTEGER - i * 100 - word
  publish(ring)
  expect(available(ring)).toBe(2)
  const wanted = Array.from({ length: 32 }, (_, at) => (at >> 4) * 100 + (at & 15))
  expect([...ring.words]).toEqual(wanted.map((less) => Number.MAX_SAFE_INTEGER - less))
})

test.each([
  ['2^31', 2 ** 31 - 3],
  ['2^32', -3],
  ['2^32, given unsigned', 2 ** 32 - 3],
])('sequences wrap at %s: full, empty and order stay right', (_name, startAt) => {
  const ring = open(4, startAt)
  for (let lap = 0; lap < 4; lap++) {
    put(ring, lap, lap + 0.25, lap + 0.5, lap + 0.75)
    expect(tryClaim(ring, 1)).toBe(false)
    expect(occupancyOf(ring)).toBe(4)
    expect(take(ring)).toEqual([lap, lap + 0.25, lap + 0.5, lap + 0.75])
    expect(occupancyOf(ring)).toBe(0)
  }
})

test('occupancy is sampled at every 13th publish, the first included', () => {
  const ring = open(32)
  for (let i = 0; i < 27; i++) put(ring, i)
  expect(statisticsOf(ring)).toEqual({
    stalls: 0,
    samples: 3,
    occupancySum: 1 + 14 + 27,
    occupancyMax: 27,
  })
})

test.each<[string, (ring: CellRing) => void]>([
  ['claiming nothing', (ring) => tryClaim(ring, 0)],
  ['claiming more than the ring', (ring) => tryClaim(ring, 5)],
  ['writing a cell that is not claimed', (ring) => claimedBase(ring, 1)],
  ['reading a cell that is not ready', (ring) => cellBase(ring, 0)],
  ['consuming a cell that is not ready', (ring) => consume(ring, 1)],
])('%s is an assertion', (_name, misuse) => {
  const ring = open(4)
  tryClaim(ring, 1)
  expect(() => misuse(ring)).toThrow(AssertionError)
})

test.each([0, 1, 3, 2 ** 31])('a capacity of %i cells is refused', (capacity) => {
  expect(() => cellRingMemory(capacity)).toThrow(/capacity/)
})

test('property: it behaves as a bounded queue, wherever its sequences start', () => {
  const step = fc.record({
    kind: fc.constantFrom('claim' as const, 'publish' as const, 'consume' as const),
    count: fc.integer({ min: 1, max: 8 }),
  })
  const start = fc.oneof(fc.constant(2 ** 31 - 5), fc.constant(-5), fc.integer())
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), start, (steps, startAt) => {
      const memory = cellRingMemory(8, startAt | 0)
      const producer = openCellRing(memory)
      const consumer = openCellRing(memory)
      const queue: number[] = []
      let next = 0
      let claimed = 0
      for (const { kind, count } of steps) {
        if (kind === 'claim') {
          const fits = queue.length + claimed + count <= 8
          expect(tryClaim(producer, count)).toBe(fits)
          if (fits) claimed += count
        } else if (kind === 'publish') {
          for (let i = 0; i < claimed; i++) {
            producer.words[claimedBase(producer, i) + CELL_WORDS - 1] = next
            queue.push(next++)
          }
          expect(publish(producer)).toBe(claimed)
          claimed = 0
        } else {
          const ready = available(consumer)
          expect(ready > 0).toBe(queue.length > 0)
          expect(ready).toBeLessThanOrEqual(queue.length)
          const taken = Math.min(ready, count)
          for (let i = 0; i < taken; i++)
            expect(consumer.words[cellBase(consumer, i) + CELL_WORDS - 1]).toBe(queue[i])
          consume(consumer, taken)
          queue.splice(0, taken)
        }
        expect(occupancyOf(consumer)).toBe(queue.length)
      }
    }),
  )
})
