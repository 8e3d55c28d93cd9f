/**
 * Phase 1 of the own ballot: promise to itself, prepare, collect promises, adopt the log with the
 * greatest (acceptedBallot, last), fetch its missing suffix, install it (R3, R4, R7, R8, R9).
 * Pure; decision loop only.
 *
 * Invariant: no accept of the ballot leaves before `adopt`, and after it the adopted log is final.
 */
import { assert } from '../../base/assert.ts'
import { type FrameRef, throughOf } from '../frame-ref.ts'
import { type LogIndex, type NodeId, ballotAbove } from '../ids.ts'
import { promiseBallot, promiseOf } from './acceptor.ts'
import { becomeLeader, resetPeer, resign } from './leader.ts'
import { beginSync, commitSync, dropSync, extendSync } from './log.ts'
import type { Fetch, Fetched, Promise1 } from './messages.ts'
import {
  type Candidacy,
  type Effects,
  type PromiseInfo,
  type State,
  FRAMES_MAX,
  event,
  isElectable,
  isVoter,
  peerOf,
  read,
  replyDurably,
  send,
} from './state.ts'
import { chainAt, gather, lastOf } from './tail.ts'

/** Stands for leadership in a ballot above all that this node has seen; never an old one (R4). */
export function standForLeader(state: State, effects: Effects): void {
  assert(isElectable(state.self), 'only an electable member stands')
  if (state.leadership !== null || state.candidacy !== null) resign(state, effects)
  const above = Math.max(state.promised, state.seen) as typeof state.promised
  const ballot = ballotAbove(above, state.self.id)
  state.seen = ballot
  promiseBallot(state, effects, ballot)
  state.candidacy = {
    ballot,
    startedAt: state.now,
    progressAt: state.now,
    selfPromised: false,
    promises: new Map(),
    source: null,
    fetchAskedAt: 0,
  }
  event(effects, 'prepare-started', ballot)
  replyDurably(state, state.self.id, promiseOf(state, ballot))
}

export function onPromise(state: State, from: NodeId, message: Promise1, effects: Effects): void {
  const { candidacy, leadership } = state
  if (leadership !== null && message.ballot === leadership.ballot) {
    const peer = peerOf(state, from)
    if (peer !== undefined) resetPeer(state, effects, peer, message)
    return
  }
  if (candidacy === null || message.ballot !== candidacy.ballot) return
  const { acceptedBallot, last, floor, floorChain } = message
  candidacy.promises.set(from, { from, acceptedBallot, last, floor, floorChain })
  if (from === state.self.id) onOwnPromise(state, candidacy, effects)
  evaluate(state, candidacy, effects)
}

/** The own promise is durable: now, and not before, the first prepare leaves (R3). */
function onOwnPromise(state: State, candidacy: Candidacy, effects: Effects): void {
  if (candidacy.selfPromised) return
  candidacy.selfPromised = true
  for (const peer of state.peers) {
    if (!isVoter(peer.role)) continue
    if (peer.up) send(effects, peer.id, { kind: 'prepare', ballot: candidacy.ballot })
  }
}

function evaluate(state: State, candidacy: Candidacy, effects: Effects): void {
  if (!candidacy.selfPromised || candidacy.promises.size < state.quorum) return
  if (candidacy.source !== null) return
  let best: PromiseInfo = candidacy.promises.get(state.self.id)!
  for (const promise of candidacy.promises.values()) {
    const longer = promise.acceptedBallot === best.acceptedBallot && promise.last > best.last
    if (promise.acceptedBallot > best.acceptedBallot || longer) best = promise
  }
  // A log that is shorter than a prefix known chosen cannot be the one: wait for more promises.
  if (state.floor > best.last) return
  for (const { floor } of candidacy.promises.values()) if (floor > best.last) return
  openAdoption(state, effects, best)
  if (best.from === state.self.id) return adopt(state, candidacy, best, effects)
  if (best.last === state.pendingSync!.last) return adopt(state, candidacy, best, effects)
  candidacy.source = best
  askSource(state, candidacy, best, effects)
}

/** The own log up to where it surely equals the adopted one stays; the rest is replaced (R11). */
function openAdoption(state: State, effects: Effects, best: PromiseInfo): void {
  const last = lastOf(state.tail)
  const same = best.acceptedBallot === state.acceptedBallot
  const syncPoint = same ? (Math.min(last, best.last) as LogIndex) : state.floor
  beginSync(state, effects, state.promised, { syncPoint, adoptedLast: best.last })
}

function askSource(
  state: State,
  candidacy: Candidacy,
  source: PromiseInfo,
  effects: Effects,
): void {
  const { ballot } = candidacy
  const { acceptedBallot, last: through } = source
  const from = (state.pendingSync!.last + 1) as LogIndex
  candidacy.fetchAskedAt = state.now
  send(effects, source.from, { kind: 'fetch', ballot, acceptedBallot, from, through })
}

/** The other side: this node holds the log that a candidate wants. */
export function onFetch(state: State, from: NodeId, message: Fetch, effects: Effects): void {
  const { ballot, acceptedBallot, through } = message
  const prev = (message.from - 1) as LogIndex
  const holds = acceptedBallot === state.acceptedBallot && through <= lastOf(state.tail)
  const serves = (holds || through <= state.floor) && prev < through
  if (ballot !== state.promised || !serves) {
    return send(effects, from, { kind: 'fetched', ballot, acceptedBallot, prev, through: prev })
  }
  const frames = gather(state.tail, message.from, through, limitsOf(state))
  if (frames.length > 0) return sendFetched(effects, from, message, frames)
  const purpose = { kind: 'fetch', peer: from, ballot, accepted: acceptedBallot, prev } as const
  read(state, effects, purpose, { from: message.from, through })
}

export function sendFetched(
  effects: Effects,
  to: NodeId,
  asked: { readonly ballot: Fetch['ballot']; readonly acceptedBallot: Fetch['acceptedBallot'] },
  frames: readonly FrameRef[],
): void {
  const { ballot, acceptedBallot } = asked
  const prev = (frames[0]!.first - 1) as LogIndex
  const through = throughOf(frames.at(-1)!)
  send(effects, to, { kind: 'fetched', ballot, acceptedBallot, prev, through }, frames)
}

export function onFetched(
  state: State,
  from: NodeId,
  message: Fetched,
  frames: readonly FrameRef[],
  effects: Effects,
): void {
  const { candidacy, pendingSync } = state
  if (candidacy === null || message.ballot !== candidacy.ballot || pendingSync === null) return
  const { source } = candidacy
  if (source === null || source.from !== from) return
  if (message.acceptedBallot !== source.acceptedBallot || message.prev !== pendingSync.last) return
  if (frames.length === 0) return dropSource(state, candidacy, effects)
  extendSync(state, effects, frames)
  candidacy.progressAt = state.now
  if (pendingSync.last < source.last) return askSource(state, candidacy, source, effects)
  event(effects, 'suffix-fetched', from)
  adopt(state, candidacy, source, effects)
}

/** The source is gone or has moved on: its promise may be dropped, the rest must do (R7). */
export function dropSource(state: State, candidacy: Candidacy, effects: Effects): void {
  if (candidacy.source === null) return
  candidacy.promises.delete(candidacy.source.from)
  candidacy.source = null
  dropSync(state)
  evaluate(state, candidacy, effects)
}

/** A source that is silent too long is dropped; without another one the ballot fails (R19). */
export function tickCandidacy(state: State, effects: Effects): void {
  const { candidacy } = state
  if (candidacy === null) return
  const timeoutMs = state.config.electionTimeoutMs
  if (candidacy.source !== null && state.now - candidacy.fetchAskedAt > timeoutMs) {
    dropSource(state, candidacy, effects)
  }
}

/**
 * Final: the adopted log becomes the own log under the ballot, and the leader starts. A chosen
 * prefix that a promise reported must be a prefix of it (R7); checked where marks are kept.
 */
function adopt(state: State, candidacy: Candidacy, best: PromiseInfo, effects: Effects): void {
  const sync = state.pendingSync
  assert(sync !== null && sync.last === best.last, 'the adopted log is complete here')
  for (const { floor, floorChain } of candidacy.promises.values()) {
    const pending = sync.marks.find((mark) => mark.through === floor)
    const chain = floor <= sync.syncPoint ? chainAt(state.tail, floor) : (pending?.chain ?? -1)
    if (floor < state.tail.baseIndex || chain === floorChain) continue
    event(effects, 'chain-mismatch', floor)
    return dropSync(state)
  }
  commitSync(state, effects)
  state.candidacy = null
  const { acceptedBallot, last } = best
  becomeLeader(state, effects, candidacy, { acceptedBallot, last })
}

const limitsOf = (state: State) => ({
  sizeBytesMax: state.config.batchBytesMax,
  entriesMax: Number.MAX_SAFE_INTEGER,
  framesMax: FRAMES_MAX,
})
