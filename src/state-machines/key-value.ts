/**
 * A key-value store as a state machine: the one that ships with the product. Its commands are in
 * key-value-codec.ts, its answers in key-value-answers.ts, what it holds in key-value-store.ts.
 *
 * The revision of a change is the log index of its entry, so it is a fencing token. Time is an
 * entry, too: keys end by ticks of the log, never by a clock that apply reads. A command that does
 * not parse changes nothing and answers `malformed`: apply never throws on input.
 */
import type { StateMachine } from '../base/state-machine.ts'
import { ANSWER } from './key-value-answers.ts'
import { createWriter, putU8, writtenOf } from './key-value-bytes.ts'
import {
  KIND,
  PUT_KEY_AT,
  decodeCommand,
  decodeQuestion,
  encodeCommand,
  hasMark,
} from './key-value-codec.ts'
import { answer, execute } from './key-value-execute.ts'
import { freezeStore, loadStore, saveStore } from './key-value-snapshot.ts'
import {
  STORE_LIMITS,
  type StoreLimits,
  createStore,
  hasRoom,
  hashOf,
  keyOf,
  putEntry,
} from './key-value-store.ts'

export { encodePut } from './key-value-codec.ts'
export const encodeDelete = (key: Uint8Array): Uint8Array => encodeCommand({ kind: 'delete', key })
export const encodeCas = (key: Uint8Array, expected: Uint8Array, value: Uint8Array): Uint8Array =>
  encodeCommand({ kind: 'cas', key, expected, value })

const NOT_DONE = Uint8Array.of(ANSWER.notDone)
const DONE = Uint8Array.of(ANSWER.done)
const MALFORMED = Uint8Array.of(ANSWER.malformed)
const FULL = Uint8Array.of(ANSWER.full)

/** @param limits the same on all nodes of a cluster, for the whole of its life */
export function createKeyValueStateMachine(
  limits: StoreLimits = STORE_LIMITS,
): Required<StateMachine> {
  let store = createStore(limits)
  const out = createWriter()

  /** A plain put: what a store is asked most. */
  const put = (command: Uint8Array, revision: number): Uint8Array => {
    const valueAt = PUT_KEY_AT + (command[1]! | (command[2]! << 8))
    if (!(valueAt <= command.length)) return MALFORMED
    const key = keyOf(command.subarray(PUT_KEY_AT, valueAt))
    const old = store.entries.get(key)
    if (!hasRoom(store, key, old, command.length - valueAt)) return FULL
    putEntry(store, key, old, command.subarray(valueAt), revision, 0)
    return DONE
  }
  const run = (bytes: Uint8Array, revision: number): Uint8Array => {
    if (bytes[0] === KIND.put) return put(bytes, revision)
    const command = decodeCommand(bytes)
    if (command === null) return MALFORMED
    out.size = 0
    execute(store, command, revision, out)
    return writtenOf(out)
  }
  /** As in the first version: the bytes of the key, and 1 and its value, or 0. */
  const valueOf = (key: Uint8Array): Uint8Array => {
    const entry = store.entries.get(keyOf(key))
    if (entry === undefined) return NOT_DONE
    const bytes = new Uint8Array(1 + entry.value.length)
    bytes[0] = ANSWER.done
    bytes.set(entry.value, 1)
    return bytes
  }
  return {
    apply(batch) {
      for (let i = 0; i < batch.count; i++) batch.reply(i, run(batch.payload(i), batch.first + i))
    },
    query(bytes) {
      if (!hasMark(bytes)) return valueOf(bytes)
      const question = decodeQuestion(bytes)
      out.size = 0
      if (question === null) putU8(out, ANSWER.malformed)
      else answer(store, question, out)
      return writtenOf(out).slice()
    },
    snapshot(sink) {
      saveStore(store, sink)
      return Promise.resolve()
    },
    freeze: () => freezeStore(store),
    restore(source) {
      store = createStore(limits)
      loadStore(store, source)
      return Promise.resolve()
    },
    hash: () => hashOf(store),
  }
}
