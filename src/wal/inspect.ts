/**
 * Looks into a data directory without changing it: for checks after a run and for `wal inspect`.
 * Takes no lock: the node should be stopped, else the end that is seen is some moment's.
 */
import { ReplicaError } from '../base/errors.ts'
import type { Storage } from '../base/storage.ts'
import { chainOf } from '../core/frame-ref.ts'
import type { Ballot, LogIndex } from '../core/ids.ts'
import { FRAME_SIZE_MAX_BYTES, type FrameKind } from '../codec/frame.ts'
import { type FoldStart, startOf } from './fold.ts'
import { type Identity, identityHashOf, readIdentity } from './identity.ts'
import { createDisk, createWal } from './open.ts'
import { readFrames } from './read.ts'
import { type Findings, type RecordVisitor, recover } from './recover.ts'
import { retainedFirst } from './wal.ts'

export type FrameVisitor = (
  first: LogIndex,
  through: LogIndex,
  chain: number,
  ballot: Ballot,
  kind: FrameKind,
  /** Of the whole frame; valid during the call. */
  bytes: Uint8Array,
) => void

export interface LogScan extends FoldStart {
  readonly identity: Identity
  /** The first index that is still there; last + 1: none is. */
  readonly first: LogIndex
  /** Chain value before `first`. */
  readonly firstChain: number
  readonly segmentSizeBytes: number
}

/**
 * Visits every record, also those of transactions that were dropped.
 * @throws ReplicaError E_DATA_DIR, E_WAL_CORRUPT
 */
export function inspectWal(storage: Storage, dir: string, onRecord: RecordVisitor): FoldStart {
  const { findings } = look(storage, dir, onRecord)
  closeAll(storage, findings)
  return startOf(findings.fold)
}

/** Visits every frame of the valid log, after all cuts, with the chain value behind it. */
export function scanLog(storage: Storage, dir: string, onFrame: FrameVisitor): LogScan {
  const { findings, identity, identityHash } = look(storage, dir, null)
  try {
    const files = { next: null, spares: [] }
    const disk = createDisk(storage, { dir }, identityHash, 0, findings, files)
    const wal = createWal(disk, identity.durability, findings)
    const into = new Uint8Array(FRAME_SIZE_MAX_BYTES)
    const first = retainedFirst(wal)
    const firstChain = findings.start?.lastChain ?? 0
    let chain = firstChain
    for (let next = first; next <= wal.fold.last;) {
      const { frames } = readFrames(wal, next, wal.fold.last, into.length, into)
      for (const frame of frames) {
        const through = (frame.first + frame.count - 1) as LogIndex
        chain = chainOf(chain, frame.headerCrc)
        const bytes = into.subarray(frame.offset, frame.offset + frame.sizeBytes)
        onFrame(frame.first, through, chain, frame.ballot, frame.kind, bytes)
        next = (through + 1) as LogIndex
      }
    }
    const segmentSizeBytes = findings.segments.at(-1)?.sizeBytes ?? 0
    return { ...startOf(wal.fold), identity, first, firstChain, segmentSizeBytes }
  } finally {
    closeAll(storage, findings)
  }
}

function look(storage: Storage, dir: string, onRecord: RecordVisitor | null) {
  const names = storage.list(dir)
  const identity = names === null ? null : readIdentity(storage, dir, names)
  if (identity === null) {
    const problem = 'no data directory'
    throw new ReplicaError('E_DATA_DIR', `${dir}: ${problem}`, { problem })
  }
  const identityHash = identityHashOf(identity)
  const findings = recover(storage, dir, identityHash, 'read', onRecord)
  return { findings, identity, identityHash }
}

function closeAll(storage: Storage, { segments }: Findings): void {
  for (const { file } of segments) storage.close(file)
}
