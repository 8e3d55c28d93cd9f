/**
 * A cluster of Basic Paxos that is closed and opened again, with real files: what it decided must
 * be read back from the disk instance by instance and executed again, in order, on every node.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type LocalCluster, type StateMachine, openLocalCluster } from '../../src/engine/index.ts'

const VALUES = 200
const SECOND_VALUES = 40

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'xpaxos-restart-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

interface Recorder extends StateMachine {
  readonly indexes: number[]
  readonly texts: string[]
}

/** Remembers every entry with its index. */
function createRecorder(): Recorder {
  const indexes: number[] = []
  const texts: string[] = []
  return {
    indexes,
    texts,
    apply(batch) {
      for (let i = 0; i < batch.count; i++) {
        indexes.push(batch.first + i)
        texts.push(Buffer.from(batch.payload(i)).toString())
      }
    },
    query: () => new Uint8Array(0),
    snapshot: () => Promise.resolve(),
    restore: () => Promise.resolve(),
  }
}

async function openRecorded(): Promise<{ cluster: LocalCluster; machines: Recorder[] }> {
  const machines: Recorder[] = []
  const stateMachine = (): Recorder => {
    const machine = createRecorder()
    machines.push(machine)
    return machine
  }
  const tuning = { batchEntriesMax: 1, walSegmentSizeBytes: 2 ** 23, ringSizeBytes: 2 ** 23 }
  const cluster = await openLocalCluster({
    ...{ nodes: 3, dataDir: folder, engine: 'basic-paxos', tuning, stateMachine },
  })
  return { cluster, machines }
}

async function propose(cluster: LocalCluster, from: number, count: number): Promise<void> {
  const texts = Array.from({ length: count }, (_, i) => `value ${from + i}`)
  await Promise.all(texts.map((text) => cluster.propose(Buffer.from(text))))
}

const executedBy = (machines: readonly Recorder[], count: number): Promise<void> =>
  vi.waitFor(
    () => expect(machines.map(({ texts }) => texts.length)).toEqual([count, count, count]),
    {
      timeout: 30_000,
      interval: 20,
    },
  )

test('every node executes its values again after a restart, and goes on behind them', async () => {
  const before = await openRecorded()
  await propose(before.cluster, 0, VALUES)
  await executedBy(before.machines, VALUES)
  await before.cluster.close()
  const history = before.machines[0]!.texts
  expect(new Set(history).size).toBe(VALUES)
  for (const { texts } of before.machines) expect(texts).toEqual(history)

  const after = await openRecorded()
  try {
    await executedBy(after.machines, VALUES)
    await propose(after.cluster, VALUES, SECOND_VALUES)
    await executedBy(after.machines, VALUES + SECOND_VALUES)
    const indexes = Array.from({ length: VALUES + SECOND_VALUES }, (_, i) => i + 1)
    const first = after.machines[0]!
    expect(first.texts.slice(0, VALUES)).toEqual(history)
    expect(new Set(first.texts).size).toBe(VALUES + SECOND_VALUES)
    for (const machine of after.machines) {
      expect(machine.texts).toEqual(first.texts)
      expect(machine.indexes).toEqual(indexes)
    }
  } finally {
    await after.cluster.close()
  }
})
