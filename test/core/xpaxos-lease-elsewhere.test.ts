/**
 * Reads by lease at a node that does not lead: the leader's lease answers them without a round, or
 * says no, and they take one. The cluster of test/support refuses any answer that is older than
 * what was announced anywhere before the read was asked; xpaxos-lease.test.ts draws such reads.
 */
import { expect, test } from 'vitest'
import type { Member, MemberRole } from '../../src/core/engine.ts'
import { nodeId } from '../../src/core/ids.ts'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'
import {
  type Cluster,
  type Node,
  type Read,
  DEFAULTS,
  ask,
  clockOf,
  crash,
  createCluster,
  give,
  isOpen,
  pause,
  restart,
  runFor,
  runUntilDone,
  submit,
} from '../support/cluster.ts'

const T = 100
const LEASE = 400

/** Node 1 leads and has its lease; an entry is announced. */
function lab(roles: readonly MemberRole[] = ['voter', 'voter', 'voter']): Cluster {
  const members = roles.map((role, i): Member => {
    const weight = role !== 'voter' ? 0 : i === 0 ? 9 : 1
    return { id: nodeId(i + 1), role, weight }
  })
  const options = { electionTimeoutMs: T, leaseMs: LEASE, driftPerMille: 100, members, seed: 7 }
  const cluster = createCluster({ ...DEFAULTS, ...options })
  cluster.gaps = 0
  const leader = at(cluster, 1)
  const isLeased = (): boolean => clockOf(cluster, leader) < leader.leaseUntil
  expect(runUntilDone(cluster, 20 * T, isLeased)).not.toBe(-1)
  write(cluster, leader)
  runFor(cluster, T)
  return cluster
}

const at = (cluster: Cluster, id: number): Node => cluster.byId.get(nodeId(id))!
const readOf = (cluster: Cluster, id: number): Read => cluster.reads.get(id)!
const has = (kind: XPaxosMessage['kind'], message: XPaxosMessage): boolean => message.kind === kind

function write(cluster: Cluster, node: Node): void {
  const goal = cluster.acknowledged
  expect(submit(cluster, node, [1])).toBe(true)
  expect(runUntilDone(cluster, 10 * T, () => cluster.acknowledged > goal)).not.toBe(-1)
}

/** From now on nobody confirms a round. */
function silenceRounds(cluster: Cluster): void {
  cluster.filter = (_from, _to, message) => (has('confirm', message) ? 'drop' : undefined)
}

/** What node 1 answers to a question of node 3. */
function askedByLease(cluster: Cluster): (Partial<XPaxosMessage> & { valid?: number })[] {
  const answers: XPaxosMessage[] = []
  cluster.filter = (_from, _to, message) => {
    if (has('lease-index-reply', message)) answers.push(message)
    return undefined
  }
  const message = { kind: 'lease-index', request: 99 } as const
  give(cluster, at(cluster, 1), { kind: 'message', from: nodeId(3), message, frames: [] })
  return answers
}

test.each(['voter', 'learner'] as const)('a %s is answered while no round is confirmed', (role) => {
  const cluster = lab(['voter', 'voter', 'voter', role])
  silenceRounds(cluster)
  const ids = [2, 4].map((id) => ask(cluster, at(cluster, id), 'lease'))
  runFor(cluster, 10)
  for (const id of ids) expect(readOf(cluster, id).index).toBe(1)
})

test('a read by lease does not wait behind one that wants a round', () => {
  const cluster = lab()
  silenceRounds(cluster)
  const round = ask(cluster, at(cluster, 3))
  runFor(cluster, 1)
  const byLease = ask(cluster, at(cluster, 3), 'lease')
  runFor(cluster, 10)
  expect(readOf(cluster, byLease).index).toBe(1)
  expect(isOpen(readOf(cluster, round))).toBe(true) // it never rests on a clock
})

test('reads that come while a question is out share the next one', () => {
  const cluster = lab()
  let questions = 0
  cluster.onEffect = (_node, effect) => {
    if (effect.kind === 'send' && has('lease-index', effect.message)) questions += 1
  }
  const ids = Array.from({ length: 50 }, () => ask(cluster, at(cluster, 3), 'lease'))
  runFor(cluster, 20)
  for (const id of ids) expect(readOf(cluster, id).index).toBe(1)
  expect(questions).toBe(2)
})

test('a leader without a lease says no, and the read takes a round', () => {
  const cluster = lab()
  give(cluster, at(cluster, 1), { kind: 'clock-jumped' })
  expect(askedByLease(cluster)).toMatchObject([{ valid: 0 }])
  const id = ask(cluster, at(cluster, 3), 'lease')
  runFor(cluster, T)
  expect(readOf(cluster, id).index).toBe(1)
})

test('a leader that slept answers nothing by its lease, whatever its last tick says (T49)', () => {
  const cluster = lab()
  pause(cluster, at(cluster, 1), 40 * T)
  const successor = (): Node | undefined =>
    cluster.nodes.find((node) => node.id !== 1 && node.leading !== null)
  expect(runUntilDone(cluster, 30 * T, () => successor() !== undefined)).not.toBe(-1)
  write(cluster, successor()!)
  expect(at(cluster, 1).leading).not.toBeNull()
  expect(askedByLease(cluster)).toMatchObject([{ valid: 0 }])
})

test('who does not lead stays silent, and a stranger is not answered', () => {
  const cluster = lab()
  let answers = 0
  cluster.onEffect = (_node, { kind }) => void (answers += kind === 'send-by-lease' ? 1 : 0)
  const message = { kind: 'lease-index', request: 99 } as const
  const from = nodeId(3)
  give(cluster, at(cluster, 2), { kind: 'message', from, message, frames: [] })
  give(cluster, at(cluster, 1), { kind: 'message', from: nodeId(9), message, frames: [] })
  expect(answers).toBe(0)
  give(cluster, at(cluster, 1), { kind: 'message', from, message, frames: [] })
  expect(answers).toBe(1)
})

test('a lost question or answer is repeated', () => {
  for (const kind of ['lease-index', 'lease-index-reply'] as const) {
    const cluster = lab()
    let lost = 0
    cluster.filter = (_from, _to, message) =>
      has(kind, message) && lost++ < 2 ? 'drop' : undefined
    const id = ask(cluster, at(cluster, 3), 'lease')
    runFor(cluster, 2 * T)
    expect([readOf(cluster, id).index, lost > 2]).toEqual([1, true])
  }
})

test('a read by lease that nobody answers ends with a reason', () => {
  const cluster = lab()
  cluster.filter = (_from, _to, { kind }) => (kind === 'lease-index' ? 'drop' : undefined)
  const id = ask(cluster, at(cluster, 3), 'lease')
  runFor(cluster, 5 * T)
  expect(readOf(cluster, id).refused).toBe('late')
})

test('a node that comes to lead meanwhile answers by a round of its own', () => {
  const cluster = lab()
  cluster.filter = (_from, _to, { kind }) => (kind === 'lease-index' ? 'drop' : undefined)
  const asked = [2, 3].map((id) => ask(cluster, at(cluster, id), 'lease'))
  give(cluster, at(cluster, 1), { kind: 'transfer', id: 1, target: nodeId(2) })
  expect(runUntilDone(cluster, 3 * T, () => at(cluster, 2).leading !== null)).not.toBe(-1)
  cluster.filter = () => undefined
  runFor(cluster, T)
  for (const id of asked) expect(readOf(cluster, id).index).toBe(1)
})

test('a late answer to a question of the last life answers nothing', () => {
  const cluster = lab()
  const reader = at(cluster, 3)
  cluster.reorder = true // so that what the last session sent still arrives
  const late = (): number => 3 * T
  cluster.filter = (_from, _to, message) => (has('lease-index-reply', message) ? late() : undefined)
  ask(cluster, reader, 'lease')
  runFor(cluster, T / 4)
  crash(cluster, reader, Infinity)
  restart(cluster, reader)
  runFor(cluster, T)
  write(cluster, at(cluster, 1))
  ask(cluster, reader, 'lease') // the cluster refuses an answer of 1
  runFor(cluster, 10 * T)
})
