/**
 * A failure at every step of every kind of membership change (R26, R28, R29): behind the n-th
 * effect since the change was asked for the leader crashes, with or without its unsynced records,
 * or is cut off, or whoever did that effect crashes; for n = 1, 2, .. until the change is done
 * before. The oracle judges every step, the end must converge.
 */
import { expect, test } from 'vitest'
import type { NodeId } from '../../src/core/ids.ts'
import { type Change, memberOf } from '../../src/core/membership.ts'
import {
  type Cluster,
  type Node,
  after,
  crash,
  leaderOf,
  restart,
  runFor,
  runUntilDone,
  submit,
} from '../support/cluster.ts'
import {
  type Spec,
  T,
  add,
  agree,
  answerTo,
  at,
  awaitLeader,
  isolate,
  joiners,
  lab,
  order,
  remove,
  role,
  set,
  settle,
  voters,
} from '../support/lab.ts'

interface Sweep {
  readonly name: string
  readonly specs: readonly Spec[]
  readonly joins?: readonly number[]
  readonly change: Change
}

const SWEEPS: readonly Sweep[] = [
  { name: 'add a learner', specs: voters(9, 5, 5), joins: [4], change: add(4) },
  { name: 'promote', specs: [...voters(9, 5, 5), ['learner', 5]], change: role(4, 'voter') },
  { name: 'promote in 2', specs: [...voters(9, 5), ['learner', 5]], change: role(3, 'logger') },
  { name: 'demote one of 3', specs: voters(9, 5, 5), change: role(3, 'learner') },
  { name: 'demote one of 4', specs: voters(9, 5, 5, 5), change: role(4, 'learner') },
  { name: 'make a Logger', specs: voters(9, 5, 5), change: role(3, 'logger') },
  { name: 'remove a follower of 2', specs: voters(9, 5), change: remove(2) },
  { name: 'remove a follower of 3', specs: voters(9, 5, 5), change: remove(3) },
  { name: 'remove the leader of 2', specs: voters(9, 5), change: remove(1) },
  { name: 'remove the leader of 3', specs: voters(9, 5, 5), change: remove(1) },
  { name: 'remove the leader of 4', specs: voters(9, 5, 5, 5), change: remove(1) },
  { name: 'demote the leader', specs: voters(9, 5, 5), change: role(1, 'learner') },
  { name: 'force a member', specs: voters(9, 5, 5), change: set(3, { forced: 'armed' }) },
]

type Fault = 'crash, all unsynced lost' | 'crash, all kept' | 'cut off' | 'anybody crashes'
const FAULTS: readonly Fault[] = [
  'crash, all unsynced lost',
  'crash, all kept',
  'cut off',
  'anybody crashes',
]

/** Strikes behind the n-th effect of the change; false when it was done before. */
function strike({ specs, joins = [], change }: Sweep, fault: Fault, step: number): boolean {
  const cluster = lab(specs, { joiners: joiners(...joins), seed: 7 + step })
  const leader = awaitLeader(cluster, 1)
  submit(cluster, leader, [3, 3])
  runFor(cluster, T / 2)
  let effects = 0
  let isStruck = false
  cluster.onEffect = (node, { kind }) => {
    if (node !== leader && fault !== 'anybody crashes') return
    if (kind !== 'send' && kind !== 'append' && kind !== 'chosen') return
    if (++effects !== step) return
    isStruck = true
    if (fault === 'cut off') after(cluster, 0, () => isolate(cluster, leader))
    else crash(cluster, node, fault === 'crash, all kept' ? Infinity : 0)
  }
  const answer = order(cluster, leader, change)
  submit(cluster, leader, [2]) // waits behind the config batch
  runUntilDone(cluster, 2 * T, () => answer() !== 'open' || isStruck)
  if (!isStruck) {
    expect(answer()).toBe('done')
    return false
  }
  cluster.onEffect = () => undefined
  if (step % 2 === 0) runFor(cluster, 4 * T) // else it comes back at once
  settle(cluster)
  return true
}

test.each(SWEEPS)('$name: survives a failure at every step', (sweep) => {
  for (const fault of FAULTS) {
    let step = 1
    while (strike(sweep, fault, step)) step += 1
    expect(step).toBeGreaterThan(5)
  }
})

// ---- Replacing 2 of 3 -------------------------------------------------------------------------

const STEPS = [
  { change: add(4, 'voter'), id: 4, role: 'voter' },
  { change: remove(2), id: 2, role: undefined },
  { change: add(5, 'voter'), id: 5, role: 'voter' },
  { change: remove(3), id: 3, role: undefined },
] as const

/** Asks until it is so, and proven by an entry behind it: only then an old node may be stopped. */
function insist(cluster: Cluster, { change, id, role: wanted }: (typeof STEPS)[number]): void {
  const isSo = (): boolean => {
    const view = leaderOf(cluster)?.core.view
    if (view === undefined || view.chosen <= view.membershipIndex) return false
    return memberOf(view.membership, id as NodeId)?.role === wanted
  }
  for (let tries = 0; tries < 10 && !isSo(); tries++) {
    answerTo(cluster, change)
    runUntilDone(cluster, 6 * T, isSo)
  }
  expect(isSo()).toBe(true)
}

/** Every node loses its power and what it knew of the chosen index. */
function loseFloors(cluster: Cluster, nodes: readonly Node[]): void {
  for (const node of nodes) {
    crash(cluster, node, Infinity)
    node.disk.durable.floor = node.disk.written.floor = 0
  }
  for (const node of nodes) restart(cluster, node)
}

/** @returns false when the leader crash at this effect came too late to happen */
function replaceTwo(crashStep: number): boolean {
  const cluster = lab(voters(9, 5, 5), { joiners: joiners(4, 5), seed: crashStep })
  submit(cluster, awaitLeader(cluster, 1), [3])
  let effects = 0
  cluster.onEffect = (node, { kind }) => {
    if (node.leading === null || (kind !== 'send' && kind !== 'append')) return
    if (++effects !== crashStep) return
    crash(cluster, node)
    after(cluster, 2 * T, () => restart(cluster, node))
  }
  for (const step of STEPS) {
    insist(cluster, step)
    if (step.role !== undefined) continue
    cluster.onEffect = effects >= crashStep ? () => undefined : cluster.onEffect
    crash(cluster, at(cluster, step.id), Infinity)
  }
  cluster.onEffect = () => undefined
  runFor(cluster, 3 * T)
  expect(at(cluster, 2).alive || at(cluster, 3).alive).toBe(false)
  loseFloors(
    cluster,
    [1, 4, 5].map((id) => at(cluster, id)),
  )
  agree(cluster)
  return effects >= crashStep
}

test('2 of 3 are replaced one by one and stopped; the rest lose their floors and go on', () => {
  for (let step = 5; replaceTwo(step);) step += 41
})
