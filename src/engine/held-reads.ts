/**
 * Reads that have their answer and wait for a watch: a read must not tell its caller of what a
 * watch of the same reader has still to tell (watch-client.ts). Caller's thread.
 *
 * Invariants: looked at in a turn of the event loop of its own, so that whoever was given an event
 * has done with it what it does at once; a read leaves at its deadline or with its signal, at the
 * latest; a reader without watches waits for nothing.
 */
import { ReplicaError } from '../base/errors.ts'

const HELD_MAX = 65_536
const SWEEP_MS = 10

/** What a reader owns: the watches that its reads wait for. */
export interface ReadScope {
  readonly watchCount: number
  /** True while one of them waits for events and has not been given all through `index`. */
  isBehind(index: number): boolean
}

export interface HeldRead {
  readonly scope: ReadScope
  readonly index: number
  readonly deadline: number
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
  readonly resolve: () => void
  readonly reject: (error: ReplicaError) => void
}

export interface HeldReads {
  /** Resolves the read, now if its reader has no watches. */
  enter(read: HeldRead): void
  /** A watch has moved. */
  changed(): void
  doWork(): void
  fail(error: ReplicaError): void
}

export function createHeldReads(nowMs: () => number): HeldReads {
  const held = new Map<HeldRead, () => void>()
  let isLooking = false
  let sweepAt = 0

  const leave = (read: HeldRead, error: ReplicaError | null): void => {
    const onAbort = held.get(read)
    if (onAbort === undefined) return
    held.delete(read)
    read.signal?.removeEventListener('abort', onAbort)
    if (error === null) read.resolve()
    else read.reject(error)
  }
  const look = (): void => {
    isLooking = false
    for (const read of held.keys()) if (!read.scope.isBehind(read.index)) leave(read, null)
  }
  const lookSoon = (): void => {
    if (isLooking || held.size === 0) return
    isLooking = true
    setImmediate(look)
  }
  return {
    enter(read) {
      if (read.scope.watchCount === 0) return read.resolve()
      if (held.size >= HELD_MAX) return read.reject(overloaded())
      if (read.signal?.aborted === true) return read.reject(aborted())
      const onAbort = (): void => leave(read, aborted())
      held.set(read, onAbort)
      read.signal?.addEventListener('abort', onAbort, { once: true })
      lookSoon()
    },
    changed: lookSoon,
    doWork() {
      if (held.size === 0) return
      const now = nowMs()
      if (now < sweepAt) return
      sweepAt = now + SWEEP_MS
      for (const read of held.keys()) if (now >= read.deadline) leave(read, late(read))
    },
    fail(error) {
      for (const read of held.keys()) leave(read, error)
    },
  }
}

const overloaded = (): ReplicaError =>
  new ReplicaError('E_READ_REFUSED', 'overloaded', { reason: 'overloaded' })

const aborted = (): ReplicaError =>
  new ReplicaError('E_ABORTED', 'the signal was aborted', { reason: 'signal' })

function late({ index, timeoutMs }: HeldRead): ReplicaError {
  const message =
    `${String(timeoutMs)} ms: a watch of the same reader was not given all through ` +
    `index ${String(index)}`
  return new ReplicaError('E_READ_TIMEOUT', message, { timeoutMs })
}
