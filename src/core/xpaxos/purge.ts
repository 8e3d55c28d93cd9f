/**
 * Which part of the log nobody needs any more: the leader counts, everybody trims by its word and
 * by its own role (stages/retention.ts). Pure; decision loop only.
 *
 * Invariants: `held <= heldByData`, both true of the chosen log for ever, whoever counted them, so
 * they never fall; `leaderHolds` is the present leader's and ends with its ballot. Members that are
 * away count with what they are known to hold (R32): else a Logger would trim what an absent
 * follower will need from it.
 */
import { type Ballot, type LogIndex, NO_BALLOT, NO_INDEX } from '../ids.ts'
import { isVoter, keepsState } from '../membership.ts'
import type { Heartbeat, HeartbeatReply } from './messages.ts'
import type { Peer, State } from './state.ts'

export interface Purge {
  /** On the disk of every member. */
  held: LogIndex
  /** On the disk of every voter with a state machine: phase 1 can do without a Logger. */
  heldByData: LogIndex
  /** Chosen, and on the disk of the leader of `ballot`. */
  leaderHolds: LogIndex
  ballot: Ballot
  /** This log has reached its bound, and policy forbids to trim on (open choice 1). */
  isFull: boolean
}

export const createPurge = (): Purge => ({
  held: NO_INDEX,
  heldByData: NO_INDEX,
  leaderHolds: NO_INDEX,
  ballot: NO_BALLOT,
  isFull: false,
})

/** The leader counts, once a round; what it says is durable there, and chosen. */
export function countHeld(state: State): void {
  const { purge, leadership, peers } = state
  const own = Math.min(state.floor, state.durable)
  let held = own
  let heldByData = own
  for (const peer of peers) {
    const isData = isVoter(peer.role) && keepsState(peer.role)
    if (isData) heldByData = Math.min(heldByData, peer.matched)
    // No log helps a learner or Logger that needs a snapshot; a voter counts all the same.
    if (isData || peer.phase !== 'behind-trim') held = Math.min(held, peer.matched)
  }
  purge.held = atLeast(purge.held, held)
  purge.heldByData = atLeast(purge.heldByData, heldByData)
  purge.leaderHolds = own as LogIndex
  purge.ballot = leadership!.ballot
}

/** What a leader said: its own log counts only while it is the one that this node follows. */
export function noteHeld({ purge, promised }: State, message: Heartbeat): void {
  purge.held = atLeast(purge.held, message.held)
  purge.heldByData = atLeast(purge.heldByData, message.heldByData)
  if (message.ballot !== promised) return
  purge.leaderHolds = message.leaderHolds
  purge.ballot = message.ballot
}

const atLeast = (known: LogIndex, index: number): LogIndex => Math.max(known, index) as LogIndex

/** Nothing while another ballot is promised: its leader has said nothing yet. */
export const leaderHoldsOf = ({ purge, promised }: State): LogIndex =>
  purge.ballot === promised ? purge.leaderHolds : NO_INDEX

export function noteKept(peer: Peer, { firstRetained, full }: HeartbeatReply): void {
  peer.firstRetained = firstRetained
  peer.isFull = full === 1
}
