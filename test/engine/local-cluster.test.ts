import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type NodeEvent, type ReplicaNode, hasCode } from '../../src/engine/index.ts'
import type { LayoutName } from '../../src/engine/topology.ts'
import {
  LIST_MODULE,
  TUNING,
  codeOf,
  failing,
  listMachines,
  openCluster,
  outcomeOf,
  proposeAgain,
  temporaryFolder,
  text,
  textOf,
  until,
  verdictOf,
} from '../support/engine.ts'

const otherThan = (nodes: readonly ReplicaNode[], node: ReplicaNode): ReplicaNode[] =>
  nodes.filter((one) => one !== node)

const SHAPES: readonly [string, LayoutName, number][] = [
  ['one node inline', 'inline', 1],
  ['three nodes inline', 'inline', 3],
  ['three nodes split', 'split', 3],
  ['three nodes joined', 'joined', 3],
  ['three nodes dedicated', 'dedicated', 3],
  ['five nodes inline', 'inline', 5],
]

test.each(SHAPES)('%s: propose, write, restart, and go on', async (_name, layout, nodes) => {
  const dataDir = temporaryFolder()
  const first = await openCluster({ nodes, layout, dataDir, stateMachine: LIST_MODULE })
  const proposed = await Promise.all(['a', 'b', 'mute'].map((entry) => first.propose(text(entry))))
  const from = proposed[0]!.index
  expect(proposed.map(({ index, result }) => [index - from, textOf(result)])).toEqual([
    [0, `${from}:a`],
    [1, `${from + 1}:b`],
    [2, null],
  ])
  const writer = first.writer()
  for (let i = 1; i <= 5_000; i++) {
    while (!writer.tryWrite(text(`entry ${i}`))) await writer.drained()
  }
  const { index: middle } = await writer.completedThrough(2_500)
  const { index: last } = await writer.completedThrough(5_000)
  expect(last - middle).toBe(2_500)
  expect(writer.completed).toBe(5_000)
  await writer.close()
  expect(() => writer.tryWrite(text('late'))).toThrow('E_CLOSED')
  await until('all have applied', () => first.nodes.every((node) => node.status().applied >= last))
  const reports = await Promise.all(first.nodes.map((node) => node.close()))
  await first.close()
  const verdict = verdictOf(reports)
  expect([verdict.gaps, verdict.duplicates]).toEqual([0, 0])
  expect(new Set(verdict.hashes)).toEqual(new Set(['5003:entry 5000']))

  const { lists, make } = listMachines()
  const second = await openCluster({ nodes, layout, dataDir, stateMachine: make })
  const again = await second.propose(text('again'))
  expect(again.index).toBe(last + 1)
  expect(textOf(again.result)).toBe(`${last + 1}:again`)
  await until('all have replayed', () => lists.every((list) => list.length === 5_004))
  const want = ['a', 'b', 'mute', ...Array.from({ length: 5_000 }, (_, i) => `entry ${i + 1}`)]
  for (const list of lists) expect(list).toEqual([...want, 'again'])
})

test('a logger applies nothing, a learner applies all', async () => {
  const { lists, make } = listMachines()
  const nodes = [
    { id: 1 },
    { id: 2 },
    { id: 3, role: 'logger' },
    { id: 4, role: 'learner' },
  ] as const
  const cluster = await openCluster({ nodes, dataDir: temporaryFolder(), stateMachine: make })
  for (let i = 0; i < 20; i++) await cluster.propose(text(String(i)))
  const [, , logger, learner] = cluster.nodes
  await until('the learner has applied', () => learner!.status().applied === 20)
  await until('the logger has accepted', () => logger!.status().durable === 20)
  expect(logger!.status()).toMatchObject({ role: 'logger', applied: 0 })
  expect(logger!.status().acceptedBatches).toBeGreaterThan(0)
  expect(learner!.status().role).toBe('learner')
  expect(lists[3]).toHaveLength(20)
  expect(lists[2]).toEqual([])
  expect(cluster.nodes.some((node, place) => node.leads && place > 1)).toBe(false)
})

test('killing the leader: survivors keep what was acknowledged, once, and go on', async () => {
  const dataDir = temporaryFolder()
  const options = { dataDir, stateMachine: 'hash', layout: 'split' } as const
  const cluster = await openCluster(options)
  const leader = await cluster.leader()
  const writer = leader.writer()
  const [id] = leader.ingest.clients.keys()
  for (let i = 0; i < 200; i++) expect(writer.tryWrite(text(`entry ${i}`))).toBe(true)
  await writer.completedThrough(100)
  const waiting = failing(writer.completedThrough(200))
  const proposal = failing(leader.propose(text('in flight')))
  const acknowledged = writer.completed
  await leader.kill()
  const lost = await waiting
  if (lost !== 'it did not fail') {
    expect([codeOf(lost), outcomeOf(lost)]).toEqual(['E_CLOSED', 'unknown'])
  }
  // Written in the very turn of the kill, it was not published, and says so.
  expect([codeOf(await proposal), outcomeOf(await proposal)]).toEqual(['E_CLOSED', 'not-proposed'])
  expect(() => writer.tryWrite(text('late'))).toThrow('E_CLOSED')
  expect(codeOf(await failing(leader.propose(text('late'))))).toBe('E_CLOSED')
  const survivors = otherThan(cluster.nodes, leader)
  const next = await cluster.leader()
  expect(survivors).toContain(next)
  const { index } = await proposeAgain(cluster, 'after')
  await until('both survivors apply', () =>
    survivors.every((node) => node.status().applied >= index),
  )
  const verdict = verdictOf(await Promise.all(survivors.map((node) => node.close())))
  expect([verdict.gaps, verdict.duplicates]).toEqual([0, 0])
  expect(new Set(verdict.hashes).size).toBe(1)
  expect(Math.min(...verdict.through(id!))).toBeGreaterThanOrEqual(acknowledged)
  await cluster.close()

  const again = await openCluster(options)
  const after = await again.propose(text('again'))
  expect(after.index).toBeGreaterThan(index)
  await until('the killed node has caught up', () =>
    again.nodes.every((node) => node.status().applied === after.index),
  )
  const all = verdictOf(await Promise.all(again.nodes.map((node) => node.close())))
  expect(new Set(all.hashes).size).toBe(1)
  expect([all.gaps, all.duplicates]).toEqual([0, 0])
})

test('what cannot be done is refused with a code, and says that it was not proposed', async () => {
  const dataDir = temporaryFolder()
  const cluster = await openCluster({ dataDir, stateMachine: 'hash', layout: 'inline' })
  const leader = await cluster.leader()
  const follower = otherThan(cluster.nodes, leader)[0]!
  await until('the follower follows', () => follower.status().leader === leader.id)
  const refused = await failing(follower.propose(text('x')))
  expect([codeOf(refused), outcomeOf(refused)]).toEqual(['E_NOT_LEADER', 'not-proposed'])
  expect(() => follower.writer()).toThrow('E_NOT_LEADER')

  const large = await failing(leader.propose(new Uint8Array(TUNING.batchBytesMax)))
  expect(hasCode(large, 'E_PAYLOAD_SIZE') && large.detail.sizeBytes).toBe(TUNING.batchBytesMax)
  expect(() => leader.writer().tryWrite(new Uint8Array(TUNING.batchBytesMax))).toThrow(
    'E_PAYLOAD_SIZE',
  )
  const before = await failing(leader.propose(text('x'), { signal: AbortSignal.abort() }))
  expect([codeOf(before), outcomeOf(before)]).toEqual(['E_ABORTED', 'not-proposed'])
  const abort = new AbortController()
  const during = failing(leader.propose(text('x'), { signal: abort.signal }))
  abort.abort()
  expect([codeOf(await during), outcomeOf(await during)]).toEqual(['E_ABORTED', 'unknown'])
  expect(codeOf(await failing(leader.writer().completedThrough(1)))).toBe('E_CONFIG_INVALID')

  const same = openCluster({ dataDir, stateMachine: 'hash', layout: 'inline' })
  expect(codeOf(await failing(same))).toBe('E_DATA_DIR')
  await cluster.close()
  const closed = await failing(leader.propose(text('x')))
  expect([codeOf(closed), outcomeOf(closed)]).toEqual(['E_CLOSED', 'not-proposed'])
  expect(codeOf(await failing(cluster.leader()))).toBe('E_CLOSED')
  expect(codeOf(await failing(cluster.propose(text('x'))))).toBe('E_CLOSED')

  const foreign = { dataDir, stateMachine: 'hash', layout: 'inline', clusterId: 'other' } as const
  expect(codeOf(await failing(openCluster(foreign)))).toBe('E_DATA_DIR')
  await openCluster({ dataDir, stateMachine: 'hash', layout: 'inline' })
})

test('more than the bound is refused, and accepted again later', async () => {
  const cluster = await openCluster({
    nodes: 3,
    dataDir: temporaryFolder(),
    stateMachine: 'hash',
    layout: 'split',
    tuning: { uncommittedBytesMax: 65_536 },
  })
  const leader = await cluster.leader()
  const payload = new Uint8Array(16_000)
  const many = await Promise.allSettled(Array.from({ length: 200 }, () => leader.propose(payload)))
  const refused = many.filter((one) => one.status === 'rejected')
  expect(refused.length).toBeGreaterThan(0)
  for (const { reason } of refused) {
    expect(hasCode(reason, 'E_OVERLOADED') && reason.detail.limitBytes).toBe(65_536)
    expect(outcomeOf(reason)).toBe('not-proposed')
  }
  const writer = leader.writer()
  await writer.drained() // chosen is a little earlier than free again
  await leader.propose(payload)
  let waits = 0
  for (let i = 0; i < 300; i++) {
    for (; !writer.tryWrite(payload); waits++) await writer.drained()
  }
  await writer.close()
  expect(writer.completed).toBe(300)
  expect(waits).toBeGreaterThan(0)
})

test('all problems of the options are named at once, and nothing is written', async () => {
  const options = {
    nodes: [
      { id: 1, weight: 12 },
      { id: 1, role: 'boss' as 'voter' },
    ],
    dataDir: join(temporaryFolder(), 'none'),
    stateMachine: 'sql' as 'kv',
    layout: 'fast' as 'inline',
    tuning: { heartbeatMs: 0, heartbeats: 3 } as object,
    emulation: { rttMs: -1 },
  }
  const error = await failing(openCluster(options))
  const problems = hasCode(error, 'E_CONFIG_INVALID') ? error.detail.problems.join('\n') : ''
  for (const word of ['weight=12', 'every id once', 'role=boss', 'stateMachine', 'layout=fast']) {
    expect(problems).toContain(word)
  }
  for (const word of ['heartbeatMs=0', 'heartbeats: no such knob', 'rttMs=-1']) {
    expect(problems).toContain(word)
  }
  const zero = openCluster({ nodes: 0, stateMachine: 'hash', durability: 'none' })
  expect(codeOf(await failing(zero))).toBe('E_CONFIG_INVALID')
  const module = new URL('./no-such-machine.ts', import.meta.url)
  const missing = openCluster({ stateMachine: module, durability: 'none', layout: 'inline' })
  expect(codeOf(await failing(missing))).toBe('E_STATE_MACHINE')
})

const DEATHS: readonly [string, LayoutName, string, string][] = [
  ['a state machine that throws on the caller', 'inline', 'throw', 'E_STATE_MACHINE'],
  ['a stage thread that ends', 'split', 'exit', 'E_STAGE_FAILED'],
]

test.each(DEATHS)('%s takes its node down, and no other', async (_name, layout, word, code) => {
  const dataDir = temporaryFolder()
  const cluster = await openCluster({ dataDir, layout, stateMachine: LIST_MODULE })
  const fatal = failing(cluster.propose(text(`${word} ${dataDir}/first`)))
  const isFailure = ({ kind }: NodeEvent): boolean => kind === 'failed'
  await until('a node has failed', () => cluster.events.some(isFailure))
  await fatal
  const { index } = await proposeAgain(cluster, 'after')
  const failures = cluster.events.filter(isFailure)
  expect(failures).toHaveLength(1)
  const down = cluster.nodes.find(({ id }) => id === failures[0]!.node)!
  const error = await failing(down.propose(text('late')))
  expect([codeOf(error), outcomeOf(error), down.leads]).toEqual([code, 'unknown', false])
  const others = otherThan(cluster.nodes, down)
  await until('the others go on', () => others.every((node) => node.status().applied >= index))
  await down.close()
})
