/**
 * Ring of fixed cells between two threads: one producer, one consumer. It carries descriptors and
 * orders, one cell a batch or a range; bytes travel in the log ring.
 *
 *     bytes 0           128           256           384                384 + capacity * 128
 *           +-----------+-------------+-------------+--------+--------+-----+
 *           | published | consumed    | statistics  | cell 0 | cell 1 | ... |
 *           +-----------+-------------+-------------+--------+--------+-----+
 *            producer    consumer      producer      producer writes, consumer reads
 *
 * A cell is 16 doubles (128 bytes): integers below 2^53. Cells keep the words of their last use,
 * so the producer writes every word that the consumer will read.
 *
 * Invariant: 0 <= published - consumed <= capacity, as int32 distances.
 * Ordering: words are plain stores; the atomic store of `published` makes them visible to the
 * consumer that loads it. The atomic store of `consumed` comes after the consumer's last read, so
 * the producer that loads it may overwrite the cell.
 *
 * Each thread opens its own handle; producer and consumer on one thread may share one, since each
 * field has one side that writes it. A handle is not a second producer: there is one, and one
 * consumer. Nothing here waits or wakes: see bell.ts.
 */
import { assert } from '../base/assert.ts'
import {
  CELL_RING,
  CONSUMED,
  HEADER_SIZE_BYTES,
  PUBLISHED,
  PUBLISHES_PER_SAMPLE,
  type RingHeader,
  capacityOf,
  countStall,
  distanceOf,
  openHeader,
  ringMemory,
  sampleOccupancy,
} from './header.ts'

export { type RingStatistics, statisticsOf } from './header.ts'

export const CELL_WORDS = 16
export const CELL_SIZE_BYTES = CELL_WORDS * 8

export interface CellRing extends RingHeader {
  /** All cells; word w of a cell is `words[base + w]`. */
  readonly words: Float64Array
  readonly capacityCells: number
  readonly mask: number
  // The producer's.
  published: number // sequence of the first cell not yet published
  claimed: number // cells claimed behind it
  consumedSeen: number // what the consumer had consumed when we last looked
  untilSample: number
  // The consumer's.
  consumed: number // sequence of the first cell not yet consumed
  publishedSeen: number // what the producer had published when we last looked
}

export function cellRingMemory(capacityCells: number, startAt = 0): SharedArrayBuffer {
  return ringMemory(CELL_RING, capacityCells, CELL_SIZE_BYTES, startAt)
}

export function openCellRing(memory: SharedArrayBuffer): CellRing {
  const capacityCells = capacityOf(memory, CELL_RING, CELL_SIZE_BYTES)
  const { counters, statistics } = openHeader(memory)
  const consumed = Atomics.load(counters, CONSUMED)
  const published = Atomics.load(counters, PUBLISHED)
  return {
    counters,
    statistics,
    words: new Float64Array(memory, HEADER_SIZE_BYTES),
    capacityCells,
    mask: capacityCells - 1,
    published,
    claimed: 0,
    consumedSeen: consumed,
    untilSample: 1,
    consumed,
    publishedSeen: published,
  }
}

// ---- Producer --------------------------------------------------------------------------------

/**
 * Reserves `count` more cells behind those that are claimed and not yet published. All or nothing:
 * false, and one stall counted, when they do not fit now.
 */
export function tryClaim(ring: CellRing, count: number): boolean {
  assert(count > 0 && count <= ring.capacityCells, 'a claim has cells, and could ever fit')
  const end = (ring.published + ring.claimed + count) | 0
  if (((end - ring.consumedSeen) | 0) > ring.capacityCells) {
    ring.consumedSeen = Atomics.load(ring.counters, CONSUMED)
    if (((end - ring.consumedSeen) | 0) > ring.capacityCells) {
      countStall(ring)
      return false
    }
  }
  ring.claimed += count
  return true
}

/** Index in `words` of word 0 of the i-th cell that is claimed and not yet published. */
export function claimedBase(ring: CellRing, i: number): number {
  assert(i >= 0 && i < ring.claimed, 'only claimed cells are written')
  return ((ring.published + i) & ring.mask) * CELL_WORDS
}

/** Makes all claimed cells visible by one atomic store. Returns how many; 0 does nothing. */
export function publish(ring: CellRing): number {
  const count = ring.claimed
  if (count === 0) return 0
  ring.claimed = 0
  ring.published = (ring.published + count) | 0
  Atomics.store(ring.counters, PUBLISHED, ring.published)
  if (--ring.untilSample === 0) sample(ring)
  return count
}

function sample(ring: CellRing): void {
  ring.untilSample = PUBLISHES_PER_SAMPLE
  ring.consumedSeen = Atomics.load(ring.counters, CONSUMED)
  sampleOccupancy(ring, (ring.published - ring.consumedSeen) | 0)
}

// ---- Consumer --------------------------------------------------------------------------------

/**
 * Cells ready to be read; 0 only if there was none when it looked. May be fewer than there are:
 * it looks at the producer's counter only when all that it knew of are consumed.
 */
export function available(ring: CellRing): number {
  const known = (ring.publishedSeen - ring.consumed) | 0
  if (known > 0) return known
  ring.publishedSeen = Atomics.load(ring.counters, PUBLISHED)
  const ready = (ring.publishedSeen - ring.consumed) | 0
  assert(ready >= 0 && ready <= ring.capacityCells, 'the producer stays within the ring')
  return ready
}

/** Index in `words` of word 0 of the i-th cell that is ready; i < available(ring). */
export function cellBase(ring: CellRing, i: number): number {
  assert(i >= 0 && i < ((ring.publishedSeen - ring.consumed) | 0), 'only ready cells are read')
  return ((ring.consumed + i) & ring.mask) * CELL_WORDS
}

/** Gives the first `count` ready cells back to the producer by one atomic store. */
export function consume(ring: CellRing, count: number): void {
  const ready = (ring.publishedSeen - ring.consumed) | 0
  assert(count >= 0 && count <= ready, 'only ready cells are consumed')
  if (count === 0) return
  ring.consumed = (ring.consumed + count) | 0
  Atomics.store(ring.counters, CONSUMED, ring.consumed)
}

// ---- Any thread ------------------------------------------------------------------------------

/** Cells published and not yet consumed, as seen from any thread; 0..capacity. */
export const occupancyOf = (ring: CellRing): number => distanceOf(ring, ring.capacityCells)
