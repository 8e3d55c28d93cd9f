/**
 * Ring of bytes for frames: one writer, one releaser, many readers that have no cursor here.
 *
 *     bytes 0           128           256           384              384 + capacityBytes
 *           +-----------+-------------+-------------+---------------------------+
 *           | published | released    | statistics  | data, in units of 64 B    |
 *           +-----------+-------------+-------------+---------------------------+
 *            writer      releaser      writer        writer writes, all read
 *
 *     data  0                    released            published             capacity
 *           +------+-----------------+---------+---------+--------+------------+
 *           | ...  | free            | frame c | frame d | claim  | gap (skip) |
 *           +------+-----------------+---------+---------+--------+------------+
 *
 * A reader gets a descriptor (offset, size, end sequence) through a cell ring, reads, and reports
 * completion to the decision loop. The decision loop alone knows who still needs which bytes, and
 * is the one releaser. A frame is contiguous: a claim that would cross the end of the data area is
 * placed at its start, and the gap before the end becomes part of the sequence of that frame.
 *
 * Counters count units of 64 bytes, int32 that wraps. Invariant: 0 <= published - released <=
 * capacity. Positions only grow: a truncated log gets new positions, never old ones.
 *
 * Ordering: bytes are plain stores, made before the atomic store in `publish`. Whoever learnt the
 * descriptor from a cell that was published later on the same thread sees them, since both are
 * ordered before that cell's atomic store. A descriptor handed on from thread to thread through
 * cell rings keeps this order. The atomic store in `release` follows the atomic load by which the
 * releaser learnt that the last reader was done, so the writer overwrites nothing that is read.
 */
import { assert } from '../base/assert.ts'
import {
  CONSUMED as RELEASED,
  HEADER_SIZE_BYTES,
  LOG_RING,
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

export const UNIT_SIZE_BYTES = 64

export interface LogRing extends RingHeader {
  /** The data area four ways; offset 0 is the start of the data. */
  readonly bytes: Uint8Array
  readonly buffer: Buffer
  readonly view: DataView
  readonly words: Int32Array
  readonly capacityBytes: number
  readonly capacityUnits: number
  readonly mask: number
  // The writer's.
  published: number // sequence just behind the last published frame
  claimedUnits: number // 0 = no claim is open
  gapUnits: number // skipped before the open claim
  releasedSeen: number // what was released when we last looked
  untilSample: number
  // The releaser's.
  released: number
  publishedSeen: number // what was published when we last looked
}

export function logRingMemory(capacityBytes: number, startAt = 0): SharedArrayBuffer {
  return ringMemory(LOG_RING, capacityBytes / UNIT_SIZE_BYTES, UNIT_SIZE_BYTES, startAt)
}

export function openLogRing(memory: SharedArrayBuffer): LogRing {
  const capacityUnits = capacityOf(memory, LOG_RING, UNIT_SIZE_BYTES)
  const { counters, statistics } = openHeader(memory)
  const released = Atomics.load(counters, RELEASED)
  const published = Atomics.load(counters, PUBLISHED)
  return {
    counters,
    statistics,
    bytes: new Uint8Array(memory, HEADER_SIZE_BYTES),
    buffer: Buffer.from(memory, HEADER_SIZE_BYTES),
    view: new DataView(memory, HEADER_SIZE_BYTES),
    words: new Int32Array(memory, HEADER_SIZE_BYTES),
    capacityBytes: capacityUnits * UNIT_SIZE_BYTES,
    capacityUnits,
    mask: capacityUnits - 1,
    published,
    claimedUnits: 0,
    gapUnits: 0,
    releasedSeen: released,
    untilSample: 1,
    released,
    publishedSeen: published,
  }
}

// ---- Writer ----------------------------------------------------------------------------------

/**
 * Opens a claim of `sizeBytesMax` contiguous bytes, rounded up to whole units. Returns the byte
 * offset in the data area, a multiple of 64, or -1 (one stall counted) when there is no room now.
 *
 * At most half the capacity: so a claim always fits once the ring is empty, wherever it stands.
 * The bytes hold what was there before: the writer overwrites all that it publishes.
 */
export function tryClaim(ring: LogRing, sizeBytesMax: number): number {
  assert(ring.claimedUnits === 0, 'one claim at a time')
  assert(sizeBytesMax > 0 && sizeBytesMax * 2 <= ring.capacityBytes, 'a claim is at most half')
  const units = Math.ceil(sizeBytesMax / UNIT_SIZE_BYTES)
  const at = ring.published & ring.mask
  const gap = at + units > ring.capacityUnits ? ring.capacityUnits - at : 0
  if (!fits(ring, gap + units)) {
    countStall(ring)
    return -1
  }
  ring.claimedUnits = units
  ring.gapUnits = gap
  return gap > 0 ? 0 : at * UNIT_SIZE_BYTES
}

/**
 * Copies bytes into an open claim. For shared memory TypedArray.set moves a word a step, and a byte
 * a step when source and target are not aligned to each other; Buffer.fill with as many bytes as it
 * is to fill is one memcpy.
 */
export function copyIn({ bytes, buffer }: LogRing, source: Uint8Array, to: number): void {
  if (source.length < NATIVE_COPY_MIN_BYTES) bytes.set(source, to)
  else buffer.fill(source, to, to + source.length)
}
const NATIVE_COPY_MIN_BYTES = 2_048

/** True when so many units are free behind `published`; looks at the releaser only if it must. */
function fits(ring: LogRing, units: number): boolean {
  const limit = ring.capacityUnits - units
  if (((ring.published - ring.releasedSeen) | 0) <= limit) return true
  ring.releasedSeen = Atomics.load(ring.counters, RELEASED)
  return ((ring.published - ring.releasedSeen) | 0) <= limit
}

/**
 * Closes the claim: its first `sizeBytes` (a multiple of 64) are a frame, the rest goes back.
 * Returns the end sequence (int32) just behind the frame. 0 bytes abandon the claim: nothing
 * moves, not even a skipped gap.
 */
export function publish(ring: LogRing, sizeBytes: number): number {
  const units = sizeBytes / UNIT_SIZE_BYTES
  assert(ring.claimedUnits > 0, 'publish closes a claim')
  assert(Number.isInteger(units) && units >= 0, 'frames end on a unit')
  assert(units <= ring.claimedUnits, 'a frame stays inside its claim')
  ring.claimedUnits = 0
  if (units === 0) return ring.published
  ring.published = (ring.published + ring.gapUnits + units) | 0
  Atomics.store(ring.counters, PUBLISHED, ring.published)
  if (--ring.untilSample === 0) sample(ring)
  return ring.published
}

function sample(ring: LogRing): void {
  ring.untilSample = PUBLISHES_PER_SAMPLE
  ring.releasedSeen = Atomics.load(ring.counters, RELEASED)
  sampleOccupancy(ring, ((ring.published - ring.releasedSeen) | 0) * UNIT_SIZE_BYTES)
}

// ---- Releaser --------------------------------------------------------------------------------

/** Everything before `endSequence` is free. Monotone: it never goes back, nor past `published`. */
export function release(ring: LogRing, endSequence: number): void {
  const units = (endSequence - ring.released) | 0
  assert(units >= 0, 'released never goes back')
  if (units === 0) return
  if (((endSequence - ring.publishedSeen) | 0) > 0) {
    ring.publishedSeen = Atomics.load(ring.counters, PUBLISHED)
    assert(((endSequence - ring.publishedSeen) | 0) <= 0, 'only published bytes are released')
  }
  ring.released = endSequence
  Atomics.store(ring.counters, RELEASED, endSequence)
}

// ---- Any thread ------------------------------------------------------------------------------

/** Bytes published and not yet released, skipped gaps included. */
export const occupancyBytes = (ring: LogRing): number =>
  distanceOf(ring, ring.capacityUnits) * UNIT_SIZE_BYTES

/** Bytes not occupied. Not a promise: a claim may need a gap before the end of the data area. */
export const freeBytes = (ring: LogRing): number => ring.capacityBytes - occupancyBytes(ring)
