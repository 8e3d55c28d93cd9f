/**
 * What the named scenarios share: a cluster of given roles and weights, its nodes by id, waiting
 * for conditions, asking for changes and hand-overs, and the healed end that must converge.
 */
import { expect } from 'vitest'
import type { EventName, Member, MemberRole } from '../../src/core/engine.ts'
import { type NodeId, nodeId } from '../../src/core/ids.ts'
import { type Change, memberOf } from '../../src/core/membership.ts'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'
import {
  type Cluster,
  type ClusterOptions,
  type Node,
  DEFAULTS,
  crash,
  createCluster,
  cut,
  give,
  leaderOf,
  runFor,
  runUntilDone,
  submit,
} from './cluster.ts'
import { check } from './disk-model.ts'
import { awaitProgress, awaitRuler, heal, live, ruler } from './seed-run.ts'

/** The election timeout of every lab. */
export const T = 200

export type Spec = readonly [role: MemberRole, weight: number, more?: Partial<Member>]
export const voters = (...weights: number[]): Spec[] =>
  weights.map((weight) => ['voter', weight] as const)

export function lab(
  specs: readonly Spec[],
  options: Partial<ClusterOptions> = {},
  trace: string[] | null = null,
): Cluster {
  const members = specs.map(([role, weight, more = {}], i): Member => ({
    id: nodeId(i + 1),
    role,
    weight,
    ...more,
  }))
  const all = { ...DEFAULTS, electionTimeoutMs: T, members, seed: 7, ...options }
  const cluster = createCluster(all, trace)
  cluster.gaps = 0
  return cluster
}

/** Nodes that wait to be added. */
export const joiners = (...ids: number[]): Member[] =>
  ids.map((id) => ({ id: nodeId(id), role: 'learner', weight: 5 }))

export const at = (cluster: Cluster, id: number): Node => cluster.byId.get(id as NodeId)!
export const others = (cluster: Cluster, node: Node): Node[] =>
  cluster.nodes.filter((n) => n !== node)
export const isolate = (cluster: Cluster, node: Node): void =>
  others(cluster, node).forEach((other) => cut(cluster, node, other))
export const crashAll = (cluster: Cluster, ...ids: number[]): void =>
  ids.forEach((id) => crash(cluster, at(cluster, id), Infinity))
export const ballotsOf = (cluster: Cluster): string =>
  cluster.nodes.map((node) => node.core.view.promised).join()
export const membersOf = (node: Node): string =>
  node.core.view.membership.members.map(({ id, role }) => `${id}:${role}`).join(' ')

/** Waits until this node leads. */
export function awaitLeader(cluster: Cluster, id: number): Node {
  const node = at(cluster, id)
  expect(runUntilDone(cluster, 10 * T, () => node.leading !== null)).toBeGreaterThanOrEqual(0)
  runFor(cluster, T / 2)
  expect(leaderOf(cluster)).toBe(node)
  return node
}

/** Waits until somebody leads. */
export function leaderIn(cluster: Cluster): Node {
  runUntilDone(cluster, 10 * T, () => leaderOf(cluster) !== undefined)
  runFor(cluster, T / 2)
  return leaderOf(cluster)!
}

/** Ms until something submitted from now on is chosen; -1: never within the bound. */
export function progressWithin(cluster: Cluster, ms: number): number {
  const start = cluster.nextSerial
  return runUntilDone(cluster, ms, () => {
    for (const node of cluster.nodes) submit(cluster, node, [1])
    return cluster.oracle.chosen.some(({ serial }) => serial >= start)
  })
}

/** Everybody comes back, agrees and follows one leader. */
export function converge(cluster: Cluster): void {
  cluster.filter = () => undefined
  heal(cluster)
  live(cluster)
}

/** The same where members have changed: those of the last membership agree, without a long calm. */
export function settle(cluster: Cluster): void {
  cluster.filter = () => undefined
  heal(cluster)
  agree(cluster)
}

/** Whoever lives elects a leader, takes a proposal and agrees. */
export function agree(cluster: Cluster): void {
  check(awaitRuler(cluster) >= 0, 'L1: a leader within four election timeouts')
  check(progressWithin(cluster, 10 * T) >= 0, 'L3: proposals are chosen')
  const goal = cluster.oracle.chosenThrough - 1
  const agreed = (): boolean => {
    const leader = ruler(cluster)
    if (leader === undefined) return false
    return leader.core.view.membership.members.every(({ id }) => {
      const { view } = at(cluster, id).core
      return memberOf(view.membership, id) !== undefined && view.chosen > goal
    })
  }
  check(awaitProgress(cluster, agreed), 'L5: all members converge')
}

export const noAccepts =
  (from: number) =>
  (sender: NodeId, _to: NodeId, { kind }: XPaxosMessage): 'drop' | undefined =>
    sender === from && (kind === 'accept' || kind === 'accept-sync') ? 'drop' : undefined

// ---- Orders ------------------------------------------------------------------------------------

let nextOrder = 1_000

/** Asks this node; the answer, or 'open' while there is none. */
export function order(cluster: Cluster, node: Node, change: Change): () => string {
  const id = nextOrder++
  give(cluster, node, { kind: 'change', id, change })
  return () => node.answers.get(id) ?? 'open'
}

export function transfer(cluster: Cluster, node: Node, target: number): () => string {
  const id = nextOrder++
  give(cluster, node, { kind: 'transfer', id, target: target as NodeId })
  return () => node.answers.get(id) ?? 'open'
}

/** Asks whoever leads, waits for the answer. */
export function answerTo(cluster: Cluster, change: Change, ms = 4 * T): string {
  runUntilDone(cluster, 10 * T, () => leaderOf(cluster) !== undefined)
  const leader = leaderOf(cluster)
  if (leader === undefined) return 'not-leader'
  const answer = order(cluster, leader, change)
  runUntilDone(cluster, ms, () => answer() !== 'open')
  return answer()
}

export const add = (id: number, promote?: 'voter' | 'logger'): Change => ({
  kind: 'add',
  id: nodeId(id),
  ...(promote && { promote }),
})
export const remove = (id: number): Change => ({ kind: 'remove', id: nodeId(id) })
export const role = (id: number, to: MemberRole): Change => ({
  kind: 'role',
  id: nodeId(id),
  role: to,
})
export const set = (id: number, more: Partial<Change & { kind: 'set' }>): Change => ({
  ...more,
  kind: 'set',
  id: nodeId(id),
})

export interface Seen {
  readonly node: number
  readonly name: EventName
  readonly value: number
  readonly at: number
}

/** Events from now on, of all nodes. */
export function watch(cluster: Cluster, ...names: EventName[]): Seen[] {
  const seen: Seen[] = []
  const before = cluster.onEffect
  cluster.onEffect = (node, effect) => {
    before(node, effect)
    if (effect.kind !== 'event' || !names.includes(effect.name)) return
    seen.push({ node: node.id, name: effect.name, value: effect.value, at: cluster.now })
  }
  return seen
}
