/**
 * Watches of real clusters: every node tells the same, events come before the reads that have seen
 * them, a slow consumer costs nobody anything, and every refusal. Deaths: watch-faults.test.ts.
 */
import { expect, test } from 'vitest'
import type {
  LocalClusterOptions,
  ReplicaNode,
  StateMachine,
  WatchEvent,
} from '../../src/engine/index.ts'
import type { LayoutName } from '../../src/engine/topology.ts'
import { codeOf, failing, openStore, put, text, textOf, until } from '../support/engine.ts'
import { consume, indexesOf, recorders, show } from '../support/watch.ts'

const open = (options: Partial<LocalClusterOptions> = {}) =>
  openStore({ layout: 'inline', ...options })

const last = <T>(items: readonly T[]): T | undefined => items.at(-1)

// ---- Every node tells the same -----------------------------------------------------------------

const LAYOUTS: readonly LayoutName[] = ['inline', 'joined', 'split', 'dedicated']

test.each(LAYOUTS)(
  'layout %s: leader, follower and learner tell the same, once',
  async (layout) => {
    const nodes = [{ id: 1 }, { id: 2 }, { id: 3, role: 'learner' as const }]
    const cluster = await open({ layout, nodes })
    const leader = await cluster.leader()
    const early = cluster.nodes.map((node) => consume(node.watch({ from: 1 })))
    const acknowledged: number[] = []
    const writer = leader.writer()
    for (let i = 0; i < 100; i++) writer.tryWrite(put('w', String(i)))
    const { index: written } = await writer.completedThrough(100)
    for (let i = 0; i < 100; i++) acknowledged.push(written - 99 + i)
    const session = await leader.openSession()
    const { index: first } = await session.propose(put('s', 'once'))
    const again = await leader.resumeSession(session.id, 1).propose(put('s', 'once'))
    expect(again.index).toBe(first)
    const { index } = await session.propose(put('s', 'twice'))
    acknowledged.push(first, index)
    const late = cluster.nodes.map((node) => consume(node.watch({ from: 1 })))
    for (const { events } of [...early, ...late]) {
      await until('all is told', () => last(events)?.index === index)
      expect(indexesOf(events)).toEqual(acknowledged) // no repeat, no command, no batch of a leader
    }
    const told = early[0]!.events.map(show)
    for (const { events } of [...early, ...late]) expect(events.map(show)).toEqual(told)
    const marks = late[0]!.events.slice(-2).map(({ session: mark }) => mark)
    expect(marks).toEqual([1, 2].map((sequence) => ({ id: session.id, sequence })))
  },
)

test('results are those of the state machine while they are known', async () => {
  const cluster = await open()
  const [, , node] = cluster.nodes
  const { events } = consume(node!.watch())
  const { index, result } = await cluster.propose(put('k', 'v'))
  await until('it is told', () => last(events)?.index === index)
  expect(last(events)!.result).toEqual(result)
})

// ---- Events before newer reads (ZooKeeper) -----------------------------------------------------

const valueOf = (result: Uint8Array): number => Number(textOf(result.subarray(1)))
const numberIn = ({ payload }: WatchEvent): number => Number(textOf(payload)!.match(/\d+$/)![0])

test.each(LAYOUTS)(
  'layout %s: an event is seen before the new state, at any node',
  async (layout) => {
    const nodes = [{ id: 1 }, { id: 2 }, { id: 3, role: 'learner' as const }]
    const cluster = await open({ layout, nodes, tuning: { leaseMs: 400 } })
    let { token } = await cluster.propose(put('k', '0'))
    const COUNT = 150
    const writing = (async () => {
      for (let i = 1; i <= COUNT; i++) await cluster.propose(put('k', String(i)))
    })()
    const follow = async (node: ReplicaNode): Promise<void> => {
      const watches = [node.watch({ token }), node.watch({ from: 1 })].map(consume)
      for (let value = 0, turn = 0; value < COUNT; turn++) {
        const consistency = (['linearizable', 'session', 'lease'] as const)[turn % 3]!
        const answer = await node.read(text('k'), { consistency, token })
        value = valueOf(answer.result)
        token = answer.token.index > token.index ? answer.token : token
        for (const { events } of watches) {
          const seen = last(events)
          if (value > 0) expect(seen && numberIn(seen)).toBeGreaterThanOrEqual(value)
        }
        if (turn % 20 === 0) watches.push(consume(node.watch({ from: 1 }))) // still catching up
      }
      await Promise.all(watches.map((one) => one.stop()))
    }
    await Promise.all(cluster.nodes.map(follow))
    await writing
  },
)

test('a sync comes behind the events of what was acknowledged before it', async () => {
  const cluster = await open()
  const follower = cluster.nodes.find((node) => !node.leads)!
  const { events } = consume(follower.watch({ from: 1 }))
  for (let i = 0; i < 50; i++) {
    const { index } = await cluster.propose(put('k', String(i)))
    await follower.sync()
    expect(last(events)?.index).toBeGreaterThanOrEqual(index)
  }
})

test('a reader waits for its own watches alone; one that reads in its loop for none', async () => {
  const cluster = await open()
  const [node] = cluster.nodes
  for (let i = 0; i < 20; i++) await cluster.propose(put('k', String(i)))
  const reader = node!.reader()
  const values: number[] = []
  for await (const event of reader.watch({ from: 1 })) {
    const { result, token } = await reader.read(text('k'))
    expect(token.index).toBeGreaterThanOrEqual(event.index)
    values.push(valueOf(result))
    if (numberIn(event) === 19) break
  }
  expect(values).toEqual(Array<number>(20).fill(19))
  const other = consume(node!.reader().watch({ from: 1 }))
  await node!.read(text('k')) // whatever the other reader was told by then
  await until('it was told', () => other.events.length === 20)
})

// ---- Slow, late, refused -----------------------------------------------------------------------

test('T24: a slow consumer starves nobody, and misses nothing', async () => {
  const cluster = await open({ stateMachine: 'hash' })
  const leader = await cluster.leader()
  const slow = leader.watch({ from: 1 })
  const first = slow.next()
  const fast = consume(leader.watch({ from: 1 }))
  const payload = new Uint8Array(8 * 1024)
  const writer = leader.writer()
  const count = 3_000 // more than all that is kept for those who watch
  for (let i = 0; i < count; i++) while (!writer.tryWrite(payload)) await writer.drained()
  const { index } = await writer.completedThrough(count)
  await until('the fast one was told all', () => last(fast.events)?.index === index)
  expect(fast.events.length).toBe(count)
  const told = [(await first).value!.index]
  while (last(told)! < index) told.push((await slow.next()).value!.index)
  expect(told).toEqual(indexesOf(fast.events))
  expect((await leader.propose(text('on'))).index).toBe(index + 1)
})

test('T24: a start in the future is told that entry first, or that it did not come', async () => {
  const cluster = await open()
  const { token, index } = await cluster.propose(put('k', '0'))
  const ahead = { ...token, index: index + 2 }
  const consumers = cluster.nodes.map((node) => consume(node.watch({ token: ahead })))
  const late = cluster.nodes[0]!.watch({ from: index + 99, timeoutMs: 50 })
  expect(codeOf(await failing(late.next()))).toBe('E_READ_TIMEOUT')
  for (let i = 1; i <= 4; i++) await cluster.propose(put('k', String(i)))
  for (const { events } of consumers) {
    await until('both are told', () => events.length === 2)
    expect(indexesOf(events)).toEqual([index + 3, index + 4])
  }
})

test('a logger, and Basic Paxos, have nothing to watch', async () => {
  const nodes = [{ id: 1 }, { id: 2 }, { id: 3, role: 'logger' as const }]
  const cluster = await open({ nodes })
  expect(() => cluster.nodes[2]!.watch()).toThrow('E_NOT_AVAILABLE')
  const basic = await open({ nodes: 1, engine: 'basic-paxos' })
  expect(() => basic.nodes[0]!.watch()).toThrow('E_NOT_AVAILABLE')
})

test('a follower that becomes a Logger ends its watches, and comes to read again', async () => {
  const cluster = await open()
  const leader = await cluster.leader()
  const other = cluster.nodes.find((node) => node !== leader)!
  const { ended } = consume(other.watch({ from: 1 }))
  await leader.changeMembership({ kind: 'role', id: other.id, role: 'logger' })
  expect(await ended).toBe('E_NOT_AVAILABLE')
  expect(() => other.watch()).toThrow('E_NOT_AVAILABLE')
  expect(codeOf(await failing(other.read(text('k'))))).toBe('E_NOT_AVAILABLE')
  await leader.changeMembership({ kind: 'role', id: other.id, role: 'voter' })
  const { token } = await leader.propose(put('k', 'v'))
  await until('it knows', () => other.status().role === 'follower')
  const { result } = await other.read(text('k'), { consistency: 'session', token })
  expect(textOf(result.subarray(1))).toBe('v')
})

test.each(['close', 'kill'] as const)(
  '%s of a node ends its watches with E_CLOSED',
  async (how) => {
    const cluster = await open()
    const node = cluster.nodes.find((one) => !one.leads)!
    const [waiting, idle] = [consume(node.watch()), node.watch()]
    await node[how]()
    expect(await waiting.ended).toBe('E_CLOSED')
    expect(codeOf(await failing(idle.next()))).toBe('E_CLOSED')
    expect(() => node.watch()).toThrow('E_CLOSED')
  },
)

test('a state machine that throws ends the watches of its node with that', async () => {
  const { make } = recorders()
  const machine = (): StateMachine => {
    const inner = make()
    return {
      ...inner,
      apply(batch) {
        if (textOf(batch.payload(0).slice()) === 'throw') throw new Error('asked to')
        inner.apply(batch)
      },
    }
  }
  const cluster = await open({ nodes: 1, stateMachine: machine })
  const { ended, events } = consume(cluster.nodes[0]!.watch())
  await cluster.propose(text('a'))
  await failing(cluster.propose(text('throw')))
  expect(await ended).toBe('E_STATE_MACHINE')
  expect(events.length).toBe(1)
})
