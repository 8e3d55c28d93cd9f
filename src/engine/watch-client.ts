/**
 * The watching side of a node on the caller's thread: iterators over applied entries, in log order,
 * each exactly once. All watches of a node share what the apply stage feeds; one that is behind asks
 * for a read of the WAL, and whoever stands in what it brings shares that too.
 *
 *     what was fed  | stretch | stretch | stretch |         recent: bounded, the oldest go
 *                        ^ next            ^ next  ^ head
 *     the log  ....................| read back |            by those whose next is before it
 *
 * Invariants: an event is made when it is asked for, and `next` of a watch moves over it; what is
 * fed is consecutive; one read is out at a time; a slow consumer holds a stretch at most, and takes
 * nothing from others. Every `next()` ends in an event, in the end, or in a ReplicaError.
 */
import { assert } from '../base/assert.ts'
import { ReplicaError } from '../base/errors.ts'
import { type LogRing, release } from '../ring/log-ring.ts'
import { type OutPort, claim, flush } from '../stages/port.ts'
import * as cells from '../stages/watch-cells.ts'
import type { ReadScope } from './held-reads.ts'
import { createRecentStretches } from './recent-stretches.ts'
import { type Stretch, type WatchEvent, copyStretch, enterStretch, nextEvent } from './stretch.ts'
import {
  type Watch,
  type WatchOptions,
  type Watcher,
  createWatcher,
  endWatcher,
  openWatch,
  startOf,
} from './watch.ts'

const WATCHES_MAX = 4_096
const RECENT_SIZE_MAX_BYTES = 4 * 2 ** 20
/** Read back, and held by consumers that do not come for it. */
const HELD_SIZE_MAX_BYTES = 64 * 2 ** 20
const SWEEP_MS = 10

export interface WatchWiring {
  readonly asked: OutPort
  readonly bytes: LogRing
  readonly clusterId: string
  /** What this node cannot do for those who watch; null: it feeds. */
  readonly missing: () => string | null
  readonly applied: () => number
  readonly nowMs: () => number
  /** A watch has moved, or is gone. */
  readonly onMoved: () => void
}

export interface WatchScope extends ReadScope {
  /** @throws ReplicaError, see Reader.watch */
  open(options?: WatchOptions): Watch
}

export interface WatchSide {
  scope(): WatchScope
  /** Handles a FEED cell; false: it is none. */
  onFeed(words: Float64Array, base: number): boolean
  doWork(): void
  fail(error: ReplicaError): void
}

export function createWatchSide(wiring: WatchWiring): WatchSide {
  const { asked, nowMs } = wiring
  const watchers = new Set<Watcher>()
  /** With a `next()` that is open. */
  const waiting = new Set<Watcher>()
  /** Asked where the log stands, by number. */
  const starting = new Map<number, Watcher>()
  const recent = createRecentStretches(RECENT_SIZE_MAX_BYTES)
  /** Index that the next fed stretch begins with; 0: nothing is fed. */
  let fedNext = 0
  /** Number of the read that is out; 0: none. */
  let reading = 0
  let mustAskAgain = false
  let nextId = 1
  let sweepAt = 0
  let failure: ReplicaError | null = null

  const tellDesk = (kind: number, id: number, from: number): void => {
    const base = claim(asked)
    asked.words[base] = kind
    asked.words[base + 1] = id
    asked.words[base + 2] = from
    flush(asked)
  }
  const ask = (from: number): number => {
    const id = nextId++
    tellDesk(cells.WATCH, id, from)
    return id
  }

  // ---- What is there -------------------------------------------------------------------------

  const isAtHead = ({ next }: Watcher): boolean => fedNext > 0 && next >= fedNext
  const mustRead = (one: Watcher): boolean =>
    one.next > 0 && !isAtHead(one) && recent.of(one.next) === null
  const readMore = (): void => {
    mustAskAgain = false
    if (reading !== 0) return
    for (const one of waiting) {
      if (!mustRead(one)) continue
      reading = ask(one.next)
      return
    }
  }
  /** Nobody stands near the head: then all that is fed is for nothing. */
  const stopUnlessNeeded = (): void => {
    if (fedNext === 0 || reading !== 0 || starting.size > 0) return
    const first = recent.first === 0 ? fedNext : recent.first
    for (const { next } of watchers) if (next >= first) return
    fedNext = 0
    recent.forget()
    tellDesk(cells.UNWATCH, 0, 0)
  }

  // ---- One watch -----------------------------------------------------------------------------

  const pull = (one: Watcher): WatchEvent | null => {
    const { cursor } = one
    for (;;) {
      if (cursor.stretch !== null) {
        const event = nextEvent(cursor, one.next)
        if (event !== null) {
          one.next = event.index + 1
          return event
        }
        one.next = Math.max(one.next, cursor.stretch.through + 1)
        cursor.stretch = null
      }
      const stretch = recent.of(one.next)
      if (stretch === null) return null
      enterStretch(cursor, stretch)
    }
  }
  const pump = (one: Watcher): void => {
    while (one.waiters.length > 0) {
      const event = pull(one)
      if (event === null) break
      one.waiters.shift()!.resolve({ done: false, value: event })
    }
    if (one.waiters.length === 0) waiting.delete(one)
    wiring.onMoved()
  }
  const end = (one: Watcher, error: ReplicaError | null): void => {
    if (!watchers.delete(one)) return
    waiting.delete(one)
    endWatcher(one, error)
    stopUnlessNeeded()
    wiring.onMoved()
  }
  const open = (scope: Set<Watcher>, options: WatchOptions): Watch => {
    if (failure !== null) throw failure
    const missing = wiring.missing()
    if (missing !== null) throw notAvailable(missing)
    const from = startOf(options, wiring.clusterId)
    if (watchers.size >= WATCHES_MAX) {
      throw new ReplicaError('E_READ_REFUSED', 'too many watches', { reason: 'overloaded' })
    }
    const one = createWatcher(scope, { from, applied: wiring.applied(), nowMs: nowMs() }, options)
    watchers.add(one)
    if (from === 0) starting.set(ask(0), one)
    const wait = (): void => {
      waiting.add(one)
      if (mustRead(one)) readMore()
    }
    const hooks = {
      pull: () => pull(one),
      wait,
      end: (error: ReplicaError | null) => end(one, error),
    }
    return openWatch(one, wiring.clusterId, hooks, options.signal)
  }

  // ---- What the desk says --------------------------------------------------------------------

  const onFrames = (id: number, stretch: Stretch): void => {
    if (id !== 0) {
      reading = 0
      for (const one of waiting) {
        if (!mustRead(one) || one.next < stretch.first || one.next > stretch.through) continue
        enterStretch(one.cursor, stretch)
        pump(one)
      }
      return readMore()
    }
    if (fedNext === 0) return // on its way when nobody wanted it any more
    assert(stretch.first === fedNext, 'what is fed is consecutive')
    recent.keep(stretch)
    fedNext = stretch.through + 1
    for (const one of waiting) if (one.next > 0 && one.next <= stretch.through) pump(one)
  }
  const onHead = (id: number, through: number): void => {
    const started = starting.get(id)
    starting.delete(id)
    if (id === reading) reading = 0
    assert(fedNext === 0 || fedNext === through + 1, 'the head is behind what was fed')
    if (recent.through !== through) recent.forget()
    fedNext = through + 1
    if (started !== undefined) started.next = fedNext
    wiring.onMoved()
    readMore()
  }
  const onCompacted = (first: number): void => {
    reading = 0
    for (const one of waiting) {
      if (mustRead(one) && one.next < first) end(one, compacted(one.next, first))
    }
    readMore()
  }
  const onFeed = (words: Float64Array, base: number): boolean => {
    if (words[base] !== cells.FEED) return false
    const id = words[base + 1]!
    const code = words[base + cells.AT_FEED_CODE]! as cells.FeedCode
    switch (code) {
      case cells.FEED_CODE.frames: {
        const stretch = copyStretch(wiring.bytes, words, base)
        release(wiring.bytes, words[base + cells.AT_FEED_END]!)
        onFrames(id, stretch)
        return true
      }
      case cells.FEED_CODE.head:
        onHead(id, words[base + cells.AT_FEED_THROUGH]!)
        return true
      case cells.FEED_CODE.gap:
        fedNext = 0
        mustAskAgain = true
        return true
      case cells.FEED_CODE.again:
        reading = 0
        mustAskAgain = true
        return true
      default:
        onCompacted(words[base + cells.AT_FEED_FIRST]!)
        return true
    }
  }

  // ---- Time ----------------------------------------------------------------------------------

  const sweep = (): void => {
    const now = nowMs()
    if (now < sweepAt) return
    sweepAt = now + SWEEP_MS
    const missing = wiring.missing()
    const held = new Set<Stretch>()
    let heldBytes = 0
    for (const one of watchers) {
      if (missing !== null) end(one, notAvailable(missing))
      else if (wiring.applied() >= one.next - 1) one.startBy = Infinity
      else if (now >= one.startBy) end(one, tooLate(one))
      const { stretch } = one.cursor
      if (stretch === null || held.has(stretch)) continue
      held.add(stretch)
      heldBytes += stretch.bytes.length
      if (heldBytes > HELD_SIZE_MAX_BYTES) one.cursor.stretch = null // it is read again
    }
    stopUnlessNeeded()
  }
  return {
    scope() {
      const scope = new Set<Watcher>()
      return {
        get watchCount() {
          return scope.size
        },
        isBehind(index) {
          for (const { next, waiters } of scope) {
            if (next < 0 || (waiters.length > 0 && next <= index)) return true
          }
          return false
        },
        open: (options = {}) => open(scope, options),
      }
    },
    onFeed,
    doWork() {
      flush(asked)
      if (mustAskAgain) readMore()
      if (watchers.size > 0 || fedNext > 0) sweep()
    },
    fail(error) {
      failure = error
      for (const one of watchers) end(one, error)
    },
  }
}

const notAvailable = (feature: string): ReplicaError =>
  new ReplicaError('E_NOT_AVAILABLE', `${feature}: not available here`, { feature })

function compacted(from: number, first: number): ReplicaError {
  const message = `index ${String(from)} is not in the log any more, ${String(first)} is`
  return new ReplicaError('E_COMPACTED', message, { from, first })
}

function tooLate({ next, timeoutMs }: Watcher): ReplicaError {
  const message = `index ${String(next - 1)} was not reached here within ${String(timeoutMs)} ms`
  return new ReplicaError('E_READ_TIMEOUT', message, { timeoutMs })
}
