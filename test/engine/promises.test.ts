/**
 * What clients are promised across nodes, by the names of what others got wrong: nothing local
 * decides what an entry does (T25), an index fences a lock (T26), nothing vanishes while members
 * move (T36), a client sees its own writes wherever it goes (T37), and `sync` asks a quorum.
 */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  type LocalClusterOptions,
  type MembershipChange,
  type NodeOptions,
  type ReplicaNode,
  encodeCas,
} from '../../src/engine/index.ts'
import {
  CALM,
  type OpenCluster,
  codeOf,
  failing,
  openStore,
  openTcpNode,
  put,
  settled,
  temporaryFolder,
  text,
  textOf,
  until,
  valueOf,
  verdictOf,
} from '../support/engine.ts'
import { consume, show } from '../support/watch.ts'

const QUICK = { heartbeatMs: 50, electionTimeoutMs: 500 }
const MEMBERS = [{ id: 1 }, { id: 2 }, { id: 3 }]

const open = (options: Partial<LocalClusterOptions> = {}) =>
  openStore({ layout: 'inline', ...options, tuning: { ...QUICK, ...options.tuning } })

const cas = (key: string, expected: string, value: string): Uint8Array =>
  encodeCas(text(key), text(expected), text(value))
const isDone = (result: Uint8Array | null): boolean => result?.[0] === 1
/** What passes by itself while leadership changes. */
const PASSING = [
  ...['E_NOT_LEADER', 'E_LEADERSHIP_LOST', 'E_TRANSFERRING', 'E_CHANGE_REFUSED'],
  ...['E_READ_REFUSED', 'E_READ_TIMEOUT', 'E_TRANSFER_FAILED', 'E_CLOSED'],
]

/** Again and again, until it does not fail by what passes. */
async function persist<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (!PASSING.includes(codeOf(error))) throw error
      await new Promise((resolve) => void setImmediate(resolve))
    }
  }
}

/** Nodes over sockets that may die and come back; the highest id opens first, and is dialed. */
function sockets(each: (id: number) => Partial<NodeOptions> = () => ({})) {
  const [dataDir, ports] = [temporaryFolder(), new Map<number, number>()]
  return async (id: number): Promise<ReplicaNode> => {
    const peers = [...ports]
      .filter(([peer]) => peer > id)
      .map(([peer, port]) => ({ id: peer, host: '127.0.0.1', port }))
    const transport = { port: ports.get(id) ?? 0, peers }
    const folder = join(dataDir, `node-${id}`)
    const common = { id, members: MEMBERS, dataDir: folder, transport, stateMachine: 'kv' } as const
    const node = await openTcpNode({ ...common, layout: 'inline', ...each(id) })
    ports.set(id, node.address!.port)
    return node
  }
}

// ---- T25, T26 ----------------------------------------------------------------------------------

test('T25: other layouts, sizes, seeds, and a replay: the same state, told the same', async () => {
  const layouts = ['inline', 'joined', 'split'] as const
  const openOne = sockets((id) => ({
    layout: layouts[id - 1]!,
    tuning: {
      ...{ ...CALM, seed: 100 * id, batchEntriesMax: 7 * id },
      ...{ ringSizeBytes: 2 ** (19 + id), walSegmentSizeBytes: 2 ** 22 },
    },
  }))
  const nodes: ReplicaNode[] = []
  for (const id of [3, 2, 1]) nodes.push(await openOne(id))
  await settled(nodes)
  const leader = nodes.find((node) => node.leads)!
  const session = await leader.openSession()
  const proposals: Promise<unknown>[] = []
  for (let i = 0; i < 200; i++) {
    proposals.push(leader.propose(put(`k${i % 10}`, String(i))))
    proposals.push(session.propose(cas(`k${i % 10}`, String(i), `by ${i}`)))
    if (i % 20 === 0) proposals.push(session.propose(text('x'), { sequence: 1 })) // a retry
  }
  await Promise.all(proposals)
  const replayed = nodes.find((node) => node !== leader && node.id !== 3)!
  await replayed.close()
  nodes[nodes.indexOf(replayed)] = await openOne(replayed.id)
  const { index } = await leader.propose(put('last', 'one'))
  const told = await Promise.all(
    nodes.map(async (node) => {
      const consumer = consume(node.watch({ from: 1 }))
      await until('all is told', () => consumer.events.at(-1)?.index === index)
      await consumer.stop()
      return consumer.events.map(show)
    }),
  )
  expect(told[0]!.length).toBe(401)
  expect(told[1]).toEqual(told[0])
  expect(told[2]).toEqual(told[0])
  const verdict = verdictOf(await Promise.all(nodes.map((node) => node.close())))
  expect(new Set(verdict.hashes).size).toBe(1)
})

test('T26: the index that took a lock fences it: it grows, a retry does not renew it', async () => {
  const cluster = await open()
  /** What a lock is for: it takes nothing from who has lost it. */
  const resource = { fence: 0, writes: [] as string[] }
  const write = (name: string, token: number): boolean => {
    if (token < resource.fence) return false
    resource.fence = token
    resource.writes.push(name)
    return true
  }
  await persist(() => cluster.propose(put('lock', 'free')))
  const first = await cluster.leader()
  const session = await first.openSession()
  const [a, sequence] = [await session.propose(cas('lock', 'free', 'a')), session.next - 1]
  expect([isDone(a.result), write('a', a.index)]).toEqual([true, true])
  // Client a is paused; its lock is broken, the leader dies, b takes the lock at the next one.
  await first.propose(cas('lock', 'a', 'free'))
  await first.kill()
  const b = await persist(() => cluster.propose(cas('lock', 'free', 'b')))
  expect([isDone(b.result), b.index > a.index, write('b', b.index)]).toEqual([true, true, true])
  // It wakes, is not sure, and asks again: the answer of then, hence the token of then.
  const again = await persist(async () => {
    const resumed = (await cluster.leader()).resumeSession(session.id, sequence)
    return resumed.propose(cas('lock', 'free', 'a'))
  })
  expect([isDone(again.result), again.index]).toEqual([true, a.index])
  expect(write('a', again.index)).toBe(false)
  expect(resource.writes).toEqual(['a', 'b'])
  // Who watches learns of both holders with the same tokens, in their order.
  const { events } = consume((await cluster.leader()).watch({ from: 1 }))
  await until('it is told', () => (events.at(-1)?.index ?? 0) >= b.index)
  const taken = events.filter(({ payload }) => /free[ab]$/.test(textOf(payload)!))
  expect(taken.map(({ index }) => index)).toEqual([a.index, b.index])
})

// ---- T36, T37 ----------------------------------------------------------------------------------

const memberOf = (node: ReplicaNode, id: number) =>
  node.status().membership?.members.find((member) => member.id === id)

async function change(
  cluster: OpenCluster,
  step: MembershipChange,
  isDoneAt: (n: ReplicaNode) => boolean,
) {
  await persist(async () => {
    const leader = await cluster.leader()
    if (!isDoneAt(leader)) await leader.changeMembership(step)
  })
}

test('T36: while members and leadership move, what is there is never read as absent', async () => {
  const cluster = await open()
  await persist(() => cluster.propose(put('k', 'v')))
  const { token } = await cluster.propose(put('k', 'v'))
  const gone = new Set<number>()
  let isOver = false
  let answers = 0
  const read = async (place: number): Promise<void> => {
    for (let turn = 0; !isOver; turn++) {
      const node = cluster.nodes[(place + turn) % cluster.nodes.length]!
      if (gone.has(node.id)) continue
      const consistency = turn % 2 === 0 ? 'linearizable' : 'session'
      const answer = await node
        .read(text('k'), { consistency, token, timeoutMs: 500 })
        .catch((error: unknown) => {
          if (!PASSING.includes(codeOf(error))) throw error
          return null
        })
      if (answer !== null) expect(valueOf(answer.result)).toBe('v')
      answers += answer === null ? 0 : 1
    }
  }
  const reading = [0, 1, 2].map(read)
  const added = await cluster.addNode()
  await change(
    cluster,
    { kind: 'add', id: 4, promote: 'voter' },
    (n) => memberOf(n, 4) !== undefined,
  )
  await until('node 4 votes', () => added.status().role === 'follower')
  await persist(async () => {
    const leader = await cluster.leader()
    if (leader.id !== 4) await leader.transfer(4)
  })
  gone.add(3)
  await change(cluster, { kind: 'remove', id: 3 }, (n) => memberOf(n, 3) === undefined)
  await persist(async () => {
    const leader = await cluster.leader()
    if (leader.id !== 1) await leader.transfer(1)
  })
  isOver = true
  await Promise.all(reading)
  expect(answers).toBeGreaterThan(0)
})

test('T37: a client sees its own writes at any node it goes to, while leaders die', async () => {
  const cluster = await open({ nodes: 5 })
  const dead = new Set<ReplicaNode>()
  const client = async (name: string, rounds: number): Promise<void> => {
    for (let i = 0; i < rounds; i++) {
      // A proposal whose fate is unknown is proposed again: the value is the same.
      const { token } = await persist(() => cluster.propose(put(name, String(i))))
      for (const node of cluster.nodes) {
        if (dead.has(node)) continue
        const options = { consistency: 'session', token, timeoutMs: 20_000 } as const
        const answer = await node.read(text(name), options).catch((error: unknown) => {
          if (codeOf(error) === 'E_CLOSED') return null
          throw error
        })
        if (answer !== null) expect(valueOf(answer.result)).toBe(String(i))
      }
    }
  }
  for (let deaths = 0; deaths < 2; deaths++) {
    const clients = ['a', 'b', 'c'].map((name) => client(name, 15))
    const leader = await cluster.leader()
    dead.add(leader)
    await leader.kill()
    await Promise.all(clients)
  }
})

test('T37: a node that has just come back answers nothing older than the token', async () => {
  const openOne = sockets(() => ({ tuning: CALM }))
  const nodes: ReplicaNode[] = []
  for (const id of [3, 2, 1]) nodes.push(await openOne(id))
  await settled(nodes)
  const leader = nodes.find((node) => node.leads)!
  const away = nodes.find((node) => node !== leader && node.id !== 3)!
  for (let i = 0; i < 100; i++) await leader.propose(put('k', String(i)))
  await away.kill()
  const { token } = await leader.propose(put('k', 'last'))
  const back = await openOne(away.id) // it has to replay, and to be told the last entry
  const { result } = await back.read(text('k'), {
    consistency: 'session',
    token,
    timeoutMs: 20_000,
  })
  expect(valueOf(result)).toBe('last')
})

// ---- sync --------------------------------------------------------------------------------------

test('sync at a leader without its quorum does not resolve', async () => {
  const cluster = await open()
  const leader = await cluster.leader()
  await leader.propose(put('k', 'v'))
  await leader.sync()
  await Promise.all(cluster.nodes.filter((node) => node !== leader).map((node) => node.kill()))
  const error = await failing(leader.sync())
  expect(['E_READ_REFUSED', 'E_READ_TIMEOUT']).toContain(codeOf(error))
  const late = await failing(leader.sync({ timeoutMs: 50 }))
  expect(['E_READ_REFUSED', 'E_READ_TIMEOUT']).toContain(codeOf(late))
})

test('sync waits for a quorum, and has then seen what was acknowledged before it', async () => {
  const openOne = sockets(() => ({ tuning: CALM }))
  const nodes: ReplicaNode[] = []
  for (const id of [3, 2, 1]) nodes.push(await openOne(id))
  await settled(nodes)
  const leader = nodes.find((node) => node.leads)!
  const { index } = await leader.propose(put('k', 'v'))
  const others = nodes.filter((node) => node !== leader)
  for (const node of others) await node.kill()
  let isBack = false
  const synced = leader.sync({ timeoutMs: 60_000 }).then(({ token }) => {
    expect(isBack).toBe(true)
    return token
  })
  // A message to the dead and back, had anybody answered: then the others come back.
  expect(codeOf(await failing(leader.sync({ timeoutMs: 200 })))).toBe('E_READ_TIMEOUT')
  isBack = true
  for (const node of others.sort((a, b) => b.id - a.id)) await openOne(node.id)
  expect((await synced).index).toBeGreaterThanOrEqual(index)
})
