/** T24: no death, restart or trim makes a gap or a repeat in what a watch tells. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { LocalClusterOptions, ReplicaNode, Watch, WatchEvent } from '../../src/engine/index.ts'
import type { LayoutName } from '../../src/engine/topology.ts'
import {
  CALM,
  codeOf,
  failing,
  openCluster,
  openStore,
  openTcpNode,
  proposeAgain,
  put,
  settled,
  temporaryFolder,
  text,
  until,
} from '../support/engine.ts'
import { consume, indexesOf, recorders, show } from '../support/watch.ts'

const open = (options: Partial<LocalClusterOptions> = {}) =>
  openStore({ layout: 'inline', ...options })

const last = <T>(items: readonly T[]): T | undefined => items.at(-1)

/** A client that follows the log, from node to node as they die, by the token of its last watch. */
function wander(nodes: readonly ReplicaNode[], start: number) {
  const events: WatchEvent[] = []
  const codes: string[] = []
  let isOver = false
  const state: { watch: Watch | null } = { watch: null }
  const done = (async () => {
    for (let place = start; !isOver; place++) {
      const node = nodes[place % nodes.length]!
      try {
        const { watch } = state
        state.watch = node.watch(watch === null ? { from: 1 } : { token: watch.token })
        for await (const event of state.watch) events.push(event)
      } catch (error) {
        codes.push(codeOf(error)) // by a node that was killed
        await new Promise((resolve) => void setImmediate(resolve))
      }
    }
  })()
  const stop = async (): Promise<void> => {
    isOver = true
    await state.watch?.return()
    await done
  }
  return { events, codes, stop }
}

test('T24: leaders die, the watch goes on at another node: no gap, no repeat', async () => {
  const { seen, make } = recorders()
  const tuning = { heartbeatMs: 50, electionTimeoutMs: 500 }
  const cluster = await open({ nodes: 5, stateMachine: make, tuning })
  const acknowledged: string[] = []
  const clients = cluster.nodes.map((_, place) => wander(cluster.nodes, place))
  const write = async (from: number): Promise<void> => {
    for (let i = from; i < from + 40; i++) {
      const { index } = await proposeAgain(cluster, `e${i}`)
      acknowledged.push(`${index}:e${i}`)
    }
  }
  await write(0)
  await (await cluster.leader()).kill()
  await write(100)
  await (await cluster.leader()).kill()
  await write(200)
  const goal = Number(last(acknowledged)!.split(':')[0])
  for (const client of clients) {
    await until('it was told all', () => (last(client.events)?.index ?? 0) >= goal)
    await client.stop()
  }
  const survivor = seen.findIndex((_, place) => cluster.nodes[place]!.status().applied >= goal)
  for (const { events } of clients) {
    expect(events.map(show)).toEqual(seen[survivor]!.slice(0, events.length))
    expect(events.map(show)).toEqual(expect.arrayContaining(acknowledged))
  }
  expect(clients.some(({ codes }) => codes.includes('E_CLOSED'))).toBe(true)
})

test('T24: a node that restarts replays; a watch by token repeats nothing of it', async () => {
  const dataDir = temporaryFolder()
  const first = await open({ dataDir })
  for (let i = 0; i < 30; i++) await first.propose(put('k', String(i)))
  const before = consume(first.nodes[1]!.watch({ from: 1 }))
  await until('20 are told', () => before.events.length >= 20)
  const { token } = before.watch
  await first.close()
  expect(await before.ended).toBe('E_CLOSED')
  const second = await open({ dataDir })
  const after = second.nodes.map((node) => consume(node.watch({ token })))
  const { index } = await second.propose(put('k', 'on'))
  for (const { events } of after) {
    await until('all is told', () => last(events)?.index === index)
    const values = [...before.events, ...events].map(show).map((one) => one.replace(/^.*k/, ''))
    expect(values).toEqual([...Array.from({ length: 30 }, (_, i) => String(i)), 'on'])
    expect(last(before.events)!.index).toBe(token.index)
  }
})

test.each<LayoutName>(['inline', 'split'])(
  'T24: over sockets, %s: a follower dies and comes back from its disk',
  async (layout) => {
    const [dataDir, ports] = [temporaryFolder(), new Map<number, number>()]
    const members = [{ id: 1 }, { id: 2 }, { id: 3 }]
    const openOne = async (id: number): Promise<ReplicaNode> => {
      const peers = [...ports]
        .filter(([peer]) => peer > id)
        .map(([peer, port]) => ({ id: peer, host: '127.0.0.1', port }))
      const transport = { port: ports.get(id) ?? 0, peers }
      const folder = join(dataDir, `node-${id}`)
      const options = { id, members, dataDir: folder, layout, transport, tuning: CALM }
      const node = await openTcpNode({ ...options, stateMachine: 'kv' })
      ports.set(id, node.address!.port)
      return node
    }
    const nodes: ReplicaNode[] = []
    for (const id of [3, 2, 1]) nodes.push(await openOne(id))
    await settled(nodes)
    const leader = nodes.find((node) => node.leads)!
    const away = nodes.find((node) => node !== leader && node.id !== 3)!
    const whole = consume(leader.watch({ from: 1 }))
    const part = consume(away.watch({ from: 1 }))
    for (let i = 0; i < 50; i++) await leader.propose(put('k', String(i)))
    await until('some is told', () => part.events.length > 20)
    await away.kill()
    expect(await part.ended).toBe('E_CLOSED')
    for (let i = 50; i < 100; i++) await leader.propose(put('k', String(i)))
    const back = await openOne(away.id)
    const rest = consume(back.watch({ token: part.watch.token }))
    await until('all is told', () => part.events.length + rest.events.length === 100)
    await until('all is told', () => whole.events.length === 100)
    expect([...part.events, ...rest.events].map(show)).toEqual(whole.events.map(show))
  },
)

/** The first index that can still be watched; writes until the log does not begin at 1 any more. */
async function trimmed(node: ReplicaNode): Promise<number> {
  const payload = new Uint8Array(32 * 1024)
  for (;;) {
    const watch = node.watch({ from: 1 })
    const error = await failing(watch.next())
    if (error !== 'it did not fail') {
      expect(codeOf(error)).toBe('E_COMPACTED')
      return (error as { detail: { first: number } }).detail.first
    }
    await watch.return()
    const writer = node.writer()
    for (let i = 0; i < 128; i++) while (!writer.tryWrite(payload)) await writer.drained()
    await writer.close()
  }
}

test('T24: below the trim a watch is told E_COMPACTED and what there is, and gets it', async () => {
  const cluster = await open({ stateMachine: 'hash', tuning: { retainBytes: 2 ** 22 } })
  const leader = await cluster.leader()
  await leader.propose(text('off'))
  for (let isTold = false; !isTold;) {
    const first = await trimmed(leader)
    expect(first).toBeGreaterThan(1)
    const { events, ended } = consume(leader.watch({ from: first }))
    let code: string | null = null
    void ended.then((one) => void (code = one))
    const { index } = await leader.propose(text('on'))
    await until('all is told, or the log begins later by now', () => {
      isTold = last(events)?.index === index
      return isTold || code === 'E_COMPACTED'
    })
    if (!isTold) continue
    expect(indexesOf(events)).toEqual(events.map((_, i) => events[0]!.index + i))
    expect(events[0]!.index).toBe(first)
    await leader.close()
    expect(await ended).toBe('E_CLOSED')
  }
})

test('without files only what is applied from now on can be watched', async () => {
  const cluster = await openCluster({
    nodes: 3,
    stateMachine: 'kv',
    durability: 'none',
    tuning: CALM,
  })
  const leader = await cluster.leader()
  await leader.propose(put('k', 'a'))
  expect(await failing(leader.watch({ from: 1 }).next())).toMatchObject({ code: 'E_COMPACTED' })
  const { events } = consume(leader.watch())
  const { index } = await leader.propose(put('k', 'b'))
  await until('it is told', () => events.length === 1)
  expect(indexesOf(events)).toEqual([index])
})
