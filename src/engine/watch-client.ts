/**
 * The watching side of a node on the caller's thread: iterators over applied entries, in log
 * order, each exactly once. All watches of a node share what the apply stage feeds; one that is
 * behind asks for a read of the WAL, and whoever stands in what it brings shares that too.
 *
 *     what was fed  | stretch | stretch | stretch |         recent: bounded, the oldest go
 *                        ^ next            ^ next  ^ head
 *     the log  ....................| read back |            by those whose next is before it
 *
 * Invariants: an event is made when it is asked for, and `next` of a watch moves over it; what is
 * fed is consecutive; one read is out at a time; a slow consumer holds a stretch at most, and takes
 * nothing from others. Every `next()` ends in an event, in the end, or in a ReplicaError.
 */
import { assert, unreachable } from '../base/assert.ts'
import { ReplicaError } from '../base/errors.ts'
import { type LogRing, release } from '../ring/log-ring.ts'
import { type OutPort, claim, flush, isFull } from '../stages/port.ts'
import * as cells from '../stages/watch-cells.ts'
import type { ReadScope } from './held-reads.ts'
import { type RecentStretches, createRecentStretches } from './recent-stretches.ts'
import { type Stretch, type WatchEvent, copyStretch, enterStretch, nextEvent } from './stretch.ts'
import {
  type Watch,
  type WatchOptions,
  type Watcher,
  type WatcherHooks,
  createWatcher,
  endWatcher,
  openWatch,
  startOf,
} from './watch.ts'

export interface WatchLimits {
  /** Open at one node. */
  readonly watchesMax: number
  /** Of what was fed last, for all of them. */
  readonly recentSizeMaxBytes: number
  /** Of stretches that consumers hold and do not come for; what is beyond is read again. */
  readonly heldSizeMaxBytes: number
}

export const WATCH_LIMITS: WatchLimits = {
  watchesMax: 4_096,
  recentSizeMaxBytes: 4 * 2 ** 20,
  heldSizeMaxBytes: 64 * 2 ** 20,
}

const SWEEP_MS = 10

export interface WatchWiring {
  readonly asked: OutPort
  readonly bytes: LogRing
  readonly clusterId: string
  /** What this node cannot do for those who watch; null: it feeds. */
  readonly missing: () => string | null
  readonly applied: () => number
  /** Default: WATCH_LIMITS. */
  readonly limits?: WatchLimits
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

/** All that watches of one node share. */
interface Hub {
  readonly wiring: WatchWiring
  readonly limits: WatchLimits
  readonly watchers: Set<Watcher>
  /** With a `next()` that is open. */
  readonly waiting: Set<Watcher>
  /** Asked where the log stands, by number. */
  readonly starting: Map<number, Watcher>
  readonly recent: RecentStretches
  /** Index that the next fed stretch begins with; 0: nothing is fed. */
  fedNext: number
  /** Number of the read that is out; 0: none. */
  reading: number
  mustAskAgain: boolean
  nextId: number
  sweepAt: number
  failure: ReplicaError | null
}

export function createWatchSide(wiring: WatchWiring): WatchSide {
  const { limits = WATCH_LIMITS } = wiring
  const hub: Hub = {
    ...{ wiring, limits },
    ...{ watchers: new Set(), waiting: new Set(), starting: new Map() },
    recent: createRecentStretches(limits.recentSizeMaxBytes),
    ...{ fedNext: 0, reading: 0, mustAskAgain: false, nextId: 1, sweepAt: 0, failure: null },
  }
  return {
    scope: () => createScope(hub),
    onFeed(words, base) {
      if (words[base] !== cells.FEED) return false
      onFeed(hub, words, base)
      return true
    },
    doWork() {
      flush(wiring.asked)
      if (hub.mustAskAgain) readMore(hub)
      if (hub.watchers.size > 0 || hub.fedNext > 0) sweep(hub)
    },
    fail(error) {
      hub.failure = error
      for (const one of hub.watchers) end(hub, one, error)
    },
  }
}

function createScope(hub: Hub): WatchScope {
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
    open: (options = {}) => open(hub, scope, options),
  }
}

// ---- One watch -------------------------------------------------------------------------------

function open(hub: Hub, scope: Set<Watcher>, options: WatchOptions): Watch {
  const { failure, watchers, starting, waiting, wiring } = hub
  if (failure !== null) throw failure
  const missing = wiring.missing()
  if (missing !== null) throw notAvailable(missing)
  const asked = startOf(options, wiring.clusterId)
  if (watchers.size >= hub.limits.watchesMax) throw tooMany()
  const applied = wiring.applied()
  // What waits for room in the ring comes to the desk too late to say what is `now`.
  const from = asked === 0 && isFull(wiring.asked) ? applied + 1 : asked
  const start = { from, applied, nowMs: wiring.nowMs() }
  const one = createWatcher(scope, start, options)
  watchers.add(one)
  if (from === 0) starting.set(ask(hub, 0), one)
  const hooks: WatcherHooks = {
    pull: () => pull(hub, one),
    wait() {
      waiting.add(one)
      if (mustRead(hub, one)) readMore(hub)
    },
    end: (error) => end(hub, one, error),
  }
  return openWatch(one, wiring.clusterId, hooks, options.signal)
}

/** The next event that is here; `next` moves over it, and over what had no effect. */
function pull({ recent }: Hub, one: Watcher): WatchEvent | null {
  const { cursor } = one
  for (;;) {
    if (cursor.stretch !== null) {
      const event = nextEvent(cursor, one.next)
      if (event !== null) {
        one.next = event.index + 1
        return event
      }
      one.next = cursor.stretch.through + 1
      cursor.stretch = null
    }
    const stretch = recent.of(one.next)
    if (stretch === null) return null
    enterStretch(cursor, stretch)
  }
}

/** Gives a watch that waits what is there. */
function pump(hub: Hub, one: Watcher): void {
  while (one.waiters.length > 0) {
    const event = pull(hub, one)
    if (event === null) break
    one.waiters.shift()!.resolve({ done: false, value: event })
  }
  if (one.waiters.length === 0) hub.waiting.delete(one)
  hub.wiring.onMoved()
}

function end(hub: Hub, one: Watcher, error: ReplicaError | null): void {
  if (!hub.watchers.delete(one)) return
  hub.waiting.delete(one)
  endWatcher(one, error)
  stopUnlessNeeded(hub)
  hub.wiring.onMoved()
}

// ---- What is asked of the desk ---------------------------------------------------------------

function tellDesk({ wiring: { asked } }: Hub, kind: number, id: number, from: number): void {
  const base = claim(asked)
  asked.words[base] = kind
  asked.words[base + 1] = id
  asked.words[base + 2] = from
  flush(asked)
}

/** @returns the number that the answer has */
function ask(hub: Hub, from: number): number {
  const id = hub.nextId++
  tellDesk(hub, cells.WATCH, id, from)
  return id
}

function mustRead({ fedNext, recent }: Hub, { next }: Watcher): boolean {
  const isAtHead = fedNext > 0 && next >= fedNext
  return next > 0 && !isAtHead && recent.of(next) === null
}

/** For the watch that has waited longest: it goes to the end of `waiting` with its next event. */
function readMore(hub: Hub): void {
  hub.mustAskAgain = false
  if (hub.reading !== 0) return
  for (const one of hub.waiting) {
    if (!mustRead(hub, one)) continue
    hub.reading = ask(hub, one.next)
    return
  }
}

/**
 * Nobody stands near the head: then all that is fed is for nothing. Not while somebody asks where
 * that is: the answer switches the feed on, and may be on its way.
 */
function stopUnlessNeeded(hub: Hub): void {
  const { fedNext, recent, watchers } = hub
  if (fedNext === 0 || hub.starting.size > 0) return
  const first = recent.first === 0 ? fedNext : recent.first
  for (const { next } of watchers) if (next >= first) return
  hub.fedNext = 0
  recent.forget()
  tellDesk(hub, cells.UNWATCH, 0, 0)
}

// ---- What the desk says ----------------------------------------------------------------------

function onFeed(hub: Hub, words: Float64Array, base: number): void {
  const { bytes } = hub.wiring
  const id = words[base + 1]!
  const code = words[base + cells.AT_FEED_CODE]! as cells.FeedCode
  switch (code) {
    case cells.FEED_CODE.frames: {
      const stretch = copyStretch(bytes, words, base)
      release(bytes, words[base + cells.AT_FEED_END]!)
      return id === 0 ? onFed(hub, stretch) : onRead(hub, stretch)
    }
    case cells.FEED_CODE.head:
      return onHead(hub, id, words[base + cells.AT_FEED_THROUGH]!)
    case cells.FEED_CODE.gap:
      hub.fedNext = 0
      hub.mustAskAgain = true
      return
    case cells.FEED_CODE.again:
      hub.reading = 0
      hub.mustAskAgain = true
      return
    case cells.FEED_CODE.compacted:
      return onCompacted(hub, words[base + cells.AT_FEED_FIRST]!)
    default:
      return unreachable(code)
  }
}

function onFed(hub: Hub, stretch: Stretch): void {
  if (hub.fedNext === 0) return // on its way when nobody wanted it any more
  assert(stretch.first === hub.fedNext, 'what is fed is consecutive')
  hub.recent.keep(stretch)
  hub.fedNext = stretch.through + 1
  for (const one of hub.waiting) {
    if (one.next > 0 && one.next <= stretch.through) pump(hub, one)
  }
}

function onRead(hub: Hub, stretch: Stretch): void {
  hub.reading = 0
  for (const one of hub.waiting) {
    if (!mustRead(hub, one) || one.next < stretch.first || one.next > stretch.through) continue
    enterStretch(one.cursor, stretch)
    pump(hub, one)
  }
  readMore(hub)
}

function onHead(hub: Hub, id: number, through: number): void {
  const { starting, recent } = hub
  const started = starting.get(id)
  starting.delete(id)
  if (id === hub.reading) hub.reading = 0
  assert(hub.fedNext === 0 || hub.fedNext === through + 1, 'the head is behind what was fed')
  if (recent.through !== through) recent.forget()
  hub.fedNext = through + 1
  if (started !== undefined) started.next = hub.fedNext
  hub.wiring.onMoved()
  readMore(hub)
}

function onCompacted(hub: Hub, first: number): void {
  hub.reading = 0
  for (const one of hub.waiting) {
    if (mustRead(hub, one) && one.next < first) end(hub, one, compacted(one.next, first))
  }
  readMore(hub)
}

// ---- Time ------------------------------------------------------------------------------------

function sweep(hub: Hub): void {
  const { wiring, watchers } = hub
  const now = wiring.nowMs()
  if (now < hub.sweepAt) return
  hub.sweepAt = now + SWEEP_MS
  const missing = wiring.missing()
  const applied = wiring.applied()
  for (const one of watchers) {
    if (missing !== null) end(hub, one, notAvailable(missing))
    else if (applied >= one.next - 1) one.startBy = Infinity
    else if (now >= one.startBy) end(hub, one, tooLate(one))
  }
  dropHeld(watchers, hub.limits.heldSizeMaxBytes)
  stopUnlessNeeded(hub)
}

function dropHeld(watchers: ReadonlySet<Watcher>, sizeMaxBytes: number): void {
  const held = new Set<Stretch>()
  let sizeBytes = 0
  for (const { cursor } of watchers) {
    const { stretch } = cursor
    if (stretch === null || held.has(stretch)) continue
    held.add(stretch)
    sizeBytes += stretch.bytes.length
    if (sizeBytes > sizeMaxBytes) cursor.stretch = null
  }
}

const notAvailable = (feature: string): ReplicaError =>
  new ReplicaError('E_NOT_AVAILABLE', `${feature}: not available here`, { feature })

const tooMany = (): ReplicaError =>
  new ReplicaError('E_READ_REFUSED', 'too many watches', { reason: 'overloaded' })

function compacted(from: number, first: number): ReplicaError {
  const message = `index ${String(from)} is not in the log any more, ${String(first)} is`
  return new ReplicaError('E_COMPACTED', message, { from, first })
}

function tooLate({ next, timeoutMs }: Watcher): ReplicaError {
  const message = `index ${String(next - 1)} was not reached here within ${String(timeoutMs)} ms`
  return new ReplicaError('E_READ_TIMEOUT', message, { timeoutMs })
}
