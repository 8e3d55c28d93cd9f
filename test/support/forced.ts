/** What the tests of forced members share (R21, R22): who is armed, an eye on announcements. */
import { expect } from 'vitest'
import type { NodeId } from '../../src/core/ids.ts'
import { type Cluster, type Node, runFor, runUntilDone, submit } from './cluster.ts'
import { type Spec, T, at, awaitLeader, isolate, lab, voters } from './lab.ts'

export const ARMED: Spec = ['voter', 5, { forced: 'armed' }]

/** I18: what a leader announces while `forced` is armed in its log lies on that node's disk. */
export function guard(cluster: Cluster, forced: number): { announced: number } {
  const seen = { announced: 0 }
  const before = cluster.onEffect
  cluster.onEffect = (node, effect) => {
    before(node, effect)
    if (effect.kind !== 'chosen' || node.core.view.role !== 'leader') return
    const { membership } = node.core.view
    const member = membership.members.find(({ id }) => id === (forced as NodeId))
    if (member?.forced !== 'armed') return
    seen.announced += 1
    expect(at(cluster, forced).disk.durable.last).toBeGreaterThanOrEqual(effect.through)
  }
  return seen
}

export const forcedOf = (node: Node, id: number): string =>
  node.core.view.membership.members.find((member) => member.id === (id as NodeId))?.forced ?? 'none'

/** Node 3 is degraded and away. */
export function degraded(): { cluster: Cluster; leader: Node; away: Node } {
  const cluster = lab([...voters(9, 5), ARMED])
  const leader = awaitLeader(cluster, 1)
  const away = at(cluster, 3)
  guard(cluster, 3)
  isolate(cluster, away)
  submit(cluster, leader, [4])
  expect(runUntilDone(cluster, 6 * T, () => forcedOf(leader, 3) === 'degraded')).toBeGreaterThan(0)
  runFor(cluster, T)
  return { cluster, leader, away }
}
