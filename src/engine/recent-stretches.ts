/**
 * The newest stretches that were fed, for all who watch at a node: consecutive, bounded in bytes.
 * Who stands before the oldest of them reads the log. Caller's thread.
 */
import { assert } from '../base/assert.ts'
import { createFifo, dropFirst, peekAt, pushTo, sizeOfFifo, takeAll } from '../base/fifo.ts'
import type { Stretch } from './stretch.ts'

export interface RecentStretches {
  /** First index; 0: there is none. */
  readonly first: number
  /** Last index; 0: there is none. */
  readonly through: number
  /** The one that holds the index. */
  of(index: number): Stretch | null
  /** The oldest make room; the newest stays, however large. */
  keep(stretch: Stretch): void
  forget(): void
}

export function createRecentStretches(sizeBytesMax: number): RecentStretches {
  const stretches = createFifo<Stretch>()
  let sizeBytes = 0
  const newest = (): Stretch | undefined => peekAt(stretches, sizeOfFifo(stretches) - 1)
  return {
    get first() {
      return peekAt(stretches)?.first ?? 0
    },
    get through() {
      return newest()?.through ?? 0
    },
    of(index) {
      let low = 0
      let high = sizeOfFifo(stretches)
      while (low < high) {
        const middle = (low + high) >>> 1
        if (peekAt(stretches, middle)!.through < index) low = middle + 1
        else high = middle
      }
      const found = peekAt(stretches, low)
      return found !== undefined && found.first <= index ? found : null
    },
    keep(stretch) {
      const last = newest()
      assert(last === undefined || last.through + 1 === stretch.first, 'stretches are consecutive')
      pushTo(stretches, stretch)
      sizeBytes += stretch.bytes.length
      while (sizeBytes > sizeBytesMax && sizeOfFifo(stretches) > 1) {
        sizeBytes -= peekAt(stretches)!.bytes.length
        dropFirst(stretches, 1)
      }
    },
    forget() {
      takeAll(stretches)
      sizeBytes = 0
    },
  }
}
