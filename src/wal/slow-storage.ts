/**
 * A disk that takes so many times as long, for drills: every write and sync goes to the storage
 * behind it and then waits. Nothing else changes, so what is durable stays durable.
 *
 * Runs in the thread of the WAL, which may block.
 */
import type { Storage } from '../base/storage.ts'

export interface Pace {
  /** How many times as long as the storage itself takes; up to 1: as long. Asked at each call. */
  readonly factorOf: () => number
  readonly nowMs: () => number
  /** Blocks the calling thread. */
  readonly sleepMs: (ms: number) => void
}

export function slowDown(storage: Storage, { factorOf, nowMs, sleepMs }: Pace): Storage {
  const slowly = <Result>(call: () => Result): Result => {
    const factor = factorOf()
    if (factor <= 1) return call()
    const fromMs = nowMs()
    const result = call()
    sleepMs((factor - 1) * (nowMs() - fromMs))
    return result
  }
  return {
    ...storage,
    pwrite: (file, bytes, offset) => slowly(() => storage.pwrite(file, bytes, offset)),
    pwritev: (file, chunks, offset) => slowly(() => storage.pwritev(file, chunks, offset)),
    datasync: (file) => slowly(() => storage.datasync(file)),
  }
}
