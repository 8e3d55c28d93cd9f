/**
 * Who should lead: heartbeat rounds, contentness, and the decision to stand (R18, R19, R20).
 * After OmniPaxos' ballot leader election (Ng, Haridi, Carbone, EuroSys 2023, section 4), with
 * progress added to contentness. Only liveness hangs on this file; safety never does.
 *
 * A node stands only if it is electable, itself and every replier are discontent, and repliers and
 * itself form a quorum: stickiness without votes, and recovery under partial connectivity.
 */
import {
  type Ballot,
  type LogIndex,
  NO_BALLOT,
  NO_INDEX,
  type NodeId,
  ballotOwner,
} from '../ids.ts'
import { isElectable, isVoter, votersOf } from '../membership.ts'
import { reviewAdmission } from './admission.ts'
import { mayChange, mustGo, promoteReady } from './change.ts'
import { chosenConfig, forms, isRemoved, liveMemberships, newestConfig } from './configs.ts'
import { tendForced } from './forced.ts'
import { choose, resign } from './leader.ts'
import type { Heartbeat, HeartbeatReply, Removed, TakeOver } from './messages.ts'
import { standForLeader } from './phase1.ts'
import { heldMs } from './lease.ts'
import { hear, probe } from './probe.ts'
import { countHeld, noteKept } from './purge.ts'
import {
  type Effects,
  type Leadership,
  type Peer,
  type State,
  event,
  peerOf,
  randomBelow,
  send,
} from './state.ts'
import { serves } from './read-state.ts'
import { lastOf } from './tail.ts'
import { considerHandOver, driveTransfer, isOrdered } from './transfer.ts'

const STAND_WEIGHT_MAX = 9
const FRESH_ROUNDS = 2
const STALL_TIMEOUTS = 4
const BACK_OFF_MAX = 3

export function tickElection(state: State, effects: Effects): void {
  if (state.round === 0) state.contentAt = state.now
  tendTransfer(state, effects)
  if (state.now < state.heartbeatAt) {
    // Once armed, the moment to stand is kept to the tick: it is what tells weights apart.
    return state.standAt === 0 ? undefined : considerStanding(state, effects)
  }
  announce(state, effects)
  watchLeadership(state, effects)
  considerStanding(state, effects)
  probe(state, effects)
  tendLeadership(state, effects)
  startRound(state, effects)
}

/**
 * A process that was stopped, or did not get the CPU, for longer than its patience: it asks afresh
 * and hears before it judges (R19). Where all of a cluster slept nobody has heard of anybody, and
 * the first to stand would take the leadership from a leader that lives.
 */
export function noteSleep(state: State, now: number): void {
  if (state.round === 0 || now - state.now <= state.config.electionTimeoutMs) return
  state.awakeAt = now
  state.standAt = 0
}

/** What a leader looks after once a round: who is ready, what has to change, who should lead. */
function tendLeadership(state: State, effects: Effects): void {
  const { leadership } = state
  if (leadership === null) return
  for (const peer of state.peers) noteReady(state, leadership, peer)
  leadership.floorAtRound = state.floor
  reviewAdmission(state, effects)
  if (leadership.withheldSince >= 0) choose(state, effects) // by now it may be overdue
  if (!mayChange(state) || leadership.transfer !== null || leadership.change !== null) return
  tendForced(state, effects)
  if (leadership.change === null) promoteReady(state, effects)
  if (leadership.change === null) considerHandOver(state, effects)
}

/** Ready: follows this leader, is content with it, and holds what was announced a round ago. */
function noteReady(state: State, { ballot, floorAtRound }: Leadership, peer: Peer): void {
  const follows = !isVoter(peer.role) || (peer.replyContent && peer.replyPromised === ballot)
  const couldLead = !peer.electable || peer.replyConnected
  const isHeld = peer.matched >= floorAtRound
  const isReady = peer.up && isFresh(state, peer) && follows && couldLead && isHeld
  if (!isReady) peer.readySince = -1
  else if (peer.readySince < 0) peer.readySince = state.now
}

function startRound(state: State, effects: Effects): void {
  state.round += 1
  state.heartbeatAt = state.now + state.config.heartbeatMs
  // Who was removed is not waited for any more, but as the leader until it has handed over (R29).
  if (state.removedAt !== 0 && state.leadership === null) return
  const ballot = state.leadership?.ballot ?? NO_BALLOT
  if (state.leadership !== null) countHeld(state)
  const { floor: chosen, floorChain: chosenChain, round } = state
  const knows = state.leadership !== null && serves(state) ? 1 : 0
  const { held, heldByData, leaderHolds } = state.purge
  const about = { round, ballot, chosen, chosenChain, knows, held, heldByData, leaderHolds }
  for (const peer of state.peers) {
    if (!peer.up) continue
    send(effects, peer.id, { kind: 'heartbeat', ...about })
  }
}

export function onHeartbeat(
  state: State,
  from: NodeId,
  message: Heartbeat,
  effects: Effects,
): void {
  const { round } = message
  if (isStranger(state, from, message.ballot)) return tellRemoved(state, from, effects)
  if (message.ballot >= state.heardBallot && message.ballot !== NO_BALLOT) {
    state.heardBallot = message.ballot
    state.heardAt = state.now
    // One under which nothing is chosen may wait for the very log that this node was fetching.
    if (message.chosen > state.heardChosen) state.fetchesCut = 0
    state.heardChosen = Math.max(state.heardChosen, message.chosen) as LogIndex
  }
  const content = isContent(state) ? 1 : 0
  const { promised } = state
  const last = learntOf(state)
  const connected = isConnected(state) ? 1 : 0
  const { firstRetained } = state
  const full = state.purge.isFull ? 1 : 0
  const kept = { firstRetained, full }
  const reply = { round, promised, content, connected, last, ...kept }
  send(effects, from, { kind: 'heartbeat-reply', ...reply })
}

/**
 * Removed, and not the leader that this node follows or hears: one that its own change removes is
 * answered until it has handed over (R29).
 */
export function isStranger(state: State, from: NodeId, ballot: Ballot): boolean {
  const leads = ballot === state.promised || ballot === state.heardBallot
  return isRemoved(state, from) && !(leads && ballotOwner(ballot) === from)
}

/** What is on this disk and surely chosen, if the asker takes this node for a learner (R31). */
const learntOf = ({ acceptedBallot, durable, floor }: State): LogIndex =>
  acceptedBallot === NO_BALLOT || durable < floor ? durable : floor

/** Neither promised to nor resigned for: a node that was removed disturbs nobody (R30). */
export function tellRemoved(state: State, from: NodeId, effects: Effects): void {
  const { index } = chosenConfig(state)
  send(effects, from, { kind: 'removed', index: index as LogIndex })
}

/** Others know a chosen membership without this node: it neither stands nor leads (R30). */
export function onRemoved(state: State, { index }: Removed, effects: Effects): void {
  if (index <= newestConfig(state).index && !isRemoved(state, state.self.id)) return
  if (state.removedAt !== 0) return
  state.removedAt = index
  resign(state, effects)
  event(effects, 'removed', index)
}

export function onHeartbeatReply(
  state: State,
  from: NodeId,
  message: HeartbeatReply,
  effects: Effects,
): void {
  const peer = peerOf(state, from)
  if (peer === undefined) return
  hear(state, peer, message, effects)
  if (message.round + FRESH_ROUNDS < state.round) return
  peer.replyAt = state.now
  peer.replyPromised = message.promised
  peer.replyContent = message.content === 1
  peer.replyConnected = message.connected === 1
  noteKept(peer, message)
  if (message.promised !== state.promised || ballotOwner(message.promised) !== from) return
  // The leader's own word: while it is content so is this node, and no longer (R18).
  state.contentAt = peer.replyContent ? state.now : -Infinity
}

const isFresh = (state: State, peer: Peer): boolean =>
  peer.replyAt >= 0 && state.now - peer.replyAt <= (FRESH_ROUNDS + 1) * state.config.heartbeatMs

/** Whether a quorum of every live membership answered lately and follows no ballot above. */
function isFollowed(state: State, ballot: Ballot, quorum: 'prepare' | 'accept'): boolean {
  const follows = (id: NodeId): boolean => {
    if (id === state.self.id) return true
    const peer = peerOf(state, id)
    return peer !== undefined && isHeard(state, peer) && peer.replyPromised <= ballot
  }
  return liveMemberships(state).every((membership) => forms(membership, quorum, follows))
}

const isHeard = (state: State, peer: Peer): boolean =>
  peer.replyAt >= 0 && state.now - peer.replyAt <= state.config.electionTimeoutMs

/** Content with the present leader: the only thing that keeps others from standing. */
export function isContent(state: State): boolean {
  const { electionTimeoutMs } = state.config
  if (state.leadership !== null) {
    return isFollowed(state, state.leadership.ballot, 'accept') && isProgressing(state)
  }
  const { candidacy } = state
  if (candidacy !== null) {
    const patienceMs = 2 * electionTimeoutMs * 2 ** state.fetchesCut
    const inTime = state.now - candidacy.startedAt <= patienceMs
    const isMoving = state.now - candidacy.progressAt <= 2 * electionTimeoutMs
    return inTime && isMoving && isFollowed(state, candidacy.ballot, 'prepare')
  }
  // An own ballot without a role was given up or lost in a restart: nobody should wait for it.
  const { promised, self } = state
  if (promised === NO_BALLOT || ballotOwner(promised) === self.id) return false
  return state.now - state.contentAt <= electionTimeoutMs
}

/** A leader whose disk or whose oldest batch stands still is replaced, connected or not (R19). */
function isProgressing(state: State): boolean {
  const boundMs = STALL_TIMEOUTS * state.config.electionTimeoutMs
  const { leadership, waiting } = state
  if (waiting.length > 0 && state.now - state.waitingSince > boundMs) return false
  return leadership!.rounds.length === 0 || state.now - leadership!.progressAt <= boundMs
}

function watchLeadership(state: State, effects: Effects): void {
  const { leadership, candidacy } = state
  const timeoutMs = state.config.electionTimeoutMs
  if (candidacy !== null && state.now - candidacy.progressAt > 2 * timeoutMs) {
    return backOff(state, effects)
  }
  if (leadership === null) return
  if (isContent(state)) {
    leadership.discontentSince = -1
    return reunite(state, effects)
  }
  if (leadership.discontentSince < 0) leadership.discontentSince = state.now
  if (state.now - leadership.discontentSince > timeoutMs) backOff(state, effects)
}

/**
 * Gives up and lets another go first for a growing, jittered while (R19): at least as long as the
 * lightest node takes to stand.
 */
export function backOff(state: State, effects: Effects): void {
  resign(state, effects)
  const steps = Math.min(state.backOffCount, BACK_OFF_MAX)
  const spanMs = state.config.electionTimeoutMs * (1 << steps)
  state.backOffCount += 1
  state.backOffUntil = state.now + spanMs + randomBelow(state, spanMs + 1)
}

/**
 * A voter that promised a higher ballot whose owner got nowhere refuses this leader for ever, and
 * will not stand while this leader is content: the leader moves to a higher ballot itself.
 */
function reunite(state: State, effects: Effects): void {
  const leadership = state.leadership!
  const strayed = state.peers.some(
    (peer) =>
      isVoter(peer.role) &&
      isFresh(state, peer) &&
      !peer.replyContent &&
      peer.replyPromised > leadership.ballot,
  )
  if (!strayed) leadership.strayedSince = -1
  else if (leadership.strayedSince < 0) leadership.strayedSince = state.now
  else if (state.now - leadership.strayedSince > state.config.electionTimeoutMs) {
    // Who is on its way out leaves that to who stays.
    if (isElectable(state.self)) standForLeader(state, effects)
    else backOff(state, effects)
  }
}

function considerStanding(state: State, effects: Effects): void {
  if (state.leadership !== null || state.candidacy !== null || !mayStand(state)) {
    state.standAt = 0
    return
  }
  const { electionTimeoutMs } = state.config
  if (state.standAt === 0) {
    const later = electionTimeoutMs * (STAND_WEIGHT_MAX - state.self.weight)
    const spread = randomBelow(state, Math.floor(electionTimeoutMs / 10) + 1)
    state.standAt = state.now + Math.floor(later / 10) + spread
  }
  if (state.now >= state.standAt) {
    state.standAt = 0
    standForLeader(state, effects)
  }
}

function mayStand(state: State): boolean {
  if (!isElectable(state.self) || state.removedAt !== 0 || isContent(state)) return false
  if (newestConfig(state).index <= state.unfitBy) return false
  if (heldMs(state, state.self.id) > 0) return false // it granted a lease like any other voter
  if (state.now - state.awakeAt <= (FRESH_ROUNDS + 1) * state.config.heartbeatMs) return false
  const isBackedOff = state.now < state.backOffUntil
  for (const peer of state.peers) {
    if (!isVoter(peer.role) || !isFresh(state, peer)) continue
    if (peer.replyContent) return false
    if (isBackedOff && peer.electable) return false // there is another to go first
  }
  if (!isBlank(state)) return isConnected(state)
  const { membership } = newestConfig(state)
  const isJoining = forms(membership, 'prepare', (id) => hasPromised(state, id))
  return isJoining || votersOf(membership).every(({ id }) => isHere(state, id))
}

/** Hears a prepare quorum, of either membership while a change is open. */
function isConnected(state: State): boolean {
  const hears = (id: NodeId): boolean => isHere(state, id)
  return liveMemberships(state).some((membership) => forms(membership, 'prepare', hears))
}

function isHere(state: State, id: NodeId): boolean {
  const peer = peerOf(state, id)
  return id === state.self.id || (peer !== undefined && isFresh(state, peer))
}

/**
 * A first formation needs every initial voter (R39): two nodes of three could otherwise form a
 * cluster while the third, with a blank disk, later forms another with one of them wiped.
 */
const isBlank = ({ promised, tail }: State): boolean =>
  promised === NO_BALLOT && lastOf(tail) === NO_INDEX

/** Who has promised somebody is of a cluster that there is; a blank node may join it. */
function hasPromised(state: State, id: NodeId): boolean {
  const peer = peerOf(state, id)
  if (id === state.self.id) return true
  return peer !== undefined && isFresh(state, peer) && peer.replyPromised !== NO_BALLOT
}

/** A look at a hand-over that runs; who must go and finds no one stops all the same. */
function tendTransfer(state: State, effects: Effects): void {
  if (state.leadership === null || !driveTransfer(state, effects)) return
  if (mustGo(state)) backOff(state, effects)
}

/** The leader orders this node to stand, whoever is content (R24). */
export function onTakeOver(state: State, from: NodeId, message: TakeOver, effects: Effects): void {
  if (isOrdered(state, from, message)) standForLeader(state, effects)
}

function announce(state: State, effects: Effects): void {
  const { index } = chosenConfig(state)
  if (index !== state.announcedConfig) {
    state.announcedConfig = index as LogIndex
    event(effects, 'membership', index)
    const isGone = isRemoved(state, state.self.id) && state.removedAt === 0
    if (isGone) {
      state.removedAt = index as LogIndex
      event(effects, 'removed', index)
    }
  }
  const leader = leaderOf(state)
  if (leader === state.announcedLeader) return
  state.announcedLeader = leader
  event(effects, 'leader', leader)
}

/** The leader that this node follows, 0 while it knows none. */
export function leaderOf(state: State): NodeId | 0 {
  if (state.leadership !== null) return state.self.id
  if (state.candidacy !== null) return 0
  if (state.heardBallot > state.promised) {
    const isHeardLately = state.now - state.heardAt <= state.config.electionTimeoutMs
    return isHeardLately ? ballotOwner(state.heardBallot) : 0
  }
  if (state.promised === NO_BALLOT) return 0
  const owner = ballotOwner(state.promised)
  return owner !== state.self.id && isContent(state) ? owner : 0
}
