/**
 * Who works with which bytes of the log rings: part of the decide stage. A frame's bytes are free
 * when the core keeps it no more (`kept`) and no stage holds it: WAL until its LSN is durable,
 * apply until it is applied, or fed to those who watch, fanout until the link needs the bytes no
 * more (R44, R45).
 *
 * Invariant: a ring is released strictly in ring order, up to the first frame still in use.
 */
import { assert } from '../base/assert.ts'
import { type Fifo, createFifo, dropFirst, peekAt, pushTo, sizeOfFifo } from '../base/fifo.ts'
import type { FrameRef } from '../core/frame-ref.ts'
import type { NodeId } from '../core/ids.ts'
import { type CellRing, cellBase } from '../ring/cell-ring.ts'
import { type LogRing, occupancyBytes, release } from '../ring/log-ring.ts'
import { FRAME_KIND } from '../codec/frame.ts'
import { AT_FRAME_KIND, AT_SIZE, readFrameCell } from './cells.ts'
import { membershipAt } from './config-frame.ts'

/** Frames that one stage holds until it reports a mark that is at least `mark`. */
interface Held {
  readonly mark: number
  readonly frames: readonly FrameRef[]
  readonly sinceMs: number
}

interface HeldRing {
  readonly log: LogRing
  /** In ring order. */
  readonly frames: Fifo<FrameRef>
  fullSinceMs: number
}

export interface Holds {
  readonly rings: readonly HeldRing[]
  readonly wal: Fifo<Held>
  readonly apply: Fifo<Held>
  /** Read back for those who watch; marked with the number of the read. */
  readonly watch: Fifo<Held>
  readonly sends: Map<NodeId, PeerHolds>
  /** Of the newest send that carries frames, to whomever. */
  ticket: number
  readonly pressed: number[]
}

interface PeerHolds {
  readonly queue: Fifo<Held>
  resetAtMs: number
}

const PRESSURE_PART = 0.75
const GRACE_MS = 100
const LAGGARD_MS = 250

export const createHolds = (logRings: readonly LogRing[]): Holds => ({
  rings: logRings.map((log) => ({ log, frames: createFifo(), fullSinceMs: -1 })),
  wal: createFifo(),
  apply: createFifo(),
  watch: createFifo(),
  sends: new Map(),
  ticket: 0,
  pressed: [],
})

/** Enters a frame that lies in a ring, in ring order. */
export function takeFrame({ rings }: Holds, frame: FrameRef): FrameRef {
  pushTo(rings[frame.ring]!.frames, frame)
  return frame
}

/** The frame of a FRAME cell; what a config frame says is read from its ring, here only. */
export function takeFrameCell(holds: Holds, words: Float64Array, base: number): FrameRef {
  const frame = readFrameCell(words, base)
  if (words[base + AT_FRAME_KIND] !== FRAME_KIND.config) return takeFrame(holds, frame)
  const { log } = holds.rings[frame.ring]!
  const config = membershipAt(log, frame.offset, frame.sizeBytes)
  return takeFrame(holds, { ...frame, config })
}

/** The bytes of a message that nobody will use: free, in their turn. */
export function takeDropped(holds: Holds, words: Float64Array, base: number): void {
  if (words[base + AT_SIZE]! > 0) takeFrame(holds, readFrameCell(words, base))
}

/** The `count` FRAME cells behind the cell at `place` of a ring that is being drained. */
export function takeFramesBehind(
  holds: Holds,
  cells: CellRing,
  place: number,
  count: number,
): FrameRef[] {
  const frames: FrameRef[] = []
  for (let i = 1; i <= count; i++) {
    frames.push(takeFrameCell(holds, cells.words, cellBase(cells, place + i)))
  }
  return frames
}

export function holdForWal({ wal }: Holds, lsn: number, frames: readonly FrameRef[]): void {
  if (frames.length > 0) hold(wal, lsn, frames, 0)
}

export function holdForApply({ apply }: Holds, through: number, frames: readonly FrameRef[]): void {
  hold(apply, through, frames, 0)
}

export function holdForWatch({ watch }: Holds, id: number, frames: readonly FrameRef[]): void {
  if (frames.length > 0) hold(watch, id, frames, 0)
}

/** @returns the ticket that the fanout stage reports when the bytes are not needed any more */
export function holdForSend(
  holds: Holds,
  to: NodeId,
  frames: readonly FrameRef[],
  nowMs: number,
): number {
  if (frames.length === 0) return holds.ticket
  holds.ticket += 1
  let peer = holds.sends.get(to)
  if (peer === undefined) {
    holds.sends.set(to, (peer = { queue: createFifo(), resetAtMs: -Infinity }))
  }
  hold(peer.queue, holds.ticket, frames, nowMs)
  return holds.ticket
}

export const walDone = ({ wal }: Holds, lsn: number): void => letGo(wal, lsn)
export const applyDone = ({ apply }: Holds, through: number): void => letGo(apply, through)
export const watchDone = ({ watch }: Holds, id: number): void => letGo(watch, id)

export function sendDone({ sends }: Holds, to: NodeId, ticket: number): void {
  const peer = sends.get(to)
  if (peer !== undefined) letGo(peer.queue, ticket)
}

/**
 * Frees what is free. @returns rings that have been nearly full for longer than a hiccup of a disk
 * or a thread lasts: until then whoever lags gates the writer, and stays out of the WAL's way.
 */
export function releaseFree({ rings, pressed }: Holds, nowMs: number): readonly number[] {
  pressed.length = 0
  for (const [number, ring] of rings.entries()) {
    const { log, frames } = ring
    if (sizeOfFifo(frames) === 0) {
      ring.fullSinceMs = -1
      continue
    }
    let last: FrameRef | undefined
    for (let head = peekAt(frames); head !== undefined; head = peekAt(frames)) {
      if (head.kept || head.holds > 0) break
      last = head
      dropFirst(frames, 1)
    }
    if (last !== undefined) release(log, last.end)
    const isFull = occupancyBytes(log) > PRESSURE_PART * log.capacityBytes
    if (!isFull || peekAt(frames) === undefined) ring.fullSinceMs = -1
    else if (ring.fullSinceMs < 0) ring.fullSinceMs = nowMs
    else if (nowMs - ring.fullSinceMs > GRACE_MS) pressed.push(number)
  }
  return pressed
}

/** Peers whose unsent bytes keep a full ring from moving for too long; each once a while. */
export function laggardsOf({ rings, sends }: Holds, ring: number, nowMs: number): NodeId[] {
  const late: NodeId[] = []
  const head = peekAt(rings[ring]!.frames)
  if (head === undefined || head.holds === 0) return late
  for (const [id, peer] of sends) {
    const oldest = peekAt(peer.queue)
    if (oldest?.frames[0]!.ring !== ring) continue
    if (nowMs - Math.max(oldest.sinceMs, peer.resetAtMs) <= LAGGARD_MS) continue
    peer.resetAtMs = nowMs
    late.push(id)
  }
  return late
}

function hold(queue: Fifo<Held>, mark: number, frames: readonly FrameRef[], now: number): void {
  for (const frame of frames) frame.holds += 1
  pushTo(queue, { mark, frames, sinceMs: now })
}

function letGo(queue: Fifo<Held>, mark: number): void {
  for (let held = peekAt(queue); held !== undefined && held.mark <= mark; held = peekAt(queue)) {
    for (const frame of held.frames) {
      frame.holds -= 1
      assert(frame.holds >= 0, 'a hold is let go once')
    }
    dropFirst(queue, 1)
  }
}
