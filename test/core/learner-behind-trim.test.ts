/** A learner whose next entry is trimmed, and that says later that it has it after all. */
import { expect, test } from 'vitest'
import type { LogIndex, NodeId } from '../../src/core/ids.ts'
import {
  createMaker,
  give,
  hear,
  leaderOf,
  membersOf,
  ofKind,
  sentIn,
  sync,
} from '../support/core-state.ts'

const LEARNER = 3 as NodeId

test('it is fed again once it says that it stands where the log still is', () => {
  const state = leaderOf(1, { members: membersOf(['voter', 'voter', 'learner']) })
  const make = createMaker()
  for (const first of [1, 2, 3]) {
    give(state, { kind: 'submitted', ballot: state.promised, frames: [make(first)] })
  }
  sync(state)
  const { attempt } = state.peers.find(({ id }) => id === 2)!
  hear(state, 2, { kind: 'accepted', ballot: state.promised, attempt, through: 3 })
  expect(state.floor).toBe(3)
  give(state, { kind: 'pressure', ring: 0 })
  give(state, { kind: 'retained', first: 3 as LogIndex, full: false })
  const round = (last: number) => {
    const effects = give(state, { kind: 'tick', now: state.now + 50 })
    for (const id of [2, 3]) {
      const said = { round: state.round, promised: id === 2 ? state.promised : 0, content: 1 }
      const held = { last: id === 2 ? 3 : last, firstRetained: 1, full: 0 }
      effects.push(...hear(state, id, { kind: 'heartbeat-reply', connected: 1, ...said, ...held }))
    }
    return effects
  }
  give(state, { kind: 'link', peer: LEARNER, up: true })
  const behind = [...round(0), ...round(0), ...round(0)]
  expect(ofKind(behind, 'event').map(({ name, value }) => [name, value])).toContainEqual([
    ...['behind-trim', LEARNER],
  ])
  expect(sentIn(behind, 'learn')).toEqual([])
  // It was opened with a snapshot of entry 2.
  const back = [...round(2), ...round(2), ...round(2)]
  const reads = ofKind(back, 'read')
  expect(reads.map(({ from, through }) => [from, through])).toContainEqual([3, 3])
})
