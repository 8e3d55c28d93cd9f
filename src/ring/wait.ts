/**
 * How a thread goes round: duty cycles while there is work, then spin, then park. Runs on the
 * thread whose stages it cycles; that thread is the one waiter of its bell.
 *
 * Invariant: between `prepareWait` and the wait there is one full cycle, or a wake would be lost
 * (bell.ts has the argument). `run` blocks and owns no event loop; `runAsync` never blocks.
 */
import { assert } from '../base/assert.ts'
import {
  type Bell,
  cancelWait,
  countPark,
  endWait,
  prepareWait,
  rangSince,
  ring,
  wait,
  waitAsync,
} from './bell.ts'

/** Where the thread's time went; written by the runner, read by its own thread. */
export interface ThreadTime {
  busyMs: number // not parked: cycles, spinning and, on an event loop, its callbacks
  parkedMs: number
}

export interface Runner {
  /** One bounded pass over all stages; returns work done: 0 only if it left nothing undone. */
  readonly cycle: () => number
  readonly bell: Bell
  readonly halted: () => boolean
  /** Empty cycles before parking; 0 when threads outnumber cores. */
  readonly spinCount: number
  /** Longest sleep: bounds what a lost wake, or a halt without a ring, can cost. */
  readonly timeoutMs: number
  readonly now: () => number
  readonly time: ThreadTime
}

export interface AsyncRunner extends Omit<Runner, 'spinCount'> {
  /** Cycles with work in a row before sockets and timers get their turn. */
  readonly cyclesPerTurnMax: number
}

export interface AsyncRun {
  /** Resolves when the loop has ended; rejects with what `cycle` threw. */
  readonly done: Promise<void>
  /** Wakes the loop from a callback on its own thread, cheaper than its bell. */
  readonly wake: () => void
  readonly stop: () => void
}

/** A thread that never parks still accounts its time, once in so many cycles. */
const CYCLES_PER_ACCOUNT = 1_024

export const threadTime = (): ThreadTime => ({ busyMs: 0, parkedMs: 0 })

/** Blocks the calling thread until `halted()`; ring the bell after raising the halt. */
export function run(runner: Runner): void {
  const { cycle, bell, halted, spinCount, timeoutMs } = runner
  assertBounds(spinCount, timeoutMs)
  const clock = startClock(runner)
  while (!halted()) {
    if (cycle() > 0 || spin(cycle, spinCount)) {
      clock.onCycle()
      continue
    }
    const seen = prepareWait(bell)
    if (cycle() > 0 || halted()) {
      cancelWait(bell)
      continue
    }
    clock.onPark()
    wait(bell, seen, timeoutMs)
    clock.onWake()
  }
  clock.onPark()
}

function spin(cycle: () => number, spinCount: number): boolean {
  for (let i = 0; i < spinCount; i++) if (cycle() > 0) return true
  return false
}

/** Starts the loop on the calling thread's event loop; the first cycle is in its next turn. */
export function runAsync(runner: AsyncRunner): AsyncRun {
  assertBounds(runner.cyclesPerTurnMax, runner.timeoutMs)
  assert(runner.cyclesPerTurnMax > 0, 'a turn has a cycle')
  const state: AsyncState = {
    stopped: false,
    woken: false,
    isWaking: false,
    resolve: undefined,
    pending: undefined,
  }
  // Behind all callbacks of this poll: what several of them brought shares a cycle, and its sync.
  const endSleep = (): void => {
    state.isWaking = false
    state.resolve?.(false)
  }
  const wake = (): void => {
    state.woken = true
    if (state.isWaking) return
    state.isWaking = true
    setImmediate(endSleep)
  }
  const stop = (): void => {
    state.stopped = true
    wake()
  }
  // Bounds every sleep, and keeps the event loop alive.
  const beat = setInterval(() => state.resolve?.(false), runner.timeoutMs)
  const end = async (): Promise<void> => {
    await dismiss(runner, state)
    clearInterval(beat)
  }
  return { done: loop(runner, state).finally(end), wake, stop }
}

interface AsyncState {
  stopped: boolean
  woken: boolean // `wake` was called since the last cycle began
  isWaking: boolean // a `wake` is to end the sleep behind the callbacks of this poll
  resolve: ((isRing: boolean) => void) | undefined // ends the present sleep
  pending: Promise<void> | undefined // the one waitAsync that is queued at the bell
}

async function loop(runner: AsyncRunner, state: AsyncState): Promise<void> {
  const { bell, halted } = runner
  await nextTurn() // so that `cycle` may use what runAsync returns
  const clock = startClock(runner)
  while (!state.stopped && !halted()) {
    if (turn(runner, state)) {
      clock.onCycle()
      await nextTurn()
      continue
    }
    const seen = prepareWait(bell)
    state.woken = false
    if (runner.cycle() > 0 || state.woken || halted()) {
      cancelWait(bell)
      await nextTurn()
      continue
    }
    clock.onPark()
    await sleep(runner, state, seen)
    clock.onWake()
  }
  cancelWait(bell)
  clock.onPark()
}

/** Ends the waitAsync that is still queued, so that nothing keeps the event loop alive. */
async function dismiss({ bell }: AsyncRunner, state: AsyncState): Promise<void> {
  if (state.pending === undefined) return
  prepareWait(bell)
  ring(bell)
  await state.pending
  cancelWait(bell)
}

/** Cycles until there is no work or the bound; true when there may be more. */
function turn({ cycle, cyclesPerTurnMax }: AsyncRunner, state: AsyncState): boolean {
  state.woken = false
  let cycles = 0
  while (cycles < cyclesPerTurnMax && cycle() > 0) cycles++
  return cycles === cyclesPerTurnMax || state.woken
}

const nextTurn = (): Promise<void> => new Promise<void>((resolve) => void setImmediate(resolve))

/**
 * Ends with a ring, the beat of the loop or `wake`. After those two the waitAsync stays queued at
 * the bell, and the next sleep takes it over, or one waiter each would pile up; it says once that
 * it was notified, to whichever sleep there is by then. Taking over is safe: `sleeping` is 1, so
 * who rings after `seen` notifies; a waiter that was notified before only ends this sleep early.
 */
function sleep({ bell }: AsyncRunner, state: AsyncState, seen: number): Promise<void> {
  if (rangSince(bell, seen)) {
    cancelWait(bell)
    return nextTurn()
  }
  countPark(bell)
  state.pending ??= waitAsync(bell, seen).then(() => {
    state.pending = undefined
    state.resolve?.(true)
  })
  return new Promise<boolean>((resolve) => (state.resolve = resolve)).then((isRing) => {
    state.resolve = undefined
    endWait(bell, isRing)
  })
}

interface Clock {
  readonly onCycle: () => void
  readonly onPark: () => void
  readonly onWake: () => void
}

/** Reads the clock twice a sleep and once in CYCLES_PER_ACCOUNT cycles, never every cycle. */
function startClock({ now, time }: { now: () => number; time: ThreadTime }): Clock {
  let since = now()
  let cycles = 0
  const onPark = (): void => {
    const at = now()
    time.busyMs += at - since
    since = at
    cycles = 0
  }
  const onWake = (): void => {
    const at = now()
    time.parkedMs += at - since
    since = at
  }
  const onCycle = (): void => {
    if (++cycles >= CYCLES_PER_ACCOUNT) onPark()
  }
  return { onCycle, onPark, onWake }
}

/** Blocks the calling thread; for drills. */
export function sleepMs(ms: number): void {
  if (ms > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

function assertBounds(count: number, timeoutMs: number): void {
  assert(Number.isInteger(count) && count >= 0, 'a bound is a count')
  assert(timeoutMs > 0 && Number.isFinite(timeoutMs), 'every wait ends')
}
