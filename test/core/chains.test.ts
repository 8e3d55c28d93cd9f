/**
 * What the comparison of chains protects (R7, R11, R31): a log that is told chosen elsewhere, and
 * is another one here, is a bug or a damaged disk; the node says so and goes no further. Each case
 * is played twice, once with the chain as it should be.
 */
import { expect, test } from 'vitest'
import { type FrameRef, chainOf } from '../../src/core/frame-ref.ts'
import type { LogIndex, NodeId } from '../../src/core/ids.ts'
import type { Recovered, State } from '../../src/core/xpaxos/state.ts'
import { lastOf } from '../../src/core/xpaxos/tail.ts'
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
  sync,
} from '../support/core-state.ts'

const OLD = ballot(1, 2)
const NEW = ballot(2, 2)
const FRAMES = framesOf(6)
const CHAINS = chainsOf(FRAMES)
const OTHER = 4_711

function framesOf(count: number): FrameRef[] {
  const make = createMaker()
  return Array.from({ length: count }, (_, i) => make(i + 1, { born: OLD }))
}

/** The chain behind each index, from 0 on. */
function chainsOf(frames: readonly FrameRef[]): number[] {
  const chains = [0]
  for (const { headerCrc } of frames) chains.push(chainOf(chains.at(-1)!, headerCrc))
  return chains
}

/** A node whose disk has the first entries of that log, accepted in the old ballot. */
function holding(last: number, floor = 0): Partial<Recovered> {
  const through = (value: number): LogIndex => value as LogIndex
  const marks = CHAINS.slice(0, last + 1).map((chain, at) => ({
    ...{ through: through(at), chain, continues: false },
  }))
  const about = { floor: through(floor), floorChain: CHAINS[floor]! }
  return { promised: OLD, acceptedBallot: OLD, ...about, marks: marks.slice(floor + 1) }
}

const alarms = (effects: readonly CoreEffect[]): number[] =>
  ofKind(effects, 'event').flatMap(({ name, value }) => (name === 'chain-mismatch' ? [value] : []))

/** Node 1 stands, its own promise is durable, and nobody has answered yet. */
function candidateWith(recovered: Partial<Recovered>): State {
  const state = stateOf(1, {}, recovered)
  for (const peer of [2, 3]) give(state, { kind: 'link', peer: peer as never, up: true })
  for (let now = 1; state.candidacy === null && now < 1_000; now += 10) {
    for (const from of [2, 3]) {
      const told = { promised: 0, content: 0, connected: 1, last: 0, firstRetained: 1, full: 0 }
      hear(state, from, { kind: 'heartbeat-reply', round: state.round, ...told })
    }
    give(state, { kind: 'tick', now })
  }
  sync(state)
  return state
}

const promiseOf = (state: State, told: object) => ({
  ...{ kind: 'promise', ballot: state.promised, acceptedBallot: OLD, firstRetained: 1 },
  ...told,
})

test.each([
  ['the same chain', CHAINS[3]!, true],
  ['another chain', OTHER, false],
])('a floor that a promise reports within the own log, %s', (_name, floorChain, leads) => {
  const state = candidateWith(holding(5))
  const effects = hear(state, 2, promiseOf(state, { last: 4, floor: 3, floorChain }))
  expect(alarms(effects)).toEqual(leads ? [] : [3])
  expect(state.leadership !== null).toBe(leads)
  // Refused, it still holds what it had accepted, under the ballot it had accepted it in.
  if (!leads) expect([state.acceptedBallot, lastOf(state.tail), state.floor]).toEqual([OLD, 5, 0])
})

test.each([
  ['the same chain', CHAINS[4]!, true],
  ['another chain', OTHER, false],
])('a floor that a promise reports within what is fetched, %s', (_name, floorChain, leads) => {
  const state = candidateWith(holding(2))
  hear(state, 2, promiseOf(state, { last: 6, floor: 0, floorChain: 0 }))
  hear(state, 3, promiseOf(state, { last: 5, floor: 4, floorChain }))
  const fetched = { kind: 'fetched', ballot: state.promised, acceptedBallot: OLD }
  const effects = hear(state, 2, { ...fetched, prev: 2, through: 6 }, FRAMES.slice(2))
  expect(alarms(effects)).toEqual(leads ? [] : [4])
  expect(state.leadership !== null).toBe(leads)
  expect([state.acceptedBallot === OLD, lastOf(state.tail)]).toEqual(leads ? [false, 6] : [true, 2])
})

test('a candidate that found another chain survives the loss of whom it fetched from', () => {
  const state = candidateWith(holding(2))
  hear(state, 2, promiseOf(state, { last: 6, floor: 0, floorChain: 0 }))
  hear(state, 3, promiseOf(state, { last: 5, floor: 4, floorChain: OTHER }))
  const fetched = { kind: 'fetched', ballot: state.promised, acceptedBallot: OLD }
  hear(state, 2, { ...fetched, prev: 2, through: 6 }, FRAMES.slice(2))
  give(state, { kind: 'link', peer: 2 as NodeId, up: false })
  expect([state.candidacy?.source, state.pendingSync, state.leadership]).toEqual([null, null, null])
})

test('a candidate that found another chain gives its ballot up in time', () => {
  const state = candidateWith(holding(5))
  hear(state, 2, promiseOf(state, { last: 4, floor: 3, floorChain: OTHER }))
  const { promised, now } = state
  const { electionTimeoutMs } = state.config
  for (let ms = 10; ms <= 3 * electionTimeoutMs; ms += 10)
    give(state, { kind: 'tick', now: now + ms })
  expect([state.candidacy, state.promised]).toEqual([null, promised])
})

/** A follower that promised the new ballot and holds four entries of the old one. */
function follower(): State {
  const state = stateOf(1, {}, holding(4, 1))
  give(state, { kind: 'tick', now: 1 })
  hear(state, 2, { kind: 'prepare', ballot: NEW })
  sync(state)
  return state
}
const SYNC = { kind: 'accept-sync', ballot: NEW, syncPoint: 3, adoptedLast: 5, prev: 3, through: 5 }

test.each([
  ['the same chain', CHAINS[3]!, true],
  ['another chain', OTHER, false],
  ['a chain that the leader no longer knows', -1, true],
])('a sync point, %s', (_name, syncChain, taken) => {
  const state = follower()
  const effects = hear(state, 2, { ...SYNC, syncChain }, FRAMES.slice(3, 5))
  expect(alarms(effects)).toEqual(taken ? [] : [3])
  const expected = taken ? [NEW, 5] : [OLD, 4]
  expect([state.acceptedBallot, lastOf(state.tail)]).toEqual(expected)
  expect(sentIn([...effects, ...sync(state)], 'accepted')).toHaveLength(taken ? 1 : 0)
  expect(ofKind(effects, 'append').length > 0).toBe(taken)
})

test('who refuses a sync point for its chain is not asked again at the speed of the link', () => {
  const leader = leaderOf(1)
  const state = follower()
  const first = hear(state, 2, { ...SYNC, syncChain: OTHER }, FRAMES.slice(3, 5))
  const more = hear(state, 2, { ...SYNC, prev: 5, adoptedLast: 6, through: 6 }, FRAMES.slice(5))
  expect([...sentIn(first), ...sentIn(more)]).toEqual([]) // else the stream starts again, at once
  const again = hear(state, 2, { ...SYNC, attempt: 2, syncChain: CHAINS[3]! }, FRAMES.slice(3, 5))
  expect([ofKind(again, 'append').length > 0, state.acceptedBallot]).toEqual([true, NEW])
  // The leader finds that the stream stands still, and says so at its own pace.
  const peer = leader.peers.find(({ id }) => id === 2)!
  expect([peer.phase, peer.inflight.length]).toEqual(['streaming', 1])
  const { now } = leader
  let resets = 0
  for (let ms = 10; ms <= 10 * leader.config.electionTimeoutMs; ms += 10) {
    const { round } = leader
    const told = { promised: leader.promised, content: 1, connected: 1, last: 0 }
    hear(leader, 2, { kind: 'heartbeat-reply', round, ...told, firstRetained: 1, full: 0 })
    const effects = give(leader, { kind: 'tick', now: now + ms })
    for (const { to } of sentIn(effects, 'prepare').filter(({ to }) => to === 2)) {
      resets += 1
      const promise = { kind: 'promise', ballot: leader.promised, acceptedBallot: 0, last: 0 }
      hear(leader, to, { ...promise, floor: 0, firstRetained: 1 })
    }
  }
  expect(resets).toBeGreaterThan(0)
  expect(resets).toBeLessThan(10)
})

test.each([
  ['the same chain', CHAINS[4]!, 4],
  ['another chain', OTHER, 1],
])('a chosen index within the own log, %s', (_name, chosenChain, floor) => {
  const state = follower()
  const range = { syncPoint: 4, adoptedLast: 4, prev: 4, through: 4, syncChain: CHAINS[4]! }
  hear(state, 2, { ...SYNC, ...range })
  expect([state.acceptedBallot, state.floor]).toEqual([NEW, 1])
  const effects = hear(state, 2, { kind: 'chosen', ballot: NEW, chosen: 4, chosenChain })
  expect([alarms(effects), state.floor]).toEqual([floor === 4 ? [] : [4], floor])
  expect(ofKind(effects, 'chosen')).toHaveLength(floor === 4 ? 1 : 0)
})

/** Node 4 is a learner and has learnt two entries of that log. */
function learner(): State {
  const members = membersOf(['voter', 'voter', 'voter', 'learner'])
  const state = stateOf(4, { members }, { ...holding(2, 2), acceptedBallot: 0 as never })
  give(state, { kind: 'tick', now: 1 })
  return state
}

test.each([
  ['the same chain', CHAINS[2]!, 4],
  ['another chain', OTHER, 2],
  ['a chain that the source no longer knows', -1, 4],
])('learnt entries behind the own last one, %s', (_name, prevChain, last) => {
  const state = learner()
  const learn = { kind: 'learn', prev: 2, prevChain, through: 4, config: 0 }
  const effects = hear(state, 2, learn, FRAMES.slice(2, 4))
  expect([alarms(effects), lastOf(state.tail), state.floor]).toEqual([
    last === 4 ? [] : [2],
    last,
    last,
  ])
  expect(sentIn([...effects, ...sync(state)], 'learned')).toHaveLength(last === 4 ? 1 : 0)
})
