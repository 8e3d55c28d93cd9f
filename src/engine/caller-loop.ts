/**
 * The loop that runs stages on the caller's own thread, on its event loop: ingest always, all
 * stages under layout inline. One loop serves every node that the caller opened in one cluster.
 */
import { bellMemory, openBell } from '../ring/bell.ts'
import { runAsync, threadTime } from '../ring/wait.ts'

const TIMEOUT_MS = 5
const CYCLES_PER_TURN_MAX = 8

export interface CallerLoop {
  readonly bell: SharedArrayBuffer
  /** Adds work; what it throws goes to `onError`, and it is not called again. */
  add(doWork: () => number, onError: (error: unknown) => void): () => void
  wake(): void
  close(): Promise<void>
}

export function startCallerLoop(): CallerLoop {
  const bell = bellMemory()
  const jobs = new Set<{ doWork: () => number; onError: (error: unknown) => void }>()
  const cycle = (): number => {
    let work = 0
    for (const job of jobs) {
      try {
        work += job.doWork()
      } catch (error) {
        jobs.delete(job)
        job.onError(error)
      }
    }
    return work
  }
  const loop = runAsync({
    cycle,
    bell: openBell(bell),
    halted: () => false,
    timeoutMs: TIMEOUT_MS,
    now: () => performance.now(),
    time: threadTime(),
    cyclesPerTurnMax: CYCLES_PER_TURN_MAX,
  })
  return {
    bell,
    add(doWork, onError) {
      const job = { doWork, onError }
      jobs.add(job)
      loop.wake()
      return () => void jobs.delete(job)
    },
    wake: () => loop.wake(),
    async close() {
      loop.stop()
      await loop.done
    },
  }
}
