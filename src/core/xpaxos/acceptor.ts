/**
 * Acceptor: what a node does with prepare, accept-sync, accept and chosen, whatever role it has
 * in the membership that it knows: the sender's may be newer (R6).
 * Pure; decision loop only.
 *
 * Rules: every node answers prepare (R6); an accept is taken only in the state
 * promised = acceptedBallot = its ballot and only behind the own last index (R10); the floor moves
 * only in that state (R14); nothing is answered before it is durable (R3).
 */
import type { FrameRef } from '../frame-ref.ts'
import { type Ballot, type LogIndex, type NodeId, ballotOwner } from '../ids.ts'
import { appendEntries, beginSync, commitSync, dropSync, extendSync } from './log.ts'
import type { Accept, AcceptSync, Chosen, Prepare, Promise1 } from './messages.ts'
import {
  type Effects,
  type State,
  NO_FRAMES,
  event,
  order,
  raiseFloor,
  replyDurably,
  send,
} from './state.ts'
import { chainAt, lastOf } from './tail.ts'

export function onPrepare(state: State, from: NodeId, message: Prepare, effects: Effects): void {
  const { ballot } = message
  // Whatever this node takes itself for: a change that it has not seen may have made it a voter.
  if (ballot < state.promised) return reject(state, effects, from, { ballot, attempt: 0 })
  if (ballot > state.promised) promiseBallot(state, effects, ballot)
  replyDurably(state, from, promiseOf(state, ballot))
}

/** After this nothing below `ballot` is ordered here; an unfinished sync is aborted. */
export function promiseBallot(state: State, effects: Effects, ballot: Ballot): void {
  dropSync(state)
  state.promised = ballot
  state.otherChainAttempt = 0
  state.contentAt = state.now
  order(state, effects, { kind: 'promised', ballot }, NO_FRAMES)
}

export function promiseOf(state: State, ballot: Ballot): Promise1 {
  return {
    kind: 'promise',
    ballot,
    acceptedBallot: state.acceptedBallot,
    last: lastOf(state.tail),
    floor: state.floor,
    floorChain: state.floorChain,
    firstRetained: state.firstRetained,
  }
}

function reject(
  state: State,
  effects: Effects,
  to: NodeId,
  refused: { readonly ballot: Ballot; readonly attempt: number },
): void {
  const { ballot, attempt } = refused
  const last = lastOf(state.tail)
  send(effects, to, { kind: 'reject', ballot, attempt, promised: state.promised, last })
}

export function onAcceptSync(
  state: State,
  from: NodeId,
  message: AcceptSync,
  frames: readonly FrameRef[],
  effects: Effects,
): void {
  const { ballot, prev, through } = message
  const isOwners = ballotOwner(ballot) === from // nobody else orders in it (R4)
  if (!isOwners || ballot !== state.promised) return reject(state, effects, from, message)
  if (state.acceptedBallot === ballot) {
    // A repeated transaction: it was committed here, so its frames are of the log already.
    return acknowledge(state, effects, from, message)
  }
  if (message.attempt === state.otherChainAttempt) return
  if (prev === message.syncPoint && !openSync(state, message, effects)) {
    if (message.attempt === state.otherChainAttempt) return
    return reject(state, effects, from, message)
  }
  const sync = state.pendingSync
  const fits = sync !== null && sync.last === prev && sync.adoptedLast === message.adoptedLast
  if (!fits || (frames.length === 0 && through > prev)) {
    return reject(state, effects, from, message)
  }
  if (frames.length > 0) extendSync(state, effects, frames)
  state.acceptedBatches += 1
  if (sync.last < sync.adoptedLast) return acknowledge(state, effects, from, message)
  commitSync(state, effects)
  acknowledge(state, effects, from, message)
  learnChosen(state, effects, message)
}

/** False when the sync point cannot be this log's: below the floor, unknown, or another history. */
function openSync(state: State, message: AcceptSync, effects: Effects): boolean {
  const { ballot, syncPoint, syncChain, adoptedLast } = message
  if (syncPoint < state.floor || syncPoint > lastOf(state.tail)) return false
  if (adoptedLast < syncPoint) return false
  const chain = chainAt(state.tail, syncPoint)
  if (chain < 0) return false
  if (syncChain >= 0 && chain !== syncChain) {
    event(effects, 'chain-mismatch', syncPoint)
    state.otherChainAttempt = message.attempt
    return false
  }
  beginSync(state, effects, ballot, { syncPoint, adoptedLast })
  return true
}

export function onAccept(
  state: State,
  from: NodeId,
  message: Accept,
  frames: readonly FrameRef[],
  effects: Effects,
): void {
  const { ballot } = message
  if (ballotOwner(ballot) !== from) return reject(state, effects, from, message)
  if (ballot !== state.promised || ballot !== state.acceptedBallot) {
    return reject(state, effects, from, message)
  }
  const last = lastOf(state.tail)
  const fresh = frames.filter((frame) => frame.first > last)
  if (fresh.length > 0) {
    if (fresh[0]!.first !== last + 1) return reject(state, effects, from, message)
    appendEntries(state, effects, ballot, fresh)
    state.acceptedBatches += 1
  }
  acknowledge(state, effects, from, message)
  learnChosen(state, effects, message)
}

/** In the accept phase: all that is ordered here. Inside a sync: only that it goes on. */
function acknowledge(
  state: State,
  effects: Effects,
  to: NodeId,
  message: { readonly ballot: Ballot; readonly attempt: number; readonly through: LogIndex },
): void {
  const { ballot, attempt, through } = message
  const committed = state.acceptedBallot === ballot
  if (!committed) {
    // Flow control only: `sync-taken` counts towards no quorum.
    return send(effects, to, { kind: 'sync-taken', ballot, attempt, through })
  }
  replyDurably(state, to, { kind: 'accepted', ballot, attempt, through: lastOf(state.tail) })
}

export function onChosen(state: State, message: Chosen, effects: Effects): void {
  learnChosen(state, effects, message)
}

/**
 * Moves the floor to what the leader says is chosen, as far as the own log reaches: true only
 * while this log is a prefix of that leader's, that is while acceptedBallot is its ballot; and not
 * while a sync is open, whose sync point the floor would pass (R14).
 */
export function learnChosen(
  state: State,
  effects: Effects,
  message: { readonly ballot: Ballot; readonly chosen: LogIndex; readonly chosenChain: number },
): void {
  const { ballot, chosen, chosenChain } = message
  const follows = ballot === state.promised && ballot === state.acceptedBallot
  if (!follows || chosen <= state.floor) return
  const chain = chainAt(state.tail, chosen)
  if (chain >= 0 && chosenChain >= 0 && chain !== chosenChain) {
    return event(effects, 'chain-mismatch', chosen)
  }
  raiseFloor(state, effects, Math.min(chosen, lastOf(state.tail)) as LogIndex)
}
