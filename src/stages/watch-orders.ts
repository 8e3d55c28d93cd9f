/**
 * What decide does for those who watch: carries their reads from apply to the WAL and the frames
 * back, and holds the bytes meanwhile. Part of the decide stage; the core knows nothing of it.
 *
 * Tickets of these reads are negative, so that they are nobody else's.
 */
import { type FrameRef, throughOf } from '../core/frame-ref.ts'
import * as cell from './cells.ts'
import { type Holds, holdForWatch } from './holds.ts'
import { type OutPort, claim } from './port.ts'
import * as watch from './watch-cells.ts'

/** A WATCH_READ of apply. */
export function orderWatchRead(toWal: OutPort, words: Float64Array, base: number): void {
  const at = claim(toWal)
  toWal.words[at] = cell.READ
  toWal.words[at + 1] = -words[base + 1]!
  toWal.words[at + 2] = words[base + 2]!
  toWal.words[at + 3] = words[base + 3]!
  toWal.words[at + 4] = words[base + 4]!
  toWal.words[at + 5] = 1
}

/** The answer of the WAL: one range, since one read lies in one piece. */
export function orderWatchFrames(
  toApply: OutPort,
  holds: Holds,
  read: { readonly ticket: number; readonly retained: number },
  frames: readonly FrameRef[],
): void {
  const id = -read.ticket
  holdForWatch(holds, id, frames)
  const base = claim(toApply)
  const { words } = toApply
  words[base] = watch.WATCH_FRAMES
  words[base + 1] = frames[0]?.first ?? 0
  words[base + cell.AT_SIZE] = frames.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  words[base + cell.AT_FRAMES] = frames.length
  words[base + cell.AT_RING] = frames[0]?.ring ?? 0
  words[base + cell.AT_OFFSET] = frames[0]?.offset ?? 0
  words[base + 6] = id
  words[base + 7] = frames.length === 0 ? 0 : throughOf(frames.at(-1)!)
  words[base + 8] = read.retained
}
