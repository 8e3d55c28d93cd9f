/**
 * A snapshot file as it is written: a head, chunks, a trailer. Format: docs/snapshots.md.
 *
 *     bytes 0       128    4096                                                     end
 *           +-------+------+--------+-------+--------+-------+-----+---------+
 *           | head  | zero | header | bytes | header | bytes | ... | trailer |
 *           +-------+------+--------+-------+--------+-------+-----+---------+
 *
 *     head, 16 doubles:  0 magic | 1 index | 2 chain at index | 3 hash of the cluster's name |
 *       4 history epoch | 15 crc32 of bytes 0-119
 *     header of a chunk and trailer, 8 doubles each; checksums of both start from the head's, so
 *     that no chunk of another snapshot passes:
 *       0 magic | 1 number | 2 section | 3 codec: 0 raw, 1 deflate | 4 bytes unpacked | 5 bytes
 *       stored, padded to 64 | 6 crc32 of them | 7 crc32 of bytes 0-55
 *       0 magic | 1 chunks | 2 bytes unpacked | 3 digest of all headers | 7 crc32 of bytes 0-55
 *
 * The bytes of a section are one stream, cut into chunks of at most CHUNK_SIZE_MAX_BYTES.
 *
 * Invariants: the file has its temporary name until `keepSnapshot`, which comes after the sync of
 * all of it; a file without a good trailer is no snapshot. Blocking: runs in the snapshot thread.
 */
import { crc32, deflateRawSync } from 'node:zlib'
import { assert } from '../base/assert.ts'
import { type Storage, type StorageFile, joinPath } from '../base/storage.ts'

export const HEAD_SIZE_BYTES = 4096
export const HEAD_WORDS = 16
export const CHUNK_HEADER_WORDS = 8
export const CHUNK_HEADER_SIZE_BYTES = 8 * CHUNK_HEADER_WORDS
export const CHUNK_SIZE_MAX_BYTES = 2 ** 18
export const HEAD_MAGIC = 0x58504e01 // 'XPN' and the version of the format
export const CHUNK_MAGIC = 0x58504b01
export const TRAILER_MAGIC = 0x58505401
export const CODEC = { raw: 0, deflate: 1 } as const
/** A sync of much at once would hold up those of the log. */
const SYNC_EVERY_BYTES = 2 ** 22
const DEFLATE_LEVEL = 1

/** What a section holds; numbers are in files and never change. */
export const SECTION = {
  /** The newest membership batch at or below the index: u64 index, frame. Absent: there is none. */
  config: 1,
  /** The session table (stages/session-bytes.ts). */
  sessions: 2,
  /** What of every client was applied, for the streaming check (stages/apply-check.ts). */
  clients: 3,
  /** What the state machine wrote. */
  state: 4,
} as const
export type Section = (typeof SECTION)[keyof typeof SECTION]

/** Which state this is: that of cluster and history behind the entry `index`. */
export interface SnapshotHead {
  readonly index: number
  /** Chain of the log behind the frame that ends at `index`. */
  readonly chain: number
  readonly clusterHash: number
  readonly historyEpoch: number
}

export interface SnapshotWriter {
  readonly storage: Storage
  readonly dir: string
  readonly head: SnapshotHead
  readonly compresses: boolean
  readonly path: string
  readonly file: StorageFile
  /** Checksums of chunks start from it. */
  readonly seed: number
  readonly buffer: Uint8Array
  section: Section | 0
  filled: number
  chunks: number
  unpackedBytes: number
  digest: number
  at: number
  syncedAt: number
  isOpen: boolean
}

const NAME = /^snapshot-([0-9a-f]{16})\.snap$/
const TEMPORARY = /^snapshot-[0-9a-f]{16}\.(snap\.)?tmp$/
const hex = (index: number): string => index.toString(16).padStart(16, '0')
export const snapshotPath = (dir: string, index: number): string =>
  joinPath(dir, `snapshot-${hex(index)}.snap`)
const temporaryPath = (dir: string, index: number): string =>
  joinPath(dir, `snapshot-${hex(index)}.tmp`)

/** Indexes of the snapshots among the names of a directory, newest first. */
export const snapshotsAmong = (names: readonly string[]): number[] =>
  names
    .map((name) => NAME.exec(name))
    .filter((match) => match !== null)
    .map((match) => Number.parseInt(match[1]!, 16))
    .sort((a, b) => b - a)

export const temporariesAmong = (names: readonly string[]): string[] =>
  names.filter((name) => TEMPORARY.test(name))

/** Begins a file under its temporary name. @throws ReplicaError E_DISK */
export function createSnapshot(
  storage: Storage,
  dir: string,
  head: SnapshotHead,
  compresses: boolean,
): SnapshotWriter {
  const path = temporaryPath(dir, head.index)
  if (storage.list(dir)!.includes(path.slice(dir.length + 1))) storage.unlink(path)
  const { bytes, seed } = encodeHead(head)
  const file = storage.create(path)
  const writer: SnapshotWriter = {
    ...{ storage, dir, head, compresses, path, file, seed },
    ...{ buffer: new Uint8Array(CHUNK_SIZE_MAX_BYTES), section: 0, filled: 0 },
    ...{ chunks: 0, unpackedBytes: 0, digest: seed, at: 0, syncedAt: 0, isOpen: true },
  }
  try {
    write(writer, bytes)
    return writer
  } catch (error) {
    dropSnapshot(writer)
    throw error
  }
}

function encodeHead({ index, chain, clusterHash, historyEpoch }: SnapshotHead) {
  const bytes = new Uint8Array(HEAD_SIZE_BYTES)
  const words = new Float64Array(bytes.buffer, 0, HEAD_WORDS)
  words.set([HEAD_MAGIC, index, chain, clusterHash, historyEpoch])
  const seed = crc32(bytes.subarray(0, 8 * (HEAD_WORDS - 1)))
  words[HEAD_WORDS - 1] = seed
  return { bytes, seed }
}

/** More bytes of a section; sections come one behind the other. */
export function addBytes(writer: SnapshotWriter, section: Section, bytes: Uint8Array): void {
  if (section !== writer.section) endChunk(writer)
  writer.section = section
  for (let from = 0; from < bytes.length;) {
    if (writer.filled === CHUNK_SIZE_MAX_BYTES) endChunk(writer)
    const size = Math.min(bytes.length - from, CHUNK_SIZE_MAX_BYTES - writer.filled)
    writer.buffer.set(bytes.subarray(from, from + size), writer.filled)
    writer.filled += size
    from += size
  }
}

function endChunk(writer: SnapshotWriter): void {
  const { filled, section } = writer
  if (filled === 0) return
  const { codec, stored } = pack(writer)
  const bytes = new Uint8Array(CHUNK_HEADER_SIZE_BYTES + Math.ceil(stored.length / 64) * 64)
  bytes.set(stored, CHUNK_HEADER_SIZE_BYTES)
  const crc = crc32(bytes.subarray(CHUNK_HEADER_SIZE_BYTES))
  const fields = [CHUNK_MAGIC, writer.chunks + 1, section, codec, filled, stored.length, crc]
  writer.digest = crc32(sealWords(bytes, fields, writer.seed), writer.digest)
  write(writer, bytes)
  writer.chunks += 1
  writer.unpackedBytes += filled
  writer.filled = 0
}

function pack({ buffer, filled, compresses }: SnapshotWriter) {
  const raw = buffer.subarray(0, filled)
  const packed = compresses ? deflateRawSync(raw, { level: DEFLATE_LEVEL }) : raw
  const isSmaller = packed.length < raw.length
  return isSmaller
    ? { codec: CODEC.deflate, stored: packed as Uint8Array }
    : { codec: CODEC.raw, stored: raw }
}

/** Writes fields and their checksum at the start of `bytes`. @returns those bytes */
function sealWords(bytes: Uint8Array, fields: readonly number[], seed: number): Uint8Array {
  const words = new Float64Array(bytes.buffer, 0, CHUNK_HEADER_WORDS)
  words.set(fields)
  words[CHUNK_HEADER_WORDS - 1] = crc32(bytes.subarray(0, CHUNK_HEADER_SIZE_BYTES - 8), seed)
  return bytes.subarray(0, CHUNK_HEADER_SIZE_BYTES)
}

function write(writer: SnapshotWriter, bytes: Uint8Array): void {
  const { storage, file } = writer
  storage.pwrite(file, bytes, writer.at)
  writer.at += bytes.length
  if (writer.at - writer.syncedAt < SYNC_EVERY_BYTES) return
  storage.datasync(file)
  writer.syncedAt = writer.at
}

/** Ends the file and syncs it. @throws ReplicaError E_DISK: drop it then */
export function sealSnapshot(writer: SnapshotWriter): void {
  endChunk(writer)
  const bytes = new Uint8Array(CHUNK_HEADER_SIZE_BYTES)
  const { chunks, unpackedBytes, digest, seed } = writer
  sealWords(bytes, [TRAILER_MAGIC, chunks, unpackedBytes, digest], seed)
  write(writer, bytes)
  writer.storage.datasync(writer.file)
  closeFile(writer)
}

function closeFile(writer: SnapshotWriter): void {
  if (writer.isOpen) writer.storage.close(writer.file)
  writer.isOpen = false
}

/** Gives the sealed file its name, for good. @throws ReplicaError E_DISK */
export function keepSnapshot({ storage, dir, path, head, isOpen }: SnapshotWriter): void {
  assert(!isOpen, 'what is kept is sealed')
  storage.rename(path, snapshotPath(dir, head.index))
  storage.syncDir(dir)
}

/** Lets go of the file as it is. */
export function abandonSnapshot(writer: SnapshotWriter): void {
  try {
    closeFile(writer)
  } catch {
    // Nothing more is done with it.
  }
}

/** Best effort: what stays is removed at the next start. */
export function dropSnapshot(writer: SnapshotWriter): void {
  abandonSnapshot(writer)
  try {
    writer.storage.unlink(writer.path)
  } catch {
    // The disk has failed before, or this is what failed.
  }
}
