/** Snapshots of a running cluster: made, kept, started from; real files and threads. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { encodePut } from '../../src/engine/index.ts'
import type { LayoutName } from '../../src/engine/topology.ts'
import { createStateMachine } from '../support/slow-machine.ts'
import { type OpenCluster, openCluster, temporaryFolder, until } from '../support/engine.ts'

const EVERY = 64 * 1024
const NODES = [1, 2, 3]

const openAt = (dataDir: string, more: object = {}): Promise<OpenCluster> =>
  openCluster({
    ...{ nodes: 3, stateMachine: 'kv', dataDir, ...more },
    tuning: { snapshotEveryBytes: EVERY, ...('tuning' in more ? (more.tuning as object) : {}) },
  })

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

async function put(cluster: OpenCluster, from: number, count: number): Promise<void> {
  const leader = await cluster.leader()
  const value = Buffer.alloc(1_000, 'v')
  const puts = Array.from({ length: count }, (_, i) =>
    leader.propose(encodePut(Buffer.from(`key-${from + i}`), value)),
  )
  await Promise.all(puts)
}

/** Once all have applied all of the log, their states are one. */
async function closeEqual(cluster: OpenCluster): Promise<void> {
  const leader = await cluster.leader()
  await until('all have applied all of it', () => {
    const { last } = leader.status()
    return cluster.nodes.every((node) => node.status().applied === last)
  })
  const reports = await Promise.all(cluster.nodes.map((node) => node.close()))
  expect(new Set(reports.map((report) => report!.stateHash)).size).toBe(1)
  for (const report of reports) expect(report).toMatchObject({ duplicates: 0, gaps: 0 })
}

const allKept = (cluster: OpenCluster, index: number): boolean =>
  cluster.nodes.every((node) => node.status().snapshot.index >= index)

const snapshotsIn = (dataDir: string, node: number): string[] =>
  readdirSync(join(dataDir, `node-${node}`))
    .filter((name) => name.startsWith('snapshot-'))
    .sort()

const layouts: LayoutName[] = ['inline', 'split', 'dedicated']
test.each(layouts)('layout %s: a restart goes on from the snapshot', async (layout) => {
  const dataDir = temporaryFolder()
  const first = await openAt(dataDir, { layout })
  for (let from = 0; from < 400; from += 100) await put(first, from, 100)
  await until('every node has a snapshot', () => allKept(first, 1))
  const session = await (await first.leader()).openSession()
  const before = await session.propose(encodePut(Buffer.from('last'), Buffer.from('one')))
  await closeEqual(first)

  const kept = NODES.map((node) => snapshotsIn(dataDir, node))
  for (const names of kept) expect(names.every((name) => name.endsWith('.snap'))).toBe(true)
  const second = await openAt(dataDir, { layout })
  const starts = second.nodes.map((node) => node.status().snapshot.index)
  expect(Math.min(...starts)).toBeGreaterThan(0)
  const early = second.nodes[1]!.watch({ from: 1 })[Symbol.asyncIterator]()
  await expect(early.next()).rejects.toMatchObject({
    ...{ code: 'E_COMPACTED', detail: { from: 1, first: starts[1]! + 1 } },
  })
  const leader = await second.leader()
  const again = await leader.resumeSession(session.id, 1).propose(Buffer.from('another'))
  expect(again.index).toBe(before.index)
  expect(textOf(await leader.read(Buffer.from('last')).then(({ result }) => result))).toBe(
    '\u0001one',
  )
  await put(second, 0, 1)
  await closeEqual(second)
})

test('two are kept, and the log goes behind the older one', async () => {
  const dataDir = temporaryFolder()
  const tuning = { retainBytes: 4_096, snapshotEveryBytes: 2 ** 20 }
  const first = await openAt(dataDir, { tuning })
  let from = 0
  const isTrimmed = (): boolean => first.nodes.every((node) => node.status().firstRetained > 1)
  for (; from < 40_000 && !isTrimmed(); from += 200) await put(first, from, 200)
  await until('the log is trimmed', isTrimmed)
  const { firstRetained } = first.nodes[0]!.status()
  await first.close()
  for (const node of NODES) {
    const names = snapshotsIn(dataDir, node)
    expect(names.filter((name) => name.endsWith('.snap'))).toEqual(names)
    expect(names).toHaveLength(2)
  }
  const [older] = snapshotsIn(dataDir, 1)
  expect(Number.parseInt(older!.slice(9, 25), 16)).toBeGreaterThanOrEqual(firstRetained - 1)

  const second = await openAt(dataDir, { tuning })
  const leader = await second.leader()
  const { result } = await leader.read(Buffer.from('key-0'))
  expect(result.length).toBe(1_001)
})

test('a damaged snapshot is set aside, and the older one stands in for it', async () => {
  const dataDir = temporaryFolder()
  const first = await openAt(dataDir)
  for (let from = 0; from < 400; from += 50) await put(first, from, 50)
  await until('two snapshots on every node', () =>
    NODES.every((node) => snapshotsIn(dataDir, node).length >= 2 && allKept(first, 1)),
  )
  await first.close()
  const names = snapshotsIn(dataDir, 2).filter((name) => name.endsWith('.snap'))
  const newest = join(dataDir, 'node-2', names.at(-1)!)
  const bytes = readFileSync(newest)
  bytes[5_000]! ^= 4
  writeFileSync(newest, bytes)

  const second = await openAt(dataDir)
  expect(snapshotsIn(dataDir, 2)).toContain(`${names.at(-1)!}.damaged`)
  const events = second.events.filter((event) => event.kind === 'event')
  expect(events).toContainEqual({ kind: 'event', node: 2, name: 'snapshot-damaged', value: 1 })
  await put(second, 0, 1)
  await closeEqual(second)
})

test('none is taken within a group, of which a restart would have the end alone', async () => {
  const dataDir = temporaryFolder()
  // A group goes to apply in several orders of a mebibyte: a snapshot is due behind each of them.
  const room = {
    uncommittedBytesMax: 2 ** 23,
    ringSizeBytes: 2 ** 24,
    walSegmentSizeBytes: 2 ** 24,
  }
  const tuning = { snapshotEveryBytes: 4_096, ...room }
  const first = await openAt(dataDir, { tuning })
  const leader = await first.leader()
  const value = Buffer.alloc(8_000, 'g')
  for (let group = 0; group < 3; group++) {
    const keys = Array.from({ length: 400 }, (_, i) => Buffer.from(`${group}:${i}`))
    await leader.proposeGroup(keys.map((key) => encodePut(key, value)))
  }
  await until('snapshots', () => allKept(first, 1))
  await closeEqual(first)
  const second = await openAt(dataDir, { tuning })
  await put(second, 0, 1)
  await closeEqual(second)
})

const SLOW = new URL('../support/slow-machine.ts', import.meta.url)
test.each([
  ["on the caller's thread", createStateMachine],
  ['on its own', SLOW],
])('a machine that takes its time, %s, is given nothing meanwhile', async (_, stateMachine) => {
  const dataDir = temporaryFolder()
  const more = { stateMachine, nodes: 1, layout: 'split' }
  const first = await openAt(dataDir, more)
  for (let from = 0; from < 400; from += 50) await put(first, from, 50)
  await until('a snapshot', () => allKept(first, 1))
  await first.close()
  const second = await openAt(dataDir, more)
  expect(second.nodes[0]!.status().snapshot.index).toBeGreaterThan(0)
  const { result } = await (await second.leader()).read(Buffer.alloc(0))
  expect(textOf(result)).toBe('400')
})
