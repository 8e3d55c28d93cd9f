/**
 * Basic Paxos, the baseline engine: every value is decided by its own instance, with both phases on
 * the disk. Pure: input in, effects out. This file dispatches, keeps time and decides who proposes;
 * acceptor.ts, proposer.ts and learner.ts hold the rules. docs/basic-paxos.md explains them.
 *
 * Who proposes: the first `proposers` live electable voters in the order of members. A node whose
 * link has been down for takeoverMs is not live. Nobody ever stops: a proposer that comes back
 * duels with the one that stood in, which is safe.
 */
import { assert, unreachable } from '../../base/assert.ts'
import { resendNow } from './runs.ts'
import type { Core, CoreView, Input, Member } from '../engine.ts'
import type { FrameRef } from '../frame-ref.ts'
import { type LogIndex, NO_BALLOT, NO_INDEX, type NodeId } from '../ids.ts'
import { membershipOf } from '../membership.ts'
import { onAccept, onDurable, onPrepare, onValueRead } from './acceptor.ts'
import {
  advance,
  askForGap,
  markPrefix,
  onChosen,
  onLearned,
  onPressure,
  onRead,
  tellChosen,
} from './learner.ts'
import type { BasicPaxosMessage } from './messages.ts'
import {
  assign,
  finishGaps,
  flushNotice,
  onAccepted,
  onOwnAnswers,
  onPromise,
  onReject,
  onSubmitted,
  runTimers,
} from './proposer.ts'
import type { BasicPaxosRecovered } from './recovered.ts'
import {
  type BasicPaxosConfig,
  type Effects,
  type State,
  createState,
  isElectable,
  maxOf,
  peerOf,
  send,
} from './state.ts'

const STATUS_MS = 50
const STATUS_IDLE_MS = 1000
const START_PATIENCE = 10

export function createBasicPaxos(
  config: BasicPaxosConfig,
  recovered: BasicPaxosRecovered,
): Core<BasicPaxosMessage> {
  const state = createState(config, recovered)
  const view = createView(config.members)
  refreshView(state, view)
  return {
    view,
    step(input, effects) {
      dispatch(state, effects, input)
      settle(state, effects)
      refreshView(state, view)
    },
  }
}

function dispatch(state: State, effects: Effects, input: Input<BasicPaxosMessage>): void {
  switch (input.kind) {
    case 'tick':
      return onTick(state, effects, input.now)
    case 'durable':
      return onDurable(state, effects, input.lsn)
    case 'link':
      return onLink(state, effects, input.peer, input.up)
    case 'message':
      return onMessage(state, effects, input.from, input.message, input.frames)
    case 'submitted':
      return onSubmitted(state, input.frames)
    case 'read-done':
      return onReadDone(state, effects, input.ticket, input.frames)
    case 'applied':
      state.applied = maxOf(state.applied, input.through)
      return
    case 'pressure':
      return onPressure(state, input.ring)
    case 'change':
      return void effects.push({ kind: 'changed', id: input.id, outcome: 'not-leader' })
    case 'transfer':
      return void effects.push({ kind: 'transferred', id: input.id, outcome: 'not-leader' })
    case 'read-asked':
      effects.push({ kind: 'read-refused', id: input.id, reason: 'not-available' })
      return
    case 'clock-jumped':
    case 'retained':
      return
    default:
      return unreachable(input)
  }
}

/** What follows from any input: own answers, the prefix, due retries, free places for values. */
function settle(state: State, effects: Effects): void {
  onOwnAnswers(state, effects)
  advance(state, effects)
  runTimers(state, effects)
  if (state.running === 0) flushNotice(state, effects)
  assign(state, effects)
}

function onMessage(
  state: State,
  effects: Effects,
  sender: NodeId,
  message: BasicPaxosMessage,
  frames: readonly FrameRef[],
): void {
  const from = peerOf(state, sender)
  if (from === undefined) return // not of this cluster
  from.known = maxOf(from.known, message.known)
  switch (message.kind) {
    case 'basic-prepare':
      return onPrepare(state, effects, from, message)
    case 'basic-promise':
      return onPromise(state, effects, from, message, frames[0] ?? null)
    case 'basic-accept':
      return onAccept(state, effects, from, message, frameOf(frames))
    case 'basic-accepted':
      return onAccepted(state, effects, from.bit, message)
    case 'basic-reject':
      return onReject(state, message)
    case 'basic-chosen':
      return onChosen(state, message)
    case 'basic-learn':
      state.seenAsked = maxOf(state.seenAsked, message.through)
      return tellChosen(state, effects, from, message)
    case 'basic-learned':
      onLearned(state, effects, message, frameOf(frames))
      return askForGap(state, effects, false)
    case 'basic-status':
      return
    default:
      return unreachable(message)
  }
}

function frameOf(frames: readonly FrameRef[]): FrameRef {
  const frame = frames[0]
  assert(frame !== undefined && frame.count === 1, 'an accept or learned value has one frame')
  return frame
}

function onReadDone(
  state: State,
  effects: Effects,
  ticket: number,
  frames: readonly FrameRef[],
): void {
  const purpose = state.reads.get(ticket)
  assert(purpose !== undefined, 'a read was asked for')
  state.reads.delete(ticket)
  if (purpose.kind === 'promise') onValueRead(state, effects, purpose.instance, frames)
  else onRead(state, effects, purpose, frames)
}

function onLink(state: State, effects: Effects, id: NodeId, up: boolean): void {
  const peer = peerOf(state, id)
  if (peer === undefined) return
  if (peer.up && !up) peer.downSince = state.now
  peer.up = up
  peer.wasUp ||= up
  if (up) {
    send(effects, peer, { kind: 'basic-status', known: state.chosenThrough })
    resendNow(state)
  }
  peer.toldKnown = state.chosenThrough
}

function onTick(state: State, effects: Effects, now: number): void {
  if (!state.hasTicked) {
    state.hasTicked = true
    state.progressAt = now
    for (const peer of state.peers) peer.downSince = now
  }
  state.now = Math.max(state.now, now)
  tellStatus(state, effects)
  flushNotice(state, effects)
  markPrefix(state, effects)
  checkProposers(state, effects)
  const idleSince = Math.max(state.progressAt, state.askedAt)
  if (state.now - idleSince >= gapMsOf(state)) {
    askForGap(state, effects, true)
    if (state.isProposing && state.now - state.progressAt >= gapMsOf(state)) {
      finishGaps(state, effects)
    }
  }
}

/** Without progress for so long, something is missing; slow disks alone make it longer. */
const gapMsOf = (state: State): number =>
  Math.max(state.resendMsMin, 2 * state.config.retryMs, 4 * state.latencyMs)

/** `known` for those who have not heard it otherwise. */
function tellStatus(state: State, effects: Effects): void {
  if (state.now - state.statusAt < STATUS_MS) return
  const isIdle = state.now - state.statusAt >= STATUS_IDLE_MS
  let hasTold = false
  for (const peer of state.peers) {
    if (peer.toldKnown === state.chosenThrough && !isIdle) continue
    send(effects, peer, { kind: 'basic-status', known: state.chosenThrough })
    peer.toldKnown = state.chosenThrough
    hasTold = true
  }
  if (hasTold) state.statusAt = state.now
}

function checkProposers(state: State, effects: Effects): void {
  let leader: NodeId | 0 = 0
  let liveBefore = 0
  for (const member of state.config.members) {
    if (!isElectable(member) || !isLive(state, member.id)) continue
    if (leader === 0) leader = member.id
    if (member.id === state.config.self) break
    liveBefore++
  }
  if (leader !== state.leader) {
    state.leader = leader
    effects.push({ kind: 'event', name: 'leader', value: leader })
  }
  const stands = isElectable(state.self) && liveBefore < state.config.proposers
  if (state.isProposing || !stands) return
  state.isProposing = true
  const next = Math.max(state.nextFree, state.chosenThrough + 1) as LogIndex
  effects.push({ kind: 'lead', ballot: NO_BALLOT, next, abort: false })
}

function isLive(state: State, id: NodeId): boolean {
  const peer = peerOf(state, id)
  if (peer === undefined || peer.up) return true
  // A cluster that is only just being started gets more patience than one that lost a node.
  const patience = peer.wasUp ? 1 : START_PATIENCE
  return state.now - peer.downSince < patience * state.takeoverMs
}

type MutableView = { -readonly [Field in keyof CoreView]: CoreView[Field] }

const createView = (members: readonly Member[]): MutableView => ({
  role: 'follower',
  leader: 0,
  promised: NO_BALLOT,
  acceptedBallot: NO_BALLOT,
  last: NO_INDEX,
  chosen: NO_INDEX,
  chosenChain: 0,
  durable: NO_INDEX,
  keepsState: true,
  held: NO_INDEX,
  heldByData: NO_INDEX,
  leaderHolds: NO_INDEX,
  firstRetained: NO_INDEX,
  acceptedBatches: 0,
  membership: membershipOf(members),
  membershipIndex: NO_INDEX,
})

/**
 * Approximations, since a node has a ballot an instance and no contiguous log: `promised` is the
 * highest of any instance, `last` the highest instance with a value here, and `durable` the highest
 * one whose acceptance is on this disk (lower ones may be missing).
 */
function refreshView(state: State, view: MutableView): void {
  const { role } = state.self
  view.role = state.isProposing ? 'leader' : role === 'voter' ? 'follower' : role
  view.leader = state.leader
  view.promised = state.promisedMax
  view.acceptedBallot = NO_BALLOT
  view.last = state.seenValue
  view.chosen = state.chosenThrough
  view.chosenChain = state.chosenChain
  view.durable = state.durableInstance
  view.acceptedBatches = state.acceptedBatches
}
