/**
 * Bytes of what the key-value store answers (key-value-codec.ts has the commands). The first byte
 * is a code; what follows is fixed by the code and by the command that was answered.
 *
 *     0 not done | 1 done | 2 malformed | 3 answer-size | 4 not-a-number | 5 overflow | 6 full
 *     put with previous:  code | u8 1 | entry, or u8 0 (absent), 2 (no room)
 *     get:           1 | entry, or 0
 *     range:         1 | u8 more | u32 count | entries, each: u16 key size | key | u32 size | entry
 *     delete-range:  1 | u32 count                          incr: 1 | i64
 *     txn:           1 (guards held) or 0 | u32 count | answers, each behind its u32 size
 *     tick:          1 | u8 more | u32 leased | u32 count | keys behind their u16 sizes
 *     many:          1 | u32 count | answers, each behind its u32 size
 *     status:        1 | u64 keys | u64 leased | u64 clock | u64 size
 *     entry: u64 create revision | u64 mod revision | u64 version | u64 ttl + 1, or 0 |
 *            u8 1 | value, or u8 0 (keys only)
 */
import { assert, unreachable } from '../base/assert.ts'
import * as bytes from './key-value-bytes.ts'
import type {
  KeyValue,
  KvAnswer,
  KvOperation,
  KvQuestion,
  KvRefusal,
  KvStatus,
  TickAnswer,
  TxnAnswer,
  TxnCommand,
} from './key-value-commands.ts'

export const ANSWER = {
  ...{ notDone: 0, done: 1, malformed: 2, answerSize: 3, notANumber: 4, overflow: 5, full: 6 },
} as const

const REFUSALS: Readonly<Record<number, KvRefusal>> = {
  [ANSWER.malformed]: 'malformed',
  [ANSWER.answerSize]: 'answer-size',
  [ANSWER.notANumber]: 'not-a-number',
  [ANSWER.overflow]: 'overflow',
  [ANSWER.full]: 'full',
}

/** @param answer of the store to that operation */
export function decodeAnswer(operation: KvOperation, answer: Uint8Array): KvAnswer {
  if (operation.kind === 'put' && operation.previous !== true && answer[0]! <= ANSWER.done) {
    return { kind: 'put', done: answer[0] === ANSWER.done } // most answers, without a reader
  }
  const reader = bytes.readerOf(answer)
  const made = readAnswer(reader, operation)
  assert(made.kind === 'refused' || bytes.isWhole(reader), 'the store answers in its own form')
  return made
}

function readAnswer(reader: bytes.ByteReader, operation: KvOperation): KvAnswer {
  const code = bytes.takeU8(reader)
  const refusal = REFUSALS[code]
  if (refusal !== undefined) return { kind: 'refused', reason: refusal }
  const { kind } = operation
  const done = code === ANSWER.done
  switch (kind) {
    case 'put': {
      if (operation.previous !== true) return { kind, done }
      const had = bytes.takeU8(reader)
      if (had === 2) return { kind, done }
      return { kind, done, previous: had === 1 ? readEntry(reader, operation.key) : null }
    }
    case 'delete':
    case 'cas':
    case 'expire':
      return { kind, done }
    case 'get':
      return { kind, entry: done ? readEntry(reader, operation.key) : null }
    case 'range':
      return { kind, ...readEntries(reader) }
    case 'delete-range':
      return { kind, count: bytes.takeU32(reader) }
    case 'incr':
      return { kind, value: bytes.takeI64(reader) }
    default:
      return unreachable(kind)
  }
}

function readEntries(reader: bytes.ByteReader): { entries: KeyValue[]; more: boolean } {
  const more = bytes.takeU8(reader) === 1
  const count = bytes.takeU32(reader)
  const entries: KeyValue[] = []
  for (let i = 0; i < count; i++) {
    const key = bytes.takeBytes(reader, bytes.takeU16(reader))
    const entry = bytes.takeBytes(reader, bytes.takeU32(reader))
    entries.push(readEntry(bytes.readerOf(entry), key))
  }
  return { entries, more }
}

function readEntry(reader: bytes.ByteReader, key: Uint8Array): KeyValue {
  const createRevision = bytes.takeU53(reader)
  const modRevision = bytes.takeU53(reader)
  const version = bytes.takeU53(reader)
  const ttl = bytes.takeU53(reader)
  const value = bytes.takeU8(reader) === 1 ? bytes.takeRest(reader) : null
  const ttlMs = ttl === 0 ? null : ttl - 1
  return { key, value, createRevision, modRevision, version, ttlMs }
}

/** Null: the store took it for malformed. */
export function decodeTxnAnswer(command: TxnCommand, answer: Uint8Array): TxnAnswer | null {
  const reader = bytes.readerOf(answer)
  const code = bytes.takeU8(reader)
  if (code === ANSWER.malformed) return null
  const succeeded = code === ANSWER.done
  const answers = readAnswers(reader, succeeded ? command.then : command.else)
  return { succeeded, answers }
}

function readAnswers(reader: bytes.ByteReader, asked: readonly KvOperation[]): KvAnswer[] {
  const count = bytes.takeU32(reader)
  assert(count === asked.length, 'every operation is answered')
  return asked.map((one) => decodeAnswer(one, bytes.takeBytes(reader, bytes.takeU32(reader))))
}

/** Null: the store took it for malformed. */
export function decodeTickAnswer(answer: Uint8Array): TickAnswer | null {
  const reader = bytes.readerOf(answer)
  if (bytes.takeU8(reader) !== ANSWER.done) return null
  const more = bytes.takeU8(reader) === 1
  const leased = bytes.takeU32(reader)
  const count = bytes.takeU32(reader)
  const expired: Uint8Array[] = []
  for (let i = 0; i < count; i++) {
    expired.push(bytes.takeBytes(reader, bytes.takeU16(reader)))
  }
  return { expired, more, leased }
}

/** In order of what was asked. @returns null: the store took the question for malformed */
export function decodeAnswers(
  question: Exclude<KvQuestion, { readonly kind: 'status' }>,
  answer: Uint8Array,
): KvAnswer[] | null {
  if (question.kind !== 'many') return [decodeAnswer(question, answer)]
  const reader = bytes.readerOf(answer)
  return bytes.takeU8(reader) === ANSWER.done ? readAnswers(reader, question.of) : null
}

/** @returns null: the store does not know the question */
export function decodeStatus(answer: Uint8Array): KvStatus | null {
  const reader = bytes.readerOf(answer)
  if (bytes.takeU8(reader) !== ANSWER.done) return null
  const keys = bytes.takeU53(reader)
  const leased = bytes.takeU53(reader)
  const clockMs = bytes.takeU53(reader)
  return { keys, leased, clockMs, sizeBytes: bytes.takeU53(reader) }
}
