/**
 * Who should lead: heartbeat rounds, contentness, and the decision to stand (R18, R19, R20).
 * After OmniPaxos' ballot leader election (Ng, Haridi, Carbone, EuroSys 2023, section 4), with
 * progress added to contentness. Only liveness hangs on this file; safety never does.
 *
 * A node stands only if it is electable, itself and every replier are discontent, and repliers and
 * itself form a quorum: stickiness without votes, and recovery under partial connectivity.
 */
import { type Ballot, type LogIndex, type NodeId, NO_BALLOT, ballotOwner } from '../ids.ts'
import { resign, restartPeer } from './leader.ts'
import type { Heartbeat, HeartbeatReply } from './messages.ts'
import { standForLeader } from './phase1.ts'
import {
  type Effects,
  type Leadership,
  type Peer,
  type State,
  event,
  isElectable,
  isVoter,
  peerOf,
  randomBelow,
  send,
} from './state.ts'
import { startLearner } from './stream.ts'

const STAND_WEIGHT_MAX = 9
const FRESH_ROUNDS = 2
const STALL_TIMEOUTS = 4
const BACK_OFF_MAX = 3

export function tickElection(state: State, effects: Effects): void {
  if (state.round === 0) state.contentAt = state.now
  if (state.now < state.heartbeatAt) {
    // Once armed, the moment to stand is kept to the tick: it is what tells weights apart.
    return state.standAt === 0 ? undefined : considerStanding(state, effects)
  }
  announceLeader(state, effects)
  watchLeadership(state, effects)
  considerStanding(state, effects)
  probe(state, effects)
  startRound(state, effects)
}

function startRound(state: State, effects: Effects): void {
  state.round += 1
  state.heartbeatAt = state.now + state.config.heartbeatMs
  const ballot = state.leadership?.ballot ?? NO_BALLOT
  if (state.leadership !== null) state.held = heldByAll(state)
  const { floor: chosen, floorChain: chosenChain, round, held } = state
  for (const peer of state.peers) {
    if (!peer.up) continue
    send(effects, peer.id, { kind: 'heartbeat', round, ballot, chosen, chosenChain, held })
  }
}

/** What every member within reach has on its disk, as the leader knows it; never falls. */
function heldByAll(state: State): LogIndex {
  let held: number = Math.min(state.floor, state.durable)
  for (const peer of state.peers) {
    if (peer.up && peer.phase !== 'behind-trim') held = Math.min(held, peer.matched)
  }
  return Math.max(held, state.held) as LogIndex
}

export function onHeartbeat(
  state: State,
  from: NodeId,
  message: Heartbeat,
  effects: Effects,
): void {
  const { round } = message
  const content = isContent(state) ? 1 : 0
  const { promised } = state
  send(effects, from, { kind: 'heartbeat-reply', round, promised, content })
}

export function onHeartbeatReply(state: State, from: NodeId, message: HeartbeatReply): void {
  const peer = peerOf(state, from)
  if (peer === undefined || message.round + FRESH_ROUNDS < state.round) return
  peer.replyAt = state.now
  peer.replyPromised = message.promised
  peer.replyContent = message.content === 1
  if (message.promised !== state.promised || ballotOwner(message.promised) !== from) return
  // The leader's own word: while it is content so is this node, and no longer (R18).
  state.contentAt = peer.replyContent ? state.now : -Infinity
}

const isFresh = (state: State, peer: Peer): boolean =>
  peer.replyAt >= 0 && state.now - peer.replyAt <= (FRESH_ROUNDS + 1) * state.config.heartbeatMs

/** Voters, this node included, that answered lately and follow no ballot above `ballot`. */
function followersOf(state: State, ballot: Ballot): number {
  let count = isVoter(state.self.role) ? 1 : 0
  for (const peer of state.peers) {
    if (isVoter(peer.role) && isHeard(state, peer) && peer.replyPromised <= ballot) count += 1
  }
  return count
}

const isHeard = (state: State, peer: Peer): boolean =>
  peer.replyAt >= 0 && state.now - peer.replyAt <= state.config.electionTimeoutMs

/** Content with the present leader: the only thing that keeps others from standing. */
export function isContent(state: State): boolean {
  const { electionTimeoutMs } = state.config
  if (state.leadership !== null) {
    return followersOf(state, state.leadership.ballot) >= state.quorum && isProgressing(state)
  }
  if (state.candidacy !== null) {
    const inTime = state.now - state.candidacy.startedAt <= 2 * electionTimeoutMs
    return inTime && followersOf(state, state.candidacy.ballot) >= state.quorum
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
function backOff(state: State, effects: Effects): void {
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
    standForLeader(state, effects)
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
  if (!isElectable(state.self) || isContent(state)) return false
  const isBackedOff = state.now < state.backOffUntil
  let heard = 1
  for (const peer of state.peers) {
    if (!isVoter(peer.role) || !isFresh(state, peer)) continue
    if (peer.replyContent) return false
    if (isBackedOff && peer.electable) return false // there is another to go first
    heard += 1
  }
  return heard >= (state.promised === NO_BALLOT ? voterCount(state) : state.quorum)
}

/**
 * A first formation needs every initial voter (R39): two nodes of three could otherwise form a
 * cluster while the third, with a blank disk, later forms another with one of them wiped.
 */
const voterCount = (state: State): number => state.matchedScratch.length

/** One small message a round to a voter without a stream; a stuck stream starts again. */
function probe(state: State, effects: Effects): void {
  const { candidacy, leadership } = state
  for (const peer of state.peers) {
    if (!peer.up) continue
    if (leadership !== null) probeStream(state, leadership, peer, effects)
    else if (candidacy?.selfPromised && isVoter(peer.role) && !candidacy.promises.has(peer.id)) {
      send(effects, peer.id, { kind: 'prepare', ballot: candidacy.ballot })
    }
  }
}

function probeStream(state: State, leadership: Leadership, peer: Peer, effects: Effects): void {
  const stuckMs = 2 * state.config.electionTimeoutMs
  const stuck = peer.inflight.length > 0 && state.now - peer.progressAt > stuckMs
  if (!stuck && peer.phase !== 'idle') return
  // A learner says in its answer where it stands, whatever we believe (R31).
  if (!isVoter(peer.role)) startLearner(state, peer, peer.matched)
  else if (stuck) restartPeer(state, peer, effects)
  else send(effects, peer.id, { kind: 'prepare', ballot: leadership.ballot })
}

function announceLeader(state: State, effects: Effects): void {
  const leader = leaderOf(state)
  if (leader === state.announcedLeader) return
  state.announcedLeader = leader
  event(effects, 'leader', leader)
}

/** The leader that this node follows, 0 while it knows none. */
export function leaderOf(state: State): NodeId | 0 {
  if (state.leadership !== null) return state.self.id
  if (state.candidacy !== null || state.promised === NO_BALLOT) return 0
  const owner = ballotOwner(state.promised)
  return owner !== state.self.id && isContent(state) ? owner : 0
}
