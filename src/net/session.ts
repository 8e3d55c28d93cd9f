/**
 * One peer as the hub sees it: sessions follow each other, never overlap, and leave in the inbox
 *
 *     link-up 7 | messages of 7 | link-down 7 | link-up 8 | messages of 8 | ...
 *
 * Invariants: a session's first message is delivered after its link-up, and nothing of it after its
 * link-down, however full the inbox was meanwhile; a session that ends before its link-up found
 * room leaves no trace; a new session opens only when the socket of the old one is closed, so
 * tickets stay in order over sessions (R16, R45). No socket is touched here but through Wire.
 */
import { assert } from '../base/assert.ts'
import { deliverControl, type Inbox } from './inbox.ts'
import { LINK_DOWN, LINK_UP } from './link.ts'
import { createOutbox, endOutbox, flushOutbox, queueMessage, type Outbox } from './outbox.ts'
import type { Wire } from './outbox.ts'
import { closeReader, createReader, readChunk, type Reader } from './reader.ts'

export interface Peer {
  readonly id: number
  readonly inbox: Inbox
  /** The current session, or the last; 0: none yet. */
  session: number
  incarnation: number
  nonce: number
  history: number
  isUp: boolean
  reader: Reader | null
  /** Stays after the end of the session until the socket is closed. */
  outbox: Outbox | null
  lastTicket: number
  sentTicket: number
  /** Sessions whose control cell waits for room; 0: none. The down one goes first. */
  waitingDown: number
  waitingUp: number
  /** Bytes that were received and found no room, from `heldAt` on. At most one chunk. */
  held: Uint8Array | null
  heldAt: number
}

export interface SessionStart {
  readonly session: number
  readonly incarnation: number
  readonly nonce: number
  readonly history: number
}

export const createPeer = (id: number, inbox: Inbox): Peer => ({
  id,
  inbox,
  session: 0,
  incarnation: 0,
  nonce: 0,
  history: 0,
  isUp: false,
  reader: null,
  outbox: null,
  lastTicket: 0,
  sentTicket: 0,
  waitingDown: 0,
  waitingUp: 0,
  held: null,
  heldAt: 0,
})

export function openSession(peer: Peer, wire: Wire, start: SessionStart, bytesMax: number): void {
  assert(!peer.isUp && peer.outbox === null, 'sessions do not overlap')
  assert(start.session > peer.session, 'session numbers rise')
  peer.session = start.session
  peer.incarnation = start.incarnation
  peer.nonce = start.nonce
  peer.history = start.history
  peer.isUp = true
  peer.waitingUp = start.session
  peer.reader = createReader(peer.inbox, peer.id, start.session)
  peer.outbox = createOutbox(wire, start.session, bytesMax, (ticket) => {
    peer.sentTicket = ticket
  })
}

/** Nothing more is read or sent; the socket may still hold bytes until `releaseSession`. */
export function endSession(peer: Peer): void {
  assert(peer.isUp && peer.reader !== null && peer.outbox !== null, 'only an open session ends')
  closeReader(peer.reader)
  endOutbox(peer.outbox)
  peer.reader = null
  peer.held = null
  peer.isUp = false
  if (peer.waitingUp > 0) peer.waitingUp = 0
  else peer.waitingDown = peer.session
}

/** The socket of the ended session is closed: nobody holds its bytes any more. */
export function releaseSession(peer: Peer): void {
  assert(!peer.isUp, 'the session ends first')
  peer.outbox = null
  peer.sentTicket = peer.lastTicket
}

/** PeerLink.send. */
export function sendTo(
  peer: Peer,
  words: Float64Array,
  base: number,
  payload: Uint8Array | null,
  ticket: number,
): boolean {
  assert(ticket >= peer.lastTicket, 'tickets rise')
  if (peer.isUp && !queueMessage(peer.outbox!, words, base, payload, ticket)) return false
  peer.lastTicket = ticket
  if (peer.outbox === null) peer.sentTicket = ticket // dropped, and nothing before it is out
  return true
}

/** Messages up to `ticket` will never be sent. */
export function skipTo(peer: Peer, ticket: number): void {
  peer.lastTicket = Math.max(peer.lastTicket, ticket)
  if (peer.outbox === null) peer.sentTicket = peer.lastTicket
}

export const flushTo = (peer: Peer): number => (peer.isUp ? flushOutbox(peer.outbox!) : 0)

/** Control cells that waited for room. Returns how many were delivered. */
export function deliverControls(peer: Peer, stampMs: number): number {
  let count = 0
  if (peer.waitingDown > 0) {
    if (!control(peer, LINK_DOWN, peer.waitingDown, stampMs)) return count
    peer.waitingDown = 0
    count++
  }
  if (peer.waitingUp > 0) {
    if (!control(peer, LINK_UP, peer.waitingUp, stampMs)) return count
    peer.waitingUp = 0
    count++
  }
  return count
}

/**
 * Takes a chunk of the open session, or (null) the rest of the one that is held. False: no room,
 * the rest is held, and no further chunk may come before a call with null returned true.
 * `peer.reader.problem` says that the session must end.
 */
export function receiveFrom(peer: Peer, chunk: Uint8Array | null, stampMs: number): boolean {
  const { reader } = peer
  assert(peer.isUp && reader !== null, 'only an open session receives')
  assert(chunk === null || peer.held === null, 'no chunk passes the one that is held')
  const bytes = chunk ?? peer.held
  if (bytes === null) return true
  const from = chunk === null ? peer.heldAt : 0
  deliverControls(peer, stampMs)
  const isReady = peer.waitingDown === 0 && peer.waitingUp === 0
  const at = isReady ? readChunk(reader, bytes, from, stampMs) : from
  const isTaken = at === bytes.length || reader.problem !== undefined
  peer.held = isTaken ? null : bytes
  peer.heldAt = at
  return isTaken
}

function control(peer: Peer, kind: number, session: number, stampMs: number): boolean {
  const { inbox, id, incarnation, nonce } = peer
  const isUp = kind === LINK_UP
  const fields = {
    kind,
    peer: id,
    session,
    incarnation: isUp ? incarnation : 0,
    nonce: isUp ? nonce : 0,
    history: isUp ? peer.history : 0,
  }
  return deliverControl(inbox, fields, stampMs)
}
