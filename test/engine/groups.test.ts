/** Groups over whole nodes with real threads (R38): all of the entries or none, whoever dies. */
import { expect, test } from 'vitest'
import {
  type LocalClusterOptions,
  type Proposed,
  type ReplicaNode,
  hasCode,
} from '../../src/engine/index.ts'
import type { SessionToken } from '../../src/engine/token.ts'
import {
  LIST_MODULE,
  codeOf,
  failing,
  openCluster,
  outcomeOf,
  proposeAgain,
  temporaryFolder,
  text,
  textOf,
  until,
} from '../support/engine.ts'

const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}${String(i + 1)}`)
const texts = (prefix: string, count: number): Uint8Array[] => names(prefix, count).map(text)
const others = (nodes: readonly ReplicaNode[], node: ReplicaNode): ReplicaNode[] =>
  nodes.filter((one) => one !== node)

/** What the state machine of this node has been given, as of the token. */
async function listOf(node: ReplicaNode, token: SessionToken): Promise<string[]> {
  const { result } = await node.read(text(''), { consistency: 'session', token })
  return (textOf(result) ?? '').split(',')
}

/** A frame an entry, one at a time over a slow link: a group takes many round trips. */
const SLOWLY: Partial<LocalClusterOptions> = {
  layout: 'split',
  emulation: { rttMs: 10 },
  tuning: { batchEntriesMax: 1, pipelineDepth: 1 },
}

test.each(['inline', 'split', 'dedicated'] as const)(
  '%s: a group is answered entry by entry, and its token shows all of it',
  async (layout) => {
    const tuning = { batchEntriesMax: 3 }
    const dataDir = temporaryFolder()
    const cluster = await openCluster({ dataDir, layout, stateMachine: LIST_MODULE, tuning })
    const leader = await cluster.leader()
    const [one, group, two] = await Promise.all([
      leader.propose(text('x')),
      leader.proposeGroup(texts('g', 8)),
      leader.propose(text('y')),
    ])
    const indexes = group.map(({ index }) => index)
    expect(indexes).toEqual(names('', 8).map((_, i) => one.index + 1 + i))
    expect(two.index).toBe(one.index + 9)
    expect(group.map(({ result }) => textOf(result))).toEqual(
      names('g', 8).map((name, i) => `${String(indexes[i])}:${name}`),
    )
    // The token of the first entry, too: half a group is nowhere to be seen.
    for (const node of cluster.nodes) {
      const list = await listOf(node, group[0]!.token)
      expect(list.slice(0, 9)).toEqual(['x', ...names('g', 8)])
    }
  },
)

test('what no group can be is refused, and nothing of it is proposed', async () => {
  const cluster = await openCluster({
    ...{ durability: 'none', layout: 'inline', stateMachine: 'hash' },
    tuning: { groupBytesMax: 4_096 },
  })
  const leader = await cluster.leader()
  const { last } = leader.status()
  const refused = async (promise: Promise<unknown>) => {
    const error = await failing(promise)
    return [codeOf(error), outcomeOf(error)]
  }
  const sure = 'not-proposed'
  expect(await refused(leader.proposeGroup([]))).toEqual(['E_CONFIG_INVALID', sure])
  const size = await failing(leader.proposeGroup([new Uint8Array(3_000), new Uint8Array(2_000)]))
  expect(hasCode(size, 'E_GROUP_SIZE') && size.detail).toMatchObject({
    maxBytes: 4_096,
    entries: 2,
  })
  const long = leader.proposeGroup([new Uint8Array(2 ** 20)])
  expect(await refused(long)).toEqual(['E_PAYLOAD_SIZE', sure])
  const aborted = leader.proposeGroup(texts('a', 2), { signal: AbortSignal.abort() })
  expect(await refused(aborted)).toEqual(['E_ABORTED', sure])
  const [follower] = others(cluster.nodes, leader)
  expect(await refused(follower!.proposeGroup(texts('a', 2)))).toEqual(['E_NOT_LEADER', sure])
  const session = await leader.openSession()
  const ahead = session.proposeGroup(texts('a', 2), { sequence: 2 })
  expect(await refused(ahead)).toEqual(['E_OUT_OF_ORDER', sure])
  expect([leader.status().last, session.next]).toEqual([last + 1, 1])
})

test('Basic Paxos has no groups, and says so', async () => {
  const cluster = await openCluster({
    ...{ durability: 'none', layout: 'inline', stateMachine: 'hash', engine: 'basic-paxos' },
  })
  const leader = await cluster.leader()
  expect(codeOf(await failing(leader.proposeGroup(texts('a', 2))))).toBe('E_NOT_AVAILABLE')
})

test('a group larger than ring and window goes through, with nothing in between', async () => {
  const cluster = await openCluster({ dataDir: temporaryFolder(), stateMachine: LIST_MODULE })
  const leader = await cluster.leader()
  const many = names('g', 100).map((name) => text(name.padEnd(30_000, '.')))
  const group = leader.proposeGroup(many)
  const single = await failing(leader.propose(text('between')))
  expect([codeOf(single), outcomeOf(single)]).toEqual(['E_OVERLOADED', 'not-proposed'])
  for (const payload of many) payload.fill(0)
  const values = await group
  const first = values[0]!.index
  expect(values.map(({ index }) => index)).toEqual(many.map((_, i) => first + i))
  expect(textOf(values.at(-1)!.result)!.replaceAll('.', '')).toBe(`${String(first + 99)}:g100`)
  const after = await leader.propose(text('after'))
  expect(after.index).toBe(first + 100)
})

test('a leader killed within a group: nothing of it ever takes effect', async () => {
  const options = { ...SLOWLY, dataDir: temporaryFolder(), stateMachine: LIST_MODULE }
  const cluster = await openCluster(options)
  const leader = await cluster.leader()
  const [follower, third] = others(cluster.nodes, leader)
  const before = await leader.propose(text('before'))
  const group = failing(leader.proposeGroup(texts('g', 400)))
  await until('part of it is chosen', () => follower!.status().chosen > before.index + 5)
  // The follower knows frames of the group as chosen; a reader of its state sees none of them.
  const { chosen, applied } = follower!.status()
  expect([chosen > before.index + 5, applied]).toEqual([true, before.index])
  expect(await listOf(follower!, before.token)).toEqual(['before'])
  await leader.kill()
  const error = await group
  expect([codeOf(error), outcomeOf(error)]).toEqual(['E_CLOSED', 'unknown'])
  const after = await proposeAgain(cluster, 'after')
  expect(after.index).toBeGreaterThan(before.index + 6)
  expect(after.index).toBeLessThan(before.index + 400)
  for (const node of [follower!, third!]) {
    expect(await listOf(node, after.token)).toEqual(['before', 'after'])
  }
  await cluster.close()
  // Whoever replays the log from its start agrees, the killed one included.
  const again = await openCluster(options)
  const end = await proposeAgain(again, 'end')
  for (const node of again.nodes) {
    expect(await listOf(node, end.token)).toEqual(['before', 'after', 'end'])
  }
})

test('a group of a session whose leader died applies once when proposed again', async () => {
  const options = { ...SLOWLY, dataDir: temporaryFolder(), stateMachine: LIST_MODULE }
  const cluster = await openCluster(options)
  const leader = await cluster.leader()
  const [follower] = others(cluster.nodes, leader)
  const session = await leader.openSession()
  const payloads = texts('g', 40)
  const lost = failing(session.proposeGroup(payloads))
  expect(session.next).toBe(41)
  await until('part of it is chosen', () => follower!.status().chosen > session.id + 5)
  await leader.kill()
  expect(outcomeOf(await lost)).toBe('unknown')
  const [first, second] = [await retried(), await retried()]
  expect(second.map(({ index }) => index)).toEqual(first.map(({ index }) => index))
  const { token } = await proposeAgain(cluster, 'end')
  for (const node of others(cluster.nodes, leader)) {
    expect(await listOf(node, token)).toEqual([...names('g', 40), 'end'])
  }

  async function retried(): Promise<readonly Proposed[]> {
    for (;;) {
      const next = await cluster.leader()
      try {
        return await next.resumeSession(session.id, 1).proposeGroup(payloads)
      } catch (error) {
        expect(['E_NOT_LEADER', 'E_LEADERSHIP_LOST', 'E_CLOSED']).toContain(codeOf(error))
      }
    }
  }
})
