/**
 * Who trims what, and when (R32, R40): Loggers and nodes with state, members that are away, bounds,
 * and what a hole costs. The cluster judges every trim from outside; seeds at the end.
 */
import { expect, test } from 'vitest'
import { nodeId } from '../../src/core/ids.ts'
import type { RetentionLimits } from '../../src/stages/retention.ts'
import {
  type Cluster,
  type Node,
  crash,
  leaderOf,
  mendAll,
  restart,
  runFor,
  submit,
} from '../support/cluster.ts'
import {
  type Spec,
  T,
  answerTo,
  at,
  awaitLeader,
  converge,
  isolate,
  lab,
  order,
  role,
  settle,
  voters,
  watch,
} from '../support/lab.ts'
import { runSeed } from '../support/seed-run.ts'

/** Limits that a test may move while the cluster runs. */
type Limits = { -readonly [Name in keyof RetentionLimits]: RetentionLimits[Name] }
const limits = (given: Partial<Limits> = {}): Limits => ({
  retainBytes: 0,
  laggardBytesMax: Infinity,
  loggerBytesMax: Infinity,
  isStrict: false,
  ...given,
})
const keeping = (retention: Limits) => ({ retention, stretchSizeBytes: 1, batchBytesMax: 1_024 })
const logger: Spec = ['logger', 5]

/** Through index `through`, ten entries a frame. */
function fill(cluster: Cluster, through: number): void {
  const leader = leaderOf(cluster)!
  while (leader.leading!.next <= through) {
    submit(cluster, leader, [10])
    runFor(cluster, 10)
  }
  runFor(cluster, T)
}

/** Bytes of the log of a node above an index. */
function bytesAbove({ disk }: Node, index: number): number {
  const above = disk.durable.contents.filter(({ through }) => through > index)
  return above.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}

/**
 * What it trimmed, and one frame more: the last one stays, since no record behind it says that it
 * is chosen. So does the one before it where its being chosen was told by the accept of the last.
 */
const goneAt = ({ firstRetained }: Node): number => firstRetained + 9

test('a Logger trims what every voter has, and nothing while one of them is away', () => {
  const cluster = lab([...voters(9, 5), logger], keeping(limits()))
  awaitLeader(cluster, 1)
  fill(cluster, 100)
  expect(goneAt(at(cluster, 3))).toBe(90)
  isolate(cluster, at(cluster, 2))
  fill(cluster, 200)
  runFor(cluster, 10 * T)
  expect(goneAt(at(cluster, 3))).toBe(90)
  // Not even when the leader that knew the absent one's log is gone.
  crash(cluster, at(cluster, 1), Infinity)
  restart(cluster, at(cluster, 1))
  awaitLeader(cluster, 1)
  fill(cluster, 300)
  expect(goneAt(at(cluster, 3))).toBe(90)
  mendAll(cluster)
  runFor(cluster, 4 * T)
  expect(goneAt(at(cluster, 3))).toBe(290)
  // Nodes with state keep all of it: without snapshots there is no other way to build one.
  expect([1, 2].map((id) => at(cluster, id).firstRetained)).toEqual([1, 1])
  converge(cluster)
})

/** Node 2 away since 500, the log at 1,000; the Logger's bound lets it keep 801 to 1,000. */
function trimmedGap(more: Partial<Limits> = {}) {
  const bounds = limits()
  const cluster = lab([...voters(9, 5), logger], keeping(bounds))
  const [leader, follower, keeper] = [1, 2, 3].map((id) => at(cluster, id)) as [Node, Node, Node]
  awaitLeader(cluster, 1)
  fill(cluster, 500)
  isolate(cluster, follower)
  fill(cluster, 1_000)
  expect([goneAt(keeper), follower.core.view.last]).toEqual([500, 500])
  const events = watch(
    cluster,
    'tolerance-reduced',
    'tolerance-restored',
    'behind-trim',
    'log-full',
  )
  Object.assign(bounds, { loggerBytesMax: bytesAbove(keeper, 800), ...more })
  runFor(cluster, T)
  return { cluster, leader, follower, keeper, events, bounds }
}

test('Logger trimmed 501-800 while a follower was away: it leads with no hole, ever', () => {
  const { cluster, leader, follower, keeper, events } = trimmedGap()
  expect(keeper.firstRetained).toBe(801)
  expect(events.map(({ node, name, value }) => [node, name, value])).toEqual([
    [3, 'tolerance-reduced', 800],
  ])
  // The leader dies; follower and Logger are a quorum, and nobody has 501 to 800.
  crash(cluster, leader, Infinity)
  mendAll(cluster)
  runFor(cluster, 40 * T)
  expect(leaderOf(cluster)).toBeUndefined()
  expect(cluster.oracle.leaders.size).toBe(1)
  expect(follower.core.view.last).toBe(500)
  const holes = events.filter(({ name }) => name === 'behind-trim')
  expect(holes.length).toBeGreaterThan(0)
  expect(new Set(holes.map(({ node, value }) => `${node}:${value}`))).toEqual(new Set(['2:2']))
  // The old leader returns, and with it all of the log.
  restart(cluster, leader)
  runFor(cluster, 10 * T)
  expect(leaderOf(cluster)).toBeDefined()
  expect(follower.core.view.chosen).toBeGreaterThanOrEqual(1_000)
  runFor(cluster, 4 * T)
  expect(events.at(-1)).toMatchObject({ node: 3, name: 'tolerance-restored', value: 800 })
  converge(cluster)
})

test('beyond its bound a Logger trims nothing that its leader has not on its own disk', () => {
  const cluster = lab([...voters(9, 5), logger, logger, logger], keeping(limits()))
  const leader = awaitLeader(cluster, 1)
  fill(cluster, 100)
  isolate(cluster, at(cluster, 2))
  leader.disk.stalledUntil = cluster.now + 3 * T
  fill(cluster, 200)
  expect(cluster.oracle.chosenThrough).toBeGreaterThanOrEqual(200)
  expect(leader.core.view.durable).toBeLessThan(200)
  for (const id of [3, 4, 5]) {
    Object.assign(at(cluster, id).retention.limits, { loggerBytesMax: 0 })
  }
  runFor(cluster, 2 * cluster.options.heartbeatMs)
  const { durable } = leader.core.view
  for (const id of [3, 4, 5]) expect(at(cluster, id).firstRetained).toBeLessThanOrEqual(durable + 1)
  runFor(cluster, 4 * T)
  expect(at(cluster, 3).firstRetained).toBeGreaterThan(180)
  converge(cluster)
})

test('a strict Logger at its bound trims nothing, and the leader admits nothing more', () => {
  const { cluster, leader, follower, keeper, events } = trimmedGap({ isStrict: true })
  expect(goneAt(keeper)).toBe(500)
  expect(leader.admits).toBe(false)
  expect(events.map(({ node, name, value }) => [node, name, value])).toEqual([[1, 'log-full', 3]])
  const before = cluster.oracle.chosenThrough
  runFor(cluster, 4 * T)
  expect(submit(cluster, leader, [1])).toBe(false)
  expect(cluster.oracle.chosenThrough).toBe(before)
  // The follower comes back, so the log may go, and writes are taken again.
  mendAll(cluster)
  runFor(cluster, 4 * T)
  expect(follower.core.view.chosen).toBe(before)
  expect(goneAt(keeper)).toBe(before - 10)
  expect(leader.admits).toBe(true)
  expect(events.at(-1)).toMatchObject({ node: 1, name: 'log-full', value: 0 })
  converge(cluster)
})

test('a hole is filled from whoever holds it, the rest from the best log (R8)', () => {
  // 4 and 5 vote and never lead; the Logger holds the newest log, and only the end of it.
  const specs = [...voters(9, 5, 0), logger, logger]
  const bounds = limits()
  const cluster = lab(specs, keeping(bounds))
  const leader = awaitLeader(cluster, 1)
  fill(cluster, 100)
  isolate(cluster, at(cluster, 2))
  fill(cluster, 200)
  isolate(cluster, at(cluster, 3))
  fill(cluster, 300)
  Object.assign(bounds, { loggerBytesMax: bytesAbove(at(cluster, 4), 150) })
  runFor(cluster, T)
  expect([4, 5].map((id) => at(cluster, id).firstRetained)).toEqual([151, 151])
  const sources = new Set<number>()
  cluster.onEffect = (node, effect) => {
    if (effect.kind === 'send' && effect.message.kind === 'fetched') sources.add(node.id)
  }
  crash(cluster, leader, Infinity)
  mendAll(cluster)
  const next = awaitLeader(cluster, 2)
  expect(next.core.view.chosen).toBeGreaterThanOrEqual(300)
  expect(sources.has(3)).toBe(true)
  expect(sources.has(4) || sources.has(5)).toBe(true)
  converge(cluster)
})

test('a slow learner blocks the purge within a bound, and no longer', () => {
  const specs: Spec[] = [...voters(9, 5), logger, ['learner', 5]]
  const bounds = limits({ retainBytes: 512 })
  const cluster = lab(specs, keeping(bounds))
  const leader = awaitLeader(cluster, 1)
  fill(cluster, 100)
  isolate(cluster, at(cluster, 4))
  fill(cluster, 200)
  for (const id of [1, 2, 3]) expect(at(cluster, id).firstRetained).toBeLessThanOrEqual(101)
  const events = watch(cluster, 'behind-trim', 'tolerance-reduced')
  Object.assign(bounds, { laggardBytesMax: 512 })
  runFor(cluster, T)
  for (const id of [1, 2, 3]) expect(at(cluster, id).firstRetained).toBeGreaterThan(101)
  expect(events).toEqual([]) // no voter lacks anything
  // Beyond the bound the learner needs a snapshot: the leader says so, and purges on.
  mendAll(cluster)
  runFor(cluster, 4 * T)
  expect(events.map(({ node, name, value }) => [node, name, value])).toContainEqual([
    1,
    'behind-trim',
    4,
  ])
  expect(at(cluster, 4).core.view.chosen).toBe(100)
  const { firstRetained } = leader
  fill(cluster, 300)
  expect(leader.firstRetained).toBeGreaterThan(firstRetained)
  expect(at(cluster, 3).firstRetained).toBeGreaterThan(200)
})

test('no node trims what it has not applied, however much the others hold', () => {
  const cluster = lab([...voters(9, 5, 5)], {
    ...keeping(limits({ retainBytes: 1, laggardBytesMax: 0 })),
    applyDelay: [150, 150],
  })
  awaitLeader(cluster, 1)
  fill(cluster, 200)
  for (const node of cluster.nodes) expect(node.firstRetained).toBeLessThanOrEqual(node.applied + 1)
  runFor(cluster, 60 * T)
  for (const node of cluster.nodes) expect(node.firstRetained).toBeGreaterThan(1)
})

test('a Logger that trimmed gets no state machine; one that did not may have one', () => {
  const cluster = lab([...voters(9, 5), logger], keeping(limits()))
  const leader = awaitLeader(cluster, 1)
  runFor(cluster, T)
  expect(at(cluster, 3).firstRetained).toBe(1)
  expect(answerTo(cluster, role(3, 'voter'))).toBe('done')
  fill(cluster, 100)
  expect(at(cluster, 3).applyNext).toBe(cluster.oracle.chosenThrough + 1)
  expect(answerTo(cluster, role(3, 'logger'))).toBe('done')
  fill(cluster, 200)
  expect(at(cluster, 3).firstRetained).toBeGreaterThan(100)
  for (const to of ['voter', 'learner'] as const)
    expect(order(cluster, leader, role(3, to))()).toBe('lagging')
  settle(cluster)
})

test('a voter that is to be a Logger keeps its log until that is chosen', () => {
  const cluster = lab([...voters(9, 5, 5)], keeping(limits()))
  const leader = awaitLeader(cluster, 1)
  fill(cluster, 100)
  cluster.filter = (_from, _to, { kind }) => (kind === 'accepted' ? 'drop' : undefined)
  expect(order(cluster, leader, role(3, 'logger'))()).toBe('open')
  runFor(cluster, T)
  expect(at(cluster, 3).core.view.membership.members[2]!.role).toBe('logger')
  expect([at(cluster, 3).core.view.keepsState, at(cluster, 3).firstRetained]).toEqual([true, 1])
  cluster.filter = () => undefined
  runFor(cluster, 4 * T)
  expect(at(cluster, 3).core.view.keepsState).toBe(false)
  expect(at(cluster, 3).firstRetained).toBeGreaterThan(90)
  expect(nodeId(3)).toBe(at(cluster, 3).id)
  settle(cluster)
})

test('a leader back with a trimmed log says who is below it, and works on for the rest', () => {
  const bounds = limits({ retainBytes: 1, laggardBytesMax: 0 })
  const cluster = lab(voters(9, 1, 1), keeping(bounds))
  const leader = awaitLeader(cluster, 1)
  fill(cluster, 100)
  isolate(cluster, at(cluster, 3))
  fill(cluster, 200)
  crash(cluster, leader)
  restart(cluster, leader)
  awaitLeader(cluster, 1)
  expect(leader.core.view.firstRetained).toBeGreaterThan(101)
  const events = watch(cluster, 'behind-trim')
  mendAll(cluster)
  fill(cluster, 300)
  expect(events.map(({ node, value }) => `${node}:${value}`)).toContain('1:3')
  expect(cluster.oracle.chosenThrough).toBeGreaterThanOrEqual(300)
})

const MET = ['trim-logger', 'tolerance-reduced', 'tolerance-restored', 'log-full']
const met = new Set<string>()

test.each([1, 26, 51, 76])('seeds from %i on trim Loggers as far as they may', (from) => {
  const failed: string[] = []
  for (let seed = from; seed < from + 25; seed++) {
    const { cluster, error } = runSeed(seed, null, { trims: true })
    if (error !== null) failed.push(`seed ${String(seed)}: ${error.message}`)
    for (const what of cluster.oracle.coverage.keys()) met.add(what)
  }
  if (failed.length > 0) throw new Error(failed.join('\n'))
})

test('those seeds met what they are for', () => {
  expect(MET.filter((what) => !met.has(what))).toEqual([])
})
