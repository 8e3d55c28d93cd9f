/**
 * What one leader orders, sends, counts and lets go of, message by message: batches and the
 * pipeline, sync points, windows, quorums, refusals, and what is left when it resigns.
 */
import { expect, test } from 'vitest'
import type { ChangeOutcome } from '../../src/core/engine.ts'
import type { FrameRef } from '../../src/core/frame-ref.ts'
import type { LogIndex, NodeId } from '../../src/core/ids.ts'
import { type Change, membershipOf } from '../../src/core/membership.ts'
import type { Peer, State } from '../../src/core/xpaxos/state.ts'
import { lastChainOf } from '../../src/core/xpaxos/tail.ts'
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

const FIVE = membersOf(['voter', 'voter', 'voter', 'voter', 'voter'])

const submit = (state: State, ...frames: FrameRef[]): CoreEffect[] =>
  give(state, { kind: 'submitted', ballot: state.promised, frames })

const peerIn = (state: State, id: number): Peer => state.peers.find((peer) => peer.id === id)!

function accepted(state: State, from: number, through: number, told = {}): CoreEffect[] {
  const { attempt } = peerIn(state, from)
  const message = { kind: 'accepted', ballot: state.promised, attempt, through, ...told }
  return hear(state, from, message)
}

function promise(state: State, from: number, told: object = {}): CoreEffect[] {
  const log = { acceptedBallot: 0, last: 0, floor: 0, floorChain: 0, firstRetained: 1 }
  return hear(state, from, { kind: 'promise', ballot: state.promised, ...log, ...told })
}

/** [prev, through] of the records of entries. */
const ordered = (effects: readonly CoreEffect[]): number[][] =>
  ofKind(effects, 'append').flatMap(({ record }) =>
    record.kind === 'entries' ? [[record.prev, record.through]] : [],
  )

// ---- Batches and the pipeline ----------------------------------------------------------------

const BATCHES: readonly [what: string, specs: readonly object[], ends: readonly number[]][] = [
  ['bytes to the bound', [{ sizeBytes: 2_048 }, { sizeBytes: 2_048 }, { sizeBytes: 64 }], [2, 3]],
  ['one frame beyond it', [{ sizeBytes: 4_160 }, { sizeBytes: 64 }], [1, 2]],
  ['bytes above it', [{ sizeBytes: 2_048 }, { sizeBytes: 2_112 }], [1, 2]],
  ['entries to the bound', [{ count: 60 }, { count: 40 }, { count: 1 }], [100, 101]],
  ['entries above it', [{ count: 60 }, { count: 41 }], [60, 101]],
  ['a gap in the ring', [{}, { offset: 4_096 }, {}], [1, 3]],
  ['another ring', [{}, { ring: 1 }, { ring: 1 }], [1, 3]],
]

test.each(BATCHES)('what is submitted at once makes batches: %s', (_what, specs, ends) => {
  const state = leaderOf(1)
  const make = createMaker()
  let first = 1
  const frames = specs.map((spec: { count?: number }) => {
    const frame = make(first, spec)
    first += spec.count ?? 1
    return frame
  })
  expect(ordered(submit(state, ...frames)).map(([, through]) => through)).toEqual(ends)
})

test('a full pipeline takes the next batch when the oldest is chosen', () => {
  const state = leaderOf(1, { pipelineDepth: 2 })
  const make = createMaker()
  const ends = [1, 2, 3, 4].map((index) => ordered(submit(state, make(index))))
  expect(ends.flat()).toEqual([
    [0, 1],
    [1, 2],
  ])
  expect(state.leadership!.queue.map(({ first, kept }) => [first, kept])).toEqual([
    [3, true],
    [4, true],
  ])
  sync(state)
  expect(ordered(accepted(state, 2, 1))).toEqual([[2, 4]])
  expect(state.leadership).toMatchObject({ queue: [], rounds: [2, 4], quorumThrough: 1 })
})

test('frames for another ballot are not taken', () => {
  const state = leaderOf(1)
  const frame = createMaker()(1)
  give(state, { kind: 'submitted', ballot: ballot(9, 1), frames: [frame] })
  expect([frame.kept, state.leadership!.queueLast]).toEqual([false, 0])
})

test('who resigns lets go of what waited, and says who leads if it knows', () => {
  const state = leaderOf(1, { pipelineDepth: 1 })
  const make = createMaker()
  const [first, waiting] = [make(1), make(2)]
  submit(state, first)
  submit(state, waiting)
  expect(waiting.kept).toBe(true)
  const effects = hear(state, 3, { kind: 'prepare', ballot: ballot(9, 3) })
  expect([first.kept, waiting.kept]).toEqual([true, false])
  expect(ofKind(effects, 'unlead').length).toBe(1)
  expect(state.peers.map(({ phase }) => phase)).toEqual(['idle', 'idle'])
})

// ---- Counting --------------------------------------------------------------------------------

test('chosen is what an accept quorum holds, the leader by its disk like any other', () => {
  const state = leaderOf(1, { members: FIVE })
  const make = createMaker()
  for (let index = 1; index <= 4; index++) submit(state, make(index))
  const chosen = (): number => state.floor
  accepted(state, 2, 4)
  accepted(state, 3, 2)
  expect(chosen()).toBe(0)
  accepted(state, 4, 1)
  expect(chosen()).toBe(1)
  sync(state)
  expect(chosen()).toBe(2)
  accepted(state, 5, 3)
  expect(chosen()).toBe(3)
  accepted(state, 5, 1) // comes late
  expect([chosen(), peerIn(state, 5).matched]).toEqual([3, 3])
})

test('answers of another ballot, of no member and of learners count for nothing', () => {
  const state = leaderOf(1, { members: membersOf(['voter', 'voter', 'voter', 'learner']) })
  submit(state, createMaker()(1))
  sync(state)
  accepted(state, 2, 1, { ballot: ballot(9, 1) })
  hear(state, 9, { kind: 'accepted', ballot: state.promised, through: 1 })
  accepted(state, 4, 1)
  expect(state.floor).toBe(0)
  accepted(state, 2, 1)
  expect(state.floor).toBe(1)
})

// ---- Windows ---------------------------------------------------------------------------------

const BIG = { sizeBytes: 4_096 }

/** Node 2 has its sync behind it, and two frames of 4 KiB fly. */
function flying(): { state: State; peer: Peer; make: ReturnType<typeof createMaker> } {
  const state = leaderOf(1, { windowBytes: 8_192, pipelineDepth: 64 })
  const make = createMaker()
  accepted(state, 2, 0)
  submit(state, make(1, BIG), make(2, BIG), make(3, BIG))
  const peer = peerIn(state, 2)
  expect(peer).toMatchObject({ next: 3, inflightBytes: 8_192 })
  return { state, peer, make }
}

test('what is answered frees its window, and an answer of an earlier stream does not', () => {
  const { state, peer } = flying()
  accepted(state, 2, 1, { attempt: peer.attempt - 1 })
  expect(peer).toMatchObject({ next: 3, matched: 1, inflightBytes: 8_192 })
  expect(sentIn(accepted(state, 2, 1), 'accept')).toMatchObject([{ to: 2, prev: 2, through: 3 }])
  expect(peer).toMatchObject({ next: 4, inflightBytes: 8_192 })
  accepted(state, 2, 3)
  expect(peer).toMatchObject({ inflight: [], inflightBytes: 0 })
})

test('an answer moves the clock of its stream, a repeated one does not', () => {
  const { state, peer } = flying()
  const at = (now: number, act: () => void): number => {
    give(state, { kind: 'tick', now })
    act()
    return peer.progressAt
  }
  const start = state.now
  expect(at(start + 5, () => accepted(state, 2, 1))).toBe(start + 5)
  expect(at(start + 9, () => accepted(state, 2, 1))).toBe(start + 5)
})

test('a step of a sync frees its window in the ballot it belongs to, and counts nowhere', () => {
  const { state, peer } = flying()
  const taken = (told: object): CoreEffect[] =>
    hear(state, 2, { kind: 'sync-taken', attempt: peer.attempt, through: 2, ...told })
  taken({ ballot: ballot(9, 1) })
  expect(peer.inflightBytes).toBe(8_192)
  taken({ ballot: state.promised })
  expect(peer).toMatchObject({ matched: 0, inflightBytes: 4_096, next: 4 })
  expect(hear(state, 9, { kind: 'sync-taken', ballot: state.promised, through: 2 })).toEqual([])
})

test('a refusal of this very stream starts it again from a new promise', () => {
  const refused = (told: object): CoreEffect[] => {
    const { state, peer } = flying()
    const { promised, now } = state
    const { attempt } = peer
    give(state, { kind: 'tick', now })
    const message = { kind: 'reject', ballot: promised, promised, attempt, last: 0, ...told }
    return hear(state, 2, message)
  }
  expect(sentIn(refused({})).map(({ kind, to }) => [kind, to])).toEqual([['prepare', 2]])
  expect(refused({ ballot: ballot(9, 1) })).toEqual([])
  expect(refused({ attempt: 0 })).toEqual([])
  expect(refused({ promised: ballot(9, 3) })).toEqual([])
})

// ---- Where a stream begins -------------------------------------------------------------------

const OLD = ballot(1, 4)
const chainOfIndex = (index: number): number => index * 7

/** Node 1 adopted its own log of six frames of an older ballot; nobody else has promised but 2. */
function adopting(floor = 2): State {
  const marks = [1, 2, 3, 4, 5, 6].map((through) => ({
    through: through as LogIndex,
    chain: chainOfIndex(through),
    continues: false,
  }))
  const known = { floor: floor as LogIndex, floorChain: chainOfIndex(floor) }
  const log = { promised: OLD, acceptedBallot: OLD, marks: marks.slice(floor), ...known }
  const state = stateOf(1, { members: FIVE }, log)
  for (const { id } of state.peers) give(state, { kind: 'link', peer: id, up: true })
  give(state, { kind: 'tick', now: 1 })
  for (let i = 0; i < 40 && state.candidacy === null; i++) {
    for (const { id } of state.peers) {
      const said = { round: state.round, promised: 0, content: 0, connected: 1, last: 0 }
      hear(state, id, { kind: 'heartbeat-reply', ...said, firstRetained: 1, full: 0 })
    }
    give(state, { kind: 'tick', now: state.now + 10 })
  }
  sync(state)
  promise(state, 4)
  promise(state, 5)
  expect(state.leadership).toMatchObject({ adopted: { acceptedBallot: OLD, last: 6 } })
  return state
}

const holding = (acceptedBallot: number, last: number, floor: number) => ({
  ...{ acceptedBallot, last, floor, floorChain: chainOfIndex(floor) },
})

test.each([
  ['a prefix of the adopted log', holding(OLD, 4, 3), [4, 6, 5]],
  ['all of it', holding(OLD, 6, 2), [6, 6, 7]],
  ['more of that ballot than was adopted', holding(OLD, 9, 2), [6, 6, 7]],
  ['another log', holding(ballot(1, 3), 9, 3), [3, 6, 4]],
  ['nothing', {}, [0, 6, 1]],
])('a voter that holds %s is synced from there', (_what, told, [point, through, next]) => {
  const state = adopting()
  promise(state, 3, told)
  const { phase, syncPoint, syncThrough, next: at, matched } = peerIn(state, 3)
  expect([phase, syncPoint, syncThrough, matched]).toEqual(['streaming', point, through, 0])
  // Of no frames at all it is sent at once; what left the rings is read first.
  expect(at).toBe(next)
})

test('a voter that learnt what this leader has chosen meanwhile is synced from there', () => {
  const state = adopting()
  const make = createMaker()
  submit(state, make(7), make(8))
  const floorChain = lastChainOf(state.tail)
  promise(state, 3, { ...holding(0, 8, 8), floorChain })
  const { phase, syncPoint, syncThrough, next } = peerIn(state, 3)
  expect([phase, syncPoint, syncThrough, next]).toEqual(['streaming', 8, 8, 9])
})

test.each([
  ['beyond this log', holding(0, 8, 8)],
  ['otherwise within it', { ...holding(0, 5, 5), floorChain: 4_711 }],
  ['to the middle of a frame', { ...holding(0, 8, 8), floorChain: 4_711 }, 3],
])('a voter that knows chosen %s is sent nothing: who chose it leads', (_what, told, count = 1) => {
  const state = adopting()
  submit(state, createMaker()(7, { count }))
  const effects = promise(state, 3, told)
  expect(ofKind(effects, 'send').filter(({ to }) => to === 3)).toEqual([])
  expect(peerIn(state, 3).phase).toBe('idle')
})

test('a voter of this very ballot needs no sync, and goes on behind its last', () => {
  const state = adopting()
  const effects = promise(state, 3, { acceptedBallot: state.promised, last: 6, floor: 2 })
  expect(sentIn(effects, 'accept-sync')).toEqual([])
  expect(peerIn(state, 3)).toMatchObject({ matched: 6, next: 7, mustSync: false })
})

test('a promise of another ballot, or again while the stream flows, changes nothing', () => {
  const state = adopting()
  expect(promise(state, 3, { ballot: ballot(9, 1) })).toEqual([])
  expect(peerIn(state, 3).phase).toBe('idle')
  promise(state, 3)
  const { attempt } = peerIn(state, 3)
  promise(state, 3)
  expect(peerIn(state, 3).attempt).toBe(attempt)
})

test('what it adopted is chosen with a quorum in its own ballot, and not before its commit', () => {
  const state = adopting()
  promise(state, 2, { acceptedBallot: OLD, last: 6, floor: 2 })
  promise(state, 3, { acceptedBallot: OLD, last: 6, floor: 2 })
  accepted(state, 2, 6)
  accepted(state, 3, 6)
  expect([state.floor, state.leadership!.rounds]).toEqual([2, [6]])
  sync(state)
  expect([state.floor, state.leadership!.rounds]).toEqual([6, []])
})

// ---- Changes ---------------------------------------------------------------------------------

const outcomeOf = (state: State, change: Change): ChangeOutcome | undefined =>
  ofKind(give(state, { kind: 'change', id: 7, change }), 'changed')[0]?.outcome

/** A leader that has begun, and whose peers are ready or not. */
function begun(ready: readonly number[], weights: readonly number[] = [5, 5, 5, 5]): State {
  const roles = ['voter', 'voter', 'logger', 'voter'] as const
  const members = membersOf(roles).map((one, i) => ({ ...one, weight: weights[i]! }))
  const state = leaderOf(1, { members })
  for (const id of ready) peerIn(state, id).readySince = state.now
  return state
}

test('a leader takes itself out only when one that may lead is ready and knows all changes', () => {
  const remove = { kind: 'remove', id: 1 as NodeId } as const
  expect(outcomeOf(begun([]), remove)).toBe('lagging')
  expect(outcomeOf(begun([3]), remove)).toBe('lagging')
  expect(outcomeOf(begun([3, 4], [5, 5, 5, 0]), remove)).toBe('lagging')
  expect(outcomeOf(begun([2]), remove)).toBeUndefined()
  const behind = begun([2])
  ;(behind.configs as object[])[0] = { index: 3, membership: membershipOf(behind.config.members) }
  expect(outcomeOf(behind, remove)).toBe('lagging')
})

test('a change that leaves this leader electable needs nobody that is ready', () => {
  expect(outcomeOf(begun([]), { kind: 'remove', id: 3 as NodeId })).toBeUndefined()
  const light = { kind: 'set', id: 1 as NodeId, weight: 1 } as const
  expect(outcomeOf(begun([]), light)).toBeUndefined()
  expect(outcomeOf(begun([]), { ...light, weight: 0 })).toBe('lagging')
})

test('a Logger gets a state machine only if it said that it trimmed nothing', () => {
  const change = { kind: 'role', id: 3 as NodeId, role: 'voter' } as const
  const said = (first: number): ChangeOutcome | undefined => {
    const state = begun([])
    peerIn(state, 3).firstRetained = first as LogIndex
    return outcomeOf(state, change)
  }
  expect([0, 1, 2].map(said)).toEqual(['lagging', undefined, 'lagging'])
})

test('one change at a time, none beside a hand-over, none by who does not lead', () => {
  const change = { kind: 'remove', id: 3 as NodeId } as const
  const state = begun([2])
  expect(outcomeOf(state, { kind: 'remove', id: 9 as NodeId })).toBe('invalid')
  expect(outcomeOf(state, change)).toBeUndefined()
  expect(outcomeOf(state, { ...change, id: 4 as NodeId })).toBe('conflict')
  const handing = begun([2])
  give(handing, { kind: 'transfer', id: 1, target: 2 as NodeId })
  expect(outcomeOf(handing, change)).toBe('not-ready')
  expect(outcomeOf(adopting(), change)).toBe('not-ready')
  expect(outcomeOf(stateOf(1), change)).toBe('not-leader')
})
