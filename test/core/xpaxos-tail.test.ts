/**
 * The tail of the log: what of it lies in rings, and how it is gathered, cut, dropped, forgotten.
 */
import { expect, test } from 'vitest'
import { chainOf } from '../../src/core/frame-ref.ts'
import type { LogIndex, Lsn } from '../../src/core/ids.ts'
import {
  type Tail,
  type TailMark,
  chainAt,
  createTail,
  cutBehind,
  dropFrames,
  firstKept,
  forget,
  gather,
  lastChainOf,
  lastOf,
  makeMark,
  pushMark,
} from '../../src/core/xpaxos/tail.ts'
import { type FrameSpec, createMaker } from '../support/core-state.ts'

const index = (value: number): LogIndex => value as LogIndex
const mark = (through: number, chain: number): TailMark => ({
  through: index(through),
  chain,
  continues: false,
})
const NO_LIMITS = { sizeBytesMax: 1e9, entriesMax: 1e9, framesMax: 1e9 }

/** A tail behind (4, chain 77), with one frame a spec. */
function tailOf(...specs: FrameSpec[]): Tail {
  const tail = createTail(mark(4, 77), [])
  const make = createMaker()
  for (const [i, spec] of specs.entries()) {
    const frame = make(lastOf(tail) + 1, spec)
    pushMark(tail, makeMark(lastChainOf(tail), frame, (i + 1) as Lsn))
  }
  return tail
}
const frames = (tail: Tail) => tail.marks.map(({ frame }) => frame)
const firsts = (found: readonly { readonly first: number }[]): number[] =>
  found.map(({ first }) => first)

test('without marks it ends at its base', () => {
  const tail = tailOf()
  expect([lastOf(tail), lastChainOf(tail), firstKept(tail)]).toEqual([4, 77, 5])
  expect([chainAt(tail, index(4)), chainAt(tail, index(3)), chainAt(tail, index(5))]).toEqual([
    77, -1, -1,
  ])
})

test('recovered marks have no bytes, and the log goes on behind them', () => {
  const marks = [mark(6, 6), mark(9, 9)]
  const tail = createTail(mark(4, 77), marks)
  expect([lastOf(tail), lastChainOf(tail), firstKept(tail)]).toEqual([9, 9, 10])
  expect([5, 6, 7, 9].map((at) => chainAt(tail, index(at)))).toEqual([-1, 6, -1, 9])
  expect(gather(tail, index(5), index(9), NO_LIMITS)).toEqual([])
  const frame = createMaker()(10, { count: 3 })
  pushMark(tail, makeMark(lastChainOf(tail), frame, 1 as Lsn))
  expect(tail.marks.at(-1)).toMatchObject({
    first: 10,
    through: 12,
    chain: chainOf(9, frame.headerCrc),
  })
  expect(firstKept(tail)).toBe(10)
  expect(() => createTail(mark(4, 0), [mark(4, 1)])).toThrow()
})

test('a chain is known at the end of each frame and nowhere else', () => {
  const tail = tailOf({ count: 2 }, { count: 3 }, { count: 1 })
  const [a, b, c] = tail.marks.map(({ chain }) => chain)
  const chains = [4, 5, 6, 7, 8, 9, 10, 11].map((at) => chainAt(tail, index(at)))
  expect(chains).toEqual([77, -1, a, -1, -1, b, c, -1])
})

test('what is gathered starts where asked, and ends within the log asked for', () => {
  const tail = tailOf({ count: 2 }, { count: 2 }, { count: 2 })
  expect(firsts(gather(tail, index(5), index(10), NO_LIMITS))).toEqual([5, 7, 9])
  expect(firsts(gather(tail, index(7), index(10), NO_LIMITS))).toEqual([7, 9])
  expect(firsts(gather(tail, index(5), index(9), NO_LIMITS))).toEqual([5, 7])
  expect(firsts(gather(tail, index(11), index(20), NO_LIMITS))).toEqual([])
  expect(() => gather(tail, index(6), index(10), NO_LIMITS)).toThrow('frame boundary')
  expect(gather(tail, index(4), index(10), NO_LIMITS)).toEqual([]) // below the base: on disk
})

test.each([
  ['bytes, exactly', { sizeBytesMax: 256 }, [5, 7]],
  ['bytes, one too many', { sizeBytesMax: 255 }, [5]],
  ['bytes, less than one frame', { sizeBytesMax: 1 }, [5]],
  ['entries, exactly', { entriesMax: 4 }, [5, 7]],
  ['entries, one too many', { entriesMax: 3 }, [5]],
  ['entries, less than one frame', { entriesMax: 1 }, [5]],
  ['frames', { framesMax: 2 }, [5, 7]],
])('a gathering is limited by %s', (_name, limits, expected) => {
  const tail = tailOf({ count: 2 }, { count: 2 }, { count: 2 })
  expect(firsts(gather(tail, index(5), index(10), { ...NO_LIMITS, ...limits }))).toEqual(expected)
})

test('a gathering ends where frames do not adjoin, and where one is gone', () => {
  const apart = tailOf({}, {}, { offset: 4_096 })
  expect(firsts(gather(apart, index(5), index(7), NO_LIMITS))).toEqual([5, 6])
  const rings = tailOf({ ring: 1 }, { ring: 2, offset: 128 })
  expect(firsts(gather(rings, index(5), index(6), NO_LIMITS))).toEqual([5])
  const gone = tailOf({}, {}, {})
  dropFrames(gone, ({ through }) => through <= 5)
  expect(gather(gone, index(5), index(7), NO_LIMITS)).toEqual([])
  expect(firsts(gather(gone, index(6), index(7), NO_LIMITS))).toEqual([6, 7])
})

test('a cut lets go of what lies behind it, and keeps the rest', () => {
  const tail = tailOf({ count: 2 }, { count: 2 }, { count: 2 })
  const [a, b, c] = frames(tail)
  cutBehind(tail, index(6))
  expect([lastOf(tail), firstKept(tail), tail.marks.length]).toEqual([6, 5, 1])
  expect([a!.kept, b!.kept, c!.kept]).toEqual([true, false, false])
  cutBehind(tail, index(4))
  expect([lastOf(tail), a!.kept]).toEqual([4, false])
  expect(() => cutBehind(tailOf({ count: 2 }), index(5))).toThrow('frame boundary')
  expect(() => cutBehind(tailOf({}), index(3))).toThrow('forgotten')
})

test('a cut into what has no bytes any more leaves a tail that can go on', () => {
  const tail = tailOf({}, {}, {})
  dropFrames(tail, () => true)
  expect(firstKept(tail)).toBe(8)
  cutBehind(tail, index(5))
  expect([tail.bare, firstKept(tail)]).toEqual([1, 6])
  const frame = createMaker()(6)
  pushMark(tail, makeMark(lastChainOf(tail), frame, 9 as Lsn))
  expect(firstKept(tail)).toBe(6)
  dropFrames(tail, () => true)
  expect([frame.kept, firstKept(tail)]).toEqual([false, 7])
})

test('bytes are let go from the oldest on, and no further than the first that is needed', () => {
  const tail = tailOf({}, {}, {})
  const [a, b, c] = frames(tail)
  dropFrames(tail, ({ through }) => through !== 6)
  expect([a!.kept, b!.kept, c!.kept]).toEqual([false, true, true])
  expect([tail.bare, firstKept(tail)]).toEqual([1, 6])
  dropFrames(tail, () => true)
  expect(frames(tail)).toEqual([null, null, null])
  expect([b!.kept, c!.kept, tail.bare]).toEqual([false, false, 3])
})

test('marks without bytes are forgotten up to an index, but for the newest', () => {
  const tail = tailOf({}, {}, {}, {}, {})
  const chains = tail.marks.map(({ chain }) => chain)
  forget(tail, index(9), 0)
  expect(tail.head).toBe(0) // all have bytes
  dropFrames(tail, ({ through }) => through <= 8)
  forget(tail, index(9), 2)
  expect([tail.head, tail.baseIndex, tail.baseChain]).toEqual([2, 6, chains[1]])
  expect([lastOf(tail), chainAt(tail, index(6)), chainAt(tail, index(5))]).toEqual([
    9,
    chains[1],
    -1,
  ])
  forget(tail, index(7), 0)
  expect([tail.head, tail.baseIndex]).toEqual([3, 7])
  expect(() => cutBehind(tail, index(6))).toThrow('forgotten')
  cutBehind(tail, index(7))
  expect([lastOf(tail), lastChainOf(tail)]).toEqual([7, chains[2]])
})

test('a long tail is compacted, and stays the same log', () => {
  const tail = tailOf(...Array.from({ length: 5_000 }, () => ({})))
  const chains = tail.marks.map(({ chain }) => chain)
  dropFrames(tail, ({ through }) => through <= 4_600)
  forget(tail, index(4_099), 0)
  expect([tail.head, tail.marks.length]).toEqual([4_095, 5_000])
  forget(tail, index(4_100), 0)
  expect([tail.head, tail.marks.length, tail.bare]).toEqual([0, 904, 500])
  expect([tail.baseIndex, tail.baseChain]).toEqual([4_100, chains[4_095]])
  expect([firstKept(tail), lastOf(tail)]).toEqual([4_601, 5_004])
  expect(chainAt(tail, index(4_500))).toBe(chains[4_495])
  expect(firsts(gather(tail, index(4_601), index(4_602), NO_LIMITS))).toEqual([4_601, 4_602])
})
