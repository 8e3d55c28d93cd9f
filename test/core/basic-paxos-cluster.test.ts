/**
 * Basic Paxos under a seeded storm: a safety phase with lost, late, repeated and reordered
 * messages, cut links and crashes that lose unsynced records; then everything heals, and all values
 * of proposers that never crashed must be chosen exactly once and known to everybody.
 *
 * BASIC_PAXOS_SEEDS=A..B replays or widens the range.
 */
import { expect, test } from 'vitest'
import type { Member } from '../../src/core/engine.ts'
import {
  type Cluster,
  below,
  chance,
  crash,
  heal,
  openCluster,
  restart,
  runFor,
  setLink,
  step,
  submit,
} from '../support/basic-paxos-cluster.ts'

const SHAPES: readonly (readonly Member['role'][])[] = [
  ['voter', 'voter', 'voter'],
  ['voter', 'voter', 'logger'],
  ['voter', 'voter', 'voter', 'voter', 'voter'],
  ['voter', 'voter', 'voter', 'logger', 'logger', 'learner'],
]

function open(seed: number): Cluster {
  return openCluster({
    seed,
    roles: SHAPES[seed % SHAPES.length]!,
    proposers: 1 + ((seed >> 2) % 3),
    retryMs: 20,
    inflight: 1 + ((seed >> 3) % 12),
    dropRate: (seed % 5) * 0.05,
    repeatRate: (seed % 3) * 0.1,
    delayMsMax: 1 + (seed % 7) * 8,
    syncMsMax: 1 + (seed % 4) * 6,
  })
}

function storm(cluster: Cluster, rounds: number, withCrashes: boolean): void {
  const { nodes } = cluster
  for (let round = 0; round < rounds; round++) {
    const node = nodes[below(cluster, nodes.length)]!
    const other = nodes[below(cluster, nodes.length)]!
    const dice = chance(cluster)
    if (dice < 0.7) submit(cluster, node)
    else if (dice < 0.78 && node !== other) setLink(cluster, node, other, false)
    else if (dice < 0.86 && node !== other) setLink(cluster, node, other, true)
    else if (dice < 0.89 && withCrashes) crash(cluster, node)
    else if (dice < 0.95) restart(cluster, node)
    else if (node.isUp) step(cluster, node, { kind: 'pressure', ring: below(cluster, 3) })
    runFor(cluster, below(cluster, 30))
  }
}

/** Heals and waits; a value now and then fills the gaps that nobody had a value for. */
function settle(cluster: Cluster): void {
  heal(cluster)
  for (let round = 1, calm = 0; round <= 200 && calm < 3; round++) {
    runFor(cluster, 500)
    calm = isSettled(cluster) ? calm + 1 : 0
    if (round % 8 === 0 && calm === 0) for (const node of cluster.nodes) submit(cluster, node)
  }
}

function isSettled({ chosen, submitted, nodes }: Cluster): boolean {
  const values = new Set(chosen.values())
  for (const [value, { node, life }] of submitted)
    if (nodes[node - 1]!.life === life && !values.has(value)) return false
  return nodes.every((node) => node.core.view.chosen === Math.max(0, ...chosen.keys()))
}

function checkSettled(cluster: Cluster): void {
  const last = Math.max(0, ...cluster.chosen.keys())
  expect(cluster.chosen.size, 'no gaps').toBe(last)
  const times = new Map<number, number>()
  for (const value of cluster.chosen.values()) times.set(value, (times.get(value) ?? 0) + 1)
  for (const [value, { node: id, life }] of cluster.submitted) {
    const node = cluster.nodes.find((candidate) => candidate.id === id)!
    const found = times.get(value) ?? 0
    if (node.life === life) expect(found, `value ${value} of node ${id}`).toBe(1)
    else expect(found, `value ${value} of node ${id}, which crashed`).toBeLessThanOrEqual(1)
  }
  const log = [...cluster.chosen].sort(([a], [b]) => a - b).map(([, value]) => value)
  for (const node of cluster.nodes) {
    expect(node.core.view.chosen, `node ${node.id} knows all`).toBe(last)
    expect(node.core.view.chosenChain).toBe(cluster.nodes[0]!.core.view.chosenChain)
    if (node.role !== 'logger') expect(node.applied).toEqual(log)
    expect(node.live.size, `node ${node.id} lets frames go`).toBeLessThan(40)
  }
}

function seedRange(): [number, number] {
  const [from = '1', through = '300'] = (process.env['BASIC_PAXOS_SEEDS'] ?? '').split('..')
  return process.env['BASIC_PAXOS_SEEDS'] === undefined ? [1, 300] : [Number(from), Number(through)]
}

test('a storm of faults breaks no promise, and all ends well when it is over', () => {
  const [from, through] = seedRange()
  const totals = new Map<string, number>()
  let chosen = 0
  for (let seed = from; seed <= through; seed++) {
    try {
      const cluster = open(seed)
      storm(cluster, 120, (seed >> 5) % 4 !== 3)
      settle(cluster)
      checkSettled(cluster)
      chosen += cluster.chosen.size
      for (const [name, n] of cluster.counts) totals.set(name, (totals.get(name) ?? 0) + n)
    } catch (error) {
      throw new Error(`seed ${seed}: BASIC_PAXOS_SEEDS=${seed}..${seed} replays it`, {
        cause: error,
      })
    }
  }
  // The storm reached what it is for.
  if (through - from < 100) return
  expect(chosen).toBeGreaterThan(5000)
  for (const kind of ['basic-reject', 'basic-learn', 'basic-learned', 'basic-status'])
    expect(totals.get(kind) ?? 0, kind).toBeGreaterThan(100)
})

test('without faults one proposer needs one prepare round a value and no rejects', () => {
  const cluster = openCluster({ seed: 1, roles: SHAPES[0]!, proposers: 1, retryMs: 20 })
  for (let i = 0; i < 200; i++) submit(cluster, cluster.nodes[0]!)
  runFor(cluster, 5000)
  checkSettled(cluster)
  expect(cluster.chosen.size).toBe(200)
  expect(cluster.counts.get('basic-prepare')).toBe(2 * 200)
  expect(cluster.counts.get('basic-accept')).toBe(2 * 200)
  expect(cluster.counts.get('basic-reject')).toBeUndefined()
})

test('the next voter stands in when the proposer is gone, and finishes what it left', () => {
  const cluster = openCluster({ seed: 7, roles: SHAPES[0]!, proposers: 1, retryMs: 20 })
  const [first, second] = [cluster.nodes[0]!, cluster.nodes[1]!]
  for (let i = 0; i < 30; i++) submit(cluster, first)
  runFor(cluster, 25)
  crash(cluster, first)
  runFor(cluster, 400)
  expect(submit(cluster, second)).toBe(0)
  runFor(cluster, 200)
  // One at a time: a value that waited for another one to fill a gap below it would wait for ever.
  for (let i = 0; i < 30; i++) {
    const value = submit(cluster, second)
    runFor(cluster, 500)
    expect(second.applied).toContain(value)
  }
  const before = second.applied.length
  expect(before).toBeGreaterThanOrEqual(30)
  expect(cluster.nodes[2]!.applied).toEqual(second.applied)
  restart(cluster, first)
  runFor(cluster, 2000)
  expect(first.applied).toEqual(second.applied)
})

test('a node that was away for thousands of instances catches up from the disks of others', () => {
  const cluster = openCluster({
    seed: 3,
    roles: SHAPES[0]!,
    proposers: 1,
    retryMs: 20,
    inflight: 64,
    delayMsMax: 1,
    syncMsMax: 1,
  })
  const [first, , third] = cluster.nodes as [Cluster['nodes'][0], unknown, Cluster['nodes'][0]]
  crash(cluster, third)
  for (let i = 0; i < 1500; i++) submit(cluster, first)
  runFor(cluster, 3000)
  expect(cluster.chosen.size).toBe(1500)
  expect(first.live.size).toBeLessThan(1100) // a bounded tail
  restart(cluster, third)
  runFor(cluster, 8000)
  expect(third.applied).toEqual(first.applied)
})
