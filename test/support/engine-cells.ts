/** Rings, ports and frames for tests of single stages: everything on one thread. */
import {
  FRAME_HEADER_SIZE_BYTES,
  FRAME_KIND,
  entrySizeOf,
  frameSizeOf,
} from '../../src/codec/frame.ts'
import { stampFrame, writeEntry, writeFrameHeader } from '../../src/codec/frame.ts'
import type { Ballot, LogIndex } from '../../src/core/ids.ts'
import { type CellRing, cellRingMemory, openCellRing } from '../../src/ring/cell-ring.ts'
import {
  type LogRing,
  logRingMemory,
  openLogRing,
  publish,
  tryClaim,
} from '../../src/ring/log-ring.ts'
import type { FrameCell, FramePlace } from '../../src/stages/cells.ts'
import { type OutPort, claim, drain, flush, outPort } from '../../src/stages/port.ts'

export const cellRing = (capacityCells = 64): CellRing =>
  openCellRing(cellRingMemory(capacityCells))
export const logRing = (sizeBytes = 2 ** 18): LogRing => openLogRing(logRingMemory(sizeBytes))
export const port = (cells: CellRing): OutPort => outPort(cells, null)

/** Writes one cell and publishes it. */
export function order(to: OutPort, values: readonly number[]): void {
  const base = claim(to)
  for (const [place, value] of values.entries()) to.words[base + place] = value
  flush(to)
}

/** All cells that are there, as arrays. */
export function cellsOf(cells: CellRing): number[][] {
  const taken: number[][] = []
  const take = (words: Float64Array, base: number): number =>
    taken.push([...words.subarray(base, base + 16)]) > 0 ? 1 : 0
  while (drain(cells, 1_000, take) > 0);
  return taken
}

export interface MadeFrame {
  readonly frame: FrameCell
  readonly place: Omit<FramePlace, 'ring'>
}

/** A frame in a ring, as ingest makes it. */
export function putFrame(
  log: LogRing,
  payloads: readonly (string | Uint8Array)[],
  fields: { first: number; clientId?: number; clientSequence?: number; ballot?: number },
): MadeFrame {
  const { first, clientId = 7, clientSequence = 1, ballot = 65_537 } = fields
  const bytes = payloads.map((one) =>
    typeof one === 'string' ? new TextEncoder().encode(one) : one,
  )
  const bodySizeBytes = bytes.reduce((sum, one) => sum + entrySizeOf(one.length), 0)
  const sizeBytes = frameSizeOf(bodySizeBytes)
  const offset = tryClaim(log, sizeBytes)
  let at = offset + FRAME_HEADER_SIZE_BYTES
  for (const one of bytes) at = writeEntry(log.bytes, log.view, at, one)
  const { entries: kind } = FRAME_KIND
  const count = bytes.length
  const head = { kind, flags: 0, bodySizeBytes, count, clientId, clientSequence }
  writeFrameHeader(log.view, offset, head)
  const headerCrc = stampFrame(log.bytes, log.view, offset, ballot as Ballot, first as LogIndex)
  const end = publish(log, sizeBytes)
  return { frame: { first, count, ballot, sizeBytes, headerCrc }, place: { offset, end } }
}
