import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { LayoutName } from '../../src/engine/topology.ts'
import type { ReplicaNode } from '../../src/engine/index.ts'
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

const MEMBERS = [{ id: 1 }, { id: 2 }, { id: 3 }] as const

/** The lower id dials the higher one, so the highest opens first, and tells its port. */
function cluster(dataDir: string, layout: LayoutName) {
  const ports = new Map<number, number>()
  const open = async (id: number): Promise<ReplicaNode> => {
    const peers = [...ports]
      .filter(([peer]) => peer > id)
      .map(([peer, port]) => ({ id: peer, host: '127.0.0.1', port }))
    const transport = { port: ports.get(id) ?? 0, peers }
    const folder = join(dataDir, `node-${id}`)
    const node = await openTcpNode({ id, members: MEMBERS, dataDir: folder, layout, transport })
    ports.set(id, node.address!.port)
    return node
  }
  return { ports, open }
}

const leaderOf = (nodes: readonly ReplicaNode[]): ReplicaNode => nodes.find((node) => node.leads)!

test.each<[LayoutName]>([['inline'], ['split']])(
  'three nodes over sockets, %s: a follower that was away catches up from the log on disk',
  async (layout) => {
    const { ports, open } = cluster(temporaryFolder(), layout)
    const nodes: ReplicaNode[] = []
    for (const id of [3, 2, 1]) nodes.push(await open(id))
    await settled(nodes)
    const leader = leaderOf(nodes)
    const writer = leader.writer()
    const write = async (count: number): Promise<number> => {
      const payload = new Uint8Array(100)
      for (let i = 0; i < count; i++) {
        while (!writer.tryWrite(payload)) await writer.drained()
      }
      return (await writer.completedThrough(writer.submitted)).index
    }
    await write(1_000)
    const away = nodes.find((node) => node !== leader && node.id !== 3)!
    await away.kill()
    const last = await write(20_000) // more than a ring holds
    const back = await open(away.id)
    await until('it has caught up', () => back.status().applied >= last)
    expect(leader.leads).toBe(true)
    const { index } = await leader.propose(text('after'))
    const all = nodes.map((node) => (node === away ? back : node))
    await until('all apply', () => all.every((node) => node.status().applied >= index))
    const verdict = verdictOf(await Promise.all(all.map((node) => node.close())))
    expect(new Set(verdict.hashes).size).toBe(1)
    expect([verdict.gaps, verdict.duplicates]).toEqual([0, 0])
    expect(ports.size).toBe(3)
  },
)

test.each(['none', 'os'] as const)(
  'a node of durability %s among those that sync takes part in nothing, and all say so',
  async (durability) => {
    const dataDir = temporaryFolder()
    const told: string[] = []
    const open = (id: number, port: number, peers: readonly ReplicaNode[]) =>
      openTcpNode({
        ...{ id, members: MEMBERS, dataDir: join(dataDir, `node-${id}`) },
        durability: id === 3 ? durability : 'fsync',
        transport: {
          port,
          peers: peers.map((node) => ({
            id: node.id,
            host: '127.0.0.1',
            port: node.address!.port,
          })),
        },
        onEvent: (event) => {
          if (event.kind === 'event' && event.name === 'durability-refused') {
            told.push(`${event.node} refuses ${event.value}`)
          }
        },
      })
    const three = await open(3, 0, [])
    const two = await open(2, 0, [three])
    const one = await open(1, 0, [two, three])
    await until('all say so', () => new Set(told).size === 4)
    expect([...new Set(told)].sort()).toEqual([
      ...['1 refuses 3', '2 refuses 3', '3 refuses 1', '3 refuses 2'],
    ])
    // A first formation needs all members: without the third there is no cluster at all (R39).
    expect([one, two, three].map(({ leads }) => leads)).toEqual([false, false, false])
  },
)

test('a port that is taken is E_LISTEN, and leaves nothing open', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' ? address!.port : 0
  const dataDir = temporaryFolder()
  const members = [{ id: 1 }]
  for (const layout of ['inline', 'split'] as const) {
    const options = { id: 1, members, dataDir, layout }
    const busy = await failing(openTcpNode({ ...options, transport: { port, peers: [] } }))
    expect(codeOf(busy)).toBe('E_LISTEN')
    const free = await openTcpNode({ ...options, transport: { port: 0, peers: [] } })
    await until('it leads', () => free.leads)
    await free.propose(text('alone'))
    await free.close()
  }
  await new Promise((resolve) => server.close(resolve))
})

test('a member without an address that must be dialed is named', async () => {
  const transport = { port: -1, peers: [{ id: 9, host: 'x', port: 1 }] }
  const opening = openTcpNode({ id: 1, members: MEMBERS, dataDir: '/dev/null/x', transport })
  const problems = String(await failing(opening))
  for (const word of ['port=-1', '9 is not another member', 'member 2', 'member 3']) {
    expect(problems).toContain(word)
  }
  onTestFinished(() => undefined)
})
