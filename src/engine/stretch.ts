/**
 * A stretch of the log on the caller's thread: consecutive frames that were applied, copied once
 * for all who watch, with what is known of them. Each watch walks it with a cursor of its own and
 * makes an event of each entry that had an effect: nothing is made before somebody asks for it.
 *
 *     bytes  frames, as in the log  |  ranges without effect: f64 first, through  |  replies
 */
import { assert } from '../base/assert.ts'
import {
  FRAME_KIND,
  type FrameCursor,
  type FrameHeader,
  createFrameHeader,
  enterFrame,
  nextEntry,
  openFrameCursor,
  readFrameHeader,
} from '../codec/frame.ts'
import type { LogRing } from '../ring/log-ring.ts'
import * as cell from '../stages/cells.ts'
import * as watch from '../stages/watch-cells.ts'

/** One entry that was applied and had an effect. */
export interface WatchEvent {
  /** Log index; it only grows, and no two entries of a cluster have the same: a fencing token. */
  readonly index: number
  readonly payload: Uint8Array
  /** Null: it was proposed without a session. */
  readonly session: { readonly id: number; readonly sequence: number } | null
  /**
   * What the state machine of this node replied; null: nothing. Undefined: not known any more, of
   * an entry that was read back from the log.
   */
  readonly result: Uint8Array | null | undefined
}

export interface Stretch {
  readonly first: number
  readonly through: number
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly framesSizeBytes: number
  /** First and through index in turns, ascending. */
  readonly voids: Float64Array
  /** Log index -> offset of the reply; null: they are not known. */
  readonly replies: ReadonlyMap<number, number> | null
}

/** A copy of what a FEED cell of code `frames` describes. */
export function copyStretch(ring: LogRing, words: Float64Array, base: number): Stretch {
  const offset = words[base + cell.AT_OFFSET]!
  const framesSizeBytes = words[base + watch.AT_FEED_FRAMES]!
  const voidCount = words[base + watch.AT_FEED_VOIDS]!
  const repliesSize = words[base + watch.AT_FEED_REPLIES]!
  const bytes = ring.bytes.slice(offset, offset + words[base + cell.AT_SIZE]!)
  const view = new DataView(bytes.buffer)
  const repliesAt = framesSizeBytes + watch.VOID_SIZE_BYTES * voidCount
  return {
    first: words[base + watch.AT_FEED_FIRST]!,
    through: words[base + watch.AT_FEED_THROUGH]!,
    ...{ bytes, view, framesSizeBytes },
    voids: new Float64Array(bytes.buffer, framesSizeBytes, 2 * voidCount),
    replies: repliesSize < 0 ? null : repliesIn(view, repliesAt, repliesAt + repliesSize),
  }
}

/** Of several replies to one entry the last one counts, as for its proposer. */
function repliesIn(view: DataView, from: number, limit: number): Map<number, number> {
  const replies = new Map<number, number>()
  for (let at = from; at < limit;) {
    replies.set(view.getFloat64(at + 8, true), at)
    at += watch.REPLY_HEADER_SIZE_BYTES + Math.ceil(view.getUint32(at, true) / 8) * 8
  }
  return replies
}

export interface StretchCursor {
  stretch: Stretch | null
  /** Of the next frame. */
  at: number
  isInFrame: boolean
  /** Of the next entry in the frame. */
  index: number
  /** First range without effect that may still come. */
  voidAt: number
  readonly header: FrameHeader
  readonly entries: FrameCursor
}

export const openStretchCursor = (): StretchCursor => ({
  ...{ stretch: null, at: 0, isInFrame: false, index: 0, voidAt: 0 },
  header: createFrameHeader(),
  entries: openFrameCursor(new DataView(new ArrayBuffer(0))),
})

export function enterStretch(cursor: StretchCursor, stretch: Stretch): void {
  cursor.stretch = stretch
  cursor.at = 0
  cursor.isInFrame = false
  cursor.voidAt = 0
}

/** The next entry with an effect whose index is at least `from`; null: the stretch has no more. */
export function nextEvent(cursor: StretchCursor, from: number): WatchEvent | null {
  const { stretch, entries } = cursor
  assert(stretch !== null, 'a cursor walks what it entered')
  for (;;) {
    while (cursor.isInFrame && nextEntry(entries)) {
      const index = cursor.index++
      if (index >= from && !isVoid(cursor, stretch, index)) return eventOf(stretch, entries, index)
    }
    assert(entries.problem === 'ok', 'the body of a frame is whole entries')
    if (!enterNextFrame(cursor, stretch, from)) return null
  }
}

/** The next frame with entries of clients, at `from` or behind. */
function enterNextFrame(cursor: StretchCursor, stretch: Stretch, from: number): boolean {
  const { header, entries } = cursor
  const { bytes, view, framesSizeBytes } = stretch
  cursor.isInFrame = false
  while (cursor.at < framesSizeBytes) {
    const at = cursor.at
    const check = readFrameHeader(bytes, view, at, framesSizeBytes, header)
    assert(check === 'ok', 'a frame was verified before it was applied')
    cursor.at += header.sizeBytes
    if (header.kind !== FRAME_KIND.entries || header.first + header.count <= from) continue
    enterFrame(entries, view, at, header)
    cursor.index = header.first
    cursor.isInFrame = true
    return true
  }
  return false
}

function isVoid(cursor: StretchCursor, { voids }: Stretch, index: number): boolean {
  while (2 * cursor.voidAt < voids.length && voids[2 * cursor.voidAt + 1]! < index) {
    cursor.voidAt += 1
  }
  return 2 * cursor.voidAt < voids.length && voids[2 * cursor.voidAt]! <= index
}

function eventOf(stretch: Stretch, entry: FrameCursor, index: number): WatchEvent {
  const { bytes } = stretch
  const { payloadOffset, payloadSize, clientId, sequence } = entry
  return {
    index,
    payload: bytes.slice(payloadOffset, payloadOffset + payloadSize),
    session: entry.sessions ? { id: clientId, sequence } : null,
    result: resultOf(stretch, index),
  }
}

function resultOf({ replies, bytes, view }: Stretch, index: number): WatchEvent['result'] {
  if (replies === null) return undefined
  const at = replies.get(index)
  if (at === undefined) return null
  const from = at + watch.REPLY_HEADER_SIZE_BYTES
  return bytes.slice(from, from + view.getUint32(at, true))
}
