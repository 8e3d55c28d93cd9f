/**
 * Messages of the X-Paxos core, as data. On a link each is one 128-byte cell, followed by frames
 * where noted (codec/message.ts). Numbers only; flags are 0 or 1. docs/protocol.md has the table
 * of senders, receivers and durability.
 */
import type { Ballot, LogIndex } from '../ids.ts'

/** First message of a link session, both ways. */
export interface Hello {
  readonly kind: 'hello'
  readonly promised: Ballot
  readonly acceptedBallot: Ballot
  readonly last: LogIndex
  readonly floor: LogIndex
}
/**
 * Opens a heartbeat round. `ballot` is the sender's own while it leads in phase 2, else 0; only
 * then the last three mean something (purge.ts).
 */
export interface Heartbeat {
  readonly kind: 'heartbeat'
  readonly round: number
  readonly ballot: Ballot
  readonly chosen: LogIndex
  readonly chosenChain: number
  /** 1: `chosen` covers all that was announced, by earlier leaders too (R33). */
  readonly knows: number
  /** On the disk of every member, those that are away included. */
  readonly held: LogIndex
  /** On the disk of every voter that keeps a state machine. */
  readonly heldByData: LogIndex
  /** Chosen, and on the sender's own disk. */
  readonly leaderHolds: LogIndex
}
export interface HeartbeatReply {
  readonly kind: 'heartbeat-reply'
  readonly round: number
  /** The replier's promised ballot: whom it follows. */
  readonly promised: Ballot
  readonly content: number
  /** It hears a prepare quorum: it could lead. */
  readonly connected: number
  /** What the replier has on its disk and knows chosen: where a learner's stream may go on. */
  readonly last: LogIndex
  readonly firstRetained: LogIndex
  /** 1: its log has reached a bound that it must not trim below. */
  readonly full: number
}
export interface Prepare {
  readonly kind: 'prepare'
  readonly ballot: Ballot
}
/** Sent when everything it reports is durable (R3). */
export interface Promise1 {
  readonly kind: 'promise'
  readonly ballot: Ballot
  readonly acceptedBallot: Ballot
  readonly last: LogIndex
  readonly floor: LogIndex
  readonly floorChain: number
  readonly firstRetained: LogIndex
}
/** A candidate asks for frames [from, through] of the log accepted under `acceptedBallot`. */
export interface Fetch {
  readonly kind: 'fetch'
  readonly ballot: Ballot
  readonly acceptedBallot: Ballot
  readonly from: LogIndex
  readonly through: LogIndex
}
/** Answer to fetch, with frames (from .. through]; through = prev refuses. */
export interface Fetched {
  readonly kind: 'fetched'
  readonly ballot: Ballot
  readonly acceptedBallot: Ballot
  readonly prev: LogIndex
  readonly through: LogIndex
}
/** One step of the accept-sync transaction (R12), with the frames (prev .. through]. */
export interface AcceptSync {
  readonly kind: 'accept-sync'
  readonly ballot: Ballot
  readonly attempt: number
  readonly syncPoint: LogIndex
  readonly syncChain: number // -1: the leader no longer knows it
  readonly adoptedLast: LogIndex
  readonly prev: LogIndex
  readonly through: LogIndex
  readonly chosen: LogIndex
  readonly chosenChain: number
}
/** Pipelined accept, with the frames (prev .. through]. */
export interface Accept {
  readonly kind: 'accept'
  readonly ballot: Ballot
  readonly attempt: number
  readonly prev: LogIndex
  readonly through: LogIndex
  readonly chosen: LogIndex
  readonly chosenChain: number
}
/** The sender holds the leader's log through `through` on its disk. */
export interface Accepted {
  readonly kind: 'accepted'
  readonly ballot: Ballot
  readonly attempt: number
  readonly through: LogIndex
}
/** A step of an open accept-sync arrived: flow control, counts towards no quorum. */
export interface SyncTaken {
  readonly kind: 'sync-taken'
  readonly ballot: Ballot
  readonly attempt: number
  readonly through: LogIndex
}
/** An accept, learn or prepare was refused: a higher promise, or a gap behind `last`. */
export interface Reject {
  readonly kind: 'reject'
  readonly ballot: Ballot
  readonly attempt: number
  readonly promised: Ballot
  readonly last: LogIndex
}
/** The chosen index alone, when no accept is about to carry it. */
export interface Chosen {
  readonly kind: 'chosen'
  readonly ballot: Ballot
  readonly chosen: LogIndex
  readonly chosenChain: number
}
/** Chosen entries for a learner, with the frames (prev .. through] (R31). */
export interface Learn {
  readonly kind: 'learn'
  readonly attempt: number
  readonly prev: LogIndex
  readonly prevChain: number // -1: the sender no longer knows it
  readonly through: LogIndex
  /** Index of the sender's newest chosen config batch: there the receiver is a learner. */
  readonly config: LogIndex
}
export interface Learned {
  readonly kind: 'learned'
  readonly attempt: number
  readonly through: LogIndex
}
/** A round of reads: does the voter still follow this ballot? (R33) */
export interface Confirm {
  readonly kind: 'confirm'
  readonly ballot: Ballot
  readonly round: number
  /** 1: it asks for a lease as well (R34). */
  readonly lease: number
}
/** Counts only when `promised` is the ballot that asks. */
export interface Confirmed {
  readonly kind: 'confirmed'
  readonly ballot: Ballot
  readonly round: number
  readonly promised: Ballot
  /** 1: no other node's ballot is promised for a lease length from the receipt (R34). */
  readonly granted: number
}
/** A prepare was refused: another leader holds a lease here. */
export interface LeaseHeld {
  readonly kind: 'lease-held'
  readonly ballot: Ballot
  readonly leftMs: number
}
/** The holder gives its lease back: it ordered another node to stand (R24). */
export interface LeaseReleased {
  readonly kind: 'lease-released'
  readonly ballot: Ballot
}
/** A follower or learner wants an index for all its reads that wait. */
export interface ReadIndex {
  readonly kind: 'read-index'
  readonly request: number
}
export interface ReadIndexReply {
  readonly kind: 'read-index-reply'
  readonly request: number
  readonly index: LogIndex
}
/** The same for reads by lease: answered at once, by the leader's lease or with a no. */
export interface LeaseIndex {
  readonly kind: 'lease-index'
  readonly request: number
}
export interface LeaseIndexReply {
  readonly kind: 'lease-index-reply'
  readonly request: number
  readonly index: LogIndex
  /** 1: the lease was valid when `index` had been read; 0: ask for a round instead. */
  readonly valid: number
}

/** From the leader of `ballot`: stand for leadership now, whoever is content (R24). */
export interface TakeOver {
  readonly kind: 'take-over'
  readonly ballot: Ballot
}
/** The receiver is no member any more, by the config batch at `index` (R30). */
export interface Removed {
  readonly kind: 'removed'
  readonly index: LogIndex
}

export type XPaxosMessage =
  | Hello
  | Heartbeat
  | HeartbeatReply
  | Prepare
  | Promise1
  | Fetch
  | Fetched
  | AcceptSync
  | Accept
  | Accepted
  | SyncTaken
  | Reject
  | Chosen
  | Learn
  | Learned
  | TakeOver
  | Removed
  | Confirm
  | Confirmed
  | LeaseHeld
  | LeaseReleased
  | ReadIndex
  | ReadIndexReply
  | LeaseIndex
  | LeaseIndexReply
