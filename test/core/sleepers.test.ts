/**
 * A process that sleeps and wakes (R19): stopped, so that its clock jumps ahead and its input lies
 * in a heap, or with its whole machine, whose monotonic clock stands still. Its patience does not
 * run out while it sleeps, and it asks afresh before it judges: no needless change of leader.
 */
import { expect, test } from 'vitest'
import {
  type Cluster,
  type Node,
  give,
  pause,
  runFor,
  runUntilDone,
  setClockRate,
  submit,
} from '../support/cluster.ts'
import { T, ballotsOf, converge, lab, leaderIn, others, voters } from '../support/lab.ts'

/** Somebody leads, and the others stand as early as any node does. */
function calm(seed: number, ...weights: number[]): { cluster: Cluster; leader: Node } {
  const cluster = lab(voters(9, ...weights), { seed })
  const leader = leaderIn(cluster)
  submit(cluster, leader, [3])
  runFor(cluster, 2 * T)
  return { cluster, leader }
}

const SEEDS = Array.from({ length: 20 }, (_, i) => i + 1)

/** How many of the seeds end with another ballot than they began with. */
function changes(play: (cluster: Cluster, leader: Node) => void, ...weights: number[]): number {
  let count = 0
  for (const seed of SEEDS) {
    const { cluster, leader } = calm(seed, ...weights)
    const before = ballotsOf(cluster)
    play(cluster, leader)
    runFor(cluster, 6 * T)
    if (ballotsOf(cluster) !== before) count += 1
    if (seed === 1) converge(cluster)
  }
  return count
}

test.each([
  ['a little longer than patience lasts', 1.2 * T],
  ['for long', 50 * T],
])('a follower stopped %s stands for nothing when it wakes', (_name, ms) => {
  const stop = (cluster: Cluster, leader: Node): void => {
    for (const node of others(cluster, leader)) {
      pause(cluster, node, ms)
      runFor(cluster, ms + T)
    }
  }
  expect(changes(stop, 9, 9)).toBe(0)
})

test('followers of five that are stopped together, and wake together', () => {
  const stop = (cluster: Cluster, leader: Node): void => {
    for (const node of others(cluster, leader).slice(2)) pause(cluster, node, 10 * T)
    runFor(cluster, 10 * T)
  }
  expect(changes(stop, 9, 9, 9, 9)).toBe(0)
})

test('a leader that is stopped for less than the others wait leads on', () => {
  const stop = (cluster: Cluster, leader: Node): void => {
    for (let i = 0; i < 5; i++) {
      pause(cluster, leader, 0.8 * T)
      runFor(cluster, 2 * T)
    }
  }
  expect(changes(stop, 9, 9)).toBe(0)
})

test('all of a cluster are stopped, as on one machine: the leader leads on', () => {
  const stop = (cluster: Cluster): void => {
    for (const node of cluster.nodes) pause(cluster, node, 20 * T)
    runFor(cluster, 20 * T)
  }
  expect(changes(stop, 9, 9)).toBe(0)
})

test('with entries on their way: all are stopped, and the leader leads on', () => {
  const stop = (cluster: Cluster, leader: Node): void => {
    submit(cluster, leader, [5, 5])
    for (const node of cluster.nodes) pause(cluster, node, 20 * T)
    runFor(cluster, 20 * T)
  }
  expect(changes(stop, 9, 9)).toBe(0)
})

test('a follower whose machine is suspended: its clock and its patience stand still', () => {
  const suspend = (cluster: Cluster, leader: Node): void => {
    const node = others(cluster, leader)[0]!
    setClockRate(cluster, node, 0)
    pause(cluster, node, 20 * T)
    runFor(cluster, 20 * T)
    setClockRate(cluster, node, 1)
    give(cluster, node, { kind: 'clock-jumped' })
  }
  expect(changes(suspend, 9, 9)).toBe(0)
})

test('a leader that is stopped for long is replaced, once, and follows when it wakes', () => {
  for (const seed of SEEDS) {
    const { cluster, leader } = calm(seed, 9, 9)
    pause(cluster, leader, 10 * T)
    const isReplaced = (): boolean =>
      others(cluster, leader).some(({ leading }) => leading !== null)
    expect(runUntilDone(cluster, 4 * T, isReplaced)).toBeGreaterThan(0)
    runFor(cluster, 4 * T)
    const before = others(cluster, leader).map(({ core }) => core.view.promised)
    runFor(cluster, 20 * T)
    expect(others(cluster, leader).map(({ core }) => core.view.promised)).toEqual(before)
    expect(leader.core.view.promised).toBe(before[0])
    if (seed === 1) converge(cluster)
  }
})
