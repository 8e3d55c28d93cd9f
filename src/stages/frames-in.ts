/**
 * The frames of a range whose checksums were verified before (by receive, or by ingest that made
 * them): reads their headers without checking again. Any thread.
 */
import { type FrameHeader, createFrameHeader, readFrameHeader } from '../codec/frame.ts'
import { assert } from '../base/assert.ts'

/** @returns one object a frame, in order; `offset` counts from the start of the view */
export function framesIn(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  sizeBytes: number,
): (FrameHeader & { readonly offset: number })[] {
  const frames: (FrameHeader & { readonly offset: number })[] = []
  const limit = offset + sizeBytes
  const header = createFrameHeader()
  for (let at = offset; at < limit; at += header.sizeBytes) {
    const check = readFrameHeader(bytes, view, at, limit, header)
    assert(check === 'ok', 'a frame in a ring was verified before it was ordered')
    frames.push({ ...header, offset: at })
  }
  return frames
}
