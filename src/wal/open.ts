/**
 * Opens a data directory: identity and lock, recovery, the rewrite of the unproven tail, the first
 * segment. When openWal returns, everything it reports is on the disk, and everything behind the
 * log is gone for good.
 */
import { assert } from '../base/assert.ts'
import type { Storage } from '../base/storage.ts'
import { ENVELOPE_SIZE_BYTES } from '../codec/record.ts'
import type { Ballot, LogIndex, Lsn } from '../core/ids.ts'
import { type ChainMark, type ConfigMark, EMPTY_START, openFold } from './fold.ts'
import {
  type Durability,
  type Identity,
  enterDir,
  identityHashOf,
  leaveDir,
  noteBoot,
} from './identity.ts'
import { createLogMap } from './log-map.ts'
import { type Findings, type FoundSegment, type RecordVisitor, recover } from './recover.ts'
import {
  FILL_STEP_BYTES,
  type NextSegment,
  SEGMENT_HEADER_SIZE_BYTES,
  numbersOf,
  segmentPath,
  sparePath,
  writeConfig,
  zeroRange,
} from './segment.ts'
import { type Disk, RECORDS_QUEUED_MAX, type Wal, guarded, rollOver } from './disk.ts'
import { flush, idle, retainedFirst } from './wal.ts'

export const SEGMENT_SIZE_DEFAULT_BYTES = 64 * 2 ** 20

export interface WalOptions {
  readonly dir: string
  /** `incarnation` counts for a blank directory only: an old one has its own. */
  readonly identity: Identity
  /** Of new segments; a record and the header must fit. Default 64 MiB. */
  readonly segmentSizeBytes?: number
  /** Recycled files that are kept at most, besides the prepared next one. Default 2. */
  readonly spareSegments?: number
  /** Also when durability `os` and the end of a boot may have cost it its newest records. */
  readonly acceptsLostDisk?: boolean
  /** Sees every record of the log in order; Basic Paxos folds its own. */
  readonly onRecord?: RecordVisitor
}

export interface Recovered {
  readonly identity: Identity
  readonly promised: Ballot
  readonly acceptedBallot: Ballot
  readonly last: LogIndex
  readonly lastChain: number
  readonly floor: LogIndex
  readonly floorChain: number
  /** The floor lies within a group (R38); of the last index the last mark says it. */
  readonly floorContinues: boolean
  /** Frame ends above the floor with the chain behind them, ascending. */
  readonly marks: readonly ChainMark[]
  readonly nextLsn: Lsn
  readonly retainedFirst: LogIndex
  /** The log that is on the disk, a segment each: where it ends, and its bytes. */
  readonly stretches: readonly { readonly through: LogIndex; readonly sizeBytes: number }[]
  /** Config batches, ascending: the newest at or below the floor, and all above it. */
  readonly configs: readonly ConfigMark[]
}

/** @throws ReplicaError E_DATA_DIR, E_WAL_CORRUPT or E_DISK */
export function openWal(storage: Storage, options: WalOptions): { wal: Wal; recovered: Recovered } {
  const { dir, identity: wanted } = options
  const { durability } = wanted
  if (durability === 'none') return opened(createWal(null, durability, null), wanted)
  const segmentSizeBytes = options.segmentSizeBytes ?? SEGMENT_SIZE_DEFAULT_BYTES
  assert(segmentSizeBytes % SEGMENT_HEADER_SIZE_BYTES === 0, 'a segment is whole blocks')
  const identity = enterDir(storage, dir, wanted)
  try {
    if (durability === 'os') noteBoot(storage, dir, options.acceptsLostDisk === true)
    const identityHash = identityHashOf(identity)
    const onRecord = options.onRecord ?? null
    const findings = recover(storage, dir, identityHash, 'write', onRecord)
    rewriteTail(storage, findings.segments)
    const files = clearBehind(storage, dir, findings, segmentSizeBytes)
    const disk = createDisk(storage, options, identityHash, segmentSizeBytes, findings, files)
    const wal = createWal(disk, durability, findings)
    begin(wal, disk)
    return opened(wal, identity)
  } catch (error) {
    leaveDir(storage, dir)
    throw error
  }
}

function opened(wal: Wal, identity: Identity): { wal: Wal; recovered: Recovered } {
  const { promised, acceptedBallot, last, lastChain, floor, floorChain } = wal.fold
  const { floorContinues, marks, configs, lsn } = wal.fold
  const recovered = {
    identity,
    promised,
    acceptedBallot,
    last,
    lastChain,
    floor,
    floorChain,
    floorContinues,
    marks: [...marks],
    nextLsn: (lsn + 1) as Lsn,
    retainedFirst: retainedFirst(wal),
    stretches: stretchesOf(wal),
    configs: [...configs],
  }
  return { wal, recovered }
}

function stretchesOf({ disk, map, fold }: Wal): Recovered['stretches'] {
  return map.segments.map((_, place) => ({
    through: map.segments[place + 1]?.lastAtStart ?? fold.last,
    sizeBytes: disk!.segments[place]!.tail - SEGMENT_HEADER_SIZE_BYTES,
  }))
}

/**
 * What nothing names as synced may be in the page cache only, and read well from there (R42). The
 * same bytes are written again at the same place, which makes the pages dirty again, and synced.
 * Behind the log everything becomes zero, so that no record of a torn group comes back later.
 */
function rewriteTail(storage: Storage, segments: readonly FoundSegment[]): void {
  const longest = Math.max(0, ...segments.map(({ tail, unsyncedFrom }) => tail - unsyncedFrom))
  const chunk = new Uint8Array(Math.min(FILL_STEP_BYTES, longest))
  for (const segment of segments) {
    const { file, tail, unsyncedFrom, configToWrite } = segment
    for (let at = unsyncedFrom; at < tail; at += chunk.length) {
      const part = chunk.subarray(0, Math.min(chunk.length, tail - at))
      storage.pread(file, part, at)
      storage.pwrite(file, part, at)
    }
    const isLast = segment === segments.at(-1)
    if (isLast) zeroRange(storage, file, tail, segment.sizeBytes)
    if (configToWrite !== null) writeConfig(storage, segment, configToWrite)
    const isWritten = unsyncedFrom < tail || configToWrite !== null
    if (isLast || isWritten) storage.datasync(file)
  }
}

/** Removes torn segments and unfinished files; a next segment that was never begun stays. */
function clearBehind(
  storage: Storage,
  dir: string,
  { before, behind, segments }: Findings,
  sizeBytes: number,
): Pick<Disk, 'next' | 'spares'> {
  const nextNumber = (segments.at(-1)?.number ?? 0) + 1
  for (const number of before) storage.unlink(segmentPath(dir, number))
  let next: NextSegment | null = null
  // Newest first: cut short in between, this leaves no gap, which would pass for a trim.
  for (const { number, reusable } of behind.toReversed()) {
    const path = segmentPath(dir, number)
    if (reusable && number === nextNumber && sizeAt(storage, path) === sizeBytes) {
      const file = storage.open(path, 'write')
      next = { number, path, file, sizeBytes, filled: sizeBytes, ready: false }
    } else {
      storage.unlink(path)
    }
  }
  const spares = numbersOf(storage.list(dir) ?? [], 'spare').filter((number) => {
    const path = sparePath(dir, number)
    const usable = sizeAt(storage, path) === sizeBytes
    if (!usable) storage.unlink(path)
    return usable
  })
  storage.syncDir(dir)
  return { next, spares }
}

function sizeAt(storage: Storage, path: string): number {
  const file = storage.open(path, 'read')
  const size = storage.sizeOf(file)
  storage.close(file)
  return size
}

export function createDisk(
  storage: Storage,
  { dir, spareSegments = 2 }: Pick<WalOptions, 'dir' | 'spareSegments'>,
  identityHash: number,
  segmentSizeBytes: number,
  { segments }: Findings,
  { next, spares }: Pick<Disk, 'next' | 'spares'>,
): Disk {
  return {
    storage,
    dir,
    identityHash,
    segmentSizeBytes,
    spareSegments,
    segments,
    next,
    spares,
    unsynced: [],
    queue: [],
    queuedBytes: 0,
    groupBytes: 0,
    envelopes: cellOf(RECORDS_QUEUED_MAX * ENVELOPE_SIZE_BYTES),
    queuedRecords: 0,
    places: [],
    cell: cellOf(ENVELOPE_SIZE_BYTES),
  }
}

function cellOf(sizeBytes: number): Disk['cell'] {
  const bytes = new Uint8Array(sizeBytes)
  return { bytes, words: new Float64Array(bytes.buffer) }
}

export function createWal(
  disk: Disk | null,
  durability: Durability,
  findings: Findings | null,
): Wal {
  const fold = findings?.fold ?? openFold(EMPTY_START)
  const floorSaid = findings?.floorSaid ?? fold.floor
  return {
    disk,
    durability,
    fold,
    map: findings?.map ?? createLogMap(),
    chain: findings?.chain ?? 0,
    synced: fold.lsn,
    floorSaid,
    floorDurable: floorSaid,
    marked: 0 as Lsn,
    state: 'open',
    syncs: 0,
    recordsWritten: 0,
    bytesWritten: 0,
  }
}

/** The first segment of all, and the next one, so that the first roll-over need not wait. */
export function begin(wal: Wal, disk: Disk): void {
  if (disk.segments.length === 0) guarded(wal, () => rollOver(wal, disk))
  flush(wal)
  while (idle(wal)) continue
}
