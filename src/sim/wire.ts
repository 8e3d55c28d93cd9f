/**
 * Messages in flight, as the bytes of the wire: 136 bytes a header, in one slab a run, so that a
 * packet costs no allocation. What arrives is decoded from these bytes and nothing else.
 *
 * Invariant: a place is owned by one packet from `encode` to `release`.
 */
import { isReplicaError } from '../base/errors.ts'
import {
  CELL_WORDS,
  WIRE_HEADER_SIZE_BYTES,
  WORD_FRAME_COUNT,
  WORD_FROM,
  WORD_PAYLOAD_SIZE,
  decodeWireHeader,
  encodeWireHeader,
  writeWireWords,
} from '../codec/cell.ts'
import type { MessageCodec } from '../codec/message-codec.ts'
import type { NodeId } from '../core/ids.ts'
import { demand } from './invariants.ts'

export interface Wire<M> {
  readonly codec: MessageCodec<M>
  /** The cell that is being written or was read last, and the one it is compared with. */
  readonly words: Float64Array
  readonly again: Float64Array
  bytes: Uint8Array
  view: DataView
  readonly free: number[]
  decoded: number
}

const CAPACITY = 128
const CHECK_EVERY = 15

export function createWire<M>(codec: MessageCodec<M>): Wire<M> {
  const bytes = new Uint8Array(CAPACITY * WIRE_HEADER_SIZE_BYTES)
  const free: number[] = []
  for (let i = CAPACITY; i-- > 0;) free.push(i)
  return {
    codec,
    words: new Float64Array(CELL_WORDS),
    again: new Float64Array(CELL_WORDS),
    bytes,
    view: new DataView(bytes.buffer),
    free,
    decoded: 0,
  }
}

function grow<M>(wire: Wire<M>): void {
  const count = wire.bytes.length / WIRE_HEADER_SIZE_BYTES
  const bytes = new Uint8Array(2 * wire.bytes.length)
  bytes.set(wire.bytes)
  wire.bytes = bytes
  wire.view = new DataView(bytes.buffer)
  for (let i = 2 * count; i-- > count;) wire.free.push(i)
}

/** A cell whose message and payload words are written. @returns the place of the packet */
export function encodeCell<M>(
  wire: Wire<M>,
  cell: Float64Array,
  base: number,
  session: number,
  stamp: number,
): number {
  if (wire.free.length === 0) grow(wire)
  const place = wire.free.pop()!
  const { words } = wire
  for (let i = 0; i < CELL_WORDS; i++) words[i] = cell[base + i]!
  writeWireWords(words, 0, session, stamp)
  encodeWireHeader(wire.bytes, wire.view, place * WIRE_HEADER_SIZE_BYTES, words, 0)
  return place
}

/** @returns the place of the packet */
export function encode<M>(
  wire: Wire<M>,
  from: NodeId,
  message: M,
  payload: { readonly sizeBytes: number; readonly frameCount: number },
  session: number,
): number {
  if (wire.free.length === 0) grow(wire)
  const place = wire.free.pop()!
  const { words } = wire
  wire.codec.encode(message, words, 0)
  words[WORD_FROM] = from
  words[WORD_PAYLOAD_SIZE] = payload.sizeBytes
  words[WORD_FRAME_COUNT] = payload.frameCount
  writeWireWords(words, 0, session, 0)
  encodeWireHeader(wire.bytes, wire.view, place * WIRE_HEADER_SIZE_BYTES, words, 0)
  return place
}

/** Of the encoded bytes: a short name of the message for the trace. */
export const crcAt = <M>(wire: Wire<M>, place: number): number =>
  wire.view.getUint32(place * WIRE_HEADER_SIZE_BYTES + 4, true)

export function flipBit<M>(wire: Wire<M>, place: number, bit: number): void {
  const at = place * WIRE_HEADER_SIZE_BYTES + ((bit >>> 3) % WIRE_HEADER_SIZE_BYTES)
  wire.bytes[at] = wire.bytes[at]! ^ (1 << (bit & 7))
}

/** The message at a place; null: refused, as a link refuses it. */
export function decode<M>(wire: Wire<M>, place: number): M | null {
  const { words, codec } = wire
  const offset = place * WIRE_HEADER_SIZE_BYTES
  if (decodeWireHeader(wire.bytes, wire.view, offset, words, 0) !== 'ok') return null
  try {
    const message = codec.decode(words, 0)
    if ((wire.decoded++ & CHECK_EVERY) === 0) checkInverse(wire, message)
    return message
  } catch (error) {
    if (isReplicaError(error)) return null
    throw error
  }
}

/** encode(decode(x)) = x for what decode accepts. */
function checkInverse<M>({ codec, words, again }: Wire<M>, message: M): void {
  again.set(words)
  codec.encode(message, again, 0)
  for (let i = 0; i < CELL_WORDS; i++) {
    demand(again[i] === words[i], 'I13', 'a message encodes as it was decoded')
  }
}

export const release = <M>(wire: Wire<M>, place: number): void => void wire.free.push(place)
