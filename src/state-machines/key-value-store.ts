/**
 * What the key-value store holds: keys with values, revisions and deadlines, and the clock of the
 * log. Everything that an answer depends on is here, and is in the hash.
 *
 * Invariants: a function of the entries alone; `clockMs` never goes back; a deadline is a time of
 * that clock. Keys are latin1 strings, one character a byte.
 */
import {
  type Deadlines,
  createDeadlines,
  nextDeadline,
  pushDeadline,
} from './key-value-deadlines.ts'
import { hashOfEntry, hashOfNumber } from './key-value-hash.ts'
import { type KeyIndex, createKeyIndex, insertKey, removeKey, walkKeys } from './key-value-keys.ts'

/** Keys as they are in the store, and back. */
export const keyOf = (key: Uint8Array): string =>
  Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1')
export const bytesOfKey = (key: string): Uint8Array => Buffer.from(key, 'latin1')

export interface Entry {
  readonly key: string
  value: Uint8Array
  createRevision: number
  modRevision: number
  /** 0: it was removed. */
  version: number
  /** By the clock of the log; 0: it stays. */
  deadlineMs: number
  /** Its part of the hash, two words; -1: not added yet. */
  hashLow: number
  hashHigh: number
}

/** Puts beyond them are refused; reads and deletes are not. The same on all nodes. */
export interface StoreLimits {
  /** Of keys and values together. */
  readonly sizeMaxBytes: number
  readonly keysMax: number
}

/** A map of the language holds 2^24 keys. */
export const STORE_LIMITS: StoreLimits = { sizeMaxBytes: 2 ** 31, keysMax: 2 ** 23 }

export interface Store {
  readonly limits: StoreLimits
  readonly entries: Map<string, Entry>
  readonly keys: KeyIndex
  readonly deadlines: Deadlines
  clockMs: number
  /** Of keys and values together. */
  sizeBytes: number
  /** Keys with a deadline. */
  leased: number
  /** Changed, and not yet in the sums. */
  dirty: Entry[]
  sumLow: number
  sumHigh: number
}

export const createStore = (limits: StoreLimits): Store => ({
  ...{ limits, entries: new Map(), keys: createKeyIndex(), deadlines: createDeadlines() },
  ...{ clockMs: 0, sizeBytes: 0, leased: 0, dirty: [], sumLow: 0, sumHigh: 0 },
})

/** Whether the store takes a value of that size for the key. */
export function hasRoom(store: Store, key: string, old: Entry | undefined, size: number): boolean {
  const { limits, entries, sizeBytes } = store
  if (old === undefined) {
    return entries.size < limits.keysMax && sizeBytes + key.length + size <= limits.sizeMaxBytes
  }
  return size <= old.value.length || sizeBytes + size - old.value.length <= limits.sizeMaxBytes
}

/** @param value is copied; @param old what the key is now; @param deadlineMs 0: it stays */
export function putEntry(
  store: Store,
  key: string,
  old: Entry | undefined,
  value: Uint8Array,
  revision: number,
  deadlineMs: number,
): void {
  if (old === undefined) return createEntry(store, key, value, revision, deadlineMs)
  if (old.value.length === value.length) copyOver(old.value, value)
  else {
    store.sizeBytes += value.length - old.value.length
    old.value = value.slice()
  }
  old.modRevision = revision
  old.version += 1
  touch(store, old)
  if (old.deadlineMs !== deadlineMs) setDeadline(store, old, deadlineMs)
}

function createEntry(
  store: Store,
  key: string,
  value: Uint8Array,
  revision: number,
  deadlineMs: number,
): void {
  const made = { createRevision: revision, modRevision: revision, version: 1, deadlineMs }
  enterEntry(store, { key, value: value.slice(), ...made, hashLow: -1, hashHigh: -1 })
}

/** An entry whose key is not there. */
export function enterEntry(store: Store, entry: Entry): void {
  store.entries.set(entry.key, entry)
  insertKey(store.keys, entry.key)
  store.sizeBytes += entry.key.length + entry.value.length
  markDirty(store, entry)
  if (entry.deadlineMs > 0) lease(store, entry)
}

/** A call of `set` costs more than a few bytes do. */
const LOOP_MAX_BYTES = 32

function copyOver(to: Uint8Array, from: Uint8Array): void {
  if (from.length > LOOP_MAX_BYTES) return to.set(from)
  for (let i = 0; i < from.length; i++) to[i] = from[i]!
}

export function removeEntry(store: Store, entry: Entry): void {
  store.entries.delete(entry.key)
  removeKey(store.keys, entry.key)
  store.sizeBytes -= entry.key.length + entry.value.length
  if (entry.deadlineMs > 0) store.leased -= 1
  unsum(store, entry)
  entry.version = 0
}

/** @param deadlineMs 0: it stays */
export function setDeadline(store: Store, entry: Entry, deadlineMs: number): void {
  touch(store, entry)
  if (entry.deadlineMs > 0) store.leased -= 1
  entry.deadlineMs = deadlineMs
  if (deadlineMs > 0) lease(store, entry)
}

function lease(store: Store, { key, deadlineMs }: Entry): void {
  store.leased += 1
  pushDeadline(store.deadlines, deadlineMs, key, store.leased, holdsIn(store))
}

const holdsIn =
  ({ entries }: Store) =>
  (key: string, at: number): boolean =>
    entries.get(key)?.deadlineMs === at

/** The next one whose time is over; null: none is. */
export function nextDue(store: Store): Entry | null {
  const next = nextDeadline(store.deadlines, holdsIn(store))
  return next === null || next.at > store.clockMs ? null : store.entries.get(next.key)!
}

/** Visits entries in order of their keys, from `from` up to `to` (null: the end). */
export function walk(
  { keys, entries }: Store,
  from: Uint8Array,
  to: Uint8Array | null,
  visit: (entry: Entry) => boolean,
): void {
  const end = to === null ? null : keyOf(to)
  walkKeys(keys, keyOf(from), end, (key) => visit(entries.get(key)!))
}

/** Moves the clock on, never back. */
export function advance(store: Store, nowMs: number): void {
  if (nowMs > store.clockMs) store.clockMs = nowMs
}

/** @returns the time `ttlMs` from now */
export const deadlineIn = ({ clockMs }: Store, ttlMs: number): number =>
  Math.min(clockMs + ttlMs, Number.MAX_SAFE_INTEGER)

// ---- Hash ------------------------------------------------------------------------------------

const DIRTY_MIN = 1_024

/** It changes: what it becomes is added when the hash is asked for. */
function touch(store: Store, entry: Entry): void {
  if (entry.hashLow < 0) return
  unsum(store, entry)
  markDirty(store, entry)
}

function unsum(store: Store, entry: Entry): void {
  if (entry.hashLow < 0) return
  store.sumLow = (store.sumLow - entry.hashLow) >>> 0
  store.sumHigh = (store.sumHigh - entry.hashHigh) >>> 0
  entry.hashLow = -1
}

function markDirty(store: Store, entry: Entry): void {
  if (store.dirty.length > 2 * store.entries.size + DIRTY_MIN) settle(store)
  store.dirty.push(entry)
}

function settle(store: Store): void {
  for (const entry of store.dirty) {
    if (entry.version === 0 || entry.hashLow >= 0) continue
    entry.hashLow = hashOfEntry(entry, 0x811c9dc5)
    entry.hashHigh = hashOfEntry(entry, 0x2f0b4c47)
    store.sumLow = (store.sumLow + entry.hashLow) >>> 0
    store.sumHigh = (store.sumHigh + entry.hashHigh) >>> 0
  }
  store.dirty.length = 0
}

/** Equal on two nodes exactly when their states are, up to collisions of 64 bits. */
export function hashOf(store: Store): string {
  settle(store)
  const low = (store.sumLow + hashOfNumber(0x811c9dc5, store.clockMs)) >>> 0
  const hex = (word: number): string => word.toString(16).padStart(8, '0')
  return `${String(store.entries.size)}:${hex(store.sumHigh)}${hex(low)}`
}
