/**
 * Which entries of the log had no effect, though they are entries: repeats of a session, and others
 * that its table refused. Whoever reads the log again later cannot tell without the table of then,
 * so the apply stage notes them as it meets them: ranges, since one rarely comes alone.
 *
 * Invariants: ranges ascend and do not touch; below `from` nothing is known. Belongs to the thread
 * of the apply stage; costs nothing for entries that take effect.
 */
import { assert } from '../base/assert.ts'

export interface VoidEntries {
  /** First index of which this is known: what was forgotten lies below. */
  from: number
  readonly firsts: number[]
  readonly throughs: number[]
  readonly rangesMax: number
}

/** Two numbers each: a mebibyte. */
const RANGES_MAX = 65_536

/** @param from the first index that this node applies itself */
export const createVoidEntries = (from = 1, rangesMax = RANGES_MAX): VoidEntries => ({
  ...{ from, firsts: [], throughs: [], rangesMax },
})

/** Entries without effect, behind all that were noted. */
export function noteVoid(voids: VoidEntries, first: number, through = first): void {
  const { firsts, throughs, rangesMax } = voids
  const last = throughs.length - 1
  assert(last < 0 || throughs[last]! < first, 'entries are applied in order')
  if (throughs[last] === first - 1) {
    throughs[last] = through
    return
  }
  firsts.push(first)
  throughs.push(through)
  if (throughs.length <= rangesMax) return
  const gone = Math.ceil(rangesMax / 4)
  voids.from = throughs[gone - 1]! + 1
  firsts.splice(0, gone)
  throughs.splice(0, gone)
}

/** Place of the first range that reaches `index`. */
function placeOf({ throughs }: VoidEntries, index: number): number {
  let low = 0
  let high = throughs.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (throughs[middle]! < index) low = middle + 1
    else high = middle
  }
  return low
}

/** How many ranges have an index in [first, through]. */
export function countVoids(voids: VoidEntries, first: number, through: number): number {
  const from = placeOf(voids, first)
  let at = from
  while (at < voids.firsts.length && voids.firsts[at]! <= through) at += 1
  return at - from
}

/** Writes `count` ranges from the one that reaches `first`: two f64 each. */
export function writeVoids(
  voids: VoidEntries,
  first: number,
  count: number,
  view: DataView,
  offset: number,
): void {
  const from = placeOf(voids, first)
  for (let i = 0; i < count; i++) {
    view.setFloat64(offset + 16 * i, voids.firsts[from + i]!, true)
    view.setFloat64(offset + 16 * i + 8, voids.throughs[from + i]!, true)
  }
}
