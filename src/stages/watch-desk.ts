/**
 * The watching side of the apply stage: while somebody watches, what is applied goes to the
 * caller's thread too, once for all who watch there; what was applied before is read back from the
 * WAL.
 *
 *     caller --[WATCH, UNWATCH]--> desk --[FEED, bytes]--> caller
 *                                  desk --[WATCH_READ]--> decide --[READ]--> wal
 *                                  desk <--[WATCH_FRAMES]-- decide;  [WATCH_DONE] frees the bytes
 *
 * Invariants: nothing here waits for the caller: where its rings have no room, frames are not fed
 * and it is told of the gap, or to ask again; what is fed is consecutive from one `head` to the
 * next `gap`, and comes before every answer that has seen it, since one ring carries both; one read
 * of the WAL is out at a time. Belongs to the thread of the apply stage; makes nothing an entry,
 * and does nothing while nobody watches.
 */
import { assert } from '../base/assert.ts'
import { createFifo, dropFirst, peekAt, pushTo, sizeOfFifo } from '../base/fifo.ts'
import type { CellRing } from '../ring/cell-ring.ts'
import { type LogRing, publish, tryClaim } from '../ring/log-ring.ts'
import * as cell from './cells.ts'
import { type OutPort, claim, drain, isFull } from './port.ts'
import { type ReplyCopies, createReplyCopies } from './reply-copies.ts'
import { type VoidEntries, countVoids, createVoidEntries, writeVoids } from './void-entries.ts'
import * as watch from './watch-cells.ts'

const ASKED_MAX = 256
const NOT_KNOWN = -1
/** Of one read, unless a single frame is larger; a small ring allows less. */
const READ_SIZE_MAX_BYTES = 2 ** 20
const RINGS_PER_READ = 16
/** So much of the ring may be replies to one order. */
const RINGS_PER_REPLIES = 8

export interface WatchDeskWiring {
  readonly asked: CellRing
  readonly toDecide: OutPort
  readonly toCaller: { readonly port: OutPort; readonly bytes: LogRing }
  readonly logRings: readonly LogRing[]
  /** Default: none, and this node applies the log from its first entry. */
  readonly voids?: VoidEntries
}

/** Executed frames, as they lie in a ring. */
export interface FrameRange {
  readonly log: Pick<LogRing, 'bytes'>
  readonly offset: number
  readonly sizeBytes: number
  readonly first: number
  readonly through: number
}

export interface WatchDesk {
  readonly voids: VoidEntries
  /** What the state machine replies to the order that is executed. */
  readonly replies: ReplyCopies
  /** Takes what callers asked; before the orders that were there when it was called. */
  takeAsked(applied: number): number
  /** Handles a cell of decide; false: it is none of watches. */
  onOrder(words: Float64Array, base: number, applied: number): boolean
  /** What was just executed; nothing happens unless `replies.isOn`. */
  feed(range: FrameRange): void
}

export function createWatchDesk(wiring: WatchDeskWiring): WatchDesk {
  const { asked, toDecide, logRings } = wiring
  const { port, bytes: ring } = wiring.toCaller
  const voids = wiring.voids ?? createVoidEntries()
  const replies = createReplyCopies(ring.capacityBytes / RINGS_PER_REPLIES)
  const readSizeMax = Math.min(READ_SIZE_MAX_BYTES, ring.capacityBytes / RINGS_PER_READ)
  /** Cells without bytes that wait for room; at most one a watch, and those of one gap. */
  const owed = createFifo<readonly number[]>()

  const tell = (id: number, code: watch.FeedCode, first: number, through: number): void => {
    pushTo(owed, [watch.FEED, id, 0, 0, 0, 0, 0, first, through, code, NOT_KNOWN])
    payOwed()
  }
  const payOwed = (): void => {
    for (let one = peekAt(owed); one !== undefined && !isFull(port); one = peekAt(owed)) {
      const base = claim(port)
      for (let i = 0; i < one.length; i++) port.words[base + i] = one[i]!
      dropFirst(owed, 1)
    }
  }
  /** The frames and what belongs to them; false: no room now. */
  const trySend = (id: number, range: FrameRange, repliesSize: number): boolean => {
    if (sizeOfFifo(owed) > 0 || isFull(port)) return false
    const { log, offset, sizeBytes, first, through } = range
    const count = countVoids(voids, first, through)
    const size = sizeBytes + watch.VOID_SIZE_BYTES * count + Math.max(0, repliesSize)
    const rounded = Math.ceil(size / 64) * 64
    const fits = 2 * rounded <= ring.capacityBytes
    assert(fits || id === 0, 'the ring takes what one read brings')
    const at = fits ? tryClaim(ring, rounded) : -1
    if (at < 0) return false
    ring.bytes.set(log.bytes.subarray(offset, offset + sizeBytes), at)
    writeVoids(voids, first, count, ring.view, at + sizeBytes)
    if (repliesSize > 0) {
      const behind = at + sizeBytes + watch.VOID_SIZE_BYTES * count
      ring.bytes.set(replies.bytes.subarray(0, repliesSize), behind)
    }
    const end = publish(ring, rounded)
    const base = claim(port)
    port.words[base] = watch.FEED
    port.words[base + 1] = id
    port.words[base + cell.AT_SIZE] = rounded
    port.words[base + watch.AT_FEED_FRAMES] = sizeBytes
    port.words[base + watch.AT_FEED_VOIDS] = count
    port.words[base + cell.AT_OFFSET] = at
    port.words[base + watch.AT_FEED_END] = end
    port.words[base + watch.AT_FEED_FIRST] = first
    port.words[base + watch.AT_FEED_THROUGH] = through
    port.words[base + watch.AT_FEED_CODE] = watch.FEED_CODE.frames
    port.words[base + watch.AT_FEED_REPLIES] = repliesSize
    return true
  }
  let applied = 0
  /** Of the read that is out. */
  let wanted = 0
  const onAsked = (words: Float64Array, base: number): number => {
    if (words[base] === watch.UNWATCH) {
      replies.isOn = false
      return 1
    }
    const id = words[base + 1]!
    const from = words[base + 2]!
    if (from === 0 || from > applied) {
      replies.isOn = true
      tell(id, watch.FEED_CODE.head, 0, applied)
    } else {
      wanted = from
      const at = claim(toDecide)
      toDecide.words[at] = watch.WATCH_READ
      toDecide.words[at + 1] = id
      toDecide.words[at + 2] = from
      toDecide.words[at + 3] = applied
      toDecide.words[at + 4] = readSizeMax
    }
    return 1
  }
  const onFrames = (words: Float64Array, base: number): void => {
    const id = words[base + 6]!
    const sizeBytes = words[base + cell.AT_SIZE]!
    const retained = words[base + 8]!
    if (sizeBytes === 0 || wanted < voids.from) {
      assert(sizeBytes > 0 || retained > wanted, 'what is on the disk is found')
      const there = Math.min(Math.max(retained, voids.from), applied + 1)
      return tell(id, watch.FEED_CODE.compacted, there, 0)
    }
    const log = logRings[words[base + cell.AT_RING]!]!
    const offset = words[base + cell.AT_OFFSET]!
    const first = Math.max(words[base + 1]!, voids.from)
    const range = { log, offset, sizeBytes, first, through: words[base + 7]! }
    if (!trySend(id, range, NOT_KNOWN)) tell(id, watch.FEED_CODE.again, 0, 0)
  }
  return {
    voids,
    replies,
    takeAsked(appliedNow) {
      applied = appliedNow
      payOwed()
      let taken = 0
      let count = 0
      do taken += count = drain(asked, ASKED_MAX, onAsked)
      while (count > 0)
      return taken
    },
    onOrder(words, base, appliedNow) {
      if (words[base] !== watch.WATCH_FRAMES) return false
      applied = appliedNow
      onFrames(words, base)
      const at = claim(toDecide)
      toDecide.words[at] = watch.WATCH_DONE
      toDecide.words[at + 1] = words[base + 6]!
      return true
    },
    feed(range) {
      if (!replies.isOn) return
      const repliesSize = replies.sizeBytes
      replies.sizeBytes = 0
      if (trySend(0, range, repliesSize)) return
      replies.isOn = false
      tell(0, watch.FEED_CODE.gap, 0, range.first - 1)
    },
  }
}
