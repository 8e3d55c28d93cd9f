/**
 * What the paths of an entry allocate: a guard that no machine's noise reaches. All stages of all
 * nodes run on this thread (layout inline), so that one sampling profiler sees every one of them.
 */
import { Session } from 'node:inspector/promises'
import { expect, test } from 'vitest'
import type { ReplicaNode } from '../../src/engine/index.ts'
import { openCluster } from '../support/engine.ts'

const TUNING = {
  batchBytesMax: 2 ** 20,
  ringSizeBytes: 2 ** 25,
  windowBytes: 2 ** 23,
  uncommittedBytesMax: 2 ** 24,
  walSegmentSizeBytes: 2 ** 24,
}
const SAMPLING_BYTES = 4_096
/** Many at once: what time alone allocates (ticks, idle cycles) is shared by many. */
const ROUND = 16_384

/** Bytes that were allocated while `work` ran, whether they were collected or not. */
async function allocatedBytes(work: () => Promise<void>): Promise<number> {
  const session = new Session()
  session.connect()
  await session.post('HeapProfiler.startSampling', {
    samplingInterval: SAMPLING_BYTES,
    // Typed as of an older protocol: both are known to V8.
    ...{ includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true },
  })
  await work()
  const { profile } = await session.post('HeapProfiler.stopSampling')
  session.disconnect()
  const sizeOf = (node: (typeof profile)['head']): number =>
    node.children.reduce((sum, child) => sum + sizeOf(child), node.selfSize)
  return sizeOf(profile.head)
}

async function open(): Promise<ReplicaNode> {
  const common = { layout: 'inline', durability: 'none', stateMachine: 'hash' } as const
  const cluster = await openCluster({ nodes: 3, dataDir: '', ...common, tuning: TUNING })
  return cluster.leader()
}

/** Fills entries in place, a batch at a time, at most eight ahead of what is chosen. */
async function write(
  { ingest }: ReplicaNode,
  id: number,
  { batches, entries }: { readonly batches: number; readonly entries: number },
): Promise<void> {
  let resolve = (): void => undefined
  const client = ingest.openClient(id, () => resolve())
  const progress = (): Promise<void> => new Promise((done) => (resolve = done))
  for (let batch = 0; batch < batches;) {
    const isAhead = client.submitted - client.chosen >= 8 * entries
    const at = isAhead ? -1 : ingest.tryReserve(client, entries, 16)
    if (at < 0) {
      await progress()
      continue
    }
    const { words } = ingest.log
    for (let i = 0, word = at >> 2; i < entries; i++, word += 5) words[word] = 16
    ingest.seal()
    batch += 1
  }
  while (client.chosen < client.submitted) await progress()
  ingest.closeClient(client)
}

test('a batch allocates a few KiB over all stages of three nodes, an entry nothing', async () => {
  const node = await open()
  await write(node, 1, { batches: 10_000, entries: 64 }) // until it is compiled
  const perBatch = async (id: number, entries: number): Promise<number> => {
    const batches = 1_000
    return (await allocatedBytes(() => write(node, id, { batches, entries }))) / batches
  }
  const small = await perBatch(2, 64)
  const large = await perBatch(3, 16_384)
  expect(small).toBeLessThan(48 * 1_024)
  expect((large - small) / 16_384).toBeLessThan(0.5)
})

test('a proposal allocates its promise and its result, and little else', async () => {
  const node = await open()
  const payload = new Uint8Array(16)
  const propose = async (count: number): Promise<void> => {
    for (let done = 0; done < count; done += ROUND) {
      let last: Promise<unknown> = Promise.resolve()
      for (let i = 0; i < ROUND; i++) last = node.propose(payload)
      await last
    }
  }
  await propose(10 * ROUND)
  const count = 20 * ROUND
  const bytes = await allocatedBytes(() => propose(count))
  // Promise, its two functions and their context, what waits for the result, the result.
  expect(bytes / count).toBeLessThan(560)
})
