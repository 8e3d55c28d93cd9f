/** The file of a snapshot: what is written comes back, and no damaged byte passes for good. */
import { expect, test } from 'vitest'
import type { Storage } from '../../src/base/storage.ts'
import { createMemoryStorage, randomOf } from '../../src/sim/memory-storage.ts'
import {
  CHUNK_SIZE_MAX_BYTES,
  SECTION,
  type SnapshotWriter,
  addBytes,
  createSnapshot,
  keepSnapshot,
  sealSnapshot,
  snapshotPath,
  snapshotsAmong,
} from '../../src/wal/snapshot-file.ts'
import { type Chunk, openSnapshot, verifySnapshot } from '../../src/wal/snapshot-read.ts'

const DIR = '/node'
const HEAD = { index: 4_711, chain: 0xfeed, clusterHash: 7, historyEpoch: 0 }

function written(
  storage: Storage,
  pieces: readonly Chunk[],
  compresses = true,
  head = HEAD,
): SnapshotWriter {
  storage.makeDir(DIR)
  const writer = createSnapshot(storage, DIR, head, compresses)
  for (const { section, bytes } of pieces) addBytes(writer, section, bytes)
  sealSnapshot(writer)
  return writer
}

function bytesOf(storage: Storage, path: string): Record<number, Buffer> {
  const reader = openSnapshot(storage, path)
  const found: Record<number, Buffer> = {}
  for (let chunk = reader.next(); chunk !== null; chunk = reader.next()) {
    expect(chunk.bytes.length).toBeLessThanOrEqual(CHUNK_SIZE_MAX_BYTES)
    found[chunk.section] = Buffer.concat([found[chunk.section] ?? Buffer.alloc(0), chunk.bytes])
  }
  reader.close()
  return found
}

const noise = (size: number, seed: number): Uint8Array => {
  const random = randomOf(seed)
  return Uint8Array.from({ length: size }, () => 256 * random())
}

test.each([true, false])('sections come back byte for byte, compressed: %s', (compresses) => {
  const storage = createMemoryStorage()
  const state = Buffer.concat([noise(300_000, 1), Buffer.alloc(500_000, 'abc')])
  const writer = written(
    storage,
    [
      { section: SECTION.sessions, bytes: noise(100, 2) },
      { section: SECTION.state, bytes: state.subarray(0, 77) },
      { section: SECTION.state, bytes: state.subarray(77) },
    ],
    compresses,
  )
  keepSnapshot(writer)
  const path = snapshotPath(DIR, HEAD.index)
  expect(bytesOf(storage, path)).toEqual({ 2: Buffer.from(noise(100, 2)), 4: state })
  const info = verifySnapshot(storage, path)
  expect(info).toMatchObject({ ...HEAD, chunks: 5, unpackedBytes: 800_100 })
  expect(info.sizeBytes).toBe(storage.peek(path).length)
  if (compresses) expect(info.sizeBytes).toBeLessThan(400_000)
})

test('it has its name only once it is kept, and is found by it', () => {
  const storage = createMemoryStorage()
  const writer = written(storage, [{ section: SECTION.state, bytes: noise(10, 3) }])
  expect(snapshotsAmong(storage.list(DIR)!)).toEqual([])
  keepSnapshot(writer)
  keepSnapshot(written(storage, [], true, { ...HEAD, index: 5_000 }))
  expect(snapshotsAmong(storage.list(DIR)!)).toEqual([5_000, 4_711])
})

test('a flipped bit in any byte is found, with its place', () => {
  const storage = createMemoryStorage()
  const writer = written(storage, [
    { section: SECTION.sessions, bytes: noise(5, 4) },
    { section: SECTION.state, bytes: Buffer.alloc(3_000, 'state of a machine') },
  ])
  keepSnapshot(writer)
  const path = snapshotPath(DIR, HEAD.index)
  const size = storage.peek(path).length
  for (let at = 0; at < size; at++) {
    const [was] = storage.peek(path).subarray(at, at + 1)
    storage.poke(path, at, Uint8Array.of(was! ^ (1 << (at % 8))))
    expect(() => verifySnapshot(storage, path), `byte ${at}`).toThrow(
      /E_SNAPSHOT_CORRUPT: .*offset/,
    )
    storage.poke(path, at, Uint8Array.of(was!))
  }
  expect(verifySnapshot(storage, path).index).toBe(HEAD.index)
})

test('a chunk of another snapshot does not pass, though every checksum of it is good', () => {
  const storage = createMemoryStorage()
  const pieces = [{ section: SECTION.state, bytes: noise(100, 5) }]
  keepSnapshot(written(storage, pieces, false))
  keepSnapshot(written(storage, pieces, false, { ...HEAD, index: 4_712 }))
  const other = storage.peek(snapshotPath(DIR, 4_712)).slice(4_096)
  const path = snapshotPath(DIR, HEAD.index)
  storage.poke(path, 4_096, other)
  expect(() => verifySnapshot(storage, path)).toThrow('E_SNAPSHOT_CORRUPT')
})

test.each([1, 64, 100, 4_096])('%i bytes less are noticed', (less) => {
  const storage = createMemoryStorage()
  const writer = written(storage, [{ section: SECTION.state, bytes: noise(5_000, 6) }])
  keepSnapshot(writer)
  const path = snapshotPath(DIR, HEAD.index)
  const whole = storage.peek(path)
  const file = storage.create('/node/cut')
  storage.pwrite(file, whole.subarray(0, whole.length - less), 0)
  expect(() => verifySnapshot(storage, '/node/cut')).toThrow('E_SNAPSHOT_CORRUPT')
})

test('power that fails at any point leaves the whole file under its name, or no such name', () => {
  const state = noise(200_000, 7)
  for (let seed = 1; seed <= 200; seed++) {
    const storage = createMemoryStorage()
    const random = randomOf(seed)
    let fuse = Math.floor(12 * random())
    storage.onOperation = () => {
      if (--fuse < 0) throw new Error('power')
    }
    storage.makeDir(DIR)
    let isKept = false
    try {
      const writer = createSnapshot(storage, DIR, HEAD, seed % 2 === 0)
      for (let i = 0; i < 4; i++) addBytes(writer, SECTION.state, state)
      sealSnapshot(writer)
      keepSnapshot(writer)
      isKept = true
    } catch (error) {
      expect((error as Error).message).toBe('power')
    }
    storage.onOperation = null
    storage.crash(random)
    const found = snapshotsAmong(storage.list(DIR)!)
    if (isKept) expect(found).toEqual([HEAD.index])
    for (const index of found) verifySnapshot(storage, snapshotPath(DIR, index))
  }
})
