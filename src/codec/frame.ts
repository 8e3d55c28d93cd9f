/**
 * The batch frame: consecutive entries handled as one, byte for byte the same in the ring, in the
 * WAL, on the wire and at the appliers. Ruler and reasons: docs/wire.md.
 *
 *     0      2    3     4      6      8      12     16      24     32        40
 *     +------+----+-----+------+------+------+------+-------+------+---------+-----------+
 *     | 'XP' | v1 | kind| flags| group| body | count| ballot| first| client  | client    |
 *     | u16  | u8 | u8  | u16  | u16 0| u32  | u32  | u64   | u64  | id u64  | seq. u64  |
 *     +------+----+-----+------+------+------+------+-------+------+---------+-----------+
 *     48         56         60           64                        64 + body    multiple of 64
 *     +----------+----------+------------+---------------------------+---------------+
 *     | reserved | crc32 of | crc32 of   | entries: [client id, seq] | padding,      |
 *     | u64 0    | the body | bytes 0-59 | u32 length, payload, pad4 | zero          |
 *     +----------+----------+------------+---------------------------+---------------+
 *
 * Invariants: little-endian; a 64-bit integer is two u32 and stays <= 2^53 - 1; every byte is
 * under a checksum or must be zero, so that the bytes of a frame are a function of its content.
 *
 * Runs in every thread that makes, checks or walks frames. `bytes` and `view` must cover the same
 * memory from the same byte on; offsets count from there. Nothing here throws on bad bytes, and
 * nothing is allocated per entry; zlib.crc32 takes no offset, so a stamp or a full check makes two
 * short-lived views per frame.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../base/assert.ts'
import type { Ballot, LogIndex } from '../core/ids.ts'
import { FLAGS_KNOWN, FRAME_KIND, type FrameKind, isContinued, isSessions } from './frame-kind.ts'
import { readU53, writeU53 } from './u53.ts'

export { FRAME_FLAG_CONTINUES, FRAME_FLAG_SESSIONS, isContinued } from './frame-kind.ts'
export { FRAME_KIND, type FrameKind } from './frame-kind.ts'

export const FRAME_HEADER_SIZE_BYTES = 64
export const FRAME_ALIGN_BYTES = 64
/** Header, body and padding together. */
export const FRAME_SIZE_MAX_BYTES = 8 * 1024 * 1024
export const FRAME_BODY_SIZE_MAX_BYTES = FRAME_SIZE_MAX_BYTES - FRAME_HEADER_SIZE_BYTES
export const FRAME_VERSION = 1

const MAGIC = 0x5058 // 'X', 'P' in memory order
const ENTRY_LENGTH_SIZE_BYTES = 4
/** Client id and sequence before each entry of a frame with `sessions`. */
export const ENTRY_SESSION_SIZE_BYTES = 16

const AT_VERSION = 2
const AT_KIND = 3
const AT_FLAGS = 4
const AT_GROUP = 6
const AT_BODY_SIZE = 8
const AT_COUNT = 12
const AT_BALLOT = 16
const AT_FIRST = 24
const AT_CLIENT_ID = 32
const AT_CLIENT_SEQUENCE = 40
const AT_RESERVED = 48
const AT_BODY_CRC = 56
const AT_HEADER_CRC = 60

/** What the maker of a frame says; ballot, first and the checksums come with the stamp. */
export interface FrameFields {
  readonly kind: FrameKind
  readonly flags: number
  readonly bodySizeBytes: number
  readonly count: number
  readonly clientId: number
  readonly clientSequence: number
}

/** Filled by checkFrame and readFrameHeader; valid only after they returned 'ok'. */
export interface FrameHeader {
  kind: FrameKind
  flags: number
  /** Header, body and padding. */
  sizeBytes: number
  bodySizeBytes: number
  count: number
  ballot: Ballot
  first: LogIndex
  clientId: number
  /** Sequence of the first entry; entry i of a frame without `sessions` has this plus i. */
  clientSequence: number
  bodyCrc: number
  headerCrc: number
}

export type FrameCheck =
  | 'ok'
  | 'short' // the limit comes before the end of the header or of the frame
  | 'magic'
  | 'version'
  | 'kind'
  | 'flags' // unknown flag, group or reserved bits, or a flag that is not of this kind
  | 'size' // beyond FRAME_SIZE_MAX_BYTES
  | 'count' // no entries, or more than the body can hold
  | 'number' // a 64-bit integer beyond 2^53 - 1
  | 'padding' // bytes behind the body that are not zero
  | 'header-crc'
  | 'body-crc'

/** Walks the entries of one frame; made once per applier and reused. */
export interface FrameCursor {
  /** Where the payload of the entry lies in the cursor's view, valid after nextEntry said true. */
  payloadOffset: number
  payloadSize: number
  clientId: number
  sequence: number
  /** Why nextEntry said false; 'ok' at the regular end. */
  problem: EntryProblem
  view: DataView
  sessions: boolean
  at: number
  end: number
  left: number
}

export type EntryProblem =
  | 'ok'
  | 'entry-length' // an entry reaches beyond the body
  | 'entry-number' // client id or sequence beyond 2^53 - 1
  | 'entry-padding' // bytes between entries that are not zero
  | 'entry-trailing' // body bytes behind the last entry

/** Whole size of a frame with this body: a multiple of 64. */
export const frameSizeOf = (bodySizeBytes: number): number =>
  FRAME_HEADER_SIZE_BYTES + roundUp(bodySizeBytes, FRAME_ALIGN_BYTES)

/** Body bytes that one entry takes, its length word and padding included. */
export const entrySizeOf = (payloadSizeBytes: number, sessions = false): number =>
  (sessions ? ENTRY_SESSION_SIZE_BYTES : 0) + ENTRY_LENGTH_SIZE_BYTES + roundUp(payloadSizeBytes, 4)

export function createFrameHeader(): FrameHeader {
  const double = Number.MAX_SAFE_INTEGER // so that V8 never changes these fields to doubles later
  const header: FrameHeader = {
    kind: FRAME_KIND.empty,
    flags: 0,
    sizeBytes: 0,
    bodySizeBytes: 0,
    count: 0,
    ballot: double as Ballot,
    first: double as LogIndex,
    clientId: double,
    clientSequence: double,
    bodyCrc: double,
    headerCrc: double,
  }
  header.ballot = 0 as Ballot
  header.first = 0 as LogIndex
  header.clientId = 0
  header.clientSequence = 0
  header.bodyCrc = 0
  header.headerCrc = 0
  return header
}

/** Writes all of the header but ballot, first and checksums, which are 0 until the stamp. */
export function writeFrameHeader(view: DataView, offset: number, fields: FrameFields): void {
  const { kind, flags, bodySizeBytes, count, clientId, clientSequence } = fields
  assert((flags & ~FLAGS_KNOWN) === 0, 'a frame has known flags only')
  assert(count > 0 && Number.isInteger(count), 'a frame has entries')
  assert(bodySizeBytes <= FRAME_BODY_SIZE_MAX_BYTES, 'a frame stays within its bound')
  assert(bodySizeBytes >= count * entrySizeOf(0, isSessions(flags)), 'a body holds its entries')
  view.setUint16(offset, MAGIC, true)
  view.setUint8(offset + AT_VERSION, FRAME_VERSION)
  view.setUint8(offset + AT_KIND, kind)
  view.setUint16(offset + AT_FLAGS, flags, true)
  view.setUint16(offset + AT_GROUP, 0, true)
  view.setUint32(offset + AT_BODY_SIZE, bodySizeBytes, true)
  view.setUint32(offset + AT_COUNT, count, true)
  writeU53(view, offset + AT_BALLOT, 0)
  writeU53(view, offset + AT_FIRST, 0)
  writeU53(view, offset + AT_CLIENT_ID, clientId)
  writeU53(view, offset + AT_CLIENT_SEQUENCE, clientSequence)
  writeU53(view, offset + AT_RESERVED, 0)
  view.setUint32(offset + AT_BODY_CRC, 0, true)
  view.setUint32(offset + AT_HEADER_CRC, 0, true)
}

/**
 * Writes one entry of a frame without `sessions`.
 * @returns the offset behind it
 */
export function writeEntry(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  payload: Uint8Array,
): number {
  const size = payload.length
  const at = offset + ENTRY_LENGTH_SIZE_BYTES
  const end = at + roundUp(size, 4)
  view.setUint32(offset, size, true)
  if (end > at) view.setUint32(end - 4, 0, true) // the padding, before the payload covers the rest
  bytes.set(payload, at)
  return end
}

/**
 * Writes one entry of a frame with `sessions`.
 * @returns the offset behind it
 */
export function writeSessionEntry(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  clientId: number,
  sequence: number,
  payload: Uint8Array,
): number {
  writeU53(view, offset, clientId)
  writeU53(view, offset + 8, sequence)
  return writeEntry(bytes, view, offset + ENTRY_SESSION_SIZE_BYTES, payload)
}

/**
 * Finishes a frame whose header fields and body are written: ballot, first, padding, checksums.
 * @returns the header's checksum, uint32: what FrameRef.headerCrc and the chain take
 */
export function stampFrame(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  ballot: Ballot,
  first: LogIndex,
): number {
  const bodySizeBytes = view.getUint32(offset + AT_BODY_SIZE, true)
  assert(view.getUint16(offset, true) === MAGIC, 'a stamp goes on a written header')
  assert(bodySizeBytes <= FRAME_BODY_SIZE_MAX_BYTES, 'a frame stays within its bound')
  const body = offset + FRAME_HEADER_SIZE_BYTES
  const bodyEnd = body + bodySizeBytes
  const end = offset + frameSizeOf(bodySizeBytes)
  for (let i = bodyEnd; i < end; i++) bytes[i] = 0
  writeU53(view, offset + AT_BALLOT, ballot)
  writeU53(view, offset + AT_FIRST, first)
  view.setUint32(offset + AT_BODY_CRC, crc32(bytes.subarray(body, bodyEnd)), true)
  const headerCrc = crc32(bytes.subarray(offset, offset + AT_HEADER_CRC))
  view.setUint32(offset + AT_HEADER_CRC, headerCrc, true)
  return headerCrc
}

/**
 * Checks a whole frame that must end at `limit` or before, and fills `out`. 'ok' means: these are
 * bytes that some stampFrame left. It says nothing about the entries inside; see nextEntry.
 */
export function checkFrame(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  limit: number,
  out: FrameHeader,
): FrameCheck {
  const check = readFrameHeader(bytes, view, offset, limit, out)
  if (check !== 'ok') return check
  const end = offset + out.sizeBytes
  if (end > limit || end > bytes.length) return 'short'
  const body = offset + FRAME_HEADER_SIZE_BYTES
  const bodyEnd = body + out.bodySizeBytes
  if (crc32(bytes.subarray(body, bodyEnd)) !== out.bodyCrc) return 'body-crc'
  for (let i = bodyEnd; i < end; i++) if (bytes[i] !== 0) return 'padding'
  return 'ok'
}

/** Checksum of the body bytes as they are now, of a frame whose header was read. */
export function bodyCrcAt(
  bytes: Uint8Array,
  offset: number,
  header: Readonly<Pick<FrameHeader, 'bodySizeBytes'>>,
): number {
  const body = offset + FRAME_HEADER_SIZE_BYTES
  return crc32(bytes.subarray(body, body + header.bodySizeBytes))
}

/** Checks the header alone and fills `out`; the frame may end behind `limit`. */
export function readFrameHeader(
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  limit: number,
  out: FrameHeader,
): FrameCheck {
  const end = offset + FRAME_HEADER_SIZE_BYTES
  if (offset < 0 || end > limit || end > bytes.length) return 'short'
  if (view.getUint16(offset, true) !== MAGIC) return 'magic'
  if (view.getUint8(offset + AT_VERSION) !== FRAME_VERSION) return 'version'
  const headerCrc = view.getUint32(offset + AT_HEADER_CRC, true)
  if (crc32(bytes.subarray(offset, offset + AT_HEADER_CRC)) !== headerCrc) return 'header-crc'
  out.kind = view.getUint8(offset + AT_KIND) as FrameKind
  out.flags = view.getUint16(offset + AT_FLAGS, true)
  out.bodySizeBytes = view.getUint32(offset + AT_BODY_SIZE, true)
  out.sizeBytes = frameSizeOf(out.bodySizeBytes)
  out.count = view.getUint32(offset + AT_COUNT, true)
  out.ballot = readU53(view, offset + AT_BALLOT) as Ballot
  out.first = readU53(view, offset + AT_FIRST) as LogIndex
  out.clientId = readU53(view, offset + AT_CLIENT_ID)
  out.clientSequence = readU53(view, offset + AT_CLIENT_SEQUENCE)
  out.bodyCrc = view.getUint32(offset + AT_BODY_CRC, true)
  out.headerCrc = headerCrc
  if (view.getUint16(offset + AT_GROUP, true) !== 0) return 'flags'
  if (view.getUint32(offset + AT_RESERVED, true) !== 0) return 'flags'
  if (view.getUint32(offset + AT_RESERVED + 4, true) !== 0) return 'flags'
  return checkFields(out)
}

/** What a right checksum does not prove: that this version understands the fields. */
function checkFields(header: FrameHeader): FrameCheck {
  const { kind, flags, bodySizeBytes, count, ballot, first, clientId, clientSequence } = header
  if (kind < FRAME_KIND.entries || kind > FRAME_KIND.audit) return 'kind'
  if ((flags & ~FLAGS_KNOWN) !== 0) return 'flags'
  if (isContinued(flags) && kind !== FRAME_KIND.entries) return 'flags'
  if (bodySizeBytes > FRAME_BODY_SIZE_MAX_BYTES) return 'size'
  if (count === 0 || count * entrySizeOf(0, isSessions(flags)) > bodySizeBytes) return 'count'
  const isBare = kind === FRAME_KIND.empty || kind === FRAME_KIND.abort
  if (isBare && (count !== 1 || bodySizeBytes !== 4)) return 'count'
  if (ballot < 0 || first < 0 || clientId < 0 || clientSequence < 0) return 'number'
  if (first + (count - 1) > Number.MAX_SAFE_INTEGER) return 'number'
  if (clientSequence + (count - 1) > Number.MAX_SAFE_INTEGER) return 'number'
  return 'ok'
}

export function openFrameCursor(view: DataView): FrameCursor {
  const double = Number.MAX_SAFE_INTEGER // so that V8 never changes these fields to doubles later
  const cursor: FrameCursor = {
    payloadOffset: 0,
    payloadSize: 0,
    clientId: double,
    sequence: double,
    problem: 'ok',
    view,
    sessions: false,
    at: 0,
    end: 0,
    left: 0,
  }
  cursor.clientId = 0
  cursor.sequence = 0
  return cursor
}

/** Puts the cursor before the first entry of a frame that was checked into `header`. */
export function enterFrame(
  cursor: FrameCursor,
  view: DataView,
  offset: number,
  header: Readonly<FrameHeader>,
): void {
  cursor.view = view
  cursor.problem = 'ok'
  cursor.sessions = isSessions(header.flags)
  cursor.clientId = header.clientId
  cursor.sequence = header.clientSequence - 1
  cursor.at = offset + FRAME_HEADER_SIZE_BYTES
  cursor.end = cursor.at + header.bodySizeBytes
  cursor.left = header.count
}

/** Moves to the next entry; false at the end of the frame or at a problem: see cursor.problem. */
export function nextEntry(cursor: FrameCursor): boolean {
  const { view, end } = cursor
  if (cursor.problem !== 'ok') return false
  if (cursor.left === 0) return cursor.at === end ? false : refuse(cursor, 'entry-trailing')
  let at = cursor.at
  if (cursor.sessions) {
    if (at + ENTRY_SESSION_SIZE_BYTES > end) return refuse(cursor, 'entry-length')
    cursor.clientId = readU53(view, at)
    cursor.sequence = readU53(view, at + 8)
    if (cursor.clientId < 0 || cursor.sequence < 0) return refuse(cursor, 'entry-number')
    at += ENTRY_SESSION_SIZE_BYTES
  } else {
    cursor.sequence++
  }
  if (at + ENTRY_LENGTH_SIZE_BYTES > end) return refuse(cursor, 'entry-length')
  const size = view.getUint32(at, true)
  at += ENTRY_LENGTH_SIZE_BYTES
  const next = at + roundUp(size, 4)
  if (next > end) return refuse(cursor, 'entry-length')
  for (let i = at + size; i < next; i++) {
    if (view.getUint8(i) !== 0) return refuse(cursor, 'entry-padding')
  }
  cursor.payloadOffset = at
  cursor.payloadSize = size
  cursor.at = next
  cursor.left--
  return true
}

function refuse(cursor: FrameCursor, problem: EntryProblem): boolean {
  cursor.problem = problem
  return false
}

/** Not by masks: sizes come from u32 fields and must not turn negative. */
const roundUp = (size: number, to: number): number => Math.ceil(size / to) * to
