/**
 * The log of the engine `limit` while it is worked on: parts, each one WAL record of one or several
 * adjoining frames in ring 0. Part n has LSN n on every node, since all get the same orders.
 *
 *     parts   | head ... | durable on a quorum: chosen ... | ordered ... |
 *             freed when every live node has synced it and every live data node has applied it
 *
 * Invariant: parts are consecutive in LSN and in log index. One thread, no memory of its own rings.
 */
import { assert } from '../../../src/base/assert.ts'
import * as cell from '../../../src/stages/cells.ts'

export interface Part {
  readonly lsn: number
  readonly first: number
  through: number
  readonly offset: number
  sizeBytes: number
  frames: number
  /** Ring sequence behind its last frame. */
  end: number
}

const COMPACT_AT = 1_024

export class Parts {
  private items: Part[] = []
  private head = 0
  /** Of the first part that is still here, and of the next one. */
  headLsn = 1
  nextLsn = 1

  get isEmpty(): boolean {
    return this.headLsn === this.nextLsn
  }

  push(part: Part): void {
    assert(part.lsn === this.nextLsn, 'parts are consecutive')
    this.items.push(part)
    this.nextLsn += 1
  }

  at(lsn: number): Part {
    const part = this.items[this.head + lsn - this.headLsn]
    assert(part !== undefined, 'a part is asked for while it is worked on')
    return part
  }

  /** Forgets all parts up to `lsn`. @returns the last of them; null: there was none */
  dropThrough(lsn: number): Part | null {
    if (lsn < this.headLsn) return null
    const last = this.at(lsn)
    this.head += lsn + 1 - this.headLsn
    this.headLsn = lsn + 1
    if (this.head >= COMPACT_AT || this.isEmpty) {
      this.items = this.items.slice(this.head)
      this.head = 0
    }
    return last
  }

  /** The greatest LSN at or above `from` whose part ends at or below the index `through`. */
  lsnOf(from: number, through: number): number {
    let lsn = from
    while (lsn + 1 < this.nextLsn && this.at(lsn + 1).through <= through) lsn += 1
    return lsn
  }
}

/** Collects FRAME cells into parts: frames that adjoin in the ring share one, up to the bound. */
export class Gather {
  private open: Part | null = null
  private readonly sizeBytesMax: number

  constructor(sizeBytesMax: number) {
    this.sizeBytesMax = sizeBytesMax
  }

  /** @returns the part that is complete because this frame is not in it; null: none is */
  add(words: Float64Array, base: number, lsn: number): Part | null {
    const first = words[base + 1]!
    const sizeBytes = words[base + cell.AT_SIZE]!
    const through = first + words[base + cell.AT_FRAMES]! - 1
    const offset = words[base + cell.AT_OFFSET]!
    const end = words[base + 8]!
    const { open } = this
    if (
      open !== null &&
      open.offset + open.sizeBytes === offset &&
      open.sizeBytes + sizeBytes <= this.sizeBytesMax
    ) {
      open.through = through
      open.sizeBytes += sizeBytes
      open.frames += 1
      open.end = end
      return null
    }
    const next = open === null ? lsn : open.lsn + 1
    this.open = { lsn: next, first, through, offset, sizeBytes, frames: 1, end }
    return open
  }

  take(): Part | null {
    const { open } = this
    this.open = null
    return open
  }
}

/** Marks of the voters, descending: the one that a majority has reached. */
export function quorumOf(marks: readonly number[], scratch: number[]): number {
  scratch.length = 0
  for (const mark of marks) {
    let at = scratch.length
    for (; at > 0 && scratch[at - 1]! < mark; at--) scratch[at] = scratch[at - 1]!
    scratch[at] = mark
  }
  return scratch[marks.length >> 1]!
}
