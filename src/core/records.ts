/**
 * What a node writes to its WAL, as data. One record = one envelope cell (codec/record.ts),
 * followed by frames where noted. The order of records is the order of LSNs; the state of a node is
 * the fold of its records (wal/fold.ts), so recovery and the running node cannot disagree.
 */
import type { Ballot, LogIndex } from './ids.ts'

/** Frames (prev .. through] extend the log, accepted under `ballot` (0: learned, R31). */
export interface EntriesRecord {
  readonly kind: 'entries'
  readonly ballot: Ballot
  readonly prev: LogIndex
  readonly through: LogIndex
}
export interface PromisedRecord {
  readonly kind: 'promised'
  readonly ballot: Ballot
}
/** Opens an accept-sync transaction; an older open one is void (R12). */
export interface SyncBeginRecord {
  readonly kind: 'sync-begin'
  readonly ballot: Ballot
  readonly syncPoint: LogIndex
  readonly adoptedLast: LogIndex
}
/** Frames (prev .. through] of the open transaction: not yet part of the log. */
export interface SyncEntriesRecord {
  readonly kind: 'sync-entries'
  readonly ballot: Ballot
  readonly prev: LogIndex
  readonly through: LogIndex
}
/** Ends it: the log is cut behind syncPoint, the pending frames follow, acceptedBallot = ballot. */
export interface SyncCommitRecord {
  readonly kind: 'sync-commit'
  readonly ballot: Ballot
  readonly syncPoint: LogIndex
  readonly through: LogIndex
}
/** Basic Paxos: the acceptor of `instance` promised `ballot`. */
export interface InstancePromisedRecord {
  readonly kind: 'instance-promised'
  readonly instance: LogIndex
  readonly ballot: Ballot
}
/** Basic Paxos: the acceptor of `instance` accepted the one frame that follows, in `ballot`. */
export interface InstanceAcceptedRecord {
  readonly kind: 'instance-accepted'
  readonly instance: LogIndex
  readonly ballot: Ballot
}
/**
 * Basic Paxos: with a frame, a learned value. Without one and with ballot 0: every instance through
 * this one is chosen, each with the last frame written for it.
 */
export interface InstanceChosenRecord {
  readonly kind: 'instance-chosen'
  readonly instance: LogIndex
  readonly ballot: Ballot
}

export type WalRecord =
  | EntriesRecord
  | PromisedRecord
  | SyncBeginRecord
  | SyncEntriesRecord
  | SyncCommitRecord
  | InstancePromisedRecord
  | InstanceAcceptedRecord
  | InstanceChosenRecord
