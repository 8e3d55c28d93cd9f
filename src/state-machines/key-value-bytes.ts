/**
 * Writing and reading the small records of the key-value store: little endian, no padding. A reader
 * never goes beyond its end: what is not there reads as 0 and fails the whole record, once, in the
 * end. Pure; any thread.
 */
import { readU53, writeU53 } from '../codec/u53.ts'

export interface ByteWriter {
  bytes: Uint8Array
  view: DataView
  size: number
}

const CAPACITY_MIN_BYTES = 256

export function createWriter(): ByteWriter {
  const bytes = new Uint8Array(CAPACITY_MIN_BYTES)
  return { bytes, view: new DataView(bytes.buffer), size: 0 }
}

/** What was written: a view, valid until more is written. */
export const writtenOf = ({ bytes, size }: ByteWriter): Uint8Array => bytes.subarray(0, size)

/** Makes room, and moves on over it. @returns where it begins */
function grow(writer: ByteWriter, sizeBytes: number): number {
  const at = writer.size
  writer.size += sizeBytes
  if (writer.size <= writer.bytes.length) return at
  const bytes = new Uint8Array(2 * Math.max(writer.bytes.length, writer.size))
  bytes.set(writer.bytes.subarray(0, at))
  writer.bytes = bytes
  writer.view = new DataView(bytes.buffer)
  return at
}

export function putU8(writer: ByteWriter, value: number): void {
  const at = grow(writer, 1)
  writer.bytes[at] = value
}
export function putU16(writer: ByteWriter, value: number): void {
  const at = grow(writer, 2)
  writer.view.setUint16(at, value, true)
}
export function putU32(writer: ByteWriter, value: number): void {
  const at = grow(writer, 4)
  writer.view.setUint32(at, value, true)
}
export function putU53(writer: ByteWriter, value: number): void {
  const at = grow(writer, 8)
  writeU53(writer.view, at, value)
}
export function putI64(writer: ByteWriter, value: bigint): void {
  const at = grow(writer, 8)
  writer.view.setBigInt64(at, value, true)
}
export function putBytes(writer: ByteWriter, bytes: Uint8Array): void {
  const at = grow(writer, bytes.length)
  writer.bytes.set(bytes, at)
}

/** Writes what `write` does behind its size (u32). */
export function putSized(writer: ByteWriter, write: () => void): void {
  const at = grow(writer, 4)
  write()
  writer.view.setUint32(at, writer.size - at - 4, true)
}

export interface ByteReader {
  readonly bytes: Uint8Array
  readonly view: DataView
  at: number
  failed: boolean
}

export const readerOf = (bytes: Uint8Array): ByteReader => ({
  bytes,
  view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
  at: 0,
  failed: false,
})

/** Everything was there, and nothing else. */
export const isWhole = ({ bytes, at, failed }: ByteReader): boolean =>
  !failed && at === bytes.length

/** @returns where the next bytes begin; -1: they are not there */
function take(reader: ByteReader, sizeBytes: number): number {
  const { at } = reader
  if (sizeBytes > reader.bytes.length - at) {
    reader.failed = true
    return -1
  }
  reader.at += sizeBytes
  return at
}

export function takeU8(reader: ByteReader): number {
  const at = take(reader, 1)
  return at < 0 ? 0 : reader.bytes[at]!
}
export function takeU16(reader: ByteReader): number {
  const at = take(reader, 2)
  return at < 0 ? 0 : reader.view.getUint16(at, true)
}
export function takeU32(reader: ByteReader): number {
  const at = take(reader, 4)
  return at < 0 ? 0 : reader.view.getUint32(at, true)
}
export function takeU53(reader: ByteReader): number {
  const at = take(reader, 8)
  const value = at < 0 ? -1 : readU53(reader.view, at)
  if (value < 0) reader.failed = true
  return Math.max(0, value)
}
export function takeI64(reader: ByteReader): bigint {
  const at = take(reader, 8)
  return at < 0 ? 0n : reader.view.getBigInt64(at, true)
}
/** A view, not a copy. */
export function takeBytes(reader: ByteReader, sizeBytes: number): Uint8Array {
  const at = take(reader, sizeBytes)
  return at < 0 ? NOTHING : reader.bytes.subarray(at, at + sizeBytes)
}
export const takeRest = (reader: ByteReader): Uint8Array =>
  takeBytes(reader, reader.bytes.length - reader.at)

/** One of a few words, by its place. */
export function takeWord<Word extends string>(reader: ByteReader, words: readonly Word[]): Word {
  const word = words[takeU8(reader)]
  if (word === undefined) reader.failed = true
  return word ?? words[0]!
}

const NOTHING = new Uint8Array(0)
