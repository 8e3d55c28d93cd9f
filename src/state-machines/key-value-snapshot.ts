/**
 * The state of the key-value store as records, and back: the same bytes for the same state,
 * whatever the way to it was.
 *
 *     first record:  u8 1 (version) | u64 clock, ms | u64 keys
 *     others:        entries in order of their keys: u16 key size | key | u64 create revision |
 *                    u64 mod revision | u64 version | u64 deadline, ms | u32 size | value
 */
import { assert } from '../base/assert.ts'
import type { FrozenState, SnapshotSink, SnapshotSource } from '../base/state-machine.ts'
import * as bytes from './key-value-bytes.ts'
import { createFrozen, walkFrozen } from './key-value-frozen.ts'
import { type Entry, type Store, bytesOfKey, enterEntry, keyOf } from './key-value-store.ts'

const VERSION = 1
/** A record ends behind the entry that reaches it. */
const RECORD_SIZE_BYTES = 64 * 1_024

/**
 * The store as it is now, read a record at a time while it changes. One at a time: until `close`.
 */
export function freezeStore(store: Store): FrozenState {
  assert(store.frozen === null, 'one snapshot of a store is read at a time')
  const frozen = createFrozen()
  store.frozen = frozen
  const { entries, keys } = store
  const head = bytes.createWriter()
  bytes.putU8(head, VERSION)
  bytes.putU53(head, store.clockMs)
  bytes.putU53(head, entries.size)
  let next: bytes.ByteWriter | null = head
  const live = (key: string): Entry => entries.get(key)!
  return {
    next() {
      if (next === null) return null
      const record = next
      next = bytes.createWriter() // who reads may keep what he was given
      const into = next
      const isOver = walkFrozen(frozen, keys, live, (entry) => {
        writeEntry(into, entry)
        return into.size < RECORD_SIZE_BYTES
      })
      if (isOver && into.size === 0) next = null
      return bytes.writtenOf(record)
    },
    close: () => void (store.frozen = null),
  }
}

/** All of it at once. */
export function saveStore(store: Store, sink: SnapshotSink): void {
  const frozen = freezeStore(store)
  for (let record = frozen.next(); record !== null; record = frozen.next()) sink.write(record)
  frozen.close()
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
