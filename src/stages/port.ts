/**
 * The two ends of a cell ring as stages use them. An OutPort never refuses: what does not fit in
 * the ring waits in `overflow`, in order, and its owner stops taking new work until it is empty, so
 * the overflow is bounded by what one step can emit. One flush a duty cycle: one atomic store and
 * at most one wake-up however many cells.
 *
 * Invariant: a cell and those that belong behind it are published by one store, or not at all, so
 * that who sees the first may read the rest.
 *
 * An OutPort belongs to the producing stage, an InPort to the consuming one.
 */
import { assert } from '../base/assert.ts'
import { type Bell, ring as ringBell } from '../ring/bell.ts'
import {
  CELL_WORDS,
  type CellRing,
  available,
  cellBase,
  claimedBase,
  consume,
  occupancyOf,
  publish,
  tryClaim,
} from '../ring/cell-ring.ts'

export interface OutPort {
  readonly cells: CellRing
  /** The consumer's thread; null when it is the producer's own. */
  readonly bell: Bell | null
  readonly overflow: Group[]
  /** Cells of the last group that are still to be claimed. */
  behind: number
  /** Where the cell of the last `claim` is to be written. */
  words: Float64Array
}

/** Consecutive cells that are published together. */
interface Group {
  readonly cells: Float64Array[]
  readonly count: number
}

/** Cells that one group may have: they must fit in the ring at once. */
export const GROUP_CELLS_MAX = 2_048

export const outPort = (cells: CellRing, bell: Bell | null): OutPort => ({
  cells,
  bell,
  overflow: [],
  behind: 0,
  words: cells.words,
})

/**
 * Reserves the next cell: write `port.words[base + 0 .. 15]` before the next claim or flush. The
 * next `behind` claims belong to it: all of them come before the next flush.
 */
export function claim(port: OutPort, behind = 0): number {
  const { cells, overflow } = port
  const isFollower = port.behind > 0
  if (isFollower) {
    assert(behind === 0, 'groups do not nest')
    port.behind -= 1
  } else {
    assert(behind < GROUP_CELLS_MAX, 'a group fits in a ring')
    port.behind = behind
    const fits = overflow.length === 0 && tryClaim(cells, 1 + behind)
    if (!fits) overflow.push({ cells: [], count: 1 + behind })
  }
  const group = overflow.at(-1)
  if (group === undefined) return claimInRing(port)
  port.words = new Float64Array(CELL_WORDS)
  group.cells.push(port.words)
  return 0
}

function claimInRing(port: OutPort): number {
  const { cells } = port
  port.words = cells.words
  const base = claimedBase(cells, cells.claimed - 1 - port.behind)
  port.words.fill(0, base, base + CELL_WORDS)
  return base
}

/** Publishes; true when nothing is left over. */
export function flush(port: OutPort): boolean {
  const { cells, overflow } = port
  assert(port.behind === 0, 'a group is published whole')
  let moved = 0
  while (moved < overflow.length && tryClaim(cells, overflow[moved]!.count)) {
    const group = overflow[moved]!
    for (const [place, words] of group.cells.entries()) {
      cells.words.set(words, claimedBase(cells, cells.claimed - group.count + place))
    }
    moved += 1
  }
  if (moved > 0) overflow.splice(0, moved)
  if (publish(cells) > 0 && port.bell !== null) ringBell(port.bell)
  return overflow.length === 0
}

/** A cell of these words; the rest of it is 0. */
export function orderCell(port: OutPort | null, values: readonly number[]): void {
  if (port === null) return
  const base = claim(port)
  for (let i = 0; i < values.length; i++) port.words[base + i] = values[i]!
}

/** True when the next claim might wait in `overflow`: for cells that may as well come later. */
export const isFull = ({ cells, overflow }: OutPort): boolean =>
  overflow.length > 0 || occupancyOf(cells) + cells.claimed >= cells.capacityCells / 2

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
