/**
 * Reads by read index (R33): which index a read must wait for, found without a word in the log.
 * Pure; decision loop only.
 *
 *     reader   leader           voters
 *       | ------> |               |     read-index; the leader's own callers have no message
 *       |         | ------------> |     confirm(b, round): the round starts behind the reads
 *       |         | <------------ |     confirmed(round, promised)
 *       | <------ |               |     read-index-reply(index); then wait for applied >= index
 *       |         |               |
 *       | ------> |               |     lease-index: for reads by lease
 *       | <------ |               |     lease-index-reply(index), at once, if the lease is valid
 *
 * Invariants: the index of a round is what was announced when it began, and all its reads came
 * before; it counts only voters that had promised the leader's ballot when they answered, so that
 * they and any quorum of promises for a later ballot have a node in common; a leader starts no
 * round before what it adopted is accepted by a quorum in its own ballot and announced; a read
 * leaves with an index or a reason, at its deadline at the latest, and is never answered from a
 * message that was lost, late or repeated.
 */
import type { ReadMode } from '../engine.ts'
import { type LogIndex, NO_INDEX, type NodeId } from '../ids.ts'
import { isVoter, keepsState } from '../membership.ts'
import { isContent } from './election.ts'
import type {
  Confirm,
  Confirmed,
  Heartbeat,
  HeartbeatReply,
  LeaseIndex,
  LeaseIndexReply,
  ReadIndex,
  ReadIndexReply,
} from './messages.ts'
import { isSilent } from './peer.ts'
import { asksLease, grant, leasesOn, noteGrant, noteLeaseRound } from './lease.ts'
import {
  type OwnRead,
  type ReadRequest,
  type ReadRound,
  announcedOf,
  isReadQuorum,
  noteRole,
  serves,
} from './read-state.ts'
import { type Effects, type State, peerOf, send } from './state.ts'
import { sendChosen } from './stream.ts'

/** A read is given up when it has no index after so many election time-outs. */
const DEADLINE_TIMEOUTS = 4
/** Reads without an index at one node: more are refused. */
const READS_MAX = 65_536

// ---- Asking ----------------------------------------------------------------------------------

export function onReadAsked(
  state: State,
  read: { readonly id: number; readonly mode: ReadMode; readonly boundMs: number },
  effects: Effects,
): void {
  const { readState: reads, now, config } = state
  const { id, mode, boundMs } = read
  if (!keepsState(state.self.role)) return refuse(effects, id, 'no-state')
  if (mode === 'stale') return readStale(state, id, boundMs, effects)
  if (mode === 'lease' && !leasesOn(state)) return refuse(effects, id, 'not-available')
  if (mode === 'lease' && now < state.readState.lease.until) {
    effects.push({ kind: 'read-ready', id, index: announcedOf(state), lease: true })
    return
  }
  const isByLease = mode === 'lease' && state.leadership === null
  const waiting = isByLease ? reads.leaseWaiting : reads.waiting
  if (waiting.length >= READS_MAX) return refuse(effects, id, 'overloaded')
  waiting.push({ id, deadline: now + DEADLINE_TIMEOUTS * config.electionTimeoutMs })
}

/**
 * Answered from what is here, if a leader that was content with itself told us within the bound
 * what it had announced. Its contentness is as old as an election time-out in the worst case.
 */
function readStale(state: State, id: number, boundMs: number, effects: Effects): void {
  const { heard } = state.readState
  if (state.leadership !== null) {
    const knows = serves(state) && isContent(state) && isFollowedSince(state)
    if (!knows) return refuse(effects, id, 'too-stale')
    effects.push({ kind: 'read-ready', id, index: announcedOf(state), lease: false })
    return
  }
  const at = Math.min(heard.chosenAt, heard.contentAt)
  if (at < 0 || state.now - at > boundMs) return refuse(effects, id, 'too-stale')
  effects.push({ kind: 'read-ready', id, index: heard.chosen, lease: false })
}

/** A quorum answered since this leader's clock jumped; before, how long ago is not known. */
function isFollowedSince(state: State): boolean {
  const { jumpedAt } = state.readState
  if (jumpedAt < 0) return true
  const ids = state.peers.filter(({ replyAt }) => replyAt > jumpedAt).map(({ id }) => id)
  return isReadQuorum(state, new Set([state.self.id, ...ids]))
}

/** The clock stood still or jumped: how long ago a leader was heard is not known any more. */
export function forgetHeard(state: State): void {
  const { readState: reads } = state
  reads.heard.at = -1
  reads.heard.chosenAt = -1
  reads.heard.contentAt = -1
  reads.jumpedAt = state.now
}

type Reason = (Effects[number] & { readonly kind: 'read-refused' })['reason']

function refuse(effects: Effects, id: number, reason: Reason): void {
  effects.push({ kind: 'read-refused', id, reason })
}

/** After every input: starts what may start. Costs nothing while nobody reads. */
export function pumpReads(state: State, effects: Effects): void {
  const { readState: reads } = state
  noteRole(state)
  if (state.leadership !== null) {
    if (reads.round === null && serves(state)) startRound(state, effects)
    return
  }
  if (reads.request === null && reads.waiting.length > 0) {
    reads.request = startRequest(state, reads.waiting)
    reads.waiting = []
    askLeader(state, 'read-index', reads.request, effects)
  }
  if (reads.leaseRequest === null && reads.leaseWaiting.length > 0) {
    reads.leaseRequest = startRequest(state, reads.leaseWaiting)
    reads.leaseWaiting = []
    askLeader(state, 'lease-index', reads.leaseRequest, effects)
  }
}

// ---- The leader ------------------------------------------------------------------------------

function startRound(state: State, effects: Effects): void {
  const { readState: reads } = state
  if (reads.waiting.length === 0 && reads.requests.size === 0) return
  reads.roundNumber += 1
  reads.round = {
    number: reads.roundNumber,
    index: announcedOf(state),
    own: reads.waiting,
    requests: reads.requests,
    confirmedBy: new Set([state.self.id]),
    sentAt: -1,
  }
  reads.waiting = []
  reads.requests = new Map()
  noteLeaseRound(state, reads.round.number)
  sendRound(state, reads.round, effects)
  finishRound(state, effects)
}

/** Who has been silent is asked only when the round is repeated, a heartbeat later. */
function sendRound(state: State, round: ReadRound, effects: Effects): void {
  const isFirst = round.sentAt < 0
  round.sentAt = state.now
  const { ballot } = state.leadership!
  const lease = asksLease(state)
  for (const peer of state.peers) {
    const { id, role, up } = peer
    if (!up || !isVoter(role) || round.confirmedBy.has(id)) continue
    if (isFirst && isSilent(state, peer)) continue
    send(effects, id, { kind: 'confirm', ballot, round: round.number, lease })
  }
}

/** A voter tells what it has promised: from the ordered state, like every answer of its core. */
export function onConfirm(state: State, from: NodeId, message: Confirm, effects: Effects): void {
  const { ballot, round } = message
  const granted = message.lease === 1 ? grant(state, ballot) : 0
  send(effects, from, { kind: 'confirmed', ballot, round, promised: state.promised, granted })
}

export function onConfirmed(
  state: State,
  from: NodeId,
  message: Confirmed,
  effects: Effects,
): void {
  const { round } = state.readState
  const peer = peerOf(state, from)
  if (state.leadership === null || message.ballot !== state.leadership.ballot) return
  if (peer === undefined || !isVoter(peer.role) || message.promised !== message.ballot) return
  noteGrant(state, from, message)
  if (round === null || round.number !== message.round) return
  round.confirmedBy.add(from)
  finishRound(state, effects)
}

function finishRound(state: State, effects: Effects): void {
  const { readState: reads } = state
  const { round } = reads
  if (round === null || !isReadQuorum(state, round.confirmedBy)) return
  const { index } = round
  for (const { id } of round.own) effects.push({ kind: 'read-ready', id, index, lease: false })
  for (const [id, request] of round.requests) {
    tellChosen(state, id, effects)
    send(effects, id, { kind: 'read-index-reply', request, index })
  }
  reads.round = null
}

/** An index is of use to who knows that it is chosen: before it, what the next tick would tell. */
function tellChosen(state: State, id: NodeId, effects: Effects): void {
  const peer = peerOf(state, id)
  if (peer !== undefined) sendChosen(state, peer, effects)
}

/** Who does not lead stays silent: the asker finds the leader by itself. */
export function onReadIndex(state: State, from: NodeId, { request }: ReadIndex): void {
  const { readState: reads } = state
  if (state.leadership === null || reads.round?.requests.get(from) === request) return
  if (peerOf(state, from) !== undefined) reads.requests.set(from, request)
}

/**
 * A read by lease of another node: the index is read here, and the validity looked at behind it, by
 * the clock (R34). While the lease is valid nobody else has announced anything, so the index is not
 * below what was announced anywhere when the request came. No lease: the asker wants a round.
 */
export function onLeaseIndex(
  state: State,
  from: NodeId,
  { request }: LeaseIndex,
  effects: Effects,
): void {
  if (state.leadership === null || peerOf(state, from) === undefined) return
  tellChosen(state, from, effects)
  const kind = 'lease-index-reply'
  const otherwise = { kind, request, index: NO_INDEX, valid: 0 } as const
  const message = { kind, request, index: announcedOf(state), valid: 1 } as const
  effects.push({ kind: 'send-by-lease', to: from, message, otherwise })
}

// ---- Followers and learners ------------------------------------------------------------------

export function onReadIndexReply(state: State, message: ReadIndexReply, effects: Effects): void {
  const { readState: reads } = state
  if (reads.request === null || reads.request.number !== message.request) return
  answerAll(reads.request, message.index, effects)
  reads.request = null
}

/** A no puts its reads among those that want a round, with the deadlines they have. */
export function onLeaseIndexReply(
  state: State,
  { request, index, valid }: LeaseIndexReply,
  effects: Effects,
): void {
  const { readState: reads } = state
  const asked = reads.leaseRequest
  if (asked === null || asked.number !== request) return
  if (valid === 1) answerAll(asked, index, effects)
  else reads.waiting = [...asked.reads, ...reads.waiting]
  reads.leaseRequest = null
}

function answerAll({ reads }: ReadRequest, index: LogIndex, effects: Effects): void {
  for (const { id } of reads) effects.push({ kind: 'read-ready', id, index, lease: false })
}

function startRequest({ readState }: State, reads: OwnRead[]): ReadRequest {
  readState.requestNumber += 1
  return { number: readState.requestNumber, reads, sentAt: -1 }
}

function askLeader(
  state: State,
  kind: 'read-index' | 'lease-index',
  request: ReadRequest,
  effects: Effects,
): void {
  const id = heardLeaderOf(state)
  if (id === 0 || peerOf(state, id)?.up !== true) return
  request.sentAt = state.now
  send(effects, id, { kind, request: request.number })
}

const heardLeaderOf = (state: State): NodeId | 0 =>
  isFresh(state, state.readState.heard.at) ? state.readState.heard.id : 0

const isFresh = (state: State, at: number): boolean =>
  at >= 0 && state.now - at <= state.config.electionTimeoutMs

/** A leader's heartbeat: learners know it by nothing else, since they promise nothing. */
export function noteHeartbeat(state: State, from: NodeId, message: Heartbeat): void {
  const { heard } = state.readState
  if (message.ballot < heard.ballot && isFresh(state, heard.at)) return
  if (message.ballot !== heard.ballot) {
    heard.contentAt = -1
    heard.chosenAt = -1
  }
  heard.ballot = message.ballot
  heard.id = from
  heard.at = state.now
  if (message.knows === 0) return
  heard.chosen = message.chosen
  heard.chosenAt = state.now
}

export function noteHeartbeatReply(state: State, from: NodeId, message: HeartbeatReply): void {
  const { heard } = state.readState
  if (from !== heard.id || message.promised !== heard.ballot) return
  if (message.content === 1) heard.contentAt = state.now
}

// ---- Time ------------------------------------------------------------------------------------

/** Repeats what may have been lost, and gives up what is late. */
export function tickReads(state: State, effects: Effects): void {
  const { readState: reads, now, config } = state
  const { round, request, leaseRequest } = reads
  const reason = state.leadership === null && heardLeaderOf(state) === 0 ? 'no-leader' : 'late'
  const keep = ({ id, deadline }: OwnRead): boolean => {
    if (now < deadline) return true
    refuse(effects, id, reason)
    return false
  }
  reads.waiting = keepIf(reads.waiting, keep)
  reads.leaseWaiting = keepIf(reads.leaseWaiting, keep)
  if (round !== null) round.own = keepIf(round.own, keep)
  if (request !== null) {
    request.reads = keepIf(request.reads, keep)
    if (request.reads.length === 0) reads.request = null
    else if (isDue(request.sentAt, now, config.heartbeatMs))
      askLeader(state, 'read-index', request, effects)
  }
  if (leaseRequest !== null) {
    leaseRequest.reads = keepIf(leaseRequest.reads, keep)
    if (leaseRequest.reads.length === 0) reads.leaseRequest = null
    else if (isDue(leaseRequest.sentAt, now, config.heartbeatMs))
      askLeader(state, 'lease-index', leaseRequest, effects)
  }
  if (round === null || state.leadership?.ballot !== reads.ballot) return
  if (isDue(round.sentAt, now, config.heartbeatMs)) sendRound(state, round, effects)
}

const isDue = (sentAt: number, now: number, everyMs: number): boolean =>
  sentAt < 0 || now - sentAt >= everyMs

const keepIf = (reads: OwnRead[], keep: (read: OwnRead) => boolean): OwnRead[] =>
  reads.length === 0 ? reads : reads.filter(keep)
