/**
 * The cell: 16 doubles that describe one message on a link, in a ring, or one record in the WAL
 * (codec/record.ts has its own use of words 4 to 15). Ruler: docs/wire.md.
 *
 *     word    0     1     2        3       4      5       6      7 ........ 15
 *     ring  | kind| from| payload| frames| ring | offset| stamp| message fields |
 *     wire  | kind| from| payload| frames| proto| link  | stamp| message fields |
 *           |     |     | bytes  |       | col  | sess. |      |                |
 *
 *     wire bytes 0        4            8                      136               136 + payload
 *                +--------+------------+----------------------+------------------+
 *                | 'XPC1' | crc32 of   | 16 words, float64    | frames, each a   |
 *                | u32    | the cell   | little-endian        | multiple of 64   |
 *                +--------+------------+----------------------+------------------+
 *
 * Invariants: every word is an integer; words 0 to 6 are 0 .. 2^53 - 1, fields may also be -1; the
 * payload is whole frames, a multiple of 64 bytes. Cells inside one process are native floats.
 *
 * Runs in the threads that own links. Bad bytes are a result, never a throw. `bytes` and `view`
 * cover the same memory from the same byte on.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../base/assert.ts'
import { FRAME_ALIGN_BYTES, FRAME_SIZE_MAX_BYTES } from './frame.ts'

export const CELL_WORDS = 16
export const CELL_SIZE_BYTES = 128

export const WORD_KIND = 0
export const WORD_FROM = 1
export const WORD_PAYLOAD_SIZE = 2
export const WORD_FRAME_COUNT = 3
/** In a ring: which log ring holds the payload, and the byte offset in its data area. */
export const WORD_RING = 4
export const WORD_OFFSET = 5
/** On the wire the same two words are: */
export const WORD_PROTOCOL = 4
export const WORD_SESSION = 5
export const WORD_STAMP = 6
export const WORD_FIELDS = 7
export const FIELDS_MAX = CELL_WORDS - WORD_FIELDS

export const WIRE_PROTOCOL_VERSION = 1
export const WIRE_HEADER_SIZE_BYTES = 8 + CELL_SIZE_BYTES
/** One frame of the greatest size and 64 bytes of slack. */
export const PAYLOAD_SIZE_MAX_BYTES = FRAME_SIZE_MAX_BYTES + FRAME_ALIGN_BYTES
/** Header and the smallest body: what bounds the frame count of a payload. */
export const FRAME_SIZE_MIN_BYTES = 2 * FRAME_ALIGN_BYTES

const WIRE_MAGIC = 0x31435058 // 'X', 'P', 'C', '1' in memory order
const NODE_ID_MAX = 65_535

export type WireProblem =
  | 'short' // fewer than 136 bytes
  | 'magic' // not a header of this protocol, or of its version
  | 'crc'
  | 'number' // a word that is no integer of its range
  | 'protocol' // word 4 names another version
  | 'size' // a payload that is too large, no multiple of 64, or too small for its frames

/** Turns words 4 to 6 of a cell from their meaning in a ring to their meaning on the wire. */
export function writeWireWords(
  words: Float64Array,
  base: number,
  session: number,
  stamp: number,
): void {
  words[base + WORD_PROTOCOL] = WIRE_PROTOCOL_VERSION
  words[base + WORD_SESSION] = session
  words[base + WORD_STAMP] = stamp
}

/** Writes the 136 bytes that go before the payload. Words 4 to 6 carry wire values already. */
export function encodeWireHeader(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  words: Float64Array,
  base: number,
): void {
  assert(wireProblem(words, base) === undefined, 'a cell that is sent is one that is accepted')
  const cell = offset + 8
  for (let i = 0; i < CELL_WORDS; i++) view.setFloat64(cell + 8 * i, words[base + i]!, true)
  view.setUint32(offset, WIRE_MAGIC, true)
  view.setUint32(offset + 4, crc32(bytes.subarray(cell, cell + CELL_SIZE_BYTES)), true)
}

/** Checks 136 bytes and copies the cell to `words`; the words count only after 'ok'. */
export function decodeWireHeader(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  words: Float64Array,
  base: number,
): 'ok' | WireProblem {
  if (offset < 0 || offset + WIRE_HEADER_SIZE_BYTES > bytes.length) return 'short'
  if (view.getUint32(offset, true) !== WIRE_MAGIC) return 'magic'
  const cell = offset + 8
  const crc = view.getUint32(offset + 4, true)
  if (crc32(bytes.subarray(cell, cell + CELL_SIZE_BYTES)) !== crc) return 'crc'
  for (let i = 0; i < CELL_WORDS; i++) words[base + i] = view.getFloat64(cell + 8 * i, true)
  return wireProblem(words, base) ?? 'ok'
}

function wireProblem(words: Float64Array, base: number): WireProblem | undefined {
  for (let i = 0; i < CELL_WORDS; i++) {
    if (!isWord(words[base + i]!, i < WORD_FIELDS ? 0 : -1)) return 'number'
  }
  const from = words[base + WORD_FROM]!
  if (words[base + WORD_KIND] === 0 || from === 0 || from > NODE_ID_MAX) return 'number'
  if (words[base + WORD_PROTOCOL] !== WIRE_PROTOCOL_VERSION) return 'protocol'
  return isPayload(words[base + WORD_PAYLOAD_SIZE]!, words[base + WORD_FRAME_COUNT]!)
    ? undefined
    : 'size'
}

/** Sizes that can be true, so that nobody reserves memory for a lie. */
export const isPayload = (sizeBytes: number, frameCount: number): boolean =>
  sizeBytes <= PAYLOAD_SIZE_MAX_BYTES &&
  sizeBytes % FRAME_ALIGN_BYTES === 0 &&
  frameCount * FRAME_SIZE_MIN_BYTES <= sizeBytes

/** -0 is refused, so that one number has one encoding. */
export const isWord = (value: number, min: number): boolean =>
  Number.isSafeInteger(value) && value >= min && !Object.is(value, -0)
