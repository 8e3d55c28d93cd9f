/**
 * WAL stage: writes what decide ordered, in that order, with one sync for all that waits (group
 * commit), and reads back frames for peers and appliers that lag. Blocking stage: synchronous file
 * calls, so it owns no socket or timer.
 *
 *     decide --[APPEND, READ, TRIM]--> wal --[DURABLE, READ_DONE, TRIMMED]--> decide
 *
 * Invariants: DURABLE(lsn) leaves only after the sync that covers lsn has returned; a READ sees
 * everything ordered before it; a failed sync throws, is never retried, and ends the node. Who lags
 * disturbs nobody: one READ a duty cycle, behind all that was appended and told durable.
 */
import { type Fifo, createFifo, dropFirst, peekAt, pushTo, sizeOfFifo } from '../base/fifo.ts'
import { recordOf } from '../codec/record.ts'
import type { LogIndex, Lsn } from '../core/ids.ts'
import type { CellRing } from '../ring/cell-ring.ts'
import { type LogRing, publish, tryClaim } from '../ring/log-ring.ts'
import {
  type ReadFrame,
  type Wal,
  abandonWal,
  append,
  closeWal,
  flush as flushWal,
  idle,
  mark,
  prepareIfUrgent,
  readFrames,
  retainedFirst,
  trim,
} from '../wal/wal.ts'
import * as cell from './cells.ts'
import { framesIn } from './frames-in.ts'
import { type OutPort, claim, drain, flush } from './port.ts'
import type { Stage } from './stage.ts'

const ORDERS_MAX = 1_024
const READ_WORDS = 6
/** So long without orders: nobody waits, and what is synced may be written down. */
const QUIET_MS = 100
const GROUP_SIZE_BYTES_MAX = 8 * 1024 * 1024
/** Reads that wait here: one a peer, and a few that nobody waits for any more. */
const READS_MAX = 64

export interface WalStageWiring {
  readonly wal: Wal
  readonly logRings: readonly LogRing[]
  /** The last of `logRings`: this stage writes it. */
  readonly readback: LogRing
  readonly orders: CellRing
  readonly toDecide: OutPort
  readonly nowMs: () => number
  /** A group is on the disk: `tookMs` for its write and its sync. */
  readonly onGroup: (batches: number, sizeBytes: number, tookMs: number) => void
}

export function createWalStage(wiring: WalStageWiring): Stage {
  const { wal, logRings, readback, orders, toDecide, nowMs } = wiring
  const readbackRing = logRings.length - 1
  let workedAtMs = nowMs()
  let groupSizeBytes = 0
  let groupBatches = 0
  const reads: Fifo<Float64Array> = createFifo()

  const onOrder = (words: Float64Array, base: number): number => {
    if (words[base] === cell.READ) {
      if (sizeOfFifo(reads) >= READS_MAX) return 0
      pushTo(reads, words.slice(base, base + READ_WORDS))
      return 1
    }
    if (words[base] === cell.TRIM) {
      onTrim(words[base + 1]! as LogIndex)
      return 1
    }
    if (groupSizeBytes > GROUP_SIZE_BYTES_MAX) return 0
    onAppend(words, base)
    return 1
  }
  const onAppend = (words: Float64Array, base: number): void => {
    const sizeBytes = words[base + cell.AT_SIZE]!
    const lsn = words[base + 1]! as Lsn
    const floor = words[base + 5]! as LogIndex
    const { bytes, view } = logRings[words[base + cell.AT_RING]!]!
    const offset = words[base + cell.AT_APPEND_OFFSET]!
    const payload = sizeBytes === 0 ? null : { bytes, offset, sizeBytes }
    const frames = sizeBytes === 0 ? null : framesIn(bytes, view, offset, sizeBytes)
    append(wal, recordOf(words, base), lsn, floor, payload, frames)
    groupSizeBytes += sizeBytes
    groupBatches += 1
  }
  const onTrim = (through: LogIndex): void => {
    if (trim(wal, through) === 0) return
    const base = claim(toDecide)
    toDecide.words[base] = cell.TRIMMED
    toDecide.words[base + 1] = retainedFirst(wal)
  }
  const commit = (): boolean => {
    if (groupBatches === 0) return false
    const since = nowMs()
    const lsn = flushWal(wal)
    wiring.onGroup(groupBatches, groupSizeBytes, nowMs() - since)
    groupSizeBytes = 0
    groupBatches = 0
    const base = claim(toDecide)
    toDecide.words[base] = cell.DURABLE
    toDecide.words[base + 1] = lsn
    return true
  }
  /** Waits while the read-back ring has no room. @returns how many reads were done */
  const readOne = (): number => {
    const words = peekAt(reads)
    if (words === undefined) return 0
    const offset = tryClaim(readback, readback.capacityBytes / 4)
    if (offset < 0) return 0
    dropFirst(reads, 1)
    const limit = offset + readback.capacityBytes / 4
    const from = words[2]! as LogIndex
    const through = words[3]! as LogIndex
    const into = readback.bytes.subarray(offset, limit)
    const isWithin = words[5] === 1
    const { sizeBytes, frames } = readFrames(wal, from, through, words[4]!, into, isWithin)
    const end = publish(readback, sizeBytes)
    report(words[1]!, frames, { offset, sizeBytes, end })
    return 1
  }
  const report = (
    ticket: number,
    frames: readonly ReadFrame[],
    place: { readonly offset: number; readonly sizeBytes: number; readonly end: number },
  ): void => {
    const base = claim(toDecide, frames.length)
    toDecide.words[base] = cell.READ_DONE
    toDecide.words[base + 1] = ticket
    toDecide.words[base + 2] = frames.length
    toDecide.words[base + 3] = retainedFirst(wal)
    for (const frame of frames) {
      const behind = place.sizeBytes - frame.offset - frame.sizeBytes
      const end = (place.end - behind / 64) | 0
      const offset = place.offset + frame.offset
      const at = claim(toDecide)
      cell.writeFrameCell(toDecide.words, at, frame, { ring: readbackRing, offset, end })
    }
  }
  const doWork = (): number => {
    if (!flush(toDecide)) return 0
    let taken = drain(orders, ORDERS_MAX, onOrder)
    const isCommitted = commit()
    flush(toDecide)
    if (isCommitted) prepareIfUrgent(wal)
    taken += readOne()
    flush(toDecide)
    if (taken > 0) {
      workedAtMs = nowMs()
      return taken
    }
    if (idle(wal)) return 1
    // Off the critical path: a mark costs the next sync a second block (R42).
    if (nowMs() - workedAtMs > QUIET_MS) mark(wal)
    return 0
  }
  return { name: 'wal', doWork, close: () => closeWal(wal), kill: () => abandonWal(wal) }
}
