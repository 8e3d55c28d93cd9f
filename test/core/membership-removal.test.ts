/**
 * Nodes that leave (R29, R30, T7, T16): leaders that are removed, removed nodes that come back,
 * ids that are used twice, leaders that are isolated and asked for a change. The oracle judges.
 */
import { expect, test } from 'vitest'
import { ballotOf, ballotRound, nodeId } from '../../src/core/ids.ts'
import {
  type Cluster,
  type Node,
  crash,
  cut,
  inject,
  leaderOf,
  mend,
  mendAll,
  restart,
  runFor,
  runUntilDone,
  submit,
} from '../support/cluster.ts'
import {
  T,
  add,
  answerTo,
  at,
  awaitLeader,
  ballotsOf,
  isolate,
  joiners,
  lab,
  leaderIn,
  membersOf,
  order,
  progressWithin,
  remove,
  role,
  set,
  settle,
  voters,
  watch,
} from '../support/lab.ts'

// ---- The leader goes --------------------------------------------------------------------------

test.each([2, 3, 4])('of %i the leader is removed: done, handed over, and heard of', (n) => {
  const cluster = lab(voters(...[9, 5, 5, 5].slice(0, n)))
  const leader = awaitLeader(cluster, 1)
  submit(cluster, leader, [3, 3])
  const events = watch(cluster, 'transfer-started', 'removed', 'membership', 'prepare-started')
  const answer = order(cluster, leader, remove(1))
  expect(submit(cluster, leader, [2])).toBe(true)
  const took = runUntilDone(cluster, 2 * T, () => leaderOf(cluster)?.id !== nodeId(1))
  // By hand-over: nobody had to miss its heartbeats first.
  expect(took).toBeGreaterThanOrEqual(0)
  expect(took).toBeLessThan(T)
  expect(answer()).toBe('done')
  runFor(cluster, 2 * T)
  expect(leader.leading).toBeNull()
  expect(events.filter(({ name }) => name === 'transfer-started')).toHaveLength(1)
  expect(events.filter(({ name }) => name === 'prepare-started')).toHaveLength(1)
  expect(events.filter(({ name, node }) => name === 'removed' && node === 1)).toHaveLength(1)
  expect(progressWithin(cluster, 2 * T)).toBeGreaterThanOrEqual(0)
  // What it took from clients behind the change is chosen too: the drain waits for it.
  const serials = new Set(cluster.oracle.chosen.map(({ serial }) => serial))
  expect(serials.has(5)).toBe(true)
  settle(cluster)
})

const isRemovalChosen = ({ core: { view } }: Node): boolean =>
  view.membershipIndex > 0 && view.chosen >= view.membershipIndex

test('a removed leader does not count itself behind the config batch', () => {
  const cluster = lab(voters(9, 5, 5))
  const leader = awaitLeader(cluster, 1)
  order(cluster, leader, remove(1))
  // 3 is away from the moment the config batch is chosen: of {2, 3} both are needed.
  runUntilDone(cluster, T, () => isRemovalChosen(leader))
  isolate(cluster, at(cluster, 3))
  const before = cluster.oracle.chosenThrough
  runFor(cluster, 8 * T)
  expect(cluster.oracle.chosenThrough - before).toBeLessThanOrEqual(1)
  expect(at(cluster, 2).leading).toBeNull()
  settle(cluster)
})

test('a removed leader is heard, and hears, until the change is concluded and handed over', () => {
  const cluster = lab(voters(9, 5, 5))
  const leader = awaitLeader(cluster, 1)
  const events = watch(cluster, 'transfer-started', 'prepare-started')
  const answer = order(cluster, leader, remove(1))
  // The empty batch takes longer than answers to heartbeats stay fresh.
  const before = cluster.onEffect
  cluster.onEffect = (node, effect) => {
    before(node, effect)
    if (node !== leader || effect.kind !== 'chosen') return
    for (const id of [2, 3]) at(cluster, id).disk.stalledUntil = cluster.now + 120
  }
  expect(runUntilDone(cluster, T, () => isRemovalChosen(leader))).toBeGreaterThanOrEqual(0)
  runFor(cluster, 100)
  expect(answer()).toBe('open')
  runUntilDone(cluster, T, () => leader.leading === null)
  expect(answer()).toBe('done')
  runFor(cluster, T)
  expect(events.map(({ name }) => name)).toEqual(['transfer-started', 'prepare-started'])
  settle(cluster)
})

test('a removed leader gets a broken stream back, from who knows of its removal', () => {
  const cluster = lab([...voters(9, 5, 5), ['learner', 5, { source: nodeId(1) }]])
  const leader = awaitLeader(cluster, 1)
  const events = watch(cluster, 'transfer-started', 'prepare-started', 'removed')
  // 2 and 3 are both needed for the empty batch; what they answer to it is lost once.
  cluster.filter = (_from, to, { kind }) =>
    to === 1 && kind === 'accepted' && isRemovalChosen(leader) ? 'drop' : undefined
  const answer = order(cluster, leader, remove(1))
  const isKnown = (): boolean => [2, 3, 4].every((id) => isRemovalChosen(at(cluster, id)))
  expect(runUntilDone(cluster, 2 * T, isKnown)).toBeGreaterThanOrEqual(0)
  for (const id of [2, 3]) {
    cut(cluster, leader, at(cluster, id))
    mend(cluster, leader, at(cluster, id))
  }
  runFor(cluster, 5)
  cluster.filter = () => undefined
  expect(runUntilDone(cluster, T, () => answer() === 'done')).toBeGreaterThanOrEqual(0)
  runUntilDone(cluster, T, () => leader.leading === null)
  runFor(cluster, T)
  const names = events.filter(({ node }) => node < 4).map(({ name }) => name)
  expect(names).toEqual(['removed', 'transfer-started', 'prepare-started'])
  settle(cluster)
})

test('a removed leader that finds nobody to take over stops all the same', () => {
  const cluster = lab(voters(9, 5, 5))
  const leader = awaitLeader(cluster, 1)
  cluster.filter = (_from, _to, { kind }) => (kind === 'take-over' ? 'drop' : undefined)
  expect(answerTo(cluster, remove(1))).toBe('done')
  expect(runUntilDone(cluster, 6 * T, () => leader.leading === null)).toBeGreaterThan(0)
  const next = leaderIn(cluster)
  expect(next.id).not.toBe(1)
  settle(cluster)
})

test.each([1, 2, 3, 4])(
  'a removed leader cut off keeps nobody back by a lease: seed %i',
  (seed) => {
    const cluster = lab(voters(9, 5, 5), { leaseMs: T / 2, seed })
    const leader = awaitLeader(cluster, 1)
    runFor(cluster, 2 * T)
    const answer = order(cluster, leader, remove(1))
    expect(runUntilDone(cluster, T, () => answer() === 'done')).toBeGreaterThanOrEqual(0)
    isolate(cluster, leader)
    runFor(cluster, T) // too long for content, not for the lease
    mendAll(cluster)
    const isReplaced = (): boolean => [2, 3].some((id) => at(cluster, id).leading !== null)
    expect(runUntilDone(cluster, 6 * T, isReplaced)).toBeGreaterThanOrEqual(0)
    settle(cluster)
  },
)

test.each(['learner', 'logger'] as const)('a leader that becomes a %s hands over', (to) => {
  const cluster = lab(voters(9, 5, 5))
  const leader = awaitLeader(cluster, 1)
  expect(answerTo(cluster, role(1, to))).toBe('done')
  runFor(cluster, 2 * T)
  expect(leader.core.view.role).toBe(to)
  const next = leaderIn(cluster)
  expect(next).not.toBe(leader)
  submit(cluster, next, [5])
  runFor(cluster, T)
  expect(leader.core.view.chosen).toBe(cluster.oracle.chosenThrough)
  settle(cluster)
})

// ---- Removed nodes ----------------------------------------------------------------------------

/** Node 5 of five was removed behind a partition; it knows nothing of it. */
function removedAway(): { cluster: Cluster; leader: Node; gone: Node } {
  const cluster = lab(voters(9, 5, 5, 5, 8))
  const leader = awaitLeader(cluster, 1)
  const gone = at(cluster, 5)
  isolate(cluster, gone)
  expect(answerTo(cluster, remove(5))).toBe('done')
  submit(cluster, leader, [3])
  runFor(cluster, 10 * T)
  return { cluster, leader, gone }
}

test('a removed node behind a partition returns, disturbs nobody and learns of it', () => {
  const { cluster, leader, gone } = removedAway()
  const events = watch(cluster, 'removed', 'prepare-started')
  const ballots = ballotsOf(cluster)
  const memberBefore = membersOf(gone)
  mendAll(cluster)
  runFor(cluster, 20 * T)
  expect(memberBefore).toContain('5:voter')
  expect(events.map(({ node, name }) => [node, name])).toEqual([[5, 'removed']])
  expect(events[0]!.value).toBe(leader.core.view.membershipIndex)
  expect(ballotsOf(cluster)).toBe(ballots)
  // It believes it even when the others are gone and it alone is left with an old majority.
  for (const id of [1, 2]) crash(cluster, at(cluster, id))
  runFor(cluster, 20 * T)
  expect(events.some(({ node, name }) => node === 5 && name === 'prepare-started')).toBe(false)
  settle(cluster)
})

test('a prepare of a removed node is refused, however high, and answered with the reason', () => {
  const { cluster, leader, gone } = removedAway()
  const round = ballotRound(leader.core.view.promised) + 50
  const ballots = [1, 2, 3, 4].map((id) => at(cluster, id).core.view.promised)
  const said: string[] = []
  mendAll(cluster)
  cluster.onEffect = (node, effect) => {
    if (effect.kind === 'send' && effect.to === gone.id && node !== gone) {
      said.push(effect.message.kind)
    }
  }
  for (const id of [1, 2, 3, 4]) {
    const ballot = ballotOf(round, gone.id)
    inject(cluster, gone, at(cluster, id), { kind: 'prepare', ballot }, [])
  }
  expect(said).toEqual(['removed', 'removed', 'removed', 'removed'])
  expect([1, 2, 3, 4].map((id) => at(cluster, id).core.view.promised)).toEqual(ballots)
  expect(leader.leading).not.toBeNull()
  settle(cluster)
})

test('who stands against an open removal is not refused: only a chosen one removes', () => {
  const cluster = lab(voters(9, 1, 1, 8))
  const leader = awaitLeader(cluster, 1)
  // The config batch that removes 4 reaches 2 alone, and 1 dies.
  cluster.filter = (_from, to, { kind }) => (to > 2 && kind === 'accept' ? 'drop' : undefined)
  order(cluster, leader, remove(4))
  runFor(cluster, 30)
  expect(membersOf(at(cluster, 2))).toBe('1:voter 2:voter 3:voter')
  crash(cluster, leader, 0)
  cluster.filter = () => undefined
  const led: number[] = []
  cluster.onEffect = (node, { kind }) => {
    if (kind === 'lead') led.push(node.id)
  }
  // The heaviest that is left is the one that goes: it leads, finishes its removal, hands over.
  expect(runUntilDone(cluster, 8 * T, () => led.length > 1)).toBeGreaterThan(0)
  expect(led[0]).toBe(4)
  settle(cluster)
  expect(membersOf(leaderIn(cluster))).toBe('1:voter 2:voter 3:voter')
})

test('a removed node keeps quiet after a restart, too, and a stale word removes nobody', () => {
  const { cluster, gone } = removedAway()
  mendAll(cluster)
  runFor(cluster, 4 * T)
  crash(cluster, gone)
  restart(cluster, gone)
  const events = watch(cluster, 'prepare-started', 'removed')
  runFor(cluster, 10 * T)
  expect(events.map(({ node, name }) => [node, name])).toEqual([[5, 'removed']])
  // Members are not impressed by an index that they know better.
  for (const id of [1, 2, 3, 4]) {
    const message = { kind: 'removed', index: at(cluster, id).core.view.membershipIndex } as const
    inject(cluster, gone, at(cluster, id), message, [])
  }
  runFor(cluster, 4 * T)
  expect(events).toHaveLength(1)
  settle(cluster)
})

test('an id is never used again: not by its node, not after restarts, not later (T16)', () => {
  const cluster = lab(voters(9, 5, 5, 5), { joiners: joiners(6) })
  awaitLeader(cluster, 1)
  expect(answerTo(cluster, remove(4))).toBe('done')
  expect(answerTo(cluster, add(6))).toBe('done')
  expect(answerTo(cluster, remove(6))).toBe('done')
  for (let turn = 0; turn < 2; turn++) {
    for (const id of [4, 5, 6]) expect(answerTo(cluster, add(id))).toBe('invalid')
    for (const node of cluster.nodes) crash(cluster, node)
    for (const node of cluster.nodes) restart(cluster, node)
    settle(cluster)
  }
})

test.each([
  ['a Logger', role(5, 'logger')],
  ['a learner', role(5, 'learner')],
  ['of weight 0', set(5, { weight: 0 })],
  ['no member', remove(5)],
])(
  'who became %s behind its back stands, learns it from the log, and leads not',
  (_name, change) => {
    const cluster = lab(voters(9, 5, 5, 5, 8))
    const leader = awaitLeader(cluster, 1)
    isolate(cluster, at(cluster, 5))
    submit(cluster, leader, [3])
    expect(answerTo(cluster, change)).toBe('done')
    // Restarts forget what was known chosen, so nobody tells node 5 before it stands.
    for (const node of cluster.nodes) crash(cluster, node, Infinity)
    cluster.filter = (_from, _to, { kind }) => (kind === 'removed' ? 'drop' : undefined)
    mendAll(cluster)
    const led: number[] = []
    cluster.onEffect = (node, { kind }) => {
      if (kind === 'lead') led.push(node.id)
    }
    const stood = watch(cluster, 'prepare-started')
    for (const id of [2, 3, 4, 5]) restart(cluster, at(cluster, id))
    expect(runUntilDone(cluster, 20 * T, () => led.length > 0)).toBeGreaterThan(0)
    expect(stood.some(({ node }) => node === 5)).toBe(true)
    expect(led).not.toContain(5)
    settle(cluster)
  },
)

// ---- Leaders that are not any more ------------------------------------------------------------

test.each([3, 4, 5])('an isolated leader of %i finishes no change (T7)', (n) => {
  const cluster = lab(voters(...[9, 5, 5, 5, 5].slice(0, n)))
  const stale = awaitLeader(cluster, 1)
  submit(cluster, stale, [3])
  runFor(cluster, T)
  // With four it keeps one follower: two of four, and of the three that would be left.
  const near = n === 4 ? [1, 2] : [1]
  for (const a of near)
    for (const { id } of cluster.nodes)
      if (!near.includes(id)) cut(cluster, at(cluster, a), at(cluster, id))
  const answer = order(cluster, stale, remove(3))
  submit(cluster, stale, [4])
  expect(runUntilDone(cluster, 12 * T, () => answer() !== 'open')).toBeGreaterThan(0)
  expect(answer()).toBe('unknown')
  if (n !== 4) expect(progressWithin(cluster, 6 * T)).toBeGreaterThanOrEqual(0)
  const kept = [...cluster.oracle.chosen]
  settle(cluster)
  expect(cluster.oracle.chosen.slice(0, kept.length)).toEqual(kept)
  if (n !== 4) expect(membersOf(leaderIn(cluster))).toContain('3:voter')
})

test('a full window at the moment of a change: nothing overtakes it, all of it is chosen', () => {
  const cluster = lab(voters(9, 5, 5), { joiners: joiners(4), pipelineDepth: 8 })
  const leader = awaitLeader(cluster, 1)
  for (let i = 0; i < 20; i++) submit(cluster, leader, [3])
  const answer = order(cluster, leader, add(4, 'voter'))
  for (let i = 0; i < 20; i++) submit(cluster, leader, [3])
  runFor(cluster, 4)
  for (let i = 0; i < 20; i++) submit(cluster, leader, [3])
  runFor(cluster, 10 * T)
  expect(answer()).toBe('done')
  expect(membersOf(leader)).toContain('4:voter')
  expect(cluster.oracle.chosen).toHaveLength(cluster.nextSerial - 1)
  settle(cluster)
})

test('two of four and the other two: nobody leads; a removal makes three of which two do', () => {
  const cluster = lab(voters(9, 5, 5, 5))
  awaitLeader(cluster, 1)
  expect(answerTo(cluster, remove(4))).toBe('done')
  for (const id of [1, 2]) for (const of of [3, 4]) cut(cluster, at(cluster, id), at(cluster, of))
  expect(progressWithin(cluster, 4 * T)).toBeGreaterThanOrEqual(0)
  runFor(cluster, 10 * T)
  expect([3, 4].some((id) => at(cluster, id).leading !== null)).toBe(false)
  mend(cluster, at(cluster, 1), at(cluster, 3))
  settle(cluster)
})
