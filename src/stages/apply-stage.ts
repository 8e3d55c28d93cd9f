/**
 * Apply stage: executes chosen frames on the state machine, in log order, and checks as they pass
 * that no client's entry is lost or repeated (apply-check.ts). Frames with sessions go entry by
 * entry through the session table (session-frames.ts), all others as they are. Frames of a group
 * wait for its end (open-group.ts).
 *
 *     decide --[APPLY]--> apply --[APPLIED]--> decide
 *                         apply --[REPLIES, bytes]--> the client whose own entries they were
 *
 * Reads and watches have their own desks (read-desk.ts, watch-desk.ts), which it calls.
 *
 * Invariants: entries are applied once, in index order; a throw of the state machine ends the node;
 * replies go out only for entries that this node's own client proposed. Blocking or caller's
 * thread; never touches frames that were not ordered.
 */
import type { StateMachine } from '../base/state-machine.ts'
import { ReplicaError } from '../base/errors.ts'
import {
  FRAME_FLAG_SESSIONS,
  FRAME_KIND,
  type FrameHeader,
  createFrameHeader,
  isContinued,
  readFrameHeader,
} from '../codec/frame.ts'
import { assert } from '../base/assert.ts'
import { type CellRing, available } from '../ring/cell-ring.ts'
import { type LogRing, publish, tryClaim } from '../ring/log-ring.ts'
import { chainOf } from '../core/frame-ref.ts'
import { type ApplyCheck, noteFrame } from './apply-check.ts'
import * as cell from './cells.ts'
import { type FrameBytes, type Reply, createFrameBatch } from './frame-batch.ts'
import { createOpenGroup, takeOfGroup } from './open-group.ts'
import { type OutPort, claim, drain, flush } from './port.ts'
import { createSessionFrames } from './session-frames.ts'
import { type SessionTable, createSessionTable } from './session-table.ts'
import type { ReadDesk } from './read-desk.ts'
import { writeU53 } from '../codec/u53.ts'
import { type AppliedPoint, EMPTY, type SnapshotTaker } from './snapshot-taker.ts'
import type { Stage } from './stage.ts'
import { noteVoid } from './void-entries.ts'
import type { WatchDesk } from './watch-desk.ts'

const ORDERS_MAX = 64
const REPLIES_SIZE_MAX_BYTES = 1024 * 1024

export interface ApplyWiring {
  readonly stateMachine: StateMachine
  readonly check: ApplyCheck
  /** As it was behind the last entry that the state machine has seen; default: none is open. */
  readonly sessions?: SessionTable
  /** Where the state machine stands; default: before the first entry. */
  readonly start?: AppliedPoint
  /** Null where no snapshots are made. */
  readonly snapshots?: SnapshotTaker | null
  /** Whether this node proposed the client's entries; they may come back from the WAL. */
  readonly isOwnClient: (clientId: number) => boolean
  readonly logRings: readonly LogRing[]
  readonly orders: CellRing
  readonly toDecide: OutPort
  /** Null where no client waits for results. */
  readonly toClient: { readonly port: OutPort; readonly bytes: LogRing } | null
  /** Null where nobody reads. */
  readonly desk: ReadDesk | null
  /** Default: nobody can watch. */
  readonly watch?: WatchDesk | null
  readonly onApplied: (through: number, frames: number, entries: number) => void
}

interface Unfed {
  log: FrameBytes
  offset: number
  /** Log index of its first entry. */
  first: number
}

const NO_FRAMES: FrameBytes = {
  bytes: new Uint8Array(0),
  view: new DataView(new ArrayBuffer(0)),
  words: new Int32Array(0),
}

export function createApplyStage(wiring: ApplyWiring): Stage {
  const { logRings, orders, toDecide, toClient, stateMachine, desk, watch = null } = wiring
  const { start = EMPTY, snapshots = null } = wiring
  const header = createFrameHeader()
  const batch = createFrameBatch(watch?.replies)
  const pending: Answer[] = []
  const group = createOpenGroup()
  /** Executed or void, and not fed yet. */
  const unfed: Unfed = { log: NO_FRAMES, offset: 0, first: start.index + 1 }

  /** Everything through this index is applied or void, or waits in `group` for its end. */
  let taken = start.index
  /** Everything through this index is applied or void. */
  let applied = start.index
  /** Behind `taken`. */
  let { chain, config } = start

  /** Of reads and watches. */
  const onOther = (words: Float64Array, base: number): number => {
    const isTaken = desk?.onOrder(words, base) === true || watch?.onOrder(words, base, applied)
    assert(isTaken === true, 'an order has somebody to carry it out')
    return 1
  }
  const onOrder = (words: Float64Array, base: number): number => {
    if (words[base] !== cell.APPLY) return onOther(words, base)
    const log = logRings[words[base + cell.AT_RING]!]!
    const offset = words[base + cell.AT_OFFSET]!
    const limit = offset + words[base + cell.AT_SIZE]!
    const answersAll = words[base + 6] === 1
    const start = words[base + 1]!
    const before = appliedThrough(start - 1)
    let first = start
    let frames = 0
    feedFrom(log, offset, start)
    for (let at = offset; at < limit; at += header.sizeBytes) {
      const check = readFrameHeader(log.bytes, log.view, at, limit, header)
      assert(check === 'ok', 'a frame in a ring was verified before it was ordered')
      const isOfGroup = isContinued(header.flags) || group.frames.length > 0
      if (isOfGroup) takeInGroup(log, at, first, answersAll)
      else takeFrame(log, at, first, header, answersAll)
      chain = chainOf(chain, header.headerCrc)
      if (header.kind === FRAME_KIND.config) config = configOf(log, at, first, header.sizeBytes)
      first += header.count
      frames += 1
    }
    taken = first - 1
    snapshots?.noteApplied(limit - offset)
    applied = appliedThrough(taken)
    feedTo(limit, applied)
    wiring.onApplied(applied, frames, applied - before)
    const at = claim(toDecide)
    toDecide.words[at] = cell.APPLIED
    toDecide.words[at + 1] = words[base + 7]!
    toDecide.words[at + 2] = applied
    return 1
  }
  /** Of what was taken: an open group has not had its effect yet. */
  const appliedThrough = (through: number): number => {
    const [held] = group.frames
    return held === undefined ? through : held.first - 1
  }
  /** Who watches is told of a group when all of it is executed, or void: of none of its frames. */
  const takeInGroup = (log: FrameBytes, at: number, first: number, answersAll: boolean): void => {
    const opened = group.frames[0]?.first ?? first
    if (opened === first) feedTo(at, first - 1)
    const isVoid = header.kind === FRAME_KIND.abort
    if (isVoid && watch !== null) noteVoid(watch.voids, opened, first - 1)
    for (const held of takeOfGroup(group, log, at, first, header)) {
      takeFrame(held.log, 0, held.first, held.header, answersAll)
      feedFrom(held.log, 0, held.first)
      feedTo(held.header.sizeBytes, held.first + held.header.count - 1)
    }
    if (isVoid) feedFrom(log, at, opened)
    else feedFrom(log, at + header.sizeBytes, first + header.count)
  }
  const feedFrom = (log: FrameBytes, offset: number, first: number): void => {
    unfed.log = log
    unfed.offset = offset
    unfed.first = first
  }
  /** Up to byte `end`: what is fed begins at index `first`, its bytes perhaps behind. */
  const feedTo = (end: number, through: number): void => {
    const { log, offset, first } = unfed
    if (watch?.replies.isOn !== true || offset === end) return
    watch.feed({ log, offset, sizeBytes: end - offset, first, through })
  }
  const takeFrame = (
    log: FrameBytes,
    at: number,
    first: number,
    header: FrameHeader,
    answersAll: boolean,
  ): void => {
    noteFrame(wiring.check, log.bytes, at, header)
    const isOwn = answersAll || wiring.isOwnClient(header.clientId)
    const replies: Reply[] | null = isOwn && toClient !== null ? [] : null
    applyFrame(log, at, first, header, replies)
    if (replies !== null) pending.push(answerOf(header, first, replies))
  }
  const applyFrame = (
    log: FrameBytes,
    at: number,
    first: number,
    header: FrameHeader,
    replies: Reply[] | null,
  ): void => {
    if ((header.flags & FRAME_FLAG_SESSIONS) !== 0) {
      return sessions.apply(log, at, first, header, replies)
    }
    assert(header.kind !== FRAME_KIND.abort, 'an abort ends an open group')
    if (header.kind !== FRAME_KIND.entries) return // of the protocol: takes indexes, says nothing
    batch.enter(log, at, first, header, replies)
    execute()
  }
  const execute = (): void => {
    try {
      stateMachine.apply(batch)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      const message = `the state machine threw at index ${String(batch.first)}: ${reason}`
      throw new ReplicaError('E_STATE_MACHINE', message, { reason }, 'unknown', { cause })
    }
  }
  /** Answers leave in as many pieces as the client's ring takes; false: there is more. */
  const sendAnswers = (): boolean => {
    if (toClient === null) return true
    const { port, bytes } = toClient
    let done = 0
    while (done < pending.length && sendPiece(port, bytes, pending[done]!)) {
      if (pending[done]!.at === pending[done]!.replies.length) done += 1
    }
    pending.splice(0, done)
    return pending.length === 0
  }
  const table = wiring.sessions ?? createSessionTable()
  const sessions = createSessionFrames(table, batch, execute, watch?.voids)
  const pointOf = (): AppliedPoint | null =>
    group.frames.length > 0 ? null : { index: taken, chain, config }
  const doWork = (): number => {
    if (snapshots?.isWaiting === true) return 0
    if (!flush(toDecide) || (toClient !== null && !flush(toClient.port))) return 0
    if (!sendAnswers()) return 0
    // Seen before the asking: who watched before an entry was proposed is there when it comes.
    const ready = Math.min(available(orders), ORDERS_MAX)
    let work = watch?.takeAsked(applied) ?? 0
    work += drain(orders, ready, onOrder)
    sendAnswers()
    if (desk !== null) work += desk.doWork(applied, taken)
    work += snapshots?.doWork(pointOf) ?? 0
    flush(toDecide)
    if (toClient !== null) flush(toClient.port)
    return work
  }
  return { name: 'apply', doWork, close: () => undefined }
}

function configOf({ bytes }: FrameBytes, at: number, first: number, sizeBytes: number) {
  const config = new Uint8Array(8 + sizeBytes)
  writeU53(new DataView(config.buffer), 0, first)
  config.set(bytes.subarray(at, at + sizeBytes), 8)
  return config
}

/** What the client of one of its own frames is still to be told. */
interface Answer {
  readonly clientId: number
  readonly first: number
  readonly sequence: number
  readonly sequenceThrough: number
  readonly replies: readonly Reply[]
  at: number
}

const answerOf = (header: FrameHeader, first: number, replies: readonly Reply[]): Answer => ({
  clientId: header.clientId,
  first,
  sequence: header.clientSequence,
  sequenceThrough: header.clientSequence + header.count - 1,
  replies,
  at: 0,
})

/** One REPLIES cell and its bytes; the last one of a frame carries the client's sequence. */
function sendPiece(port: OutPort, bytes: LogRing, answer: Answer): boolean {
  if (port.overflow.length > 0) return false
  const { count, sizeBytes } = pieceOf(answer.replies, answer.at)
  const offset = sizeBytes === 0 ? 0 : tryClaim(bytes, sizeBytes)
  if (offset < 0) return false
  const piece = answer.replies.slice(answer.at, answer.at + count)
  const end = sizeBytes === 0 ? 0 : writeReplies(bytes, { offset, sizeBytes }, piece)
  answer.at += count
  const isLast = answer.at === answer.replies.length
  const base = claim(port)
  port.words[base] = cell.REPLIES
  port.words[base + 1] = answer.clientId
  port.words[base + cell.AT_SIZE] = sizeBytes
  port.words[base + cell.AT_FRAMES] = count
  port.words[base + cell.AT_OFFSET] = offset
  port.words[base + 6] = isLast ? answer.sequenceThrough : 0
  port.words[base + 7] = end
  port.words[base + 8] = answer.first
  port.words[base + 9] = answer.sequence
  return true
}

/** Reply in the client's ring: u32 size, u32 0, f64 log index, bytes padded to 8. */
export const REPLY_HEADER_SIZE_BYTES = 16
export const replySizeOf = (sizeBytes: number): number =>
  REPLY_HEADER_SIZE_BYTES + Math.ceil(sizeBytes / 8) * 8

function pieceOf(replies: readonly Reply[], from: number): { count: number; sizeBytes: number } {
  let sizeBytes = 0
  let at = from
  for (; at < replies.length; at++) {
    const more = replySizeOf(replies[at]!.bytes.length)
    if (at > from && sizeBytes + more > REPLIES_SIZE_MAX_BYTES) break
    sizeBytes += more
  }
  return { count: at - from, sizeBytes: Math.ceil(sizeBytes / 64) * 64 }
}

function writeReplies(
  ring: LogRing,
  place: { readonly offset: number; readonly sizeBytes: number },
  replies: readonly Reply[],
): number {
  let at = place.offset
  for (const { place: index, bytes } of replies) {
    ring.view.setUint32(at, bytes.length, true)
    ring.view.setFloat64(at + 8, index, true)
    ring.bytes.set(bytes, at + REPLY_HEADER_SIZE_BYTES)
    at += replySizeOf(bytes.length)
  }
  return publish(ring, place.sizeBytes)
}
