/**
 * Which snapshot a node starts from, and where its log stands then. Runs where the log is opened,
 * before anything is taken from either.
 *
 * Invariants: only a snapshot that was read whole, of this cluster, and that the log continues; a
 * damaged one is set aside, never used and never deleted; a log that ends before a snapshot has
 * lost what was synced (R15), and the node does not start.
 */
import { ReplicaError, hasCode } from '../base/errors.ts'
import { type Storage, joinPath } from '../base/storage.ts'
import type { LogIndex } from '../core/ids.ts'
import type { Recovered } from './open.ts'
import { snapshotPath, snapshotsAmong, temporariesAmong } from './snapshot-file.ts'
import { type SnapshotInfo, verifySnapshot } from './snapshot-read.ts'

export interface FoundSnapshot {
  readonly index: LogIndex
  readonly chain: number
  readonly sizeBytes: number
  readonly path: string
}

export interface SnapshotStart {
  /** Null: the state machine starts with nothing. */
  readonly snapshot: FoundSnapshot | null
  /** Index of the next older one that is good; 0: there is none. */
  readonly older: LogIndex
  /** Names of files that were set aside. */
  readonly damaged: readonly string[]
}

/** @throws ReplicaError E_DATA_DIR, E_DISK */
export function chooseSnapshot(
  storage: Storage,
  dir: string,
  clusterHash: number,
  log: Recovered,
): SnapshotStart {
  const names = storage.list(dir) ?? []
  for (const name of temporariesAmong(names)) storage.unlink(joinPath(dir, name))
  const damaged: string[] = []
  const good: SnapshotInfo[] = []
  for (const index of snapshotsAmong(names)) {
    const info = infoOrNull(storage, snapshotPath(dir, index))
    if (info === null) damaged.push(setAside(storage, dir, index))
    else if (fits(dir, info, clusterHash, log)) good.push(info)
  }
  const [newest, older] = good
  const snapshot = newest === undefined ? null : foundAt(dir, newest)
  return { snapshot, older: (older?.index ?? 0) as LogIndex, damaged }
}

function foundAt(dir: string, { index, chain, sizeBytes }: SnapshotInfo): FoundSnapshot {
  return { index: index as LogIndex, chain, sizeBytes, path: snapshotPath(dir, index) }
}

function infoOrNull(storage: Storage, path: string): SnapshotInfo | null {
  try {
    return verifySnapshot(storage, path)
  } catch (error) {
    if (hasCode(error, 'E_SNAPSHOT_CORRUPT')) return null
    throw error
  }
}

function setAside(storage: Storage, dir: string, index: number): string {
  const path = snapshotPath(dir, index)
  storage.rename(path, `${path}.damaged`)
  return `${path.slice(dir.length + 1)}.damaged`
}

/** False: whole, and of no use any more, since the log behind it is gone. */
function fits(dir: string, info: SnapshotInfo, clusterHash: number, log: Recovered): boolean {
  const { index } = info
  if (info.clusterHash !== clusterHash) refuse(dir, `its snapshot ${index} is of another cluster`)
  if (index > log.last) {
    refuse(dir, `the log ends at ${log.last}, before its snapshot ${index}: synced log was lost`)
  }
  const chain = index === log.floor ? log.floorChain : chainAt(log, index)
  if (chain !== null && chain !== info.chain) {
    refuse(dir, `the log has another history than its snapshot ${index}`)
  }
  return index + 1 >= log.retainedFirst
}

/** Null: not known any more. */
function chainAt({ marks, floor }: Recovered, index: number): number | null {
  if (index < floor) return null
  return marks.find(({ through }) => through === index)?.chain ?? -1
}

function refuse(dir: string, problem: string): never {
  throw new ReplicaError('E_DATA_DIR', `${dir}: ${problem}`, { problem })
}

/** What a snapshot holds is chosen, also where no record on this disk says so yet. */
export function startAt(log: Recovered, { snapshot }: SnapshotStart): Recovered {
  if (snapshot === null || snapshot.index <= log.floor) return log
  const { index: floor, chain: floorChain } = snapshot
  const marks = log.marks.filter(({ through }) => through > floor)
  return { ...log, floor, floorChain, floorContinues: false, marks }
}
