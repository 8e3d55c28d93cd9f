/** A cluster that lost its quorum for ever: the survivor serves, and no old node gets in (R35). */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Member } from '../../src/core/engine.ts'
import { nodeId } from '../../src/core/ids.ts'
import { carryOut } from '../../src/engine/disaster.ts'
import { type DisasterAction, planDisaster, surveyDir } from '../../src/engine/disaster-plan.ts'
import {
  type MemberOptions,
  type NodeEvent,
  type ReplicaNode,
  openLocalCluster,
  openNode,
} from '../../src/engine/index.ts'
import { openStorage } from '../../src/wal/storage-fs.ts'
import {
  LIST_MODULE,
  TUNING,
  codeOf,
  failing,
  openCluster,
  openTcpNode,
  temporaryFolder,
  text,
  textOf,
  until,
} from '../support/engine.ts'
import { consume } from '../support/watch.ts'

const HOST = '127.0.0.1'

interface Opened {
  readonly node: ReplicaNode
  readonly events: NodeEvent[]
  /** Of this name and value, so far. */
  readonly saw: (name: string, value: number) => boolean
}

/** Nodes over sockets, each where it was before; whoever opens later knows those before. */
function cluster(members: readonly MemberOptions[]) {
  const dataDir = temporaryFolder()
  const ports = new Map<number, number>()
  const dirOf = (id: number): string => join(dataDir, `node-${id}`)
  const open = async (
    id: number,
    more: { readonly members?: readonly MemberOptions[]; readonly historyEpoch?: number } = {},
  ): Promise<Opened> => {
    const peers = [...ports]
      .filter(([peer]) => peer > id)
      .map(([peer, port]) => ({ id: peer, host: HOST, port }))
    const transport = { port: ports.get(id) ?? 0, peers }
    const events: NodeEvent[] = []
    const node = await openTcpNode({
      ...{ id, members, dataDir: dirOf(id), layout: 'split', transport, stateMachine: LIST_MODULE },
      ...more,
      onEvent: (event) => void events.push(event),
    })
    ports.set(id, node.address!.port)
    const saw = (name: string, value: number): boolean =>
      events.some((one) => one.kind === 'event' && one.name === name && one.value === value)
    return { node, events, saw }
  }
  return { open, dirOf, ports }
}

const THREE: readonly MemberOptions[] = [{ id: 1, weight: 9 }, { id: 2 }, { id: 3 }]
const initial: Member[] = [9, 5, 5].map((weight, i) => ({
  ...{ id: nodeId(i + 1), role: 'voter', weight },
}))

function force(dir: string, action: DisasterAction, members: readonly Member[] | null): number {
  const storage = openStorage()
  const plan = planDisaster(surveyDir(storage, dir), { action, members, weight: 5 })
  carryOut(storage, plan, 'a test')
  return plan.after.historyEpoch!
}

/** On its own disk: what is acknowledged need not be on the one that will survive. */
const held = (nodes: readonly ReplicaNode[], index: number): Promise<void> =>
  until('it is on their disks', () => nodes.every((node) => node.status().durable >= index))

async function listOf(node: ReplicaNode): Promise<string> {
  for (;;) {
    try {
      return textOf((await node.read(text(''))).result) ?? ''
    } catch (error) {
      if (codeOf(error) !== 'E_READ_REFUSED') throw error
    }
  }
}

test('2 of 3 are lost: the survivor serves all it had, the others stay out', async () => {
  const { open, dirOf } = cluster(THREE)
  const nodes = [await open(3), await open(2), await open(1)].reverse()
  const [one, two] = nodes.map(({ node }) => node)
  await until('node 1 leads', () => one!.leads)
  const { token } = await one!.propose(text('a'))
  const { index } = await one!.propose(text('b'))
  await held([one!, two!], index)
  await Promise.all(nodes.map(({ node }) => node.close()))

  const epoch = force(dirOf(1), 'force-single-leader', initial)
  const survivor = await open(1)
  await until('it leads alone', () => survivor.node.leads)
  expect(await listOf(survivor.node)).toBe('a,b')
  const { membership, historyEpoch } = survivor.node.status()
  expect([epoch, historyEpoch, membership?.members.map(({ id }) => id)]).toEqual([
    ...[65_537, 65_537, [1]],
  ])
  expect(survivor.saw('history-forked', epoch)).toBe(true)
  const after = await survivor.node.propose(text('c'))
  expect(after.token.epoch).toBe(epoch)
  const old = survivor.node.read(text(''), { consistency: 'session', token })
  expect(codeOf(await failing(old))).toBe('E_TOKEN')
  const { watch, events } = consume(survivor.node.watch({ from: 1 }))
  await until('it tells all it had', () => events.at(-1)?.index === after.index)
  expect(events.map(({ payload }) => textOf(payload))).toEqual(['a', 'b', 'c'])
  expect(watch.token).toEqual(after.token)
  expect(() => survivor.node.watch({ token })).toThrow('E_TOKEN')

  // The others were not dead: together they are a quorum of the old history, and go on in it.
  const back = [await open(3), await open(2)].reverse()
  await until('they lead their own', () => back.some(({ node }) => node.leads))
  const other = back.find(({ node }) => node.leads)!.node
  await other.propose(text('x'))
  await until('node 1 refused one', () => survivor.saw('history-refused', 2))
  await until('and was refused', () => back[0]!.saw('history-refused', 1))
  await survivor.node.propose(text('d'))
  expect([await listOf(survivor.node), await listOf(other)]).toEqual(['a,b,c,d', 'a,b,x'])
  expect(survivor.events.some((one) => one.kind === 'event' && one.name === 'link-up')).toBe(false)
  const foreign = other.read(text(''), { consistency: 'session', token: after.token })
  expect(codeOf(await failing(foreign))).toBe('E_TOKEN')
})

test('new nodes join with the epoch, and without it they are refused', async () => {
  const { open, dirOf, ports } = cluster(THREE)
  const nodes = [await open(3), await open(2), await open(1)]
  await until('node 1 leads', () => nodes[2]!.node.leads)
  await held([nodes[2]!.node], (await nodes[2]!.node.propose(text('a'))).index)
  await Promise.all(nodes.map(({ node }) => node.close()))
  const historyEpoch = force(dirOf(1), 'force-single-leader', initial)

  const join = [{ id: 1 }, { id: 4, join: true }, { id: 5, join: true }]
  const wrong = await open(4, { members: join })
  const right = await open(5, { members: join, historyEpoch })
  const survivor = await open(1)
  const { node } = survivor
  await until('it leads', () => node.leads)
  await until('node 4 is refused', () => survivor.saw('history-refused', 4))
  await until('node 4 hears why', () => wrong.saw('history-refused', 1))
  await node.propose(text('b')) // established: it may change members
  await node.changeMembership({ kind: 'add', id: 5, promote: 'voter' })
  await until('node 5 votes', () => node.status().membership!.members[1]?.role === 'voter')
  const { index } = await node.propose(text('c'))
  await until('node 5 has all', () => right.node.status().applied >= index)
  expect(await listOf(right.node)).toBe('a,b,c')
  expect([right.node.status().historyEpoch, wrong.node.status().last]).toEqual([historyEpoch, 0])
  await right.node.close()
  // It is told by its identity, before its log could: an old directory does not become new by it.
  const again = await open(5, { members: join })
  expect(again.node.status().historyEpoch).toBe(historyEpoch)
  await wrong.node.close()
  const opened = openNode({
    ...{ id: 4, members: join, dataDir: dirOf(4), stateMachine: LIST_MODULE, historyEpoch },
    ...{ transport: { port: ports.get(4)!, peers: [] }, tuning: TUNING },
    durability: 'os',
  })
  expect(codeOf(await failing(opened))).toBe('E_DATA_DIR')
})

test.each<[role: 'learner' | 'logger']>([['learner'], ['logger']])(
  'a %s that alone survives is promoted, and serves what it held',
  async (role) => {
    const members = [{ id: 1, weight: 9 }, { id: 2 }, { id: 3, role }]
    const { open, dirOf } = cluster(members)
    const nodes = [await open(3), await open(2), await open(1)].reverse()
    const leader = nodes[0]!.node
    await until('node 1 leads', () => leader.leads)
    await leader.propose(text('a'))
    const { index } = await leader.propose(text('b'))
    const last = nodes[2]!.node
    await held([last], index)
    await Promise.all(nodes.map(({ node }) => node.close()))

    const started = members.map(({ id, weight = 5 }, i): Member => ({
      ...{ id: nodeId(id), role: i === 2 ? role : 'voter', weight: i === 2 ? 0 : weight },
    }))
    const epoch = force(dirOf(3), 'force-promote', started)
    const survivor = await open(3, { members: [{ id: 1 }, { id: 2 }, { id: 3 }] })
    await until('it leads', () => survivor.node.leads)
    expect([epoch, await listOf(survivor.node)]).toEqual([65_539, 'a,b'])
    await survivor.node.propose(text('c'))
    expect(await listOf(survivor.node)).toBe('a,b,c')
  },
)

test('in one process, over memory links, histories do not mix either', async () => {
  const options = {
    dataDir: temporaryFolder(),
    stateMachine: LIST_MODULE,
    layout: 'inline',
  } as const
  const first = await openCluster(options)
  await first.propose(text('a'))
  const { index } = await first.propose(text('b'))
  await held(first.nodes, index)
  await first.close()
  force(join(options.dataDir, 'node-2'), 'force-single-leader', initial)
  const events: NodeEvent[] = []
  const again = await openLocalCluster({
    ...options,
    ...{ durability: 'os', tuning: TUNING },
    onEvent: (event) => void events.push(event),
  })
  try {
    const [one, two, three] = again.nodes
    await until('two histories are led', () => two!.leads && (one!.leads || three!.leads))
    await two!.propose(text('new'))
    await (one!.leads ? one! : three!).propose(text('old'))
    expect([await listOf(two!), await listOf(one!)]).toEqual(['a,b,new', 'a,b,old'])
    const refusals = events.flatMap((event) =>
      event.kind === 'event' && event.name === 'history-refused'
        ? [`${event.node}<${event.value}`]
        : [],
    )
    expect([...new Set(refusals)].sort()).toEqual(['1<2', '2<1', '2<3', '3<2'])
  } finally {
    await again.close()
  }
})
