/**
 * The write-ahead log of one node: appends records, makes groups of them durable with one sync,
 * rolls over to prepared segments, trims old ones. Format, group commit and recovery: docs/wal.md.
 *
 * Invariants:
 * - an LSN is returned by `flush` only after the sync that covers it and everything before it;
 * - a group that spans segments is synced older file first (R2), so that the log has no hole;
 * - a record lies in one segment; what is queued points into the caller's memory until `flush`;
 * - after any failed call to the disk nothing is written, synced or acknowledged any more.
 *
 * Runs in the blocking WAL thread: every call may wait for the disk, none takes a callback.
 */
import { assert } from '../base/assert.ts'
import { ENVELOPE_SIZE_BYTES, chainStep, encodeEnvelope } from '../codec/record.ts'
import type { LogIndex, Lsn } from '../core/ids.ts'
import type { WalRecord } from '../core/records.ts'
import {
  type Disk,
  RECORDS_QUEUED_MAX,
  type Wal,
  guarded,
  letGo,
  prepareNext,
  refuseUnlessOpen,
  release,
  rollOver,
  syncAll,
  writeQueue,
} from './disk.ts'
import { type FrameMark, foldRecord, isMetadata } from './fold.ts'
import { forgetBoot } from './identity.ts'
import { firstOf, forget, keepFrom, mapRecord, settlePending } from './log-map.ts'
import { FILL_STEP_BYTES, SEGMENT_HEADER_SIZE_BYTES, type Segment, writeMark } from './segment.ts'

// The face of the WAL for its stage: the rest of its calls.
export type { Wal } from './disk.ts'
export { type FramesRead, type ReadFrame, readFrames } from './read.ts'

const NO_FRAMES: readonly FrameMark[] = []

/** Where the frames of a record lie: one range of a ring's data area. */
export interface Payload {
  readonly bytes: Uint8Array
  readonly offset: number
  readonly sizeBytes: number
}

/**
 * Queues a record under its LSN. The payload's bytes must stay as they are until `flush` returns;
 * they are written from where they lie.
 */
export function append(
  wal: Wal,
  record: WalRecord,
  lsn: Lsn,
  floor: LogIndex,
  payload: Payload | null,
  frames: readonly FrameMark[] | null,
): void {
  refuseUnlessOpen(wal)
  const { disk, fold, map } = wal
  const marks = frames ?? NO_FRAMES
  const payloadSize = payload?.sizeBytes ?? 0
  assert(payloadSize === sizeOf(marks), 'the payload is the frames, whole')
  if (disk !== null) guarded(wal, () => makeRoom(wal, disk, ENVELOPE_SIZE_BYTES + payloadSize))
  foldRecord(fold, record, lsn, floor, marks)
  wal.floorSaid = Math.max(wal.floorSaid, floor, fold.floor) as LogIndex
  wal.recordsWritten++
  wal.bytesWritten += ENVELOPE_SIZE_BYTES + payloadSize
  if (disk === null) return
  const segment = disk.segments.at(-1)!
  mapRecord(map, record, segment.tail, ENVELOPE_SIZE_BYTES + payloadSize)
  settlePending(map, fold)
  queueEnvelope(wal, disk, segment, record, marks, payloadSize)
  if (payload !== null) {
    disk.queue.push(payload.bytes.subarray(payload.offset, payload.offset + payloadSize))
  }
  segment.tail += ENVELOPE_SIZE_BYTES + payloadSize
  disk.queuedBytes += ENVELOPE_SIZE_BYTES + payloadSize
}

function sizeOf(frames: readonly FrameMark[]): number {
  let size = 0
  for (const { sizeBytes } of frames) size += sizeBytes
  return size
}

function queueEnvelope(
  wal: Wal,
  disk: Disk,
  segment: Segment,
  record: WalRecord,
  frames: readonly FrameMark[],
  payloadSizeBytes: number,
): void {
  const { fold } = wal
  const { bytes, words } = disk.envelopes
  let payloadDigest = 0
  for (const { headerCrc } of frames) payloadDigest = chainStep(payloadDigest, headerCrc)
  const at = disk.queuedRecords++ * ENVELOPE_SIZE_BYTES
  const fields = {
    lsn: fold.lsn,
    payloadSizeBytes,
    frameCount: frames.length,
    segment: segment.number,
    floor: wal.floorSaid,
    synced: wal.synced,
    metadata: isMetadata(record) ? fold.lsn : fold.metadataLsn,
    payloadDigest,
  }
  wal.chain = encodeEnvelope(bytes, words, at / 8, record, fields, wal.chain)
  disk.queue.push(bytes.subarray(at, at + ENVELOPE_SIZE_BYTES))
}

/** Sees that the record fits the queue and the segment. */
function makeRoom(wal: Wal, disk: Disk, sizeBytes: number): void {
  const segment = disk.segments.at(-1)!
  if (segment.tail + sizeBytes > segment.sizeBytes) {
    assert(SEGMENT_HEADER_SIZE_BYTES + sizeBytes <= disk.segmentSizeBytes, 'a segment has room')
    writeQueue(disk)
    rollOver(wal, disk)
  } else if (disk.queuedRecords === RECORDS_QUEUED_MAX) {
    writeQueue(disk)
  }
}

/**
 * Makes everything that was appended durable: writes it with as few calls as possible, then one
 * sync a file.
 * @returns the greatest durable LSN
 * @throws ReplicaError E_DISK: the WAL is dead then, since nobody knows what reached the disk
 */
export function flush(wal: Wal): Lsn {
  refuseUnlessOpen(wal)
  const { disk, fold } = wal
  if (disk !== null) {
    guarded(wal, () => {
      disk.groupBytes = disk.queuedBytes
      writeQueue(disk)
      syncAll(wal, disk)
    })
  }
  wal.synced = fold.lsn
  wal.floorDurable = wal.floorSaid
  return wal.synced
}

/**
 * Under load nothing is idle: from a quarter of a segment on, prepare faster than it fills. For
 * after a flush has been told, since it may take as long as one.
 */
export function prepareIfUrgent(wal: Wal): void {
  refuseUnlessOpen(wal)
  const { disk } = wal
  if (disk === null || disk.next?.ready === true) return
  const segment = disk.segments.at(-1)!
  if (segment.tail < segment.sizeBytes / 4) return
  guarded(wal, () => prepareNext(wal, disk, Math.max(FILL_STEP_BYTES, 2 * disk.groupBytes)))
}

/**
 * For when there is nothing else to do: one bounded step (a mebibyte) of preparing the next
 * segment.
 * @returns true when there was something to do
 */
export function idle(wal: Wal): boolean {
  refuseUnlessOpen(wal)
  const { disk } = wal
  if (disk === null || disk.next?.ready === true) return false
  guarded(wal, () => prepareNext(wal, disk, FILL_STEP_BYTES))
  return true
}

/**
 * Writes down that everything is synced, so that damage in the last group can be told from a torn
 * tail (R42). For when nothing was appended for a while: it costs the next sync a second block.
 * @returns true when there was something to write
 */
export function mark(wal: Wal): boolean {
  refuseUnlessOpen(wal)
  const { disk } = wal
  if (disk === null || wal.marked === wal.synced) return false
  guarded(wal, () => writeMark(disk.storage, disk.segments.at(-1)!, wal.synced))
  wal.marked = wal.synced
  return true
}

/** First index whose frame is still on this disk; last + 1 when none is. */
export const retainedFirst = ({ map, fold }: Wal): LogIndex =>
  firstOf(map) ?? ((fold.last + 1) as LogIndex)

/**
 * Lets go of segments that hold nothing above `through`: recycles them, or unlinks them when there
 * are spares enough. Never above a durable floor: recovery must find a floor within its log.
 * @returns how many segments went
 */
export function trim(wal: Wal, through: LogIndex): number {
  refuseUnlessOpen(wal)
  const { disk, map } = wal
  if (disk === null || !disk.segments.at(-1)!.headerSynced) return 0
  const keep = keepFrom(map, Math.min(through, wal.floorDurable) as LogIndex)
  const gone = disk.segments.findIndex(({ number }) => number === keep)
  if (gone <= 0) return 0
  guarded(wal, () => {
    // Newest first: recovery starts behind the last gap, never at a segment in between.
    for (const segment of disk.segments.splice(0, gone).reverse()) letGo(disk, segment)
  })
  forget(map, keep)
  return gone
}

/** Flushes, marks and lets go of files and lock. A failed WAL only lets go. */
export function closeWal(wal: Wal): void {
  if (wal.state === 'closed') return
  const { disk } = wal
  try {
    if (wal.state === 'open') {
      flush(wal)
      const isMarked = mark(wal)
      if (disk !== null) guarded(wal, () => syncAtClose(wal, disk, isMarked))
    }
  } finally {
    wal.state = 'closed'
    if (disk !== null) release(disk)
  }
}

/** Durability `os` syncs here alone: what was closed in order outlives the machine. */
function syncAtClose(
  { durability }: Wal,
  { storage, dir, segments }: Disk,
  isMarked: boolean,
): void {
  if (durability === 'fsync') {
    if (isMarked) storage.datasync(segments.at(-1)!.file)
    return
  }
  for (const { file } of segments) storage.datasync(file)
  storage.syncDir(dir)
  forgetBoot(storage, dir)
}

/** Lets go of files and lock as the end of a process would: nothing is flushed. For drills. */
export function abandonWal(wal: Wal): void {
  if (wal.state === 'open') wal.state = 'failed'
  closeWal(wal)
}
