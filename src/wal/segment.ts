/**
 * Segment files: their names, their header, and how one is made ready ahead of its use.
 *
 *     bytes 0        128     1024     1536   2048    2080    4096                       sizeBytes
 *           +--------+-------+--------+------+-------+-------+---------------------------+
 *           | header | zero  | config | zero | mark  | zero  | records, then zeros or    |
 *           |        |       |        |      |       |       | records of an older life  |
 *           +--------+-------+--------+------+-------+-------+---------------------------+
 *
 *     header, 16 doubles:  0 magic | 1 segment | 2 identity hash | 3 sizeBytes | 4 lsn before |
 *       5 record chain before | 6 synced lsn | 7 promised | 8 acceptedBallot | 9 last | 10 chain at
 *       last | 11 floor | 12 chain at floor | 13 newest metadata lsn | 14 index of the
 *       newest config batch, 0: none | 15 crc32 of 0-119
 *       to a chain (10, 12) 2^32 is added where the frame that ends there continues a group
 *     config, 64 doubles:  0 magic | 1 segment | 2 index | 3 size | bytes of the membership from 32
 *       on | 63 crc32 of bytes 0-503; only where the header names an index
 *     mark, 4 doubles:     0 magic | 1 segment | 2 synced lsn | 3 crc32 of bytes 0-23
 *
 * Each of them lies in a sector, so that a power cut leaves the old one or the new one. A
 * file is named before it is begun: until its header names its own number it is a spare.
 * The header repeats the state at its start, so that older segments can be trimmed.
 */
import { assert } from '../base/assert.ts'
import { type Storage, type StorageFile, joinPath } from '../base/storage.ts'
import type { Ballot, LogIndex, Lsn } from '../core/ids.ts'
import type { ConfigMark, FoldStart } from './fold.ts'
import { checksumOf } from './identity.ts'

export const SEGMENT_HEADER_SIZE_BYTES = 4096
export const FILL_STEP_BYTES = 2 ** 20

const CONFIG_OFFSET = 1024
const CONFIG_SIZE_BYTES = 512
const CONFIG_BYTES_AT = 32
const MARK_OFFSET = 2048
const CELL_SIZE_BYTES = 128
const MARK_SIZE_BYTES = 32
const HEADER_MAGIC = 0x58505701 // 'XPW' and the version of the format
const MARK_MAGIC = 0x58504d01
const CONFIG_MAGIC = 0x58504301
const HEADER_CRC = 15
const MARK_CRC = 3
const CONFIG_CRC = 63
const SYNC_EVERY_STEPS = 4
const CONTINUES = 2 ** 32
const ZEROS = new Uint8Array(FILL_STEP_BYTES)

/** A segment file that is in use. */
export interface Segment {
  readonly number: number
  readonly path: string
  readonly file: StorageFile
  readonly sizeBytes: number
  /** Behind the last record that was queued or found. */
  tail: number
  /** Its header is on the disk: older segments may go. */
  headerSynced: boolean
}

export interface SegmentHeader extends FoldStart {
  readonly segment: number
  readonly identityHash: number
  readonly sizeBytes: number
  /** Chain value of the record before the first one of the segment. */
  readonly recordChain: number
  readonly synced: Lsn
}

const HEX_DIGITS = 16
const NAME = /^(wal|spare)-([0-9a-f]{16})\.seg$/

const hex = (number: number): string => number.toString(16).padStart(HEX_DIGITS, '0')
export const segmentPath = (dir: string, number: number): string =>
  joinPath(dir, `wal-${hex(number)}.seg`)
export const sparePath = (dir: string, number: number): string =>
  joinPath(dir, `spare-${hex(number)}.seg`)

/** Segment or spare numbers among the names of a directory, ascending. */
export const numbersOf = (names: readonly string[], kind: 'wal' | 'spare'): number[] =>
  names
    .map((name) => NAME.exec(name))
    .filter((match) => match?.[1] === kind)
    .map((match) => Number.parseInt(match![2]!, 16))
    .sort((a, b) => a - b)

export function encodeHeader(header: SegmentHeader): Uint8Array {
  const words = new Float64Array(CELL_SIZE_BYTES / 8)
  words[0] = HEADER_MAGIC
  words[1] = header.segment
  words[2] = header.identityHash
  words[3] = header.sizeBytes
  words[4] = header.lsn
  words[5] = header.recordChain
  words[6] = header.synced
  words[7] = header.promised
  words[8] = header.acceptedBallot
  words[9] = header.last
  words[10] = header.lastChain + (header.lastContinues ? CONTINUES : 0)
  words[11] = header.floor
  words[12] = header.floorChain + (header.floorContinues ? CONTINUES : 0)
  words[13] = header.metadataLsn
  words[14] = header.config?.index ?? 0
  return seal(words, HEADER_CRC)
}

/** A header as it is read: its config lies beside it (`readConfig`). */
export interface FoundHeader extends Omit<SegmentHeader, 'config'> {
  /** Of the newest config batch at the segment's start; 0: none. */
  readonly configIndex: LogIndex
}

/** The header of segment `number`; null: none, of another number, of another node, or damaged. */
export function readHeader(
  storage: Storage,
  file: StorageFile,
  number: number,
  identityHash: number,
): FoundHeader | null {
  const words = readWords(storage, file, 0, CELL_SIZE_BYTES, HEADER_CRC)
  if (words?.[0] !== HEADER_MAGIC || words[1] !== number || words[2] !== identityHash) return null
  return {
    segment: number,
    identityHash,
    sizeBytes: words[3]!,
    lsn: words[4]! as Lsn,
    recordChain: words[5]!,
    synced: words[6]! as Lsn,
    promised: words[7]! as Ballot,
    acceptedBallot: words[8]! as Ballot,
    last: words[9]! as LogIndex,
    lastChain: words[10]! % CONTINUES,
    lastContinues: words[10]! >= CONTINUES,
    floor: words[11]! as LogIndex,
    floorChain: words[12]! % CONTINUES,
    floorContinues: words[12]! >= CONTINUES,
    metadataLsn: words[13]! as Lsn,
    configIndex: words[14]! as LogIndex,
  }
}

/** Beside the header, and synced with it, so that trimming never loses a membership. */
export function writeConfig(
  storage: Storage,
  { number, file }: Pick<Segment, 'number' | 'file'>,
  { index, bytes }: ConfigMark,
): void {
  const words = new Float64Array(CONFIG_SIZE_BYTES / 8)
  words.set([CONFIG_MAGIC, number, index, bytes.length])
  assert(CONFIG_BYTES_AT + bytes.length <= 8 * CONFIG_CRC, 'a membership fits its sector')
  new Uint8Array(words.buffer).set(bytes, CONFIG_BYTES_AT)
  storage.pwrite(file, seal(words, CONFIG_CRC), CONFIG_OFFSET)
}

/** Null: none of segment `number`, or damaged. */
export function readConfig(storage: Storage, file: StorageFile, number: number): ConfigMark | null {
  const words = readWords(storage, file, CONFIG_OFFSET, CONFIG_SIZE_BYTES, CONFIG_CRC)
  if (words?.[0] !== CONFIG_MAGIC || words[1] !== number) return null
  const bytes = new Uint8Array(words.buffer, CONFIG_BYTES_AT, words[3])
  return { index: words[2]! as LogIndex, bytes }
}

/**
 * Says outside of any record how far the disk was synced; not synced itself. In a file that is not
 * begun yet it says, too, that the segment before it is begun, and synced.
 */
export function writeMark(
  storage: Storage,
  { number, file }: Pick<Segment, 'number' | 'file'>,
  synced: Lsn,
): void {
  const words = Float64Array.of(MARK_MAGIC, number, synced, 0)
  storage.pwrite(file, seal(words, MARK_CRC), MARK_OFFSET)
}

/** Null: no mark of this life of the file. */
export function readMark(storage: Storage, file: StorageFile, number: number): Lsn | null {
  const words = readWords(storage, file, MARK_OFFSET, MARK_SIZE_BYTES, MARK_CRC)
  return words?.[0] === MARK_MAGIC && words[1] === number ? (words[2]! as Lsn) : null
}

function seal(words: Float64Array, crcWord: number): Uint8Array {
  const bytes = new Uint8Array(words.buffer)
  words[crcWord] = checksumOf(bytes.subarray(0, 8 * crcWord))
  return bytes
}

function readWords(
  storage: Storage,
  file: StorageFile,
  offset: number,
  sizeBytes: number,
  crcWord: number,
): Float64Array | null {
  const bytes = new Uint8Array(sizeBytes)
  if (storage.pread(file, bytes, offset) < sizeBytes) return null
  const words = new Float64Array(bytes.buffer)
  return words[crcWord] === checksumOf(bytes.subarray(0, 8 * crcWord)) ? words : null
}

/** The next segment while it is made ready: zero-filled, synced, named. */
export interface NextSegment {
  readonly number: number
  readonly path: string
  readonly file: StorageFile
  readonly sizeBytes: number
  filled: number
  ready: boolean
}

/** Takes a spare under the new number, or creates a file that fillNext must still fill. */
export function startNext(
  storage: Storage,
  dir: string,
  number: number,
  sizeBytes: number,
  spare: number | null,
): NextSegment {
  const path = segmentPath(dir, number)
  if (spare === null) {
    return { number, path, file: storage.create(path), sizeBytes, filled: 0, ready: false }
  }
  // Before a new header goes into the file its old names must be gone for good, or a crash shows an
  // old segment's name over a new segment's bytes: fillNext syncs the directory, `ready` says so.
  storage.rename(sparePath(dir, spare), path)
  const file = storage.open(path, 'write')
  const filled = storage.sizeOf(file) === sizeBytes ? sizeBytes : 0
  return { number, path, file, sizeBytes, filled, ready: false }
}

/**
 * One bounded step: a stretch of zeros, or the last sync. Zeros, not a hole: a sync of a write into
 * blocks that were never written must also sync the file's map of blocks.
 *
 * @param mark what its mark says, see `writeMark`; null: nothing
 */
export function fillNext(
  storage: Storage,
  dir: string,
  next: NextSegment,
  stepBytes: number,
  { sync, mark }: { readonly sync: boolean; readonly mark: Lsn | null },
): void {
  assert(!next.ready, 'a ready segment needs no step')
  let left = stepBytes
  while (left > 0 && next.filled < next.sizeBytes) {
    const size = Math.min(left, FILL_STEP_BYTES, next.sizeBytes - next.filled)
    storage.pwrite(next.file, ZEROS.subarray(0, size), next.filled)
    next.filled += size
    left -= size
    const steps = Math.floor(next.filled / FILL_STEP_BYTES)
    if (sync && steps % SYNC_EVERY_STEPS === 0) storage.datasync(next.file)
  }
  if (next.filled < next.sizeBytes) return
  if (mark !== null) writeMark(storage, next, mark)
  if (sync) {
    storage.datasync(next.file)
    storage.syncDir(dir)
  }
  next.ready = true
}

/** Also what reads as zeros already: that may be a page which a failed sync never wrote. */
export function zeroRange(storage: Storage, file: StorageFile, from: number, to: number): void {
  for (let at = from; at < to; at += FILL_STEP_BYTES) {
    storage.pwrite(file, ZEROS.subarray(0, Math.min(FILL_STEP_BYTES, to - at)), at)
  }
}
