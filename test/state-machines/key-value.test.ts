import { expect, test } from 'vitest'
import type { StateMachine } from '../../src/base/state-machine.ts'
import { createFrameHeader, readFrameHeader } from '../../src/codec/frame.ts'
import { type Reply, createFrameBatch } from '../../src/stages/frame-batch.ts'
import { createHashStateMachine } from '../../src/state-machines/hash-state-machine.ts'
import {
  createKeyValueStateMachine,
  encodeCas,
  encodeDelete,
  encodePut,
} from '../../src/state-machines/key-value.ts'
import { logRing, putFrame } from '../support/engine-cells.ts'

const bytes = (value: string): Uint8Array => new TextEncoder().encode(value)
const textOf = (value: Uint8Array): string => new TextDecoder().decode(value)

/** Applies the entries as one batch; returns the first byte of each answer, -1 for none. */
function apply(machine: StateMachine, entries: readonly Uint8Array[]): number[] {
  const log = logRing()
  putFrame(log, entries, { first: 1 })
  const header = createFrameHeader()
  expect(readFrameHeader(log.bytes, log.view, 0, log.capacityBytes, header)).toBe('ok')
  const replies: Reply[] = []
  const batch = createFrameBatch()
  batch.enter(log, 0, 1, header, replies)
  machine.apply(batch)
  const answers = entries.map(() => -1)
  for (const { place, bytes: answer } of replies) answers[place - 1] = answer[0]!
  return answers
}

const key = bytes('k')

test('put, get, delete and compare-and-set do what they say', () => {
  const store = createKeyValueStateMachine()
  const cas = (expected: string, value: string) => encodeCas(key, bytes(expected), bytes(value))
  expect(apply(store, [encodeDelete(key), cas('', 'x'), encodePut(key, bytes('1'))])).toEqual([
    0, 0, 1,
  ])
  expect(apply(store, [cas('2', '3'), cas('1', '2')])).toEqual([0, 1])
  expect(textOf(store.query(key).subarray(1))).toBe('2')
  expect(apply(store, [encodeDelete(key)])).toEqual([1])
  expect([...store.query(key)]).toEqual([0])
})

test.each<[string, number[]]>([
  ['nothing', []],
  ['no key size', [1, 0]],
  ['a key beyond the end', [1, 9, 0, 1]],
  ['an unknown kind', [77, 0, 0]],
  ['a comparison without a size', [3, 0, 0, 1]],
  ['a comparison beyond the end', [3, 0, 0, 9, 0, 0, 0]],
])('%s is answered as malformed and changes nothing', (_name, command) => {
  const store = createKeyValueStateMachine()
  const before = store.hash?.()
  expect(apply(store, [Uint8Array.from(command)])).toEqual([2])
  expect(store.hash?.()).toBe(before)
})

test('the hash tells states: a value that is back has another revision', () => {
  const one = createKeyValueStateMachine()
  const two = createKeyValueStateMachine()
  apply(one, [encodePut(key, bytes('a')), encodePut(bytes('l'), bytes('b'))])
  apply(two, [encodePut(key, bytes('a')), encodePut(bytes('l'), bytes('b'))])
  expect(one.hash()).toBe(two.hash())
  apply(one, [encodePut(key, bytes('x'))])
  expect(one.hash()).not.toBe(two.hash())
  apply(one, [encodePut(key, bytes('a'))])
  expect(one.hash()).not.toBe(two.hash())
})

const MACHINES: readonly [string, () => StateMachine][] = [
  ['key-value', createKeyValueStateMachine],
  ['hash', createHashStateMachine],
]

test.each(MACHINES)('%s: a snapshot restores the state', async (_name, create) => {
  const from = create()
  const to = create()
  apply(from, [encodePut(key, bytes('a')), encodePut(Uint8Array.of(255, 0), bytes(''))])
  const chunks: Uint8Array[] = []
  await from.snapshot({ write: (chunk) => void chunks.push(chunk) })
  await to.restore({ read: () => chunks.shift() ?? null })
  expect(to.hash?.()).toBe(from.hash?.())
})

test('the hash machine sees a lost, repeated, swapped or moved entry', () => {
  const hashOf = (...entries: string[]): string => {
    const machine = createHashStateMachine()
    apply(machine, entries.map(bytes))
    return machine.hash!()
  }
  const hashes = [['a', 'b'], ['b', 'a'], ['a'], ['a', 'b', 'b'], ['ab'], ['', 'ab'], ['ab', '']]
  expect(new Set(hashes.map((entries) => hashOf(...entries))).size).toBe(hashes.length)
})
