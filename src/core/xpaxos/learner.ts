/**
 * Learner: takes chosen entries in order, never votes, never cuts what is chosen (R31). What it
 * learns is chosen, so its floor is its last index. And the other side: who feeds which learner.
 * Pure; decision loop only.
 */
import { type FrameRef, chainOf, throughOf } from '../frame-ref.ts'
import { type LogIndex, NO_BALLOT, type NodeId } from '../ids.ts'
import { type ConfigAt, isVoter, memberOf } from '../membership.ts'
import { configAt, newestConfig } from './configs.ts'
import { resign } from './leader.ts'
import { appendEntries, dropSync, turnLearner } from './log.ts'
import type { Learn, Learned } from './messages.ts'
import {
  type Effects,
  type Peer,
  type State,
  event,
  peerOf,
  raiseFloor,
  replyDurably,
  send,
} from './state.ts'
import { feeds, startLearner, stream } from './stream.ts'
import { chainAt, lastOf } from './tail.ts'

export function onLearn(
  state: State,
  from: NodeId,
  message: Learn,
  frames: readonly FrameRef[],
  effects: Effects,
): void {
  const { attempt, prev, prevChain } = message
  // What was accepted as a voter is kept until chosen entries come that may take its place.
  const isTurning = state.acceptedBallot !== NO_BALLOT
  const last = isTurning ? state.floor : lastOf(state.tail)
  if (prev !== last || frames.length === 0) {
    if (isVotersOwn(state, message, newestConfig(state))) return
    const { promised } = state
    return send(effects, from, { kind: 'reject', ballot: NO_BALLOT, attempt, promised, last })
  }
  const chain = chainAt(state.tail, last)
  if (prevChain >= 0 && chain >= 0 && prevChain !== chain) {
    return event(effects, 'chain-mismatch', last)
  }
  const own = isTurning ? ownPrefix(state, frames) : 0
  const confirmed = own === 0 ? last : throughOf(frames[own - 1]!)
  const fresh = frames.slice(own)
  // Chosen is another entry than the own one there: that one is dead, and every config behind it.
  const isDead = fresh.length > 0 && confirmed < lastOf(state.tail)
  const known = isDead ? configAt(state, confirmed) : newestConfig(state)
  const isOwn = isVotersOwn(state, message, known)
  const isSyncing = state.pendingSync !== null
  if (isOwn) {
    if (state.leadership !== null || state.candidacy !== null || isSyncing) return
  } else if (isTurning || isSyncing) {
    resign(state, effects)
    dropSync(state)
  }
  raiseFloor(state, effects, confirmed)
  if (fresh.length > 0 && !isOwn) {
    if (isTurning || isSyncing) turnLearner(state, effects) // on the disk, too, the sync is void
    appendEntries(state, effects, NO_BALLOT, fresh)
    raiseFloor(state, effects, lastOf(state.tail))
  }
  state.acceptedBatches += 1
  replyDurably(state, from, { kind: 'learned', attempt, through: state.floor })
}

/**
 * Learnt frames that this voter accepted itself tell it that they are chosen: its floor rises. Only
 * at the first one that is another, or behind its last, what it accepted ends, and nothing chosen
 * is in what it cuts there. Cutting to the floor at once would lose votes that count: a candidate
 * that knows the old membership alone could lead with this node, and without them.
 * @returns how many of the frames those are
 */
function ownPrefix(state: State, frames: readonly FrameRef[]): number {
  let chain = state.floorChain
  let count = 0
  for (const frame of frames) {
    chain = chainOf(chain, frame.headerCrc)
    if (chainAt(state.tail, throughOf(frame)) !== chain) break
    count += 1
  }
  return count
}

/**
 * True for a voter that knows a newer membership than the sender, a source that has not heard of
 * its promotion: cutting what it accepted since would lose votes that were counted. A sender that
 * knows a newer one, or the same, proves by it that this node is a learner and its votes are not
 * needed: what it names is chosen.
 * @param known the newest config of the own log that may be chosen
 */
function isVotersOwn(state: State, { config }: Learn, known: ConfigAt): boolean {
  const { index, membership } = known
  if (config > index) return false
  if (config < index) return isVoter(state.self.role)
  return isVoter(memberOf(membership, state.self.id)?.role ?? 'learner')
}

/** The source's side: frees window space. */
export function onLearned(state: State, from: NodeId, message: Learned): void {
  const peer = peerOf(state, from)
  if (peer === undefined || isVoter(peer.role)) return
  if (message.attempt !== peer.attempt) return
  while (peer.inflight.length > 0 && peer.inflight[0]!.through <= message.through) {
    peer.inflightBytes -= peer.inflight.shift()!.sizeBytes
  }
  noteLearnt(state, peer, message.through)
}

/** A learner says what it has on its disk, to whoever feeds it or leads. */
export function noteLearnt(state: State, peer: Peer, through: LogIndex): void {
  if (through <= peer.matched) return
  peer.matched = through
  peer.progressAt = state.now
  // From another source, maybe: what flies to it or would fly, and it has, is not waited for.
  while (peer.inflight.length > 0 && peer.inflight[0]!.through <= through) {
    peer.inflightBytes -= peer.inflight.shift()!.sizeBytes
  }
  if (peer.next <= through) peer.next = (through + 1) as LogIndex
}

/** Feeds the learners that have this node as their source. */
export function feedLearners(state: State, effects: Effects): void {
  for (const peer of state.peers) {
    if (!isVoter(peer.role) && feeds(state, peer)) stream(state, peer, effects)
  }
}

/** Once a round: a stream that stands still starts again, and a silent source is replaced (R31). */
export function tendLearner(state: State, peer: Peer, effects: Effects): void {
  const { leadership } = state
  const stuckMs = 2 * state.config.electionTimeoutMs
  const isLate = state.now - peer.progressAt > stuckMs
  if (feeds(state, peer)) {
    const isStuck = peer.inflight.length > 0 && isLate
    // It may have come with a snapshot, or have been fed by another.
    const isBack = peer.phase === 'behind-trim' && peer.next >= state.firstRetained
    // A learner says in its answer where it stands, whatever we believe.
    if (isStuck || isBack || peer.phase === 'idle') startLearner(state, peer, peer.matched)
    return
  }
  if (leadership === null) return
  if (peer.matched >= leadership.floorAtRound) peer.progressAt = state.now
  else if (isLate) {
    peer.fedHere = true
    event(effects, 'source-replaced', peer.id)
    startLearner(state, peer, peer.matched)
  }
}
