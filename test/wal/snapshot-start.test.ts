/** Which snapshot a node starts from, and when it does not start at all. */
import { expect, test } from 'vitest'
import { createMemoryStorage } from '../../src/sim/memory-storage.ts'
import type { Recovered } from '../../src/wal/open.ts'
import {
  SECTION,
  addBytes,
  createSnapshot,
  keepSnapshot,
  sealSnapshot,
  snapshotPath,
} from '../../src/wal/snapshot-file.ts'
import { chooseSnapshot, startAt } from '../../src/wal/snapshot-start.ts'

const DIR = '/node'
const CLUSTER = 7

function storageWith(...snapshots: { index: number; chain: number; cluster?: number }[]) {
  const storage = createMemoryStorage()
  storage.makeDir(DIR)
  for (const { index, chain, cluster = CLUSTER } of snapshots) {
    const head = { index, chain, clusterHash: cluster, historyEpoch: 0 }
    const writer = createSnapshot(storage, DIR, head, true)
    addBytes(writer, SECTION.state, Buffer.from(`state ${index}`))
    sealSnapshot(writer)
    keepSnapshot(writer)
  }
  return storage
}

const mark = (through: number) => ({ through, chain: 1_000 + through, continues: false })
/** Chains are 1,000 above the index; frames end at every tenth one. */
const log = (known: Partial<Record<keyof Recovered, unknown>> = {}): Recovered =>
  ({
    ...{ floor: 20, floorChain: 1_020, floorContinues: true, last: 50, retainedFirst: 1 },
    marks: [30, 40, 50].map(mark),
    ...known,
  }) as unknown as Recovered

test('the newest good one, and the floor rises to it', () => {
  const storage = storageWith({ index: 10, chain: 1_010 }, { index: 40, chain: 1_040 })
  const start = chooseSnapshot(storage, DIR, CLUSTER, log())
  expect(start).toMatchObject({ snapshot: { index: 40 }, older: 10, damaged: [] })
  expect(startAt(log(), start)).toMatchObject({
    ...{ floor: 40, floorChain: 1_040, floorContinues: false, marks: [mark(50)] },
  })
})

test('a floor above it stays', () => {
  const storage = storageWith({ index: 10, chain: 1_010 })
  const start = chooseSnapshot(storage, DIR, CLUSTER, log())
  expect(startAt(log(), start)).toEqual(log())
})

test('a damaged one is set aside, not deleted; what was never finished is removed', () => {
  const storage = storageWith({ index: 10, chain: 1_010 }, { index: 40, chain: 1_040 })
  storage.poke(snapshotPath(DIR, 40), 4_100, Uint8Array.of(0xff))
  createSnapshot(storage, DIR, { index: 50, chain: 0, clusterHash: 0, historyEpoch: 0 }, true)
  const start = chooseSnapshot(storage, DIR, CLUSTER, log())
  const damaged = ['snapshot-0000000000000028.snap.damaged']
  expect(start).toMatchObject({ snapshot: { index: 10 }, older: 0, damaged })
  expect(storage.list(DIR)!.sort()).toEqual(['snapshot-000000000000000a.snap', ...damaged])
})

test('one that the log does not continue any more is passed over', () => {
  const storage = storageWith({ index: 10, chain: 1_010 }, { index: 30, chain: 1_030 })
  const trimmed = log({ retainedFirst: 31 })
  expect(chooseSnapshot(storage, DIR, CLUSTER, trimmed)).toMatchObject({
    ...{ snapshot: { index: 30 }, older: 0 },
  })
  const further = log({ retainedFirst: 32 })
  expect(chooseSnapshot(storage, DIR, CLUSTER, further).snapshot).toBeNull()
})

test.each([
  ['of another cluster', { index: 40, chain: 1_040, cluster: 8 }, /snapshot 40 is of another/],
  ['beyond the end of the log', { index: 60, chain: 1_060 }, /ends at 50.*synced log was lost/],
  ['of another history', { index: 40, chain: 1 }, /another history than its snapshot 40/],
  ['of another history, at the floor', { index: 20, chain: 1 }, /another history/],
  ['within a frame of the log', { index: 35, chain: 1_035 }, /another history/],
])('one %s: the node does not start', (_, snapshot, message) => {
  const storage = storageWith(snapshot)
  expect(() => chooseSnapshot(storage, DIR, CLUSTER, log())).toThrow(message)
  expect(storage.list(DIR)).toHaveLength(1)
})
