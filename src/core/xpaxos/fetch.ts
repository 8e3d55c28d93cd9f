/**
 * The suffix that a candidate lacks, and who has it (R8): the candidate asks one supplier after the
 * other, each sends a window ahead, and a fetch that asks on is the answer that opens the window.
 * Pure; decision loop only.
 *
 *     candidate   supplier
 *        | fetch(b, na, from, through) -> |
 *        | <- fetched(prev, through) .... |   as many as the window holds
 *        | fetch(b, na, next, through) -> |   so far they came
 *
 * Invariants: only a log accepted under the ballot asked for is served, or what lies below the
 * server's own floor, and never while a higher ballot is promised; what comes is taken only in
 * order; no supplier is asked again in a ballot in which it failed.
 */
import { type FrameRef, sizeOf, throughOf } from '../frame-ref.ts'
import type { Ballot, LogIndex, NodeId } from '../ids.ts'
import { dropSync, extendSync } from './log.ts'
import type { Fetch, Fetched } from './messages.ts'
import {
  type Candidacy,
  type Effects,
  type PromiseInfo,
  type State,
  FRAMES_MAX,
  event,
  read,
  send,
} from './state.ts'
import { gather, lastOf } from './tail.ts'

// ---- The candidate ---------------------------------------------------------------------------

/** What became of the fetch: all is here, it goes on, or nobody has what is missing. */
export type FetchResult = 'complete' | 'asked' | 'lacking'

/** Asks whoever can give what comes next of the log of `source`. */
export function askSupplier(
  state: State,
  candidacy: Candidacy,
  source: PromiseInfo,
  effects: Effects,
): FetchResult {
  const from = (state.pendingSync!.last + 1) as LogIndex
  if (from > source.last) return 'complete'
  const supply = supplierOf(state, candidacy, source, from)
  candidacy.supplier = supply?.from ?? 0
  if (supply === undefined) {
    const isHole = [...candidacy.promises.values()].some((one) => one.firstRetained > from)
    if (isHole) event(effects, 'behind-trim', state.self.id)
    return 'lacking'
  }
  candidacy.supplyThrough = reachOf(supply, source)
  askOn(state, candidacy, source, effects)
  return 'asked'
}

/** The source itself if it can, else any that holds a part of the same log (R8). */
function supplierOf(
  { self, linksUp }: State,
  { promises, refused }: Candidacy,
  source: PromiseInfo,
  from: LogIndex,
): PromiseInfo | undefined {
  const has = (promise: PromiseInfo): boolean =>
    promise.from !== self.id &&
    linksUp.has(promise.from) &&
    !refused.has(promise.from) &&
    promise.firstRetained <= from &&
    reachOf(promise, source) >= from
  return has(source) ? source : [...promises.values()].find(has)
}

/** Up to where a log is surely that of the source: all of it under its ballot, else its floor. */
function reachOf(promise: PromiseInfo, source: PromiseInfo): LogIndex {
  const isSame = promise.acceptedBallot === source.acceptedBallot
  return Math.min(isSame ? promise.last : promise.floor, source.last) as LogIndex
}

function askOn(state: State, candidacy: Candidacy, source: PromiseInfo, effects: Effects): void {
  const { ballot, supplier, supplyThrough: through } = candidacy
  const { acceptedBallot } = source
  const from = (state.pendingSync!.last + 1) as LogIndex
  candidacy.fetchAskedAt = state.now
  send(effects, supplier as NodeId, { kind: 'fetch', ballot, acceptedBallot, from, through })
}

/** @returns null when the message changed nothing */
export function onFetched(
  state: State,
  from: NodeId,
  message: Fetched,
  frames: readonly FrameRef[],
  effects: Effects,
): FetchResult | null {
  const { candidacy, pendingSync } = state
  if (candidacy === null || message.ballot !== candidacy.ballot || pendingSync === null) return null
  const { source } = candidacy
  if (source === null || candidacy.supplier !== from) return null
  if (message.acceptedBallot !== source.acceptedBallot) return null
  if (frames.length === 0) return loseSupplier(state, candidacy, effects)
  if (message.prev !== pendingSync.last) return null
  extendSync(state, effects, frames)
  candidacy.progressAt = state.now
  if (pendingSync.last < candidacy.supplyThrough) {
    askOn(state, candidacy, source, effects)
    return 'asked'
  }
  if (pendingSync.last === source.last) event(effects, 'suffix-fetched', from)
  return askSupplier(state, candidacy, source, effects)
}

/** It refused, fell silent or is gone: the next one goes on where it ended. */
export function loseSupplier(state: State, candidacy: Candidacy, effects: Effects): FetchResult {
  if (candidacy.supplier !== 0) candidacy.refused.add(candidacy.supplier)
  return askSupplier(state, candidacy, candidacy.source!, effects)
}

/** Nobody has what is missing of that log: its promise may be dropped, the rest must do (R7). */
export function dropSource(state: State, candidacy: Candidacy): void {
  candidacy.promises.delete(candidacy.source!.from)
  candidacy.source = null
  candidacy.supplier = 0
  dropSync(state)
}

// ---- The supplier ----------------------------------------------------------------------------

/** A fetch that is being answered; one at most, since there is one ballot that is promised. */
export interface Serving {
  readonly to: NodeId
  readonly ballot: Ballot
  readonly acceptedBallot: Ballot
  readonly through: LogIndex
  /** First index not sent yet. */
  next: LogIndex
  /** Sent, and not known to have come. */
  readonly inflight: { readonly through: LogIndex; readonly sizeBytes: number }[]
  inflightBytes: number
  /** Ticket of the read that is out; 0: none. */
  reading: number
}

export function onFetch(state: State, from: NodeId, message: Fetch, effects: Effects): void {
  if (!mayServe(state, message) || message.from > message.through) {
    return refuse(effects, from, message, (message.from - 1) as LogIndex)
  }
  let { serving } = state
  if (serving === null || !goesOn(serving, from, message)) {
    const { ballot, acceptedBallot, through } = message
    const asked = { to: from, ballot, acceptedBallot, through, next: message.from }
    serving = state.serving = { ...asked, inflight: [], inflightBytes: 0, reading: 0 }
  }
  while (serving.inflight.length > 0 && serving.inflight[0]!.through < message.from) {
    serving.inflightBytes -= serving.inflight.shift()!.sizeBytes
  }
  serve(state, serving, effects)
}

/** The source refuses when its log is no longer the one that was asked for (R8). */
function mayServe(
  { promised, acceptedBallot, tail, floor }: State,
  asked: Pick<Fetch, 'ballot' | 'acceptedBallot' | 'through'>,
): boolean {
  const holds = asked.acceptedBallot === acceptedBallot && asked.through <= lastOf(tail)
  return asked.ballot === promised && (holds || asked.through <= floor)
}

/** The same fetch, asked for more: what it has not got by now is under way. */
function goesOn(serving: Serving, from: NodeId, message: Fetch): boolean {
  const { to, ballot, acceptedBallot, through, next, inflight } = serving
  const isSame = to === from && ballot === message.ballot && through === message.through
  const isBehind = inflight.length === 0 ? message.from === next : message.from <= next
  return isSame && acceptedBallot === message.acceptedBallot && isBehind
}

function serve(state: State, serving: Serving, effects: Effects): void {
  const { config } = state
  const sizeBytesMax = config.catchUpBytesMax
  const limits = { sizeBytesMax, entriesMax: Number.MAX_SAFE_INTEGER, framesMax: FRAMES_MAX }
  while (serving.reading === 0 && serving.next <= serving.through) {
    const { inflight, inflightBytes } = serving
    if (inflight.length >= config.pipelineDepth || inflightBytes >= config.windowBytes) return
    const frames = gather(state.tail, serving.next, serving.through, limits)
    if (frames.length > 0) sendServed(serving, frames, effects)
    else {
      const { next: from, through } = serving
      serving.reading = read(state, effects, { kind: 'fetch' }, { from, through, sizeBytesMax })
    }
  }
}

export function onFetchRead(
  state: State,
  ticket: number,
  frames: readonly FrameRef[],
  effects: Effects,
): void {
  const { serving } = state
  if (serving?.reading !== ticket) return
  serving.reading = 0
  if (!mayServe(state, serving) || frames[0]?.first !== serving.next) {
    state.serving = null
    return refuse(effects, serving.to, serving, (serving.next - 1) as LogIndex)
  }
  sendServed(serving, frames, effects)
  serve(state, serving, effects)
}

function sendServed(serving: Serving, frames: readonly FrameRef[], effects: Effects): void {
  const { to, ballot, acceptedBallot } = serving
  const prev = (serving.next - 1) as LogIndex
  const through = throughOf(frames.at(-1)!)
  const sizeBytes = sizeOf(frames)
  serving.next = (through + 1) as LogIndex
  serving.inflight.push({ through, sizeBytes })
  serving.inflightBytes += sizeBytes
  send(effects, to, { kind: 'fetched', ballot, acceptedBallot, prev, through }, frames)
}

function refuse(
  effects: Effects,
  to: NodeId,
  { ballot, acceptedBallot }: Pick<Fetch, 'ballot' | 'acceptedBallot'>,
  prev: LogIndex,
): void {
  send(effects, to, { kind: 'fetched', ballot, acceptedBallot, prev, through: prev })
}
