/**
 * Carries commands out on the store, and writes what they are answered. Synchronous and
 * deterministic: no clock, no chance, no order of a map. A command that does not parse, or breaks a
 * limit, changes nothing.
 */
import { unreachable } from '../base/assert.ts'
import { ANSWER } from './key-value-answers.ts'
import * as bytes from './key-value-bytes.ts'
import type * as command from './key-value-commands.ts'
import * as stores from './key-value-store.ts'
import { type Entry, type Store, bytesOfKey, keyOf } from './key-value-store.ts'

/** Beyond, what is read has no room; what little else there is to say has, up to 2 MiB. */
export const READ_SIZE_MAX_BYTES = 1_792 * 1_024
/** A range ends here, so that a walk over large values is one of small steps. */
const RANGE_SIZE_MAX_BYTES = 1_024 * 1_024
/** Of one tick. */
const EXPIRED_MAX = 1_024
const EXPIRED_SIZE_MAX_BYTES = 1_024 * 1_024

const ENTRY_HEAD_SIZE_BYTES = 33
const RANGE_HEAD_SIZE_BYTES = 6

export function execute(
  store: Store,
  one: command.KvCommand,
  revision: number,
  out: bytes.ByteWriter,
): void {
  if (one.kind === 'txn') return transact(store, one, revision, out)
  if (one.kind === 'tick') return tick(store, one.nowMs, out)
  operate(store, one, revision, out)
}

export function answer(store: Store, question: command.KvQuestion, out: bytes.ByteWriter): void {
  switch (question.kind) {
    case 'get':
      return get(store, question, out)
    case 'range':
      return range(store, question, out)
    case 'many':
      bytes.putU8(out, ANSWER.done)
      bytes.putU32(out, question.of.length)
      for (const one of question.of) bytes.putSized(out, () => answer(store, one, out))
      return
    case 'status':
      bytes.putU8(out, ANSWER.done)
      bytes.putU53(out, store.entries.size)
      bytes.putU53(out, store.leased)
      bytes.putU53(out, store.clockMs)
      return bytes.putU53(out, store.sizeBytes)
    default:
      return unreachable(question)
  }
}

function operate(
  store: Store,
  one: command.KvOperation,
  revision: number,
  out: bytes.ByteWriter,
): void {
  switch (one.kind) {
    case 'put':
      return put(store, one, revision, out)
    case 'get':
      return get(store, one, out)
    case 'delete': {
      const entry = store.entries.get(keyOf(one.key))
      if (entry !== undefined) stores.removeEntry(store, entry)
      return bytes.putU8(out, entry === undefined ? ANSWER.notDone : ANSWER.done)
    }
    case 'cas':
      return compareAndSet(store, one, revision, out)
    case 'range':
      return range(store, one, out)
    case 'delete-range':
      return deleteRange(store, one, out)
    case 'incr':
      return increment(store, one, revision, out)
    case 'expire':
      return expire(store, one, out)
    default:
      return unreachable(one)
  }
}

// ---- One key ---------------------------------------------------------------------------------

function put(store: Store, one: command.PutCommand, revision: number, out: bytes.ByteWriter): void {
  const key = keyOf(one.key)
  const old = store.entries.get(key)
  if (one.ttlMs !== undefined) stores.advance(store, one.nowMs ?? 0)
  const isHeld = one.only !== undefined && (one.only === 'absent') !== (old === undefined)
  const isFull = !isHeld && !stores.hasRoom(store, key, old, one.value.length)
  bytes.putU8(out, isFull ? ANSWER.full : isHeld ? ANSWER.notDone : ANSWER.done)
  if (isFull) return
  if (one.previous === true) writePrevious(store, old, out)
  if (isHeld) return
  const kept = one.keepTtl === true && old !== undefined ? old.deadlineMs : 0
  const deadlineMs = one.ttlMs === undefined ? kept : stores.deadlineIn(store, one.ttlMs)
  stores.putEntry(store, key, old, one.value, revision, deadlineMs)
}

function writePrevious(store: Store, old: Entry | undefined, out: bytes.ByteWriter): void {
  if (old === undefined) return bytes.putU8(out, 0)
  if (!hasRoomFor(out, old.value.length)) return bytes.putU8(out, 2)
  bytes.putU8(out, 1)
  writeEntry(store, old, false, out)
}

function compareAndSet(
  store: Store,
  { key: name, expected, value }: command.CasCommand,
  revision: number,
  out: bytes.ByteWriter,
): void {
  const key = keyOf(name)
  const old = store.entries.get(key)
  if (old === undefined || Buffer.compare(old.value, expected) !== 0) {
    return bytes.putU8(out, ANSWER.notDone)
  }
  if (!stores.hasRoom(store, key, old, value.length)) return bytes.putU8(out, ANSWER.full)
  stores.putEntry(store, key, old, value, revision, 0)
  bytes.putU8(out, ANSWER.done)
}

const DECIMAL = /^(?:0|-?[1-9][0-9]{0,18})$/
const DECIMAL_SIZE_MAX = 20

function increment(
  store: Store,
  { key: name, delta }: command.IncrCommand,
  revision: number,
  out: bytes.ByteWriter,
): void {
  const key = keyOf(name)
  const old = store.entries.get(key)
  const isShort = old === undefined || old.value.length <= DECIMAL_SIZE_MAX
  const text = old === undefined ? '0' : isShort ? keyOf(old.value) : ''
  const before = DECIMAL.test(text) ? BigInt(text) : null
  if (before === null || BigInt.asIntN(64, before) !== before) {
    return bytes.putU8(out, ANSWER.notANumber)
  }
  const sum = before + delta
  if (BigInt.asIntN(64, sum) !== sum) return bytes.putU8(out, ANSWER.overflow)
  const value = bytesOfKey(sum.toString())
  if (!stores.hasRoom(store, key, old, value.length)) return bytes.putU8(out, ANSWER.full)
  stores.putEntry(store, key, old, value, revision, old?.deadlineMs ?? 0)
  bytes.putU8(out, ANSWER.done)
  bytes.putI64(out, sum)
}

function expire(store: Store, one: command.ExpireCommand, out: bytes.ByteWriter): void {
  const entry = store.entries.get(keyOf(one.key))
  if (one.ttlMs !== null) stores.advance(store, one.nowMs ?? 0)
  if (entry === undefined) return bytes.putU8(out, ANSWER.notDone)
  stores.setDeadline(store, entry, one.ttlMs === null ? 0 : stores.deadlineIn(store, one.ttlMs))
  bytes.putU8(out, ANSWER.done)
}

// ---- Reads -----------------------------------------------------------------------------------

const hasRoomFor = (out: bytes.ByteWriter, sizeBytes: number): boolean =>
  out.size + ENTRY_HEAD_SIZE_BYTES + sizeBytes <= READ_SIZE_MAX_BYTES

function writeEntry(store: Store, entry: Entry, keysOnly: boolean, out: bytes.ByteWriter): void {
  const { createRevision, modRevision, version, deadlineMs, value } = entry
  bytes.putU53(out, createRevision)
  bytes.putU53(out, modRevision)
  bytes.putU53(out, version)
  bytes.putU53(out, deadlineMs === 0 ? 0 : Math.max(0, deadlineMs - store.clockMs) + 1)
  bytes.putU8(out, keysOnly ? 0 : 1)
  if (!keysOnly) bytes.putBytes(out, value)
}

function get(
  store: Store,
  { key, keysOnly = false }: command.GetCommand,
  out: bytes.ByteWriter,
): void {
  const entry = store.entries.get(keyOf(key))
  if (entry === undefined) return bytes.putU8(out, ANSWER.notDone)
  if (!hasRoomFor(out, keysOnly ? 0 : entry.value.length)) {
    return bytes.putU8(out, ANSWER.answerSize)
  }
  bytes.putU8(out, ANSWER.done)
  writeEntry(store, entry, keysOnly, out)
}

function range(store: Store, one: command.RangeCommand, out: bytes.ByteWriter): void {
  const { limit = Infinity, keysOnly = false } = one
  const begin = out.size
  const end = Math.min(begin + RANGE_SIZE_MAX_BYTES, READ_SIZE_MAX_BYTES)
  let count = 0
  let more = false
  bytes.putU8(out, ANSWER.done)
  bytes.putU8(out, 0)
  bytes.putU32(out, 0)
  stores.walk(store, one.from, one.to, (entry) => {
    const size = entry.key.length + (keysOnly ? 0 : entry.value.length)
    const isFirst = count === 0 && hasRoomFor(out, size + RANGE_HEAD_SIZE_BYTES)
    const fits = isFirst || out.size + size + RANGE_HEAD_SIZE_BYTES + ENTRY_HEAD_SIZE_BYTES <= end
    more = count === limit || !fits
    if (more) return false
    bytes.putU16(out, entry.key.length)
    bytes.putBytes(out, bytesOfKey(entry.key))
    bytes.putSized(out, () => writeEntry(store, entry, keysOnly, out))
    count += 1
    return true
  })
  if (more && count === 0) {
    out.size = begin
    return bytes.putU8(out, ANSWER.answerSize)
  }
  out.bytes[begin + 1] = more ? 1 : 0
  out.view.setUint32(begin + 2, count, true)
}

function deleteRange(
  store: Store,
  { from, to }: command.DeleteRangeCommand,
  out: bytes.ByteWriter,
): void {
  const found: Entry[] = []
  stores.walk(store, from, to, (entry) => found.push(entry) > 0)
  for (const entry of found) stores.removeEntry(store, entry)
  bytes.putU8(out, ANSWER.done)
  bytes.putU32(out, found.length)
}

// ---- Transactions and time -------------------------------------------------------------------

function transact(
  store: Store,
  txn: command.TxnCommand,
  revision: number,
  out: bytes.ByteWriter,
): void {
  const succeeded = txn.guards.every((guard) => holds(store, guard))
  const done = succeeded ? txn.then : txn.else
  bytes.putU8(out, succeeded ? ANSWER.done : ANSWER.notDone)
  bytes.putU32(out, done.length)
  for (const one of done) bytes.putSized(out, () => operate(store, one, revision, out))
}

function holds(store: Store, guard: command.KvGuard): boolean {
  const entry = store.entries.get(keyOf(guard.key))
  const { is } = guard
  if (guard.field === 'value') {
    return entry !== undefined && compares(Buffer.compare(entry.value, guard.value), is)
  }
  return compares(fieldOf(entry, guard.field) - guard.value, is)
}

function fieldOf(entry: Entry | undefined, field: 'version' | 'mod' | 'create'): number {
  if (entry === undefined) return 0
  if (field === 'version') return entry.version
  return field === 'mod' ? entry.modRevision : entry.createRevision
}

function compares(difference: number, is: command.Comparison): boolean {
  switch (is) {
    case 'equal':
      return difference === 0
    case 'not-equal':
      return difference !== 0
    case 'less':
      return difference < 0
    case 'greater':
      return difference > 0
    default:
      return unreachable(is)
  }
}

function tick(store: Store, nowMs: number, out: bytes.ByteWriter): void {
  stores.advance(store, nowMs)
  const begin = out.size
  bytes.putU8(out, ANSWER.done)
  bytes.putU8(out, 0)
  bytes.putU32(out, 0)
  bytes.putU32(out, 0)
  let count = 0
  let due = stores.nextDue(store)
  for (; due !== null && count < EXPIRED_MAX; due = stores.nextDue(store)) {
    if (out.size - begin + due.key.length > EXPIRED_SIZE_MAX_BYTES) break
    stores.removeEntry(store, due)
    bytes.putU16(out, due.key.length)
    bytes.putBytes(out, bytesOfKey(due.key))
    count += 1
  }
  out.bytes[begin + 1] = due === null ? 0 : 1
  out.view.setUint32(begin + 2, store.leased, true)
  out.view.setUint32(begin + 6, count, true)
}
