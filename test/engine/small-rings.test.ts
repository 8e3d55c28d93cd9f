/** Who lags is caught up from the log on disk through rings that hold little (R45). */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { catchUpBytesMaxOf } from '../../src/engine/core-of.ts'
import type { LayoutName } from '../../src/engine/topology.ts'
import type { ReplicaNode } from '../../src/engine/index.ts'
import { openTcpNode, settled, temporaryFolder, until } from '../support/engine.ts'

const SMALL = {
  ringSizeBytes: 2 ** 16,
  batchBytesMax: 4_096,
  windowBytes: 2 ** 15,
  uncommittedBytesMax: 2 ** 16,
  walSegmentSizeBytes: 2 ** 20,
  catchUpRatio: 8,
} as const

test.each([
  ['the ring', { ringSizeBytes: 2 ** 16, batchBytesMax: 8_192, catchUpRatio: 8 }, 2 ** 13],
  ['the batches', { ringSizeBytes: 2 ** 20, batchBytesMax: 8_192, catchUpRatio: 2 }, 2 ** 14],
  [
    'the segment',
    { ringSizeBytes: 2 ** 22, batchBytesMax: 2 ** 16, walSegmentSizeBytes: 2 ** 17 },
    2 ** 16,
  ],
])('a catch-up message is bounded by %s, and by an eighth of a ring', (_name, tuning, bound) => {
  const whole = { ...SMALL, ...tuning }
  expect(catchUpBytesMaxOf(whole)).toBe(bound)
  expect(catchUpBytesMaxOf(whole)).toBeLessThanOrEqual(whole.ringSizeBytes / 8)
})

const MEMBERS = [{ id: 1, weight: 9 }, { id: 2 }, { id: 3, role: 'logger' }] as const

test.each<LayoutName>(['inline', 'split'])(
  'a Logger that was away comes back, batch by batch, and does not stop (%s)',
  async (layout) => {
    const dataDir = temporaryFolder()
    const ports = new Map<number, number>()
    const open = async (id: number): Promise<ReplicaNode> => {
      const peers = [...ports]
        .filter(([peer]) => peer > id)
        .map(([peer, port]) => ({ id: peer, host: '127.0.0.1', port }))
      const transport = { port: ports.get(id) ?? 0, peers }
      const folder = join(dataDir, `node-${id}`)
      const options = { id, members: MEMBERS, dataDir: folder, layout, transport, tuning: SMALL }
      const node = await openTcpNode(options)
      ports.set(id, node.address!.port)
      return node
    }
    const nodes: ReplicaNode[] = []
    for (const id of [3, 2, 1]) nodes.push(await open(id))
    await settled(nodes)
    const leader = nodes.find((node) => node.leads)!
    const writer = leader.writer()
    const write = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        while (!writer.tryWrite(new Uint8Array(i % 3 === 0 ? 2_000 : 100))) await writer.drained()
      }
    }
    await write(100)
    await nodes[0]!.kill()
    await write(2_000) // much more than all rings hold
    const logger = await open(3)
    await write(1_000)
    const { index } = await writer.completedThrough(writer.submitted)
    await until('the Logger has all', () => logger.status().last >= index)
    expect(leader.leads).toBe(true)
  },
)
