/**
 * What the state machine replied to the entries of one order, copied while somebody watches: one
 * buffer that grows and is used again, so that nothing is made for an entry. Thread of the apply
 * stage.
 *
 *     reply   u32 size | u32 0 | f64 log index | bytes padded to 8
 */
import { REPLY_HEADER_SIZE_BYTES } from './watch-cells.ts'

const SIZE_MIN_BYTES = 4_096

export interface ReplyCopies {
  isOn: boolean
  bytes: Uint8Array
  view: DataView
  /** -1: there was more than is copied. */
  sizeBytes: number
  /** Of one order: more is not told, and those who watch learn that it is not known. */
  readonly sizeMaxBytes: number
}

export function createReplyCopies(sizeMaxBytes: number): ReplyCopies {
  const bytes = new Uint8Array(0)
  return { isOn: false, bytes, view: new DataView(bytes.buffer), sizeBytes: 0, sizeMaxBytes }
}

export function copyReply(copies: ReplyCopies, index: number, reply: Uint8Array): void {
  if (copies.sizeBytes < 0) return
  const at = copies.sizeBytes
  const end = at + REPLY_HEADER_SIZE_BYTES + Math.ceil(reply.length / 8) * 8
  if (end > copies.sizeMaxBytes) {
    copies.sizeBytes = -1
    return
  }
  if (end > copies.bytes.length) grow(copies, end)
  copies.view.setUint32(at, reply.length, true)
  copies.view.setUint32(at + 4, 0, true)
  copies.view.setFloat64(at + 8, index, true)
  copies.bytes.set(reply, at + REPLY_HEADER_SIZE_BYTES)
  copies.sizeBytes = end
}

function grow(copies: ReplyCopies, sizeBytes: number): void {
  const bytes = new Uint8Array(Math.max(SIZE_MIN_BYTES, 2 * sizeBytes))
  bytes.set(copies.bytes)
  copies.bytes = bytes
  copies.view = new DataView(bytes.buffer)
}
