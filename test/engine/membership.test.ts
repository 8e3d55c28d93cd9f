import { join } from 'node:path'
import { expect, test } from 'vitest'
import { isReplicaError } from '../../src/base/errors.ts'
import type { MembershipChange, ReplicaNode, Writer } from '../../src/engine/index.ts'
import { scanLog } from '../../src/wal/inspect.ts'
import { openStorage } from '../../src/wal/storage-fs.ts'
import {
  type OpenCluster,
  codeOf,
  failing,
  listMachines,
  openCluster,
  outcomeOf,
  proposeAgain,
  settled,
  temporaryFolder,
  text,
  until,
  verdictOf,
} from '../support/engine.ts'

/** What passes by itself on a busy machine: elections, and changes that are not ready yet. */
const PASSING = ['E_NOT_LEADER', 'E_LEADERSHIP_LOST', 'E_TRANSFERRING']

/** Asks whoever leads until the membership is as wanted. */
async function change(
  cluster: OpenCluster,
  step: MembershipChange,
  holds: (node: ReplicaNode) => boolean,
): Promise<void> {
  for (;;) {
    const leader = await cluster.leader()
    if (holds(leader)) return
    const error = await failing(leader.changeMembership(step))
    const isLate = isReplicaError(error) && error.code === 'E_CHANGE_REFUSED'
    if (isLate || PASSING.includes(codeOf(error))) continue
    if (error !== 'it did not fail') throw error
  }
}

const memberOf = (node: ReplicaNode, id: number) =>
  node.status().membership?.members.find((member) => member.id === id)

const addAs = (id: number, promote?: 'voter' | 'logger'): MembershipChange => ({
  kind: 'add',
  id,
  ...(promote && { promote }),
})

test('a node is added as a learner, is promoted by itself, and a follower is removed', async () => {
  const { lists, make } = listMachines()
  const dataDir = temporaryFolder()
  const cluster = await openCluster({ stateMachine: make, dataDir, layout: 'inline' })
  for (let i = 0; i < 5; i++) await proposeAgain(cluster, `before ${i}`)
  const added = await cluster.addNode()
  expect(added.id).toBe(4)
  await change(cluster, addAs(4, 'voter'), (node) => memberOf(node, 4) !== undefined)
  await until('node 4 votes', () => added.status().role === 'follower')
  await proposeAgain(cluster, 'with four')
  const leader = await cluster.leader()
  const gone = cluster.nodes.find((node) => node !== leader && node.id !== 4)!
  await change(cluster, { kind: 'remove', id: gone.id }, (node) => !memberOf(node, gone.id))
  await gone.close()
  await proposeAgain(cluster, 'with three again')
  expect(leader.status().membership).toMatchObject({ acceptQuorum: 2, highestId: 4 })
  await until('all applied', () => lists.filter((list) => list.length === 7).length >= 3)
  const longest = lists[3]!
  expect(longest.at(-1)).toBe('with three again')
  for (const list of lists) expect(longest.slice(0, list.length)).toEqual(list)
})

test('what a membership cannot be is refused with a reason, and nothing changes', async () => {
  const cluster = await openCluster({ stateMachine: 'hash', durability: 'none', layout: 'inline' })
  const leader = await cluster.leader()
  const follower = cluster.nodes.find((node) => !node.leads)!
  await proposeAgain(cluster, 'established')
  const refusals: [MembershipChange, string][] = [
    [{ kind: 'remove', id: 9 }, 'is no member'],
    [addAs(3), 'is a member already'],
    [{ kind: 'quorums', prepare: 1, accept: 1 }, 'need not meet'],
    [{ kind: 'set', id: 2, source: 1 }, 'only a learner has one'],
  ]
  for (const [step, problem] of refusals) {
    const error = await failing(leader.changeMembership(step))
    expect([codeOf(error), outcomeOf(error)]).toEqual(['E_CHANGE_REFUSED', 'not-proposed'])
    expect(String(error)).toContain(problem)
  }
  expect(codeOf(await failing(follower.changeMembership(addAs(4))))).toBe('E_NOT_LEADER')
  expect(codeOf(await failing(leader.changeMembership(addAs(0))))).toBe('E_CONFIG_INVALID')
  expect(codeOf(await failing(leader.transfer(leader.id)))).toBe('E_TRANSFER_FAILED')
  expect(codeOf(await failing(leader.transfer(77)))).toBe('E_TRANSFER_FAILED')
  expect(codeOf(await failing(cluster.addNode(99)))).toBe('E_CONFIG_INVALID')
  expect(leader.status().membership).toMatchObject({ index: 0, highestId: 3 })
})

/** Writes until the writer fails; what it was told is what must be everywhere. */
async function writeOn(writer: Writer): Promise<number> {
  try {
    for (;;) {
      for (let i = 0; i < 64; i++) if (!writer.tryWrite(text('entry'))) await writer.drained()
      await new Promise((resolve) => setImmediate(resolve))
    }
  } catch (error) {
    if (!PASSING.includes(codeOf(error))) throw error
  }
  return writer.completed
}

test.each(['inline', 'joined'] as const)(
  'leadership is transferred under load: nothing acknowledged is lost (%s)',
  async (layout) => {
    const cluster = await openCluster({ stateMachine: 'hash', layout, durability: 'none' })
    await proposeAgain(cluster, 'established')
    const leader = await cluster.leader()
    const writer = leader.writer()
    const id = Math.max(...leader.ingest.clients.keys())
    const writing = writeOn(writer)
    await until('the writer writes', () => writer.completed > 1_000)
    const target = cluster.nodes.find((node) => !node.leads)!
    const moved = await failing(leader.transfer(target.id))
    if (moved !== 'it did not fail') expect(codeOf(moved)).toBe('E_TRANSFER_FAILED')
    else await until('the target leads', () => target.leads || cluster.nodes.some((n) => n.leads))
    if (leader.leads) await leader.kill()
    const acknowledged = await writing
    expect(acknowledged).toBeGreaterThan(1_000)
    await proposeAgain(cluster, 'after')
    const reports = await Promise.all(cluster.nodes.map((node) => node.close()))
    const verdict = verdictOf(reports)
    expect([verdict.gaps, verdict.duplicates]).toEqual([0, 0])
    const through = Math.max(...verdict.through(id))
    expect(through).toBeGreaterThanOrEqual(acknowledged)
  },
)

test('a leader that is removed hands over, and says that it is removed', async () => {
  const cluster = await openCluster({ stateMachine: 'hash', durability: 'none', layout: 'inline' })
  await proposeAgain(cluster, 'established')
  const leader = await cluster.leader()
  const rest = cluster.nodes.filter((node) => node !== leader)
  // Refused while nobody else is ready to lead.
  let error = await failing(leader.changeMembership({ kind: 'remove', id: leader.id }))
  for (let i = 0; i < 600 && codeOf(error) === 'E_CHANGE_REFUSED'; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    error = await failing(leader.changeMembership({ kind: 'remove', id: leader.id }))
  }
  if (error !== 'it did not fail') expect(PASSING).toContain(codeOf(error))
  await until('another leads', () => rest.some((node) => node.leads))
  const next = rest.find((node) => node.leads)!
  await next.propose(text('after'))
  if (error === 'it did not fail') {
    expect(memberOf(next, leader.id)).toBeUndefined()
    const isTold = (event: (typeof cluster.events)[number]): boolean =>
      event.kind === 'event' && event.name === 'removed' && event.node === leader.id
    await until('it is told', () => cluster.events.some(isTold))
    await until('it leads no more', () => !leader.leads)
  }
})

test('a learner is fed by a learner that a follower feeds, also when that one dies', async () => {
  const { lists, make } = listMachines()
  const members = [
    { id: 1, weight: 9 },
    { id: 2 },
    { id: 3 },
    { id: 4, role: 'learner' as const, source: 2 },
    { id: 5, role: 'learner' as const, source: 4 },
  ]
  const options = { nodes: members, dataDir: temporaryFolder(), layout: 'inline' } as const
  const cluster = await openCluster({ ...options, stateMachine: make })
  for (let i = 0; i < 10; i++) await proposeAgain(cluster, `entry ${i}`)
  await until('the end of the chain has all', () => lists[4]!.length === 10)
  expect(memberOf(cluster.nodes[0]!, 5)).toMatchObject({ role: 'learner', source: 4 })
  await cluster.nodes[3]!.kill()
  for (let i = 10; i < 20; i++) await proposeAgain(cluster, `entry ${i}`)
  await until('the leader feeds it now', () => lists[4]!.length === 20)
  expect(lists[4]).toEqual(lists[0]!.slice(0, 20))
})

test('after a restart of all the changed membership holds, also with trimmed logs', async () => {
  const dataDir = temporaryFolder()
  const tuning = { retainBytes: 2 ** 20, walSegmentSizeBytes: 2 ** 20, batchBytesMax: 2 ** 16 }
  const options = { stateMachine: 'hash', layout: 'inline', dataDir, tuning } as const
  const cluster = await openCluster(options)
  await cluster.addNode(4)
  await change(cluster, addAs(4, 'voter'), (node) => memberOf(node, 4)?.role === 'voter')
  await change(
    cluster,
    { kind: 'set', id: 4, weight: 7 },
    (node) => memberOf(node, 4)?.weight === 7,
  )
  await change(cluster, { kind: 'remove', id: 3 }, (node) => !memberOf(node, 3))
  await cluster.nodes.find(({ id }) => id === 3)!.close()
  const leader = await cluster.leader()
  const writer = leader.writer()
  const big = new Uint8Array(16 * 1024)
  for (let i = 0; i < 1_500; i++) while (!writer.tryWrite(big)) await writer.drained()
  await writer.close()
  const before = leader.status().membership!
  await cluster.close()
  const { first } = scanLog(openStorage(), join(dataDir, `node-${leader.id}`), () => undefined)
  expect(first, 'the config batches are trimmed').toBeGreaterThan(before.index)
  const again = await openCluster({
    ...options,
    nodes: [{ id: 1 }, { id: 2 }, { id: 4, join: true }],
  })
  await settled(again.nodes)
  const after = (await again.leader()).status().membership
  expect(after).toEqual(before)
  await (await again.leader()).writer().close()
})
