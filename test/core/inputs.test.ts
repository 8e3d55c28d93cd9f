/**
 * One input does what it says and nothing else: what a node's stages tell its core.
 */
import { expect, test } from 'vitest'
import type { LogIndex, Lsn } from '../../src/core/ids.ts'
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
