/**
 * The X-Paxos core: unique-proposer Multi-Paxos over a contiguous log. `step` takes one input,
 * changes the state in place and appends effects; it has no clock, chance, I/O, thread or payload
 * byte. This file only dispatches; each role has its own file (see state.ts).
 *
 * Sources: Lamport 2001, "Paxos Made Simple"; Ng, Haridi, Carbone 2023, "Omni-Paxos" (sequence
 * paxos and ballot leader election); docs/protocol.md for what differs and why.
 */
import { unreachable } from '../../base/assert.ts'
import type { Core, CoreView, Input } from '../engine.ts'
import { type FrameRef, throughOf } from '../frame-ref.ts'
import { type LogIndex, NO_BALLOT, type NodeId } from '../ids.ts'
import { isVoter } from '../membership.ts'
import { onAccept, onAcceptSync, onChosen, onPrepare } from './acceptor.ts'
import { applyChosen, onApplied, onApplyRead, onPressure, tidyTail } from './apply-cursor.ts'
import { onChangeAsked } from './change.ts'
import { mayKeepState, newestConfig, peersAreStale, refreshPeers } from './configs.ts'
import {
  isStranger,
  leaderOf,
  noteSleep,
  onHeartbeat,
  onHeartbeatReply,
  onRemoved,
  onTakeOver,
  tellRemoved,
  tickElection,
} from './election.ts'
import { onAccepted, onReject, onSubmitted, onSyncTaken, pump, resign } from './leader.ts'
import { feedLearners, onLearn, onLearned } from './learner.ts'
import {
  dropLease,
  onLeaseHeld,
  onLeaseReleased,
  pumpLease,
  refusedForLease,
  tickLease,
} from './lease.ts'
import { onFetch, onFetchRead, onFetched } from './fetch.ts'
import { noteDurable } from './log.ts'
import { leaderHoldsOf, noteHeld } from './purge.ts'
import type { Fetched, Hello, XPaxosMessage } from './messages.ts'
import { goOn, noteLost, onPromise, tickCandidacy } from './phase1.ts'
import {
  noteHeartbeat,
  noteHeartbeatReply,
  forgetHeard,
  onConfirm,
  onConfirmed,
  onLeaseIndex,
  onLeaseIndexReply,
  onReadAsked,
  onReadIndex,
  onReadIndexReply,
  pumpReads,
  tickReads,
} from './reads.ts'
import {
  BLANK,
  type Effects,
  type Recovered,
  type State,
  type XPaxosConfig,
  createState,
  event,
  peerOf,
  send,
} from './state.ts'
import { feeds, onStreamRead, resetStream, startLearner } from './stream.ts'
import { lastOf } from './tail.ts'
import { onTransferAsked } from './transfer.ts'

export function createXPaxos(
  config: XPaxosConfig,
  recovered: Recovered = BLANK,
): Core<XPaxosMessage> {
  const state = createState(config, recovered)
  return { step: (input, effects) => step(state, input, effects), view: viewOf(state) }
}

/** One input; for whoever keeps the state himself, as the explorer of the simulator does. */
export function step(state: State, input: Input<XPaxosMessage>, effects: Effects): void {
  switch (input.kind) {
    case 'tick':
      noteSleep(state, input.now)
      state.now = input.now
      tickElection(state, effects)
      tickCandidacy(state, effects)
      tickReads(state, effects)
      tickLease(state, effects)
      break
    case 'durable':
      noteDurable(state, input.lsn)
      break
    case 'link':
      onLink(state, input.peer, input.up, effects)
      break
    case 'message':
      onMessage(state, input.from, input.message, input.frames, effects)
      break
    case 'submitted':
      onSubmitted(state, input.ballot, input.frames)
      break
    case 'change':
      onChangeAsked(state, input.id, input.change, effects)
      break
    case 'transfer':
      onTransferAsked(state, input.id, input.target, effects)
      break
    case 'read-done':
      onReadDone(state, input.ticket, input.frames, effects)
      break
    case 'applied':
      onApplied(state, input.through)
      break
    case 'pressure':
      onPressure(state, input.ring)
      break
    case 'read-asked':
      onReadAsked(state, input, effects)
      break
    case 'clock-jumped':
      dropLease(state)
      forgetHeard(state)
      break
    case 'retained':
      state.firstRetained = input.first
      state.purge.isFull = input.full
      break
    default:
      unreachable(input)
  }
  releaseReplies(state, effects)
  if (peersAreStale(state)) refreshPeers(state)
  if (state.leadership === null) feedLearners(state, effects)
  else pump(state, effects, input.kind === 'tick')
  if (peersAreStale(state)) refreshPeers(state)
  pumpReads(state, effects)
  pumpLease(state, effects)
  applyChosen(state, effects)
  tidyTail(state)
}

function onMessage(
  state: State,
  from: NodeId,
  message: XPaxosMessage,
  frames: readonly FrameRef[],
  effects: Effects,
): void {
  if (!isConsistent(message, frames)) return event(effects, 'bad-message', from)
  if ('ballot' in message && message.ballot > state.seen) state.seen = message.ballot
  if ('promised' in message && message.promised > state.seen) state.seen = message.promised
  switch (message.kind) {
    case 'hello':
      return onHello(state, from, message, effects)
    case 'heartbeat':
      return onHeartbeatAndChosen(state, from, message, effects)
    case 'heartbeat-reply':
      noteHeartbeatReply(state, from, message)
      return onHeartbeatReply(state, from, message, effects)
    case 'prepare':
      if (isStranger(state, from, message.ballot)) return tellRemoved(state, from, effects)
      if (refusedForLease(state, from, message.ballot, effects)) return
      if (message.ballot > state.promised) resign(state, effects)
      return onPrepare(state, from, message, effects)
    case 'promise':
      return onPromise(state, from, message, effects)
    case 'fetch':
      return onFetch(state, from, message, effects)
    case 'fetched':
      return onSupplied(state, from, message, frames, effects)
    case 'accept-sync':
      return onAcceptSync(state, from, message, frames, effects)
    case 'accept':
      return onAccept(state, from, message, frames, effects)
    case 'accepted':
      return onAccepted(state, from, message, effects)
    case 'sync-taken':
      return onSyncTaken(state, from, message)
    case 'reject':
      return onReject(state, from, message, effects)
    case 'chosen':
      return onChosen(state, message, effects)
    case 'learn':
      return onLearn(state, from, message, frames, effects)
    case 'learned':
      return onLearned(state, from, message)
    case 'take-over':
      return onTakeOver(state, from, message, effects)
    case 'removed':
      return onRemoved(state, message, effects)
    case 'confirm':
      return onConfirm(state, from, message, effects)
    case 'confirmed':
      return onConfirmed(state, from, message, effects)
    case 'lease-held':
      return onLeaseHeld(state, message)
    case 'lease-released':
      return onLeaseReleased(state, from, message)
    case 'read-index':
      return onReadIndex(state, from, message)
    case 'read-index-reply':
      return onReadIndexReply(state, message, effects)
    case 'lease-index':
      return onLeaseIndex(state, from, message, effects)
    case 'lease-index-reply':
      return onLeaseIndexReply(state, message, effects)
    default:
      return unreachable(message)
  }
}

/** What says something else than its frames is told and dropped: no sender here says it. */
function isConsistent(message: XPaxosMessage, frames: readonly FrameRef[]): boolean {
  if (!('prev' in message)) return frames.length === 0
  let through: number = message.prev
  for (const frame of frames) {
    if (frame.first !== through + 1) return false
    through = throughOf(frame)
  }
  if (through !== message.through) return false
  if (message.kind !== 'accept-sync') return true
  return message.syncPoint <= message.prev && through <= message.adoptedLast
}

function onHeartbeatAndChosen(
  state: State,
  from: NodeId,
  message: XPaxosMessage & { readonly kind: 'heartbeat' },
  effects: Effects,
): void {
  onHeartbeat(state, from, message, effects)
  if (message.ballot === 0) return
  noteHeartbeat(state, from, message)
  onChosen(state, { ...message, kind: 'chosen' }, effects)
  noteHeld(state, message)
}

/**
 * What waited for the disk leaves; of several accepted to one node only the newest does. After
 * every input: a repeated prepare changes nothing, so its answer is durable when it is asked for.
 */
function releaseReplies(state: State, effects: Effects): void {
  const { waiting, durableLsn } = state
  let count = 0
  while (count < waiting.length && waiting[count]!.lsn <= durableLsn) count += 1
  if (count === 0) return
  const ready = waiting.splice(0, count)
  state.waitingSince = state.now
  for (const [place, { to, message }] of ready.entries()) {
    const next = ready[place + 1]
    const newer = next?.to === to && next.message.kind === message.kind
    if (message.kind === 'accepted' && newer) continue
    if (to === state.self.id) onMessage(state, to, message, [], effects)
    else send(effects, to, message)
  }
}

function onLink(state: State, id: NodeId, up: boolean, effects: Effects): void {
  // Others too: who is a member may be told by a log that this node has not yet.
  if (up) state.linksUp.add(id)
  else state.linksUp.delete(id)
  const peer = peerOf(state, id)
  if (peer !== undefined) {
    peer.up = up
    peer.heardAt = state.now
    resetStream(state, peer)
    if (!up) peer.replyAt = -1
  }
  if (!up) return noteLost(state, id, effects)
  const { promised, acceptedBallot, floor } = state
  send(effects, id, { kind: 'hello', promised, acceptedBallot, last: lastOf(state.tail), floor })
}

/** A new session with a peer: whatever role this node has in its own ballot starts afresh. */
function onHello(state: State, from: NodeId, message: Hello, effects: Effects): void {
  const peer = peerOf(state, from)
  if (peer === undefined) return
  if (!isVoter(peer.role)) {
    peer.matched = message.acceptedBallot === NO_BALLOT ? message.last : message.floor
    if (feeds(state, peer)) startLearner(state, peer, peer.matched)
    return
  }
  const prepared = state.leadership ?? (state.candidacy?.selfPromised ? state.candidacy : null)
  if (prepared !== null) send(effects, from, { kind: 'prepare', ballot: prepared.ballot })
}

function onReadDone(
  state: State,
  ticket: number,
  frames: readonly FrameRef[],
  effects: Effects,
): void {
  const purpose = state.reads.get(ticket)
  if (purpose === undefined) return
  state.reads.delete(ticket)
  if (purpose.kind === 'apply') return onApplyRead(state, frames, effects)
  if (purpose.kind === 'fetch') return onFetchRead(state, ticket, frames, effects)
  const peer = peerOf(state, purpose.peer)
  if (peer?.reading !== ticket) return
  peer.reading = 0
  if (peer.attempt === purpose.attempt) onStreamRead(state, peer, frames, effects)
}

function onSupplied(
  state: State,
  from: NodeId,
  message: Fetched,
  frames: readonly FrameRef[],
  effects: Effects,
): void {
  const { candidacy } = state
  if (candidacy === null) return
  goOn(state, candidacy, onFetched(state, from, message, frames, effects), effects)
}

function viewOf(state: State): CoreView {
  return {
    get role() {
      if (state.leadership !== null) return 'leader'
      if (state.self.role !== 'voter') return state.self.role
      return state.candidacy === null ? 'follower' : 'candidate'
    },
    get leader() {
      return leaderOf(state)
    },
    get promised() {
      return state.promised
    },
    get acceptedBallot() {
      return state.acceptedBallot
    },
    get last() {
      return lastOf(state.tail)
    },
    get chosen() {
      return state.floor
    },
    get chosenChain() {
      return state.floorChain
    },
    get durable() {
      return state.durable
    },
    get held() {
      return state.purge.held
    },
    get heldByData() {
      return state.purge.heldByData
    },
    get leaderHolds() {
      return leaderHoldsOf(state)
    },
    get keepsState() {
      return mayKeepState(state)
    },
    get firstRetained() {
      return state.firstRetained
    },
    get membership() {
      return newestConfig(state).membership
    },
    get membershipIndex() {
      return newestConfig(state).index as LogIndex
    },
    get acceptedBatches() {
      return state.acceptedBatches
    },
  }
}
