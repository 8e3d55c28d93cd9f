import { expect, test } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import { hasCode } from '../../src/base/errors.ts'
import { type Ballot, type LogIndex, type Lsn, ballotOf, nodeId } from '../../src/core/ids.ts'
import type { WalRecord } from '../../src/core/records.ts'
import { type Recovered, openWal } from '../../src/wal/open.ts'
import { type Wal, append, flush, retainedFirst, trim } from '../../src/wal/wal.ts'
import { type MemoryStorage, createMemoryStorage, diskError } from '../../src/sim/memory-storage.ts'
import { configFrameOf, frameOf, pack } from '../support/wal-records.ts'
import { DIR, IDENTITY } from '../support/wal-run.ts'

const SEGMENT_SIZE_BYTES = 16 * 1024
const leader = ballotOf(1, nodeId(1))
const NOTHING = 0 as LogIndex

interface Node {
  readonly storage: MemoryStorage
  readonly wal: Wal
  readonly recovered: Recovered
}

function open(storage: MemoryStorage, segmentSizeBytes = SEGMENT_SIZE_BYTES): Node {
  return { storage, ...openWal(storage, { dir: DIR, identity: IDENTITY, segmentSizeBytes }) }
}

const nextLsn = ({ fold }: Wal): Lsn => (fold.lsn + 1) as Lsn
const put = (wal: Wal, record: WalRecord, floor = NOTHING): void =>
  append(wal, record, nextLsn(wal), floor, null, null)

/** One record of one frame of `count` entries behind the last index. */
function extend(wal: Wal, count: number, payloadSizeBytes: number, floor = 0): void {
  const prev = wal.fold.last
  const through = (prev + count) as LogIndex
  const packed = pack([frameOf(leader, prev + 1, count, payloadSizeBytes)])
  const record = { kind: 'entries', ballot: leader, prev, through } as const
  append(wal, record, nextLsn(wal), floor as LogIndex, packed, packed.frames)
}

const errorOf = (call: () => unknown): unknown => {
  try {
    call()
  } catch (error) {
    return error
  }
  return undefined
}

function flipByte(storage: MemoryStorage, path: string, offset: number): void {
  storage.poke(path, offset, Uint8Array.of(storage.peek(path)[offset]! ^ 1))
}

const neverRandom = () => 1 // nothing that is not synced survives

const CONFIG = Uint8Array.of(1, 2, 3, 4, 5)

/** A config batch behind the last index. */
function extendByConfig(wal: Wal, bytes = CONFIG): LogIndex {
  const prev = wal.fold.last
  const through = (prev + 1) as LogIndex
  const packed = pack([configFrameOf(leader, through, bytes)])
  const record = { kind: 'entries', ballot: leader, prev, through } as const
  append(wal, record, nextLsn(wal), NOTHING, packed, packed.frames)
  return through
}

/** A log whose only config batch has been trimmed: its first segments are gone. */
function trimmedBehindConfig(): Node {
  const node = open(createMemoryStorage())
  const { wal } = node
  extendByConfig(wal)
  for (let i = 0; i < 12; i++) extend(wal, 1, 3_500, wal.fold.last)
  flush(wal)
  expect(trim(wal, wal.fold.floor)).toBeGreaterThan(1)
  return node
}

test('the newest membership outlives the segment of its config batch', () => {
  const { storage, wal } = trimmedBehindConfig()
  expect(retainedFirst(wal)).toBeGreaterThan(1)
  storage.crash(neverRandom)
  expect(open(storage).recovered.configs).toEqual([{ index: 1, bytes: CONFIG }])
})

test('a config batch that is cut is forgotten, one of a finished accept-sync counts', () => {
  const { storage, wal } = open(createMemoryStorage())
  extend(wal, 3, 10)
  extendByConfig(wal)
  const ballot = ballotOf(2, nodeId(2))
  const syncPoint = 3 as LogIndex
  const through = 4 as LogIndex
  put(wal, { kind: 'sync-begin', ballot, syncPoint, adoptedLast: through })
  const other = Uint8Array.of(9)
  const packed = pack([configFrameOf(ballot, 4, other)])
  const record = { kind: 'sync-entries', ballot, prev: syncPoint, through } as const
  append(wal, record, nextLsn(wal), NOTHING, packed, packed.frames)
  expect(wal.fold.configs).toEqual([{ index: 4, bytes: CONFIG }])
  put(wal, { kind: 'sync-commit', ballot, syncPoint, through })
  expect(wal.fold.configs).toEqual([{ index: 4, bytes: other }])
  flush(wal)
  storage.kill()
  expect(open(storage).recovered.configs).toEqual([{ index: 4, bytes: other }])
})

test('trimming loses no membership, at whatever step of it or of a roll-over power goes', () => {
  for (let fuse = 1; fuse < 60; fuse++) {
    for (const kept of [0, 0.4, 0.999]) {
      const { storage, wal } = open(createMemoryStorage())
      const done = { config: 0 }
      let operations = 0
      storage.onOperation = () => {
        if (++operations === fuse) throw diskError('write', 'EIO')
      }
      errorOf(() => {
        for (let round = 0; round < 4; round++) {
          const index = extendByConfig(wal, Uint8Array.of(round))
          for (let i = 0; i < 6; i++) extend(wal, 1, 3_500, wal.fold.last)
          flush(wal)
          done.config = index
          trim(wal, wal.fold.floor)
        }
      })
      storage.onOperation = null
      storage.crash(() => kept)
      const { recovered } = open(storage)
      const newest = recovered.configs.at(-1)?.index ?? 0
      expect(newest, `fuse ${fuse}, kept ${kept}`).toBeGreaterThanOrEqual(done.config)
    }
  }
})

test('a damaged membership in the head of the oldest segment is refused, with its name', () => {
  const { storage, wal } = trimmedBehindConfig()
  const [oldest] = wal.disk!.segments
  flipByte(storage, oldest!.path, 1024 + 40)
  storage.kill()
  const error = errorOf(() => open(storage))
  expect(hasCode(error, 'E_WAL_CORRUPT')).toBe(true)
  expect(String(error)).toContain('membership of its head is damaged')
})

test('a damaged membership in the head of a later segment is written again from the log', () => {
  const { storage, wal } = trimmedBehindConfig()
  for (let i = 0; i < 6; i++) extend(wal, 1, 3_500)
  flush(wal)
  const later = wal.disk!.segments.at(-1)!
  const before = storage.peek(later.path).slice(1024, 1536)
  flipByte(storage, later.path, 1024 + 40)
  storage.kill()
  expect(open(storage).recovered.configs).toEqual([{ index: 1, bytes: CONFIG }])
  storage.crash(neverRandom)
  expect(storage.peek(later.path).slice(1024, 1536)).toEqual(before)
})

/** A voter that accepts in a ballot of node 2, with an empty log. */
function accepting() {
  const { storage, wal } = open(createMemoryStorage())
  const ballot = ballotOf(2, nodeId(2))
  put(wal, { kind: 'sync-begin', ballot, syncPoint: NOTHING, adoptedLast: NOTHING })
  put(wal, { kind: 'sync-commit', ballot, syncPoint: NOTHING, through: NOTHING })
  return { storage, wal, ballot }
}

test('a voter turns learner by a transaction of ballot 0, and what it learns is its floor', () => {
  const { storage, wal, ballot } = accepting()
  for (let i = 0; i < 3; i++) extend(wal, 2, 10)
  const floor = 2 as LogIndex
  const turn = { ballot: 0 as Ballot, syncPoint: floor }
  put(wal, { kind: 'sync-begin', ...turn, adoptedLast: floor }, floor)
  flush(wal)
  storage.kill()
  const half = open(storage)
  expect(half.recovered).toMatchObject({ acceptedBallot: ballot, last: 6, floor: 2 })
  put(half.wal, { kind: 'sync-begin', ...turn, adoptedLast: floor }, floor)
  put(half.wal, { kind: 'sync-commit', ...turn, through: floor }, floor)
  const packed = pack([frameOf(leader, 3, 4, 10)])
  const through = 6 as LogIndex
  const record = { kind: 'entries', ballot: 0 as Ballot, prev: floor, through } as const
  append(half.wal, record, nextLsn(half.wal), floor, packed, packed.frames)
  flush(half.wal)
  storage.crash(neverRandom)
  const { recovered } = open(storage)
  expect(recovered).toMatchObject({ acceptedBallot: 0, promised: ballot, last: 6, floor: 6 })
})

test('who turned learner knows all of its log chosen, though its envelopes say less', () => {
  const { storage, wal, ballot } = accepting()
  for (let i = 0; i < 3; i++) extend(wal, 2, 10)
  // One step confirms 1 to 4 and turns: its records have the floor from before it.
  const four = 4 as LogIndex
  put(wal, { kind: 'sync-begin', ballot: 0 as Ballot, syncPoint: four, adoptedLast: four })
  put(wal, { kind: 'sync-commit', ballot: 0 as Ballot, syncPoint: four, through: four })
  flush(wal)
  storage.crash(neverRandom) // before what it learned reached the disk
  const { recovered } = open(storage)
  expect(recovered).toMatchObject({ acceptedBallot: 0, promised: ballot, last: 4, floor: 4 })
})

test('an entry is not learned on top of what was accepted', () => {
  const { wal } = accepting()
  expect(errorOf(() => extendLearned(wal, 0))).toBeInstanceOf(AssertionError)
})

function extendLearned(wal: Wal, ballot: number): void {
  const prev = wal.fold.last
  const through = (prev + 1) as LogIndex
  const packed = pack([frameOf(leader, through, 1, 10)])
  const record = { kind: 'entries', ballot: ballot as Ballot, prev, through } as const
  append(wal, record, nextLsn(wal), NOTHING, packed, packed.frames)
}
