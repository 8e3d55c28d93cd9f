/**
 * Finds the log in the segment files and folds it; decides whether what ends it is a torn tail
 * (cut) or damage in synced data (refused). Read-only: openWal does what the result says.
 * docs/wal.md tells why each rule holds.
 *
 * Torn or rotten: every envelope, header and mark says how far the disk was synced when it was
 * written. If anything behind the end of the log, in whatever file, says that more than the log's
 * last LSN was synced, then synced bytes are damaged or gone. Otherwise nobody was ever told of
 * what is cut.
 */
import { ReplicaError } from '../base/errors.ts'
import type { Storage } from '../base/storage.ts'
import type { LogIndex, Lsn } from '../core/ids.ts'
import { type ConfigMark, EMPTY_START, type Fold, foldRecord, openFold } from './fold.ts'
import { type LogMap, beginSegment, createLogMap, mapRecord, settlePending } from './log-map.ts'
import { type FoundRecord, type Window, greatestSynced, openWindow, readRecord } from './scan.ts'
import {
  type FoundHeader,
  SEGMENT_HEADER_SIZE_BYTES,
  type Segment,
  type SegmentHeader,
  numbersOf,
  readConfig,
  readHeader,
  readMark,
  segmentPath,
} from './segment.ts'

/** Called for every record of the log in order; `payload` is valid only during the call. */
export type RecordVisitor = (record: FoundRecord) => void

/** A segment, and from where on nothing in it is known to have been synced. */
export interface FoundSegment extends Segment {
  unsyncedFrom: number
  /** The config beside its header was torn or damaged, and is known from the log before it. */
  readonly configToWrite: ConfigMark | null
}

export interface Findings {
  readonly fold: Fold
  readonly map: LogMap
  /** Of the log, ascending; their files are open. */
  readonly segments: FoundSegment[]
  /** Behind the log: torn away; `reusable` ones were never begun. */
  readonly behind: readonly { readonly number: number; readonly reusable: boolean }[]
  /** Left over by a trim that was interrupted. */
  readonly before: readonly number[]
  /** Chain value of the last record. */
  readonly chain: number
  /** Greatest LSN that anything names as synced. */
  readonly synced: Lsn
  /** Greatest floor that any record names, not clamped. */
  readonly floorSaid: LogIndex
  /** Of the oldest segment: where the log on this disk starts, with its chain. */
  readonly start: SegmentHeader | null
}

interface Scan {
  readonly storage: Storage
  readonly dir: string
  readonly identityHash: number
  readonly access: 'read' | 'write'
  readonly onRecord: RecordVisitor | null
  readonly map: LogMap
  readonly segments: FoundSegment[]
  /** Records that nothing has named as synced yet. */
  readonly unsynced: { readonly lsn: Lsn; readonly segment: FoundSegment; readonly at: number }[]
  fold: Fold
  chain: number
  synced: Lsn
  floorSaid: LogIndex
  start: SegmentHeader | null
}

/** @throws ReplicaError E_WAL_CORRUPT for damage in synced data */
export function recover(
  storage: Storage,
  dir: string,
  identityHash: number,
  access: 'read' | 'write',
  onRecord: RecordVisitor | null,
): Findings {
  const scan: Scan = {
    storage,
    dir,
    identityHash,
    access,
    onRecord,
    map: createLogMap(),
    segments: [],
    unsynced: [],
    fold: openFold(EMPTY_START),
    chain: 0,
    synced: 0 as Lsn,
    floorSaid: 0 as LogIndex,
    start: null,
  }
  const numbers = numbersOf(storage.list(dir) ?? [], 'wal')
  const first = startAmong(scan, numbers)
  let used = first
  try {
    while (used < numbers.length && takeSegment(scan, numbers[used]!)) used++
    const behind = checkRest(scan, numbers.slice(used))
    checkStart(scan)
    return { ...finish(scan), behind, before: numbers.slice(0, first) }
  } catch (error) {
    for (const { file } of scan.segments) storage.close(file)
    throw error
  }
}

/**
 * Trimming takes segments away from the newest to the oldest, so that a gap in the numbers means a
 * trim that a crash has interrupted: the log starts behind the last gap.
 */
function startAmong(scan: Scan, numbers: readonly number[]): number {
  const { storage, dir, identityHash } = scan
  for (let i = numbers.length - 1; i > 0; i--) {
    const number = numbers[i]!
    if (numbers[i - 1] === number - 1) continue
    const file = storage.open(segmentPath(dir, number), 'read')
    const header = readHeader(storage, file, number, identityHash)
    storage.close(file)
    if (header !== null) return i
  }
  return 0
}

/**
 * Only what is at or below the floor is ever trimmed: a log that starts above it has lost files.
 */
function checkStart({ start, floorSaid, segments }: Scan): void {
  if (start !== null && start.last > floorSaid) corrupt(segments[0]!.path, 0)
}

function finish(scan: Scan): Omit<Findings, 'behind' | 'before'> {
  const { fold, map, segments, chain, synced, floorSaid, start, unsynced } = scan
  for (const { segment, at } of unsynced) segment.unsyncedFrom = Math.min(segment.unsyncedFrom, at)
  fold.sync = null // an unfinished transaction is dropped (R12)
  settlePending(map, fold)
  return { fold, map, segments, chain, synced, floorSaid, start }
}

/** Folds the segment when it continues the log; false: the log has ended before it. */
function takeSegment(scan: Scan, number: number): boolean {
  const { storage, dir, access, fold, segments } = scan
  const path = segmentPath(dir, number)
  const file = storage.open(path, access)
  const header = readHeader(storage, file, number, scan.identityHash)
  const isFirst = segments.length === 0
  if (header === null || (!isFirst && !continues(scan, header))) {
    storage.close(file)
    return false
  }
  const tail = SEGMENT_HEADER_SIZE_BYTES
  const { sizeBytes } = header
  const found = storage.sizeOf(file)
  if (found < sizeBytes) {
    storage.close(file)
    corrupt(path, found, `cut off here, of ${sizeBytes} bytes`) // all were there before its header
  }
  const headerSynced = true
  const known = isFirst ? null : (fold.configs.at(-1) ?? null)
  const config = readConfig(storage, file, number)
  const isIntact = (config?.index ?? 0) === header.configIndex
  const configToWrite = isIntact ? null : known
  const extent = { sizeBytes, tail, headerSynced, unsyncedFrom: sizeBytes }
  const segment = { number, path, file, ...extent, configToWrite }
  segments.push(segment)
  if (isFirst) {
    // Nothing else knows who belongs to the cluster: what came before is trimmed.
    if (!isIntact) corrupt(path, 0, 'the membership of its head is damaged')
    const start = { ...header, config }
    scan.fold = openFold(start)
    scan.chain = header.recordChain
    scan.start = start
    scan.floorSaid = header.floor
  }
  scan.unsynced.push({ lsn: (header.lsn + 1) as Lsn, segment, at: 0 })
  raiseSynced(scan, header.synced)
  beginSegment(scan.map, number, scan.fold.last, fold.sync !== null)
  takeRecords(scan, segment)
  raiseSynced(scan, readMark(storage, file, number) ?? (0 as Lsn))
  return true
}

const continues = ({ fold, chain, segments }: Scan, header: FoundHeader): boolean =>
  header.segment === segments.at(-1)!.number + 1 &&
  header.lsn === fold.lsn &&
  header.recordChain === chain

function takeRecords(scan: Scan, segment: FoundSegment): void {
  const { fold, map } = scan
  const window = openWindow(scan.storage, segment.file)
  for (;;) {
    const { tail: offset, sizeBytes: limit } = segment
    const { lsn, metadataLsn } = fold
    const place = { segment: segment.number, offset, limit, lsn, chain: scan.chain, metadataLsn }
    const found = readRecord(window, place)
    if (found === null) return
    foldRecord(fold, found.record, found.lsn, found.floor, found.frames)
    mapRecord(map, found.record, offset, found.sizeBytes)
    settlePending(map, fold)
    scan.onRecord?.(found)
    scan.unsynced.push({ lsn: found.lsn, segment, at: offset })
    scan.chain = found.chain
    scan.floorSaid = Math.max(scan.floorSaid, found.floor, fold.floor) as LogIndex
    raiseSynced(scan, found.synced)
    segment.tail += found.sizeBytes
  }
}

function raiseSynced(scan: Scan, synced: Lsn): void {
  if (synced <= scan.synced) return
  scan.synced = synced
  const { unsynced } = scan
  const first = unsynced.findIndex(({ lsn }) => lsn > synced)
  unsynced.splice(0, first < 0 ? unsynced.length : first)
}

/** Looks behind the end of the log for proof that more than it was synced. */
function checkRest(scan: Scan, numbers: readonly number[]): Findings['behind'] {
  const { storage, dir, fold } = scan
  const last = scan.segments.at(-1)
  if (last !== undefined) {
    const window = openWindow(storage, last.file)
    const named = greatestSynced(window, last.number, last.tail, last.sizeBytes)
    if (Math.max(named, scan.synced) > fold.lsn) corrupt(last.path, last.tail)
  }
  return numbers.map((number) => {
    const path = segmentPath(dir, number)
    const file = storage.open(path, 'read')
    try {
      const { synced, records, begun, marked } = provenBy(scan, openWindow(storage, file), number)
      // Without a single segment of the log the oldest one has lost its header.
      if (synced > fold.lsn || (last === undefined && records)) {
        corrupt(last?.path ?? path, last?.tail ?? 0)
      }
      // A mark comes when the segment before it was begun and synced: that one is gone.
      if (marked && last?.number !== number - 1) corrupt(segmentPath(dir, number - 1), 0)
      return { number, reusable: !records && !begun }
    } finally {
      storage.close(file)
    }
  })
}

/** What a file behind the log proves: the greatest LSN it names as synced; -1: it names none. */
function provenBy(
  scan: Scan,
  window: Window,
  number: number,
): { synced: number; records: boolean; begun: boolean; marked: boolean } {
  const { storage, file } = window
  const size = storage.sizeOf(file)
  const inRecords = greatestSynced(window, number, SEGMENT_HEADER_SIZE_BYTES, size)
  const header = readHeader(storage, file, number, scan.identityHash)
  const mark = readMark(storage, file, number)
  const synced = Math.max(inRecords, header?.synced ?? -1, mark ?? -1)
  const [records, begun, marked] = [inRecords >= 0, header !== null, mark !== null]
  return { synced, records, begun, marked }
}

function corrupt(path: string, offsetBytes: number, problem = 'damaged, and it was synced'): never {
  const segment = path.slice(path.lastIndexOf('/') + 1)
  throw new ReplicaError(
    'E_WAL_CORRUPT',
    `${segment}, offset ${offsetBytes}: ${problem}; the node does not start`,
    { segment, offsetBytes },
  )
}
