/**
 * Decide stage: drives a protocol core. It turns cells into inputs and effects into orders, keeps
 * count of who works with which bytes, and is the only place that frees bytes of the log rings.
 * It sees descriptors, never payload bytes.
 *
 *     ingest, receive, wal, apply, fanout --[events]--> decide
 *     decide --[orders]--> wal, fanout, apply, ingest
 *
 * Invariants: inputs are taken one at a time and their effects are ordered before the next; ring
 * bytes are freed when the core keeps them no more and no stage holds them (R44, R45); while an
 * order waits for room no new work is taken, answers from the stages are, so nothing deadlocks;
 * the view is published before the cells of the same duty cycle.
 * Neither blocks nor sleeps: runs on either kind of thread.
 */
import { unreachable } from '../base/assert.ts'
import { writeRecord } from '../codec/record.ts'
import { type MessageCodec, decodeOrNull } from '../codec/message-codec.ts'
import type { Core, Effect, EventName, Input } from '../core/engine.ts'
import { type FrameRef, adjoins, sizeOf, throughOf } from '../core/frame-ref.ts'
import type { LogIndex, Lsn, NodeId } from '../core/ids.ts'
import { LINK_DOWN, LINK_UP } from '../net/link.ts'
import type { Membership } from '../core/membership.ts'
import type { CellRing } from '../ring/cell-ring.ts'
import { type LeaseWords, isLeaseValid, leaseLifeOf, writeLease } from '../ring/lease.ts'
import type { LogRing } from '../ring/log-ring.ts'
import * as cell from './cells.ts'
import {
  applyDone,
  createHolds,
  holdForApply,
  holdForSend,
  holdForWal,
  laggardsOf,
  releaseFree,
  sendDone,
  takeDropped,
  takeFrameCell,
  takeFramesBehind,
  walDone,
  watchDone,
} from './holds.ts'
import * as about from './membership-cells.ts'
import { type Keeper, type Retention, noteAppended, tendLog } from './retention.ts'
import { type OutPort, claim, drain, flush, isFull, orderCell } from './port.ts'
import { createRoundTrip } from './round-trip.ts'
import * as reads from './read-cells.ts'
import { type SnapshotPorts, createSnapshotKeeper } from './snapshot-keeper.ts'
import type { Stage } from './stage.ts'
import { WATCH_DONE, WATCH_READ } from './watch-cells.ts'
import { orderWatchFrames, orderWatchRead } from './watch-orders.ts'

const EVENTS_MAX = 512
const TICK_MS = 5
/** More than the two clocks drift apart between two ticks. */
const CLOCK_JUMP_MS = 10
const NO_LIFE = -2 // even, so never valid

export interface DecideWiring<Message> {
  readonly core: Core<Message>
  readonly codec: MessageCodec<Message>
  /** By ring number: 0 is ingest's, then one a peer, the last one is the WAL's read-back ring. */
  readonly logRings: readonly LogRing[]
  readonly submitted: CellRing
  readonly reads: CellRing
  readonly received: CellRing
  readonly fromWal: CellRing
  readonly fromApply: CellRing
  readonly fromFanout: CellRing
  readonly toWal: OutPort
  readonly toApply: OutPort
  readonly toFanout: OutPort
  readonly toIngest: OutPort | null
  /** Apply answers for every frame, not only for those of proposals here (Basic Paxos). */
  readonly answersAll: boolean
  /** How much log stays on the disk. */
  readonly retention: Retention
  /** What the state machine starts with; default: nothing. */
  readonly applied?: number
  /** Default: no snapshots are made. */
  readonly snapshots?: SnapshotPorts | null
  readonly nowMs: () => number
  /** Tells when the clock of `nowMs` stood still. */
  readonly wallMs: () => number
  /** Null: no leases. */
  readonly lease: LeaseWords | null
  readonly onEvent: (name: EventName | 'frame-invalid', value: number) => void
  /** Called once a duty cycle that did something, to publish the core's view. */
  readonly onView: (roundTripUs: number) => void
}

export function createDecideStage<Message>(wiring: DecideWiring<Message>): Stage {
  const { core, logRings, toWal, toApply, toFanout, toIngest, nowMs, lease, retention } = wiring
  const holds = createHolds(logRings)
  const roundTrip = createRoundTrip()
  const snapshots = createSnapshotKeeper(wiring.snapshots ?? null)
  const effects: Effect<Message>[] = []
  let submitted: FrameRef[] = []
  let tickAt = 0
  /** Ingest of a node that does not lead has published nothing that waits to be chosen. */
  let leads = false
  let chosen: LogIndex | 0 = 0
  /** Frames of an open group are taken, and not applied: they are not trimmed. */
  let applied = wiring.applied ?? 0
  /** Wall minus monotonic clock, as of the last tick. */
  let wallAhead = Number.NaN
  let announced: Membership | undefined
  /**
   * What was chosen before the present step. A record's envelope must not carry what the same step
   * learnt later: behind a sync-commit more of the new log is chosen than the old one may claim.
   */
  let floor = 0

  const step = (input: Input<Message>): void => {
    effects.length = 0
    floor = core.view.chosen
    core.step(input, effects)
    for (const effect of effects) carryOut(effect)
  }

  const keeper: Keeper = {
    onTrim: (through) => orderCell(toWal, [cell.TRIM, through]),
    onEvent: (name, through) => wiring.onEvent(name, through),
    onFull: (full) => step({ kind: 'retained', first: core.view.firstRetained, full }),
  }

  const carryOut = (effect: Effect<Message>): void => {
    switch (effect.kind) {
      case 'append':
        return append(effect)
      case 'send':
        return send(effect)
      case 'send-by-lease':
        return send({ kind: 'send', to: effect.to, message: byLease(effect), frames: [] })
      case 'read': {
        const { ticket, from, through, sizeBytesMax } = effect
        return orderCell(toWal, [cell.READ, ticket, from, through, sizeBytesMax])
      }
      case 'apply':
        return apply(effect)
      case 'chosen':
        if (leads) chosen = effect.through
        return
      case 'lead':
        leads = true
        return orderCell(toIngest, [cell.LEAD, effect.ballot, effect.next, effect.abort ? 1 : 0])
      case 'unlead':
        if (chosen > 0) orderCell(toIngest, [cell.CHOSEN, chosen])
        chosen = 0
        leads = false
        return orderCell(toIngest, [cell.UNLEAD, effect.leader])
      case 'admit':
        return orderCell(toIngest, [cell.ADMIT, effect.open ? 1 : 0, cell.admitCode(effect.reason)])
      case 'configure':
        if (toIngest === null) return
        return about.writeMembership(toIngest, about.CONFIGURE, effect.ballot, effect.membership)
      case 'changed':
      case 'transferred':
        return about.writeOutcome(toIngest, effect)
      case 'read-ready': {
        const life = effect.lease ? lifeOfLease() : 0
        return orderCell(toApply, [reads.READ_AT, effect.id, effect.index, life])
      }
      case 'read-refused': {
        const code = reads.codeOfFailure(effect.reason)
        return orderCell(toApply, [reads.READ_REFUSED, effect.id, code])
      }
      case 'lease':
        if (lease === null) return
        return writeLease(lease, effect.until, effect.until + wallAhead)
      case 'event':
        return wiring.onEvent(effect.name, effect.value)
      default:
        return unreachable(effect)
    }
  }

  const append = (effect: Effect<Message> & { readonly kind: 'append' }): void => {
    const { lsn, frames, record, lazy } = effect
    const base = claim(toWal)
    const { words } = toWal
    writeRecord(record, words, base)
    words[base + 1] = lsn
    words[base + cell.AT_SIZE] = sizeOf(frames)
    words[base + cell.AT_FRAMES] = frames.length
    words[base + cell.AT_RING] = frames[0]?.ring ?? 0
    words[base + 5] = floor
    words[base + cell.AT_APPEND_OFFSET] = frames[0]?.offset ?? 0
    words[base + cell.AT_APPEND_LAZY] = lazy ? 1 : 0
    holdForWal(holds, lsn, frames)
    if (frames.length > 0) noteAppended(retention, throughOf(frames.at(-1)!), sizeOf(frames))
  }

  const send = (effect: Effect<Message> & { readonly kind: 'send' }): void => {
    const { to, message, frames } = effect
    const ticket = holdForSend(holds, to, frames, nowMs())
    const base = claim(toFanout)
    const { words } = toFanout
    wiring.codec.encode(message, words, base)
    roundTrip.sent(to, wiring.codec.probeOf(message), nowMs())
    words[base + 1] = to
    words[base + cell.AT_SIZE] = sizeOf(frames)
    words[base + cell.AT_FRAMES] = frames.length
    words[base + cell.AT_RING] = frames[0]?.ring ?? 0
    words[base + cell.AT_OFFSET] = frames[0]?.offset ?? 0
    words[base + cell.AT_TICKET] = ticket
  }

  /** One order a contiguous range: consecutive frames need not lie beside each other. */
  const apply = ({ first, frames }: Effect<Message> & { readonly kind: 'apply' }): void => {
    let index: number = first
    for (let from = 0, at = 1; at <= frames.length; at++) {
      if (at < frames.length && adjoins(frames[at - 1]!, frames[at]!)) continue
      index = applyRange(index, frames.slice(from, at)) + 1
      from = at
    }
  }
  /** @returns the last index of the range */
  const applyRange = (first: number, frames: readonly FrameRef[]): number => {
    const { ring, offset } = frames[0]!
    const through = frames.reduce((index, { count }) => index + count, first) - 1
    orderCell(toApply, [
      ...[cell.APPLY, first, sizeOf(frames), frames.length],
      ...[ring, offset, wiring.answersAll ? 1 : 0, through],
    ])
    holdForApply(holds, through, frames)
    return through
  }

  /**
   * One cell a duty cycle, however often the chosen index rose; none while the caller's thread is
   * blocked and takes none, so that a node works on without it.
   */
  const announceChosen = (): void => {
    if (chosen === 0 || toIngest === null || isFull(toIngest)) return
    orderCell(toIngest, [cell.CHOSEN, chosen])
    chosen = 0
  }

  /** Likewise, when the newest membership in the log is another one. */
  const announceMembership = (): void => {
    const { membership, membershipIndex } = core.view
    if (membership === announced || toIngest === null || isFull(toIngest)) return
    announced = membership
    about.writeMembership(toIngest, about.MEMBERSHIP, membershipIndex, membership)
  }

  const onWal = (words: Float64Array, base: number): number => {
    if (words[base] === cell.TRIMMED) {
      const first = words[base + 1]! as LogIndex
      step({ kind: 'retained', first, full: retention.isFull })
    } else if (words[base] === cell.DURABLE) {
      const lsn = words[base + 1]! as Lsn
      walDone(holds, lsn)
      step({ kind: 'durable', lsn })
    } else return 0
    return 1
  }
  /** READ_DONE and the frames behind it were published together, so they are ready together. */
  const onWalEvent = (words: Float64Array, base: number, _place: number): number => {
    if (words[base] !== cell.READ_DONE) return onWal(words, base)
    const count = words[base + 2]!
    const ticket = words[base + 1]!
    const frames = takeFramesBehind(holds, wiring.fromWal, _place, count)
    const retained = words[base + 3]!
    if (ticket < 0) orderWatchFrames(toApply, holds, { ticket, retained }, frames)
    else step({ kind: 'read-done', ticket, frames })
    return 1 + count
  }
  const onApply = (words: Float64Array, base: number): number => {
    if (words[base] === WATCH_READ) orderWatchRead(toWal, words, base)
    else if (words[base] === WATCH_DONE) watchDone(holds, words[base + 1]!)
    else onApplied(words, base)
    return 1
  }
  const onApplied = (words: Float64Array, base: number): void => {
    const through = words[base + 1]! as LogIndex
    applyDone(holds, through)
    applied = words[base + 2]!
    step({ kind: 'applied', through })
  }
  const onFanout = (words: Float64Array, base: number): number => {
    sendDone(holds, words[base + 1]! as NodeId, words[base + 2]!)
    return 1
  }
  const onReceived = (words: Float64Array, base: number, place: number): number => {
    const kind = words[base]!
    const from = words[base + 1]! as NodeId
    if (kind === LINK_UP || kind === LINK_DOWN) {
      step({ kind: 'link', peer: from, up: kind === LINK_UP })
      return 1
    }
    if (kind === cell.DROPPED) {
      takeDropped(holds, words, base)
      if (words[base + cell.AT_FRAMES] === 1) orderCell(toFanout, [cell.RESET_LINK, from])
      return 1
    }
    const count = words[base + cell.AT_FRAMES]!
    const frames = takeFramesBehind(holds, wiring.received, place, count)
    const message = decodeOrNull(wiring.codec, words, base)
    if (message === null) {
      wiring.onEvent('frame-invalid', from)
      orderCell(toFanout, [cell.RESET_LINK, from])
      return 1 + count
    }
    roundTrip.taken(from, wiring.codec.probeOf(message), nowMs())
    step({ kind: 'message', from, message, frames })
    return 1 + count
  }
  const onSubmitted = (words: Float64Array, base: number): number => {
    const kind = words[base]!
    const id = words[base + 1]!
    if (kind !== cell.FRAME || words[base + 6] !== submitted[0]?.ballot) submit()
    if (kind === about.CHANGE) {
      step({ kind: 'change', id, change: about.readChange(words, base) })
      return 1
    }
    if (kind === about.TRANSFER) {
      step({ kind: 'transfer', id, target: words[base + 2]! as NodeId })
      return 1
    }
    submitted.push(takeFrameCell(holds, words, base))
    return 1
  }
  /** All frames of a duty cycle in one input: they share a record, and a message to each peer. */
  const submit = (): void => {
    if (submitted.length === 0) return
    const frames = submitted
    submitted = []
    step({ kind: 'submitted', ballot: frames[0]!.ballot, frames })
  }

  const onRead = (words: Float64Array, base: number): number => {
    const mode = reads.READ_MODES[words[base + 2]!]!
    if (mode === 'stale') lookAtClocks()
    step({ kind: 'read-asked', id: words[base + 1]!, mode, boundMs: words[base + 3]! })
    return 1
  }

  const doWork = (): number => {
    const room = flushAll()
    // First: after a pause nothing is taken at a time that is long past.
    tick()
    let work = drain(wiring.fromWal, EVENTS_MAX, onWalEvent)
    work += drain(wiring.fromFanout, EVENTS_MAX, onFanout)
    work += drain(wiring.fromApply, EVENTS_MAX, onApply)
    work += snapshots.doWork(core.view.durable)
    if (room) {
      work += drain(wiring.received, EVENTS_MAX, onReceived)
      work += drain(wiring.submitted, EVENTS_MAX, onSubmitted)
      submit()
      work += drain(wiring.reads, EVENTS_MAX, onRead)
    }
    announceChosen()
    announceMembership()
    for (const ring of releaseFree(holds, nowMs())) {
      step({ kind: 'pressure', ring })
      for (const peer of laggardsOf(holds, ring, nowMs()))
        orderCell(toFanout, [cell.RESET_LINK, peer])
    }
    // Before the cells: a client that was told of an entry finds it in the node's status.
    if (work > 0) wiring.onView(roundTrip.meanUs)
    flushAll()
    return work
  }
  const tick = (): void => {
    const now = nowMs()
    if (now < tickAt) return
    tickAt = now + TICK_MS
    watchClocks(now)
    step({ kind: 'tick', now: Math.floor(now) })
    tendLog(retention, { ...core.view, applied, snapshot: snapshots.through }, keeper)
    wiring.onView(roundTrip.meanUs)
  }
  /** Behind the step that read what `message` says, so that no pause comes between (R34). */
  const byLease = ({ message, otherwise }: Effect<Message> & { kind: 'send-by-lease' }) =>
    lease !== null && isLeaseValid(lease, leaseLifeOf(lease), nowMs(), wiring.wallMs())
      ? message
      : otherwise
  /** Age counts by a clock that may have stood still, or gone on, since the last tick (R35). */
  const lookAtClocks = (): void => {
    watchClocks(nowMs())
    tick()
  }
  /** Never 0, which would mean that no lease is asked for. */
  const lifeOfLease = (): number => (lease === null ? 0 : leaseLifeOf(lease)) || NO_LIFE
  /** Before the tick: what was counted by a clock that stood still is void (R34, R35). */
  const watchClocks = (now: number): void => {
    const ahead = wiring.wallMs() - now
    const isJump = Math.abs(ahead - wallAhead) > CLOCK_JUMP_MS
    wallAhead = ahead
    if (isJump) step({ kind: 'clock-jumped' })
  }
  const flushAll = (): boolean => {
    const [wal, fanout, apply] = [flush(toWal), flush(toFanout), flush(toApply)]
    if (toIngest !== null) flush(toIngest) // it may wait: a blocked caller stops nobody
    return wal && fanout && apply
  }
  return { name: 'decide', doWork, close: () => undefined }
}
