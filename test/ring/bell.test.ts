/** Behaviour of a bell on one thread; test/races/ring-bell.test.ts has the real threads. */
import { expect, test } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import {
  bellMemory,
  bellStatisticsOf,
  cancelWait,
  openBell,
  prepareWait,
  ring,
  rangSince,
  wait,
  waitAsync,
} from '../../src/ring/bell.ts'

const LONG_MS = 3_000 // counts tell a wake from this timeout

test('a ring between the preparation and the wait keeps the thread awake', () => {
  const bell = openBell(bellMemory())
  const seen = prepareWait(bell)
  ring(bell)
  expect(rangSince(bell, seen)).toBe(true)
  wait(bell, seen, LONG_MS)
  expect(bellStatisticsOf(bell)).toEqual({ parks: 1, wakes: 1 })
})

test('a wait that nobody ends times out, and is not counted as a wake', () => {
  const bell = openBell(bellMemory())
  wait(bell, prepareWait(bell), 1)
  expect(bellStatisticsOf(bell)).toEqual({ parks: 1, wakes: 0 })
})

test('waitAsync ends at once after a ring that it has not seen', async () => {
  const bell = openBell(bellMemory())
  const seen = prepareWait(bell)
  ring(bell)
  await waitAsync(bell, seen)
})

test('waitAsync is ended by a later ring', async () => {
  const bell = openBell(bellMemory())
  const waiting = waitAsync(bell, prepareWait(bell))
  ring(bell)
  await waiting
})

test('after a cancelled wait nobody pays for a notify: a queued waiter stays asleep', async () => {
  const bell = openBell(bellMemory())
  let isEnded: boolean = false
  const waiting = waitAsync(bell, prepareWait(bell)).then(() => (isEnded = true))
  cancelWait(bell)
  ring(bell)
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(isEnded).toBe(false)
  prepareWait(bell) // the next sleep has the same waiter
  ring(bell)
  await waiting
})

test('count wraps at 2^31 without losing a ring', () => {
  const bell = openBell(bellMemory())
  bell.words[0] = 2 ** 31 - 1
  const seen = prepareWait(bell)
  ring(bell)
  wait(bell, seen, LONG_MS)
  expect(bellStatisticsOf(bell)).toEqual({ parks: 1, wakes: 1 })
})

test('a memory that is no bell is refused', () => {
  expect(() => openBell(new SharedArrayBuffer(8))).toThrow(AssertionError)
})
