/**
 * The frames of a range whose checksums were verified before (by receive, or by ingest that made
 * them): reads their headers without checking again. Any thread.
 */
import { assert } from '../base/assert.ts'
import { FRAME_KIND, type FrameHeader, createFrameHeader } from '../codec/frame.ts'
import { isContinued, readFrameHeader } from '../codec/frame.ts'
import { configBytesOf } from '../codec/membership.ts'

/** A header, where it lies, and a copy of what a config frame says. */
export interface FrameIn extends FrameHeader {
  readonly offset: number
  readonly continues: boolean
  readonly config?: Uint8Array
}

/** @returns one object a frame, in order; `offset` counts from the start of the view */
export function framesIn(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  sizeBytes: number,
): FrameIn[] {
  const frames: FrameIn[] = []
  const limit = offset + sizeBytes
  const header = createFrameHeader()
  for (let at = offset; at < limit; at += header.sizeBytes) {
    const check = readFrameHeader(bytes, view, at, limit, header)
    assert(check === 'ok', 'a frame in a ring was verified before it was ordered')
    const isConfig = header.kind === FRAME_KIND.config
    const config = isConfig ? configBytesOf(bytes, view, at, header).slice() : null
    const frame = { ...header, offset: at, continues: isContinued(header.flags) }
    frames.push(config === null ? frame : { ...frame, config })
  }
  return frames
}
