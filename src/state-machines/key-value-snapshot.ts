/**
 * The state of the key-value store as records, and back: the same bytes for the same state,
 * whatever the way to it was.
 *
 *     first record:  u8 1 (version) | u64 clock, ms | u64 keys
 *     others:        entries in order of their keys: u16 key size | key | u64 create revision |
 *                    u64 mod revision | u64 version | u64 deadline, ms | u32 size | value
 */
import { assert } from '../base/assert.ts'
import type { SnapshotSink, SnapshotSource } from '../base/state-machine.ts'
import * as bytes from './key-value-bytes.ts'
import { type Entry, type Store, bytesOfKey, enterEntry, keyOf, walk } from './key-value-store.ts'

const VERSION = 1
/** A record ends behind the entry that reaches it. */
const RECORD_SIZE_BYTES = 64 * 1_024

export function saveStore(store: Store, sink: SnapshotSink): void {
  let record = bytes.createWriter()
  const flush = (): void => {
    if (record.size > 0) sink.write(bytes.writtenOf(record))
    record = bytes.createWriter() // the sink may keep what it was given
  }
  bytes.putU8(record, VERSION)
  bytes.putU53(record, store.clockMs)
  bytes.putU53(record, store.entries.size)
  flush()
  walk(store, new Uint8Array(0), null, (entry) => {
    writeEntry(record, entry)
    if (record.size >= RECORD_SIZE_BYTES) flush()
    return true
  })
  flush()
}

/** Into a store that is empty. @throws AssertionError: it is no snapshot of a store */
export function loadStore(store: Store, source: SnapshotSource): void {
  const head = bytes.readerOf(source.read() ?? new Uint8Array(0))
  const version = bytes.takeU8(head)
  store.clockMs = bytes.takeU53(head)
  const keys = bytes.takeU53(head)
  assert(version === VERSION && bytes.isWhole(head), 'a snapshot of the store begins with its head')
  for (let record = source.read(); record !== null; record = source.read()) {
    const reader = bytes.readerOf(record)
    while (reader.at < record.length) {
      const entry = readEntry(reader)
      assert(!reader.failed && !store.entries.has(entry.key), 'a snapshot has whole entries, once')
      enterEntry(store, entry)
    }
  }
  assert(store.entries.size === keys, 'a snapshot has as many keys as it says')
}

function writeEntry(record: bytes.ByteWriter, entry: Entry): void {
  bytes.putU16(record, entry.key.length)
  bytes.putBytes(record, bytesOfKey(entry.key))
  bytes.putU53(record, entry.createRevision)
  bytes.putU53(record, entry.modRevision)
  bytes.putU53(record, entry.version)
  bytes.putU53(record, entry.deadlineMs)
  bytes.putU32(record, entry.value.length)
  bytes.putBytes(record, entry.value)
}

function readEntry(reader: bytes.ByteReader): Entry {
  const key = keyOf(bytes.takeBytes(reader, bytes.takeU16(reader)))
  const createRevision = bytes.takeU53(reader)
  const modRevision = bytes.takeU53(reader)
  const version = bytes.takeU53(reader)
  const deadlineMs = bytes.takeU53(reader)
  const value = bytes.takeBytes(reader, bytes.takeU32(reader)).slice()
  const revisions = { createRevision, modRevision, version, deadlineMs }
  return { key, value, ...revisions, hashLow: -1, hashHigh: -1 }
}
