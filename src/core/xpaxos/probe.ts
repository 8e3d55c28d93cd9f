/**
 * Streams that do not flow: a silent peer loses its stream and costs one small message a heartbeat,
 * an answer opens it again within a round trip, and one that stands still starts afresh. Pure;
 * decision loop only.
 */
import { isVoter } from '../membership.ts'
import { restartPeer } from './leader.ts'
import { noteLearnt, tendLearner } from './learner.ts'
import type { HeartbeatReply } from './messages.ts'
import { isSilent } from './peer.ts'
import { prepareTargets } from './phase1.ts'
import { type Effects, type Leadership, type Peer, type State, event, send } from './state.ts'
import { feeds, resetStream, startLearner } from './stream.ts'

/**
 * Once a round: a voter without a stream is asked for a promise, a stuck stream starts again. Who
 * answers no heartbeats has no stream: it gets those, and nothing else, until it answers.
 */
export function probe(state: State, effects: Effects): void {
  const { candidacy, leadership } = state
  if (candidacy?.selfPromised) prepareTargets(state, candidacy, effects)
  for (const peer of state.peers) {
    if (!peer.up) continue
    if (isSilent(state, peer)) {
      if (peer.phase !== 'idle') endStream(state, peer, effects)
    } else if (!isVoter(peer.role)) tendLearner(state, peer, effects)
    else if (leadership !== null) probeStream(state, leadership, peer, effects)
  }
}

function endStream(state: State, peer: Peer, effects: Effects): void {
  resetStream(state, peer)
  event(effects, 'peer-reset', peer.id)
}

function probeStream(state: State, leadership: Leadership, peer: Peer, effects: Effects): void {
  const stuckMs = 2 * state.config.electionTimeoutMs
  const stuck = peer.inflight.length > 0 && state.now - peer.progressAt > stuckMs
  if (stuck) restartPeer(state, peer, effects)
  else if (peer.phase === 'idle') {
    send(effects, peer.id, { kind: 'prepare', ballot: leadership.ballot })
  }
}

/** It answers, however late. One that was silent so long that its stream was ended gets it back. */
export function hear(state: State, peer: Peer, { last }: HeartbeatReply, effects: Effects): void {
  const wasSilent = isSilent(state, peer)
  peer.heardAt = state.now
  if (!isVoter(peer.role)) noteLearnt(state, peer, last)
  if (wasSilent && peer.phase === 'idle') reopen(state, peer, effects)
}

/** A stream starts from a new promise, or from where a learner stands. */
function reopen(state: State, peer: Peer, effects: Effects): void {
  const { leadership } = state
  if (!isVoter(peer.role)) {
    if (feeds(state, peer)) startLearner(state, peer, peer.matched)
  } else if (leadership !== null) {
    send(effects, peer.id, { kind: 'prepare', ballot: leadership.ballot })
  }
}
