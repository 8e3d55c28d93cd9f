import { expect, test } from 'vitest'
import { writeRecord } from '../../src/codec/record.ts'
import { type LogIndex, ballotOf, nodeId } from '../../src/core/ids.ts'
import { openWal } from '../../src/wal/open.ts'
import { retainedFirst } from '../../src/wal/wal.ts'
import * as cell from '../../src/stages/cells.ts'
import { createWalStage } from '../../src/stages/wal-stage.ts'
import { release } from '../../src/ring/log-ring.ts'
import { cellRing, cellsOf, logRing, order, port, putFrame } from '../support/engine-cells.ts'
import { createMemoryStorage } from '../../src/sim/memory-storage.ts'
import { DIR, IDENTITY } from '../support/wal-run.ts'

const BALLOT = ballotOf(1, nodeId(1))

function open(readbackBytes = 2 ** 16) {
  const storage = createMemoryStorage()
  const segmentSizeBytes = 2 ** 18
  const { wal } = openWal(storage, { dir: DIR, identity: IDENTITY, segmentSizeBytes })
  const log = logRing(2 ** 20)
  const readback = logRing(readbackBytes)
  const orders = cellRing(256)
  const events = cellRing(256)
  const groups: number[] = []
  const clock = { now: 0 }
  const stage = createWalStage({
    ...{ wal, logRings: [log, readback], readback, orders, toDecide: port(events) },
    nowMs: () => clock.now,
    onGroup: (batches) => void groups.push(batches),
  })
  const give = port(orders)
  const state = { lsn: 0, last: 0 }
  const append = (payloads: readonly string[], floor = 0): void => {
    const first = state.last + 1
    const { frame, place } = putFrame(log, payloads, { first, ballot: BALLOT })
    const words = new Float64Array(16)
    const through = (state.last + payloads.length) as LogIndex
    const prev = state.last as LogIndex
    writeRecord({ kind: 'entries', ballot: BALLOT, prev, through }, words, 0)
    state.last = through
    words[1] = ++state.lsn
    words[cell.AT_SIZE] = frame.sizeBytes
    words[cell.AT_FRAMES] = 1
    words[cell.AT_RING] = 0
    words[5] = floor
    words[cell.AT_APPEND_OFFSET] = place.offset
    words[cell.AT_APPEND_LAZY] = 0
    order(give, [...words])
  }
  const read = (ticket: number, from: number, through: number, within = 0): void =>
    order(give, [cell.READ, ticket, from, through, 65_536, within])
  const trim = (through: number): void => order(give, [cell.TRIM, through])
  const work = () => {
    stage.doWork()
    return cellsOf(events)
  }
  return { stage, append, read, trim, work, groups, log, readback, wal, clock }
}

test('one sync covers all that waits, and durable is told behind it', () => {
  const { append, work, groups, wal } = open()
  for (let i = 0; i < 5; i++) append([`entry ${i}`])
  const before = wal.syncs
  expect(work().map((words) => words.slice(0, 2))).toEqual([[cell.DURABLE, 5]])
  expect([groups, wal.syncs - before]).toEqual([[5], 1])
})

test('a read sees what was ordered before it, and goes behind what is appended', () => {
  const { append, read, work } = open()
  append(['a', 'b'])
  append(['c'])
  read(44, 1, 3)
  append(['d'])
  const cells = work()
  expect(cells.map(([kind]) => kind)).toEqual([
    cell.DURABLE,
    cell.READ_DONE,
    cell.FRAME,
    cell.FRAME,
  ])
  expect(cells[0]![1]).toBe(3)
  expect(cells[1]!.slice(1, 3)).toEqual([44, 2])
  expect([cells[2]![1], cells[3]![1], cells[3]![4]]).toEqual([1, 3, 1])
})

test('one read a cycle, however many wait: appends go between them', () => {
  const { append, read, work } = open()
  append(['a'])
  for (let i = 1; i <= 3; i++) read(i, 1, 1)
  const told: number[] = []
  for (let i = 0; i < 4; i++) {
    for (const [kind] of work()) if (kind !== cell.FRAME) told.push(kind!)
    append(['more'])
  }
  const { DURABLE, READ_DONE } = cell
  const cycle = [DURABLE, READ_DONE]
  expect(told).toEqual([...cycle, ...cycle, ...cycle, DURABLE])
})

test('a read of nothing is answered with no frames', () => {
  const { append, read, work } = open()
  append(['a'])
  read(1, 2, 9)
  expect(work().at(-1)!.slice(0, 3)).toEqual([cell.READ_DONE, 1, 0])
})

test('a read may begin with the frame that holds its index, if it says so', () => {
  const { append, read, work } = open()
  append(['a', 'b', 'c'])
  append(['d'])
  read(1, 2, 4, 1)
  const [, done, first, second] = work()
  expect(done!.slice(1, 4)).toEqual([1, 2, 1])
  expect([first![1], second![1]]).toEqual([1, 4])
  read(2, 1, 4, 1)
  expect(work()[0]!.slice(1, 3)).toEqual([2, 2])
  read(3, 2, 4)
  expect(() => work()).toThrow('a read begins where a frame begins')
})

test('an answer says what the log on the disk begins with', () => {
  const { append, read, trim, work, wal, log } = open()
  for (let i = 0; i < 9; i++) {
    append(['x'.repeat(2 ** 16)], i)
    work()
    release(log, log.published)
  }
  trim(8)
  work()
  const first = retainedFirst(wal)
  expect(first).toBeGreaterThan(1)
  read(1, 1, 9, 1)
  expect(work()[0]!.slice(0, 4)).toEqual([cell.READ_DONE, 1, 0, first])
})

test('a read waits for room in its ring, and others are not lost behind it', () => {
  const { append, read, work, readback } = open(2 ** 12)
  const text = 'x'.repeat(900)
  for (let i = 0; i < 6; i++) append([text])
  for (let i = 0; i < 6; i++) read(i, i + 1, i + 1)
  append(['last'])
  const tickets: number[] = []
  const durable: number[] = []
  for (let i = 0; i < 20; i++) {
    for (const words of work()) {
      if (words[0] === cell.READ_DONE) tickets.push(words[1]!)
      if (words[0] === cell.DURABLE) durable.push(words[1]!)
      if (words[0] === cell.FRAME) release(readback, words[8]!)
    }
  }
  expect(tickets).toEqual([0, 1, 2, 3, 4, 5])
  expect(durable).toEqual([7]) // nobody waited for a read
})

test('a trim is answered with what is left, and with nothing when nothing went', () => {
  const { append, work, trim, wal } = open()
  const text = 'x'.repeat(60_000)
  for (let i = 0; i < 12; i++) append([text], i)
  work()
  trim(0)
  expect(work()).toEqual([])
  trim(9)
  const [cells] = work()
  expect(cells!.slice(0, 2)).toEqual([cell.TRIMMED, retainedFirst(wal)])
  expect(cells![1]).toBeGreaterThan(1)
  expect(cells![1]).toBeLessThanOrEqual(10)
})

test('ended by force, it syncs nothing more and lets go of the files', () => {
  const { append, stage, wal } = open()
  append(['a'])
  const before = wal.syncs
  stage.kill?.()
  expect([wal.state, wal.syncs]).toEqual(['closed', before])
})

test('when nothing comes for a while, what is synced is written down, once', () => {
  const { append, work, wal, clock } = open()
  append(['entry'])
  work()
  for (let i = 0; i < 20; i++) work()
  expect(wal.marked).toBeLessThan(wal.synced)
  clock.now = 101
  work()
  expect(wal.marked).toBe(wal.synced)
})
