/** The desk of watches alone: what it feeds, what it asks, what it never waits for. */
import { expect, test } from 'vitest'
import { release } from '../../src/ring/log-ring.ts'
import * as cell from '../../src/stages/cells.ts'
import { claim, flush } from '../../src/stages/port.ts'
import { copyReply } from '../../src/stages/reply-copies.ts'
import { createVoidEntries, noteVoid } from '../../src/stages/void-entries.ts'
import { FEED_CODE } from '../../src/stages/watch-cells.ts'
import * as watch from '../../src/stages/watch-cells.ts'
import { createWatchDesk } from '../../src/stages/watch-desk.ts'
import { cellRing, cellsOf, logRing, order, port, putFrame } from '../support/engine-cells.ts'

const CODES = Object.fromEntries(Object.entries(FEED_CODE).map(([name, code]) => [code, name]))

function open(options: { ringBytes?: number; cells?: number; rangesMax?: number } = {}) {
  const { ringBytes = 2 ** 16, cells = 64, rangesMax = 8 } = options
  const [asked, toDecide, toCaller] = [cellRing(), cellRing(), cellRing(cells)]
  const bytes = logRing(ringBytes)
  const log = logRing()
  const caller = port(toCaller)
  const decide = port(toDecide)
  const desk = createWatchDesk({
    ...{ asked, toDecide: decide, logRings: [log], voids: createVoidEntries(1, rangesMax) },
    toCaller: { port: caller, bytes },
  })
  const give = port(asked)
  const ask = (id: number, from: number, applied: number): void => {
    order(give, [watch.WATCH, id, from])
    desk.takeAsked(applied)
  }
  let last = 0
  /** As if the state machine had just executed a frame of these. */
  const feed = (...payloads: string[]): void => {
    const { frame, place } = putFrame(log, payloads, { first: last + 1 })
    const first = last + 1
    last += payloads.length
    desk.feed({ log, offset: place.offset, sizeBytes: frame.sizeBytes, first, through: last })
  }
  /** What the WAL answered, for frames of the log from `first` on. */
  const answer = (id: number, payloads: readonly string[], first: number, retained = 1): void => {
    const { frame, place } = putFrame(log, payloads, { first })
    const through = first + payloads.length - 1
    const words = [watch.WATCH_FRAMES, first, frame.sizeBytes, 1, 0, place.offset, id, through]
    desk.onOrder(Float64Array.from([...words, retained]), 0, last)
  }
  const nothing = (id: number, retained: number): void =>
    void desk.onOrder(
      Float64Array.from([watch.WATCH_FRAMES, 0, 0, 0, 0, 0, id, 0, retained]),
      0,
      last,
    )
  const cellsTold = (): number[][] => {
    flush(caller)
    return cellsOf(toCaller).filter(([kind]) => kind === watch.FEED)
  }
  /** `id code first..through`, freed. */
  const told = (): string[] => {
    return cellsTold().map((words) => {
      if (words[cell.AT_SIZE]! > 0) release(bytes, words[watch.AT_FEED_END]!)
      const range = `${words[watch.AT_FEED_FIRST]}..${words[watch.AT_FEED_THROUGH]}`
      return `${words[1]} ${CODES[words[watch.AT_FEED_CODE]!]} ${range}`
    })
  }
  const ordered = (): number[][] => {
    flush(decide)
    return cellsOf(toDecide).map((words) => words.slice(0, words[0] === watch.WATCH_READ ? 5 : 2))
  }
  /** Fills the caller's ring of cells to where it counts as full. */
  const block = (): void => {
    for (let i = 0; i < cells / 2; i++) caller.words[claim(caller)] = 999
    flush(caller)
  }
  return { desk, ask, feed, answer, nothing, told, cellsTold, ordered, block, bytes, give }
}

test('nothing is fed before somebody asks, all behind the head, nothing when it is over', () => {
  const { desk, ask, feed, told, give } = open()
  feed('a')
  expect(told()).toEqual([])
  ask(1, 0, 1)
  feed('b', 'c')
  feed('d')
  expect(told()).toEqual(['1 head 0..1', '0 frames 2..3', '0 frames 4..4'])
  order(give, [watch.UNWATCH])
  desk.takeAsked(4)
  feed('e')
  expect(told()).toEqual([])
})

test('a start in the future is told the head; one in the past is read from the log', () => {
  const { ask, feed, told, ordered, answer } = open()
  feed('a', 'b')
  ask(1, 9, 2)
  expect([told(), ordered()]).toEqual([['1 head 0..2'], []])
  ask(2, 1, 2)
  expect([told(), ordered()]).toEqual([[], [[watch.WATCH_READ, 2, 1, 2, 4_096]]])
  answer(2, ['a', 'b'], 1)
  expect([told(), ordered()]).toEqual([['2 frames 1..2'], [[watch.WATCH_DONE, 2]]])
})

test('ranges without effect lie behind the frames, replies behind them, and neither stays', () => {
  const { desk, ask, feed, cellsTold, bytes } = open()
  ask(1, 0, 0)
  noteVoid(desk.voids, 1)
  copyReply(desk.replies, 2, new TextEncoder().encode('yes'))
  feed('a', 'b')
  feed('c')
  const [, first, second] = cellsTold()
  const at = first![cell.AT_OFFSET]! + first![watch.AT_FEED_FRAMES]!
  expect([first![watch.AT_FEED_VOIDS], first![watch.AT_FEED_REPLIES]]).toEqual([1, 24])
  expect([bytes.view.getFloat64(at, true), bytes.view.getFloat64(at + 8, true)]).toEqual([1, 1])
  expect([bytes.view.getUint32(at + 16, true), bytes.view.getFloat64(at + 24, true)]).toEqual([
    3, 2,
  ])
  expect(new TextDecoder().decode(bytes.bytes.slice(at + 32, at + 35))).toBe('yes')
  expect([second![watch.AT_FEED_VOIDS], second![watch.AT_FEED_REPLIES]]).toEqual([0, 0])
})

test('more replies than are copied are told as not known, of that order alone', () => {
  const { desk, ask, feed, cellsTold } = open()
  ask(1, 0, 0)
  for (const index of [1, 2, 3]) copyReply(desk.replies, index, new Uint8Array(2 ** 21))
  feed('a', 'b', 'c')
  feed('d')
  expect(cellsTold().map((words) => words[watch.AT_FEED_REPLIES])).toEqual([-1, -1, 0])
})

test('without room the frames are not fed, the gap is told, and the next head goes on', () => {
  const { ask, feed, told } = open({ ringBytes: 2 ** 10 })
  ask(1, 0, 0)
  for (const letter of ['a', 'b', 'c', 'd']) feed(letter.repeat(400))
  expect(told()).toEqual(['1 head 0..0', '0 frames 1..1', '0 frames 2..2', '0 gap 0..2'])
  ask(2, 5, 4)
  feed('e')
  expect(told()).toEqual(['2 head 0..4', '0 frames 5..5'])
})

test('an order too large for a small ring is a gap; reads back are as small as it is', () => {
  const { ask, feed, told, ordered, answer } = open({ ringBytes: 2 ** 12 })
  ask(1, 0, 0)
  feed('a'.repeat(2_000))
  expect(told()).toEqual(['1 head 0..0', '0 gap 0..0'])
  ask(2, 1, 1)
  expect(ordered()).toEqual([[watch.WATCH_READ, 2, 1, 1, 256]])
  expect(() => answer(2, ['a'.repeat(2_000)], 1)).toThrow('the ring takes what one read brings')
})

test('a caller that takes no cells gets a gap, told as soon as there is room', () => {
  const { desk, ask, feed, told, block } = open()
  ask(1, 0, 0)
  expect(told()).toEqual(['1 head 0..0'])
  block()
  feed('a')
  feed('b')
  ask(2, 0, 2)
  ask(3, 1, 2)
  expect(told()).toEqual([])
  desk.takeAsked(2)
  expect(told()).toEqual(['0 gap 0..0', '2 head 0..2'])
})

test('what is owed leaves before anything else, also when there is room again meanwhile', () => {
  const { desk, ask, feed, told, block } = open()
  block()
  ask(1, 0, 0)
  expect(told()).toEqual([]) // the caller makes room, and the desk has not seen it
  feed('a')
  desk.takeAsked(1)
  expect(told()).toEqual(['1 head 0..0', '0 gap 0..0'])
})

test('a read that finds no room is to be asked for again, and its bytes are free', () => {
  const { desk, ask, feed, told, ordered, answer, block } = open()
  feed('a')
  ask(1, 1, 1)
  ordered()
  block()
  answer(1, ['a'], 1)
  expect(ordered()).toEqual([[watch.WATCH_DONE, 1]])
  told()
  desk.takeAsked(1)
  expect(told()).toEqual(['1 again 0..0'])
})

test('what the log has not any more is compacted, up to the first index that is there', () => {
  const { ask, feed, told, nothing } = open()
  feed('a', 'b', 'c')
  ask(1, 1, 3)
  nothing(1, 3)
  ask(2, 2, 3)
  nothing(2, 9) // no file at all, and more in the log than is applied
  expect(told()).toEqual(['1 compacted 3..0', '2 compacted 4..0'])
})

test('where nobody knows any more which entries had an effect, the log counts as compacted', () => {
  const { desk, ask, feed, told, answer } = open({ rangesMax: 4 })
  feed('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j')
  for (const index of [1, 3, 5, 7, 9]) noteVoid(desk.voids, index)
  expect(desk.voids.from).toBe(2)
  ask(1, 1, 10)
  answer(1, ['a', 'b', 'c'], 1)
  ask(2, 2, 10)
  answer(2, ['a', 'b', 'c'], 1)
  expect(told()).toEqual(['1 compacted 2..0', '2 frames 2..3'])
})

test('an empty answer about what should be there is a bug, not an end', () => {
  const { ask, feed, nothing } = open()
  feed('a', 'b')
  ask(1, 2, 2)
  expect(() => nothing(1, 1)).toThrow('what is on the disk is found')
})
