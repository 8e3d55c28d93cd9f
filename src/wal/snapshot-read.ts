/**
 * Reading a snapshot file: every byte is checked before it is used, at most one chunk is in memory.
 * Blocking; runs where a node opens, in the apply thread for its restore, and in the commands.
 */
import { crc32, inflateRawSync } from 'node:zlib'
import { ReplicaError } from '../base/errors.ts'
import type { Storage, StorageFile } from '../base/storage.ts'
import {
  CHUNK_HEADER_SIZE_BYTES,
  CHUNK_HEADER_WORDS,
  CHUNK_MAGIC,
  CHUNK_SIZE_MAX_BYTES,
  CODEC,
  HEAD_MAGIC,
  HEAD_SIZE_BYTES,
  HEAD_WORDS,
  type Section,
  type SnapshotHead,
  TRAILER_MAGIC,
  snapshotPath,
  snapshotsAmong,
} from './snapshot-file.ts'

export interface SnapshotInfo extends SnapshotHead {
  readonly chunks: number
  readonly unpackedBytes: number
  readonly sizeBytes: number
  readonly digest: number
}

export interface Chunk {
  readonly section: Section
  readonly bytes: Uint8Array
}

export interface SnapshotReader {
  readonly head: SnapshotHead
  /** For what its checksums do not show. @throws ReplicaError E_SNAPSHOT_CORRUPT */
  refuse(what: string): never
  /** The next chunk; null behind the last one, when the trailer was found good. */
  next(): Chunk | null
  close(): void
}

/** @throws ReplicaError E_SNAPSHOT_CORRUPT, E_DISK; so does `next` of the reader */
export function openSnapshot(storage: Storage, path: string): SnapshotReader {
  const { file, head, next, seen } = open(storage, path)
  const refuse = (what: string): never => corrupt(path, seen.at, what)
  return { head, next, refuse, close: () => storage.close(file) }
}

/** All snapshots of a directory, newest first, each read whole. @throws as `verifySnapshot` */
export const verifySnapshots = (storage: Storage, dir: string): SnapshotInfo[] =>
  snapshotsAmong(storage.list(dir) ?? []).map((index) =>
    verifySnapshot(storage, snapshotPath(dir, index)),
  )

/**
 * Reads all of it.
 * @throws ReplicaError E_SNAPSHOT_CORRUPT with the offset of the first damage, E_DISK
 */
export function verifySnapshot(storage: Storage, path: string): SnapshotInfo {
  const { file, head, next, seen } = open(storage, path)
  try {
    while (next() !== null);
    const { chunks, unpackedBytes, at: sizeBytes, digest } = seen
    return { ...head, chunks, unpackedBytes, sizeBytes, digest }
  } finally {
    storage.close(file)
  }
}

interface Seen {
  at: number
  chunks: number
  unpackedBytes: number
  digest: number
}

function open(storage: Storage, path: string) {
  const file = storage.open(path, 'read')
  try {
    const { head, seed } = readHead(storage, file, path)
    const seen: Seen = { at: HEAD_SIZE_BYTES, chunks: 0, unpackedBytes: 0, digest: seed }
    return { file, head, seen, next: () => nextChunk(storage, file, path, seed, seen) }
  } catch (error) {
    storage.close(file)
    throw error
  }
}

function readHead(storage: Storage, file: StorageFile, path: string) {
  const bytes = readAt(storage, file, path, 0, HEAD_SIZE_BYTES)
  const words = new Float64Array(bytes.buffer, 0, HEAD_WORDS)
  const seed = crc32(bytes.subarray(0, 8 * (HEAD_WORDS - 1)))
  if (words[0] !== HEAD_MAGIC || words[HEAD_WORDS - 1] !== seed) corrupt(path, 0, 'the head')
  const rest = bytes.subarray(8 * HEAD_WORDS)
  if (rest.some((byte) => byte !== 0)) corrupt(path, 8 * HEAD_WORDS, 'bytes behind the head')
  const [, index, chain, clusterHash, historyEpoch] = words as unknown as number[]
  const head = { index, chain, clusterHash, historyEpoch } as SnapshotHead
  return { head, seed }
}

function nextChunk(
  storage: Storage,
  file: StorageFile,
  path: string,
  seed: number,
  seen: Seen,
): Chunk | null {
  const { at } = seen
  const header = readAt(storage, file, path, at, CHUNK_HEADER_SIZE_BYTES)
  const words = new Float64Array(header.buffer, 0, CHUNK_HEADER_WORDS)
  const crc = crc32(header.subarray(0, CHUNK_HEADER_SIZE_BYTES - 8), seed)
  if (words[CHUNK_HEADER_WORDS - 1] !== crc) corrupt(path, at, 'the header of a chunk')
  if (words[0] === TRAILER_MAGIC) {
    checkTrailer(storage, file, path, words, seen)
    return null
  }
  const [magic, number, section, codec, unpacked, stored, bytesCrc] = words as unknown as number[]
  const isNext = magic === CHUNK_MAGIC && number === seen.chunks + 1
  if (!isNext || unpacked! > CHUNK_SIZE_MAX_BYTES || stored! > unpacked!) {
    corrupt(path, at, 'not the next chunk')
  }
  const from = at + CHUNK_HEADER_SIZE_BYTES
  const padded = readAt(storage, file, path, from, Math.ceil(stored! / 64) * 64)
  if (crc32(padded) !== bytesCrc) corrupt(path, from, 'the bytes of a chunk')
  const bytes = unpack(path, from, padded.subarray(0, stored), codec!, unpacked!)
  seen.at = from + padded.length
  seen.chunks += 1
  seen.unpackedBytes += bytes.length
  seen.digest = crc32(header, seen.digest)
  return { section: section as Section, bytes }
}

function unpack(
  path: string,
  at: number,
  stored: Uint8Array,
  codec: number,
  sizeBytes: number,
): Uint8Array {
  if (codec === CODEC.raw && stored.length === sizeBytes) return stored
  if (codec !== CODEC.deflate) return corrupt(path, at, 'packed in an unknown way')
  try {
    const bytes = inflateRawSync(stored, { maxOutputLength: sizeBytes })
    if (bytes.length === sizeBytes) return bytes
  } catch {
    // Told below: what zlib calls it helps nobody.
  }
  return corrupt(path, at, 'cannot be unpacked')
}

function checkTrailer(
  storage: Storage,
  file: StorageFile,
  path: string,
  [, chunks, unpackedBytes, digest]: Float64Array,
  seen: Seen,
): void {
  const isWhole = chunks === seen.chunks && unpackedBytes === seen.unpackedBytes
  if (!isWhole || digest !== seen.digest) corrupt(path, seen.at, 'the trailer')
  seen.at += CHUNK_HEADER_SIZE_BYTES
  if (storage.sizeOf(file) !== seen.at) corrupt(path, seen.at, 'bytes behind the trailer')
}

function readAt(
  storage: Storage,
  file: StorageFile,
  path: string,
  offset: number,
  sizeBytes: number,
): Uint8Array {
  const bytes = new Uint8Array(sizeBytes)
  if (storage.pread(file, bytes, offset) < sizeBytes) corrupt(path, offset, 'cut short')
  return bytes
}

function corrupt(path: string, offsetBytes: number, what: string): never {
  const file = path.slice(path.lastIndexOf('/') + 1)
  const message = `${file}, offset ${offsetBytes}: damaged: ${what}`
  throw new ReplicaError('E_SNAPSHOT_CORRUPT', message, { file, offsetBytes })
}
