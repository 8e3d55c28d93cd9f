import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { MemberOptions, NodeEvent, ReplicaNode } from '../../src/engine/index.ts'
import type { LayoutName } from '../../src/engine/topology.ts'
import {
  codeOf,
  failing,
  openTcpNode,
  settled,
  temporaryFolder,
  text,
  until,
  verdictOf,
} from '../support/engine.ts'

const HOST = '127.0.0.1'

/** Nodes of one cluster in this process, over sockets; the highest id opens first. */
function cluster(members: readonly MemberOptions[], layout: LayoutName = 'inline') {
  const dataDir = temporaryFolder()
  const ports = new Map<number, number>()
  const events: NodeEvent[] = []
  const open = async (id: number, all = members): Promise<ReplicaNode> => {
    const peers = [...ports]
      .filter(([peer]) => peer > id)
      .map(([peer, port]) => ({ id: peer, host: HOST, port }))
    const transport = { port: ports.get(id) ?? 0, peers }
    const folder = join(dataDir, `node-${id}`)
    const options = { id, members: all, dataDir: folder, layout, transport }
    const node = await openTcpNode({ ...options, onEvent: (event) => void events.push(event) })
    ports.set(id, node.address!.port)
    return node
  }
  const openAll = async (): Promise<ReplicaNode[]> => {
    const nodes: ReplicaNode[] = []
    for (const { id } of members.toReversed()) nodes.unshift(await open(id))
    await settled(nodes)
    return nodes
  }
  const saw = (name: string, value: number, from = 0): boolean =>
    events
      .slice(from)
      .some((event) => event.kind === 'event' && event.name === name && event.value === value)
  return { open, openAll, events, saw, ports }
}

const leaderOf = (nodes: readonly ReplicaNode[]): ReplicaNode | undefined =>
  nodes.find((node) => node.leads)

/** Proposes until somebody has answered. */
async function proposeSoon(nodes: readonly ReplicaNode[], entry: string): Promise<number> {
  for (;;) {
    const leader = leaderOf(nodes)
    if (leader === undefined) await until('somebody leads', () => leaderOf(nodes) !== undefined)
    else {
      const done = await leader.propose(text(entry)).catch((error: unknown) => codeOf(error))
      if (typeof done !== 'string') return done.index
      expect(['E_NOT_LEADER', 'E_LEADERSHIP_LOST', 'E_TRANSFERRING']).toContain(done)
    }
  }
}

test('the heaviest node ends up leading', async () => {
  const { openAll } = cluster([{ id: 1, weight: 1 }, { id: 2 }, { id: 3, weight: 9 }])
  const nodes = await openAll()
  await until('node 3 leads', () => nodes[2]!.leads)
  const index = await proposeSoon(nodes, 'entry')
  await until('all have it', () => nodes.every((node) => node.status().applied >= index))
})

test.each<LayoutName>(['inline', 'split'])(
  'a transfer moves leadership, and nothing acknowledged is lost (%s)',
  async (layout) => {
    const { openAll } = cluster([{ id: 1 }, { id: 2 }, { id: 3 }], layout)
    const nodes = await openAll()
    await proposeSoon(nodes, 'established')
    const leader = leaderOf(nodes)!
    const target = nodes.find((node) => node !== leader)!
    const writer = leader.writer()
    const id = Math.max(...leader.ingest.clients.keys())
    for (let i = 0; i < 500; i++) while (!writer.tryWrite(text('entry'))) await writer.drained()
    await writer.completedThrough(100)
    const outcome = await failing(leader.transfer(target.id))
    expect(['it did not fail', 'E_TRANSFER_FAILED', 'E_NOT_LEADER']).toContain(
      typeof outcome === 'string' ? outcome : codeOf(outcome),
    )
    if (outcome === 'it did not fail') await until('it gave up', () => !leader.leads)
    const acknowledged = writer.completed
    const index = await proposeSoon(nodes, 'after')
    await until('all have it', () => nodes.every((node) => node.status().applied >= index))
    const verdict = verdictOf(await Promise.all(nodes.map((node) => node.close())))
    expect([verdict.gaps, verdict.duplicates]).toEqual([0, 0])
    expect(Math.min(...verdict.through(id))).toBeGreaterThanOrEqual(acknowledged)
  },
)

test('a forced member that dies is degraded, and armed again when it is back', async () => {
  const { openAll, open, saw, events } = cluster([
    { id: 1, weight: 9 },
    { id: 2 },
    { id: 3, weight: 0, forced: true },
  ])
  const nodes = await openAll()
  await proposeSoon(nodes, 'with all three')
  const [first, second, forced] = nodes
  await forced!.kill()
  const before = events.length
  await proposeSoon([first!, second!], 'without it')
  expect(saw('forced-degraded', 3, before)).toBe(true)
  const isForced = (state: string | null) => (node: ReplicaNode) =>
    node.status().membership?.members.find(({ id }) => id === 3)?.forced === state
  await until('both say so', () => [first!, second!].every(isForced('degraded')))
  const degraded = events.length
  const back = await open(3)
  const all = [first!, second!, back]
  await until('it is armed again', () => all.every(isForced('armed')))
  expect(saw('forced-armed', 3, degraded)).toBe(true)
  const index = await proposeSoon(all, 'with it')
  await until('all have it', () => all.every((node) => node.status().applied >= index))
})

test.each<LayoutName>(['inline', 'split'])(
  'a member is removed with frames on their way to it, and its sockets end (%s)',
  async (layout) => {
    const { openAll } = cluster([{ id: 1 }, { id: 2 }, { id: 3 }, { id: 4 }], layout)
    const nodes = await openAll()
    await proposeSoon(nodes, 'established')
    const leader = leaderOf(nodes)!
    const gone = nodes.find((node) => node !== leader)!
    const writer = leader.writer()
    const payload = new Uint8Array(8_000)
    const load = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) while (!writer.tryWrite(payload)) await writer.drained()
    }
    await load(100)
    const removal = failing(leader.changeMembership({ kind: 'remove', id: gone.id }))
    await load(200)
    expect(await removal).toBe('it did not fail')
    await load(100)
    await gone.kill() // what was queued for its sockets goes with them
    await load(300)
    await writer.close()
    expect(leader.leads).toBe(true)
    const left = nodes.filter((node) => node !== gone)
    const { index } = await leader.propose(text('after'))
    await until('all have it', () => left.every((node) => node.status().applied >= index))
    const verdict = verdictOf(await Promise.all(left.map((node) => node.close())))
    expect([verdict.gaps, verdict.duplicates, new Set(verdict.hashes).size]).toEqual([0, 0, 1])
  },
)

test.each<LayoutName>(['inline', 'split'])(
  'a node joins a running cluster (%s)',
  async (layout) => {
    const members = [{ id: 1 }, { id: 2 }, { id: 3 }]
    const { openAll, open, ports } = cluster(members, layout)
    const nodes = await openAll()
    await proposeSoon(nodes, 'before')
    const added = await open(4, [...members, { id: 4, join: true }])
    for (const node of nodes) node.addPeer({ id: 4, host: HOST, port: ports.get(4)! })
    const isMember = (): boolean =>
      nodes.some((node) => node.status().membership!.members.some(({ id }) => id === 4))
    while (!isMember()) {
      const change = { kind: 'add', id: 4, promote: 'voter' } as const
      const leader = leaderOf(nodes)
      if (leader !== undefined) await failing(leader.changeMembership(change))
      else await until('somebody leads', () => leaderOf(nodes) !== undefined)
    }
    await until('it votes', () => added.status().role === 'follower')
    const index = await proposeSoon([...nodes, added], 'with four')
    await until('it has all', () => added.status().applied >= index)
    expect(() => nodes[0]!.addPeer({ id: 99, host: HOST, port: 1 })).toThrow('beyond maxNodes')
    expect(() => nodes[0]!.addPeer({ id: 4, host: HOST, port: 0 })).toThrow('port=0')
  },
)
