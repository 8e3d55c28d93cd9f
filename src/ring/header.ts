/**
 * The first 384 bytes of every ring, and its statistics. Any thread.
 *
 *     bytes 0              128             256                          384
 *           +--------------+---------------+----------------------------+--------
 *           | published    | consumed      | kind i32, statistics 4 f64 | data ...
 *           +--------------+---------------+----------------------------+--------
 *            producer       consumer        producer; anybody reads
 *
 * The counters sit 128 bytes apart because CPUs fetch cache lines in pairs. They count what the
 * ring is made of (cells, or units of 64 bytes) as int32 that wraps: a distance is `(a - b) | 0`,
 * which is right as long as it stays below 2^31; capacities end at 2^30.
 *
 * Statistics are plain stores of doubles by the producer: a reader may see them late, or (by the
 * letter of the language, on no machine we run on) torn. So nothing is decided by them.
 */
import { assert } from '../base/assert.ts'

export const HEADER_SIZE_BYTES = 384
export const PUBLISHED = 0 // in i32 words
export const CONSUMED = 32
const KIND = 64
const CAPACITY_MAX = 2 ** 30

const STALLS = 33 // in f64 words
const SAMPLES = 34
const OCCUPANCY_SUM = 35
const OCCUPANCY_MAX = 36

/** A sample costs a load of the consumer's line; a prime, so that no batch size stays in step. */
export const PUBLISHES_PER_SAMPLE = 13

export type RingKind = 1 | 2
export const CELL_RING: RingKind = 1
export const LOG_RING: RingKind = 2

export interface RingStatistics {
  /** Claims refused because the ring was full; a retried claim counts again. */
  readonly stalls: number
  /** How often occupancy was sampled, at every 13th publish. */
  readonly samples: number
  /** Sum and maximum of the samples, in cells or bytes. */
  readonly occupancySum: number
  readonly occupancyMax: number
}

export interface RingHeader {
  readonly counters: Int32Array
  readonly statistics: Float64Array
}

/** Fresh memory for `capacity` pieces of `pieceSizeBytes`; both counters start at `startAt`. */
export function ringMemory(
  kind: RingKind,
  capacity: number,
  pieceSizeBytes: number,
  startAt: number,
): SharedArrayBuffer {
  assertCapacity(capacity)
  assert(Number.isInteger(startAt), 'a sequence is an integer')
  const memory = new SharedArrayBuffer(HEADER_SIZE_BYTES + capacity * pieceSizeBytes)
  const { counters } = openHeader(memory)
  counters[KIND] = kind
  Atomics.store(counters, PUBLISHED, startAt | 0)
  Atomics.store(counters, CONSUMED, startAt | 0)
  return memory
}

export function openHeader(memory: SharedArrayBuffer): RingHeader {
  return {
    counters: new Int32Array(memory, 0, HEADER_SIZE_BYTES / 4),
    statistics: new Float64Array(memory, 0, HEADER_SIZE_BYTES / 8),
  }
}

/** Capacity of a memory that `ringMemory` made for this kind. */
export function capacityOf(
  memory: SharedArrayBuffer,
  kind: RingKind,
  pieceSizeBytes: number,
): number {
  const capacity = (memory.byteLength - HEADER_SIZE_BYTES) / pieceSizeBytes
  assertCapacity(capacity)
  assert(new Int32Array(memory)[KIND] === kind, 'a ring is opened as the kind it was made as')
  return capacity
}

function assertCapacity(capacity: number): void {
  assert(Number.isInteger(Math.log2(capacity)), 'capacity is a power of two')
  assert(capacity >= 2 && capacity <= CAPACITY_MAX, 'capacity keeps distances below 2^31')
}

/**
 * Pieces between the two counters, seen from any thread. `consumed` is loaded first, so the result
 * may be too high by what was consumed meanwhile, and is clamped to the capacity.
 */
export function distanceOf({ counters }: RingHeader, capacity: number): number {
  const consumed = Atomics.load(counters, CONSUMED)
  return Math.min(capacity, (Atomics.load(counters, PUBLISHED) - consumed) | 0)
}

export function countStall({ statistics }: RingHeader): void {
  statistics[STALLS] = statistics[STALLS]! + 1
}

export function sampleOccupancy({ statistics }: RingHeader, occupancy: number): void {
  statistics[SAMPLES] = statistics[SAMPLES]! + 1
  statistics[OCCUPANCY_SUM] = statistics[OCCUPANCY_SUM]! + occupancy
  if (occupancy > statistics[OCCUPANCY_MAX]!) statistics[OCCUPANCY_MAX] = occupancy
}

/** A copy of the statistics of either ring, for any thread. */
export const statisticsOf = ({ statistics }: RingHeader): RingStatistics => ({
  stalls: statistics[STALLS]!,
  samples: statistics[SAMPLES]!,
  occupancySum: statistics[OCCUPANCY_SUM]!,
  occupancyMax: statistics[OCCUPANCY_MAX]!,
})
