/**
 * A node's end of the link to one peer, both ways: outwards a PeerLink over the simulated network,
 * inwards the reader of production, which fills the inbox from the bytes of the wire. One a life of
 * the node.
 *
 * Outwards: what the network is too clogged to take waits here, a few KiB; their bytes are
 * needed until they have left, and only then their ticket is told. What leaves must be what the
 * core ordered, in its order, with the bytes that ingest once made. Inwards: what finds no room in
 * the inbox waits in order, as in a socket that nobody reads.
 */
import {
  CELL_WORDS,
  WIRE_HEADER_SIZE_BYTES,
  WORD_FIELDS,
  WORD_FRAME_COUNT,
  WORD_FROM,
  WORD_KIND,
  WORD_SESSION,
  WORD_STAMP,
} from '../codec/cell.ts'
import { type Inbox, deliverControl } from '../net/inbox.ts'
import { LINK_DOWN, LINK_UP, type PeerLink } from '../net/link.ts'
import {
  type Reader,
  closeReader,
  createReader,
  isWaitingForRoom,
  readChunk,
} from '../net/reader.ts'
import {
  type Fifo,
  createFifo,
  dropFirst,
  peekAt,
  pushTo,
  sizeOfFifo,
  takeAll,
} from '../base/fifo.ts'
import { isFrame } from './frame-book.ts'
import type { Frame } from './frames.ts'
import { demand } from './invariants.ts'
import { directionOf, reset, sessionOf, transmitCell } from './network.ts'
import type { SimNode, World } from './world.ts'

/** So much waits for a clogged direction; one message of any size does when nothing else waits. */
const WAITING_MAX_BYTES = 4_096
const NOTHING = new Uint8Array(0)

export interface StageLink extends PeerLink {
  /** The core has ordered this, or that instead; it leaves by `send`, or is dropped by `reset`. */
  order(message: unknown, frames: readonly Frame[], otherwise: unknown): void
  /** Sends what waited. @returns messages that left */
  poll(): number
  /** The session of this pair began or ended, as this node learns it. */
  tell(up: boolean, session: number): void
  /** A packet arrived; false: its bytes were refused. */
  arrive(place: number, frames: readonly Frame[]): boolean
  /** Gives the inbox what waited. @returns true when something went in */
  pump(): boolean
}

interface Ordered {
  readonly message: unknown
  readonly otherwise: unknown
  readonly frames: readonly Frame[]
}
interface Waiting {
  readonly words: Float64Array
  readonly payload: Uint8Array | null
  readonly ticket: number
  readonly frames: readonly Frame[]
}
interface Packet {
  readonly header: Uint8Array
  readonly frames: readonly Frame[]
  /** Its header was read, and there was no room for the rest. */
  isBegun: boolean
}
/** A packet, or a session that begins (> 0) or ends (< 0). */
type Arrived = Packet | number

export function createStageLink<M>(
  world: World<M>,
  node: SimNode<M>,
  peer: SimNode<M>,
  inbox: Inbox,
  nowMs: () => number,
  onFlight: (us: number) => void,
): StageLink {
  const { wire, network } = world
  const ordered: Fifo<Ordered> = createFifo()
  const waiting: Fifo<Waiting> = createFifo()
  const arrived: Fifo<Arrived> = createFifo()
  const scratch = new Float64Array(CELL_WORDS)
  const direction = directionOf(network, node.place, peer.place)
  let sentTicket = 0
  let waitingBytes = 0
  let reader: Reader | null = null
  let session = 0

  /** The order that this cell is; what lies before it was dropped by a reset. */
  const takeOrder = (words: Float64Array, base: number): readonly Frame[] => {
    for (let next = peekAt(ordered); next !== undefined; next = peekAt(ordered)) {
      dropFirst(ordered, 1)
      for (const message of [next.message, next.otherwise]) {
        if (message === null) continue
        wire.codec.encode(message as M, scratch, 0)
        if (isCell(words, base, scratch)) return next.frames
      }
    }
    demand(false, 'I13', 'a message leaves that the core did not order, or not now')
    return []
  }
  const checkPayload = (frames: readonly Frame[], payload: Uint8Array | null): void => {
    let at = 0
    for (const frame of frames) {
      demand(
        payload !== null && isFrame(frame, payload, at),
        'I8',
        'bytes leave that are not theirs',
      )
      at += frame.sizeBytes
    }
    demand(at === (payload?.length ?? 0), 'I13', 'a payload is the frames that were ordered')
  }
  const isClogged = (): boolean => direction.cloggedUntilUs > world.nowUs
  const leave = (words: Float64Array, base: number, one: Omit<Waiting, 'words'>): void => {
    checkPayload(one.frames, one.payload)
    transmitCell(world, node, peer, words, base, one.frames)
    sentTicket = one.ticket
  }
  /** False: no room now. */
  const take = (from: Arrived): boolean => {
    if (typeof from === 'number') return takeControl(from)
    if (reader === null || reader.problem !== undefined) return true
    readChunk(reader, from.isBegun ? NOTHING : from.header, 0, nowMs())
    if (reader.problem !== undefined) return true
    if (!from.isBegun) onFlight(world.nowUs - reader.words[WORD_STAMP]!)
    from.isBegun = true
    if (isWaitingForRoom(reader)) return false
    for (const { bytes, offset, sizeBytes } of from.frames) {
      readChunk(reader, bytes.subarray(offset, offset + sizeBytes), 0, nowMs())
    }
    return true
  }
  const takeControl = (of: number): boolean => {
    const kind = of > 0 ? LINK_UP : LINK_DOWN
    const fields = {
      kind,
      peer: peer.id,
      session: Math.abs(of),
      incarnation: 1,
      nonce: 1,
      history: 0,
    }
    return deliverControl(inbox, fields, nowMs())
  }
  const enterControl = (of: number): void => {
    if (sizeOfFifo(arrived) > 0 || !takeControl(of)) pushTo(arrived, of)
  }
  const enterPacket = (place: number, frames: readonly Frame[]): void => {
    const at = place * WIRE_HEADER_SIZE_BYTES
    const isFree = sizeOfFifo(arrived) === 0
    const range = wire.bytes.subarray(at, at + WIRE_HEADER_SIZE_BYTES)
    // The wire's place goes to another packet; this one keeps a copy if it must wait.
    const packet = { header: isFree ? range : range.slice(), frames, isBegun: false }
    if (!isFree || !take(packet)) pushTo(arrived, packet)
  }
  return {
    order: (message, frames, otherwise) => pushTo(ordered, { message, frames, otherwise }),
    send(words, base, payload, ticket) {
      const sizeBytes = WIRE_HEADER_SIZE_BYTES + (payload?.length ?? 0)
      if (waitingBytes > 0 && waitingBytes + sizeBytes > WAITING_MAX_BYTES) return false
      demand(words[base + WORD_FROM] === node.id, 'I13', 'a message names its sender')
      const frames = takeOrder(words, base)
      demand(words[base + WORD_FRAME_COUNT] === frames.length, 'I13', 'a cell counts its frames')
      if (sessionOf(network, node.place, peer.place) === 0) {
        sentTicket = ticket
        return true
      }
      const one = { payload, ticket, frames }
      if (sizeOfFifo(waiting) === 0 && !isClogged()) leave(words, base, one)
      else {
        waitingBytes += sizeBytes
        pushTo(waiting, { ...one, words: words.slice(base, base + CELL_WORDS) })
      }
      return true
    },
    poll() {
      let count = 0
      for (let one = peekAt(waiting); one !== undefined && !isClogged(); one = peekAt(waiting)) {
        dropFirst(waiting, 1)
        waitingBytes -= WIRE_HEADER_SIZE_BYTES + (one.payload?.length ?? 0)
        leave(one.words, 0, one)
        count += 1
      }
      return count
    },
    get up() {
      return session !== 0
    },
    get session() {
      return session
    },
    get sentTicket() {
      return sentTicket
    },
    reset(ticket) {
      const last = takeAll(waiting).at(-1)?.ticket ?? 0
      sentTicket = Math.max(sentTicket, ticket, last)
      waitingBytes = 0
      if (sessionOf(network, node.place, peer.place) !== 0) reset(world, node, peer)
    },
    close: () => undefined,
    tell(up, of) {
      if (reader !== null) closeReader(reader)
      const before = session
      session = up ? of : 0
      // What the session before had not sent is never sent, and its bytes are free.
      sentTicket = Math.max(sentTicket, takeAll(waiting).at(-1)?.ticket ?? 0)
      waitingBytes = 0
      reader = up ? createReader(inbox, peer.id, of) : null
      // What waited came in the session before, and is gone with it; its begin and end are not.
      const left = takeAll(arrived).filter((one) => typeof one === 'number')
      for (const one of left) pushTo(arrived, one)
      enterControl(up ? of : -before)
    },
    arrive(place, frames) {
      if (reader === null || reader.problem !== undefined) return true
      const at = place * WIRE_HEADER_SIZE_BYTES + 8 + 8 * WORD_SESSION
      if (wire.view.getFloat64(at, true) < session) return true // of an older session
      enterPacket(place, frames)
      return reader.problem === undefined
    },
    pump() {
      let moved = false
      for (let one = peekAt(arrived); one !== undefined && take(one); one = peekAt(arrived)) {
        dropFirst(arrived, 1)
        moved = true
        if (reader?.problem !== undefined) reset(world, node, peer)
      }
      return moved
    },
  }
}

/** Kind and fields are the same: what a codec writes. */
function isCell(words: Float64Array, base: number, other: Float64Array): boolean {
  if (words[base + WORD_KIND] !== other[WORD_KIND]) return false
  for (let i = WORD_FIELDS; i < CELL_WORDS; i++) if (words[base + i] !== other[i]) return false
  return true
}
