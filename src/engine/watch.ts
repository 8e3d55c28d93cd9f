/**
 * One watch as its consumer has it: an async iterator, and what the watching side knows of it
 * (watch-client.ts). Caller's thread.
 */
import { ReplicaError } from '../base/errors.ts'
import { checkSignal } from './arguments.ts'
import { READ_TIMEOUT_MAX_MS } from './read-client.ts'
import { type StretchCursor, type WatchEvent, openStretchCursor } from './stretch.ts'
import { type History, type SessionToken, checkToken, tokenOf } from './token.ts'

export interface WatchOptions {
  /** Log index of the first entry to be told. Default: what this node applies from now on. */
  readonly from?: number
  /** Instead of `from`: go on behind what this token has seen, of a watch or of a read. */
  readonly token?: SessionToken
  /** Ends the watch with E_ABORTED. */
  readonly signal?: AbortSignal
  /** How long this node may take to reach a start that lies in its future. Default 5000. */
  readonly timeoutMs?: number
}

/**
 * Applied entries that had an effect, in log order, each once, none left out. Ends when `return` is
 * called (a `for await` does it), or with one error:
 * E_COMPACTED: the next entry is not in this node's log any more; E_READ_TIMEOUT: see `timeoutMs`;
 * E_ABORTED; E_CLOSED; E_NOT_AVAILABLE: the node became a Logger; and what the node failed with.
 */
export interface Watch extends AsyncIterableIterator<WatchEvent, undefined> {
  next(): Promise<IteratorResult<WatchEvent, undefined>>
  return(): Promise<IteratorResult<WatchEvent, undefined>>
  [Symbol.asyncIterator](): Watch
  /** All through its index was told, or had no effect: a watch with it goes on behind that. */
  readonly token: SessionToken
}

const TIMEOUT_MS = 5_000
/** Of one watch: more `next()` than events. */
const WAITERS_MAX = 1_024
const DONE = { done: true, value: undefined } as const

interface Waiter {
  readonly resolve: (result: IteratorResult<WatchEvent, undefined>) => void
  readonly reject: (error: ReplicaError) => void
}

export interface Watcher {
  readonly scope: Set<Watcher>
  /** Index of the next entry to be looked at; -1: from where the log stands, which was asked. */
  next: number
  /** What was applied when it was opened. */
  readonly openedAt: number
  readonly cursor: StretchCursor
  readonly waiters: Waiter[]
  readonly timeoutMs: number
  /** Infinity: it has started. */
  startBy: number
  isEnded: boolean
  /** For the next `next()`. */
  error: ReplicaError | null
  stopListening: () => void
}

/** @returns the first index to be told; 0: from now on. @throws ReplicaError */
export function startOf(options: WatchOptions, history: History): number {
  const { from, token, signal, timeoutMs = TIMEOUT_MS } = options
  checkSignal(signal)
  const problems: string[] = []
  if (from !== undefined && token !== undefined) problems.push('from, token: want one of them')
  if (from !== undefined && !(Number.isSafeInteger(from) && from >= 1)) {
    problems.push(`from=${String(from)}: want a log index, from 1`)
  }
  if (!(timeoutMs > 0 && timeoutMs <= READ_TIMEOUT_MAX_MS)) {
    problems.push(`timeoutMs=${String(timeoutMs)}: want 1 to ${String(READ_TIMEOUT_MAX_MS)}`)
  }
  if (problems.length > 0) {
    throw new ReplicaError('E_CONFIG_INVALID', problems.join('; '), { problems })
  }
  if (token !== undefined) checkToken(token, history)
  if (signal?.aborted === true) throw abortedError()
  return token === undefined ? (from ?? 0) : token.index + 1
}

export function createWatcher(
  scope: Set<Watcher>,
  start: { readonly from: number; readonly applied: number; readonly nowMs: number },
  { timeoutMs = TIMEOUT_MS }: WatchOptions,
): Watcher {
  const { from, applied, nowMs } = start
  const one: Watcher = {
    scope,
    next: from === 0 ? -1 : from,
    openedAt: applied,
    cursor: openStretchCursor(),
    waiters: [],
    timeoutMs,
    startBy: nowMs + timeoutMs,
    isEnded: false,
    error: null,
    stopListening: () => undefined,
  }
  scope.add(one)
  return one
}

export interface WatcherHooks {
  /** The next event that is there. */
  pull(): WatchEvent | null
  /** Somebody waits for one that is not. */
  wait(): void
  end(error: ReplicaError | null): void
}

export function openWatch(
  one: Watcher,
  history: History,
  hooks: WatcherHooks,
  signal?: AbortSignal,
): Watch {
  if (signal !== undefined) {
    const onAbort = (): void => hooks.end(abortedError())
    signal.addEventListener('abort', onAbort, { once: true })
    one.stopListening = () => signal.removeEventListener('abort', onAbort)
  }
  const next = (): Promise<IteratorResult<WatchEvent, undefined>> => {
    if (one.isEnded) return ending(one)
    const event = one.waiters.length === 0 ? hooks.pull() : null
    if (event !== null) return Promise.resolve({ done: false, value: event })
    if (one.waiters.length >= WAITERS_MAX) return Promise.reject(overloaded())
    return new Promise((resolve, reject) => {
      one.waiters.push({ resolve, reject })
      hooks.wait()
    })
  }
  const watch: Watch = {
    next,
    return() {
      hooks.end(null)
      one.error = null
      return Promise.resolve(DONE)
    },
    [Symbol.asyncIterator]: () => watch,
    get token() {
      return tokenOf(history, one.next < 0 ? one.openedAt : one.next - 1)
    },
  }
  return watch
}

/** Whoever waits first is told why; all later ones that it is over. */
export function endWatcher(one: Watcher, error: ReplicaError | null): void {
  one.isEnded = true
  one.error = error
  one.scope.delete(one)
  one.cursor.stretch = null
  one.stopListening()
  for (const waiter of one.waiters.splice(0)) {
    if (one.error === null) waiter.resolve(DONE)
    else waiter.reject(one.error)
    one.error = null
  }
}

function ending(one: Watcher): Promise<IteratorResult<WatchEvent, undefined>> {
  const { error } = one
  one.error = null
  return error === null ? Promise.resolve(DONE) : Promise.reject(error)
}

const abortedError = (): ReplicaError =>
  new ReplicaError('E_ABORTED', 'the signal was aborted', { reason: 'signal' })

const overloaded = (): ReplicaError =>
  new ReplicaError('E_READ_REFUSED', 'too many calls of next()', { reason: 'overloaded' })
