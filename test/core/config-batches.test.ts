/**
 * One leader and the config batches in its log, step by step: whom it talks to, what a member that
 * changes sides is still worth, when the next change may begin, what it admits meanwhile.
 */
import { expect, test } from 'vitest'
import type { FrameRef } from '../../src/core/frame-ref.ts'
import type { LogIndex, NodeId } from '../../src/core/ids.ts'
import { type Change, type Membership, membershipOf } from '../../src/core/membership.ts'
import { peersAreStale } from '../../src/core/xpaxos/configs.ts'
import { serves } from '../../src/core/xpaxos/read-state.ts'
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
  sync,
} from '../support/core-state.ts'

const T = 100
const BEAT = 20
const ROLES = ['voter', 'voter', 'voter', 'learner'] as const

const peerIn = (state: State, id: number): Peer => state.peers.find((peer) => peer.id === id)!

function submit(state: State, frame: FrameRef, config?: Membership): CoreEffect[] {
  const whole = config === undefined ? frame : { ...frame, config }
  return give(state, { kind: 'submitted', ballot: state.promised, frames: [whole] })
}

function accepted(state: State, from: number, through: number): CoreEffect[] {
  const { attempt } = peerIn(state, from)
  return hear(state, from, { kind: 'accepted', ballot: state.promised, attempt, through })
}

function learned(state: State, from: number, through: number): CoreEffect[] {
  return hear(state, from, { kind: 'learned', attempt: peerIn(state, from).attempt, through })
}

const ask = (state: State, change: Change): CoreEffect[] =>
  give(state, { kind: 'change', id: 7, change })

/** The membership of the one config batch that is asked for. */
function wanted(effects: readonly CoreEffect[]): Membership {
  const [configure] = ofKind(effects, 'configure')
  return configure!.membership!
}

/** All answer the round that is out, as followers that are content; then a heartbeat passes. */
function beat(state: State, told: Readonly<Record<number, object>> = {}): CoreEffect[] {
  for (const { id } of state.peers) {
    const { round, promised } = state
    const said = { round, promised, content: 1, connected: 1, last: 0, firstRetained: 1, full: 0 }
    hear(state, id, { kind: 'heartbeat-reply', ...said, ...told[id] })
  }
  return give(state, { kind: 'tick', now: state.now + BEAT })
}

/** Index 1 is chosen, and the learner holds it. */
function begun(): { state: State; make: ReturnType<typeof createMaker> } {
  const state = leaderOf(1, { members: membersOf(ROLES) })
  const make = createMaker()
  submit(state, make(1))
  sync(state)
  accepted(state, 2, 1)
  learned(state, 4, 1)
  return { state, make }
}

const PROMOTE = { kind: 'role', id: 4 as NodeId, role: 'voter' } as const

test('what a learner learnt is no vote when it becomes a voter', () => {
  const { state, make } = begun()
  peerIn(state, 4).readySince = state.now
  const next = wanted(ask(state, PROMOTE))
  expect(peerIn(state, 4)).toMatchObject({ role: 'learner', matched: 1 })
  submit(state, make(2), next)
  expect(peerIn(state, 4)).toMatchObject({ role: 'voter', matched: 0, phase: 'idle' })
  expect(peersAreStale(state)).toBe(false)
})

test('whoever votes in either membership is a voter while the change is open', () => {
  const { state, make } = begun()
  const next = wanted(ask(state, { kind: 'role', id: 3 as NodeId, role: 'learner' }))
  submit(state, make(2), next)
  sync(state)
  expect(peerIn(state, 3).role).toBe('voter')
  accepted(state, 2, 2)
  expect([state.floor, peerIn(state, 3).role]).toEqual([2, 'learner'])
  expect(peersAreStale(state)).toBe(false)
})

test('nothing goes behind a config batch before it is chosen; then the change is done', () => {
  const { state, make } = begun()
  const next = wanted(ask(state, { kind: 'remove', id: 3 as NodeId }))
  submit(state, make(2), next)
  submit(state, make(3))
  sync(state)
  expect(state.leadership!.queue.map(({ first }) => first)).toEqual([3])
  const effects = accepted(state, 2, 2)
  expect(ofKind(effects, 'append').map(({ record }) => record.kind)).toEqual(['entries'])
  expect(ofKind(effects, 'changed')).toEqual([])
  sync(state)
  expect(ofKind(accepted(state, 2, 3), 'changed')).toMatchObject([{ id: 7, outcome: 'done' }])
  expect([state.leadership!.change, peerIn(state, 3)]).toEqual([null, undefined])
})

test('of the changes that are behind it a node keeps the newest', () => {
  const { state, make } = begun()
  let last = 1
  for (const weight of [1, 2, 3]) {
    const change = { kind: 'set', id: 3 as NodeId, weight } as const
    submit(state, make(last + 1), wanted(ask(state, change)))
    submit(state, make(last + 2))
    expect(state.configs.length).toBe(2)
    for (let i = 0; i < 2; i++) {
      sync(state)
      accepted(state, 2, ++last)
    }
    expect(state.configs.map(({ index }) => index)).toEqual([last - 1])
  }
  expect(peerIn(state, 3).role).toBe('voter')
})

test.each([2, 3, 4])('a member that is removed is no peer any more: node %i', (gone) => {
  const { state, make } = begun()
  submit(state, make(2), wanted(ask(state, { kind: 'remove', id: gone as NodeId })))
  sync(state)
  expect(state.peers.map(({ id }) => id)).toEqual([2, 3, 4])
  accepted(state, 2, 2)
  expect(state.peers.map(({ id }) => id)).toEqual([2, 3, 4].filter((id) => id !== gone))
})

test('a member that joins over a link that is up is one from its config batch on', () => {
  const { state, make } = begun()
  give(state, { kind: 'link', peer: 5 as NodeId, up: true })
  give(state, { kind: 'tick', now: 50 * T })
  const next = wanted(ask(state, { kind: 'add', id: 5 as NodeId, source: 2 as NodeId }))
  expect(peerIn(state, 5)).toBeUndefined()
  submit(state, make(2), next)
  expect(peerIn(state, 5)).toMatchObject({ up: true, source: 2, heardAt: 50 * T })
  expect(peerIn(state, 5).progressAt).toBe(50 * T)
})

test('a learner that is to vote does when it has been ready for an election time-out', () => {
  const members = membersOf(ROLES).map((one) =>
    one.id === 4 ? { ...one, promote: 'logger' as const } : one,
  )
  const state = leaderOf(1, { members })
  accepted(state, 2, 0)
  let since = -1
  for (let i = 0; i < 40; i++) {
    const [configure] = ofKind(beat(state), 'configure')
    if (since < 0 && peerIn(state, 4).readySince >= 0) since = state.now
    if (configure === undefined) continue
    expect(state.now - since).toBeGreaterThanOrEqual(T)
    expect(state.now - since).toBeLessThan(T + BEAT)
    expect(configure.membership!.members[3]).toEqual({ id: 4, role: 'logger', weight: 5 })
    expect(state.leadership!.change).toMatchObject({ id: 0, index: 0 })
    return
  }
  expect('a change').toBe('ordered')
})

/** Node 1 of three stands; its log of two ends with a config batch that sets these quorums. */
function trailing(before: Membership, after: Membership): State {
  const old = ballot(1, 2)
  const marks = [1, 2].map((through) => ({
    through: through as LogIndex,
    chain: through,
    continues: false,
  }))
  const log = { promised: old, acceptedBallot: old, marks }
  const quorums = { prepare: before.prepareQuorum, accept: before.acceptQuorum }
  const config = { members: before.members, quorums }
  const state = stateOf(1, config, { ...log, configs: [{ index: 2, membership: after }] })
  for (const { id } of state.peers) give(state, { kind: 'link', peer: id, up: true })
  give(state, { kind: 'tick', now: 1 })
  for (let i = 0; i < 20 && state.candidacy === null; i++) beat(state, DISCONTENT)
  sync(state)
  return state
}

function promise(state: State, from: number, told: object = {}): CoreEffect[] {
  const log = { acceptedBallot: 0, last: 0, floor: 0, firstRetained: 1 }
  return hear(state, from, { kind: 'promise', ballot: state.promised, ...log, ...told })
}

const TWO = membershipOf(membersOf(['voter', 'voter', 'voter']))
const THREE: Membership = { ...TWO, prepareQuorum: 3 }

test('a leader that adopted a trailing config batch ends that change with an empty batch', () => {
  const state = trailing(TWO, THREE)
  promise(state, 2)
  expect(state.leadership).toBeNull() // the newer membership wants three
  const effects = promise(state, 3)
  const { promised: own } = state
  expect(ofKind(effects, 'configure')).toMatchObject([{ ballot: own, membership: null }])
  expect(state.leadership!.change).toMatchObject({ id: 0, index: 2 })
})

test('the membership before a trailing batch is asked, unless a promise proves it chosen', () => {
  const state = trailing(THREE, TWO)
  promise(state, 2)
  expect(state.leadership).toBeNull()
  promise(state, 3)
  expect(state.leadership).not.toBeNull()
  const proven = trailing(THREE, TWO)
  const log = { acceptedBallot: ballot(1, 2), last: 2 }
  promise(proven, 2, { ...log, floor: 2, floorChain: 2 })
  expect(proven.leadership).not.toBeNull()
})

test('voters that a candidate learns of on the way are asked, too, and needed', () => {
  const state = stateOf(1)
  for (const peer of [2, 3, 4]) give(state, { kind: 'link', peer: peer as NodeId, up: true })
  give(state, { kind: 'tick', now: 1 })
  for (let i = 0; i < 20 && state.candidacy === null; i++) beat(state, DISCONTENT)
  sync(state)
  promise(state, 2, { acceptedBallot: ballot(1, 2), last: 1 })
  const config = membershipOf(membersOf(['voter', 'voter', 'voter', 'voter']))
  const range = { acceptedBallot: ballot(1, 2), prev: 0, through: 1 }
  const frames = [{ ...createMaker()(1), config }]
  const message = { kind: 'fetched', ballot: state.promised, ...range }
  const asked = sentIn(hear(state, 2, message, frames), 'prepare').map(({ to }) => to)
  expect([state.leadership, asked]).toEqual([null, [3, 4]])
  promise(state, 4)
  expect(state.leadership).not.toBeNull()
})

test('a promise that knows another history to be chosen stops the candidate', () => {
  const state = trailing(THREE, TWO)
  const log = { acceptedBallot: ballot(1, 2), last: 2 }
  const effects = promise(state, 2, { ...log, floor: 2, floorChain: 3 })
  expect(state.leadership).toBeNull()
  const told = ofKind(effects, 'event').filter(({ name }) => name === 'chain-mismatch')
  expect(told.map(({ value }) => value)).toEqual([2])
})

test('a log that is shorter than what is known to be chosen is not adopted', () => {
  const state = trailing(TWO, TWO)
  promise(state, 2, { acceptedBallot: ballot(1, 1), last: 9, floor: 3 })
  expect([state.leadership, state.pendingSync]).toEqual([null, null])
  promise(state, 3, { acceptedBallot: ballot(1, 2), last: 3 })
  expect(state.pendingSync).toMatchObject({ syncPoint: 2, adoptedLast: 3 })
})

const NOT = { content: 0, promised: 0 }
const DISCONTENT = { 2: NOT, 3: NOT }

test('while a change is open reads begin with quorums of both memberships', () => {
  const state = leaderOf(1)
  const next = wanted(ask(state, { kind: 'quorums', prepare: 2, accept: 3 }))
  submit(state, createMaker()(1), next)
  accepted(state, 2, 0)
  expect(serves(state)).toBe(false)
  promise(state, 3)
  accepted(state, 3, 0)
  expect(serves(state)).toBe(true)
})

// ---- What is admitted ------------------------------------------------------------------------

test('a full Logger closes the log while it is heard, and says so once', () => {
  const state = leaderOf(1, { members: membersOf(['voter', 'voter', 'logger']) })
  const full = { 3: { full: 1 } }
  const told = (effects: readonly CoreEffect[]): unknown[] => [
    ofKind(effects, 'admit').map(({ open, reason }) => [open, reason]),
    ofKind(effects, 'event').flatMap(({ name, value }) => (name === 'log-full' ? [value] : [])),
  ]
  accepted(state, 2, 0)
  expect(told(beat(state))).toEqual([[], []])
  expect(told(beat(state, full))).toEqual([[[false, 'log-full']], [3]])
  expect(told(beat(state, full))).toEqual([[], []])
  expect(told(beat(state))).toEqual([[[true, null]], [0]])
})

test('a hand-over closes the log as such, full or not', () => {
  const state = leaderOf(1)
  accepted(state, 2, 0)
  beat(state)
  const effects = give(state, { kind: 'transfer', id: 1, target: 2 as NodeId })
  expect(ofKind(effects, 'admit')).toMatchObject([{ open: false, reason: 'transfer' }])
  expect(ofKind(effects, 'event').map(({ name }) => name)).toEqual(['transfer-started'])
})

// ---- Streams to learners ---------------------------------------------------------------------

test('a stream to a learner starts again when it stood still for two time-outs, not before', () => {
  const { state, make } = begun()
  const { attempt } = peerIn(state, 4)
  for (let i = 0; i < 15; i++) beat(state, { 4: { last: 1 } }) // nothing flies, whatever the time
  expect(peerIn(state, 4).attempt).toBe(attempt)
  submit(state, make(2))
  sync(state)
  accepted(state, 2, 2)
  expect(peerIn(state, 4).inflight.length).toBe(1)
  const since = state.now
  const again: CoreEffect[] = []
  while (peerIn(state, 4).attempt === attempt && state.now < since + 10 * T) {
    again.splice(0, again.length, ...beat(state, { 4: { last: 1 } }))
  }
  expect(state.now - since).toBeGreaterThan(2 * T)
  expect(state.now - since).toBeLessThanOrEqual(2 * T + 2 * BEAT)
  expect(ofKind(again, 'read')).toMatchObject([{ from: 2, through: 2 }]) // gone from the ring
})

test('a stream to a voter that stood still for two time-outs begins with a new promise', () => {
  const { state, make } = begun()
  submit(state, make(2))
  const since = state.now
  const isAsked = (): boolean => sentIn(beat(state), 'prepare').some(({ to }) => to === 2)
  while (!isAsked()) expect(state.now).toBeLessThan(since + 10 * T)
  expect(state.now - since).toBeGreaterThan(2 * T)
  expect(state.now - since).toBeLessThanOrEqual(2 * T + 2 * BEAT)
})

test('a learner is told what is chosen, with the config batch that its sender goes by', () => {
  const { state, make } = begun()
  submit(state, make(2))
  sync(state)
  const [learn, ...more] = sentIn(accepted(state, 2, 2), 'learn')
  expect(more).toEqual([])
  expect(learn).toMatchObject({ to: 4, prev: 1, through: 2, config: 0 })
})
