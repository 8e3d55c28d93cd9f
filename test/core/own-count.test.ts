/**
 * A leader whose own disk stands still (R9): it sends, and counts itself for nothing, old entries
 * as little as new ones. What the others hold is chosen without it.
 */
import { expect, test } from 'vitest'
import {
  type Cluster,
  type Node,
  crash,
  mendAll,
  restart,
  runFor,
  runUntilDone,
  submit,
} from '../support/cluster.ts'
import {
  T,
  awaitLeader,
  at,
  converge,
  isolate,
  lab,
  leaderIn,
  others,
  voters,
} from '../support/lab.ts'

/** From its next sync on. */
const stall = (cluster: Cluster, node: Node, ms: number): void => {
  node.disk.stalledUntil = cluster.now + ms
}

test('with one other voter nothing is chosen before the own disk has it', () => {
  const cluster = lab(voters(9, 5, 5))
  const leader = leaderIn(cluster)
  isolate(cluster, others(cluster, leader)[1]!)
  runFor(cluster, T)
  const before = leader.core.view.chosen
  stall(cluster, leader, 2 * T)
  submit(cluster, leader, [3, 4])
  runFor(cluster, T)
  const other = others(cluster, leader)[0]!
  expect(other.core.view.durable).toBe(before + 7)
  expect([leader.core.view.last, leader.core.view.chosen]).toEqual([before + 7, before])
  runFor(cluster, 2 * T)
  expect(leader.core.view.chosen).toBe(before + 7)
  converge(cluster)
})

test('with two other voters it is chosen without it, and outlives the loss of its disk', () => {
  const cluster = lab(voters(9, 5, 5))
  const leader = leaderIn(cluster)
  const before = leader.core.view.chosen
  stall(cluster, leader, 2 * T)
  submit(cluster, leader, [3, 4])
  runFor(cluster, T)
  expect(leader.core.view.chosen).toBe(before + 7)
  expect(leader.core.view.durable).toBe(before)
  crash(cluster, leader, 0)
  const next = leaderIn(cluster)
  expect(next.core.view.chosen).toBeGreaterThanOrEqual(before + 7)
  restart(cluster, leader)
  converge(cluster)
})

test('a new leader counts itself for what it adopted only when its record is on the disk', () => {
  const cluster = lab(voters(9, 8, 5))
  const old = awaitLeader(cluster, 1)
  submit(cluster, old, [5])
  runFor(cluster, T)
  // Nobody hears any more what is chosen: the next leader has to choose it in its own ballot.
  cluster.filter = (from, _to, { kind }) => (from === 1 && kind !== 'accept' ? 'drop' : undefined)
  submit(cluster, old, [6])
  runFor(cluster, 20)
  crash(cluster, old, Infinity)
  cluster.filter = () => undefined
  mendAll(cluster)
  const next = at(cluster, 2)
  cluster.onEffect = (node, effect) => {
    const isOwn = effect.kind === 'append' && effect.record.kind === 'sync-commit'
    if (node === next && isOwn) stall(cluster, next, 2 * T)
  }
  expect(runUntilDone(cluster, 10 * T, () => next.leading !== null)).toBeGreaterThan(0)
  const other = at(cluster, 3)
  expect(
    runUntilDone(cluster, T, () => other.core.view.acceptedBallot === next.leading!.ballot),
  ).toBeGreaterThanOrEqual(0)
  runFor(cluster, T / 2)
  expect(next.core.view.acceptedBallot).toBe(next.leading!.ballot) // as ordered
  expect(next.disk.durable.acceptedBallot).not.toBe(next.leading!.ballot)
  expect([next.core.view.last, next.core.view.chosen]).toEqual([11, 5])
  cluster.onEffect = () => undefined
  runFor(cluster, 3 * T)
  expect(next.core.view.chosen).toBe(11)
  restart(cluster, old)
  converge(cluster)
})
