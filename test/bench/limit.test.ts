/**
 * The engine `limit` must do all the work that it is the ceiling of: every entry in every log and
 * in every state, once and in order, acknowledged on a quorum. Real threads, files and syncs.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { openLimitCluster } from '../../native-free-bench/engines/limit/limit-cluster.ts'
import { openLimitNode } from '../../native-free-bench/engines/limit/limit-node.ts'
import { entrySizeOf } from '../../src/codec/frame.ts'
import type { LocalCluster, LocalClusterOptions } from '../../src/engine/local-cluster.ts'
import type { ReplicaNode } from '../../src/engine/node.ts'
import type { IngestClient } from '../../src/stages/ingest-stage.ts'
import { scanLog } from '../../src/wal/inspect.ts'
import { openStorage } from '../../src/wal/storage-fs.ts'

const ENTRIES = 20_000
const folders: string[] = []

afterEach(() => {
  for (const dir of folders.splice(0)) rmSync(dir, { recursive: true, force: true })
})

function freshDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'xpaxos-limit-'))
  folders.push(dir)
  return dir
}

const TUNING = { walSegmentSizeBytes: 2 ** 20, batchBytesMax: 2 ** 16, ringSizeBytes: 2 ** 20 }

const open = (more: Partial<LocalClusterOptions> = {}): Promise<LocalCluster> =>
  openLimitCluster({ dataDir: freshDir(), stateMachine: 'hash', tuning: TUNING, ...more })

async function writeEntries(node: ReplicaNode, count: number): Promise<void> {
  const writer = node.writer()
  const payload = new Uint8Array(16)
  const view = new DataView(payload.buffer)
  for (let i = 0; i < count; i++) {
    view.setUint32(0, i, true)
    while (!writer.tryWrite(payload)) await writer.drained()
  }
  expect(await writer.completedThrough(count)).toEqual({ index: count })
  await writer.close()
}

/** Fills entries in place, in chunks, as the load generator does. */
async function reserveEntries({ ingest }: ReplicaNode, count: number): Promise<IngestClient> {
  const ended = Promise.withResolvers<void>()
  const client = ingest.openClient(77, () => fill())
  const fill = (): void => {
    if (client.failure !== null) return ended.reject(client.failure)
    while (client.submitted < count) {
      const chunk = Math.min(500, count - client.submitted)
      const at = ingest.tryReserve(client, chunk, 16)
      if (at < 0) break
      for (let i = 0; i < chunk; i++) {
        const offset = at + i * entrySizeOf(16)
        ingest.log.view.setUint32(offset, 16, true)
        ingest.log.bytes.fill(i & 255, offset + 4, offset + 20)
      }
    }
    if (client.chosen === count) ended.resolve()
    else if (client.submitted === count) ingest.seal()
  }
  fill()
  await ended.promise
  return client
}

async function closeAll({ nodes }: LocalCluster) {
  const reports = await Promise.all(nodes.map((node) => node.close()))
  return reports.filter((report) => report !== null)
}

function scanOf(dir: string) {
  const frames: string[] = []
  const { first, last } = scanLog(openStorage(), dir, (from, through, chain, ballot) => {
    frames.push(`${from}-${through} ${chain} ${ballot}`)
  })
  return { first, last, frames }
}

test('all nodes log and apply what a writer wrote', async () => {
  const cluster = await open()
  const [first, second] = cluster.nodes
  expect(first!.leads && !second!.leads).toBe(true)
  await writeEntries(first!, ENTRIES)
  const reports = await closeAll(cluster)
  await cluster.close()
  expect(reports).toHaveLength(3)
  expect(reports[0]).toMatchObject({ entries: ENTRIES, duplicates: 0, gaps: 0 })
  for (const report of reports) expect(report).toEqual(reports[0])
  for (const node of cluster.nodes) {
    const status = node.status()
    expect(status).toMatchObject({ last: ENTRIES, chosen: ENTRIES, durable: ENTRIES, leader: 1 })
    expect(status.applied).toBe(ENTRIES)
  }
  const scans = [1, 2, 3].map((id) => scanOf(`${folders[0]}/node-${id}`))
  expect(scans[0]).toMatchObject({ first: 1, last: ENTRIES })
  for (const scan of scans) expect(scan).toEqual(scans[0])
})

test('a client that fills entries in place folds what all apply; loggers apply none', async () => {
  const nodes = [{ id: 1 }, { id: 2 }, { id: 3, role: 'logger' as const }]
  const cluster = await open({ nodes })
  const client = await reserveEntries(cluster.nodes[0]!, ENTRIES)
  const reports = await closeAll(cluster)
  await cluster.close()
  expect(reports).toHaveLength(2)
  const { chosenFold: fold } = client
  for (const report of reports) {
    expect(report.clients).toEqual([{ id: 77, through: ENTRIES, fold }])
    expect(report.stateHash).toBe(reports[0]!.stateHash)
  }
  expect(scanOf(`${folders[0]}/node-3`)).toEqual(scanOf(`${folders[0]}/node-1`))
})

test('goes on without a follower that was killed, and not without two', async () => {
  const cluster = await open()
  const [first, second, third] = cluster.nodes
  await writeEntries(first!, 1_000)
  await second!.kill()
  const writer = first!.writer()
  for (let i = 0; i < 50; i++) {
    while (!writer.tryWrite(new Uint8Array(1_000))) await writer.drained()
    if (i % 10 === 0) await writer.completedThrough(writer.submitted)
  }
  expect(await writer.completedThrough(50)).toEqual({ index: 1_050 })
  await third!.kill()
  expect(() => first!.writer()).toThrow('E_CLOSED')
  expect(await first!.close()).toMatchObject({ entries: 1_050 })
  await cluster.close()
})

test('answers proposals with the replies of the state machine', async () => {
  const cluster = await open({ durability: 'none', stateMachine: 'kv', dataDir: '' })
  const proposed = Array.from({ length: 20 }, () => cluster.propose(new Uint8Array(24)))
  const answers = await Promise.all(proposed.map((one) => one.catch((error: unknown) => error)))
  expect(answers.map((one) => (one as { index: number }).index)).toEqual(
    Array.from({ length: 20 }, (_, i) => i + 1),
  )
  await expect(cluster.nodes[1]!.propose(new Uint8Array(8))).rejects.toThrow('node 1 leads')
  await cluster.close()
})

test('recycles segments behind the bound, and keeps scannable logs', async () => {
  const tuning = { ...TUNING, retainBytes: 2 ** 22, uncommittedBytesMax: 2 ** 20 }
  const cluster = await open({ tuning, durability: 'os' })
  const writer = cluster.writer()
  const payload = new Uint8Array(30_000).fill(9)
  for (let i = 0; i < 1_500; i++) while (!writer.tryWrite(payload)) await writer.drained()
  await writer.completedThrough(1_500)
  await cluster.close()
  const { first, last } = scanOf(`${folders[0]}/node-2`)
  expect(last).toBe(1_500)
  expect(first).toBeGreaterThan(500)
})

async function openOverTcp(
  layout: 'inline' | 'split',
  loggers: readonly number[] = [],
): Promise<ReplicaNode[]> {
  const dir = freshDir()
  const members = [1, 2, 3].map((id) => ({
    id,
    role: loggers.includes(id) ? ('logger' as const) : ('voter' as const),
  }))
  const nodes: ReplicaNode[] = []
  for (const { id } of members.toReversed()) {
    const peers = members
      .filter((member) => member.id !== id)
      .map((member) => ({
        id: member.id,
        host: '127.0.0.1',
        port: nodes.find((node) => node.id === member.id)?.address?.port ?? 1,
      }))
    const transport = { port: 0, peers }
    const options = { id, members, dataDir: `${dir}/node-${id}`, layout, transport }
    nodes.unshift(await openLimitNode({ ...options, stateMachine: 'hash', tuning: TUNING }))
  }
  while (!nodes[0]!.leads) await new Promise((resolve) => setTimeout(resolve, 2))
  return nodes
}

async function settle(nodes: readonly ReplicaNode[], count: number): Promise<void> {
  while (nodes.some((node) => node.status().durable < count)) {
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

test.each(['inline', 'split'] as const)('all nodes agree over sockets, %s', async (layout) => {
  const nodes = await openOverTcp(layout, layout === 'split' ? [3] : [])
  const client = await reserveEntries(nodes[0]!, ENTRIES)
  await settle(nodes, ENTRIES)
  const reports = await Promise.all(nodes.map((node) => node.close()))
  const kept = reports.filter((report) => report !== null)
  expect(kept).toHaveLength(layout === 'split' ? 2 : 3)
  const { chosenFold: fold } = client
  for (const report of kept) {
    expect(report).toMatchObject({ entries: ENTRIES, duplicates: 0, gaps: 0 })
    expect(report.clients).toEqual([{ id: 77, through: ENTRIES, fold }])
    expect(report.stateHash).toBe(kept[0]!.stateHash)
  }
  for (const node of nodes) {
    expect(node.status()).toMatchObject({ last: ENTRIES, chosen: ENTRIES, durable: ENTRIES })
  }
  const scans = [1, 2, 3].map((id) => scanOf(`${folders[0]}/node-${id}`))
  for (const scan of scans) expect(scan).toEqual(scans[0])
})

test('goes on over sockets without a follower that was killed', async () => {
  const nodes = await openOverTcp('inline')
  await writeEntries(nodes[0]!, 1_000)
  await nodes[2]!.kill()
  const writer = nodes[0]!.writer()
  for (let i = 0; i < 20; i++) {
    while (!writer.tryWrite(new Uint8Array(1_000))) await writer.drained()
    await writer.completedThrough(writer.submitted)
  }
  const [report, second] = await Promise.all([nodes[0]!.close(), nodes[1]!.close()])
  expect(report).toMatchObject({ entries: 1_020 })
  expect(second).toEqual(report)
})
