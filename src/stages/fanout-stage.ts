/**
 * Fan-out stage: one queue a peer, emptied into the peer's link as fast as it takes. Orders of one
 * peer keep their order; a peer that does not take holds up no other.
 *
 *     decide --[message cells, RESET_LINK]--> fanout --> links
 *     decide <--[SENT]-- fanout
 *
 * Invariants: SENT(peer, ticket) leaves only when the link needs the bytes up to that ticket no
 * more; a queue is bounded by the core's window to the peer; a peer that takes nothing for STALL_MS
 * while more than WAITING_MAX messages wait loses its session. Event-loop stage when links are
 * sockets, else either kind; never blocks.
 */
import {
  type Fifo,
  createFifo,
  dropFirst,
  peekAt,
  pushTo,
  sizeOfFifo,
  takeAll,
} from '../base/fifo.ts'
import type { PeerLink } from '../net/link.ts'
import type { CellRing } from '../ring/cell-ring.ts'
import type { LogRing } from '../ring/log-ring.ts'
import * as cell from './cells.ts'
import { type OutPort, claim, drain, flush } from './port.ts'
import type { Stage } from './stage.ts'

const ORDERS_MAX = 512
const WAITING_MAX = 4_096
const STALL_MS = 1_000

export interface FanoutWiring {
  readonly self: number
  readonly links: ReadonlyMap<number, PeerLink>
  readonly logRings: readonly LogRing[]
  readonly orders: CellRing
  readonly toDecide: OutPort
  readonly onSent: (messages: number, sizeBytes: number) => void
  /** Lets the transport do its own work (retries, paused sockets). */
  readonly poll: () => number
  readonly nowMs: () => number
}

interface PeerQueue {
  readonly peer: number
  readonly link: PeerLink
  readonly waiting: Fifo<Float64Array>
  reported: number
  /** When the link last took something, or had nothing to take. */
  takenAtMs: number
}

export function createFanoutStage(wiring: FanoutWiring): Stage {
  const { self, logRings, orders, toDecide, nowMs } = wiring
  const queues: PeerQueue[] = []
  for (const [peer, link] of wiring.links) {
    queues.push({ peer, link, waiting: createFifo(), reported: 0, takenAtMs: 0 })
  }
  const byPeer = new Map(queues.map((queue) => [queue.peer, queue]))

  const onOrder = (words: Float64Array, base: number): number => {
    const queue = byPeer.get(words[base + 1]!)
    if (queue === undefined) return 1
    if (words[base] === cell.RESET_LINK) {
      reset(queue)
      return 1
    }
    words[base + 1] = self
    const { waiting } = queue
    if (sizeOfFifo(waiting) === 0) queue.takenAtMs = nowMs()
    if (sizeOfFifo(waiting) > 0 || !trySend(queue, words, base)) {
      pushTo(waiting, words.slice(base, base + 16))
      const isStalled = nowMs() - queue.takenAtMs > STALL_MS
      if (isStalled && sizeOfFifo(waiting) > WAITING_MAX) reset(queue)
    }
    return 1
  }
  /** A peer that takes nothing loses what waits for it; its stream starts again from the WAL. */
  const reset = ({ link, waiting }: PeerQueue): void => {
    link.reset(takeAll(waiting).at(-1)?.[cell.AT_TICKET] ?? 0)
  }
  const trySend = (queue: PeerQueue, words: Float64Array, base: number): boolean => {
    const sizeBytes = words[base + cell.AT_SIZE]!
    const offset = words[base + cell.AT_OFFSET]!
    const { bytes } = logRings[words[base + cell.AT_RING]!]!
    const payload = sizeBytes === 0 ? null : bytes.subarray(offset, offset + sizeBytes)
    if (!queue.link.send(words, base, payload, words[base + cell.AT_TICKET]!)) return false
    wiring.onSent(1, sizeBytes)
    return true
  }
  const retry = (queue: PeerQueue): number => {
    let sent = 0
    for (let words = peekAt(queue.waiting); words !== undefined; words = peekAt(queue.waiting)) {
      if (!trySend(queue, words, 0)) break
      dropFirst(queue.waiting, 1)
      sent += 1
    }
    if (sent > 0) queue.takenAtMs = nowMs()
    return sent
  }
  const report = (queue: PeerQueue): void => {
    const { sentTicket } = queue.link
    if (sentTicket <= queue.reported) return
    queue.reported = sentTicket
    const base = claim(toDecide)
    toDecide.words[base] = cell.SENT
    toDecide.words[base + 1] = queue.peer
    toDecide.words[base + 2] = sentTicket
  }
  const doWork = (): number => {
    if (!flush(toDecide)) return 0
    let work = wiring.poll()
    for (const queue of queues) work += retry(queue)
    work += drain(orders, ORDERS_MAX, onOrder)
    // What was queued leaves now: a WAL on the same thread would block it for a whole sync.
    if (work > 0) wiring.poll()
    for (const queue of queues) report(queue)
    flush(toDecide)
    return work
  }
  const close = (): void => {
    for (const { link } of queues) link.close()
  }
  return { name: 'fanout', doWork, close }
}
