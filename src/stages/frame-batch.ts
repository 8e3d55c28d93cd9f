/**
 * What the state machine sees of a frame: one batch object for all frames of an apply stage, moved
 * from frame to frame, so that nothing is made for an entry. Its walk reads 32-bit words in place;
 * the frame's checksum was verified when it was received, its entries are checked here.
 *
 * Invariant: an entry that reaches beyond its frame is an assertion, not a read of other bytes.
 */
import { assert } from '../base/assert.ts'
import { isBytes } from '../base/bytes.ts'
import type { ApplyBatch } from '../base/state-machine.ts'
import {
  ENTRY_SESSION_SIZE_BYTES,
  FRAME_FLAG_SESSIONS,
  FRAME_HEADER_SIZE_BYTES,
  type FrameHeader,
} from '../codec/frame.ts'
import type { LogRing } from '../ring/log-ring.ts'
import { type ReplyCopies, copyReply } from './reply-copies.ts'

/** Fits in half of the client's ring. */
const REPLY_SIZE_MAX_BYTES = 2 * 1024 * 1024

/** Consecutive entries of a frame with `sessions`, from byte `body` to byte `end` of the ring. */
export interface EntryRun {
  readonly first: number
  readonly count: number
  readonly body: number
  readonly end: number
}

/** Replies of one frame, as the state machine gave them; `place` is the entry's log index. */
export interface Reply {
  readonly place: number
  readonly bytes: Uint8Array
}

/** Where frames lie, three ways: a ring, or memory of their own. */
export type FrameBytes = Pick<LogRing, 'bytes' | 'view' | 'words'>

export interface FrameBatch extends ApplyBatch {
  /** Moves to the frame at byte `offset` of the ring; replies go to `replies` if that is given. */
  enter(
    log: FrameBytes,
    offset: number,
    first: number,
    header: Readonly<FrameHeader>,
    replies: Reply[] | null,
  ): void
  /** Moves to a part of a frame with `sessions`. */
  enterRun(log: FrameBytes, run: EntryRun, replies: Reply[]): void
}

const LENGTH_SIZE_BYTES = 4

/** @param copies of what is replied, for those who watch; null: nobody can */
export function createFrameBatch(copies: ReplyCopies | null = null): FrameBatch {
  let replies: Reply[] | null = null
  let at = 0
  let left = 0
  const batch = {
    first: 0,
    count: 0,
    bytes: new Uint8Array(0) as Uint8Array,
    words: new Int32Array(0) as Int32Array,
    offset: 0,
    size: 0,
    body: 0,
    end: 0,
    lead: 0,
    enter(
      log: FrameBytes,
      offset: number,
      first: number,
      header: Readonly<FrameHeader>,
      out: Reply[] | null,
    ): void {
      const at = offset + FRAME_HEADER_SIZE_BYTES
      batch.lead = (header.flags & FRAME_FLAG_SESSIONS) === 0 ? 0 : ENTRY_SESSION_SIZE_BYTES
      place(log, { first, count: header.count, body: at, end: at + header.bodySizeBytes }, out)
    },
    enterRun(log: FrameBytes, run: EntryRun, out: Reply[]): void {
      batch.lead = ENTRY_SESSION_SIZE_BYTES
      place(log, run, out)
    },
    next(): boolean {
      if (left === 0) {
        assert(at === batch.end, 'the body of a frame is whole entries')
        return false
      }
      const lengthAt = at + batch.lead
      const size = batch.words[lengthAt >> 2]!
      const payloadAt = lengthAt + LENGTH_SIZE_BYTES
      const next = payloadAt + ((size + 3) & -4)
      assert(size >= 0 && next <= batch.end, 'an entry lies within its frame')
      batch.offset = payloadAt
      batch.size = size
      at = next
      left -= 1
      return true
    },
    payload(i: number): Uint8Array {
      if (!(i >= 0 && i < batch.count)) {
        throw new RangeError(`entry ${String(i)} of ${String(batch.count)}`)
      }
      if (i < placeOf()) rewind()
      while (placeOf() < i && batch.next());
      return batch.bytes.subarray(batch.offset, batch.offset + batch.size)
    },
    reply(i: number, bytes: Uint8Array): void {
      // On every node alike, proposer or not: what a state machine does is the same everywhere.
      if (!isBytes(bytes)) throw new TypeError('a reply is a Uint8Array')
      if (bytes.length > REPLY_SIZE_MAX_BYTES) {
        throw new RangeError(`a reply has at most ${String(REPLY_SIZE_MAX_BYTES)} bytes`)
      }
      replies?.push({ place: batch.first + i, bytes: bytes.slice() })
      if (copies?.isOn === true) copyReply(copies, batch.first + i, bytes)
    },
  }
  const place = (log: FrameBytes, run: EntryRun, out: Reply[] | null): void => {
    batch.first = run.first
    batch.count = run.count
    batch.bytes = log.bytes
    batch.words = log.words
    batch.body = run.body
    batch.end = run.end
    replies = out
    rewind()
  }
  /** Place of the entry that `offset` and `size` describe; -1 before the first. */
  const placeOf = (): number => batch.count - left - 1
  const rewind = (): void => {
    at = batch.body
    left = batch.count
  }
  return batch
}
