/**
 * Who works with which bytes of the log rings: part of the decide stage. A frame's bytes are free
 * when the core keeps it no more (`kept`) and no stage holds it: WAL until its LSN is durable,
 * apply until it is applied, fanout until the link needs the bytes no more (R44, R45).
 *
 * Invariant: a ring is released strictly in ring order, up to the first frame still in use.
 */
import { assert } from '../base/assert.ts'
import type { FrameRef } from '../core/frame-ref.ts'
import type { NodeId } from '../core/ids.ts'
import { type CellRing, cellBase } from '../ring/cell-ring.ts'
import { type LogRing, occupancyBytes, release } from '../ring/log-ring.ts'
import { readFrameCell } from './cells.ts'

/** Frames that one stage holds until it reports a mark that is at least `mark`. */
interface Held {
  readonly mark: number
  readonly frames: readonly FrameRef[]
  readonly sinceMs: number
}

/** First in, first out, without the cost of Array.shift on a long queue. */
class Queue<T> {
  private items: T[] = []
  private head = 0
  push(item: T): void {
    this.items.push(item)
  }
  peek(): T | undefined {
    return this.items[this.head]
  }
  pop(): void {
    this.head += 1
    if (this.head < 1_024 && this.head < this.items.length) return
    this.items = this.items.slice(this.head)
    this.head = 0
  }
}

const PRESSURE_PART = 0.75
const LAGGARD_MS = 250

export class Holds {
  private readonly rings: readonly { readonly log: LogRing; readonly queue: Queue<FrameRef> }[]
  private readonly wal = new Queue<Held>()
  private readonly apply = new Queue<Held>()
  private readonly sends = new Map<NodeId, Queue<Held>>()
  private ticket = 0
  private readonly pressed: number[] = []

  constructor(logRings: readonly LogRing[]) {
    this.rings = logRings.map((log) => ({ log, queue: new Queue<FrameRef>() }))
  }

  /** Enters a frame that lies in a ring, in ring order. */
  take(frame: FrameRef): FrameRef {
    this.rings[frame.ring]!.queue.push(frame)
    return frame
  }

  /** The `count` FRAME cells behind the cell at `place` of a ring that is being drained. */
  framesBehind(cells: CellRing, place: number, count: number): FrameRef[] {
    const frames: FrameRef[] = []
    for (let i = 1; i <= count; i++) {
      frames.push(this.take(readFrameCell(cells.words, cellBase(cells, place + i))))
    }
    return frames
  }

  forWal(lsn: number, frames: readonly FrameRef[]): void {
    if (frames.length > 0) hold(this.wal, lsn, frames, 0)
  }
  forApply(through: number, frames: readonly FrameRef[]): void {
    hold(this.apply, through, frames, 0)
  }
  /** @returns the ticket that the fanout stage reports when the bytes are not needed any more */
  forSend(to: NodeId, frames: readonly FrameRef[], nowMs: number): number {
    if (frames.length === 0) return this.ticket
    this.ticket += 1
    let queue = this.sends.get(to)
    if (queue === undefined) this.sends.set(to, (queue = new Queue<Held>()))
    hold(queue, this.ticket, frames, nowMs)
    return this.ticket
  }

  walDone(lsn: number): void {
    letGo(this.wal, lsn)
  }
  applyDone(through: number): void {
    letGo(this.apply, through)
  }
  sendDone(to: NodeId, ticket: number): void {
    const queue = this.sends.get(to)
    if (queue !== undefined) letGo(queue, ticket)
  }

  /** Frees what is free. @returns rings that are nearly full all the same */
  release(): readonly number[] {
    this.pressed.length = 0
    for (const [number, { log, queue }] of this.rings.entries()) {
      let last: FrameRef | undefined
      for (let head = queue.peek(); head !== undefined; head = queue.peek()) {
        if (head.kept || head.holds > 0) break
        last = head
        queue.pop()
      }
      if (last !== undefined) release(log, last.end)
      if (queue.peek() === undefined) continue
      if (occupancyBytes(log) > PRESSURE_PART * log.capacityBytes) this.pressed.push(number)
    }
    return this.pressed
  }

  /** Peers whose unsent bytes have kept a full ring from moving for too long. */
  laggards(ring: number, nowMs: number): NodeId[] {
    const head = this.rings[ring]!.queue.peek()
    const late: NodeId[] = []
    for (const [peer, queue] of this.sends) {
      const oldest = queue.peek()
      if (oldest === undefined || head === undefined || head.holds === 0) continue
      if (oldest.frames[0]!.ring === ring && nowMs - oldest.sinceMs > LAGGARD_MS) late.push(peer)
    }
    return late
  }
}

function hold(queue: Queue<Held>, mark: number, frames: readonly FrameRef[], now: number): void {
  for (const frame of frames) frame.holds += 1
  queue.push({ mark, frames, sinceMs: now })
}

function letGo(queue: Queue<Held>, mark: number): void {
  for (let held = queue.peek(); held !== undefined && held.mark <= mark; held = queue.peek()) {
    for (const frame of held.frames) {
      frame.holds -= 1
      assert(frame.holds >= 0, 'a hold is let go once')
    }
    queue.pop()
  }
}
