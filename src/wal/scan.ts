/**
 * Reads records from a segment file and checks each against the one before it. Read-only; shared by
 * recovery, by inspection and, for single records, by the readers of frames.
 *
 * A record is the next one only if all holds: its envelope is whole, names this segment, a greater
 * LSN and the newest metadata, continues the record chain; its frames are whole, their checksums
 * fold to the digest. A good checksum alone proves nothing: a recycled file is full of them.
 */
import { assert } from '../base/assert.ts'
import type { Storage, StorageFile } from '../base/storage.ts'
import {
  FRAME_ALIGN_BYTES,
  type FrameHeader,
  checkFrame,
  FRAME_KIND,
  type FrameKind,
  createFrameHeader,
  isContinued,
} from '../codec/frame.ts'
import {
  ENVELOPE_CHAIN,
  ENVELOPE_DIGEST,
  ENVELOPE_FLOOR,
  ENVELOPE_FRAME_COUNT,
  ENVELOPE_LSN,
  ENVELOPE_MAGIC,
  ENVELOPE_METADATA,
  ENVELOPE_PAYLOAD_SIZE,
  ENVELOPE_SEGMENT,
  ENVELOPE_SIZE_BYTES,
  ENVELOPE_SYNCED,
  chainAfter,
  chainStep,
  decodeEnvelope,
  recordOf,
} from '../codec/record.ts'
import { configBytesOf } from '../codec/membership.ts'
import type { Ballot, LogIndex, Lsn } from '../core/ids.ts'
import type { WalRecord } from '../core/records.ts'
import { type FrameMark, isMetadata } from './fold.ts'

const WINDOW_SIZE_BYTES = 2 ** 20
const WORD_SIZE_BYTES = 8

/** A frame as it lies in some bytes. */
export interface ReadFrame extends FrameMark {
  /** The ballot of birth. */
  readonly ballot: Ballot
  /** Of its header in those bytes. */
  readonly offset: number
  readonly kind: FrameKind
}

/** Words of an envelope that was found whole. */
export interface Envelope {
  readonly record: WalRecord
  readonly lsn: Lsn
  readonly payloadSizeBytes: number
  readonly frameCount: number
  readonly segment: number
  readonly floor: LogIndex
  readonly chain: number
  readonly synced: Lsn
  readonly metadata: Lsn
  readonly digest: number
}

export interface FoundRecord extends Envelope {
  /** Of the envelope in the file. */
  readonly offset: number
  readonly sizeBytes: number
  readonly frames: readonly ReadFrame[]
  /** The frames' bytes, which `frames[i].offset` counts in; valid until the next read. */
  readonly payload: Uint8Array
}

/** A stretch of one file in memory; grows to the largest record, moves forward by reading. */
export interface Window {
  readonly storage: Storage
  readonly file: StorageFile
  bytes: Uint8Array
  words: Float64Array
  start: number
  end: number
}

export function openWindow(storage: Storage, file: StorageFile): Window {
  const whole = Math.ceil(storage.sizeOf(file) / WORD_SIZE_BYTES) * WORD_SIZE_BYTES
  const bytes = new Uint8Array(Math.min(WINDOW_SIZE_BYTES, whole))
  return { storage, file, bytes, words: new Float64Array(bytes.buffer), start: 0, end: 0 }
}

/** Where in `window.bytes` the file's bytes [offset, offset + size) are now; -1: the file ends. */
export function reach(window: Window, offset: number, sizeBytes: number): number {
  if (offset >= window.start && offset + sizeBytes <= window.end) return offset - window.start
  assert(offset % FRAME_ALIGN_BYTES === 0, 'records lie on a grid, so that words are aligned')
  if (sizeBytes > window.bytes.length) {
    window.bytes = new Uint8Array(2 ** Math.ceil(Math.log2(sizeBytes)))
    window.words = new Float64Array(window.bytes.buffer)
  }
  window.start = offset
  window.end = offset + window.storage.pread(window.file, window.bytes, offset)
  return offset + sizeBytes <= window.end ? 0 : -1
}

/** The envelope at `offset` when it is whole and of this segment, else null. */
export function readEnvelope(window: Window, offset: number, segment: number): Envelope | null {
  const at = reach(window, offset, ENVELOPE_SIZE_BYTES)
  if (at < 0) return null
  const { bytes, words } = window
  const base = at / WORD_SIZE_BYTES
  if (words[base + ENVELOPE_SEGMENT] !== segment) return null
  return decodeEnvelope(bytes, words, base) === 'ok' ? envelopeAt(words, base) : null
}

export function envelopeAt(words: Float64Array, base: number): Envelope {
  return {
    record: recordOf(words, base),
    lsn: words[base + ENVELOPE_LSN]! as Lsn,
    payloadSizeBytes: words[base + ENVELOPE_PAYLOAD_SIZE]!,
    frameCount: words[base + ENVELOPE_FRAME_COUNT]!,
    segment: words[base + ENVELOPE_SEGMENT]!,
    floor: words[base + ENVELOPE_FLOOR]! as LogIndex,
    chain: words[base + ENVELOPE_CHAIN]!,
    synced: words[base + ENVELOPE_SYNCED]! as Lsn,
    metadata: words[base + ENVELOPE_METADATA]! as Lsn,
    digest: words[base + ENVELOPE_DIGEST]!,
  }
}

/** What the next record must continue. */
export interface Place {
  readonly segment: number
  readonly offset: number
  /** Where records of this segment end at the latest. */
  readonly limit: number
  readonly lsn: Lsn
  readonly chain: number
  readonly metadataLsn: Lsn
}

/** The record at `place`, checked down to its bodies; null: the log ends here, or is damaged. */
export function readRecord(window: Window, place: Place): FoundRecord | null {
  const { segment, offset, limit } = place
  if (offset + ENVELOPE_SIZE_BYTES > limit) return null
  const envelope = readEnvelope(window, offset, segment)
  if (envelope === null || envelope.lsn <= place.lsn) return null
  const base = (offset - window.start) / WORD_SIZE_BYTES
  if (chainAfter(window.bytes, base, place.chain) !== envelope.chain) return null
  const newest = isMetadata(envelope.record) ? envelope.lsn : place.metadataLsn
  if (envelope.metadata !== newest) return null
  const sizeBytes = ENVELOPE_SIZE_BYTES + envelope.payloadSizeBytes
  if (offset + sizeBytes > limit) return null
  const at = reach(window, offset, sizeBytes)
  if (at < 0) return null
  const payload = window.bytes.subarray(at + ENVELOPE_SIZE_BYTES, at + sizeBytes)
  const frames = framesIn(payload, envelope)
  return frames === null ? null : { ...envelope, offset, sizeBytes, frames, payload }
}

/** The frames of a whole payload, checked; null: they are not what the envelope says. */
export function framesIn(payload: Uint8Array, envelope: Envelope): ReadFrame[] | null {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  const header = createFrameHeader()
  const frames: ReadFrame[] = []
  let digest = 0
  let offset = 0
  while (offset < payload.length) {
    if (checkFrame(payload, view, offset, payload.length, header) !== 'ok') return null
    const found = foundAt(header, offset)
    const isConfig = header.kind === FRAME_KIND.config
    const config = isConfig ? configBytesOf(payload, view, offset, header).slice() : null
    frames.push(config === null ? found : { ...found, config })
    digest = chainStep(digest, header.headerCrc)
    offset += header.sizeBytes
  }
  return frames.length === envelope.frameCount && digest === envelope.digest ? frames : null
}

export function foundAt(header: FrameHeader, offset: number): ReadFrame {
  const { first, count, ballot, sizeBytes, headerCrc, kind, flags } = header
  const continues = isContinued(flags)
  return { first, count, ballot, sizeBytes, headerCrc, continues, offset, kind }
}

/**
 * The greatest synced LSN that any whole envelope of this segment in [from, to) names; -1: there is
 * none. Looks at every place of the grid, since after damage nobody knows where records begin.
 */
export function greatestSynced(window: Window, segment: number, from: number, to: number): number {
  let greatest = -1
  for (let offset = from; offset + ENVELOPE_SIZE_BYTES <= to; offset += FRAME_ALIGN_BYTES) {
    const at = reach(window, offset, ENVELOPE_SIZE_BYTES)
    if (at < 0) break
    const first = window.words[at / WORD_SIZE_BYTES]!
    if (!(first > ENVELOPE_MAGIC && first < ENVELOPE_MAGIC + 256)) continue
    const envelope = readEnvelope(window, offset, segment)
    if (envelope !== null && envelope.synced > greatest) greatest = envelope.synced
  }
  return greatest
}
