/**
 * Messages of one session -> writes to its socket, copying headers only. A payload is written as a
 * view of the log ring: the socket holds that view until the write is done, so its bytes stay taken
 * until then (R45). Messages of one turn go out as one gathered write, a batch.
 *
 *     pool  | header 0 | header 1 | header 2 | ...          written as runs between payloads
 *     write   h0 h1 | payload of 1 | h2 | payload of 2      the last part carries the callback
 *
 * Invariants: bytes and headers in flight are bounded; batches are done in order, so the ticket of
 * a done batch covers all before it. After `end` nothing is written, and only the socket's close
 * says that its bytes are free. The socket's thread runs it.
 */
import { assert } from '../base/assert.ts'
import {
  CELL_WORDS,
  encodeWireHeader,
  WIRE_HEADER_SIZE_BYTES,
  WORD_PAYLOAD_SIZE,
  writeWireWords,
} from '../codec/cell.ts'

/** What an outbox needs of a socket. */
export interface Wire {
  write(bytes: Uint8Array, done?: (error?: Error | null) => void): boolean
  cork(): void
  uncork(): void
}

const HEADERS_MAX = 2_048
/** A batch of this size is written at once, so that its bytes are free early. */
const BATCH_BYTES_MAX = 256 * 1024

export interface Outbox {
  readonly wire: Wire
  readonly session: number
  readonly bytesMax: number
  readonly onSent: (ticket: number) => void
  readonly pool: Uint8Array
  readonly view: DataView
  readonly words: Float64Array
  /** Bytes given to the socket, or about to be, and not done. */
  queuedBytes: number
  /** Headers that are not done; the next one goes to place `headerNext`. */
  headerCount: number
  headerNext: number
  /** Headers from here up to headerNext are not yet given to the socket. */
  runStart: number
  /** The last part of the open batch, kept back so that it can carry the callback. */
  last: Uint8Array | null
  batchBytes: number
  batchHeaders: number
  lastTicket: number
  isOpen: boolean // a batch is open: the wire is corked
  isEnded: boolean
}

export function createOutbox(
  wire: Wire,
  session: number,
  bytesMax: number,
  onSent: (ticket: number) => void,
): Outbox {
  const pool = new Uint8Array(HEADERS_MAX * WIRE_HEADER_SIZE_BYTES)
  return {
    wire,
    session,
    bytesMax,
    onSent,
    pool,
    view: new DataView(pool.buffer),
    words: new Float64Array(CELL_WORDS),
    queuedBytes: 0,
    headerCount: 0,
    headerNext: 0,
    runStart: 0,
    last: null,
    batchBytes: 0,
    batchHeaders: 0,
    lastTicket: 0,
    isOpen: false,
    isEnded: false,
  }
}

/** False: the bound is reached. A message larger than the bound goes when nothing else is out. */
export function queueMessage(
  outbox: Outbox,
  words: Float64Array,
  base: number,
  payload: Uint8Array | null,
  ticket: number,
): boolean {
  const payloadSize = payload === null ? 0 : payload.length
  const sizeBytes = WIRE_HEADER_SIZE_BYTES + payloadSize
  assert(!outbox.isEnded && ticket >= outbox.lastTicket, 'an open session, rising tickets')
  assert(words[base + WORD_PAYLOAD_SIZE] === payloadSize, 'word 2 is the size of the payload')
  if (outbox.headerCount === HEADERS_MAX) return false
  if (outbox.queuedBytes > 0 && outbox.queuedBytes + sizeBytes > outbox.bytesMax) return false
  openBatch(outbox)
  putHeader(outbox, words, base)
  if (payload !== null && payloadSize > 0) {
    closeRun(outbox)
    put(outbox, payload)
  }
  outbox.queuedBytes += sizeBytes
  outbox.batchBytes += sizeBytes
  outbox.lastTicket = ticket
  if (outbox.batchBytes >= BATCH_BYTES_MAX) flushOutbox(outbox)
  return true
}

/** Gives the open batch to the socket. Returns 1 when there was one. */
export function flushOutbox(outbox: Outbox): number {
  if (!outbox.isOpen || outbox.isEnded) return 0
  closeRun(outbox)
  const { batchBytes, batchHeaders, lastTicket, last } = outbox
  assert(last !== null, 'an open batch has a part')
  outbox.batchBytes = 0
  outbox.batchHeaders = 0
  outbox.last = null
  outbox.isOpen = false
  outbox.wire.write(last, (error) => {
    if (error) return // the close of the socket frees the bytes
    outbox.queuedBytes -= batchBytes
    outbox.headerCount -= batchHeaders
    outbox.onSent(lastTicket)
  })
  outbox.wire.uncork()
  return 1
}

/** The session is over: what is not given to the socket is dropped. */
export function endOutbox(outbox: Outbox): void {
  outbox.isEnded = true
  outbox.last = null
}

function openBatch(outbox: Outbox): void {
  if (outbox.isOpen) return
  outbox.isOpen = true
  outbox.wire.cork()
  queueMicrotask(() => flushOutbox(outbox))
}

function putHeader(outbox: Outbox, words: Float64Array, base: number): void {
  const scratch = outbox.words
  for (let i = 0; i < CELL_WORDS; i++) scratch[i] = words[base + i]!
  writeWireWords(scratch, 0, outbox.session, 0)
  const offset = outbox.headerNext * WIRE_HEADER_SIZE_BYTES
  encodeWireHeader(outbox.pool, outbox.view, offset, scratch, 0)
  outbox.headerCount++
  outbox.batchHeaders++
  outbox.headerNext++
  if (outbox.headerNext < HEADERS_MAX) return
  closeRun(outbox)
  outbox.headerNext = 0
  outbox.runStart = 0
}

function closeRun(outbox: Outbox): void {
  const { pool, runStart, headerNext } = outbox
  if (runStart === headerNext) return
  const end = headerNext * WIRE_HEADER_SIZE_BYTES
  put(outbox, pool.subarray(runStart * WIRE_HEADER_SIZE_BYTES, end))
  outbox.runStart = headerNext
}

function put(outbox: Outbox, part: Uint8Array): void {
  if (outbox.last !== null) outbox.wire.write(outbox.last)
  outbox.last = part
}
