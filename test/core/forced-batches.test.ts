/**
 * Forced members and config batches (I18, R22): who is armed at an index says the log, and only
 * what is chosen of it; a batch that is ordered, adopted, or puts somebody back waits like any
 * entry.
 */
import { expect, test } from 'vitest'
import { crash, leaderOf, mendAll, runFor, runUntilDone, submit } from '../support/cluster.ts'
import { ARMED, degraded, forcedOf, guard } from '../support/forced.ts'
import {
  T,
  add,
  answerTo,
  at,
  awaitLeader,
  isolate,
  joiners,
  lab,
  order,
  progressWithin,
  remove,
  set,
  settle,
  voters,
  watch,
} from '../support/lab.ts'

test('arming a silent member holds nothing back that was announced, then degrades it', () => {
  const cluster = lab([...voters(9, 5, 5)])
  const leader = awaitLeader(cluster, 1)
  isolate(cluster, at(cluster, 3))
  expect(answerTo(cluster, set(3, { forced: 'armed' }), 6 * T)).toBe('done')
  runFor(cluster, 4 * T)
  expect(forcedOf(leader, 3)).toBe('degraded')
  expect(progressWithin(cluster, T)).toBeGreaterThanOrEqual(0)
  settle(cluster)
})

test('a change is chosen without a silent forced member, and announced when that is out', () => {
  const cluster = lab([...voters(9, 5), ARMED], { joiners: joiners(4) })
  guard(cluster, 3)
  const leader = awaitLeader(cluster, 1)
  isolate(cluster, at(cluster, 3))
  const answer = order(cluster, leader, add(4))
  runFor(cluster, 2 * T)
  expect(answer()).toBe('done')
  expect(leader.core.view.chosen).toBe(0)
  runFor(cluster, 6 * T)
  expect(forcedOf(leader, 3)).toBe('degraded')
  expect(progressWithin(cluster, T)).toBeGreaterThanOrEqual(0)
  settle(cluster)
})

test('a degrading batch that is ordered and not chosen takes nobody out of the rule', () => {
  const cluster = lab([...voters(9, 5), ARMED])
  const leader = awaitLeader(cluster, 1)
  isolate(cluster, at(cluster, 3))
  submit(cluster, leader, [4])
  runFor(cluster, T)
  cluster.filter = (_from, to, { kind }) => (to === 2 && kind === 'accept' ? 'drop' : undefined)
  expect(runUntilDone(cluster, 3 * T, () => forcedOf(leader, 3) === 'degraded')).toBeGreaterThan(0)
  runFor(cluster, T / 2)
  // The next leader would know nothing of it, and take node 3 for a holder of what was announced.
  expect(leader.core.view.chosen).toBe(0)
  cluster.filter = () => undefined
  expect(runUntilDone(cluster, 6 * T, () => leader.core.view.chosen > 4)).toBeGreaterThan(0)
  settle(cluster)
})

test('what a config batch proves chosen is not announced without an armed member either', () => {
  const cluster = lab([...voters(9, 5, 5, 5), ARMED], { joiners: joiners(6) })
  const leader = awaitLeader(cluster, 1)
  guard(cluster, 5)
  isolate(cluster, at(cluster, 5))
  expect(answerTo(cluster, add(6))).toBe('done')
  expect(leader.core.view.chosen).toBe(0)
  crash(cluster, leader, Infinity)
  const events = watch(cluster, 'forced-degraded')
  expect(runUntilDone(cluster, 8 * T, () => leaderOf(cluster) !== undefined)).toBeGreaterThan(0)
  const next = leaderOf(cluster)!
  runFor(cluster, T)
  expect(next.core.view.chosen).toBe(0)
  runFor(cluster, 3 * T)
  expect(events).toHaveLength(1)
  expect(next.core.view.chosen).toBeGreaterThan(0)
  settle(cluster)
})

test('the batch that puts a member back is not announced before that member holds it', () => {
  const { cluster, leader } = degraded()
  let isGone = false
  cluster.filter = (_from, to, { kind }) =>
    isGone && to === 3 && kind === 'accept' ? 'drop' : undefined
  const before = cluster.onEffect
  cluster.onEffect = (node, effect) => {
    before(node, effect)
    if (effect.kind === 'event' && effect.name === 'forced-armed') isGone = true
  }
  mendAll(cluster)
  expect(runUntilDone(cluster, 6 * T, () => isGone)).toBeGreaterThan(0)
  const announced = leader.core.view.chosen
  runFor(cluster, T)
  expect(cluster.oracle.chosenThrough).toBeGreaterThan(announced)
  expect(leader.core.view.chosen).toBe(announced)
  cluster.filter = () => undefined
  expect(runUntilDone(cluster, 6 * T, () => leader.core.view.chosen > announced)).toBeGreaterThan(0)
  settle(cluster)
})

test('a degraded leader arms itself again only when its disk holds what it announced', () => {
  const cluster = lab(voters(9, 5, 5))
  const leader = awaitLeader(cluster, 1)
  leader.disk.stalledUntil = cluster.now + 2 * T
  const events = watch(cluster, 'forced-armed')
  expect(answerTo(cluster, set(1, { forced: 'degraded' }))).toBe('done')
  runFor(cluster, T)
  expect(events).toEqual([])
  runFor(cluster, 4 * T)
  expect(events.map(({ value }) => value)).toEqual([1])
  settle(cluster)
})

test('the late answer of a removed member is no word of the leader itself', () => {
  const cluster = lab([['voter', 9, { forced: 'armed' }], ...voters(5, 5, 5, 5)])
  const leader = awaitLeader(cluster, 1)
  guard(cluster, 1)
  leader.disk.stalledUntil = cluster.now + T
  cluster.filter = (from, _to, { kind }) => (from === 5 && kind === 'accepted' ? T / 4 : undefined)
  expect(answerTo(cluster, remove(5))).toBe('done')
  runFor(cluster, T / 2)
  expect(leader.disk.durable.last).toBe(0)
  expect(leader.core.view.chosen).toBe(0)
  runFor(cluster, T)
  expect(leader.core.view.chosen).toBe(cluster.oracle.chosenThrough)
  settle(cluster)
})
