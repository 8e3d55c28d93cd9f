/** Counters and flag on one thread. */
import { expect, test } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import {
  add,
  counterBlock,
  counterMemory,
  countersOf,
  flagMemory,
  isRaised,
  memoryOf,
  openCounters,
  openFlag,
  raise,
  set,
} from '../../src/ring/counters.ts'

const NAMES = ['batches', 'entries', 'busyMs'] as const

test('counters written through one handle are read by name through another', () => {
  const writer = counterBlock(NAMES)
  const reader = openCounters(NAMES, memoryOf(writer))
  add(writer, 'batches', 1)
  add(writer, 'batches', 1)
  set(writer, 'busyMs', 1.5)
  writer.words[writer.at.entries] = 2 ** 40
  expect(countersOf(reader)).toEqual({ batches: 2, entries: 2 ** 40, busyMs: 1.5 })
})

test('blocks are whole pairs of cache lines', () => {
  expect(counterMemory(NAMES).byteLength).toBe(128)
  expect(counterMemory(Array.from({ length: 17 }, (_, i) => `counter ${i}`)).byteLength).toBe(256)
})

test.each([[[]], [['a', 'a']]])('counters named %j are refused', (names) => {
  expect(() => counterMemory(names)).toThrow(AssertionError)
})

test('a block of another size is refused', () => {
  expect(() => openCounters(NAMES, new SharedArrayBuffer(8))).toThrow(AssertionError)
})

test('a flag that is raised is seen by all handles', () => {
  const memory = flagMemory()
  expect(isRaised(openFlag(memory))).toBe(false)
  raise(openFlag(memory))
  expect(isRaised(openFlag(memory))).toBe(true)
})
