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
import { type Membership, isElectable, memberOf, votersOf } from '../membership.ts'
import { backOff } from './election.ts'
import { forms, liveMemberships, refreshPeers } from './configs.ts'
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
    targets: new Set(),
    source: null,
    fetchAskedAt: 0,
  }
  widen(state, state.candidacy.targets, liveMemberships(state))
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
  prepareTargets(state, candidacy, effects)
}

/** Asks every voter that may be needed and has not answered yet. */
export function prepareTargets(state: State, candidacy: Candidacy, effects: Effects): void {
  const { ballot, promises, targets } = candidacy
  for (const id of targets) {
    const isOpen = state.linksUp.has(id) && !promises.has(id)
    if (isOpen) send(effects, id, { kind: 'prepare', ballot })
  }
}

/** Adds the voters of memberships; true when there was a new one. */
function widen(state: State, targets: Set<NodeId>, memberships: readonly Membership[]): boolean {
  const before = targets.size
  for (const membership of memberships) {
    for (const { id } of votersOf(membership)) if (id !== state.self.id) targets.add(id)
  }
  return targets.size > before
}

/**
 * With a prepare quorum of a membership at hand the best log is fetched; whether the promises are
 * enough is decided by the memberships that it holds (R28), in `conclude`.
 */
function evaluate(state: State, candidacy: Candidacy, effects: Effects): void {
  const { promises, source } = candidacy
  const hasPromised = (id: NodeId): boolean => promises.has(id)
  if (!candidacy.selfPromised) return
  const live = liveMemberships(state)
  if (!live.some((membership) => forms(membership, 'prepare', hasPromised))) return
  let best: PromiseInfo = promises.get(state.self.id)!
  for (const promise of promises.values()) {
    const longer = promise.acceptedBallot === best.acceptedBallot && promise.last > best.last
    if (promise.acceptedBallot > best.acceptedBallot || longer) best = promise
  }
  // A log that is shorter than a prefix known chosen cannot be the one: wait for more promises.
  if (state.floor > best.last) return
  for (const { floor } of promises.values()) if (floor > best.last) return
  const isSame = source?.acceptedBallot === best.acceptedBallot && source.last === best.last
  if (isSame && state.pendingSync !== null) {
    if (isFetched(state, source)) conclude(state, candidacy, source, effects)
    return
  }
  candidacy.source = best
  openAdoption(state, effects, best)
  if (isFetched(state, best)) return conclude(state, candidacy, best, effects)
  askSource(state, candidacy, best, effects)
}

const isFetched = (state: State, { last }: PromiseInfo): boolean => state.pendingSync!.last === last

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
  conclude(state, candidacy, source, effects)
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
  const { source } = candidacy
  if (source === null || state.pendingSync === null || isFetched(state, source)) return
  if (state.now - candidacy.fetchAskedAt > timeoutMs) dropSource(state, candidacy, effects)
}

/**
 * The adopted log is here in full. It is adopted once the promises hold a prepare quorum of its
 * newest membership, and of the one before if the newest is trailing and in no prefix that a
 * promise reported chosen (R28); until then voters it names are asked too.
 */
function conclude(state: State, candidacy: Candidacy, source: PromiseInfo, effects: Effects): void {
  const { promises, targets } = candidacy
  const needed = membershipsOf(state, candidacy, source)
  if (!needed.some((membership) => mayLead(state, membership))) return backOff(state, effects)
  if (widen(state, targets, needed)) prepareTargets(state, candidacy, effects)
  const hasPromised = (id: NodeId): boolean => promises.has(id)
  if (!needed.every((membership) => forms(membership, 'prepare', hasPromised))) return
  adopt(state, candidacy, source, effects)
}

/** By the log that it will adopt: who became a Logger, or left, learns it here (R20, R32). */
function mayLead({ self }: State, membership: Membership): boolean {
  const member = memberOf(membership, self.id)
  return member !== undefined && isElectable(member)
}

function membershipsOf(state: State, candidacy: Candidacy, source: PromiseInfo): Membership[] {
  const { syncPoint, configs: fetched } = state.pendingSync!
  const configs = [...state.configs.filter(({ index }) => index <= syncPoint), ...fetched]
  const newest = configs.at(-1)!
  const before = configs.at(-2)
  let proven: number = state.floor
  for (const { floor } of candidacy.promises.values()) proven = Math.max(proven, floor)
  const isOpen = newest.index === source.last && newest.index > proven
  if (!isOpen || before === undefined) return [newest.membership]
  return [before.membership, newest.membership]
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
  refreshPeers(state)
  state.candidacy = null
  const { acceptedBallot, last } = best
  becomeLeader(state, effects, candidacy, { acceptedBallot, last })
}

const limitsOf = (state: State) => ({
  sizeBytesMax: state.config.batchBytesMax,
  entriesMax: Number.MAX_SAFE_INTEGER,
  framesMax: FRAMES_MAX,
})
