/**
 * The WAL envelope: 128 bytes before the frames of each record, 16 doubles in the file as they are
 * in memory (little-endian). Ruler: docs/wire.md.
 *
 *     word 0            1    2        3       4        5      6      7       8
 *        +--------------+----+--------+-------+--------+------+------+-------+---------+
 *        | 0x58504c00 + | lsn| payload| frames| segment| floor| chain| synced| newest  |
 *        | code         |    | bytes  |       | id     |      |      | lsn   | metadata|
 *        +--------------+----+--------+-------+--------+------+------+-------+---------+
 *     word 9                               13   14              15
 *        +-----------------------------------+----------------+------------------------+
 *        | fields of the record, rest 0      | payload digest | crc32 of bytes 0-119   |
 *        +-----------------------------------+----------------+------------------------+
 *
 *     chain(n) = chainStep(chain(n - 1), crc32 of bytes 0-47 and 56-119), chain before LSN 1 is 0
 *     payload digest = chainStep over the headerCrc of each frame, from 0
 *
 * Invariants: the checksum says that one envelope is whole; the chain says that it follows the one
 * before it, so that a recycled or swapped envelope with a right checksum is still found.
 *
 * Runs in the WAL thread. `bytes` and `words` cover the same memory from the same byte on; `base`
 * counts words. Bad bytes are a result, never a throw.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../base/assert.ts'
import type { Ballot, LogIndex, Lsn } from '../core/ids.ts'
import type { WalRecord } from '../core/records.ts'
import { CELL_SIZE_BYTES, CELL_WORDS, isPayload, isWord } from './cell.ts'
import { BALLOT, type CellShape, NUMBER, type Rows, rowTable } from './message-codec.ts'

export const ENVELOPE_SIZE_BYTES = CELL_SIZE_BYTES
export const ENVELOPE_MAGIC = 0x58504c00

export const ENVELOPE_LSN = 1
export const ENVELOPE_PAYLOAD_SIZE = 2
export const ENVELOPE_FRAME_COUNT = 3
export const ENVELOPE_SEGMENT = 4
export const ENVELOPE_FLOOR = 5
export const ENVELOPE_CHAIN = 6
export const ENVELOPE_SYNCED = 7
export const ENVELOPE_METADATA = 8
export const ENVELOPE_FIELDS = 9
export const ENVELOPE_DIGEST = 14
export const ENVELOPE_CRC = 15

const FIELDS_MAX = ENVELOPE_DIGEST - ENVELOPE_FIELDS
const SHAPE: CellShape = {
  codeBase: ENVELOPE_MAGIC,
  fieldsAt: ENVELOPE_FIELDS,
  fieldsMax: FIELDS_MAX,
}
const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1

const ROWS: Rows<WalRecord> = {
  entries: {
    code: 1,
    fields: [
      ['ballot', BALLOT],
      ['prev', NUMBER],
      ['through', NUMBER],
    ],
    encode: (record, words, at) => {
      words[at] = record.ballot
      words[at + 1] = record.prev
      words[at + 2] = record.through
    },
    decode: (words, at) => ({
      kind: 'entries',
      ballot: words[at]! as Ballot,
      prev: words[at + 1]! as LogIndex,
      through: words[at + 2]! as LogIndex,
    }),
  },
  promised: {
    code: 2,
    fields: [['ballot', BALLOT]],
    encode: (record, words, at) => {
      words[at] = record.ballot
    },
    decode: (words, at) => ({
      kind: 'promised',
      ballot: words[at]! as Ballot,
    }),
  },
  'sync-begin': {
    code: 3,
    fields: [
      ['ballot', BALLOT],
      ['syncPoint', NUMBER],
      ['adoptedLast', NUMBER],
    ],
    encode: (record, words, at) => {
      words[at] = record.ballot
      words[at + 1] = record.syncPoint
      words[at + 2] = record.adoptedLast
    },
    decode: (words, at) => ({
      kind: 'sync-begin',
      ballot: words[at]! as Ballot,
      syncPoint: words[at + 1]! as LogIndex,
      adoptedLast: words[at + 2]! as LogIndex,
    }),
  },
  'sync-entries': {
    code: 4,
    fields: [
      ['ballot', BALLOT],
      ['prev', NUMBER],
      ['through', NUMBER],
    ],
    encode: (record, words, at) => {
      words[at] = record.ballot
      words[at + 1] = record.prev
      words[at + 2] = record.through
    },
    decode: (words, at) => ({
      kind: 'sync-entries',
      ballot: words[at]! as Ballot,
      prev: words[at + 1]! as LogIndex,
      through: words[at + 2]! as LogIndex,
    }),
  },
  'sync-commit': {
    code: 5,
    fields: [
      ['ballot', BALLOT],
      ['syncPoint', NUMBER],
      ['through', NUMBER],
    ],
    encode: (record, words, at) => {
      words[at] = record.ballot
      words[at + 1] = record.syncPoint
      words[at + 2] = record.through
    },
    decode: (words, at) => ({
      kind: 'sync-commit',
      ballot: words[at]! as Ballot,
      syncPoint: words[at + 1]! as LogIndex,
      through: words[at + 2]! as LogIndex,
    }),
  },
  'instance-promised': {
    code: 6,
    fields: [
      ['instance', NUMBER],
      ['ballot', BALLOT],
    ],
    encode: (record, words, at) => {
      words[at] = record.instance
      words[at + 1] = record.ballot
    },
    decode: (words, at) => ({
      kind: 'instance-promised',
      instance: words[at]! as LogIndex,
      ballot: words[at + 1]! as Ballot,
    }),
  },
  'instance-accepted': {
    code: 7,
    fields: [
      ['instance', NUMBER],
      ['ballot', BALLOT],
    ],
    encode: (record, words, at) => {
      words[at] = record.instance
      words[at + 1] = record.ballot
    },
    decode: (words, at) => ({
      kind: 'instance-accepted',
      instance: words[at]! as LogIndex,
      ballot: words[at + 1]! as Ballot,
    }),
  },
  'instance-chosen': {
    code: 8,
    fields: [
      ['instance', NUMBER],
      ['ballot', BALLOT],
    ],
    encode: (record, words, at) => {
      words[at] = record.instance
      words[at + 1] = record.ballot
    },
    decode: (words, at) => ({
      kind: 'instance-chosen',
      instance: words[at]! as LogIndex,
      ballot: words[at + 1]! as Ballot,
    }),
  },
}

const TABLE = rowTable(ROWS, SHAPE)

/** All of an envelope but the record and what follows from the rest. */
export interface EnvelopeFields {
  readonly lsn: Lsn
  readonly payloadSizeBytes: number
  readonly frameCount: number
  readonly segment: number
  /** The chosen index when this record was written. */
  readonly floor: LogIndex
  /** Everything through this LSN was on disk when this record was written. */
  readonly synced: Lsn
  /** The newest record before or at this one that is not `entries`; 0: none. */
  readonly metadata: Lsn
  /** digestOf the frames' header checksums; 0 without frames. */
  readonly payloadDigest: number
}

export type EnvelopeCheck =
  | 'ok'
  | 'magic' // no envelope starts here
  | 'crc'
  | 'kind' // whole, but of a kind that this version does not know
  | 'number' // whole, but with a word that encodeEnvelope never writes

/**
 * One step of a chain of checksums: equal to core/frame-ref.ts chainOf by test, since codec may not
 * import the core's code. Uint32.
 */
export function chainStep(previous: number, crc: number): number {
  let h = Math.imul(previous ^ 0x9e3779b9, 0x85ebca6b)
  h = (h ^ (h >>> 13)) + crc
  h = Math.imul(h ^ (h >>> 16), 0xc2b2ae35)
  h = Math.imul(h ^ (h >>> 15), 0x27d4eb2f)
  return (h ^ (h >>> 16)) >>> 0
}

/**
 * Writes one envelope.
 * @returns its chain value: `previousChain` of the next
 */
export function encodeEnvelope(
  bytes: Uint8Array,
  words: Float64Array,
  base: number,
  record: WalRecord,
  fields: EnvelopeFields,
  previousChain: number,
): number {
  assert(LITTLE_ENDIAN, 'an envelope goes to the file as it is in memory')
  TABLE.encode(record, words, base)
  words[base + ENVELOPE_LSN] = fields.lsn
  words[base + ENVELOPE_PAYLOAD_SIZE] = fields.payloadSizeBytes
  words[base + ENVELOPE_FRAME_COUNT] = fields.frameCount
  words[base + ENVELOPE_SEGMENT] = fields.segment
  words[base + ENVELOPE_FLOOR] = fields.floor
  words[base + ENVELOPE_SYNCED] = fields.synced
  words[base + ENVELOPE_METADATA] = fields.metadata
  words[base + ENVELOPE_DIGEST] = fields.payloadDigest
  const chain = chainAfter(bytes, base, previousChain)
  words[base + ENVELOPE_CHAIN] = chain
  words[base + ENVELOPE_CRC] = crcOf(bytes, base)
  assert(isEnvelope(words, base), 'what is written can be recovered')
  return chain
}

/** Checks one envelope alone; its place in the chain is `chainAfter`'s to tell. */
export function decodeEnvelope(
  bytes: Uint8Array,
  words: Float64Array,
  base: number,
): EnvelopeCheck {
  const code = words[base]! - ENVELOPE_MAGIC
  if (!(code > 0 && code < 256 && Number.isInteger(code))) return 'magic'
  if (words[base + ENVELOPE_CRC] !== crcOf(bytes, base)) return 'crc'
  const problem = TABLE.problemOf(words, base)
  if (problem !== undefined) return problem.problem === 'kind' ? 'kind' : 'number'
  return isEnvelope(words, base) ? 'ok' : 'number'
}

/** The chain value that an envelope must carry when `previousChain` stands before it. */
export function chainAfter(bytes: Uint8Array, base: number, previousChain: number): number {
  const at = 8 * base
  const head = crc32(bytes.subarray(at, at + 8 * ENVELOPE_CHAIN))
  const rest = bytes.subarray(at + 8 * ENVELOPE_SYNCED, at + 8 * ENVELOPE_CRC)
  return chainStep(previousChain, crc32(rest, head))
}

/** Writes kind and fields alone: an order to the WAL stage is an envelope in the making. */
export const writeRecord = (record: WalRecord, words: Float64Array, base: number): void =>
  TABLE.encode(record, words, base)

/** The record of an envelope that decodeEnvelope called 'ok'. */
export const recordOf = (words: Float64Array, base: number): WalRecord => TABLE.decode(words, base)

const crcOf = (bytes: Uint8Array, base: number): number =>
  crc32(bytes.subarray(8 * base, 8 * (base + ENVELOPE_CRC)))

function isEnvelope(words: Float64Array, base: number): boolean {
  for (let i = 1; i < CELL_WORDS; i++) if (!isWord(words[base + i]!, 0)) return false
  const uint32Max = 0xffff_ffff
  if (words[base + ENVELOPE_LSN] === 0) return false
  if (words[base + ENVELOPE_CHAIN]! > uint32Max || words[base + ENVELOPE_DIGEST]! > uint32Max) {
    return false
  }
  return isPayload(words[base + ENVELOPE_PAYLOAD_SIZE]!, words[base + ENVELOPE_FRAME_COUNT]!)
}
