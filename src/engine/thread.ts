/**
 * Runs the stages of one thread until the node halts: blocking threads park on their bell, the
 * thread with sockets goes round on its event loop. Used by thread.worker.ts; the caller's thread
 * has its own loop (caller-loop.ts).
 */
import { openBell } from '../ring/bell.ts'
import { isRaised, openFlag } from '../ring/counters.ts'
import { type AsyncRun, type Runner, run, runAsync, threadTime } from '../ring/wait.ts'
import { type AssembleOptions, type Assembled, assemble } from './assemble.ts'
import { cycleOf } from './cycle.ts'

const TICKING_TIMEOUT_MS = 5
const EMULATED_TIMEOUT_MS = 0.5
const IDLE_TIMEOUT_MS = 20 // also how late a stage sees that a full ring has room again
const CYCLES_PER_TURN_MAX = 16

export async function runThread(
  options: Omit<AssembleOptions, 'wake'>,
  onReady: (assembled: Assembled) => void,
): Promise<Assembled> {
  const { memory, threads, thread, spec } = options
  let running: AsyncRun | null = null
  const assembled = await assemble({ ...options, wake: () => running?.wake() })
  onReady(assembled)
  const bell = openBell(memory.bells[thread]!)
  const flag = openFlag(memory.halt)
  const halted = (): boolean => isRaised(flag)
  const cycle = cycleOf(assembled.stages, memory)
  const hasSockets = spec.transport.kind === 'tcp' && threads.fanout === thread
  const now = (): number => performance.now()
  const common = { cycle, bell, halted, timeoutMs: timeoutOf(options), now, time: threadTime() }
  try {
    if (hasSockets) {
      running = runAsync({ ...common, cyclesPerTurnMax: CYCLES_PER_TURN_MAX })
      await running.done
    } else {
      await runBlocking(common, assembled.written)
    }
  } catch (error) {
    await assembled.close().catch(() => null) // the first failure is the one to tell
    throw error
  }
  await assembled.close()
  return assembled
}

/** A blocking thread leaves its loop where a state machine writes at its leisure, and goes back. */
async function runBlocking(
  common: Omit<Runner, 'spinCount'>,
  written: Assembled['written'],
): Promise<void> {
  const halted = (): boolean => common.halted() || written() !== null
  for (;;) {
    run({ ...common, halted, spinCount: 0 })
    const left = written()
    if (common.halted() || left === null) return
    await settledOr(left, common.halted)
  }
}

function settledOr(promise: Promise<void>, halted: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const poll = setInterval(() => halted() && end(), IDLE_TIMEOUT_MS)
    const end = (): void => {
      clearInterval(poll)
      resolve()
    }
    void promise.then(end)
  })
}

/** Decide keeps time; a receive stage with emulated links wakes for what comes due. */
function timeoutOf({ threads, thread, spec }: Omit<AssembleOptions, 'wake'>): number {
  const { rttMs, jitterMs, bandwidthMbps } = spec.emulation
  if (threads.receive === thread && rttMs + jitterMs + bandwidthMbps > 0) return EMULATED_TIMEOUT_MS
  return threads.decide === thread ? TICKING_TIMEOUT_MS : IDLE_TIMEOUT_MS
}
