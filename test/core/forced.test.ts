/**
 * Forced members (R21, R22): nothing is announced without them while they are armed; a silent one
 * is taken out of the rule by a batch that everybody sees, and put back when it has caught up. An
 * observer checks every announcement against the disks of the forced members.
 */
import { expect, test } from 'vitest'
import { nodeId } from '../../src/core/ids.ts'
import {
  crash,
  leaderOf,
  mendAll,
  restart,
  runFor,
  runUntilDone,
  submit,
} from '../support/cluster.ts'
import { ARMED, degraded, forcedOf, guard } from '../support/forced.ts'
import {
  T,
  answerTo,
  at,
  awaitLeader,
  converge,
  isolate,
  lab,
  leaderIn,
  progressWithin,
  settle,
  voters,
  watch,
} from '../support/lab.ts'

test('nothing is announced before a slow forced member has it, though a quorum does', () => {
  const cluster = lab([...voters(9, 5), ARMED, ['learner', 5]])
  const seen = guard(cluster, 3)
  const leader = awaitLeader(cluster, 1)
  cluster.filter = (_from, to, { kind }) => (to === 3 && kind === 'accept' ? 60 : undefined)
  for (let i = 0; i < 10; i++) {
    const start = cluster.now
    submit(cluster, leader, [2])
    runFor(cluster, 30)
    expect(cluster.oracle.chosenThrough).toBe(2 * (i + 1)) // a quorum has it
    for (const node of cluster.nodes) expect(node.core.view.chosen).toBe(2 * i)
    runUntilDone(cluster, T, () => leader.core.view.chosen === 2 * (i + 1))
    expect(cluster.now - start).toBeGreaterThanOrEqual(60)
    runFor(cluster, T / 2)
  }
  expect(seen.announced).toBe(10)
  expect(forcedOf(leader, 3)).toBe('armed')
  converge(cluster)
})

test('a forced leader announces nothing that its own disk lacks', () => {
  const cluster = lab([['voter', 9, { forced: 'armed' }], ...voters(5, 5)])
  guard(cluster, 1)
  const leader = awaitLeader(cluster, 1)
  leader.disk.stalledUntil = cluster.now + T / 2
  submit(cluster, leader, [3])
  runFor(cluster, T / 4)
  expect(cluster.oracle.chosenThrough).toBe(3)
  expect(leader.core.view.chosen).toBe(0)
  runFor(cluster, T)
  expect(leader.core.view.chosen).toBe(3)
  converge(cluster)
})

test('two forced members: the slower one decides', () => {
  const cluster = lab([...voters(9, 5, 5), ARMED, ARMED])
  guard(cluster, 4)
  guard(cluster, 5)
  const leader = awaitLeader(cluster, 1)
  cluster.filter = (_from, to, { kind }) => {
    if (kind !== 'accept') return undefined
    return to === 4 ? 80 : to === 5 ? 30 : undefined
  }
  submit(cluster, leader, [3])
  runFor(cluster, 60)
  expect(leader.core.view.chosen).toBe(0)
  runFor(cluster, T)
  expect(leader.core.view.chosen).toBe(3)
})

test('the leader dies with entries withheld; the next one announces them, once', () => {
  const cluster = lab([...voters(9, 5), ARMED])
  guard(cluster, 3)
  const leader = awaitLeader(cluster, 1)
  cluster.filter = (_from, to, { kind }) => (to === 3 && kind === 'accept' ? 'drop' : undefined)
  submit(cluster, leader, [2, 2])
  runFor(cluster, 30)
  expect(cluster.oracle.chosenThrough).toBe(4)
  expect(leader.core.view.chosen).toBe(0)
  const withheld = [...cluster.oracle.chosen]
  crash(cluster, leader, 0)
  cluster.filter = () => undefined
  expect(runUntilDone(cluster, 8 * T, () => leaderOf(cluster) !== undefined)).toBeGreaterThan(0)
  runFor(cluster, T)
  const next = leaderOf(cluster)!
  expect(next.core.view.chosen).toBe(4)
  expect(next.applyNext).toBe(5)
  expect(next.disk.durable.contents.slice(0, 2)).toEqual(withheld)
  settle(cluster)
})

test('a silent forced member is degraded after a while, visibly, and no sooner', () => {
  const cluster = lab([...voters(9, 5), ARMED])
  guard(cluster, 3)
  const leader = awaitLeader(cluster, 1)
  const events = watch(cluster, 'forced-degraded', 'forced-armed')
  isolate(cluster, at(cluster, 3))
  const start = cluster.now
  submit(cluster, leader, [4])
  runFor(cluster, 2 * T)
  expect(leader.core.view.chosen).toBe(0)
  expect(events).toEqual([])
  runFor(cluster, T)
  expect(leader.core.view.chosen).toBeGreaterThanOrEqual(4)
  expect(events.map(({ node, name, value }) => [node, name, value])).toEqual([
    [1, 'forced-degraded', 3],
  ])
  expect(events[0]!.at - start).toBeGreaterThanOrEqual(2 * T)
  expect([1, 2].map((id) => forcedOf(at(cluster, id), 3))).toEqual(['degraded', 'degraded'])
  expect(progressWithin(cluster, T)).toBeGreaterThanOrEqual(0)
  settle(cluster)
})

test('while there is nothing to announce a silent forced member is not degraded', () => {
  const cluster = lab([...voters(9, 5), ARMED])
  const leader = awaitLeader(cluster, 1)
  submit(cluster, leader, [4])
  runFor(cluster, T)
  isolate(cluster, at(cluster, 3))
  runFor(cluster, 20 * T)
  expect(forcedOf(leader, 3)).toBe('armed')
})

test('the degrading batch survives leaders and restarts; the member returns and is armed', () => {
  const { cluster, away } = degraded()
  for (let turn = 0; turn < 2; turn++) {
    for (const id of [1, 2]) crash(cluster, at(cluster, id))
    for (const id of [1, 2]) restart(cluster, at(cluster, id))
    const leader = leaderIn(cluster)
    expect(forcedOf(leader, 3)).toBe('degraded')
    // It does not wait for the silent member again.
    expect(progressWithin(cluster, T)).toBeGreaterThanOrEqual(0)
  }
  const events = watch(cluster, 'forced-armed')
  mendAll(cluster)
  runFor(cluster, 6 * T)
  expect(events.map(({ value }) => value)).toEqual([3])
  expect(forcedOf(away, 3)).toBe('armed')
  settle(cluster)
})

test('a member that is back and lags is not armed, and stalls nobody', () => {
  const { cluster, leader } = degraded()
  const events = watch(cluster, 'forced-armed')
  // Heartbeats pass, the log does not.
  cluster.filter = (_from, to, { kind }) =>
    to === 3 && (kind === 'accept' || kind === 'accept-sync') ? 'drop' : undefined
  mendAll(cluster)
  for (let i = 0; i < 20; i++) {
    const before = leader.core.view.chosen
    submit(cluster, leader, [5])
    runFor(cluster, T / 2)
    expect(leader.core.view.chosen).toBe(before + 5)
  }
  expect(events).toEqual([])
  cluster.filter = () => undefined
  runFor(cluster, 6 * T)
  expect(events.map(({ value }) => value)).toEqual([3])
  settle(cluster)
})

test('the leader dies around the degrading batch, at every step; the member returns', () => {
  for (let step = 1, isDone = false; !isDone; step += 2) {
    const cluster = lab([...voters(9, 5, 5, 5), ARMED], { seed: step })
    guard(cluster, 5)
    const leader = awaitLeader(cluster, 1)
    isolate(cluster, at(cluster, 5))
    submit(cluster, leader, [4])
    runFor(cluster, 2 * T - 20)
    let effects = 0
    const before = cluster.onEffect
    cluster.onEffect = (node, effect) => {
      before(node, effect)
      if (node !== leader || (effect.kind !== 'send' && effect.kind !== 'append')) return
      if (effect.kind === 'send' && effect.message.kind.startsWith('heartbeat')) return
      if (++effects === step) crash(cluster, leader)
    }
    runFor(cluster, T)
    isDone = leader.alive
    expect(progressWithin(cluster, 10 * T)).toBeGreaterThanOrEqual(0)
    const isAnnounced = (): boolean => cluster.nodes.some(({ applyNext }) => applyNext > 4)
    expect(runUntilDone(cluster, 8 * T, isAnnounced)).toBeGreaterThanOrEqual(0)
    settle(cluster)
    runFor(cluster, 4 * T)
    expect(forcedOf(leaderIn(cluster), 5)).toBe('armed')
  }
})

test('a new leader waits for an armed silent member as long as the old one did', () => {
  const cluster = lab([...voters(9, 5), ARMED])
  const leader = awaitLeader(cluster, 1)
  isolate(cluster, at(cluster, 3))
  submit(cluster, leader, [4])
  runFor(cluster, T)
  crash(cluster, leader, Infinity)
  restart(cluster, leader)
  const next = leaderIn(cluster)
  const events = watch(cluster, 'forced-degraded')
  const start = cluster.now
  runFor(cluster, T)
  expect(next.core.view.chosen).toBe(0)
  runFor(cluster, 3 * T)
  expect(events).toHaveLength(1)
  expect(events[0]!.at - start).toBeGreaterThan(T)
  expect(next.core.view.chosen).toBeGreaterThanOrEqual(4)
  settle(cluster)
})

test('a slow member that keeps moving is not degraded, and the gate ends with the rule', () => {
  const cluster = lab([...voters(9, 5), ARMED], { pipelineDepth: 2 })
  const leader = awaitLeader(cluster, 1)
  const events = watch(cluster, 'forced-degraded')
  cluster.filter = (_from, to, { kind }) => (to === 3 && kind === 'accept' ? T : undefined)
  for (let i = 0; i < 30; i++) {
    submit(cluster, leader, [1])
    runFor(cluster, T / 4)
  }
  runFor(cluster, 10 * T)
  expect(events).toEqual([])
  expect(answerTo(cluster, { kind: 'set', id: nodeId(3), forced: 'none' })).toBe('done')
  const before = leader.core.view.chosen
  submit(cluster, leader, [1])
  runFor(cluster, 30)
  expect(leader.core.view.chosen).toBe(before + 1)
  settle(cluster)
})

test('a silent forced member is degraded with every place of the pipeline taken', () => {
  const cluster = lab([...voters(9, 5), ARMED], { pipelineDepth: 1 })
  guard(cluster, 3)
  const leader = awaitLeader(cluster, 1)
  isolate(cluster, at(cluster, 3))
  submit(cluster, leader, [1, 1])
  runFor(cluster, 8 * T)
  expect(forcedOf(leader, 3)).toBe('degraded')
  expect(progressWithin(cluster, T)).toBeGreaterThanOrEqual(0)
  settle(cluster)
})

test('two silent forced members are degraded, though one of them holds more', () => {
  const cluster = lab([...voters(9, 5, 5), ARMED, ARMED])
  guard(cluster, 4)
  guard(cluster, 5)
  const leader = awaitLeader(cluster, 1)
  isolate(cluster, at(cluster, 4))
  submit(cluster, leader, [4])
  runFor(cluster, T)
  isolate(cluster, at(cluster, 5))
  const events = watch(cluster, 'forced-degraded')
  runFor(cluster, 6 * T)
  expect(events.map(({ value }) => value)).toEqual([4, 5])
  // The second lacks no more than the batch that takes the first out, and has time for that.
  expect(events[1]!.at - events[0]!.at).toBeGreaterThanOrEqual(2 * T)
  expect(progressWithin(cluster, T)).toBeGreaterThanOrEqual(0)
  settle(cluster)
})
