/**
 * A key-value store as a state machine: the one that ships with the product. Commands and answers
 * are small binary records; the state hash is a sum over all pairs, updated as they change, so that
 * two stores are equal exactly when their hashes and counts are (up to collisions of 32 bits).
 *
 *     command: u8 kind (1 put, 2 delete, 3 compare-and-set) | u16 key size | key | rest
 *              put: value        cas: u32 size of the expected value | expected | value
 *     answer:  u8 1 done, 0 not done (no such key, or not the expected value)
 *     query:   key              answer: u8 1 | value, or u8 0
 *
 * A command that does not parse changes nothing and answers 2: apply never throws on input.
 */
import type { StateMachine } from '../base/state-machine.ts'

const PUT = 1
const DELETE = 2
const CAS = 3
const NOT_DONE = Uint8Array.of(0)
const DONE = Uint8Array.of(1)
const MALFORMED = Uint8Array.of(2)
const KEY_AT = 3

export function encodePut(key: Uint8Array, value: Uint8Array): Uint8Array {
  return encode(PUT, key, value)
}
export function encodeDelete(key: Uint8Array): Uint8Array {
  return encode(DELETE, key, new Uint8Array(0))
}
export function encodeCas(key: Uint8Array, expected: Uint8Array, value: Uint8Array): Uint8Array {
  const rest = new Uint8Array(4 + expected.length + value.length)
  new DataView(rest.buffer).setUint32(0, expected.length, true)
  rest.set(expected, 4)
  rest.set(value, 4 + expected.length)
  return encode(CAS, key, rest)
}

function encode(kind: number, key: Uint8Array, rest: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(KEY_AT + key.length + rest.length)
  bytes[0] = kind
  new DataView(bytes.buffer).setUint16(1, key.length, true)
  bytes.set(key, KEY_AT)
  bytes.set(rest, KEY_AT + key.length)
  return bytes
}

/** Keys are compared as bytes; as map keys they are latin1 strings, one character a byte. */
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

type KeyValueStateMachine = StateMachine & Required<Pick<StateMachine, 'query' | 'hash'>>

export function createKeyValueStateMachine(): KeyValueStateMachine {
  const values = new Map<string, Uint8Array>()
  let sum = 0

  const put = (key: string, value: Uint8Array): void => {
    remove(key)
    values.set(key, value.slice())
    sum = (sum + pairHash(key, value)) >>> 0
  }
  const remove = (key: string): boolean => {
    const old = values.get(key)
    if (old === undefined) return false
    values.delete(key)
    sum = (sum - pairHash(key, old)) >>> 0
    return true
  }
  const execute = (command: Uint8Array): Uint8Array => {
    if (command.length < KEY_AT) return MALFORMED
    const restAt = KEY_AT + (command[1]! | (command[2]! << 8))
    if (restAt > command.length) return MALFORMED
    const key = textOf(command.subarray(KEY_AT, restAt))
    const rest = command.subarray(restAt)
    switch (command[0]) {
      case PUT:
        put(key, rest)
        return DONE
      case DELETE:
        return remove(key) ? DONE : NOT_DONE
      case CAS:
        return compareAndSet(key, rest)
      default:
        return MALFORMED
    }
  }
  const compareAndSet = (key: string, rest: Uint8Array): Uint8Array => {
    if (rest.length < 4) return MALFORMED
    const size = new DataView(rest.buffer, rest.byteOffset).getUint32(0, true)
    if (size > rest.length - 4) return MALFORMED
    const old = values.get(key)
    const expected = rest.subarray(4, 4 + size)
    if (old === undefined || Buffer.compare(old, expected) !== 0) return NOT_DONE
    put(key, rest.subarray(4 + size))
    return DONE
  }
  return {
    apply(batch) {
      for (let i = 0; i < batch.count; i++) batch.reply(i, execute(batch.payload(i)))
    },
    query(key) {
      const value = values.get(textOf(key))
      if (value === undefined) return NOT_DONE
      const answer = new Uint8Array(1 + value.length)
      answer[0] = 1
      answer.set(value, 1)
      return answer
    },
    snapshot(sink) {
      for (const [key, value] of values) sink.write(encodePut(Buffer.from(key, 'latin1'), value))
      return Promise.resolve()
    },
    restore(source) {
      values.clear()
      sum = 0
      for (let chunk = source.read(); chunk !== null; chunk = source.read()) execute(chunk)
      return Promise.resolve()
    },
    hash: () => `${String(values.size)}:${sum.toString(16)}`,
  }
}

function pairHash(key: string, value: Uint8Array): number {
  let h = 0x811c9dc5
  for (let i = 0; i < key.length; i++) h = Math.imul(h ^ key.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ 0x1ff, 0x01000193)
  for (const byte of value) h = Math.imul(h ^ byte, 0x01000193)
  return h >>> 0
}
