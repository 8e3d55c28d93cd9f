/**
 * The files behind a WAL and what is done to them: writing the queue, rolling over to the next
 * segment, syncing, recycling. wal.ts decides when; nothing here is called from outside src/wal.
 *
 * Invariant: after any failed call to the disk none follows, whoever makes it: see `guarded`.
 */
import { ReplicaError } from '../base/errors.ts'
import { IOV_MAX, type Storage } from '../base/storage.ts'
import type { LogIndex, Lsn } from '../core/ids.ts'
import { type Fold, startOf } from './fold.ts'
import { type Durability, leaveDir } from './identity.ts'
import { type LogMap, beginSegment } from './log-map.ts'
import {
  type NextSegment,
  SEGMENT_HEADER_SIZE_BYTES,
  type Segment,
  encodeHeader,
  fillNext,
  sparePath,
  startNext,
  writeConfig,
} from './segment.ts'

export const RECORDS_QUEUED_MAX = IOV_MAX / 2 // an envelope and a payload each

/** Where a later read of consecutive frames goes on; void once its run is cut or gone. */
export interface ReadPlace {
  readonly next: LogIndex
  readonly segment: number
  /** Of the envelope, and how much of its frames lies before `next`. */
  readonly offset: number
  readonly skip: number
}

/** The files behind a WAL; there are none with durability `none`. */
export interface Disk {
  readonly storage: Storage
  readonly dir: string
  readonly identityHash: number
  readonly segmentSizeBytes: number
  readonly spareSegments: number
  /** Ascending; the last one is written. */
  readonly segments: Segment[]
  next: NextSegment | null
  /** Numbers of recycled files that wait for their next life. */
  readonly spares: number[]
  /** Written since their last sync, oldest first. */
  unsynced: Segment[]
  readonly queue: Uint8Array[]
  queuedBytes: number
  /** Of the last group that was flushed. */
  groupBytes: number
  readonly envelopes: { readonly bytes: Uint8Array; readonly words: Float64Array }
  queuedRecords: number
  readonly places: ReadPlace[]
  /** For reading one envelope. */
  readonly cell: { readonly bytes: Uint8Array; readonly words: Float64Array }
}

export interface Wal {
  readonly disk: Disk | null
  readonly durability: Durability
  readonly fold: Fold
  readonly map: LogMap
  /** Chain value of the last record. */
  chain: number
  /** Everything through this LSN is durable (`os`: written). */
  synced: Lsn
  /** Greatest floor in an envelope that was queued, and in one that is durable. */
  floorSaid: LogIndex
  floorDurable: LogIndex
  /** The newest mark on the disk names this LSN. */
  marked: Lsn
  state: 'open' | 'failed' | 'closed'
  /** Counters for status and bench. */
  syncs: number
  recordsWritten: number
  bytesWritten: number
}

/** Hands what is queued to the operating system; no promise is made yet. */
export function writeQueue(disk: Disk): void {
  if (disk.queuedRecords === 0) return
  const segment = disk.segments.at(-1)!
  disk.storage.pwritev(segment.file, disk.queue, segment.tail - disk.queuedBytes)
  if (disk.unsynced.at(-1) !== segment) disk.unsynced.push(segment)
  disk.queue.length = 0
  disk.queuedBytes = 0
  disk.queuedRecords = 0
}

/** Begins the prepared segment; prepares one here and now only when nobody had the time before. */
export function rollOver(wal: Wal, disk: Disk): void {
  const { storage, identityHash, segmentSizeBytes } = disk
  const next = prepareNext(wal, disk, Infinity)
  const { number, path, file } = next
  const segment: Segment = {
    number,
    path,
    file,
    sizeBytes: segmentSizeBytes,
    tail: SEGMENT_HEADER_SIZE_BYTES,
    headerSynced: false,
  }
  const { chain: recordChain, synced } = wal
  const start = startOf(wal.fold)
  const sizeBytes = segmentSizeBytes
  const header = encodeHeader({
    ...start,
    segment: number,
    identityHash,
    sizeBytes,
    recordChain,
    synced,
  })
  storage.pwrite(file, header, 0)
  if (start.config !== null) writeConfig(storage, segment, start.config)
  beginSegment(wal.map, number, wal.fold.last, wal.fold.sync !== null)
  disk.segments.push(segment)
  disk.unsynced.push(segment)
  disk.next = null
}

/** One step, or with Infinity all steps, towards a segment that is ready. */
export function prepareNext(wal: Wal, disk: Disk, stepBytes: number): NextSegment {
  const { storage, dir, segmentSizeBytes, spares } = disk
  const last = disk.segments.at(-1)
  const number = (last?.number ?? 0) + 1
  disk.next ??= startNext(storage, dir, number, segmentSizeBytes, spares.pop() ?? null)
  const { next } = disk
  const sync = wal.durability === 'fsync'
  const mark = last?.headerSynced === true ? wal.synced : null
  if (!next.ready) fillNext(storage, dir, next, stepBytes, { sync, mark })
  return next
}

/** One sync a file, older first (R2). */
export function syncAll(wal: Wal, disk: Disk): void {
  for (const segment of disk.unsynced) {
    if (wal.durability === 'fsync') {
      disk.storage.datasync(segment.file)
      wal.syncs++
    }
    segment.headerSynced = true
  }
  disk.unsynced.length = 0
}

/** Recycles a segment that was trimmed, or unlinks it. */
export function letGo({ storage, dir, spares, spareSegments }: Disk, segment: Segment): void {
  storage.close(segment.file)
  if (spares.length >= spareSegments) return storage.unlink(segment.path)
  storage.rename(segment.path, sparePath(dir, segment.number))
  spares.push(segment.number)
}

export function release({ storage, dir, segments, next }: Disk): void {
  for (const { file } of segments) storage.close(file)
  if (next !== null) storage.close(next.file)
  leaveDir(storage, dir)
}

/** The first failure of the disk is the last call to it (R43). */
export function guarded<Result>(wal: Wal, call: () => Result): Result {
  try {
    return call()
  } catch (error) {
    wal.state = 'failed'
    throw error
  }
}

export function refuseUnlessOpen({ state }: Wal): void {
  if (state === 'open') return
  if (state === 'closed') {
    throw new ReplicaError('E_CLOSED', 'the WAL is closed', { what: 'wal' })
  }
  const detail = { syscall: 'none', errno: 'EIO' }
  throw new ReplicaError('E_DISK', 'the WAL has failed before', detail, 'unknown')
}
