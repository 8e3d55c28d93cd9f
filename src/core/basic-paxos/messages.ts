/**
 * Messages of the Basic Paxos core, as data. On a link each is one 128-byte cell, followed by one
 * frame where noted (codec/message.ts). Numbers only. docs/basic-paxos.md has the table of senders,
 * receivers and durability.
 *
 * `known` in every message: the sender knows the chosen value of each instance through it.
 * Receivers learn from it what they miss and what nobody needs to be told again.
 */
import type { Ballot, LogIndex } from '../ids.ts'

/** Phase 1: promise to accept nothing below `ballot` in `instance`. */
export interface BasicPrepare {
  readonly kind: 'basic-prepare'
  readonly instance: LogIndex
  readonly ballot: Ballot
  readonly known: LogIndex
}
/** The promise, sent when durable; with the frame accepted in `acceptedBallot` unless that is 0. */
export interface BasicPromise {
  readonly kind: 'basic-promise'
  readonly instance: LogIndex
  readonly ballot: Ballot
  readonly acceptedBallot: Ballot
  readonly known: LogIndex
}
/** Phase 2: accept the frame that follows. */
export interface BasicAccept {
  readonly kind: 'basic-accept'
  readonly instance: LogIndex
  readonly ballot: Ballot
  readonly known: LogIndex
}
/** The frame of `ballot` is on the sender's disk. */
export interface BasicAccepted {
  readonly kind: 'basic-accepted'
  readonly instance: LogIndex
  readonly ballot: Ballot
  readonly known: LogIndex
}
/** A prepare or accept in `ballot` was refused: the sender has promised a higher one. */
export interface BasicReject {
  readonly kind: 'basic-reject'
  readonly instance: LogIndex
  readonly ballot: Ballot
  readonly promised: Ballot
  readonly known: LogIndex
}
/** Each instance of [first, through] is chosen with the value accepted in `ballot`. */
export interface BasicChosen {
  readonly kind: 'basic-chosen'
  readonly first: LogIndex
  readonly through: LogIndex
  readonly ballot: Ballot
  readonly known: LogIndex
}
/**
 * Asks for the chosen values of [from, through]; what the receiver does not know stays away. It
 * also says that there is something to finish: the sender holds a value or a notice up to there.
 */
export interface BasicLearn {
  readonly kind: 'basic-learn'
  readonly from: LogIndex
  readonly through: LogIndex
  readonly known: LogIndex
}
/** The chosen value of `instance`, with its frame; chosen in `ballot`, 0 when forgotten. */
export interface BasicLearned {
  readonly kind: 'basic-learned'
  readonly instance: LogIndex
  readonly ballot: Ballot
  readonly known: LogIndex
}
/** Says `known` alone: on a new link, after progress, and now and then when idle. */
export interface BasicStatus {
  readonly kind: 'basic-status'
  readonly known: LogIndex
}

export type BasicPaxosMessage =
  | BasicPrepare
  | BasicPromise
  | BasicAccept
  | BasicAccepted
  | BasicReject
  | BasicChosen
  | BasicLearn
  | BasicLearned
  | BasicStatus
