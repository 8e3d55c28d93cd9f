/**
 * Reads by lease on real cores (R34): clocks that run wrong, pauses where they hurt most, restarts
 * that forget. The cluster of test/support refuses any answer that is older than what was announced
 * anywhere before the read was asked. XPAXOS_LEASE_SEEDS=A..B runs those seeds instead.
 */
import { expect, test } from 'vitest'
import type { Effect, Member } from '../../src/core/engine.ts'
import {
  type Ballot,
  type LogIndex,
  type NodeId,
  ballotOf,
  ballotOwner,
  ballotRound,
  nodeId,
} from '../../src/core/ids.ts'
import {
  grant,
  heldMs,
  onLeaseReleased,
  noteGrant,
  pumpLease,
  refusedForLease,
  tickLease,
} from '../../src/core/xpaxos/lease.ts'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'
import { noteAccepted } from '../../src/core/xpaxos/read-state.ts'
import { BLANK, createState } from '../../src/core/xpaxos/state.ts'
import {
  type Cluster,
  type ClusterOptions,
  type Node,
  type Read,
  DEFAULTS,
  ask,
  block,
  clockOf,
  crash,
  createCluster,
  cut,
  give,
  inject,
  isOpen,
  pause,
  restart,
  runFor,
  runUntilDone,
  setClockRate,
  submit,
} from '../support/cluster.ts'
import { runSeed } from '../support/seed-run.ts'

const T = 100
const LEASE = 400
const DRIFT = 100
const OWED = 440
/** A leader that nobody follows does not give up before its lease is over. */
const PATIENT = { electionTimeoutMs: 10 * T }

const membersOf = (count: number): Member[] =>
  Array.from({ length: count }, (_, i) => ({
    id: nodeId(i + 1),
    role: 'voter',
    weight: i === 0 ? 9 : 1,
  }))

/** Node 1 leads and has its lease. */
function lab(count = 3, options: Partial<ClusterOptions> = {}): Cluster {
  const cluster = createCluster({
    ...DEFAULTS,
    electionTimeoutMs: T,
    leaseMs: LEASE,
    driftPerMille: DRIFT,
    members: membersOf(count),
    seed: 7,
    ...options,
  })
  cluster.gaps = 0
  const holds = (): boolean => isLeased(cluster, at(cluster, 1))
  expect(runUntilDone(cluster, 20 * T, holds)).not.toBe(-1)
  runFor(cluster, T)
  return cluster
}

const at = (cluster: Cluster, id: number): Node => cluster.byId.get(nodeId(id))!
const readOf = (cluster: Cluster, id: number): Read => cluster.reads.get(id)!
const isLeased = (cluster: Cluster, node: Node): boolean => clockOf(cluster, node) < node.leaseUntil
const successor = (cluster: Cluster): Node | undefined =>
  cluster.nodes.find((node) => node.id !== 1 && node.alive && node.leading !== null)

function write(cluster: Cluster, node: Node): void {
  const goal = cluster.acknowledged
  expect(submit(cluster, node, [1])).toBe(true)
  expect(runUntilDone(cluster, 10 * T, () => cluster.acknowledged > goal)).not.toBe(-1)
}

/**
 * Node 3 wants to lead, and asks voters every ms: they promise as soon as they may. The cluster
 * looks after every step whether a lease is still valid that a quorum has gone past.
 */
function pressUntilPromised(cluster: Cluster, ...ids: number[]): void {
  const start = cluster.now
  const before = at(cluster, 1).core.view.promised
  const hasPromised = (id: number): boolean => ballotOwner(at(cluster, id).core.view.promised) !== 1
  for (let round = ballotRound(before) + 1; !ids.every(hasPromised); round++) {
    const prepare = { kind: 'prepare', ballot: ballotOf(round, nodeId(3)) } as const
    for (const id of ids) {
      const sender = at(cluster, id === 3 ? 2 : 3) // nobody sends to itself
      inject(cluster, sender, at(cluster, id), prepare, [])
    }
    runFor(cluster, 1)
    expect(cluster.now - start).toBeLessThan(4 * LEASE)
  }
  runFor(cluster, T)
}

test('a leader with a lease answers without a message', () => {
  const cluster = lab()
  write(cluster, at(cluster, 1))
  const id = ask(cluster, at(cluster, 1), 'lease')
  for (const other of [2, 3]) block(cluster, at(cluster, 1), at(cluster, other))
  runFor(cluster, 5)
  expect(readOf(cluster, id).index).toBe(1)
})

test('without a lease, and at a follower, a read by lease takes a round', () => {
  const cluster = lab()
  write(cluster, at(cluster, 1))
  give(cluster, at(cluster, 1), { kind: 'clock-jumped' })
  expect(isLeased(cluster, at(cluster, 1))).toBe(false)
  const ids = [1, 2].map((id) => ask(cluster, at(cluster, id), 'lease'))
  runFor(cluster, T)
  for (const id of ids) expect(readOf(cluster, id).index).toBe(1)
  expect(isLeased(cluster, at(cluster, 1))).toBe(true) // the next rounds count again
})

test('a cluster without leases refuses reads by lease', () => {
  const cluster = createCluster({ ...DEFAULTS, members: membersOf(1), seed: 1 })
  runFor(cluster, 10 * T)
  expect(readOf(cluster, ask(cluster, at(cluster, 1), 'lease')).refused).toBe('not-available')
})

test('a lease needs voters - q1 + 1 grants, not one less', () => {
  const cluster = lab(5, PATIENT)
  for (const id of [2, 3, 4]) cut(cluster, at(cluster, 1), at(cluster, id))
  // The leader gives up when no quorum follows it; until then two are not enough.
  pressUntilPromised(cluster, 2, 3, 4)
})

// ---- Clocks ----------------------------------------------------------------------------------

test.each([
  ['the leader slow, the others fast', 0.9, 1.1],
  ['the leader fast, the others slow', 1.1, 0.9],
])('%s, as far as they may: no lease outlives its grants', (_name, own, rest) => {
  const cluster = lab(3, { ...PATIENT, linkDelay: [0, 0], syncDelay: [0, 0] })
  for (const node of cluster.nodes) setClockRate(cluster, node, node.id === 1 ? own : rest)
  runFor(cluster, 2 * LEASE)
  expect(isLeased(cluster, at(cluster, 1))).toBe(true)
  for (const id of [2, 3]) cut(cluster, at(cluster, 1), at(cluster, id))
  pressUntilPromised(cluster, 2, 3)
})

test('the lease counts from when the round was sent, not from the answer', () => {
  const cluster = lab(3, PATIENT)
  cluster.filter = (_from, _to, { kind }) => (kind === 'confirmed' ? LEASE / 2 : undefined)
  runFor(cluster, LEASE)
  expect(isLeased(cluster, at(cluster, 1))).toBe(true)
  for (const id of [2, 3]) block(cluster, at(cluster, 1), at(cluster, id))
  pressUntilPromised(cluster, 2, 3)
})

test('a voter grants from a moment behind the receipt, however late its clock is', () => {
  const cluster = lab(3, PATIENT)
  cut(cluster, at(cluster, 1), at(cluster, 3))
  // Node 2 works off what came while it slept, before it looks at the clock.
  pause(cluster, at(cluster, 2), 2 * LEASE)
  cluster.onEffect = (node, effect) => {
    if (node.id !== 1 || effect.kind !== 'send' || effect.to !== 2) return
    inject(cluster, node, at(cluster, 2), effect.message, [])
  }
  cluster.filter = (_from, to) => (to === 2 ? 'drop' : undefined)
  runFor(cluster, 2 * LEASE - 20)
  expect(isLeased(cluster, at(cluster, 1))).toBe(true)
  cluster.onEffect = () => undefined
  pressUntilPromised(cluster, 2, 3)
})

test('a leader that slept between question and value answers nothing (T49, T50)', () => {
  const cluster = lab(3, { applyDelay: [0, 0] })
  write(cluster, at(cluster, 1))
  pause(cluster, at(cluster, 1), 40 * T)
  expect(runUntilDone(cluster, 30 * T, () => successor(cluster) !== undefined)).not.toBe(-1)
  write(cluster, successor(cluster)!)
  // Its clock still shows when it fell asleep: only who reads the value sees what time it is.
  const id = ask(cluster, at(cluster, 1), 'lease')
  runFor(cluster, 1)
  expect(readOf(cluster, id)).toMatchObject({ index: -1, refused: 'late' })
})

test('a jump of the clock voids what was sent before it', () => {
  const cluster = lab()
  cluster.filter = (_from, _to, { kind }) => (kind === 'confirmed' ? 30 : undefined)
  runFor(cluster, LEASE)
  expect(isLeased(cluster, at(cluster, 1))).toBe(true)
  give(cluster, at(cluster, 1), { kind: 'clock-jumped' })
  cluster.filter = (_from, _to, { kind }) => (kind === 'confirm' ? 'drop' : undefined)
  for (let ms = 0; ms < 60; ms++) {
    runFor(cluster, 1) // the answers to what was sent before come now
    expect(isLeased(cluster, at(cluster, 1))).toBe(false)
  }
})

// ---- Restarts and elections ------------------------------------------------------------------

test('a voter that restarts promises nothing before a lease length is over', () => {
  const cluster = lab(3, PATIENT)
  cut(cluster, at(cluster, 1), at(cluster, 3))
  runFor(cluster, 2 * LEASE) // node 3 owes nothing any more, node 2 granted all the time
  expect(isLeased(cluster, at(cluster, 1))).toBe(true)
  cut(cluster, at(cluster, 1), at(cluster, 2))
  crash(cluster, at(cluster, 2), Infinity)
  restart(cluster, at(cluster, 2))
  pressUntilPromised(cluster, 2, 3)
})

test('after a crash of the leader the next one comes when the grants are over', () => {
  const cluster = lab()
  let refusals = 0
  cluster.onEffect = (_node, effect) => {
    if (effect.kind === 'send' && effect.message.kind === 'lease-held') refusals += 1
  }
  // Node 2 owes nothing any more, so it stands too early for node 3.
  cluster.filter = (from, to, { kind }) =>
    from === 1 && to === 2 && kind === 'confirm' ? 'drop' : undefined
  runFor(cluster, 2 * LEASE)
  crash(cluster, at(cluster, 1), Infinity)
  const tookMs = runUntilDone(cluster, 40 * T, () => successor(cluster) !== undefined)
  expect(tookMs).toBeGreaterThan(LEASE / 2)
  expect(tookMs).toBeLessThan(2 * OWED + 6 * T)
  expect(refusals).toBeGreaterThan(0)
})

test('a read by lease at a leader that does not serve yet waits like any other', () => {
  const cluster = lab()
  write(cluster, at(cluster, 1))
  crash(cluster, at(cluster, 1), Infinity)
  cluster.filter = (_from, _to, { kind }) => (kind === 'accepted' ? 'drop' : undefined)
  expect(runUntilDone(cluster, 40 * T, () => successor(cluster) !== undefined)).not.toBe(-1)
  runFor(cluster, T / 2)
  const id = ask(cluster, successor(cluster)!, 'lease')
  runFor(cluster, T / 2)
  expect(isOpen(readOf(cluster, id))).toBe(true)
})

test('a hand-over gives the lease back, so that the target need not wait (R24)', () => {
  const cluster = lab()
  write(cluster, at(cluster, 1))
  give(cluster, at(cluster, 1), { kind: 'transfer', id: 1, target: nodeId(2) })
  const done = (): boolean => successor(cluster)?.id === 2
  const tookMs = runUntilDone(cluster, 10 * LEASE, done)
  expect(tookMs).toBeGreaterThanOrEqual(0)
  expect(tookMs).toBeLessThan(LEASE / 2)
  expect(at(cluster, 1).leaseUntil).toBe(0)
  write(cluster, at(cluster, 2))
  const ids = [1, 2].map((id) => ask(cluster, at(cluster, id), 'lease'))
  runFor(cluster, 2 * T)
  for (const id of ids) expect(readOf(cluster, id).index).toBe(2)
})

// ---- Parts of a hand-over -------------------------------------------------------------------

const stateOf = (self: number, members = membersOf(3)) =>
  createState(
    {
      self: nodeId(self),
      members,
      ...{ heartbeatMs: 20, electionTimeoutMs: T, windowBytes: 4_096, batchBytesMax: 4_096 },
      ...{ batchEntriesMax: 10, catchUpBytesMax: 4_096, pipelineDepth: 1, seed: 1, requestBase: 0 },
      ...{ leaseMs: LEASE, driftPerMille: DRIFT },
    },
    { ...BLANK, promised: ballotOf(3, nodeId(1)) },
  )

test('a grant goes back only by the word of its holder, in the same ballot (R24)', () => {
  const state = stateOf(2)
  const effects: Effect<XPaxosMessage>[] = []
  for (state.now = 0; state.now <= 2 * LEASE; state.now += 10) tickLease(state, effects)
  expect(heldMs(state, 3 as NodeId)).toBe(0)
  expect(grant(state, ballotOf(3, nodeId(1)))).toBe(1)
  expect(heldMs(state, 3 as NodeId)).toBe(OWED)
  expect(heldMs(state, 1 as NodeId)).toBe(0)
  const released = (from: number, ballot: Ballot): void =>
    onLeaseReleased(state, nodeId(from), { kind: 'lease-released', ballot })
  released(1, ballotOf(2, nodeId(1)))
  released(2, ballotOf(3, nodeId(1)))
  released(2, ballotOf(3, nodeId(2)))
  expect(heldMs(state, 3 as NodeId)).toBe(OWED)
  released(1, ballotOf(3, nodeId(1)))
  expect(heldMs(state, 3 as NodeId)).toBe(0)
})

test('a node that takes itself for a learner keeps what it granted, too', () => {
  const [leader, other] = membersOf(2)
  const state = stateOf(3, [leader!, other!, { id: nodeId(3), role: 'learner', weight: 0 }])
  const effects: Effect<XPaxosMessage>[] = []
  for (state.now = 0; state.now <= 2 * LEASE; state.now += 10) tickLease(state, effects)
  expect(grant(state, ballotOf(3, nodeId(1)))).toBe(1)
  expect(refusedForLease(state, nodeId(2), ballotOf(4, nodeId(2)), effects)).toBe(true)
  expect(effects.at(-1)).toMatchObject({ message: { kind: 'lease-held', leftMs: OWED } })
})

test('nothing is granted to a ballot that is not the promised one', () => {
  const state = stateOf(2)
  expect(grant(state, ballotOf(2, nodeId(1)))).toBe(0)
  expect(grant(state, ballotOf(4, nodeId(3)))).toBe(0)
})

test('a lease that was ended stays ended in its ballot (R25)', () => {
  const state = stateOf(1)
  const ballot = ballotOf(3, nodeId(1))
  const effects: Effect<XPaxosMessage>[] = []
  const leadership = { ballot, adopted: { last: 0 }, leaseBarred: false }
  state.leadership = leadership as NonNullable<typeof state.leadership>
  for (const id of [1, 2]) noteAccepted(state, nodeId(id), 0 as LogIndex)
  tickLease(state, effects)
  const { roundNumber: round } = state.readState
  const granted = { kind: 'confirmed', ballot, round, promised: ballot, granted: 1 } as const
  noteGrant(state, nodeId(2), granted)
  pumpLease(state, effects)
  expect(effects.at(-1)).toEqual({ kind: 'lease', until: 360 })
  leadership.leaseBarred = true
  effects.length = 0
  pumpLease(state, effects)
  expect(effects[0]).toEqual({ kind: 'lease', until: 0 })
  effects.length = 0
  noteGrant(state, nodeId(2), granted)
  tickLease(state, effects)
  pumpLease(state, effects)
  expect(effects).toEqual([])
})

// ---- Drawn clusters --------------------------------------------------------------------------

const [first = 1, last = 150] = (process.env['XPAXOS_LEASE_SEEDS'] ?? '1..150')
  .split('..')
  .map(Number)

const GROUP = 25
const groups: [number, number][] = []
for (let from = first; from <= last; from += GROUP) {
  groups.push([from, Math.min(last, from + GROUP - 1)])
}

test.each(groups)(
  'seeds %i to %i: with leases and wrong clocks, no read is too old',
  (from, through) => {
    const failed: string[] = []
    let answers = 0
    for (let seed = from; seed <= through; seed++) {
      const { error, cluster } = runSeed(seed, null, { leases: true })
      if (error !== null) failed.push(`XPAXOS_LEASE_SEEDS=${seed}..${seed}: ${error.message}`)
      for (const { index, mode } of cluster.reads.values()) {
        if (mode === 'lease' && index >= 0) answers += 1
      }
    }
    if (failed.length > 0) throw new Error(failed.join('\n'))
    expect(answers).toBeGreaterThan(10 * (through - from + 1))
  },
)
