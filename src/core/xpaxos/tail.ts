/**
 * The newest part of the log as the decision loop sees it: one mark a frame, with the chain behind
 * it and, while the bytes still lie in a ring, the frame's place. Plain data, no I/O; owned by the
 * decision loop of one node.
 *
 * Invariants: marks are contiguous (mark.first = previous through + 1, the first one continues
 * `baseIndex`); frames that are gone (null) form a prefix of the marks, so that "in the rings" is
 * always a suffix of the log; a frame is `kept` exactly while a mark refers to it.
 */
import { assert } from '../../base/assert.ts'
import { type FrameRef, adjoins, chainOf, throughOf } from '../frame-ref.ts'
import { type LogIndex, type Lsn, NO_LSN } from '../ids.ts'

export interface Mark {
  readonly first: LogIndex
  readonly through: LogIndex
  readonly chain: number
  readonly sizeBytes: number
  /** The record that wrote it: below the durable LSN its bytes are on this node's disk. */
  readonly lsn: Lsn
  /** The frame is not the end of its group. */
  readonly continues: boolean
  frame: FrameRef | null
}

export interface Tail {
  baseIndex: LogIndex
  baseChain: number
  baseContinues: boolean
  readonly marks: Mark[]
  /** Marks before this place are forgotten and await compaction. */
  head: number
  /** Marks [head, bare) have no frame any more. */
  bare: number
}

export interface TailMark {
  readonly through: LogIndex
  readonly chain: number
  readonly continues: boolean
}

const COMPACT_COUNT = 4_096

/** A tail without bytes, as recovery leaves it: `marks` are the boundaries known above the base. */
export function createTail(base: TailMark, marks: readonly TailMark[]): Tail {
  const tail: Tail = {
    baseIndex: base.through,
    baseChain: base.chain,
    baseContinues: base.continues,
    marks: [],
    head: 0,
    bare: 0,
  }
  for (const mark of marks) {
    const first = (lastOf(tail) + 1) as LogIndex
    assert(mark.through >= first, 'recovered marks grow')
    const { through, chain, continues } = mark
    tail.marks.push({ first, through, chain, sizeBytes: 0, lsn: NO_LSN, continues, frame: null })
    tail.bare = tail.marks.length
  }
  return tail
}

export function lastOf(tail: Tail): LogIndex {
  return tail.marks.length > tail.head ? tail.marks.at(-1)!.through : tail.baseIndex
}

export function lastChainOf(tail: Tail): number {
  return tail.marks.length > tail.head ? tail.marks.at(-1)!.chain : tail.baseChain
}

/** The log ends within a group: nothing but its next frame or an abort batch may follow (R38). */
export function isGroupOpen(tail: Tail): boolean {
  return tail.marks.length > tail.head ? tail.marks.at(-1)!.continues : tail.baseContinues
}

export function makeMark(previousChain: number, frame: FrameRef, lsn: Lsn): Mark {
  const chain = chainOf(previousChain, frame.headerCrc)
  const through = throughOf(frame)
  frame.kept = true
  const { first, sizeBytes, continues } = frame
  return { first, through, chain, sizeBytes, lsn, continues, frame }
}

export function pushMark(tail: Tail, mark: Mark): void {
  assert(mark.first === lastOf(tail) + 1, 'the log has no hole')
  tail.marks.push(mark)
}

/** Place of the first mark with `through >= index`, or marks.length. Cost: O(log marks). */
function placeOf(tail: Tail, index: LogIndex): number {
  let low = tail.head
  let high = tail.marks.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (tail.marks[middle]!.through < index) low = middle + 1
    else high = middle
  }
  return low
}

/** Chain at a frame boundary, or -1 when it is not known here any more (or is no boundary). */
export function chainAt(tail: Tail, index: LogIndex): number {
  if (index === tail.baseIndex) return tail.baseChain
  const mark = tail.marks[placeOf(tail, index)]
  return mark !== undefined && mark.through === index ? mark.chain : -1
}

export interface GatherLimits {
  readonly sizeBytesMax: number
  readonly entriesMax: number
  readonly framesMax: number
}

/**
 * Frames from `from` on that lie in one contiguous range and fit the limits (one frame always
 * fits). Empty when the bytes of `from` are not in a ring any more: read them from the WAL.
 */
export function gather(
  tail: Tail,
  from: LogIndex,
  through: LogIndex,
  limits: GatherLimits,
): FrameRef[] {
  const frames: FrameRef[] = []
  if (from <= tail.baseIndex) return frames // forgotten here: the first mark lies behind it
  let sizeBytes = 0
  let entries = 0
  for (let i = placeOf(tail, from); i < tail.marks.length; i++) {
    const { frame, through: markThrough } = tail.marks[i]!
    if (frame === null || markThrough > through) break
    if (frames.length === 0) assert(frame.first === from, 'a range starts at a frame boundary')
    else if (!adjoins(frames.at(-1)!, frame) || frames.length >= limits.framesMax) break
    sizeBytes += frame.sizeBytes
    entries += frame.count
    const fits = sizeBytes <= limits.sizeBytesMax && entries <= limits.entriesMax
    if (frames.length > 0 && !fits) break
    frames.push(frame)
  }
  return frames
}

/** Cuts everything behind `through`, a boundary at or above the base. */
export function cutBehind(tail: Tail, through: LogIndex): void {
  assert(through >= tail.baseIndex, 'what is forgotten is chosen and never cut')
  const place = placeOf(tail, (through + 1) as LogIndex)
  for (let i = place; i < tail.marks.length; i++) dropFrame(tail.marks[i]!)
  tail.marks.length = Math.max(place, tail.head)
  tail.bare = Math.min(tail.bare, tail.marks.length)
  assert(lastOf(tail) === through, 'a log is cut at a frame boundary')
}

function dropFrame(mark: Mark): void {
  if (mark.frame !== null) mark.frame.kept = false
  mark.frame = null
}

/** First index whose bytes still lie in a ring; last + 1 when none do. */
export function firstKept(tail: Tail): LogIndex {
  return tail.marks[tail.bare]?.first ?? ((lastOf(tail) + 1) as LogIndex)
}

/** Lets go of the bytes of the longest prefix whose marks satisfy `free`. */
export function dropFrames(tail: Tail, free: (mark: Mark) => boolean): void {
  while (tail.bare < tail.marks.length) {
    const mark = tail.marks[tail.bare]!
    if (mark.frame !== null && !free(mark)) return
    dropFrame(mark)
    tail.bare += 1
  }
}

/** Forgets marks without bytes through `index`, but for the newest `keepCount` of them. */
export function forget(tail: Tail, index: LogIndex, keepCount: number): void {
  while (tail.bare - tail.head > keepCount) {
    const mark = tail.marks[tail.head]!
    if (mark.through > index) break
    tail.baseIndex = mark.through
    tail.baseChain = mark.chain
    tail.baseContinues = mark.continues
    tail.head += 1
  }
  if (tail.head < COMPACT_COUNT) return
  tail.marks.splice(0, tail.head)
  tail.bare -= tail.head
  tail.head = 0
}
