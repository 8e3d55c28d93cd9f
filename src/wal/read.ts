/**
 * Reads frames of the log back: for peers that lag behind the ring, for fetches, and for replay to
 * the state machine after a restart. Everything is verified before it is served (R43).
 *
 * Bytes go from the file to the caller's buffer at once; only envelopes are read beside. Where a
 * read ended is remembered, so that a sequential reader finds its place without a walk.
 * Runs in the WAL thread, between flushes, so that no segment can go while it reads.
 */
import { assert } from '../base/assert.ts'
import { ReplicaError } from '../base/errors.ts'
import {
  FRAME_HEADER_SIZE_BYTES,
  type FrameHeader,
  checkFrame,
  createFrameHeader,
  readFrameHeader,
} from '../codec/frame.ts'
import {
  ENVELOPE_SEGMENT,
  ENVELOPE_SIZE_BYTES,
  chainStep,
  decodeEnvelope,
} from '../codec/record.ts'
import type { LogIndex } from '../core/ids.ts'
import type { InstancePlace } from './instance-map.ts'
import { type Run, find } from './log-map.ts'
import { type Envelope, type ReadFrame, envelopeAt, foundAt } from './scan.ts'
import type { Segment } from './segment.ts'
import { type Disk, type Wal, guarded, refuseUnlessOpen, writeQueue } from './disk.ts'

const PLACES_MAX = 8
/** A read's frames are told to the decision loop one cell each, in one group. */
const FRAMES_READ_MAX = 1_024

export type { ReadFrame } from './scan.ts'

export interface FramesRead {
  /** Bytes in `into` that are frames. */
  sizeBytes: number
  /** Consecutive; `offset` counts in `into`. A frame of Basic Paxos carries no index itself. */
  readonly frames: ReadFrame[]
}

interface Reading {
  readonly disk: Disk
  /** It may begin with a frame that holds `next` and begins before. */
  readonly isWithin: boolean
  readonly into: Uint8Array
  readonly view: DataView
  readonly header: FrameHeader
  /** Nothing above it: the caller's bound, or where the present run was cut. */
  through: LogIndex
  /** Bytes of `into` that may be filled; known once the first frame's size is. */
  limit: number
  next: LogIndex
  /** Bytes of the record's frames that lie before `next`. */
  skip: number
  readonly result: FramesRead
}

/**
 * Copies consecutive frames, from the one that begins at `from`, without their envelopes. In a log
 * of Basic Paxos an index is an instance: the frames are the last ones written for `from`,
 * `from + 1`, ... up to the first instance without one; the i-th is the value of `from + i`.
 *
 * @param isWithin the first frame is the one that holds `from`, which may begin before it
 * @param sizeBytesMax the result stops before it, but has one frame at least; `into` must hold that
 * @returns empty when `from` is trimmed, above the log, or its frame reaches above `through`
 * @throws ReplicaError E_WAL_CORRUPT for damage; AssertionError when no frame begins at `from`
 */
export function readFrames(
  wal: Wal,
  from: LogIndex,
  through: LogIndex,
  sizeBytesMax: number,
  into: Uint8Array,
  isWithin = false,
): FramesRead {
  refuseUnlessOpen(wal)
  const result: FramesRead = { sizeBytes: 0, frames: [] }
  const { disk, map } = wal
  if (disk === null) return result
  guarded(wal, () => writeQueue(disk))
  const view = new DataView(into.buffer, into.byteOffset, into.length)
  const header = createFrameHeader()
  const place = { through, limit: sizeBytesMax, next: from, skip: 0 }
  const reading = { disk, isWithin, into, view, header, ...place, result }
  if (map.instances.size > 0) {
    readInstances(reading, map.instances)
    return result
  }
  while (reading.next <= through) {
    const at = find(map, reading.next)
    if (at < 0 || !readRun(reading, map.valid[at]!, through)) break
  }
  return result
}

function readInstances(reading: Reading, instances: ReadonlyMap<LogIndex, InstancePlace>): void {
  const { into, result } = reading
  const { frames } = result
  while (reading.next <= reading.through && frames.length < FRAMES_READ_MAX) {
    const place = instances.get(reading.next)
    if (place === undefined) return
    const end = result.sizeBytes + place.frameSizeBytes
    if (frames.length > 0 && end > Math.min(into.length, reading.limit)) return
    assert(end <= into.length, 'a buffer for reading holds a frame')
    readInstance(reading, place, end)
    reading.next = (reading.next + 1) as LogIndex
  }
}

/** Reads the frame of `next` to the end of the result; its record must be whole and its own. */
function readInstance(reading: Reading, place: InstancePlace, end: number): void {
  const { disk, into, view, header, result } = reading
  const at = result.sizeBytes
  const segment = segmentOf(disk, place.segment)
  const { record, digest } = readEnvelope(disk, segment, place.offset)
  if (!('instance' in record) || record.instance !== reading.next) damaged(segment, place.offset)
  const from = place.offset + ENVELOPE_SIZE_BYTES
  const read = disk.storage.pread(segment.file, into.subarray(at, end), from)
  if (read < end - at || checkFrame(into, view, at, end, header) !== 'ok') damaged(segment, from)
  if (chainStep(0, header.headerCrc) !== digest) damaged(segment, from)
  assert(at + header.sizeBytes === end, 'a record of an instance holds one frame')
  result.frames.push(foundAt(header, at))
  result.sizeBytes = end
}

/** True when the run was read to its end and there is room for more. */
function readRun(reading: Reading, run: Run, through: LogIndex): boolean {
  const { disk } = reading
  // A cut may go through the middle of a record.
  reading.through = Math.min(through, run.through) as LogIndex
  const segment = segmentOf(disk, run.segment)
  let offset = seek(reading, run, segment)
  while (reading.next <= reading.through) {
    const envelope = readEnvelope(disk, segment, offset)
    const goesOn = readRecord(reading, segment, offset, envelope)
    if (!goesOn) {
      remember(reading, segment, offset)
      return reading.next > reading.through
    }
    offset += ENVELOPE_SIZE_BYTES + envelope.payloadSizeBytes
    reading.skip = 0
  }
  remember(reading, segment, offset)
  return true
}

/** The envelope of the record with index `next`; leaves in `skip` what lies before it there. */
function seek(reading: Reading, run: Run, segment: Segment): number {
  const { disk, next } = reading
  const place = disk.places.find((known) => known.next === next)
  if (place?.segment === run.segment && place.offset >= run.offset && place.offset < run.end) {
    reading.skip = place.skip
    return place.offset
  }
  reading.skip = 0
  let offset = run.offset
  for (;;) {
    const { record, payloadSizeBytes } = readEnvelope(disk, segment, offset)
    assert('through' in record, 'a run holds records with frames')
    if (record.through >= next) break
    offset += ENVELOPE_SIZE_BYTES + payloadSizeBytes
  }
  skipFrames(reading, segment, offset + ENVELOPE_SIZE_BYTES)
  return offset
}

/** Goes from frame to frame by their headers up to the one that begins at `next`. */
function skipFrames(reading: Reading, segment: Segment, payloadOffset: number): void {
  const { next, header } = reading
  for (;;) {
    readHeaderAt(reading, segment, payloadOffset + reading.skip)
    if (header.first === next) return
    if (reading.isWithin && header.first + header.count > next) {
      reading.next = header.first
      return
    }
    assert(header.first + header.count <= next, 'a read begins where a frame begins')
    reading.skip += header.sizeBytes
  }
}

function readHeaderAt({ disk, header }: Reading, segment: Segment, offset: number): void {
  const { bytes } = disk.cell
  const view = new DataView(bytes.buffer)
  disk.storage.pread(segment.file, bytes.subarray(0, FRAME_HEADER_SIZE_BYTES), offset)
  const check = readFrameHeader(bytes, view, 0, FRAME_HEADER_SIZE_BYTES, header)
  if (check !== 'ok') damaged(segment, offset)
}

/** Reads the frames of one record from `skip` on; false when `into` or `through` ends it. */
function readRecord(
  reading: Reading,
  segment: Segment,
  offset: number,
  { payloadSizeBytes }: Envelope,
): boolean {
  const { disk, into, header, result } = reading
  const from = offset + ENVELOPE_SIZE_BYTES + reading.skip
  if (result.frames.length === 0) {
    readHeaderAt(reading, segment, from)
    assert(header.sizeBytes <= into.length, 'a buffer for reading holds a frame')
    reading.limit = Math.min(into.length, Math.max(reading.limit, header.sizeBytes))
  }
  const start = result.sizeBytes
  const left = payloadSizeBytes - reading.skip
  const size = Math.min(left, reading.limit - start)
  const read = disk.storage.pread(segment.file, into.subarray(start, start + size), from)
  if (read < size) damaged(segment, from)
  while (result.sizeBytes < start + size) {
    const check = takeFrame(reading, start + size, size === left)
    if (check === 'full') return false
    if (check === 'damaged') damaged(segment, from + result.sizeBytes - start)
  }
  return size === left
}

/** Verifies the frame at the end of the result and adds it. */
function takeFrame(reading: Reading, end: number, isAll: boolean): 'taken' | 'full' | 'damaged' {
  const { into, view, header, result } = reading
  const at = result.sizeBytes
  if (result.frames.length === FRAMES_READ_MAX) return 'full'
  const check = checkFrame(into, view, at, end, header)
  if (check === 'short' && !isAll) return 'full'
  if (check !== 'ok' || header.first !== reading.next) return 'damaged'
  const last = header.first + header.count - 1
  if (last > reading.through) return 'full'
  result.frames.push(foundAt(header, at))
  result.sizeBytes += header.sizeBytes
  reading.skip += header.sizeBytes
  reading.next = (last + 1) as LogIndex
  return 'taken'
}

function readEnvelope({ storage, cell }: Disk, segment: Segment, offset: number): Envelope {
  storage.pread(segment.file, cell.bytes, offset)
  const isWhole = decodeEnvelope(cell.bytes, cell.words, 0) === 'ok'
  if (!isWhole || cell.words[ENVELOPE_SEGMENT] !== segment.number) damaged(segment, offset)
  return envelopeAt(cell.words, 0)
}

function remember({ disk, next, skip }: Reading, segment: Segment, offset: number): void {
  const { places } = disk
  const known = places.findIndex((place) => place.next === next)
  if (known >= 0) places.splice(known, 1)
  else if (places.length === PLACES_MAX) places.shift()
  places.push({ next, segment: segment.number, offset, skip })
}

function segmentOf({ segments }: Disk, number: number): Segment {
  const segment = segments[number - segments[0]!.number] // numbers are consecutive
  assert(segment?.number === number, 'a run lies in a retained segment')
  return segment
}

function damaged({ path }: Segment, offsetBytes: number): never {
  const segment = path.slice(path.lastIndexOf('/') + 1)
  const message = `${segment}, offset ${offsetBytes}: damaged; it is not served`
  throw new ReplicaError('E_WAL_CORRUPT', message, { segment, offsetBytes })
}
