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
const LOCK_FILE = 'lock'
/** Of durability `os`, while the directory is open, and after a disorderly end. */
const BOOT_FILE = 'boot'
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
 * Checks or makes the directory, and locks it.
 * @returns the identity as stored
 * @throws ReplicaError E_DATA_DIR with the directory untouched
 */
export function enterDir(storage: Storage, dir: string, wanted: Identity): Identity {
  const names = storage.list(dir)
  const stored = names === null ? null : readIdentity(storage, dir, names)
  if (stored !== null) compare(dir, stored, wanted)
  if (names === null) storage.makeDir(dir)
  const holder = storage.tryLock(joinPath(dir, LOCK_FILE))
  if (holder !== null) refuse(dir, `in use by ${holder}`)
  try {
    return stored ?? writeIdentity(storage, dir, wanted)
  } catch (error) {
    leaveDir(storage, dir)
    throw error
  }
}

export const leaveDir = (storage: Storage, dir: string): void =>
  storage.unlock(joinPath(dir, LOCK_FILE))

/**
 * Durability `os`: writes down, synced, in which boot of the machine the directory is open. What is
 * there already stays until a close in order: of another boot, it says that what was acknowledged
 * then may be gone (R5).
 * @param acceptsLost go on nevertheless
 * @throws ReplicaError E_DATA_DIR
 */
export function noteBoot(storage: Storage, dir: string, acceptsLost: boolean): void {
  const own = Buffer.from(storage.bootId())
  if (!storage.list(dir)!.includes(BOOT_FILE)) return writeWhole(storage, dir, BOOT_FILE, own)
  const isOther = !own.equals(readWhole(storage, joinPath(dir, BOOT_FILE)))
  if (isOther && !acceptsLost) refuse(dir, LOST)
}

/** Everything is on the disk: no end of a boot can cost anything. */
export function forgetBoot(storage: Storage, dir: string): void {
  storage.unlink(joinPath(dir, BOOT_FILE))
  storage.syncDir(dir)
}

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
  return parse(dir, readWhole(storage, joinPath(dir, FILE)).toString('utf8'))
}

function readWhole(storage: Storage, path: string): Buffer {
  const file = storage.open(path, 'read')
  const bytes = Buffer.alloc(storage.sizeOf(file))
  storage.pread(file, bytes, 0)
  storage.close(file)
  return bytes
}

function writeIdentity(storage: Storage, dir: string, identity: Identity): Identity {
  const text = textOf(identity)
  const sum = checksumOf(Buffer.from(text))
  writeWhole(storage, dir, FILE, Buffer.from(`${text}\n${sum}\n`))
  const parent = dir.slice(0, dir.lastIndexOf('/'))
  if (parent !== '') storage.syncDir(parent)
  return identity
}

/** A new file, there whole or not at all. */
function writeWhole(storage: Storage, dir: string, name: string, bytes: Uint8Array): void {
  const temp = joinPath(dir, `${name}.tmp`)
  if (storage.list(dir)?.includes(`${name}.tmp`)) storage.unlink(temp)
  const file = storage.create(temp)
  storage.pwrite(file, bytes, 0)
  storage.datasync(file)
  storage.close(file)
  storage.rename(temp, joinPath(dir, name))
  storage.syncDir(dir)
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
