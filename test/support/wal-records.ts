/**
 * Frames and records for the tests of the WAL: a seeded payload per index, so that what comes back
 * can be checked byte for byte without keeping it.
 */
import {
  FRAME_FLAG_CONTINUES,
  FRAME_KIND,
  createFrameHeader,
  checkFrame,
  entrySizeOf,
  frameSizeOf,
  isContinued,
  stampFrame,
  writeEntry,
  writeFrameHeader,
  FRAME_HEADER_SIZE_BYTES,
} from '../../src/codec/frame.ts'
import { configBytesOf } from '../../src/codec/membership.ts'
import type { Ballot, LogIndex } from '../../src/core/ids.ts'
import type { ReadFrame } from '../../src/wal/scan.ts'

/** One frame of `count` entries, each filled from (ballot, index). */
export function frameOf(
  ballot: number,
  first: number,
  count: number,
  payloadSizeBytes: number,
  continues = false,
): Uint8Array {
  const bodySizeBytes = count * entrySizeOf(payloadSizeBytes)
  const bytes = new Uint8Array(frameSizeOf(bodySizeBytes))
  const view = new DataView(bytes.buffer)
  const kind = FRAME_KIND.entries
  // prettier-ignore
  const client = { clientId: 7, clientSequence: first }
  const flags = continues ? FRAME_FLAG_CONTINUES : 0
  writeFrameHeader(view, 0, { kind, flags, bodySizeBytes, count, ...client })
  let offset = FRAME_HEADER_SIZE_BYTES
  for (let i = 0; i < count; i++) {
    const payload = new Uint8Array(payloadSizeBytes).fill((ballot * 31 + (first + i) * 7) & 255)
    offset = writeEntry(bytes, view, offset, payload)
  }
  stampFrame(bytes, view, 0, ballot as Ballot, first as LogIndex)
  return bytes
}

/** A config frame of one entry, these bytes. */
export function configFrameOf(ballot: number, first: number, payload: Uint8Array): Uint8Array {
  const bodySizeBytes = entrySizeOf(payload.length)
  const bytes = new Uint8Array(frameSizeOf(bodySizeBytes))
  const view = new DataView(bytes.buffer)
  const { config: kind } = FRAME_KIND
  const client = { clientId: 0, clientSequence: 0 }
  writeFrameHeader(view, 0, { kind, flags: 0, bodySizeBytes, count: 1, ...client })
  writeEntry(bytes, view, FRAME_HEADER_SIZE_BYTES, payload)
  stampFrame(bytes, view, 0, ballot as Ballot, first as LogIndex)
  return bytes
}

export interface PackedFrames {
  readonly bytes: Uint8Array
  readonly offset: number
  readonly sizeBytes: number
  readonly frames: readonly ReadFrame[]
}

/** Puts frames one behind the other, as in a ring, at an offset that is not 0. */
export function pack(frames: readonly Uint8Array[]): PackedFrames {
  const offset = 64
  const sizeBytes = frames.reduce((sum, frame) => sum + frame.length, 0)
  const bytes = new Uint8Array(new SharedArrayBuffer(offset + sizeBytes))
  let at = offset
  for (const frame of frames) {
    bytes.set(frame, at)
    at += frame.length
  }
  return { bytes, offset, sizeBytes, frames: framesOf(bytes.subarray(offset)) }
}

/** The frames in some bytes, by the codec alone. */
export function framesOf(bytes: Uint8Array): ReadFrame[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const header = createFrameHeader()
  const found: ReadFrame[] = []
  for (let offset = 0; offset < bytes.length; offset += header.sizeBytes) {
    const check = checkFrame(bytes, view, offset, bytes.length, header)
    if (check !== 'ok') throw new Error(`frame at ${offset}: ${check}`)
    const { first, count, ballot, sizeBytes, headerCrc, kind } = header
    const continues = isContinued(header.flags)
    const frame = { first, count, ballot, sizeBytes, headerCrc, continues, offset, kind }
    const config = kind === FRAME_KIND.config ? configBytesOf(bytes, view, offset, header) : null
    found.push(config === null ? frame : { ...frame, config: config.slice() })
  }
  return found
}
