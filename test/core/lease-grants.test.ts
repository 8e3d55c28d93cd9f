/**
 * What one voter owes for a grant and what one leader counts on, to the millisecond and message by
 * message (R34). Lease 400 ms, drift 100 per mille: a voter owes 440, a leader uses 360.
 */
import { expect, test } from 'vitest'
import { type Ballot, nodeId } from '../../src/core/ids.ts'
import { heldMs } from '../../src/core/xpaxos/lease.ts'
import type { State } from '../../src/core/xpaxos/state.ts'
import {
  type CoreEffect,
  ballot,
  give,
  hear,
  leaderOf,
  membersOf,
  ofKind,
  sentIn,
  stateOf,
} from '../support/core-state.ts'

const LEASES = { leaseMs: 400, driftPerMille: 100 }
const [OWED, USABLE] = [440, 360]

const tick = (state: State, now: number): CoreEffect[] => give(state, { kind: 'tick', now })

// ---- The voter -------------------------------------------------------------------------------

const OWN = ballot(3, 1)

/** Node 2 follows node 1; what it owed for its start is over. */
function voter(): State {
  const state = stateOf(2, LEASES)
  tick(state, 0)
  tick(state, OWED)
  hear(state, 1, { kind: 'prepare', ballot: OWN })
  return state
}

const confirm = (state: State, told: Ballot, lease = 1): CoreEffect[] =>
  hear(state, 1, { kind: 'confirm', ballot: told, round: 4, lease })

test('after a start nothing is promised for what any grant may be owed', () => {
  const state = stateOf(2, LEASES)
  expect(heldMs(state, nodeId(1))).toBe(OWED)
  tick(state, 1_000)
  expect(heldMs(state, nodeId(1))).toBe(OWED)
  tick(state, 1_000 + OWED - 1)
  const [held] = sentIn(hear(state, 1, { kind: 'prepare', ballot: OWN }))
  expect(held).toMatchObject({ kind: 'lease-held', to: 1, ballot: OWN, leftMs: 1 })
  tick(state, 1_000 + OWED)
  hear(state, 1, { kind: 'prepare', ballot: OWN })
  expect(state.promised).toBe(OWN)
})

test('a grant holds from the tick behind it, against all but its holder', () => {
  const state = voter()
  expect(sentIn(confirm(state, OWN))).toMatchObject([
    { kind: 'confirmed', to: 1, ballot: OWN, round: 4, promised: OWN, granted: 1 },
  ])
  const held = (): number[] => [1, 3].map((id) => heldMs(state, nodeId(id)))
  expect(held()).toEqual([0, OWED])
  tick(state, 1_000)
  expect(held()).toEqual([0, OWED])
  tick(state, 1_001)
  expect(held()).toEqual([0, OWED - 1])
  tick(state, 1_000 + OWED)
  expect(held()).toEqual([0, 0])
})

test('no grant without being asked, nor to a ballot that is not the promised one', () => {
  const state = voter()
  expect(sentIn(confirm(state, OWN, 0))).toMatchObject([{ granted: 0, promised: OWN }])
  expect(sentIn(confirm(state, ballot(2, 1)))).toMatchObject([{ granted: 0, promised: OWN }])
  expect(heldMs(state, nodeId(3))).toBe(0)
})

test('a held prepare is repeated in vain; one of the promised ballot is answered', () => {
  const state = voter()
  confirm(state, OWN)
  tick(state, 1_000)
  hear(state, 3, { kind: 'prepare', ballot: ballot(4, 3) })
  expect(state.promised).toBe(OWN)
  hear(state, 1, { kind: 'prepare', ballot: OWN })
  expect(state.waiting.at(-1)).toMatchObject({ to: 1, message: { kind: 'promise', ballot: OWN } })
})

// ---- The leader ------------------------------------------------------------------------------

/** Node 1 of five leads, and a quorum holds its empty log. */
function leader(): State {
  const members = membersOf(['voter', 'voter', 'voter', 'voter', 'voter'])
  const state = leaderOf(1, { ...LEASES, members, electionTimeoutMs: 1_000 })
  for (let now = state.now; state.leadership === null && now < 10_000; now += 20) settle(state, now)
  for (const from of [2, 3]) {
    const told = { ballot: state.promised, attempt: 0, through: 0 }
    hear(state, from, { kind: 'accepted', ...told })
  }
  return state
}

function settle(state: State, now: number): void {
  for (const { id } of state.peers) {
    const said = { round: state.round, promised: 0, content: 0, connected: 1, last: 0 }
    hear(state, id, { kind: 'heartbeat-reply', ...said, firstRetained: 1, full: 0 })
  }
  tick(state, now)
  give(state, { kind: 'durable', lsn: (state.nextLsn - 1) as never })
  if (state.candidacy === null) return
  for (const { id } of state.peers) {
    const log = { acceptedBallot: 0, last: 0, floor: 0, firstRetained: 1 }
    hear(state, id, { kind: 'promise', ballot: state.candidacy?.ballot, ...log })
  }
  give(state, { kind: 'durable', lsn: (state.nextLsn - 1) as never })
}

function grant(state: State, from: number, told: object = {}): CoreEffect[] {
  const { promised, readState } = state
  const round = readState.lease.sends.at(-1)!.round
  const message = { kind: 'confirmed', ballot: promised, promised, round, granted: 1, ...told }
  return hear(state, from, message)
}

const untilIn = (effects: readonly CoreEffect[]): number[] =>
  ofKind(effects, 'lease').map(({ until }) => until)

test('a lease counts from when its round was sent, with two grants of five besides', () => {
  const state = leader()
  const sentAt = state.now + 20
  const asked = sentIn(tick(state, sentAt), 'confirm')
  expect(asked.map(({ to }) => to)).toEqual([2, 3, 4, 5])
  expect(asked.every((sent) => sent.kind === 'confirm' && sent.lease === 1)).toBe(true)
  tick(state, sentAt + 5)
  expect(untilIn(grant(state, 4))).toEqual([])
  for (const told of [{ granted: 0 }, { ballot: ballot(1, 2) }, { promised: ballot(99, 3) }]) {
    expect(untilIn(grant(state, 5, told))).toEqual([])
  }
  expect(untilIn(grant(state, 5, { round: 99 }))).toEqual([])
  expect(untilIn(grant(state, 5))).toEqual([sentAt + USABLE])
  expect(untilIn(grant(state, 5))).toEqual([])
})

test('a round each heartbeat; the lease goes on from the second newest grant', () => {
  const state = leader()
  const first = state.now + 20
  tick(state, first)
  grant(state, 4)
  grant(state, 5)
  expect(sentIn(tick(state, first + 19), 'confirm')).toEqual([])
  expect(sentIn(tick(state, first + 20), 'confirm').length).toBe(4)
  expect(untilIn(grant(state, 4))).toEqual([])
  expect(untilIn(grant(state, 2))).toEqual([first + 20 + USABLE])
})

test('a round older than a lease is forgotten: its grants come too late', () => {
  const state = leader()
  const first = state.now + 20
  tick(state, first)
  const { round } = state.readState.lease.sends.at(-1)!
  tick(state, first + 400)
  expect(state.readState.lease.sends.map((sent) => sent.round)).toContain(round)
  tick(state, first + 401)
  expect(state.readState.lease.sends.map((sent) => sent.round)).not.toContain(round)
})

test('a jump of the clock ends it, and rounds sent before it count no more', () => {
  const state = leader()
  tick(state, state.now + 20)
  const { round } = state.readState.lease.sends.at(-1)!
  grant(state, 4)
  grant(state, 5)
  expect(untilIn(give(state, { kind: 'clock-jumped' }))).toEqual([0])
  expect(untilIn(grantOf(state, 4, round))).toEqual([])
  expect(untilIn(grantOf(state, 5, round))).toEqual([])
})

function grantOf(state: State, from: number, round: number): CoreEffect[] {
  const { promised } = state
  return hear(state, from, { kind: 'confirmed', ballot: promised, promised, round, granted: 1 })
}
