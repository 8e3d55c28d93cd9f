/**
 * The first 136 bytes of a connection, each way: who speaks, to whom, of which cluster, in which
 * session. It is a wire header of the codec with a kind of the link layer, so magic, checksum and
 * protocol version are checked as everywhere. Fields, by word:
 *
 *     0     1     2..3  4         5        6  7   8        9            10     11       12
 *     kind  from  0     protocol  session  0  to  cluster  incarnation  nonce  history  durability
 *
 * and 0 in words 13..15.
 *
 * hello (242), from the dialer, proposes a session; welcome (243) answers with the session that
 * holds: at least the proposal, and more than the acceptor ever had with this peer.
 */
import {
  CELL_WORDS,
  decodeWireHeader,
  encodeWireHeader,
  WIRE_HEADER_SIZE_BYTES,
  WORD_FIELDS,
  WORD_FROM,
  WORD_KIND,
  WORD_PAYLOAD_SIZE,
  WORD_SESSION,
  WORD_STAMP,
  writeWireWords,
} from '../codec/cell.ts'
import type { RefusedReason } from './link.ts'

export const HELLO = 242
export const WELCOME = 243
export const HANDSHAKE_SIZE_BYTES = WIRE_HEADER_SIZE_BYTES
/** Far from what a double cannot count; the hub refuses jumps towards it. */
const SESSION_LIMIT = 2 ** 48

export interface Handshake {
  readonly kind: typeof HELLO | typeof WELCOME
  readonly from: number
  readonly to: number
  /** `clusterHashOf` the cluster's name. */
  readonly cluster: number
  readonly session: number
  readonly incarnation: number
  readonly nonce: number
  /** The history epoch: nodes of different histories of a cluster never talk (R35). */
  readonly history: number
  /** What an acknowledgement is worth, as a code; one for the cluster (R5). */
  readonly durability: number
}

export function encodeHandshake(handshake: Handshake): Uint8Array {
  const words = new Float64Array(CELL_WORDS)
  const bytes = new Uint8Array(HANDSHAKE_SIZE_BYTES)
  words[WORD_KIND] = handshake.kind
  words[WORD_FROM] = handshake.from
  writeWireWords(words, 0, handshake.session, 0)
  words[WORD_FIELDS] = handshake.to
  words[WORD_FIELDS + 1] = handshake.cluster
  words[WORD_FIELDS + 2] = handshake.incarnation
  words[WORD_FIELDS + 3] = handshake.nonce
  words[WORD_FIELDS + 4] = handshake.history
  words[WORD_FIELDS + 5] = handshake.durability
  encodeWireHeader(bytes, new DataView(bytes.buffer), 0, words, 0)
  return bytes
}

/** The handshake, or why these bytes are none. */
export function decodeHandshake(
  bytes: Uint8Array,
  kind: typeof HELLO | typeof WELCOME,
): Handshake | RefusedReason {
  if (bytes.length !== HANDSHAKE_SIZE_BYTES) return 'handshake-invalid'
  const words = new Float64Array(CELL_WORDS)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const check = decodeWireHeader(bytes, view, 0, words, 0)
  if (check === 'protocol') return 'version'
  const isPlain =
    check === 'ok' &&
    words[WORD_KIND] === kind &&
    words[WORD_PAYLOAD_SIZE] === 0 &&
    words[WORD_STAMP] === 0 &&
    words[WORD_SESSION]! > 0 &&
    words[WORD_SESSION]! < SESSION_LIMIT &&
    words.subarray(WORD_FIELDS, WORD_FIELDS + 6).every((word) => word >= 0) &&
    words.subarray(WORD_FIELDS + 6).every((word) => word === 0)
  if (!isPlain) return 'handshake-invalid'
  return {
    kind,
    from: words[WORD_FROM]!,
    to: words[WORD_FIELDS]!,
    cluster: words[WORD_FIELDS + 1]!,
    session: words[WORD_SESSION]!,
    incarnation: words[WORD_FIELDS + 2]!,
    nonce: words[WORD_FIELDS + 3]!,
    history: words[WORD_FIELDS + 4]!,
    durability: words[WORD_FIELDS + 5]!,
  }
}

/** A cluster's name as a number below 2^53 (two rounds of FNV-1a); a number stands for itself. */
export function clusterHashOf(name: string | number): number {
  if (typeof name === 'number') return name
  return fnv(name, 0x811c9dc5) * 2 ** 21 + (fnv(name, 0x9e3779b9) >>> 11)
}

function fnv(text: string, seed: number): number {
  let hash = seed
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
