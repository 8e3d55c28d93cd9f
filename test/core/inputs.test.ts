/**
 * One input does what it says and nothing else: what a node's stages tell its core.
 */
import { expect, test } from 'vitest'
import type { LogIndex, Lsn } from '../../src/core/ids.ts'
import { leaderHoldsOf } from '../../src/core/xpaxos/purge.ts'
import { firstKept } from '../../src/core/xpaxos/tail.ts'
import {
  ballot,
  createMaker,
  give,
  hear,
  leaderOf,
  sentIn,
  stateOf,
  sync,
} from '../support/core-state.ts'

/** Node 2 follows node 1, with an empty log. */
function following() {
  const state = stateOf(2)
  const make = createMaker()
  const told = ballot(1, 1)
  hear(state, 1, { kind: 'prepare', ballot: told })
  hear(state, 1, { kind: 'accept-sync', ballot: told, ...EMPTY })
  return { state, make, told }
}

test('what is retained is told by the stage alone, and reported on', () => {
  const state = stateOf(1)
  give(state, { kind: 'retained', first: 7 as LogIndex, full: true })
  expect([state.firstRetained, state.purge.isFull]).toEqual([7, true])
  give(state, { kind: 'clock-jumped' })
  give(state, { kind: 'pressure', ring: 0 })
  expect([state.firstRetained, state.purge.isFull]).toEqual([7, true])
})

test('pressure asks for no read, and a read drops no lease', () => {
  const state = leaderOf(1, { leaseMs: 50 })
  give(state, { kind: 'tick', now: state.now + 100 })
  const count = state.readState.lease.sends.length
  expect(count).toBeGreaterThan(0)
  give(state, { kind: 'pressure', ring: 0 })
  expect(state.readState.waiting).toEqual([])
  give(state, { kind: 'read-asked', id: 1, mode: 'read-index', boundMs: 0 } as never)
  expect(state.readState.lease.sends.length).toBeGreaterThanOrEqual(count)
  give(state, { kind: 'clock-jumped' })
  expect(state.readState.lease.sends).toEqual([])
})

test('what was durable stays so, whatever order the disk tells it in', () => {
  const state = stateOf(2)
  const make = createMaker()
  const told = ballot(1, 1)
  hear(state, 1, { kind: 'prepare', ballot: told })
  const range = { ballot: told, syncPoint: 0, adoptedLast: 0, prev: 0, through: 0 }
  hear(state, 1, { kind: 'accept-sync', ...range })
  hear(state, 1, { kind: 'accept', ballot: told, prev: 0, through: 1 }, [make(1)])
  expect(state.appends.length).toBe(2)
  const last = state.nextLsn - 1
  sync(state)
  expect([state.durable, state.appends.length]).toEqual([1, 0])
  give(state, { kind: 'durable', lsn: (last - 2) as Lsn })
  expect([state.durable, state.durableLsn]).toEqual([1, last])
  // A repeated accept changes nothing: its answer is durable as soon as it is asked for.
  const again = hear(state, 1, { kind: 'accept', ballot: told, prev: 0, through: 1 }, [make(1)])
  expect(sentIn(again, 'accepted')).toMatchObject([{ to: 1, through: 1 }])
})

test('of what waits for the disk the newest accepted of a node leaves, and all else', () => {
  const state = stateOf(2)
  const make = createMaker()
  const told = ballot(1, 1)
  hear(state, 1, { kind: 'prepare', ballot: told })
  hear(state, 1, { kind: 'prepare', ballot: told })
  hear(state, 1, { kind: 'accept-sync', ballot: told, ...EMPTY })
  for (const index of [1, 2, 3]) {
    const range = { ballot: told, prev: index - 1, through: index }
    hear(state, 1, { kind: 'accept', ...range }, [make(index)])
  }
  const sent = sentIn(sync(state))
  expect(sent.map(({ kind }) => kind)).toEqual(['promise', 'promise', 'accepted'])
  expect(sent.at(-1)).toMatchObject({ through: 3 })
  expect(state.waiting).toEqual([])
})
const EMPTY = { syncPoint: 0, adoptedLast: 0, prev: 0, through: 0 }

test('a transaction that a higher ballot ends lets go of its bytes, and cuts nothing', () => {
  const state = stateOf(2)
  const make = createMaker()
  const told = ballot(1, 1)
  hear(state, 1, { kind: 'prepare', ballot: told })
  const frames = [make(1), make(2)]
  const range = { syncPoint: 0, adoptedLast: 3, prev: 0, through: 2 }
  hear(state, 1, { kind: 'accept-sync', ballot: told, ...range }, frames)
  expect([state.pendingSync?.last, frames.map(({ kept }) => kept)]).toEqual([2, [true, true]])
  hear(state, 3, { kind: 'prepare', ballot: ballot(2, 3) })
  expect([state.pendingSync, frames.map(({ kept }) => kept)]).toEqual([null, [false, false]])
  expect(state.acceptedBallot).toBe(0)
})

test('pressure takes the durable bytes of an open transaction, too', () => {
  const state = stateOf(2)
  const make = createMaker()
  const told = ballot(1, 1)
  hear(state, 1, { kind: 'prepare', ballot: told })
  const [first, second, third] = [make(1), make(2), make(3)]
  const begin = { ballot: told, syncPoint: 0, adoptedLast: 3 }
  hear(state, 1, { kind: 'accept-sync', ...begin, prev: 0, through: 1 }, [first])
  sync(state)
  hear(state, 1, { kind: 'accept-sync', ...begin, prev: 1, through: 2 }, [second])
  give(state, { kind: 'pressure', ring: 0 })
  expect([first.kept, second.kept]).toEqual([false, true])
  hear(state, 1, { kind: 'accept-sync', ...begin, prev: 2, through: 3 }, [third])
  expect([state.acceptedBallot, state.pendingSync]).toEqual([told, null])
  expect([second.kept, third.kept]).toEqual([true, true])
})

test('what lies in the rings stays a suffix of the log when pressure took pending bytes', () => {
  const state = stateOf(2)
  const make = createMaker()
  const [first, second] = [ballot(1, 1), ballot(2, 3)]
  const [one, two, three] = [make(1, { ring: 1 }), make(2), make(3)]
  hear(state, 1, { kind: 'prepare', ballot: first })
  hear(state, 1, { kind: 'accept-sync', ballot: first, ...EMPTY })
  hear(state, 1, { kind: 'accept', ballot: first, prev: 0, through: 1 }, [one])
  hear(state, 3, { kind: 'prepare', ballot: second })
  const begin = { ballot: second, syncPoint: 1, adoptedLast: 3 }
  hear(state, 3, { kind: 'accept-sync', ...begin, prev: 1, through: 2 }, [two])
  sync(state)
  give(state, { kind: 'pressure', ring: 0 })
  expect([one.kept, two.kept]).toEqual([true, false])
  hear(state, 3, { kind: 'accept-sync', ...begin, prev: 2, through: 3 }, [three])
  expect([one.kept, three.kept, firstKept(state.tail)]).toEqual([false, true, 3])
})

test('a hole behind the own last is refused, what overlaps is skipped, and no more', () => {
  const { state, make, told } = following()
  const [one, two, three] = [make(1), make(2), make(3)]
  const accept = (prev: number, frames: (typeof one)[]) =>
    hear(state, 1, { kind: 'accept', ballot: told, prev, through: prev + frames.length }, frames)
  accept(0, [one])
  expect(sentIn(accept(2, [three]), 'reject')).toMatchObject([{ to: 1, last: 1, promised: told }])
  expect(state.tail.marks.length).toBe(1)
  accept(0, [one, two])
  expect(state.tail.marks.map(({ first }) => first)).toEqual([1, 2])
})

test('a message that says something else than its frames is told, and changes nothing', () => {
  const { state, make, told } = following()
  const [one, two] = [make(1), make(2)]
  const accept = { kind: 'accept', ballot: told, prev: 0 } as const
  for (const [message, frames] of [
    [{ ...accept, through: 2 }, [one]],
    [{ ...accept, through: 1 }, [two]],
    [{ kind: 'prepare', ballot: ballot(2, 1) }, [one]],
  ] as const) {
    const effects = hear(state, 1, message, frames)
    expect(effects).toEqual([{ kind: 'event', name: 'bad-message', value: 1 }])
  }
  expect([state.promised, state.tail.marks.length]).toEqual([told, 0])
  hear(state, 1, { ...accept, through: 2 }, [one, two])
  expect(state.tail.marks.length).toBe(2)
})

test('what a leader holds counts while it is followed; what all hold counts for ever', () => {
  const state = stateOf(2)
  const [first, second] = [ballot(1, 1), ballot(2, 3)]
  hear(state, 1, { kind: 'prepare', ballot: first })
  const say = (from: number, told: object): void => {
    const about = { round: 1, knows: 1, chosen: 0, chosenChain: -1 }
    hear(state, from, { kind: 'heartbeat', ...about, ...told })
  }
  const known = (): number[] => [state.purge.held, state.purge.heldByData, leaderHoldsOf(state)]
  say(1, { ballot: first, held: 3, heldByData: 5, leaderHolds: 7 })
  expect(known()).toEqual([3, 5, 7])
  say(3, { ballot: second, held: 2, heldByData: 6, leaderHolds: 9 })
  expect(known()).toEqual([3, 6, 7])
  hear(state, 3, { kind: 'prepare', ballot: second })
  expect(known()).toEqual([3, 6, 0])
  say(3, { ballot: second, held: 4, heldByData: 4, leaderHolds: 5 })
  expect(known()).toEqual([4, 6, 5])
})
