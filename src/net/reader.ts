/**
 * Bytes of one session -> messages in the inbox, a chunk at a time, in bounded memory: a header is
 * gathered in 136 bytes, checked, and then the payload is copied from the chunk into its place in
 * the log ring, reserved in full beforehand. Nothing is reserved on the word of a bad header.
 *
 *     header --checked--> reserve --room--> payload --all there--> header
 *       |                   |  no room: stop, the rest of the chunk waits
 *       +--> problem: the session ends
 *
 * Pure but for the rings; never throws on bytes. The link's thread runs it.
 */
import { assert } from '../base/assert.ts'
import {
  CELL_WORDS,
  decodeWireHeader,
  WIRE_HEADER_SIZE_BYTES,
  type WireProblem,
  WORD_FROM,
  WORD_KIND,
  WORD_PAYLOAD_SIZE,
  WORD_SESSION,
} from '../codec/cell.ts'
import { copyIn } from '../ring/log-ring.ts'
import { abandon, commit, type Inbox, payloadMaxOf, reserve } from './inbox.ts'
import { LINK_KIND_MIN } from './link.ts'

export type ReaderProblem =
  | WireProblem
  | 'from' // not the peer of this link
  | 'session' // not this session
  | 'kind' // a kind of the link layer
  | 'large' // more than the inbox can ever take

export interface Reader {
  readonly inbox: Inbox
  readonly peer: number
  readonly session: number
  readonly header: Uint8Array
  readonly view: DataView
  readonly words: Float64Array
  step: 'header' | 'reserve' | 'payload'
  headerFilled: number
  payloadOffset: number
  payloadFilled: number
  problem: ReaderProblem | undefined
  messageCount: number
}

export function createReader(inbox: Inbox, peer: number, session: number): Reader {
  const header = new Uint8Array(WIRE_HEADER_SIZE_BYTES)
  return {
    inbox,
    peer,
    session,
    header,
    view: new DataView(header.buffer),
    words: new Float64Array(CELL_WORDS),
    step: 'header',
    headerFilled: 0,
    payloadOffset: 0,
    payloadFilled: 0,
    problem: undefined,
    messageCount: 0,
  }
}

/**
 * Takes bytes from `at` on; returns where it stopped: the end of the chunk, or before it when the
 * inbox is full (call again later with the rest) or `problem` is set (never again).
 */
export function readChunk(reader: Reader, chunk: Uint8Array, at: number, stampMs: number): number {
  assert(reader.problem === undefined, 'a reader with a problem is done')
  let from = at
  for (;;) {
    if (reader.step === 'header') {
      if (from === chunk.length) return from
      from += gather(reader, chunk, from)
      if (reader.headerFilled < WIRE_HEADER_SIZE_BYTES) return from
      reader.problem = problemOf(reader)
      if (reader.problem !== undefined) return from
      reader.step = 'reserve'
    }
    if (reader.step === 'reserve') {
      const offset = reserve(reader.inbox, reader.words[WORD_PAYLOAD_SIZE]!)
      if (offset < 0) return from
      reader.payloadOffset = offset
      reader.payloadFilled = 0
      reader.step = 'payload'
    }
    from += fill(reader, chunk, from)
    if (reader.payloadFilled < reader.words[WORD_PAYLOAD_SIZE]!) return from
    commit(reader.inbox, reader.words, 0, reader.payloadOffset, stampMs)
    reader.messageCount++
    reader.headerFilled = 0
    reader.step = 'header'
  }
}

/** True when it waits for room and not for bytes. */
export const isWaitingForRoom = (reader: Reader): boolean => reader.step === 'reserve'

/** The session is over: an unfinished payload gives its place back. */
export function closeReader(reader: Reader): void {
  if (reader.step === 'payload') abandon(reader.inbox)
  reader.step = 'header'
}

function gather(reader: Reader, chunk: Uint8Array, from: number): number {
  const count = Math.min(WIRE_HEADER_SIZE_BYTES - reader.headerFilled, chunk.length - from)
  reader.header.set(chunk.subarray(from, from + count), reader.headerFilled)
  reader.headerFilled += count
  return count
}

function fill(reader: Reader, chunk: Uint8Array, from: number): number {
  const wanted = reader.words[WORD_PAYLOAD_SIZE]! - reader.payloadFilled
  const count = Math.min(wanted, chunk.length - from)
  if (count === 0) return 0
  const to = reader.payloadOffset + reader.payloadFilled
  copyIn(reader.inbox.log, chunk.subarray(from, from + count), to)
  reader.payloadFilled += count
  return count
}

function problemOf({ header, view, words, inbox, peer, session }: Reader) {
  const check = decodeWireHeader(header, view, 0, words, 0)
  if (check !== 'ok') return check
  if (words[WORD_KIND]! >= LINK_KIND_MIN) return 'kind'
  if (words[WORD_FROM] !== peer) return 'from'
  if (words[WORD_SESSION] !== session) return 'session'
  return words[WORD_PAYLOAD_SIZE]! > payloadMaxOf(inbox) ? 'large' : undefined
}
