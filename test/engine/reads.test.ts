/** Reads of a real cluster: what each consistency promises, who refuses, and three semantics. */
import { expect, test } from 'vitest'
import { type ReplicaNode, type StateMachine, openNode } from '../../src/engine/index.ts'
import type { LayoutName } from '../../src/engine/topology.ts'
import {
  TUNING,
  codeOf,
  failing,
  listMachines,
  openStore,
  proposeAgain,
  put,
  temporaryFolder,
  text,
  textOf,
  until,
  valueOf,
} from '../support/engine.ts'
import { consume } from '../support/watch.ts'

/** Of a put: where the key stands, and the first letter of `k`. */
const [KEY_AT, LETTER_K] = [3, 107]
const others = (nodes: readonly ReplicaNode[], node: ReplicaNode): ReplicaNode[] =>
  nodes.filter((one) => one !== node)

/** As soon as the node has heard a leader that is content. */
async function staleAt(node: ReplicaNode): Promise<string | null> {
  for (;;) {
    try {
      const options = { consistency: 'stale', maxStalenessMs: 60_000 } as const
      return valueOf((await node.read(text('k'), options)).result)
    } catch (error) {
      if (codeOf(error) !== 'E_READ_REFUSED') throw error
    }
  }
}

const LAYOUTS: readonly LayoutName[] = ['inline', 'joined', 'split', 'dedicated']

test.each(LAYOUTS)(
  'layout %s: every consistency at every node that keeps state',
  async (layout) => {
    const nodes = [{ id: 1 }, { id: 2 }, { id: 3, role: 'learner' as const }]
    const tuning = { leaseMs: 400 }
    const cluster = await openStore({ layout, nodes, tuning })
    const { token, index } = await cluster.propose(put('k', 'v'))
    expect(token).toEqual({ cluster: 'xpaxos', epoch: 0, index })
    for (const node of cluster.nodes) {
      for (const consistency of ['linearizable', 'lease', 'session'] as const) {
        const answer = await node.read(text('k'), { consistency, token })
        expect(valueOf(answer.result)).toBe('v')
        expect(answer.token.index).toBeGreaterThanOrEqual(index)
      }
      expect([null, 'v']).toContain(await staleAt(node))
      expect((await node.sync()).token.index).toBeGreaterThanOrEqual(index)
    }
  },
)

// ---- The three semantics ---------------------------------------------------------------------

test('everything through the leader (Chubby): each read sees every write before it', async () => {
  const cluster = await openStore()
  const leader = await cluster.leader()
  for (let i = 0; i < 200; i++) {
    await leader.propose(put('k', String(i)))
    expect(valueOf((await leader.read(text('k'))).result)).toBe(String(i))
  }
})

test('linearizable writes, FIFO clients (ZooKeeper): a session never goes back', async () => {
  const cluster = await openStore()
  let { token } = await cluster.propose(put('k', '0'))
  let seen = 0
  // Watches of the same client at each node: the change is seen before the new state.
  const told = cluster.nodes.map((node) => consume(node.watch({ from: 1 })))
  const lastTold = (place: number): number => {
    const event = told[place]!.events.findLast(({ payload }) => payload[KEY_AT] === LETTER_K)
    return event === undefined ? -1 : Number(textOf(event.payload.subarray(KEY_AT + 1)))
  }
  const writing = (async () => {
    for (let i = 1; i <= 200; i++) await cluster.propose(put('k', String(i)))
  })()
  // The client goes from node to node; its token makes each at least as new as the last.
  for (let turn = 0; seen < 200; turn++) {
    const node = cluster.nodes[turn % 3]!
    const answer = await node.read(text('k'), { consistency: 'session', token })
    const value = Number(valueOf(answer.result))
    expect(value).toBeGreaterThanOrEqual(seen)
    expect(lastTold(turn % 3)).toBeGreaterThanOrEqual(value)
    expect(answer.token.index).toBeGreaterThanOrEqual(token.index)
    seen = value
    token = answer.token
    if (turn % 50 === 49) {
      const mine = await cluster.propose(put('mine', String(turn)))
      const own = await cluster.nodes[(turn + 1) % 3]!.read(text('mine'), {
        consistency: 'session',
        token: mine.token,
      })
      expect(valueOf(own.result)).toBe(String(turn)) // it sees its own writes
    }
  }
  await writing
})

test('write then read, or sync, at any node: the newest of what others wrote', async () => {
  const cluster = await openStore()
  const [reader] = others(cluster.nodes, await cluster.leader())
  for (let i = 0; i < 50; i++) {
    await cluster.propose(put('k', String(i)))
    if (i % 2 === 0) expect(valueOf((await reader!.read(text('k'))).result)).toBe(String(i))
    else {
      const { token } = await reader!.sync()
      const answer = await reader!.read(text('k'), { consistency: 'session', token })
      expect(valueOf(answer.result)).toBe(String(i))
    }
  }
})

// ---- Many, large, late -----------------------------------------------------------------------

test('thousands of reads at once, of all nodes, each with its own answer', async () => {
  const cluster = await openStore()
  for (let i = 0; i < 100; i++) await cluster.propose(put(`k${i}`, `v${i}`))
  const readAt = (node: ReplicaNode) =>
    Array.from({ length: 10_000 }, async (_, i) => {
      const { result } = await node.read(text(`k${i % 100}`))
      return valueOf(result) === `v${i % 100}`
    })
  const answers = await Promise.all(cluster.nodes.flatMap(readAt))
  expect(answers.every(Boolean)).toBe(true)
})

test('questions and answers up to their bounds, and refusals beyond', async () => {
  const machine = (): StateMachine => ({
    ...listMachines().make(),
    query: (question) => new Uint8Array(Number(textOf(question.subarray(0, 8)))),
  })
  const cluster = await openStore({ nodes: 1, stateMachine: machine })
  const [node] = cluster.nodes
  const size = (bytes: number): Uint8Array => text(String(bytes).padStart(8, '0'))
  const most = 2 * 1024 * 1024
  const sizes = await Promise.all([0, 1, most, most, most, 7].map((n) => node!.read(size(n))))
  expect(sizes.map(({ result }) => result.length)).toEqual([0, 1, most, most, most, 7])
  expect(codeOf(await failing(node!.read(size(most + 1))))).toBe('E_QUERY_FAILED')
  const long = new Uint8Array(2 ** 20).fill(48)
  expect(codeOf(await failing(node!.read(long)))).toBe('E_PAYLOAD_SIZE')
  const large = Array.from({ length: 12 }, () => node!.read(long.subarray(0, 2 ** 19)))
  expect((await Promise.all(large)).length).toBe(12)
})

test('a query that throws fails alone', async () => {
  const machine = (): StateMachine => ({
    ...listMachines().make(),
    query: (question) => {
      if (textOf(question) === 'bad') throw new Error('no such thing')
      return question
    },
  })
  const cluster = await openStore({ nodes: 1, stateMachine: machine })
  const [good, bad] = ['good', 'bad'].map((word) => failing(cluster.nodes[0]!.read(text(word))))
  expect(codeOf(await bad)).toBe('E_QUERY_FAILED')
  expect(await good).toBe('it did not fail')
  expect((await proposeAgain(cluster, 'on')).index).toBeGreaterThan(0)
})

test('a state machine without query refuses reads, and syncs', async () => {
  const machine = (): StateMachine => {
    const machine = listMachines().make()
    delete machine.query
    return machine
  }
  const cluster = await openStore({ stateMachine: machine })
  const { index } = await cluster.propose(text('x'))
  expect(codeOf(await failing(cluster.nodes[0]!.read(text('x'))))).toBe('E_NOT_AVAILABLE')
  expect((await cluster.nodes[0]!.sync()).token.index).toBeGreaterThanOrEqual(index)
})

test('a logger, and Basic Paxos, refuse reads', async () => {
  const nodes = [{ id: 1 }, { id: 2 }, { id: 3, role: 'logger' as const }]
  const cluster = await openStore({ nodes })
  expect(codeOf(await failing(cluster.nodes[2]!.read(text('k'))))).toBe('E_NOT_AVAILABLE')
  expect(codeOf(await failing(cluster.nodes[2]!.sync()))).toBe('E_NOT_AVAILABLE')
  const basic = await openStore({ nodes: 1, engine: 'basic-paxos' })
  expect(codeOf(await failing(basic.nodes[0]!.read(text('k'))))).toBe('E_NOT_AVAILABLE')
})

test('a Logger that becomes a follower answers reads', async () => {
  const nodes = [{ id: 1 }, { id: 2 }, { id: 3, role: 'logger' as const }]
  const cluster = await openStore({ nodes, layout: 'inline' })
  const leader = await cluster.leader()
  const { token } = await leader.propose(put('k', 'v'))
  await leader.changeMembership({ kind: 'role', id: 3, role: 'voter' })
  const node = cluster.nodes[2]!
  await until('it knows', () => node.status().role === 'follower')
  const { result } = await node.read(text('k'), { consistency: 'session', token })
  expect(valueOf(result)).toBe('v')
})

test('what a read asks for is checked before anything is sent', async () => {
  const cluster = await openStore({ nodes: 1 })
  const [node] = cluster.nodes
  const token = { cluster: 'xpaxos', epoch: 0, index: 0 }
  const codes = [
    [{ consistency: 'lease' }, 'E_NOT_AVAILABLE'],
    [{ consistency: 'session' }, 'E_CONFIG_INVALID'],
    [{ consistency: 'stale' }, 'E_CONFIG_INVALID'],
    [{ consistency: 'eventual' }, 'E_CONFIG_INVALID'],
    [{ timeoutMs: 0 }, 'E_CONFIG_INVALID'],
    [{ consistency: 'session', token: { ...token, cluster: 'other' } }, 'E_TOKEN'],
    [{ consistency: 'session', token: { ...token, epoch: 1 } }, 'E_TOKEN'],
    [{ consistency: 'session', token: { ...token, index: 1.5 } }, 'E_TOKEN'],
    [{ signal: AbortSignal.abort() }, 'E_ABORTED'],
  ] as const
  for (const [options, code] of codes) {
    expect(codeOf(await failing(node!.read(text('k'), options as never)))).toBe(code)
  }
})

test('a token of what is not there yet waits, for its time or its signal', async () => {
  const cluster = await openStore()
  const [node] = others(cluster.nodes, await cluster.leader())
  const { token } = await cluster.propose(put('k', '1'))
  const ahead = { ...token, index: token.index + 1 }
  const late = { consistency: 'session', token: ahead, timeoutMs: 50 } as const
  expect(codeOf(await failing(node!.read(text('k'), late)))).toBe('E_READ_TIMEOUT')
  const controller = new AbortController()
  const patient = { consistency: 'session', token: ahead, signal: controller.signal } as const
  const aborted = failing(node!.read(text('k'), patient))
  controller.abort()
  expect(codeOf(await aborted)).toBe('E_ABORTED')
  const waiting = node!.read(text('k'), { consistency: 'session', token: ahead })
  await cluster.propose(put('k', '2'))
  expect(valueOf((await waiting).result)).toBe('2')
})

test('a token survives a restart of the node that gave it', async () => {
  const dataDir = temporaryFolder()
  const first = await openStore({ dataDir })
  await first.propose(put('k', 'v'))
  const { token } = await first.nodes[1]!.sync()
  await first.close()
  const second = await openStore({ dataDir })
  for (const node of second.nodes) {
    const { result } = await node.read(text('k'), { consistency: 'session', token })
    expect(valueOf(result)).toBe('v') // never the empty store of a node that still replays
  }
})

test('a read at a node that finds no leader is refused, a stale one by its bound', async () => {
  const members = [{ id: 1 }, { id: 2 }, { id: 3 }]
  const transport = {
    port: 0,
    peers: [2, 3].map((id) => ({ id, host: '127.0.0.1', port: 9 })), // nobody there
  }
  const node = await openNode({
    ...{ id: 1, members, dataDir: temporaryFolder(), durability: 'os', stateMachine: 'kv' },
    ...{ transport, tuning: { ...TUNING, electionTimeoutMs: 150 } },
  })
  const refused = (options: object) => failing(node.read(text('k'), options))
  const [plain, stale] = await Promise.all([
    refused({}),
    refused({ consistency: 'stale', maxStalenessMs: 1_000 }),
  ])
  expect(plain).toMatchObject({ code: 'E_READ_REFUSED', detail: { reason: 'no-leader' } })
  expect(stale).toMatchObject({ code: 'E_READ_REFUSED', detail: { reason: 'too-stale' } })
  const open = failing(node.read(text('k')))
  await node.close()
  expect(codeOf(await open)).toBe('E_CLOSED')
  expect(codeOf(await failing(node.read(text('k'))))).toBe('E_CLOSED')
})

test('by lease a leader reads while its followers are gone, and only for so long', async () => {
  const cluster = await openStore({ tuning: { leaseMs: 2_000, electionTimeoutMs: 5_000 } })
  const leader = await cluster.leader()
  await leader.propose(put('k', 'v'))
  await until('the lease is there', () => leader.status().leased)
  await Promise.all(others(cluster.nodes, leader).map((node) => node.kill()))
  const read = () => leader.read(text('k'), { consistency: 'lease', timeoutMs: 4_000 })
  const value = await read().then(({ result }) => valueOf(result), codeOf)
  if (leader.status().leased) expect(value).toBe('v') // else a busy machine took too long
  await until('the lease is over', () => !leader.status().leased)
  // A round that was answered before the kills may be worked off late, and lease once more.
  let code = ''
  while (!code.startsWith('E_')) code = codeOf(await failing(read()))
  expect(['E_READ_TIMEOUT', 'E_READ_REFUSED']).toContain(code)
})
