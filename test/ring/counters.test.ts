/** Counters, watermark and flag on one thread; test/races/ring-watermark.test.ts has the race. */
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
  openWatermark,
  raise,
  raiseWatermark,
  readWatermark,
  set,
  watermarkMemory,
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

test.each([1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 52 + 1, Number.MAX_SAFE_INTEGER])(
  'a watermark carries %i to handles opened before and after',
  (value) => {
    const memory = watermarkMemory()
    const before = openWatermark(memory)
    raiseWatermark(openWatermark(memory), value)
    expect(readWatermark(before)).toBe(value)
    expect(openWatermark(memory).value).toBe(value)
  },
)

test('a watermark starts at 0 and follows every raise', () => {
  const memory = watermarkMemory()
  const writer = openWatermark(memory)
  const reader = openWatermark(memory)
  const seen = [0, 5, 5, 6, 2 ** 40].map((value) => {
    raiseWatermark(writer, value)
    return readWatermark(reader)
  })
  expect(seen).toEqual([0, 5, 5, 6, 2 ** 40])
})

test.each([4, 5.5, 2 ** 53])('a watermark at 5 is not raised to %d', (value) => {
  const watermark = openWatermark(watermarkMemory())
  raiseWatermark(watermark, 5)
  expect(() => raiseWatermark(watermark, value)).toThrow(AssertionError)
})

test('a flag that is raised is seen by all handles', () => {
  const memory = flagMemory()
  expect(isRaised(openFlag(memory))).toBe(false)
  raise(openFlag(memory))
  expect(isRaised(openFlag(memory))).toBe(true)
})
