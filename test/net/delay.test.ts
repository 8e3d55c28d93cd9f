/** Emulated distance: order, mean, bandwidth, repeatability. No clock. */
import { expect, test } from 'vitest'
import { createDelay, dueAt } from '../../src/net/delay.ts'

test('without jitter and limit a message is due half a round trip after its stamp', () => {
  const delay = createDelay({ rttMs: 10, jitterMs: 0, bandwidthMbps: 0, seed: 1 })
  expect([0, 1, 1, 7.5].map((stamp) => dueAt(delay, stamp, 1 << 20))).toEqual([5, 6, 6, 12.5])
})

test('no distance is no delay, and says so', () => {
  const none = createDelay({ rttMs: 0, jitterMs: 0, bandwidthMbps: 0, seed: 1 })
  expect([none.isNone, dueAt(none, 3, 1000)]).toEqual([true, 3])
  expect(createDelay({ rttMs: 0, jitterMs: 0, bandwidthMbps: 1, seed: 1 }).isNone).toBe(false)
})

test('order is kept under jitter, however dense the messages', () => {
  const delay = createDelay({ rttMs: 20, jitterMs: 9, bandwidthMbps: 0, seed: 7 })
  let last = -1
  for (let stamp = 0; stamp < 1000; stamp += 0.1) {
    const due = dueAt(delay, stamp, 200)
    expect(due).toBeGreaterThanOrEqual(last)
    expect(due - stamp).toBeLessThanOrEqual(19 + 1e-9)
    expect(due - stamp).toBeGreaterThanOrEqual(1 - 1e-9)
    last = due
  }
})

test.each([1, 2, 3])('the mean delay of sparse messages is the one asked for, seed %i', (seed) => {
  const delay = createDelay({ rttMs: 40, jitterMs: 10, bandwidthMbps: 0, seed })
  const count = 10_000
  let sum = 0
  for (let i = 0; i < count; i++) sum += dueAt(delay, i * 25, 200) - i * 25
  expect(Math.abs(sum / count - 20)).toBeLessThan(0.3)
})

test('bandwidth spaces messages by their size, and an idle wire saves nothing up', () => {
  const delay = createDelay({ rttMs: 2, jitterMs: 0, bandwidthMbps: 8, seed: 1 }) // 1000 B/ms
  const dues = [0, 0, 0, 100, 100].map((stamp) => dueAt(delay, stamp, 2000))
  expect(dues).toEqual([3, 5, 7, 103, 105])
})

test('the same seed gives the same times', () => {
  const run = (seed: number) => {
    const delay = createDelay({ rttMs: 5, jitterMs: 2, bandwidthMbps: 100, seed })
    return Array.from({ length: 50 }, (_, i) => dueAt(delay, i, i * 10))
  }
  expect(run(3)).toEqual(run(3))
  expect(run(3)).not.toEqual(run(4))
})

test.each([{ rttMs: -1 }, { jitterMs: NaN }, { bandwidthMbps: Infinity }])('refuses %o', (bad) => {
  const options = { rttMs: 0, jitterMs: 0, bandwidthMbps: 0, seed: 1, ...bad }
  expect(() => createDelay(options)).toThrow('a delay')
})
