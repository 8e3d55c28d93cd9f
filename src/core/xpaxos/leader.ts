/**
 * Phase 2 of the own ballot: order what clients submitted, stream it to every member, count,
 * choose. Pure; decision loop only.
 *
 * Invariants: only accepted answers of the own ballot count (R13), the own one like any other and
 * only when durable (R9); a stream starts from a promise, at the sync point of R11; at most
 * `pipelineDepth` batches are ordered and not chosen; at most `windowBytes` fly to one peer.
 */
import { assert } from '../../base/assert.ts'
import { type FrameRef, adjoins, throughOf } from '../frame-ref.ts'
import { type Ballot, type LogIndex, NO_INDEX, type NodeId, ballotOwner } from '../ids.ts'
import { MEMBERS_MAX, type Membership, isVoter } from '../membership.ts'
import { concludeAdopted, endChange, noteOrdered, noteProven } from './change.ts'
import { governing, openConfig, provenConfig, refreshPeers } from './configs.ts'
import { withheld } from './forced.ts'
import { appendEntries, dropSync } from './log.ts'
import type { Accepted, Promise1, Reject, SyncTaken } from './messages.ts'
import { noteAccepted } from './read-state.ts'
import {
  type Candidacy,
  type Effects,
  type Leadership,
  type Peer,
  type State,
  event,
  peerOf,
  raiseFloor,
  replyDurably,
  send,
} from './state.ts'
import { feeds, resetStream, sendChosen, startLearner, stream } from './stream.ts'
import { chainAt, isGroupOpen, lastOf } from './tail.ts'
import { endTransfer } from './transfer.ts'

export function becomeLeader(
  state: State,
  effects: Effects,
  candidacy: Candidacy,
  adopted: Leadership['adopted'],
): void {
  const { ballot, promises } = candidacy
  assert(state.acceptedBallot === ballot, 'a leader accepted the adopted log in its own ballot')
  state.leadership = {
    ballot,
    adopted,
    queue: [],
    queueLast: adopted.last,
    rounds: [],
    ownMatched: NO_INDEX,
    quorumThrough: NO_INDEX,
    progressAt: state.now,
    discontentSince: -1,
    strayedSince: -1,
    startedAt: state.now,
    floorAtRound: adopted.last,
    change: null,
    transfer: null,
    closedFor: null,
    leaseBarred: false,
    withheldSince: -1,
  }
  state.backOffCount = 0
  state.fetchesCut = 0
  refreshPeers(state)
  if (adopted.last > state.floor) state.leadership.rounds.push(adopted.last)
  acceptOwn(state)
  for (const peer of state.peers) {
    resetStream(state, peer)
    peer.readySince = -1
    peer.fedHere = false
    if (!isVoter(peer.role)) {
      if (feeds(state, peer)) startLearner(state, peer, peer.matched)
      continue
    }
    peer.matched = NO_INDEX
    const promise = promises.get(peer.id)
    if (promise !== undefined) resetPeer(state, effects, peer, promise)
    else if (peer.up) send(effects, peer.id, { kind: 'prepare', ballot })
  }
  // A config batch with an entry behind it is proven chosen, and so is what lies before it (R27).
  const proven = provenConfig(state.configs, adopted.last)
  raiseFloor(state, effects, withheld(state, state.leadership, proven))
  const next = (adopted.last + 1) as LogIndex
  effects.push({ kind: 'lead', ballot, next, abort: isGroupOpen(state.tail) })
  concludeAdopted(state, effects)
}

/** Gives up candidacy or leadership; the ballot is never resumed (R4). */
export function resign(state: State, effects: Effects): void {
  const { candidacy } = state
  if (candidacy !== null) {
    dropSync(state)
    if (candidacy.progressAt > candidacy.startedAt) state.fetchesCut += 1
  }
  state.candidacy = null
  if (state.leadership === null) return
  for (const frame of state.leadership.queue) frame.kept = false
  endChange(state, effects, 'unknown')
  endTransfer(state, effects)
  state.leadership = null
  for (const peer of state.peers) resetStream(state, peer)
  const owner = ballotOwner(state.promised)
  effects.push({ kind: 'unlead', leader: owner === state.self.id ? 0 : owner })
}

/** A voter promised the ballot: its stream starts at the sync point of R11. */
export function resetPeer(
  state: State,
  effects: Effects,
  peer: Peer,
  promise: Pick<Promise1, 'acceptedBallot' | 'last' | 'floor' | 'floorChain'>,
): void {
  const { leadership } = state
  if (leadership === null || !isVoter(peer.role)) return
  const { adopted, ballot } = leadership
  const isMine = promise.acceptedBallot === ballot
  if (isMine && isImpossible(state, promise.last, effects)) return
  if (!isMine && isChosenElsewhere(state, promise)) return
  resetStream(state, peer)
  peer.phase = 'streaming'
  if (isMine) {
    onMatched(state, peer, promise.last, effects)
    peer.next = (promise.last + 1) as LogIndex
  } else {
    const same = promise.acceptedBallot === adopted.acceptedBallot
    const common = same ? Math.min(promise.last, adopted.last) : promise.floor
    peer.syncPoint = Math.max(common, promise.floor) as LogIndex
    peer.syncThrough = Math.max(adopted.last, peer.syncPoint) as LogIndex
    peer.next = (peer.syncPoint + 1) as LogIndex
    peer.mustSync = true
  }
  stream(state, peer, effects)
}

export function onSubmitted(state: State, ballot: Ballot, frames: readonly FrameRef[]): void {
  const { leadership } = state
  if (leadership === null || ballot !== leadership.ballot) return
  for (const frame of frames) {
    assert(frame.first === leadership.queueLast + 1, 'ingest numbers its frames without holes')
    frame.kept = true
    leadership.queueLast = throughOf(frame)
    leadership.queue.push(frame)
  }
}

/**
 * Orders waiting batches while the pipeline has room, then lets every peer send. What was chosen
 * rides on the next accept; alone it goes once a tick, so that it costs a busy leader nothing.
 */
export function pump(state: State, effects: Effects, isTick: boolean): void {
  const { leadership } = state
  if (leadership === null) return
  const { queue, rounds } = leadership
  let taken = 0
  while (taken < queue.length && rounds.length < state.config.pipelineDepth) {
    if (isClosed(state)) break
    const count = batchLength(state, queue, taken)
    if (rounds.length === 0) leadership.progressAt = state.now
    if (queue[taken]!.config !== undefined) noteOrdered(state, queue[taken]!.first)
    appendEntries(state, effects, leadership.ballot, queue.slice(taken, taken + count))
    taken += count
    rounds.push(lastOf(state.tail))
    acceptOwn(state)
  }
  if (taken > 0) queue.splice(0, taken)
  for (const peer of state.peers) if (feeds(state, peer)) stream(state, peer, effects)
  if (!isTick) return
  for (const peer of state.peers) if (peer.inflight.length === 0) sendChosen(state, peer, effects)
}

/** Nothing goes behind a config batch before it is chosen, adopted ones included (R26, R27). */
const isClosed = (state: State): boolean => openConfig(state) !== null

/** How many waiting frames make the next batch: contiguous, within the limits, at least one. */
function batchLength(state: State, queue: readonly FrameRef[], from: number): number {
  const { batchBytesMax, batchEntriesMax } = state.config
  let sizeBytes = queue[from]!.sizeBytes
  let entries = queue[from]!.count
  let place = from + 1
  for (; place < queue.length; place++) {
    const frame = queue[place]!
    // A config batch is the last entry of the log for a while: it ends one batch, and is the next.
    if (frame.config !== undefined || queue[place - 1]!.config !== undefined) break
    sizeBytes += frame.sizeBytes
    entries += frame.count
    if (sizeBytes > batchBytesMax || entries > batchEntriesMax) break
    if (!adjoins(queue[place - 1]!, frame)) break
  }
  return place - from
}

/** The own count: like any voter's, when all that is ordered so far is durable. */
function acceptOwn(state: State): void {
  const { ballot } = state.leadership!
  const through = lastOf(state.tail)
  replyDurably(state, state.self.id, { kind: 'accepted', ballot, attempt: 0, through })
}

export function onAccepted(state: State, from: NodeId, message: Accepted, effects: Effects): void {
  const { leadership } = state
  if (leadership === null || message.ballot !== leadership.ballot) return
  if (from !== state.self.id) {
    const peer = peerOf(state, from)
    if (peer === undefined) return // it was removed: its late answer counts for nobody
    if (isImpossible(state, message.through, effects)) return
    onMatched(state, peer, message.through, effects)
    return landed(state, peer, message)
  }
  leadership.ownMatched = message.through
  noteAccepted(state, from, message.through)
  choose(state, effects)
}

/**
 * What is chosen there is no prefix of this log: a higher ballot chose it, and this leader has not
 * heard that it is deposed. A voter that was turned learner, and still follows, reports it so.
 */
function isChosenElsewhere(
  { tail }: State,
  { floor, floorChain }: Pick<Promise1, 'floor' | 'floorChain'>,
): boolean {
  return floor >= tail.baseIndex && chainAt(tail, floor) !== floorChain
}

/** A follower holds nothing of this ballot that was never sent: who says so counts for nothing. */
function isImpossible(state: State, through: LogIndex, effects: Effects): boolean {
  if (through <= lastOf(state.tail)) return false
  event(effects, 'chain-mismatch', through)
  return true
}

function onMatched(state: State, peer: Peer, through: LogIndex, effects: Effects): void {
  assert(through <= lastOf(state.tail), 'what is counted is in the own log')
  if (isVoter(peer.role)) noteAccepted(state, peer.id, through)
  if (through <= peer.matched) return
  peer.matched = through
  peer.progressAt = state.now
  choose(state, effects)
}

/** Frees window space: what was sent through `through` has arrived. */
function landed(
  state: State,
  peer: Peer,
  message: { readonly attempt: number; readonly through: LogIndex },
): void {
  if (message.attempt !== peer.attempt) return
  let count = 0
  for (const { through, sizeBytes } of peer.inflight) {
    if (through > message.through) break
    peer.inflightBytes -= sizeBytes
    count += 1
  }
  if (count === 0) return
  peer.inflight.splice(0, count)
  peer.progressAt = state.now
}

export function onSyncTaken(state: State, from: NodeId, message: SyncTaken): void {
  const peer = peerOf(state, from)
  const current = state.leadership !== null && message.ballot === state.leadership.ballot
  if (current && peer !== undefined) landed(state, peer, message)
}

/**
 * Chosen = a quorum of the voters that govern the index holds it in this ballot, contiguous from
 * the floor (R13). The floor is what is announced: while a forced member is armed it stays at what
 * that member holds (R21), and nobody, this leader included, takes the rest for more than log.
 */
export function choose(state: State, effects: Effects): void {
  const leadership = state.leadership!
  for (;;) {
    // What is chosen stays so when the next membership governs what lies behind it.
    const reached = quorumMatched(state, governing(state))
    const isMore = reached > leadership.quorumThrough
    if (isMore) noteChosen(state, leadership, reached)
    noteProven(state, leadership, effects)
    const announced = withheld(state, leadership, leadership.quorumThrough)
    if (announced > state.floor) raiseFloor(state, effects, announced)
    else if (!isMore) return
  }
}

/**
 * Its places in the pipeline are free, announced or not: else a silent forced member that withholds
 * a full pipeline would leave none for the batch that takes it out of the rule.
 */
function noteChosen(state: State, leadership: Leadership, through: LogIndex): void {
  const { rounds } = leadership
  leadership.quorumThrough = through
  leadership.progressAt = state.now
  let done = 0
  while (done < rounds.length && rounds[done]! <= through) done += 1
  if (done > 0) rounds.splice(0, done)
}

/** The greatest index that an accept quorum of a membership holds under this ballot. */
function quorumMatched(state: State, { members, acceptQuorum }: Membership): LogIndex {
  let count = 0
  for (const { id, role } of members) {
    if (!isVoter(role)) continue
    const matched = matchedOf(state, id)
    let at = count++
    for (; at > 0 && scratch[at - 1]! < matched; at--) scratch[at] = scratch[at - 1]!
    scratch[at] = matched
  }
  return (scratch[acceptQuorum - 1] ?? 0) as LogIndex
}
const scratch = new Float64Array(MEMBERS_MAX) // descending; used within one call only

/** What a voter holds under this ballot, as far as this leader knows. */
export function matchedOf(state: State, id: NodeId): LogIndex {
  if (id === state.self.id) return state.leadership!.ownMatched
  return peerOf(state, id)?.matched ?? NO_INDEX
}

/** A refusal: a higher promise is the election's business; a gap starts the stream again. */
export function onReject(state: State, from: NodeId, message: Reject, effects: Effects): void {
  const { leadership } = state
  const peer = peerOf(state, from)
  if (peer === undefined) return
  if (!isVoter(peer.role)) {
    const isCurrent = message.attempt === peer.attempt && peer.phase !== 'idle'
    if (isCurrent) startLearner(state, peer, message.last)
    return
  }
  if (leadership === null) return
  if (message.ballot !== leadership.ballot || message.attempt !== peer.attempt) return
  if (message.promised > leadership.ballot || peer.phase === 'idle') return
  restartPeer(state, peer, effects)
}

/** Asks for a fresh promise; its answer says where the stream goes on. */
export function restartPeer(state: State, peer: Peer, effects: Effects): void {
  resetStream(state, peer)
  event(effects, 'peer-reset', peer.id)
  send(effects, peer.id, { kind: 'prepare', ballot: state.leadership!.ballot })
}
