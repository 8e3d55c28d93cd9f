/**
 * When one node stands, waits and gives up (R18, R19), by its own clock, and whom it takes for the
 * leader. The others are voices in the test's hands.
 */
import { expect, test } from 'vitest'
import { isContent, leaderOf as followedBy } from '../../src/core/xpaxos/election.ts'
import { isSilent } from '../../src/core/xpaxos/peer.ts'
import type { State } from '../../src/core/xpaxos/state.ts'
import {
  type CoreEffect,
  VOTERS,
  ballot,
  createMaker,
  give,
  hear,
  leaderOf,
  membersOf,
  ofKind,
  stateOf,
  sync,
} from '../support/core-state.ts'

const T = 100
const BEAT = 20
const SILENCE = { round: 1, ballot: 0, chosen: 0, chosenChain: -1, knows: 0 }
const KEPT = { held: 0, heldByData: 0, leaderHolds: 0 }

/** All others answer the round that is out, then time goes on by a heartbeat. */
function beat(state: State, reply: object = {}): CoreEffect[] {
  for (const { id } of state.peers) answer(state, id, reply)
  return give(state, { kind: 'tick', now: state.now + BEAT })
}

function answer(state: State, from: number, reply: object = {}): CoreEffect[] {
  const { round } = state
  const said = { round, promised: 0, content: 0, connected: 1, last: 0, firstRetained: 1, full: 0 }
  return hear(state, from, { kind: 'heartbeat-reply', ...said, ...reply })
}

function started(members = VOTERS): State {
  const state = stateOf(1, { members })
  for (const { id } of state.peers) give(state, { kind: 'link', peer: id, up: true })
  give(state, { kind: 'tick', now: 1 })
  return state
}

function until(state: State, done: () => boolean, reply: object = {}): void {
  for (let i = 0; i < 500 && !done(); i++) beat(state, reply)
  expect(done()).toBe(true)
}

test('a blank voter waits for all at a first formation, for none where a cluster is', () => {
  const standing = (of2: object): State => {
    const state = started()
    for (let i = 0; i < 200 && state.candidacy === null; i++) {
      answer(state, 2, of2) // 3 is away
      give(state, { kind: 'tick', now: state.now + BEAT })
    }
    return state
  }
  expect(standing({}).candidacy).toBeNull()
  expect(standing({ promised: ballot(4, 3) }).candidacy).not.toBeNull()
})

test('fetches that were cut lengthen patience until a leader gets something chosen', () => {
  const state = started()
  state.fetchesCut = 2
  const beats = (chosen: number): number => {
    hear(state, 2, { kind: 'heartbeat', ...SILENCE, ...KEPT, ballot: ballot(3, 2), chosen })
    return state.fetchesCut
  }
  expect([beats(0), beats(0)]).toEqual([2, 2])
  expect(beats(5)).toBe(0)
  state.fetchesCut = 1
  expect([beats(5), beats(4), beats(6)]).toEqual([1, 1, 0])
})

test('each ballot that fails doubles the pause before the next, to eight time-outs at most', () => {
  const state = started()
  const spans: number[] = []
  for (let i = 0; i < 6; i++) {
    until(state, () => state.candidacy !== null)
    until(state, () => state.candidacy === null)
    spans.push(state.backOffUntil - state.now)
  }
  const least = [1, 2, 4, 8, 8, 8].map((count) => count * T)
  expect(spans.map((span, i) => span >= least[i]!)).toEqual(least.map(() => true))
  expect(spans.map((span, i) => span <= 2 * least[i]!)).toEqual(least.map(() => true))
  expect(new Set(spans.map((span, i) => span / least[i]!)).size).toBeGreaterThan(3) // drawn
})

test('a candidate without a word gives up after two time-outs', () => {
  const state = started()
  until(state, () => state.candidacy !== null)
  const { startedAt } = state.candidacy!
  until(state, () => state.candidacy === null)
  expect(state.now - startedAt).toBeGreaterThan(2 * T)
  expect(state.now - startedAt).toBeLessThanOrEqual(2 * T + BEAT)
})

test('who backs off waits for an electable node that is heard, and for no other', () => {
  const stoodAgainAfter = (roles: Parameters<typeof membersOf>[0]): number => {
    const state = started(membersOf(roles))
    until(state, () => state.candidacy !== null)
    until(state, () => state.candidacy === null)
    const gaveUpAt = state.now
    until(state, () => state.candidacy !== null)
    return state.now - gaveUpAt
  }
  expect(stoodAgainAfter(['voter', 'voter', 'voter'])).toBeGreaterThanOrEqual(T)
  expect(stoodAgainAfter(['voter', 'logger', 'logger'])).toBeLessThan(T)
})

test('a node that promised nobody follows whom it heard last, for an election time-out', () => {
  const state = stateOf(2, { members: membersOf(['voter', 'learner']) })
  give(state, { kind: 'tick', now: 1 })
  const told = ballot(3, 1)
  hear(state, 1, { kind: 'heartbeat', ...SILENCE, ...KEPT, ballot: told })
  expect(followedBy(state)).toBe(1)
  hear(state, 1, { kind: 'heartbeat', ...SILENCE, ...KEPT, ballot: ballot(2, 3) })
  expect(followedBy(state)).toBe(1)
  give(state, { kind: 'tick', now: 1 + T })
  expect(followedBy(state)).toBe(1)
  give(state, { kind: 'tick', now: 2 + T })
  expect(followedBy(state)).toBe(0)
})

test('a leader is heard of at once, when another one is, and when there is none', () => {
  const state = stateOf(2, { members: membersOf(['voter', 'learner']) })
  const leaders = (effects: CoreEffect[]): number[] =>
    ofKind(effects, 'event').flatMap(({ name, value }) => (name === 'leader' ? [value] : []))
  give(state, { kind: 'tick', now: 1 })
  hear(state, 1, { kind: 'heartbeat', ...SILENCE, ...KEPT, ballot: ballot(3, 1) })
  expect(leaders(give(state, { kind: 'tick', now: 1 + BEAT }))).toEqual([1])
  expect(leaders(give(state, { kind: 'tick', now: 1 + 2 * BEAT }))).toEqual([])
  expect(leaders(give(state, { kind: 'tick', now: 2 + T }))).toEqual([0])
})

/** A leader of three whose followers answer; accepts are up to the test. */
function leading(): {
  state: State
  following: object
  make: ReturnType<typeof createMaker>
} {
  const state = leaderOf(1, { pipelineDepth: 4 })
  return { state, following: { promised: state.promised, content: 1 }, make: createMaker() }
}

function accepted(state: State, from: number, through: number): CoreEffect[] {
  return hear(state, from, { kind: 'accepted', ballot: state.promised, attempt: 0, through })
}

const submit = (state: State, frame: ReturnType<ReturnType<typeof createMaker>>): CoreEffect[] =>
  give(state, { kind: 'submitted', ballot: state.promised, frames: [frame] })

test('a leader whose oldest batch moves is content, however long one or another is open', () => {
  const { state, following, make } = leading()
  submit(state, make(1))
  for (let next = 2; next < 60; next++) {
    submit(state, make(next))
    sync(state)
    accepted(state, 2, next - 1)
    beat(state, following)
    expect(state.leadership?.rounds.length).toBe(1)
  }
  expect([isContent(state), state.leadership!.discontentSince]).toEqual([true, -1])
})

test('one whose oldest batch stands still for four time-outs gives up one later', () => {
  const { state, following, make } = leading()
  sync(state)
  accepted(state, 2, 0)
  beat(state, following)
  submit(state, make(1))
  sync(state)
  const since = state.now
  until(state, () => !isContent(state), following)
  expect(state.now - since).toBeGreaterThan(4 * T)
  expect(state.now - since).toBeLessThanOrEqual(4 * T + BEAT)
  until(state, () => state.leadership === null, following)
  expect(state.now - since).toBeGreaterThan(5 * T)
  expect(state.now - since).toBeLessThanOrEqual(5 * T + 3 * BEAT)
})

test('one whose disk stands still for four time-outs is not content either', () => {
  const { state, following, make } = leading()
  submit(state, make(1))
  accepted(state, 2, 1)
  accepted(state, 3, 1)
  expect(state.leadership!.rounds).toEqual([])
  const since = state.now
  until(state, () => !isContent(state), following)
  expect(state.now - since).toBeGreaterThan(4 * T)
  expect(state.now - since).toBeLessThanOrEqual(4 * T + BEAT)
})

test('a leader content again starts its patience anew', () => {
  const { state, following } = leading()
  const silent = { ...following, promised: ballot(9, 3) }
  for (let round = 0; round < 4; round++) {
    until(state, () => state.leadership!.discontentSince >= 0, silent)
    beat(state, silent)
    expect(state.leadership).not.toBeNull()
    beat(state, following)
    expect(state.leadership!.discontentSince).toBe(-1)
  }
})

test('the words of an earlier round count for two rounds more', () => {
  const { state, following } = leading()
  beat(state, following)
  const peer = state.peers[0]!
  for (let i = 0; i < 3; i++) give(state, { kind: 'tick', now: state.now + BEAT })
  const before = peer.replyAt
  answer(state, 2, { ...following, round: state.round - 3 })
  expect(peer.replyAt).toBe(before)
  answer(state, 2, { ...following, round: state.round - 2 })
  expect(peer.replyAt).toBe(state.now)
})

test('a peer is silent once an election time-out has passed since its last answer', () => {
  const { state, following } = leading()
  beat(state, following)
  const peer = state.peers[0]!
  peer.heardAt = state.now
  const since = state.now
  give(state, { kind: 'tick', now: since + T })
  expect(isSilent(state, peer)).toBe(false)
  give(state, { kind: 'tick', now: since + T + 1 })
  expect(isSilent(state, peer)).toBe(true)
})

test('a node that starts gives the leader it promised an election time-out to be heard', () => {
  const state = stateOf(1, {}, { promised: ballot(3, 2) })
  const start = 5_000 // of a clock that runs longer than this process
  const contentAt = (now: number): boolean => {
    give(state, { kind: 'tick', now })
    return isContent(state)
  }
  expect(contentAt(start)).toBe(true)
  expect(contentAt(start + T)).toBe(true)
  expect(contentAt(start + T + 1)).toBe(false)
})

/** One of two followers has promised a ballot that nobody leads. */
function withStrayed(state: State, done: () => boolean): void {
  const { ballot: own } = state.leadership!
  for (let i = 0; i < 50 && !done(); i++) {
    answer(state, 2, { promised: own, content: 1 })
    answer(state, 3, { promised: ballot(9, 3) })
    give(state, { kind: 'tick', now: state.now + BEAT })
  }
}

test('a leader goes to a higher ballot for who has strayed; on its way out others do', () => {
  const state = leaderOf(1)
  withStrayed(state, () => state.candidacy !== null)
  expect(state.candidacy!.ballot).toBe(ballot(10, 1))

  const demoted = leaderOf(1)
  demoted.self = { ...demoted.self, weight: 0 }
  withStrayed(demoted, () => demoted.leadership === null)
  expect([demoted.leadership, demoted.candidacy]).toEqual([null, null])
})

test('a learner that got from elsewhere what flies to it is not waited for', () => {
  const state = leaderOf(1, { members: membersOf(['voter', 'voter', 'voter', 'learner']) })
  const peer = state.peers.find(({ id }) => id === 4)!
  peer.inflight.push(
    { through: 3 as never, sizeBytes: 128 },
    { through: 7 as never, sizeBytes: 64 },
  )
  peer.inflightBytes = 192
  peer.next = 8 as never
  answer(state, 4, { last: 5 })
  expect([peer.matched, peer.next, peer.inflightBytes]).toEqual([5, 8, 64])
  answer(state, 4, { last: 9 })
  expect([peer.matched, peer.next, peer.inflight]).toEqual([9, 10, []])
})
