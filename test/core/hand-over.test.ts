/**
 * A hand-over by one leader's clock (R24, R25): when it orders, how often, when it gives up, and
 * whom it chooses itself.
 */
import { expect, test } from 'vitest'
import type { LogIndex, NodeId } from '../../src/core/ids.ts'
import type { Peer, State } from '../../src/core/xpaxos/state.ts'
import {
  type CoreEffect,
  ballot,
  createMaker,
  give,
  hear,
  leaderOf,
  membersOf,
  ofKind,
  sentIn,
  stateOf,
} from '../support/core-state.ts'

const T = 100
const BEAT = 20
const peerIn = (state: State, id: number): Peer => state.peers.find((peer) => peer.id === id)!

/** All answer as followers that are content; then a heartbeat passes. */
function beat(state: State, ms = BEAT): CoreEffect[] {
  for (const { id } of state.peers) {
    const { round, promised } = state
    const said = { round, promised, content: 1, connected: 1, last: 0, firstRetained: 1, full: 0 }
    hear(state, id, { kind: 'heartbeat-reply', ...said })
  }
  return give(state, { kind: 'tick', now: state.now + ms })
}

/** A leader of three whose log is empty, with these weights. */
function leading(...weights: readonly number[]): State {
  const members = membersOf(['voter', 'voter', 'voter']).map((one, i) => ({
    ...one,
    weight: weights[i]!,
  }))
  const state = leaderOf(1, { members })
  for (const from of [2, 3]) {
    const log = { acceptedBallot: 0, last: 0, floor: 0, firstRetained: 1 }
    hear(state, from, { kind: 'promise', ballot: state.promised, ...log })
    const { attempt } = peerIn(state, from)
    hear(state, from, { kind: 'accepted', ballot: state.promised, attempt, through: 0 })
  }
  beat(state)
  return state
}

const transfer = (state: State, target: number): CoreEffect[] =>
  give(state, { kind: 'transfer', id: 5, target: target as NodeId })

const outcomes = (effects: readonly CoreEffect[]): string[] =>
  ofKind(effects, 'transferred').map(({ outcome }) => outcome)

test('five orders at the pace of the target, then it is given up', () => {
  const state = leading(5, 5, 5)
  const since = state.now
  expect(outcomes(transfer(state, 2))).toEqual([])
  const orders: number[] = []
  let ended: string[] = []
  for (let i = 0; i < 400 && ended.length === 0; i++) {
    const effects =
      i % 10 === 0 ? beat(state, 1) : give(state, { kind: 'tick', now: state.now + 1 })
    for (const { to, kind } of sentIn(effects)) {
      if (kind === 'take-over') orders.push(state.now - since)
      if (kind === 'take-over') expect(to).toBe(2)
    }
    ended = outcomes(effects)
  }
  const pace = T / 5 + BEAT
  expect(orders).toEqual([0, 1, 2, 3, 4].map((count) => 1 + count * pace))
  expect([ended, state.now - since]).toEqual([['timed-out'], 1 + 5 * pace])
  expect(state.leadership).toMatchObject({ transfer: null, leaseBarred: true, closedFor: null })
})

test('what is not drained within an election time-out is given up without an order', () => {
  const state = leading(5, 5, 5)
  const frame = createMaker()(1)
  give(state, { kind: 'submitted', ballot: state.promised, frames: [frame] })
  const since = state.now
  transfer(state, 2)
  let ended: string[] = []
  let orders = 0
  while (ended.length === 0 && state.now < since + 5 * T) {
    const effects = beat(state, 1)
    orders += sentIn(effects, 'take-over').length
    ended = outcomes(effects)
  }
  expect([ended, orders, state.now - since]).toEqual([['timed-out'], 0, T + 1])
  expect(state.leadership!.leaseBarred).toBe(false)
})

test('the target has to hold everything, and all of it has to be chosen', () => {
  const state = leading(5, 5, 5)
  const frame = createMaker()(1)
  give(state, { kind: 'submitted', ballot: state.promised, frames: [frame] })
  transfer(state, 2)
  const orders = (): number => sentIn(beat(state, 1), 'take-over').length
  const accepted = (from: number): void => {
    const { attempt } = peerIn(state, from)
    hear(state, from, { kind: 'accepted', ballot: state.promised, attempt, through: 1 })
  }
  accepted(3)
  expect(orders()).toBe(0)
  accepted(2)
  expect([state.floor, orders()]).toEqual([1, 1])
})

test('whether the target stood says what came of it', () => {
  const ended = (by: number): string[] => {
    const state = leading(5, 5, 5)
    transfer(state, 2)
    beat(state, 1)
    return outcomes(hear(state, by, { kind: 'prepare', ballot: ballot(9, by) }))
  }
  expect(ended(2)).toEqual(['done'])
  expect(ended(3)).toEqual(['timed-out'])
})

test('an order holds for a follower of its sender, and for no other', () => {
  const stands = (from: number, told: number, weight = 5): boolean => {
    const members = membersOf(['voter', 'voter', 'voter']).map((one) => ({ ...one, weight }))
    members[0] = { ...members[0]!, weight: 5 }
    const state = stateOf(2, { members })
    const own = ballot(3, 1)
    hear(state, 1, { kind: 'prepare', ballot: own })
    const empty = { syncPoint: 0, adoptedLast: 0, prev: 0, through: 0 }
    hear(state, 1, { kind: 'accept-sync', ballot: own, ...empty })
    hear(state, from, { kind: 'take-over', ballot: ballot(told, 1) })
    return state.candidacy !== null
  }
  expect(stands(1, 3)).toBe(true)
  expect([stands(3, 3), stands(1, 2), stands(1, 3, 0)]).toEqual([false, false, false])
})

test('by weight: the heaviest that was ready for ten time-outs', () => {
  const state = leading(5, 7, 9)
  const { startedAt } = state.leadership!
  let started: number[] = []
  while (started.length === 0 && state.now < startedAt + 50 * T) {
    const events = ofKind(beat(state), 'event')
    started = events.flatMap(({ name, value }) => (name === 'transfer-started' ? [value] : []))
  }
  expect(started).toEqual([3])
  const readyFor = state.now - peerIn(state, 3).readySince
  expect(readyFor).toBeGreaterThanOrEqual(10 * T)
  expect(readyFor).toBeLessThan(10 * T + 2 * BEAT)
})

test('each try by weight that fails doubles the pause before the next, to 64 spans at most', () => {
  const state = leading(5, 5, 9)
  const starts: number[] = []
  while (starts.length < 8 && state.now < 4_000 * T) {
    const events = ofKind(beat(state, BEAT), 'event')
    if (events.some(({ name }) => name === 'transfer-started')) starts.push(state.now)
  }
  const gaps = starts.slice(1).map((at, i) => Math.floor((at - starts[i]!) / (10 * T)))
  expect(gaps).toEqual([2, 4, 8, 16, 32, 64, 64])
})

test('equal weight is no reason to hand over', () => {
  const state = leading(5, 5, 5)
  for (let i = 0; i < 100; i++) {
    const names = ofKind(beat(state), 'event').map(({ name }) => name)
    expect(names).not.toContain('transfer-started')
  }
})

test('only an electable member is a target, only an established leader hands over', () => {
  const state = leading(5, 0, 5)
  expect([0, 1, 2, 9].map((id) => outcomes(transfer(state, id)))).toEqual(
    [1, 2, 3, 4].map(() => ['illegal']),
  )
  state.leadership!.change = { id: 1, index: 0 as LogIndex, startedAt: 0 }
  expect(outcomes(transfer(state, 3))).toEqual(['not-ready'])
  state.leadership!.change = null
  expect(outcomes(transfer(state, 3))).toEqual([])
  expect(outcomes(transfer(state, 3))).toEqual(['conflict'])
  expect(outcomes(transfer(stateOf(1), 3))).toEqual(['not-leader'])
})
