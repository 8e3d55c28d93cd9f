/**
 * The two ends of a cell ring as stages use them. An OutPort never refuses: what does not fit in
 * the ring waits in `overflow`, in order, and its owner stops taking new work until it is empty, so
 * the overflow is bounded by what one step can emit. One flush a duty cycle: one atomic store and
 * at most one wake-up however many cells.
 *
 * An OutPort belongs to the producing stage, an InPort to the consuming one.
 */
import { type Bell, ring as ringBell } from '../ring/bell.ts'
import {
  CELL_WORDS,
  type CellRing,
  available,
  cellBase,
  claimedBase,
  consume,
  publish,
  tryClaim,
} from '../ring/cell-ring.ts'

export interface OutPort {
  readonly cells: CellRing
  /** The consumer's thread; null when it is the producer's own. */
  readonly bell: Bell | null
  readonly overflow: Float64Array[]
  /** Where the cell of the last `claim` is to be written. */
  words: Float64Array
}

export const outPort = (cells: CellRing, bell: Bell | null): OutPort => ({
  cells,
  bell,
  overflow: [],
  words: cells.words,
})

/** Reserves the next cell: write `port.words[base + 0 .. 15]` before the next claim or flush. */
export function claim(port: OutPort): number {
  if (port.overflow.length === 0 && tryClaim(port.cells, 1)) {
    port.words = port.cells.words
    const base = claimedBase(port.cells, port.cells.claimed - 1)
    port.words.fill(0, base, base + CELL_WORDS)
    return base
  }
  port.words = new Float64Array(CELL_WORDS)
  port.overflow.push(port.words)
  return 0
}

/** Publishes; true when nothing is left over. */
export function flush(port: OutPort): boolean {
  const { cells, overflow } = port
  let moved = 0
  while (moved < overflow.length && tryClaim(cells, 1)) {
    cells.words.set(overflow[moved]!, claimedBase(cells, cells.claimed - 1))
    moved += 1
  }
  if (moved > 0) overflow.splice(0, moved)
  if (publish(cells) > 0 && port.bell !== null) ringBell(port.bell)
  return overflow.length === 0
}

/** Calls `take` for each ready cell, at most `countMax`; it returns how many cells it used. */
export function drain(
  cells: CellRing,
  countMax: number,
  take: (words: Float64Array, base: number, place: number) => number,
): number {
  const ready = Math.min(available(cells), countMax)
  let used = 0
  while (used < ready) {
    const count = take(cells.words, cellBase(cells, used), used)
    if (count === 0) break
    used += count
  }
  consume(cells, used)
  return used
}
