/**
 * Phase 1 of the own ballot: promise to itself, prepare, collect promises, adopt the log with the
 * greatest (acceptedBallot, last), fetch what is missing of it (fetch.ts), install it (R3, R4, R7,
 * R9).
 * Pure; decision loop only.
 *
 * Invariant: no accept of the ballot leaves before `adopt`, and after it the adopted log is final.
 */
import { assert } from '../../base/assert.ts'
import { type LogIndex, NO_INDEX, type NodeId, ballotAbove } from '../ids.ts'
import { promiseBallot, promiseOf } from './acceptor.ts'
import { type ConfigAt, type Membership, isElectable, memberOf, votersOf } from '../membership.ts'
import { backOff } from './election.ts'
import { forms, liveMemberships, refreshPeers } from './configs.ts'
import { type FetchResult, askSupplier, dropSource, loseSupplier } from './fetch.ts'
import { becomeLeader, resetPeer, resign } from './leader.ts'
import { beginSync, commitSync, dropSync } from './log.ts'
import type { Promise1 } from './messages.ts'
import {
  type Candidacy,
  type Effects,
  type PromiseInfo,
  type State,
  event,
  peerOf,
  replyDurably,
  send,
} from './state.ts'
import { chainAt, lastOf } from './tail.ts'

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
    supplier: 0,
    supplyThrough: NO_INDEX,
    refused: new Set(),
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
    // One that was asked twice answers twice: what flies already goes on.
    if (peer !== undefined && peer.phase !== 'streaming') resetPeer(state, effects, peer, message)
    return
  }
  if (candidacy === null || message.ballot !== candidacy.ballot) return
  if (candidacy.refused.has(from)) return // its log could not be had, and another must do (R7)
  const { acceptedBallot, last, floor, floorChain, firstRetained } = message
  const promise = { from, acceptedBallot, last, floor, floorChain, firstRetained }
  candidacy.promises.set(from, promise)
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
  goOn(state, candidacy, askSupplier(state, candidacy, best, effects), effects)
}

/** With all of the adopted log here it may be adopted; if nobody has it, another one must do. */
export function goOn(
  state: State,
  candidacy: Candidacy,
  result: FetchResult | null,
  effects: Effects,
): void {
  const { source } = candidacy
  if (result === null || source === null) return
  if (result === 'complete') return conclude(state, candidacy, source, effects)
  if (result === 'asked') return
  candidacy.refused.add(source.from)
  dropSource(state, candidacy)
  evaluate(state, candidacy, effects)
}

/** The link to a node is gone, and with it what was to come; its next session may bring it. */
export function noteLost(state: State, id: NodeId, effects: Effects): void {
  const { candidacy, serving } = state
  if (serving?.to === id) state.serving = null
  if (candidacy === null || candidacy.source === null || candidacy.supplier !== id) return
  if (askSupplier(state, candidacy, candidacy.source, effects) !== 'lacking') return
  dropSource(state, candidacy)
  evaluate(state, candidacy, effects)
}

const isFetched = (state: State, { last }: PromiseInfo): boolean => state.pendingSync!.last === last

/** The own log up to where it surely equals the adopted one stays; the rest is replaced (R11). */
function openAdoption(state: State, effects: Effects, best: PromiseInfo): void {
  const last = lastOf(state.tail)
  const same = best.acceptedBallot === state.acceptedBallot
  const syncPoint = same ? (Math.min(last, best.last) as LogIndex) : state.floor
  beginSync(state, effects, state.promised, { syncPoint, adoptedLast: best.last })
}

/** A supplier that is silent too long is given up; without another one the ballot fails (R19). */
export function tickCandidacy(state: State, effects: Effects): void {
  const { candidacy } = state
  if (candidacy === null) return
  const timeoutMs = state.config.electionTimeoutMs
  const { source } = candidacy
  if (source === null || state.pendingSync === null || isFetched(state, source)) return
  if (state.now - candidacy.fetchAskedAt <= timeoutMs) return
  goOn(state, candidacy, loseSupplier(state, candidacy, effects), effects)
}

/**
 * The adopted log is here in full. It is adopted once the promises hold a prepare quorum of its
 * newest membership, and of the one before if the newest is trailing and in no prefix that a
 * promise reported chosen (R28); until then voters it names are asked too.
 */
function conclude(state: State, candidacy: Candidacy, source: PromiseInfo, effects: Effects): void {
  const { promises, targets } = candidacy
  const configs = configsOf(state, candidacy, source)
  const needed = configs.map(({ membership }) => membership)
  if (!needed.some((membership) => mayLead(state, membership))) {
    // Nothing tells a removed node but this: else it would stand again and again, and hold up all.
    if (needed.length === 1) state.unfitBy = configs[0]!.index
    return backOff(state, effects)
  }
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

/** The one that is proven chosen; or the newest, which is not yet, behind the one before it. */
function configsOf(state: State, candidacy: Candidacy, source: PromiseInfo): ConfigAt[] {
  const { syncPoint, configs: fetched } = state.pendingSync!
  const configs = [...state.configs.filter(({ index }) => index <= syncPoint), ...fetched]
  const newest = configs.at(-1)!
  const before = configs.at(-2)
  let proven: number = state.floor
  for (const { floor } of candidacy.promises.values()) proven = Math.max(proven, floor)
  const isOpen = newest.index === source.last && newest.index > proven
  if (!isOpen || before === undefined) return [newest]
  return [before, newest]
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
    candidacy.source = null
    candidacy.supplier = 0
    return dropSync(state)
  }
  commitSync(state, effects)
  refreshPeers(state)
  state.candidacy = null
  const { acceptedBallot, last } = best
  becomeLeader(state, effects, candidacy, { acceptedBallot, last })
}
