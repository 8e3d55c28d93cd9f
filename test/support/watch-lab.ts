/**
 * A node's apply stage and its callers' watches over a log that is given frame by frame, on one
 * thread: what the WAL would read back is kept here. Nothing moves by itself: `apply` executes,
 * `answerReads` is the WAL, `callerWorks` is a turn of the caller.
 */
import {
  FRAME_FLAG_SESSIONS,
  FRAME_HEADER_SIZE_BYTES,
  FRAME_KIND,
  type FrameKind,
  entrySizeOf,
  frameSizeOf,
  stampFrame,
  writeFrameHeader,
  writeSessionEntry,
} from '../../src/codec/frame.ts'
import type { Ballot, LogIndex } from '../../src/core/ids.ts'
import { createHeldReads } from '../../src/engine/held-reads.ts'
import { WATCH_LIMITS, type WatchLimits, createWatchSide } from '../../src/engine/watch-client.ts'
import type { Watch, WatchOptions } from '../../src/engine/watch.ts'
import { type LogRing, publish, release, tryClaim } from '../../src/ring/log-ring.ts'
import { createApplyCheck } from '../../src/stages/apply-check.ts'
import { createApplyStage } from '../../src/stages/apply-stage.ts'
import * as cell from '../../src/stages/cells.ts'
import { drain } from '../../src/stages/port.ts'
import { createVoidEntries } from '../../src/stages/void-entries.ts'
import * as watch from '../../src/stages/watch-cells.ts'
import { createWatchDesk } from '../../src/stages/watch-desk.ts'
import { cellRing, cellsOf, logRing, order, port, putFrame } from './engine-cells.ts'

export interface LabOptions {
  readonly feedRingBytes?: number
  readonly feedCells?: number
  readonly voidRangesMax?: number
  readonly limits?: Partial<WatchLimits>
  readonly reply?: (payload: string) => string | null
}

/** What the state machine saw; `reply` null: it gave none. */
export interface Applied {
  readonly index: number
  readonly payload: string
  readonly reply: string | null
}

interface Kept {
  readonly first: number
  readonly through: number
  readonly bytes: Uint8Array
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** All promises that are settled have been heard of. */
export const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

export function openWatchLab(options: LabOptions = {}) {
  const { feedRingBytes = 2 ** 16, feedCells = 64, reply = (payload) => `re ${payload}` } = options
  const [log, readback] = [logRing(2 ** 20), logRing(2 ** 20)]
  const feedBytes = logRing(feedRingBytes)
  const [orders, events, replies, asked] = [cellRing(), cellRing(), cellRing(feedCells), cellRing()]
  const applied: Applied[] = []
  const kept: Kept[] = []
  const state = { last: 0, missing: null as string | null, now: 0, reads: 0, copies: 0 }
  const none = (): Promise<void> => Promise.resolve()
  const toDecide = port(events)
  const toCaller = port(replies)
  const desk = createWatchDesk({
    ...{ asked, toDecide, logRings: [log, readback] },
    toCaller: { port: toCaller, bytes: feedBytes },
    voids: createVoidEntries(1, options.voidRangesMax),
  })
  const stage = createApplyStage({
    stateMachine: {
      apply(batch) {
        for (let i = 0; i < batch.count; i++) {
          const payload = decoder.decode(batch.payload(i).slice())
          const answer = reply(payload)
          applied.push({ index: batch.first + i, payload, reply: answer })
          if (answer !== null) batch.reply(i, encoder.encode(answer))
        }
      },
      ...{ snapshot: none, restore: none },
    },
    ...{ check: createApplyCheck(true), isOwnClient: () => false, logRings: [log, readback] },
    ...{
      orders,
      toDecide,
      toClient: { port: toCaller, bytes: logRing() },
      desk: null,
      watch: desk,
    },
    onApplied: () => undefined,
  })
  const held = createHeldReads(() => state.now)
  const side = createWatchSide({
    ...{ asked: port(asked), bytes: feedBytes, clusterId: 'lab', nowMs: () => state.now },
    ...{ missing: () => state.missing, applied: () => state.last, onMoved: () => held.changed() },
    limits: { ...WATCH_LIMITS, ...options.limits },
  })
  const scope = side.scope()
  const toOrders = port(orders)
  const put = (frame: { offset: number; sizeBytes: number; end: number }, count: number): void => {
    const { offset, sizeBytes, end } = frame
    const first = state.last + 1
    state.last += count
    const bytes = log.bytes.slice(offset, offset + sizeBytes)
    kept.push({ first, through: state.last, bytes })
    order(toOrders, [cell.APPLY, first, sizeBytes, 1, 0, offset, 0, state.last])
    stage.doWork()
    release(log, end)
  }
  const reads: number[][] = []
  const takeEvents = (): void => {
    for (const words of cellsOf(events)) if (words[0] === watch.WATCH_READ) reads.push(words)
  }
  return {
    applied,
    desk,
    held,
    scope,
    side,
    state,
    watch: (given?: WatchOptions): Watch => scope.open(given),
    /** Plain entries in one frame. */
    apply(...payloads: string[]): void {
      const { frame, place } = putFrame(log, payloads, {
        first: state.last + 1,
        clientSequence: state.last + 1,
      })
      put({ ...place, sizeBytes: frame.sizeBytes }, payloads.length)
    },
    /** `session, sequence` each, in one frame with sessions. */
    applyMarked(entries: readonly (readonly [number, number, string])[], kind?: FrameKind): void {
      put(putMarked(log, entries, state.last + 1, kind), entries.length)
    },
    /** The apply stage has a turn without anything to execute. */
    applyWorks: () => void stage.doWork(),
    /** The WAL and decide have theirs; false: nothing was asked. */
    answerReads(framesMax = 3): boolean {
      stage.doWork()
      takeEvents()
      const words = reads.shift()
      if (words === undefined) return false
      state.reads += 1
      const [, id, from, through] = words
      const found = kept.filter((one) => one.through >= from! && one.through <= through!)
      const there =
        found[0] !== undefined && found[0].first <= from! ? found.slice(0, framesMax) : []
      const sizeBytes = there.reduce((sum, { bytes }) => sum + bytes.length, 0)
      const offset = sizeBytes === 0 ? 0 : tryClaim(readback, sizeBytes)
      there.reduce((at, { bytes }) => (readback.bytes.set(bytes, at), at + bytes.length), offset)
      const end = sizeBytes === 0 ? 0 : publish(readback, sizeBytes)
      const [first, last] = [there[0]?.first ?? 0, there.at(-1)?.through ?? 0]
      const retained = kept[0]?.first ?? state.last + 1
      const head = [watch.WATCH_FRAMES, first, sizeBytes, there.length, 1, offset]
      order(toOrders, [...head, id!, last, retained])
      stage.doWork()
      takeEvents()
      if (sizeBytes > 0) release(readback, end)
      return true
    },
    /** Takes what was fed. */
    callerWorks(): number {
      stage.doWork()
      const taken = drain(replies, 1_000, (words, base) => {
        if (side.onFeed(words, base)) state.copies += words[base + 2]! > 0 ? 1 : 0
        return 1
      })
      side.doWork()
      held.doWork()
      return taken
    },
    trim(through: number): void {
      while (kept.length > 0 && kept[0]!.through <= through) kept.shift()
    },
  }
}

export type WatchLab = ReturnType<typeof openWatchLab>

/** What the state machine saw from an index on. */
export const seenFrom = ({ applied }: WatchLab, from: number): string[] =>
  applied.filter(({ index }) => index >= from).map(({ index, payload }) => `${index}:${payload}`)

/** Until nothing moves any more. */
export async function settle(lab: WatchLab): Promise<void> {
  for (let idle = 0; idle < 3;) {
    await turn()
    const work = lab.callerWorks() + (lab.answerReads() ? 1 : 0)
    idle = work > 0 ? 0 : idle + 1
  }
  await turn()
}

function putMarked(
  log: LogRing,
  entries: readonly (readonly [session: number, sequence: number, payload: string])[],
  first: number,
  kind: FrameKind = FRAME_KIND.entries,
) {
  const all = entries.map(([session, sequence, payload]) => {
    return { session, sequence, bytes: encoder.encode(payload) }
  })
  const bodySizeBytes = all.reduce((sum, { bytes }) => sum + entrySizeOf(bytes.length, true), 0)
  const sizeBytes = frameSizeOf(bodySizeBytes)
  const offset = tryClaim(log, sizeBytes)
  let at = offset + FRAME_HEADER_SIZE_BYTES
  for (const { session, sequence, bytes } of all) {
    at = writeSessionEntry(log.bytes, log.view, at, session, sequence, bytes)
  }
  writeFrameHeader(log.view, offset, {
    ...{ kind, flags: FRAME_FLAG_SESSIONS, bodySizeBytes, count: all.length },
    ...{ clientId: 9, clientSequence: first },
  })
  stampFrame(log.bytes, log.view, offset, 65_537 as Ballot, first as LogIndex)
  return { offset, sizeBytes, end: publish(log, sizeBytes) }
}
