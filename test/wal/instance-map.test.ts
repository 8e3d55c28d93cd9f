import { expect, test } from 'vitest'
import { hasCode } from '../../src/base/errors.ts'
import { type LogIndex, type Lsn, NO_BALLOT, ballotOf, nodeId } from '../../src/core/ids.ts'
import type { WalRecord } from '../../src/core/records.ts'
import { openWal } from '../../src/wal/open.ts'
import {
  type FramesRead,
  type Wal,
  append,
  closeWal,
  flush,
  readFrames,
  trim,
} from '../../src/wal/wal.ts'
import { type MemoryStorage, createMemoryStorage } from '../../src/sim/memory-storage.ts'
import { frameOf, pack } from '../support/wal-records.ts'
import { DIR, IDENTITY } from '../support/wal-run.ts'

const SEGMENT_SIZE_BYTES = 16 * 1024
const PAYLOAD_SIZE_BYTES = 100
const identity = { ...IDENTITY, engine: 'basic-paxos' } as const

const open = (storage: MemoryStorage): Wal =>
  openWal(storage, { dir: DIR, identity, segmentSizeBytes: SEGMENT_SIZE_BYTES }).wal

const nextLsn = ({ fold }: Wal): Lsn => (fold.lsn + 1) as Lsn
const valueOf = (instance: number, round: number): Uint8Array =>
  frameOf(ballotOf(round, nodeId(1)), 0, 1, PAYLOAD_SIZE_BYTES + instance)

function put(wal: Wal, record: WalRecord, frame: Uint8Array | null, floor = 0): void {
  const packed = frame === null ? null : pack([frame])
  append(wal, record, nextLsn(wal), floor as LogIndex, packed, packed?.frames ?? null)
}

function accept(wal: Wal, instance: number, round: number, floor = 0): void {
  const ballot = ballotOf(round, nodeId(1))
  const record = { kind: 'instance-accepted', instance: instance as LogIndex, ballot } as const
  put(wal, record, valueOf(instance, round), floor)
}

function read(wal: Wal, from: number, through: number, sizeBytesMax = 2 ** 20) {
  const into = new Uint8Array(2 ** 20)
  const found = readFrames(wal, from as LogIndex, through as LogIndex, sizeBytesMax, into)
  return { ...found, values: valuesOf(found, into) }
}

const valuesOf = ({ frames }: FramesRead, into: Uint8Array): Uint8Array[] =>
  frames.map(({ offset, sizeBytes }) => into.slice(offset, offset + sizeBytes))

test('the values of consecutive instances come in order, however they were written', () => {
  const wal = open(createMemoryStorage())
  for (const instance of [3, 1, 4, 2]) accept(wal, instance, 1)
  flush(wal)
  expect(read(wal, 1, 4).values).toEqual([1, 2, 3, 4].map((i) => valueOf(i, 1)))
  expect(read(wal, 2, 3).values).toEqual([2, 3].map((i) => valueOf(i, 1)))
})

test('what was appended is read before it is flushed', () => {
  const wal = open(createMemoryStorage())
  accept(wal, 1, 1)
  expect(read(wal, 1, 1).values).toEqual([valueOf(1, 1)])
})

test('the last frame that was written for an instance is its value', () => {
  const storage = createMemoryStorage()
  const wal = open(storage)
  accept(wal, 1, 1)
  accept(wal, 2, 1)
  accept(wal, 1, 2)
  const learned = { kind: 'instance-chosen', instance: 2 as LogIndex, ballot: NO_BALLOT } as const
  put(wal, learned, valueOf(2, 5))
  const expected = [valueOf(1, 2), valueOf(2, 5)]
  expect(read(wal, 1, 2).values).toEqual(expected)
  closeWal(wal)
  expect(read(open(storage), 1, 2).values).toEqual(expected)
})

test('promises and marks of the chosen prefix are no values', () => {
  const wal = open(createMemoryStorage())
  const ballot = ballotOf(7, nodeId(2))
  accept(wal, 1, 1)
  put(wal, { kind: 'instance-promised', instance: 1 as LogIndex, ballot }, null)
  put(wal, { kind: 'instance-promised', instance: 2 as LogIndex, ballot }, null)
  put(wal, { kind: 'instance-chosen', instance: 1 as LogIndex, ballot: NO_BALLOT }, null)
  expect(read(wal, 1, 2).values).toEqual([valueOf(1, 1)])
})

test('an answer ends before the first instance without a value', () => {
  const wal = open(createMemoryStorage())
  for (const instance of [1, 2, 4]) accept(wal, instance, 1)
  expect(read(wal, 1, 4).frames.length).toBe(2)
  expect(read(wal, 3, 4).frames.length).toBe(0)
  expect(read(wal, 5, 9).frames.length).toBe(0)
})

test('an answer keeps to its size, and holds one value at least', () => {
  const wal = open(createMemoryStorage())
  for (const instance of [1, 2, 3, 4]) accept(wal, instance, 1)
  const two = valueOf(1, 1).length + valueOf(2, 1).length
  expect(read(wal, 1, 4, two).frames.length).toBe(2)
  expect(read(wal, 1, 4, two + 1).frames.length).toBe(2)
  expect(read(wal, 1, 4, 1).frames.length).toBe(1)
})

test('values of many segments are found again after a restart', () => {
  const storage = createMemoryStorage()
  const wal = open(storage)
  for (let i = 1; i <= 300; i++) accept(wal, i, 1)
  closeWal(wal)
  const again = open(storage)
  expect(again.disk!.segments.length).toBeGreaterThan(3)
  const expected = Array.from({ length: 300 }, (_, i) => valueOf(i + 1, 1))
  expect(read(again, 1, 300).values).toEqual(expected)
})

test('a value that a crash has torn away is not known afterwards', () => {
  const storage = createMemoryStorage()
  const wal = open(storage)
  accept(wal, 1, 1)
  flush(wal)
  accept(wal, 1, 2)
  accept(wal, 2, 2)
  storage.crash(() => 1)
  expect(read(open(storage), 1, 2).values).toEqual([valueOf(1, 1)])
})

test('a damaged value is refused, not served', () => {
  const storage = createMemoryStorage()
  const wal = open(storage)
  accept(wal, 1, 1)
  accept(wal, 2, 1)
  flush(wal)
  const { offset } = wal.map.instances.get(2 as LogIndex)!
  const path = wal.disk!.segments[0]!.path
  for (const at of [offset + 16, offset + 128 + 8, offset + 128 + 70]) {
    const byte = storage.peek(path)[at]!
    storage.poke(path, at, Uint8Array.of(byte ^ 1))
    expect(() => read(wal, 1, 2)).toThrow(expect.toSatisfy((e) => hasCode(e, 'E_WAL_CORRUPT')))
    storage.poke(path, at, Uint8Array.of(byte))
  }
  expect(read(wal, 1, 2).frames.length).toBe(2)
})

test('a whole frame that belongs to another instance is refused', () => {
  const storage = createMemoryStorage()
  const wal = open(storage)
  accept(wal, 1, 1)
  accept(wal, 2, 1)
  flush(wal)
  const { instances } = wal.map
  instances.set(1 as LogIndex, instances.get(2 as LogIndex)!)
  expect(() => read(wal, 1, 1)).toThrow(expect.toSatisfy((e) => hasCode(e, 'E_WAL_CORRUPT')))
})

test('trimmed instances are forgotten, the others are not', () => {
  const wal = open(createMemoryStorage())
  for (let i = 1; i <= 200; i++) accept(wal, i, 1, i)
  flush(wal)
  expect(trim(wal, 150 as LogIndex)).toBeGreaterThan(0)
  expect(read(wal, 1, 200).frames.length).toBe(0)
  expect(read(wal, 151, 200).frames.length).toBe(50)
  const kept = wal.disk!.segments[0]!.number
  for (const { segment } of wal.map.instances.values()) expect(segment).toBeGreaterThanOrEqual(kept)
})
