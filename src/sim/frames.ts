/**
 * Frames with real bytes. A frame is made once, by the node that stamps it for its client, and is
 * immutable; the same object travels through links, rings and disks of a run, and its bytes are
 * checked by the codec at each arrival. Pure; one arena a run.
 */
import { assert } from '../base/assert.ts'
import {
  FRAME_FLAG_CONTINUES,
  FRAME_HEADER_SIZE_BYTES,
  FRAME_KIND,
  type FrameKind,
  checkFrame,
  createFrameHeader,
  entrySizeOf,
  frameSizeOf,
  stampFrame,
  writeEntry,
  writeFrameHeader,
} from '../codec/frame.ts'
import type { Ballot, LogIndex } from '../core/ids.ts'
import type { Membership } from '../core/membership.ts'

export interface Frame {
  readonly first: LogIndex
  readonly count: number
  readonly through: LogIndex
  readonly ballot: Ballot
  readonly sizeBytes: number
  readonly headerCrc: number
  /** It is not the end of its group (R38). */
  readonly continues: boolean
  readonly kind: FrameKind
  /** Counts up over all frames of a run: names the content. */
  readonly serial: number
  /** 0: of the protocol's own, a config batch or an empty one. */
  readonly session: number
  /** What a config batch says, read from its bytes; null in all others. */
  readonly membership: Membership | null
  /** The same as the WAL's fold wants it. */
  readonly config?: Uint8Array
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly offset: number
}

export interface FrameArena {
  bytes: Uint8Array
  view: DataView
  used: number
  nextSerial: number
  /** By header checksum: what was read back from a disk is found again. */
  readonly byCrc: Map<number, Frame>
}

export interface FrameSpec {
  readonly first: number
  readonly count: number
  readonly ballot: Ballot
  readonly payloadSizeBytes: number
  /** Bytes of each entry; null: its frame's serial number. */
  readonly payloadOf: (() => Uint8Array) | null
  readonly session: number
  readonly sessionSequence: number
  readonly continues?: boolean
  /** Default: entries. */
  readonly kind?: FrameKind
}

const CHUNK_BYTES = 2 ** 14
const scratch = (sizeBytes: number): Pick<FrameArena, 'bytes' | 'view' | 'used'> => {
  const bytes = new Uint8Array(sizeBytes)
  return { bytes, view: new DataView(bytes.buffer), used: 0 }
}

export const createArena = (): FrameArena => ({
  ...scratch(CHUNK_BYTES),
  nextSerial: 1,
  byCrc: new Map(),
})

export function makeFrame(arena: FrameArena, spec: FrameSpec): Frame {
  const { first, count, ballot, payloadSizeBytes, session, sessionSequence } = spec
  const { continues = false, kind = FRAME_KIND.entries } = spec
  const entrySize = entrySizeOf(payloadSizeBytes)
  const payloads = spec.payloadOf === null ? null : payloadsOf(spec.payloadOf, count)
  const bodySizeBytes = payloads === null ? count * entrySize : bodySizeOf(payloads)
  const sizeBytes = frameSizeOf(bodySizeBytes)
  const { bytes, view, offset } = claimBytes(arena, sizeBytes)
  const serial = arena.nextSerial++
  const flags = continues ? FRAME_FLAG_CONTINUES : 0
  const clientId = session
  const clientSequence = sessionSequence
  writeFrameHeader(view, offset, { kind, flags, bodySizeBytes, count, clientId, clientSequence })
  let end = offset + FRAME_HEADER_SIZE_BYTES
  for (const payload of payloads ?? []) end = writeEntry(bytes, view, end, payload)
  for (let i = 0, at = end; i < count && payloads === null; i++, at += entrySize) {
    view.setUint32(at, payloadSizeBytes, true)
    if (payloadSizeBytes >= 4) view.setUint32(at + 4, serial, true)
  }
  const headerCrc = stampFrame(bytes, view, offset, ballot, first as LogIndex)
  const through = (first + count - 1) as LogIndex
  const frame = {
    first: first as LogIndex,
    count,
    through,
    ballot,
    sizeBytes,
    headerCrc,
    continues,
    kind,
    serial,
    session,
    membership: null,
    bytes,
    view,
    offset,
  }
  arena.byCrc.set(headerCrc, frame)
  return frame
}

/** Bytes for one more frame. */
export function claimBytes(
  arena: FrameArena,
  sizeBytes: number,
): Pick<Frame, 'bytes' | 'view' | 'offset'> {
  if (arena.used + sizeBytes > arena.bytes.length) {
    Object.assign(arena, scratch(Math.max(4 * CHUNK_BYTES, sizeBytes)))
  }
  const { bytes, view, used: offset } = arena
  arena.used += sizeBytes
  return { bytes, view, offset }
}

const payloadsOf = (payloadOf: () => Uint8Array, count: number): Uint8Array[] =>
  Array.from({ length: count }, () => payloadOf())

const bodySizeOf = (payloads: readonly Uint8Array[]): number =>
  payloads.reduce((sum, { length }) => sum + entrySizeOf(length), 0)

/** Checks frames as a link does; reuses one header object. */
export function createFrameChecker(): (frame: Frame) => string {
  const header = createFrameHeader()
  return ({ bytes, view, offset, sizeBytes, headerCrc, count, first, ballot }) => {
    const check = checkFrame(bytes, view, offset, offset + sizeBytes, header)
    if (check !== 'ok') return check
    assert(header.headerCrc === headerCrc, 'a frame that passes is the one that was made')
    const same = header.count === count && header.first === first && header.ballot === ballot
    assert(same, 'a frame reads as it was written')
    return 'ok'
  }
}

/** The same frame with one bit of its bytes turned. */
export function flipFrame(frame: Frame, bit: number): Frame {
  const { offset, sizeBytes } = frame
  const bytes = frame.bytes.slice(offset, offset + sizeBytes)
  const at = (bit >>> 3) % sizeBytes
  bytes[at] = bytes[at]! ^ (1 << (bit & 7))
  return { ...frame, bytes, view: new DataView(bytes.buffer), offset: 0 }
}
