/** The runners on one thread, with scripted cycles and a scripted clock. */
import { expect, test, vi } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import { bellMemory, bellStatisticsOf, openBell, ring } from '../../src/ring/bell.ts'
import { type AsyncRunner, type Runner, run, runAsync, threadTime } from '../../src/ring/wait.ts'

const LONG_MS = 600_000 // on an event loop: the test's timeout comes first
const BLOCKED_MS = 3_000 // in Atomics.wait no test timeout comes; counts tell a wake from this

/** A runner whose cycles return `works` in turn and which halts when they are used up. */
function scripted(
  works: readonly number[],
  more: Partial<Runner> = {},
): Runner & { cycles: number } {
  const runner: Runner & { cycles: number } = {
    bell: openBell(bellMemory()),
    cycles: 0,
    halted: () => runner.cycles >= works.length,
    cycle: () => works[runner.cycles++] ?? 0,
    spinCount: 0,
    timeoutMs: 1,
    now: () => 0,
    time: threadTime(),
    ...more,
  }
  return runner
}

test('run cycles without parking while there is work', () => {
  const runner = scripted([1, 5, 2])
  run(runner)
  expect(runner.cycles).toBe(3)
  expect(bellStatisticsOf(runner.bell).parks).toBe(0)
})

test('run polls once more before it parks, and parks with a timeout', () => {
  const runner = scripted([0, 0, 1])
  run(runner)
  expect(bellStatisticsOf(runner.bell)).toEqual({ parks: 1, wakes: 0 })
})

test('run stays up when the second poll finds work', () => {
  const runner = scripted([0, 1, 0, 1])
  run(runner)
  expect(bellStatisticsOf(runner.bell).parks).toBe(0)
})

test('run spins so many cycles before it prepares to park', () => {
  const runner = scripted([0, 0, 0, 1, 0, 0, 0, 0, 0, 1], { spinCount: 3 })
  run(runner)
  expect(bellStatisticsOf(runner.bell).parks).toBe(1) // after 1 + 3 + 1 empty cycles
})

test('work published and rung during the second poll is not slept on', () => {
  const bell = openBell(bellMemory())
  let cycles = 0
  run({
    ...scripted([]),
    bell,
    timeoutMs: BLOCKED_MS,
    halted: () => cycles >= 3,
    cycle: () => {
      if (++cycles === 2) ring(bell) // just behind the poll
      return 0
    },
  })
  expect(bellStatisticsOf(bell)).toEqual({ parks: 1, wakes: 1 })
})

test('a halt that is raised during the second poll ends the run without a sleep', () => {
  const runner = scripted([0, 0], { timeoutMs: BLOCKED_MS })
  run(runner)
  expect(bellStatisticsOf(runner.bell).parks).toBe(0)
})

test('busy and parked time are accounted around the sleeps', () => {
  const times = [100, 110, 150, 153]
  const runner = scripted([0, 0, 1], { now: () => times.shift()! })
  run(runner)
  expect(runner.time).toEqual({ busyMs: 10 + 3, parkedMs: 40 })
})

test('a thread that never parks accounts its time too', () => {
  let now = 0
  const works = Array.from({ length: 2_000 }, () => 1)
  const runner = scripted(works, { now: () => now++ })
  run({ ...runner, cycle: () => (runner.time.busyMs > 0 ? ++runner.cycles : runner.cycle()) })
  expect(runner.time).toEqual({ busyMs: 2, parkedMs: 0 }) // start, cycle 1,024, end
})

test('a wait without an end is refused', () => {
  expect(() => run(scripted([], { timeoutMs: Infinity }))).toThrow(AssertionError)
})

// ---- Event loop ------------------------------------------------------------------------------

const asAsync = (runner: Runner, more: Partial<AsyncRunner> = {}): AsyncRunner => ({
  ...runner,
  cyclesPerTurnMax: 4,
  ...more,
})

test('runAsync gives the event loop a turn after so many cycles with work', async () => {
  const runner = scripted([1, 1, 1, 1, 1, 1, 1, 1])
  const cyclesAtTurn: number[] = []
  const { done } = runAsync(asAsync(runner))
  const onTurn = (): void => {
    cyclesAtTurn.push(runner.cycles)
    if (!runner.halted()) setImmediate(onTurn)
  }
  onTurn()
  await done
  expect(new Set(cyclesAtTurn.filter((cycles) => cycles < 8))).toEqual(new Set([0, 4]))
})

test('runAsync sleeps until its bell is rung', async () => {
  const runner = scripted([0, 0, 1], { timeoutMs: LONG_MS })
  const { done } = runAsync(asAsync(runner))
  setImmediate(() => ring(runner.bell))
  await done
  expect(bellStatisticsOf(runner.bell)).toEqual({ parks: 1, wakes: 1 })
})

test('runAsync sleeps no longer than its timeout', async () => {
  const runner = scripted([0, 0, 0, 0, 1])
  await runAsync(asAsync(runner)).done
  expect(runner.cycles).toBeGreaterThanOrEqual(5)
  expect(bellStatisticsOf(runner.bell)).toEqual({ parks: 2, wakes: 0 })
})

test('wakes from callbacks end a sleep and leave only one waiter at the bell', async () => {
  const waiters = vi.spyOn(Atomics, 'waitAsync')
  const runner = scripted([], { timeoutMs: LONG_MS, halted: () => runner.cycles >= 200 })
  const { done, wake } = runAsync(asAsync(runner))
  const knock = (): void => {
    wake()
    if (!runner.halted()) setImmediate(knock)
  }
  setImmediate(knock)
  await done
  expect(waiters).toHaveBeenCalledTimes(1)
  expect(bellStatisticsOf(runner.bell).parks).toBeGreaterThan(20)
  vi.restoreAllMocks()
})

test('after wakes by callbacks the bell still wakes the sleep', async () => {
  const runner = scripted([], { timeoutMs: LONG_MS, halted: () => runner.cycles >= 10 })
  const { done, wake } = runAsync(asAsync(runner))
  let turns = 0
  const knock = (): void => {
    if (turns++ % 2 === 0) wake()
    else ring(runner.bell)
    if (!runner.halted()) setTimeout(knock, 0)
  }
  setImmediate(knock)
  await done
  expect(bellStatisticsOf(runner.bell).wakes).toBeGreaterThan(1)
})

test('a wake during a cycle is not slept on', async () => {
  let cycles = 0
  const runner = scripted([], { timeoutMs: LONG_MS, halted: () => cycles >= 4 })
  const live = runAsync(
    asAsync(runner, {
      cycle: () => {
        if (++cycles > 1) live.wake() // cycle 2 is the second poll
        return 0
      },
    }),
  )
  await live.done
  expect(cycles).toBe(4)
})

test('a sleep keeps the event loop alive, and nothing does after stop', async () => {
  const [started, cleared] = [
    vi.spyOn(globalThis, 'setInterval'),
    vi.spyOn(globalThis, 'clearInterval'),
  ]
  const runner = scripted([], { timeoutMs: LONG_MS, halted: () => false })
  const { done, stop } = runAsync(asAsync(runner))
  setTimeout(stop, 5)
  await done
  expect(started).toHaveBeenCalledTimes(1)
  expect(cleared.mock.calls).toEqual([[started.mock.results[0]!.value]])
  vi.restoreAllMocks()
})

test('what a cycle throws rejects done', async () => {
  const runner = scripted([], {
    halted: () => false,
    cycle: () => {
      throw new Error('boom')
    },
  })
  await expect(runAsync(asAsync(runner)).done).rejects.toThrow('boom')
})
