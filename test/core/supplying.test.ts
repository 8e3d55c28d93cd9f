/**
 * A fetch message by message (R8): what a candidate takes and from whom, what a supplier sends
 * ahead, what either does when the other asks, refuses or is gone.
 */
import { expect, test } from 'vitest'
import type { FrameRef } from '../../src/core/frame-ref.ts'
import type { NodeId } from '../../src/core/ids.ts'
import type { State } from '../../src/core/xpaxos/state.ts'
import {
  type CoreEffect,
  ballot,
  createMaker,
  give,
  hear,
  membersOf,
  ofKind,
  sentIn,
  stateOf,
  sync,
} from '../support/core-state.ts'

const FIVE = membersOf(['voter', 'voter', 'voter', 'voter', 'voter'])
const OLD = ballot(1, 5)

/** Node 1 of five stands, and nobody has answered it yet. */
function standing(): State {
  const state = stateOf(1, { members: FIVE })
  for (const { id } of state.peers) give(state, { kind: 'link', peer: id, up: true })
  give(state, { kind: 'tick', now: 1 })
  for (let i = 0; i < 20 && state.candidacy === null; i++) {
    for (const { id } of state.peers) {
      const said = { round: state.round, promised: 0, content: 0, connected: 1, last: 0 }
      hear(state, id, { kind: 'heartbeat-reply', ...said, firstRetained: 1, full: 0 })
    }
    give(state, { kind: 'tick', now: state.now + 10 })
  }
  sync(state)
  return state
}

function promise(state: State, from: number, log: object): CoreEffect[] {
  const told = { acceptedBallot: OLD, last: 0, floor: 0, firstRetained: 1, ...log }
  return hear(state, from, { kind: 'promise', ballot: state.promised, ...told })
}

function fetched(state: State, from: number, frames: FrameRef[], told = {}): CoreEffect[] {
  const prev = frames.length === 0 ? 0 : frames[0]!.first - 1
  const through = frames.at(-1)?.first ?? prev
  const range = { acceptedBallot: OLD, prev, through }
  const message = { kind: 'fetched', ballot: state.promised, ...range, ...told }
  return hear(state, from, message, frames)
}

const asked = (effects: readonly CoreEffect[]): number[][] =>
  sentIn(effects).flatMap((sent) =>
    sent.kind === 'fetch' ? [[sent.to, sent.from, sent.through]] : [],
  )

// ---- The candidate ---------------------------------------------------------------------------

/** Node 2 has the best log, of 6; node 3 has 4 of it, node 4 knows 2 of another to be chosen. */
function fetching(): { state: State; make: ReturnType<typeof createMaker>; first: number[][] } {
  const state = standing()
  promise(state, 3, { last: 4 })
  const first = asked(promise(state, 2, { last: 6 }))
  promise(state, 4, { acceptedBallot: ballot(1, 4), last: 9, floor: 2 })
  return { state, make: createMaker(), first }
}

test('the best log is asked of whoever reported it, from the first index that is missing', () => {
  const { state, make, first } = fetching()
  expect(first).toEqual([[2, 1, 6]])
  expect(asked(fetched(state, 2, [make(1)]))).toEqual([[2, 2, 6]])
  expect(asked(fetched(state, 2, [make(2), make(3)]))).toEqual([[2, 4, 6]])
})

test('frames are taken in order, of the log that was asked for, from one node', () => {
  const { state, make } = fetching()
  const [one, two] = [make(1), make(2)]
  const last = (): number => state.pendingSync!.last
  expect(fetched(state, 2, [two])).toEqual([])
  expect(fetched(state, 3, [one])).toEqual([])
  expect(fetched(state, 2, [one], { acceptedBallot: ballot(1, 4) })).toEqual([])
  expect(fetched(state, 2, [one], { ballot: ballot(1, 2) })).toEqual([])
  expect(last()).toBe(0)
  fetched(state, 2, [one])
  expect(last()).toBe(1)
  expect(fetched(state, 2, [one])).toEqual([])
  expect(last()).toBe(1)
})

test('who refuses is not asked again; the next gives what it surely has of that log', () => {
  const { state, make } = fetching()
  fetched(state, 2, [make(1)])
  expect(asked(fetched(state, 2, []))).toEqual([[3, 2, 4]])
  expect([...state.candidacy!.refused]).toEqual([2])
  // What comes late from the one that refused is of no interest, a second refusal neither.
  expect(fetched(state, 2, [])).toEqual([])
  expect(state.candidacy!.supplier).toBe(3)
  expect(asked(fetched(state, 3, [make(2)]))).toEqual([[3, 3, 4]])
})

test('one that is silent for an election time-out is given up, one that sends is not', () => {
  const { state, make } = fetching()
  const startedAt = state.now
  give(state, { kind: 'tick', now: startedAt + 60 })
  fetched(state, 2, [make(1)])
  expect(asked(give(state, { kind: 'tick', now: startedAt + 160 }))).toEqual([])
  expect(state.candidacy!.supplier).toBe(2)
  expect(asked(give(state, { kind: 'tick', now: startedAt + 161 }))).toEqual([[3, 2, 4]])
})

test('a link that ends ends what was to come over it, and that of another nothing', () => {
  const { state, make } = fetching()
  fetched(state, 2, [make(1)])
  expect(asked(give(state, { kind: 'link', peer: 4 as NodeId, up: false }))).toEqual([])
  expect(asked(give(state, { kind: 'link', peer: 2 as NodeId, up: false }))).toEqual([[3, 2, 4]])
  expect([...state.candidacy!.refused]).toEqual([])
})

test('who trimmed what is missing is not asked for it, and its hole is told', () => {
  const state = standing()
  promise(state, 3, { last: 4, firstRetained: 2 })
  const effects = promise(state, 2, { last: 6, firstRetained: 3 })
  expect(asked(effects)).toEqual([])
  const holes = ofKind(effects, 'event').filter(({ name }) => name === 'behind-trim')
  expect(holes.map(({ value }) => value)).toEqual([1])
  // The promise is dropped: with another one the rest are a quorum again.
  expect([...state.candidacy!.promises.keys()].sort()).toEqual([1, 3])
  expect(promise(state, 2, { last: 6 })).toEqual([])
  expect(asked(promise(state, 4, { last: 6 }))).toEqual([[4, 1, 6]])
})

// ---- The supplier ----------------------------------------------------------------------------

/** Node 2 holds six frames of the ballot of node 5 and promised node 1; three are chosen. */
function holding(config: object = {}): { state: State; make: ReturnType<typeof createMaker> } {
  const state = stateOf(2, { members: FIVE, ...config })
  const make = createMaker()
  hear(state, 5, { kind: 'prepare', ballot: OLD })
  const empty = { syncPoint: 0, adoptedLast: 0, prev: 0, through: 0 }
  hear(state, 5, { kind: 'accept-sync', ballot: OLD, ...empty })
  const frames = [1, 2, 3, 4, 5, 6].map((first) => make(first))
  hear(state, 5, { kind: 'accept', ballot: OLD, prev: 0, through: 6, chosen: 3 }, frames)
  hear(state, 1, { kind: 'prepare', ballot: NEW })
  sync(state)
  return { state, make }
}
const NEW = ballot(2, 1)

function fetch(state: State, told: object = {}, from = 1): CoreEffect[] {
  const whole = { ballot: NEW, acceptedBallot: OLD, from: 4, through: 6, ...told }
  return hear(state, from, { kind: 'fetch', ...whole })
}

/** [prev, through] of each answer: equal ones refuse. */
const supplied = (effects: readonly CoreEffect[]): number[][] =>
  sentIn(effects).flatMap((sent) => (sent.kind === 'fetched' ? [[sent.prev, sent.through]] : []))

test.each([
  [{}, [3, 6]],
  [{ from: 6 }, [5, 6]],
  [{ from: 7 }, [6, 6]],
  [{ through: 7 }, [3, 3]],
  [{ ballot: ballot(3, 1) }, [3, 3]],
  [{ acceptedBallot: ballot(1, 4) }, [3, 3]],
  [{ acceptedBallot: ballot(1, 4), from: 3, through: 4 }, [2, 2]],
] as const)('a log is served under the ballot it was accepted in: %j', (told, range) => {
  const { state } = holding()
  const effects = fetch(state, told)
  expect(supplied(effects)).toEqual([range])
  expect(sentIn(effects)[0]).toMatchObject({ to: 1, ballot: 'ballot' in told ? told.ballot : NEW })
})

test('what is chosen of it is served under any ballot', () => {
  const { state } = holding()
  const effects = fetch(state, { acceptedBallot: ballot(1, 4), from: 2, through: 3 })
  expect(supplied(effects)).toEqual([])
  expect(ofKind(effects, 'read')).toMatchObject([{ from: 2, through: 3 }])
})

test('it sends a window ahead; what a fetch asks beyond frees what came before', () => {
  const { state } = holding({ catchUpBytesMax: 128, windowBytes: 256 })
  expect(supplied(fetch(state))).toEqual([
    [3, 4],
    [4, 5],
  ])
  expect(supplied(fetch(state, { from: 4 }))).toEqual([])
  expect(supplied(fetch(state, { from: 5 }))).toEqual([[5, 6]])
  expect(state.serving).toMatchObject({ next: 7, inflightBytes: 256 })
  expect(state.serving!.inflight.map(({ through }) => through)).toEqual([5, 6])
  fetch(state, { from: 6 })
  expect(state.serving).toMatchObject({ next: 7, inflightBytes: 128 })
})

test('it has no more messages under way than the pipeline is deep', () => {
  const { state } = holding({ catchUpBytesMax: 128, pipelineDepth: 2 })
  expect(supplied(fetch(state)).length).toBe(2)
  expect(supplied(fetch(state, { from: 6 }))).toEqual([[5, 6]])
})

test('a fetch goes on only if it is the same, from what is under way', () => {
  const begun = (told: object): number[][] => {
    const { state } = holding({ catchUpBytesMax: 128, pipelineDepth: 2 })
    fetch(state)
    return supplied(fetch(state, told))
  }
  expect(begun({ from: 6 })).toEqual([[5, 6]])
  expect(begun({ from: 5 })).toEqual([[5, 6]])
  const anew = [3, 4]
  expect(begun({ through: 5 })).toEqual([anew, [4, 5]])
  const { state } = holding({ catchUpBytesMax: 128, pipelineDepth: 3 })
  fetch(state)
  fetch(state, { from: 7, through: 6 })
  expect(supplied(fetch(state, { from: 6 }))).toEqual([])
})

test('another candidate of the same ballot is none: who asks is served from where it asks', () => {
  const { state } = holding({ catchUpBytesMax: 128, windowBytes: 256 })
  fetch(state)
  expect(supplied(fetch(state, {}, 3))).toEqual([
    [3, 4],
    [4, 5],
  ])
  expect(state.serving!.to).toBe(3)
})

test('what has left the rings is read; a read that comes back late is refused or ignored', () => {
  const { state, make } = holding()
  give(state, { kind: 'pressure', ring: 0 })
  const [read] = ofKind(fetch(state), 'read')
  expect(read).toMatchObject({ from: 4, through: 6, sizeBytesMax: 4_096 })
  expect(fetch(state)).toEqual([])
  const { ticket } = read!
  const got = give(state, { kind: 'read-done', ticket, frames: [make(4, { ring: 1 })] })
  expect(supplied(got)).toEqual([[3, 4]])
  const [next] = ofKind(got, 'read')
  expect(next).toMatchObject({ from: 5, through: 6 })
  const none = give(state, { kind: 'read-done', ticket: next!.ticket, frames: [] })
  expect(supplied(none)).toEqual([[4, 4]])
  expect(state.serving).toBeNull()
})

test('a read for a candidate that went is nobody’s; a higher ballot refuses it', () => {
  const { state, make } = holding()
  give(state, { kind: 'link', peer: 1 as NodeId, up: true })
  give(state, { kind: 'pressure', ring: 0 })
  const [first] = ofKind(fetch(state), 'read')
  give(state, { kind: 'link', peer: 3 as NodeId, up: false })
  expect(state.serving).not.toBeNull()
  give(state, { kind: 'link', peer: 1 as NodeId, up: false })
  expect(state.serving).toBeNull()
  const done = { kind: 'read-done', ticket: first!.ticket, frames: [make(4)] } as const
  expect(give(state, done)).toEqual([])
  const [second] = ofKind(fetch(state), 'read')
  hear(state, 3, { kind: 'prepare', ballot: ballot(3, 3) })
  const late = { kind: 'read-done', ticket: second!.ticket, frames: [make(4)] } as const
  expect(supplied(give(state, late))).toEqual([[3, 3]])
})
