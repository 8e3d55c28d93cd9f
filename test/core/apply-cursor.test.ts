/**
 * What the state machine of one node is given, and how much at a time: the bounds on open orders,
 * the way over the WAL when the bytes are gone from the rings, and what is kept of the log after.
 */
import { expect, test } from 'vitest'
import type { FrameRef } from '../../src/core/frame-ref.ts'
import type { LogIndex } from '../../src/core/ids.ts'
import type { State } from '../../src/core/xpaxos/state.ts'
import { chainAt } from '../../src/core/xpaxos/tail.ts'
import {
  type CoreEffect,
  createMaker,
  give,
  hear,
  membersOf,
  ofKind,
  stateOf,
  sync,
} from '../support/core-state.ts'

const members = membersOf(['voter', 'learner'])
const learner = (): State => stateOf(2, { members })

/** Chosen frames reach this learner, as its source sends them. */
function learn(state: State, frames: readonly FrameRef[]): CoreEffect[] {
  const prev = frames[0]!.first - 1
  const through = frames.at(-1)!.first
  return hear(state, 1, { kind: 'learn', prev, prevChain: -1, through, config: 0 }, frames)
}

/** Firsts of the frames of each order to apply. */
const ordersIn = (effects: readonly CoreEffect[]): number[][] =>
  ofKind(effects, 'apply').map(({ frames }) => frames.map(({ first }) => first))

const applied = (state: State, through: number): CoreEffect[] =>
  give(state, { kind: 'applied', through: through as LogIndex })

test('256 orders may be open; each one that is done makes room for another', () => {
  const state = learner()
  const make = createMaker()
  const effects = Array.from({ length: 260 }, (_, i) => learn(state, [make(i + 1)])).flat()
  expect(ordersIn(effects)).toEqual(Array.from({ length: 256 }, (_, i) => [i + 1]))
  expect(ordersIn(applied(state, 1))).toEqual([[257, 258, 259, 260]])
  expect(ordersIn(learn(state, [make(261)]))).toEqual([])
  expect(ordersIn(applied(state, 2))).toEqual([[261]])
})

test('open orders hold 8 MiB of a ring, and begin no other before there are less', () => {
  const state = learner()
  const make = createMaker()
  const sizes = [...Array.from({ length: 7 }, () => 2 ** 20), 2 ** 20 - 64, 64, 64]
  const effects = sizes.map((sizeBytes, i) => learn(state, [make(i + 1, { sizeBytes })])).flat()
  expect(ordersIn(effects)).toEqual(Array.from({ length: 9 }, (_, i) => [i + 1]))
  expect(ordersIn(applied(state, 0))).toEqual([])
  expect(ordersIn(applied(state, 1))).toEqual([[10]])
})

test('one order takes 1 MiB, and a frame beyond it for itself', () => {
  const state = learner()
  const make = createMaker()
  const sizes = [2 ** 19, 2 ** 19, 64, 2 ** 20 + 64, 64]
  const frames = sizes.map((sizeBytes, i) => make(i + 1, { sizeBytes }))
  expect(ordersIn(learn(state, frames))).toEqual([[1, 2], [3], [4], [5]])
})

test('an order tells its first index; applied through its last one it is done', () => {
  const state = learner()
  const make = createMaker()
  const [order] = ofKind(learn(state, [make(1), make(2), make(3)]), 'apply')
  expect(order!.first).toBe(1)
  applied(state, 2)
  expect([state.applied, state.applyOpenBytes]).toEqual([2, 3 * 128])
  applied(state, 3)
  expect([state.applied, state.applyOpenBytes]).toEqual([3, 0])
})

/** A learner whose apply lags: 8 MiB are open, and frames 9 to 11 have left the ring. */
function lagging(): { state: State; make: ReturnType<typeof createMaker>; late: FrameRef[] } {
  const state = learner()
  const make = createMaker()
  for (let i = 1; i <= 8; i++) learn(state, [make(i, { sizeBytes: 2 ** 20 })])
  const late = [make(9), make(10), make(11)]
  learn(state, late)
  sync(state)
  give(state, { kind: 'pressure', ring: 0 })
  expect(late.map(({ kept }) => kept)).toEqual([false, false, false])
  return { state, make, late }
}

test('what has left the ring is read from the WAL, one read at a time', () => {
  const { state, make } = lagging()
  const [read, ...more] = ofKind(applied(state, 1), 'read')
  expect(more).toEqual([])
  expect(read).toMatchObject({ from: 9, through: 11, sizeBytesMax: state.config.batchBytesMax })
  expect(ofKind(applied(state, 2), 'read')).toEqual([])
  const { ticket } = read!
  const got = give(state, { kind: 'read-done', ticket, frames: [make(9, { ring: 1 })] })
  expect(ordersIn(got)).toEqual([[9]])
  expect(ofKind(got, 'read')).toMatchObject([{ from: 10, through: 11 }])
})

test('a read that begins elsewhere is asked for again; one that finds nothing is not', () => {
  const { state, make } = lagging()
  const [read] = ofKind(applied(state, 1), 'read')
  const elsewhere = [make(10, { ring: 1 })]
  const got = give(state, { kind: 'read-done', ticket: read!.ticket, frames: elsewhere })
  expect(ordersIn(got)).toEqual([])
  const [again] = ofKind(got, 'read')
  expect(again).toMatchObject({ from: 9, through: 11 })
  const none = give(state, { kind: 'read-done', ticket: again!.ticket, frames: [] })
  expect(ofKind(none, 'read')).toEqual([])
  expect(ofKind(none, 'event')).toEqual([{ kind: 'event', name: 'behind-trim', value: 2 }])
  expect(ofKind(applied(state, 2), 'read')).toEqual([])
})

test('pressure frees durable frames of that ring, and no others', () => {
  const state = learner()
  const make = createMaker()
  for (let i = 1; i <= 8; i++) learn(state, [make(i, { sizeBytes: 2 ** 20 })])
  const durable = make(9)
  learn(state, [durable])
  sync(state)
  const ordered = make(10)
  learn(state, [ordered])
  give(state, { kind: 'pressure', ring: 1 })
  expect([durable.kept, ordered.kept]).toEqual([true, true])
  give(state, { kind: 'pressure', ring: 0 })
  expect([durable.kept, ordered.kept]).toEqual([false, true])
})

test('frames are kept until they are durable, whatever apply has taken', () => {
  const state = learner()
  const make = createMaker()
  const [first, second] = [make(1), make(2)]
  learn(state, [first])
  const lsn = state.nextLsn
  learn(state, [second])
  applied(state, 2)
  expect([first.kept, second.kept]).toEqual([true, true])
  give(state, { kind: 'durable', lsn: (lsn - 1) as never })
  expect([first.kept, second.kept]).toEqual([false, true])
  sync(state)
  expect(second.kept).toBe(false)
})

test('of what nobody needs the newest 1,024 frames stay known by their chains', () => {
  const state = learner()
  const make = createMaker()
  const count = 1_100
  for (let i = 1; i <= count; i++) {
    learn(state, [make(i)])
    applied(state, i)
  }
  sync(state)
  const known = (index: number): boolean => chainAt(state.tail, index as LogIndex) >= 0
  const oldest = count - 1_024
  expect([oldest - 1, oldest, oldest + 1, count].map(known)).toEqual([false, true, true, true])
})
