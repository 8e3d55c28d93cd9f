/**
 * Whose data directory this is: the `identity` file, written once and whole, and the lock against a
 * second process. A directory of another cluster, node, engine, durability or format, or one that
 * holds foreign files, is refused before anything is written.
 *
 * Invariant: a directory with an identity has had it since before its first segment.
 */
import { crc32 } from 'node:zlib'
import { ReplicaError } from '../base/errors.ts'
import { type Storage, joinPath } from '../base/storage.ts'

export type Durability = 'fsync' | 'os' | 'none'

export interface Identity {
  readonly clusterId: string
  readonly nodeId: number
  /** How often the node's disk was made anew (R39); on a later open the stored one counts. */
  readonly incarnation: number
  readonly engine: string
  readonly durability: Durability
  /**
   * Of a node that joined a cluster whose history was forked before (docs/disaster.md): the history
   * that it was made for, before its log tells the same; on a later open the stored one counts.
   */
  readonly historyEpoch?: number
}

const FORMAT_VERSION = 1
const FILE = 'identity'
const TEMP_FILE = 'identity.tmp'
const LOCK_FILE = 'lock'
/** Names that a crash before the identity was written may have left. */
const OWN_BEFORE_IDENTITY = /^(identity\.tmp|lock(\..*)?)$/
const LOST =
  'open with durability os when the machine went down: what it acknowledged may be gone; remove ' +
  'the directory and add the node under a new id'
const COMPARED = ['clusterId', 'nodeId', 'engine', 'durability'] as const

export const checksumOf = (bytes: Uint8Array): number => crc32(bytes)

/** Of what makes two directories different; segment headers carry it. */
export const identityHashOf = (identity: Identity): number =>
  checksumOf(Buffer.from(textOf(identity)))

/**
 * Checks or makes the directory, and locks it. With durability `os` the lock is on the disk before
 * anything is promised: one of an earlier boot says that what was written then may be gone (R5).
 * @param acceptsLostDisk open it nevertheless
 * @returns the identity as stored
 * @throws ReplicaError E_DATA_DIR with the directory untouched
 */
export function enterDir(
  storage: Storage,
  dir: string,
  wanted: Identity,
  acceptsLostDisk = false,
): Identity {
  const names = storage.list(dir)
  const stored = names === null ? null : readIdentity(storage, dir, names)
  if (stored !== null) compare(dir, stored, wanted)
  if (names === null) storage.makeDir(dir)
  const lock = joinPath(dir, LOCK_FILE)
  const isUnsynced = wanted.durability === 'os'
  const isLost = isUnsynced && !acceptsLostDisk && storage.isOfOtherBoot(lock)
  if (isLost) refuse(dir, LOST)
  const holder = storage.tryLock(lock)
  if (holder !== null) refuse(dir, `in use by ${holder}`)
  try {
    if (isUnsynced) syncLock(storage, dir, lock)
    return stored ?? writeIdentity(storage, dir, wanted)
  } catch (error) {
    leaveDir(storage, dir)
    throw error
  }
}

function syncLock(storage: Storage, dir: string, lock: string): void {
  const file = storage.open(lock, 'read')
  storage.datasync(file)
  storage.close(file)
  storage.syncDir(dir)
}

export const leaveDir = (storage: Storage, dir: string): void =>
  storage.unlock(joinPath(dir, LOCK_FILE))

/** Null: an empty directory. */
export function readIdentity(
  storage: Storage,
  dir: string,
  names: readonly string[],
): Identity | null {
  if (!names.includes(FILE)) {
    const foreign = names.find((name) => !OWN_BEFORE_IDENTITY.test(name))
    return foreign === undefined
      ? null
      : refuse(dir, `not empty (${foreign}) and no data directory`)
  }
  const file = storage.open(joinPath(dir, FILE), 'read')
  const bytes = new Uint8Array(storage.sizeOf(file))
  storage.pread(file, bytes, 0)
  storage.close(file)
  return parse(dir, Buffer.from(bytes).toString('utf8'))
}

function writeIdentity(storage: Storage, dir: string, identity: Identity): Identity {
  const temp = joinPath(dir, TEMP_FILE)
  if (storage.list(dir)?.includes(TEMP_FILE)) storage.unlink(temp)
  const text = textOf(identity)
  const file = storage.create(temp)
  storage.pwrite(file, Buffer.from(`${text}\n${checksumOf(Buffer.from(text))}\n`), 0)
  storage.datasync(file)
  storage.close(file)
  storage.rename(temp, joinPath(dir, FILE))
  storage.syncDir(dir)
  const parent = dir.slice(0, dir.lastIndexOf('/'))
  if (parent !== '') storage.syncDir(parent)
  return identity
}

function textOf(identity: Identity): string {
  const { clusterId, nodeId, incarnation, engine, durability, historyEpoch = 0 } = identity
  const formatVersion = FORMAT_VERSION
  const fields = { formatVersion, clusterId, nodeId, incarnation, engine, durability }
  return JSON.stringify(historyEpoch === 0 ? fields : { ...fields, historyEpoch })
}

function parse(dir: string, text: string): Identity {
  const [json = '', sum] = text.split('\n')
  if (sum !== String(checksumOf(Buffer.from(json)))) refuse(dir, 'its identity file is damaged')
  const parsed = JSON.parse(json) as Identity & { formatVersion: number }
  const { formatVersion, ...identity } = parsed
  if (formatVersion !== FORMAT_VERSION) {
    refuse(dir, `format ${formatVersion}, this program reads format ${FORMAT_VERSION}`)
  }
  return identity
}

function compare(dir: string, stored: Identity, wanted: Identity): void {
  for (const key of COMPARED) {
    if (stored[key] === wanted[key]) continue
    refuse(dir, `belongs to ${key} ${stored[key]}, not ${wanted[key]}`)
  }
}

function refuse(dir: string, problem: string): never {
  throw new ReplicaError('E_DATA_DIR', `${dir}: ${problem}`, { problem })
}
