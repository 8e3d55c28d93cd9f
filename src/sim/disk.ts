/**
 * The simulated disk of a node, one of two kinds. `record-disk.ts` keeps the encoded envelopes of
 * the WAL codec and folds them again at a restart; `wal-disk.ts` runs the real src/wal over a
 * simulated file system with torn writes. The node driver sees this face only.
 *
 * Invariants: what `sync` covered comes back after every crash; of the rest some prefix does.
 */
import type { LogIndex, Lsn } from '../core/ids.ts'
import type { WalRecord } from '../core/records.ts'
import type { ChainMark, ConfigMark } from '../wal/fold.ts'
import type { Frame } from './frames.ts'
import type { Random } from './random.ts'
import type { Stored } from './log.ts'

/** What a restart finds: the fold of the WAL, for whichever engine. */
export interface Found {
  readonly promised: number
  readonly acceptedBallot: number
  readonly last: number
  readonly floor: number
  readonly floorChain: number
  readonly floorContinues: boolean
  readonly marks: readonly ChainMark[]
  /** Config batches of the log, ascending, as bytes. */
  readonly configs: readonly ConfigMark[]
  readonly firstRetained: LogIndex
  /** What the state machine has from a snapshot; default: nothing. */
  readonly applied?: LogIndex
  /** LSN of the last record that survived. */
  readonly lsn: Lsn
  /** The records themselves, for an engine with a fold of its own. */
  readonly records: readonly Pick<Stored, 'lsn' | 'record' | 'frames'>[]
}

export interface Disk {
  append(lsn: Lsn, record: WalRecord, floor: LogIndex, frames: readonly Frame[]): void
  /** Newest LSN that was appended. */
  readonly lsn: Lsn
  readonly durableLsn: Lsn
  /** Makes everything through `lsn` durable. False: the sync failed, and the node must die. */
  sync(lsn: Lsn, fails: boolean): boolean
  /** Frames back from the disk, or null when the caller's book has to do. */
  read(from: number, through: number, sizeBytesMax: number): Frame[] | null
  /** Power loss or the end of the process; `keepAll`: the page cache survives. */
  crash(random: Random, keepAll: boolean): void
  /** Opens what is there. */
  recover(): Found
}
