/**
 * A snapshot handed on by hand: copied out of a node's directory, and made into the directory of a
 * new node, whose log begins behind it. Blocking; for the commands.
 *
 * Invariants: a copy is read whole before it has its name; a directory that was cut short in the
 * making is that of a blank node, or does not open, for its log ends before its snapshot; the node
 * is new (it has never voted), and all that it is given is chosen.
 */
import { ReplicaError } from '../base/errors.ts'
import { type Storage, type StorageFile, joinPath } from '../base/storage.ts'
import { createFrameHeader, readFrameHeader } from '../codec/frame.ts'
import { configBytesOf } from '../codec/membership.ts'
import { readU53 } from '../codec/u53.ts'
import type { LogIndex } from '../core/ids.ts'
import { type ConfigMark, EMPTY_START, openFold } from './fold.ts'
import {
  type Identity,
  checksumOf,
  enterDir,
  identityHashOf,
  leaveDir,
  noteBoot,
  readIdentity,
} from './identity.ts'
import { createLogMap } from './log-map.ts'
import { begin, createDisk, createWal } from './open.ts'
import { SECTION, snapshotPath, snapshotsAmong } from './snapshot-file.ts'
import { type SnapshotInfo, openSnapshot, verifySnapshot } from './snapshot-read.ts'
import { type Wal, closeWal } from './wal.ts'

const COPY_STEP_BYTES = 2 ** 20
const AT_CONFIG_INDEX = 4 // behind the size of the record
const AT_CONFIG_FRAME = 12
const ITS_MEMBERSHIP = 'the section of the membership'

/** The file has only a hash of the cluster's id, which a new node must be told. */
export interface Saved extends SnapshotInfo {
  readonly clusterId: string
}

/**
 * Copies the newest snapshot of a node's directory, whether the node runs or not.
 * @throws ReplicaError E_DATA_DIR when there is none, or `to` is there; E_SNAPSHOT_CORRUPT, E_DISK
 */
export function saveSnapshot(storage: Storage, dir: string, to: string): Saved {
  const names = storage.list(dir)
  const identity = names === null ? null : readIdentity(storage, dir, names)
  if (names === null || identity === null) return refuse(dir, 'no data directory')
  const [newest] = snapshotsAmong(names)
  if (newest === undefined) return refuse(dir, 'no snapshot in it')
  const at = to.lastIndexOf('/')
  const [folder, name] = [to.slice(0, at), to.slice(at + 1)]
  const there = storage.list(folder)
  if (there === null) refuse(folder, 'no such folder')
  if (there.includes(name)) refuse(to, 'is there already')
  const info = copyWhole(storage, snapshotPath(dir, newest), folder, name)
  return { ...info, clusterId: identity.clusterId }
}

/** @returns what was read back from the copy */
function copyWhole(storage: Storage, from: string, dir: string, name: string): SnapshotInfo {
  const temporary = joinPath(dir, `${name}.tmp`)
  const source = storage.open(from, 'read')
  try {
    const target = storage.create(temporary)
    try {
      copyBytes(storage, source, target)
      const info = verifySnapshot(storage, temporary)
      storage.rename(temporary, joinPath(dir, name))
      storage.syncDir(dir)
      return info
    } catch (error) {
      storage.unlink(temporary)
      throw error
    }
  } finally {
    storage.close(source)
  }
}

function copyBytes(storage: Storage, source: StorageFile, target: StorageFile): void {
  const chunk = new Uint8Array(COPY_STEP_BYTES)
  try {
    const size = storage.sizeOf(source)
    for (let at = 0; at < size; at += COPY_STEP_BYTES) {
      const read = storage.pread(source, chunk, at)
      storage.pwrite(target, chunk.subarray(0, read), at)
    }
    storage.datasync(target)
  } finally {
    storage.close(target)
  }
}

export interface SeedOptions {
  readonly dir: string
  /** A snapshot file. */
  readonly from: string
  /** Of the new node; its history is the snapshot's. */
  readonly identity: Omit<Identity, 'historyEpoch'>
  readonly segmentSizeBytes: number
}

/**
 * Makes the directory of a node that joins the cluster of the snapshot, under an id of its own.
 * @throws ReplicaError E_DATA_DIR (another cluster, or the directory is not empty),
 *   E_SNAPSHOT_CORRUPT, E_DISK
 */
export function seedDir(storage: Storage, options: SeedOptions): SnapshotInfo {
  const { dir, from } = options
  const info = verifySnapshot(storage, from)
  const { clusterId } = options.identity
  if (info.clusterHash !== checksumOf(Buffer.from(clusterId))) {
    refuse(dir, `the snapshot is of another cluster than ${clusterId}`)
  }
  if ((storage.list(dir) ?? []).length > 0) refuse(dir, 'not empty')
  const { historyEpoch } = info
  const identity = { ...options.identity, ...(historyEpoch > 0 && { historyEpoch }) }
  enterDir(storage, dir, identity)
  closeWal(beginLog(storage, options, identity, info))
  return info
}

/** @returns the open log, which holds the directory's lock */
function beginLog(
  storage: Storage,
  { dir, from, segmentSizeBytes }: SeedOptions,
  identity: Identity,
  info: SnapshotInfo,
): Wal {
  try {
    if (identity.durability === 'os') noteBoot(storage, dir, false)
    copyWhole(storage, from, dir, snapshotPath(dir, info.index).slice(dir.length + 1))
    const findings = startBehind(info, configIn(storage, from, info.index))
    const files = { next: null, spares: [] }
    const hash = identityHashOf(identity)
    const disk = createDisk(storage, { dir }, hash, segmentSizeBytes, findings, files)
    const wal = createWal(disk, identity.durability, findings)
    begin(wal, disk)
    return wal
  } catch (error) {
    leaveDir(storage, dir)
    throw error
  }
}

/** An empty log behind the snapshot, as after a trim of all before it. */
function startBehind({ index, chain }: SnapshotInfo, config: ConfigMark | null) {
  const last = index as LogIndex
  const known = { last, lastChain: chain, floor: last, floorChain: chain }
  const fold = openFold({ ...EMPTY_START, ...known, config })
  const none = { segments: [], behind: [], before: [], synced: EMPTY_START.lsn, start: null }
  return { ...none, fold, map: createLogMap(), chain: 0, floorSaid: last }
}

/** The newest membership at or below the snapshot's index; null: it is that of the start. */
function configIn(storage: Storage, path: string, through: number): ConfigMark | null {
  const reader = openSnapshot(storage, path)
  try {
    const chunk = reader.next()
    if (chunk?.section !== SECTION.config) return null
    const record = new Uint8Array(chunk.bytes) // of its own: what is unpacked shares its memory
    if (record.length < AT_CONFIG_FRAME) return reader.refuse(ITS_MEMBERSHIP)
    const bytes = record.slice(AT_CONFIG_FRAME)
    const view = new DataView(bytes.buffer)
    const header = createFrameHeader()
    const check = readFrameHeader(bytes, view, 0, bytes.length, header)
    const index = readU53(new DataView(record.buffer), AT_CONFIG_INDEX) as LogIndex
    const isThere = index > 0 && index <= through
    if (check !== 'ok' || !isThere) return reader.refuse(ITS_MEMBERSHIP)
    return { index, bytes: configBytesOf(bytes, view, 0, header).slice() }
  } finally {
    reader.close()
  }
}

function refuse(dir: string, problem: string): never {
  throw new ReplicaError('E_DATA_DIR', `${dir}: ${problem}`, { problem })
}
