/**
 * Handing leadership over: stop admitting, let everything be chosen and held by the target, then
 * send it orders to stand; by an operator's wish, by weight, or because this leader must go (R20,
 * R24, R25, R29). Pure; decision loop only.
 *
 * Invariant: after an order has left this ballot serves no lease, not even when the transfer was
 * given up: the order may still arrive.
 */
import type { TransferOutcome } from '../engine.ts'
import { type NodeId, ballotOwner } from '../ids.ts'
import { isElectable, memberOf } from '../membership.ts'
import { reviewAdmission } from './admission.ts'
import { isEstablished, mustGo } from './change.ts'
import { newestConfig } from './configs.ts'
import type { TakeOver } from './messages.ts'
import { type Effects, type Peer, type State, type Transfer, event, peerOf, send } from './state.ts'
import { isGroupOpen, lastOf } from './tail.ts'

const ORDERS_MAX = 5
const CALM_TIMEOUTS = 10
const PENALTY_DOUBLINGS_MAX = 6

export function onTransferAsked(state: State, id: number, target: NodeId, effects: Effects): void {
  const outcome = refusal(state, target)
  if (outcome === null) return startTransfer(state, target, id, effects)
  effects.push({ kind: 'transferred', id, outcome })
}

function refusal(state: State, target: NodeId): TransferOutcome | null {
  const { leadership } = state
  if (leadership === null) return 'not-leader'
  if (leadership.transfer !== null) return 'conflict'
  const member = memberOf(newestConfig(state).membership, target)
  if (target === state.self.id || member === undefined || !isElectable(member)) return 'illegal'
  return isEstablished(state) && leadership.change === null ? null : 'not-ready'
}

function startTransfer(state: State, target: NodeId, id: number, effects: Effects): void {
  const { now } = state
  state.leadership!.transfer = { id, target, startedAt: now, orders: 0, orderAt: 0 }
  event(effects, 'transfer-started', target)
  reviewAdmission(state, effects)
}

/**
 * One look at a running transfer. Draining has an election timeout; then the order is repeated, and
 * a target that does not stand after the last one is given up.
 * @returns true when it was given up after orders had left
 */
export function driveTransfer(state: State, effects: Effects): boolean {
  const leadership = state.leadership!
  const { transfer, ballot } = leadership
  if (transfer === null) return false
  const { electionTimeoutMs } = state.config
  const peer = peerOf(state, transfer.target)
  if (transfer.orders > 0 || (peer !== undefined && isDrained(state, peer))) {
    const isDue = transfer.orders === 0 || state.now >= transfer.orderAt
    if (!isDue) return false
    if (transfer.orders === ORDERS_MAX) {
      giveUp(state, effects, transfer)
      return true
    }
    transfer.orders += 1
    leadership.leaseBarred = true
    transfer.orderAt = state.now + Math.ceil(electionTimeoutMs / 5) + state.config.heartbeatMs
    send(effects, transfer.target, { kind: 'take-over', ballot })
    return false
  }
  if (state.now - transfer.startedAt <= electionTimeoutMs) return false
  giveUp(state, effects, transfer)
  return false
}

/** The leader goes on; orders that are still under way may end its ballot at any time (R25). */
function giveUp(state: State, effects: Effects, { target }: Transfer): void {
  event(effects, 'transfer-failed', target)
  endTransfer(state, effects)
  reviewAdmission(state, effects)
}

/**
 * Nothing is left that the target does not hold, and all of it is chosen and announced. Within a
 * group more is to come: the target could only abort it.
 */
function isDrained(state: State, peer: Peer): boolean {
  if (state.leadership!.queue.length > 0 || isGroupOpen(state.tail)) return false
  const last = lastOf(state.tail)
  return state.floor === last && peer.matched === last
}

/** Leadership ends, or the transfer was given up; `seen` tells whether the target stood. */
export function endTransfer(state: State, effects: Effects): void {
  const { leadership } = state
  const transfer = leadership?.transfer ?? null
  if (leadership === null || transfer === null) return
  leadership.transfer = null
  if (transfer.id === 0) return
  const isDone = state.seen > leadership.ballot && ballotOwner(state.seen) === transfer.target
  effects.push({ kind: 'transferred', id: transfer.id, outcome: isDone ? 'done' : 'timed-out' })
}

/** @returns true when the order holds: it names the ballot that this node follows now (R24) */
export function isOrdered(state: State, from: NodeId, { ballot }: TakeOver): boolean {
  const follows = ballot === state.promised && ballot === state.acceptedBallot
  return follows && ballotOwner(ballot) === from && isElectable(state.self)
}

/** Starts a hand-over that this leader wants itself: it must go, or a heavier node is ready. */
export function considerHandOver(state: State, effects: Effects): void {
  const target = mustGo(state) ? bestOf(state, 0, -1) : heavierOf(state)
  if (target !== null) startTransfer(state, target, 0, effects)
}

/** Strictly greater weight, caught up and content without a gap, and not tried lately (R20). */
function heavierOf(state: State): NodeId | null {
  const calmMs = CALM_TIMEOUTS * state.config.electionTimeoutMs
  if (state.now - state.leadership!.startedAt < calmMs) return null
  const target = bestOf(state, calmMs, state.self.weight)
  if (target === null) return null
  const { count, until } = state.penalties.get(target) ?? { count: 0, until: 0 }
  if (state.now < until) return null
  const spanMs = calmMs * 2 ** Math.min(count + 1, PENALTY_DOUBLINGS_MAX)
  state.penalties.set(target, { count: count + 1, until: state.now + spanMs })
  return target
}

/** The heaviest peer that has been ready for `readyMs`, if heavier than `above`. */
function bestOf(state: State, readyMs: number, above: number): NodeId | null {
  let best: NodeId | null = null
  let weight = above
  for (const member of newestConfig(state).membership.members) {
    const { readySince = -1 } = peerOf(state, member.id) ?? {}
    const isReady = readySince >= 0 && state.now - readySince >= readyMs
    if (!isReady || !isElectable(member) || member.weight <= weight) continue
    best = member.id
    weight = member.weight
  }
  return best
}
