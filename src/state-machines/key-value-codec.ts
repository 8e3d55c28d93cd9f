/**
 * Bytes of commands and questions of the key-value store. Numbers are little endian, sizes count
 * bytes, revisions and times are 64 bits (key-value-bytes.ts).
 *
 *     command: u8 kind | u16 key size | key | rest, by kind:
 *       1 put           value
 *       2 delete
 *       3 cas           u32 size | expected | value
 *       4 put           u8 flags | u64 ttl, ms | u64 clock, ms | value
 *       5 get           u8 1: without value
 *       6 range         u8 flags | u16 size | to | u32 limit              (key: from)
 *       7 delete-range  u8 flags | u16 size | to                          (key: from)
 *       8 incr          i64
 *       9 expire        u8 1: set, 0: end | u64 ttl, ms | u64 clock, ms
 *      16 txn           u32 guards | u32 then | u32 else | that many, each behind its u32 size
 *      17 tick          u64 clock, ms
 *     guard:    u8 field | u8 comparison | u16 key size | key | u64 number, or the value
 *     question: MARK | command of kind 5 or 6; or MARK | 18 (many), 19 (status) | u16 0 | u32 count
 *               | that many behind their sizes. Without MARK: the key of a get, answered as of old.
 *
 * Kinds 1 to 3 are those of the first version, without its limits: a key of theirs has up to
 * 65,535 bytes. Every command has one form: what `decodeCommand` takes, `encodeCommand` gives back.
 * Pure; any thread. `decodeCommand` never throws, and returns views of what it was given.
 */
import * as bytes from './key-value-bytes.ts'
import {
  type Comparison,
  KEY_SIZE_MAX_BYTES,
  type KvCommand,
  type KvGuard,
  type KvOperation,
  type KvQuestion,
  OPERATIONS_MAX,
  type PutCommand,
  RANGE_KEYS_MAX,
  REQUEST_SIZE_MAX_BYTES,
  TTL_MAX_MS,
} from './key-value-commands.ts'

export const KIND = {
  ...{ put: 1, delete: 2, cas: 3, putWith: 4, get: 5, range: 6, deleteRange: 7, incr: 8 },
  ...{ expire: 9, txn: 16, tick: 17, many: 18, status: 19 },
} as const

/** No command begins so, and hardly a key: such a key is asked for by a `get` question. */
export const QUESTION_MARK = Uint8Array.of(0xff, 0xfe, 0x00, 0x71)

const FIELDS = ['value', 'version', 'mod', 'create'] as const satisfies KvGuard['field'][]
const COMPARISONS = [
  ...(['equal', 'not-equal', 'less', 'greater'] as const),
] as const satisfies Comparison[]

const PUT_FLAGS = { previous: 1, keepTtl: 2, absent: 4, present: 8, ttl: 16 } as const
const RANGE_FLAGS = { hasTo: 1, keysOnly: 2 } as const
/** Where the key of a command begins. */
export const PUT_KEY_AT = 3
const NOTHING = new Uint8Array(0)

// ---- Writing ---------------------------------------------------------------------------------

/** What may be wrong with it is `problemsOf` a command: this writes what it is given. */
export function encodeCommand(command: KvCommand): Uint8Array {
  if (command.kind === 'put' && flagsOf(command) === 0) return encodePut(command.key, command.value)
  const writer = bytes.createWriter()
  writeCommand(writer, command)
  return bytes.writtenOf(writer)
}

/** What a store is told most: its bytes are written once, where they stay. */
export function encodePut(key: Uint8Array, value: Uint8Array): Uint8Array {
  const put = new Uint8Array(PUT_KEY_AT + key.length + value.length)
  put[0] = KIND.put
  put[1] = key.length & 0xff
  put[2] = key.length >> 8
  put.set(key, PUT_KEY_AT)
  put.set(value, PUT_KEY_AT + key.length)
  return put
}

export function encodeQuestion(question: KvQuestion): Uint8Array {
  const writer = bytes.createWriter()
  bytes.putBytes(writer, QUESTION_MARK)
  switch (question.kind) {
    case 'get':
    case 'range':
      writeCommand(writer, question)
      break
    case 'status':
      writeHead(writer, KIND.status, NOTHING)
      bytes.putU32(writer, 0)
      break
    case 'many':
      writeHead(writer, KIND.many, NOTHING)
      bytes.putU32(writer, question.of.length)
      writeAll(writer, question.of)
  }
  return bytes.writtenOf(writer)
}

function writeHead(writer: bytes.ByteWriter, kind: number, key: Uint8Array): void {
  bytes.putU8(writer, kind)
  bytes.putU16(writer, key.length)
  bytes.putBytes(writer, key)
}

function writeCommand(writer: bytes.ByteWriter, command: KvCommand): void {
  switch (command.kind) {
    case 'put':
      return writePut(writer, command)
    case 'delete':
      return writeHead(writer, KIND.delete, command.key)
    case 'cas':
      writeHead(writer, KIND.cas, command.key)
      bytes.putU32(writer, command.expected.length)
      bytes.putBytes(writer, command.expected)
      return bytes.putBytes(writer, command.value)
    case 'get':
      writeHead(writer, KIND.get, command.key)
      return bytes.putU8(writer, command.keysOnly === true ? 1 : 0)
    case 'range': {
      const { from, to, limit = RANGE_KEYS_MAX, keysOnly = false } = command
      writeRange(writer, KIND.range, { from, to, flags: keysOnly ? RANGE_FLAGS.keysOnly : 0 })
      return bytes.putU32(writer, limit)
    }
    case 'delete-range':
      return writeRange(writer, KIND.deleteRange, { ...command, flags: 0 })
    case 'incr':
      writeHead(writer, KIND.incr, command.key)
      return bytes.putI64(writer, command.delta)
    case 'expire':
      writeHead(writer, KIND.expire, command.key)
      bytes.putU8(writer, command.ttlMs === null ? 0 : 1)
      return writeTimes(writer, command.ttlMs ?? undefined, command.nowMs)
    case 'txn':
      writeHead(writer, KIND.txn, NOTHING)
      for (const part of [command.guards, command.then, command.else]) {
        bytes.putU32(writer, part.length)
      }
      for (const guard of command.guards) bytes.putSized(writer, () => writeGuard(writer, guard))
      writeAll(writer, command.then)
      return writeAll(writer, command.else)
    case 'tick':
      writeHead(writer, KIND.tick, NOTHING)
      return bytes.putU53(writer, command.nowMs)
  }
}

function writeAll(writer: bytes.ByteWriter, commands: readonly KvOperation[]): void {
  for (const one of commands) bytes.putSized(writer, () => writeCommand(writer, one))
}

const flagsOf = ({ ttlMs, keepTtl, only, previous }: PutCommand): number =>
  (previous === true ? PUT_FLAGS.previous : 0) |
  (keepTtl === true ? PUT_FLAGS.keepTtl : 0) |
  (only === undefined ? 0 : PUT_FLAGS[only]) |
  (ttlMs === undefined ? 0 : PUT_FLAGS.ttl)

function writePut(writer: bytes.ByteWriter, command: PutCommand): void {
  const { key, value, ttlMs, nowMs } = command
  const flags = flagsOf(command)
  writeHead(writer, flags === 0 ? KIND.put : KIND.putWith, key)
  if (flags !== 0) {
    bytes.putU8(writer, flags)
    writeTimes(writer, ttlMs, nowMs)
  }
  bytes.putBytes(writer, value)
}

/** Nobody needs the clock who sets no time to live. */
function writeTimes(writer: bytes.ByteWriter, ttlMs: number | undefined, nowMs = 0): void {
  bytes.putU53(writer, ttlMs ?? 0)
  bytes.putU53(writer, ttlMs === undefined ? 0 : nowMs)
}

function writeRange(
  writer: bytes.ByteWriter,
  kind: number,
  range: { readonly from: Uint8Array; readonly to: Uint8Array | null; readonly flags: number },
): void {
  const { from, to, flags } = range
  writeHead(writer, kind, from)
  bytes.putU8(writer, flags | (to === null ? 0 : RANGE_FLAGS.hasTo))
  bytes.putU16(writer, to?.length ?? 0)
  if (to !== null) bytes.putBytes(writer, to)
}

function writeGuard(writer: bytes.ByteWriter, guard: KvGuard): void {
  bytes.putU8(writer, FIELDS.indexOf(guard.field))
  bytes.putU8(writer, COMPARISONS.indexOf(guard.is))
  bytes.putU16(writer, guard.key.length)
  bytes.putBytes(writer, guard.key)
  if (guard.field === 'value') bytes.putBytes(writer, guard.value)
  else bytes.putU53(writer, guard.value)
}

// ---- Reading ---------------------------------------------------------------------------------

/** @returns null: it is malformed, or beyond a limit */
export function decodeCommand(command: Uint8Array): KvCommand | null {
  const reader = bytes.readerOf(command)
  const kind = bytes.takeU8(reader)
  const key = bytes.takeBytes(reader, bytes.takeU16(reader))
  const isOfFirstVersion = kind >= KIND.put && kind <= KIND.cas
  if (!isOfFirstVersion && key.length > KEY_SIZE_MAX_BYTES) return null
  if (!isOfFirstVersion && command.length > REQUEST_SIZE_MAX_BYTES) return null
  const made = kind >= KIND.txn ? readWhole(reader, kind, key) : readOperation(reader, kind, key)
  return made !== null && bytes.isWhole(reader) ? made : null
}

/** @returns null: it is none; the key of a question without the mark is none either */
export function decodeQuestion(question: Uint8Array): KvQuestion | null {
  if (!hasMark(question)) return null
  const command = question.subarray(QUESTION_MARK.length)
  const reader = bytes.readerOf(command)
  const kind = bytes.takeU8(reader)
  if (kind < KIND.many) return readOf(command)
  if (bytes.takeU16(reader) !== 0) return null
  const count = bytes.takeU32(reader)
  if (kind === KIND.status) {
    return bytes.isWhole(reader) && count === 0 ? { kind: 'status' } : null
  }
  if (kind !== KIND.many || count > OPERATIONS_MAX) return null
  const of: (KvQuestion & { kind: 'get' | 'range' })[] = []
  for (let i = 0; i < count; i++) {
    const one = readOf(bytes.takeBytes(reader, bytes.takeU32(reader)))
    if (one === null) return null
    of.push(one)
  }
  return bytes.isWhole(reader) ? { kind: 'many', of } : null
}

export const hasMark = (question: Uint8Array): boolean =>
  question.length > QUESTION_MARK.length && QUESTION_MARK.every((byte, i) => question[i] === byte)

function readOf(command: Uint8Array): (KvCommand & { kind: 'get' | 'range' }) | null {
  const made = decodeCommand(command)
  return made?.kind === 'get' || made?.kind === 'range' ? made : null
}

/** Those that stand alone. */
function readWhole(reader: bytes.ByteReader, kind: number, key: Uint8Array): KvCommand | null {
  if (key.length > 0) return null
  if (kind === KIND.tick) return { kind: 'tick', nowMs: bytes.takeU53(reader) }
  if (kind !== KIND.txn) return null
  const [guards, then, otherwise] = [0, 0, 0].map(() => bytes.takeU32(reader))
  if (Math.max(guards!, then! + otherwise!) > OPERATIONS_MAX) return null
  const made: { guards: KvGuard[]; then: KvOperation[]; else: KvOperation[] } = {
    ...{ guards: [], then: [], else: [] },
  }
  for (let i = 0; i < guards! && !reader.failed; i++) {
    const guard = readGuard(bytes.takeBytes(reader, bytes.takeU32(reader)))
    if (guard === null) return null
    made.guards.push(guard)
  }
  for (let i = 0; i < then! + otherwise! && !reader.failed; i++) {
    const one = decodeCommand(bytes.takeBytes(reader, bytes.takeU32(reader)))
    if (one === null || one.kind === 'txn' || one.kind === 'tick') return null
    const isBeyond = 'key' in one && one.key.length > KEY_SIZE_MAX_BYTES
    if (isBeyond) return null
    ;(i < then! ? made.then : made.else).push(one)
  }
  return { kind: 'txn', ...made }
}

function readOperation(
  reader: bytes.ByteReader,
  kind: number,
  key: Uint8Array,
): KvOperation | null {
  switch (kind) {
    case KIND.put:
      return { kind: 'put', key, value: bytes.takeRest(reader) }
    case KIND.delete:
      bytes.takeRest(reader) // the first version took anything there
      return { kind: 'delete', key }
    case KIND.cas: {
      const expected = bytes.takeBytes(reader, bytes.takeU32(reader))
      return { kind: 'cas', key, expected, value: bytes.takeRest(reader) }
    }
    case KIND.putWith:
      return readPut(reader, key)
    case KIND.get: {
      const flags = bytes.takeU8(reader)
      return flags > 1 ? null : { kind: 'get', key, ...(flags === 1 && { keysOnly: true }) }
    }
    case KIND.range: {
      const range = readRange(reader, RANGE_FLAGS.hasTo | RANGE_FLAGS.keysOnly)
      const limit = bytes.takeU32(reader)
      if (range === null || limit < 1 || limit > RANGE_KEYS_MAX) return null
      const { to, keysOnly } = range
      return { kind: 'range', from: key, to, limit, ...(keysOnly && { keysOnly }) }
    }
    case KIND.deleteRange: {
      const range = readRange(reader, RANGE_FLAGS.hasTo)
      return range === null ? null : { kind: 'delete-range', from: key, to: range.to }
    }
    case KIND.incr:
      return { kind: 'incr', key, delta: bytes.takeI64(reader) }
    case KIND.expire: {
      const isSet = bytes.takeU8(reader)
      const times = readTimes(reader, isSet === 1)
      if (isSet > 1 || times === null) return null
      return isSet === 0 ? { kind: 'expire', key, ttlMs: null } : { kind: 'expire', key, ...times }
    }
    default:
      return null
  }
}

function readPut(reader: bytes.ByteReader, key: Uint8Array): PutCommand | null {
  const flags = bytes.takeU8(reader)
  const has = (flag: keyof typeof PUT_FLAGS): boolean => (flags & PUT_FLAGS[flag]) !== 0
  const times = readTimes(reader, has('ttl'))
  const isSenseless = (has('absent') && has('present')) || (has('ttl') && has('keepTtl'))
  if (flags === 0 || flags > 31 || isSenseless || times === null) return null
  return {
    ...{ kind: 'put', key, value: bytes.takeRest(reader) },
    ...(has('ttl') && times),
    ...(has('keepTtl') && { keepTtl: true }),
    ...(has('absent') && { only: 'absent' }),
    ...(has('present') && { only: 'present' }),
    ...(has('previous') && { previous: true }),
  }
}

function readTimes(
  reader: bytes.ByteReader,
  isSet: boolean,
): { ttlMs: number; nowMs: number } | null {
  const ttlMs = bytes.takeU53(reader)
  const nowMs = bytes.takeU53(reader)
  if (!isSet) return ttlMs === 0 && nowMs === 0 ? { ttlMs, nowMs } : null
  return ttlMs >= 1 && ttlMs <= TTL_MAX_MS ? { ttlMs, nowMs } : null
}

function readRange(
  reader: bytes.ByteReader,
  known: number,
): { to: Uint8Array | null; keysOnly: boolean } | null {
  const flags = bytes.takeU8(reader)
  const size = bytes.takeU16(reader)
  const to = bytes.takeBytes(reader, size)
  if ((flags & ~known) !== 0 || size > KEY_SIZE_MAX_BYTES + 1) return null
  const hasTo = (flags & RANGE_FLAGS.hasTo) !== 0
  if (!hasTo && size > 0) return null
  return { to: hasTo ? to : null, keysOnly: (flags & RANGE_FLAGS.keysOnly) !== 0 }
}

function readGuard(guard: Uint8Array): KvGuard | null {
  const reader = bytes.readerOf(guard)
  const field = bytes.takeWord(reader, FIELDS)
  const is = bytes.takeWord(reader, COMPARISONS)
  const key = bytes.takeBytes(reader, bytes.takeU16(reader))
  if (key.length > KEY_SIZE_MAX_BYTES) return null
  const made: KvGuard =
    field === 'value'
      ? { key, field, is, value: bytes.takeRest(reader) }
      : { key, field, is, value: bytes.takeU53(reader) }
  return bytes.isWhole(reader) ? made : null
}
