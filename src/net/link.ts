/**
 * What a link to a peer is, whatever carries it: the outgoing interface, the control cells that
 * tell the inbox of a session's begin and end, and the events and counters that people see.
 * Nothing here does anything; docs/links.md draws the messages and states the session rules.
 */

/**
 * Words 4 to 6 of a cell in an inbox (codec/cell.ts has the others, and their use on the wire).
 * The log ring's sequence just behind the payload (int32, 0 without payload):
 */
export const AT_PAYLOAD_END = 4
/** Byte offset of the payload in the log ring's data area. */
export const AT_PAYLOAD_OFFSET = 5
/** When the message was delivered, in ms of the writer's clock; a fraction is possible. */
export const AT_STAMP = 6

/** Control cells: made by links, never taken from a peer. Words 7..10 below. */
export const LINK_UP = 240
export const LINK_DOWN = 241
/** Both: number of the session, greater in every later session of the two nodes. */
export const AT_SESSION = 7
/** Link-up: the peer's incarnation and its process nonce. */
export const AT_INCARNATION = 8
export const AT_NONCE = 9
/** Link-up: the history epoch of the peer. */
export const AT_HISTORY = 10
/** Kinds from here on are the link layer's own; a peer's message stays below. */
export const LINK_KIND_MIN = 240

/** The outgoing side to one peer. One thread calls it: the one that runs the peer's socket. */
export interface PeerLink {
  /**
   * Queues one message: words[base .. base + 15] is its cell, word 2 the size of `payload`, which
   * is a range of a log ring. Tickets rise. False: the bound is reached, nothing was taken, retry.
   * Order is kept within a session. Without a session the message is dropped and true is returned.
   */
  send(words: Float64Array, base: number, payload: Uint8Array | null, ticket: number): boolean
  readonly up: boolean
  /** Session that `send` writes to, or the last one. */
  readonly session: number
  /** Highest ticket such that no payload byte up to it is needed any more. Never falls. */
  readonly sentTicket: number
  /**
   * Ends the session: what `send` took and the peer does not have yet may be lost, and no byte up
   * to `ticket` is needed once sentTicket says so. A new session opens when it can.
   */
  reset(ticket: number): void
  close(): void
}

export type RefusedReason =
  | 'handshake-invalid' // bad magic, checksum, kind or extra bytes
  | 'handshake-timeout'
  | 'version'
  | 'cluster'
  | 'history' // of the same cluster, before or after a disaster command
  | 'durability' // of the same cluster, and its acknowledgements are worth something else
  | 'lost-disk' // it was another process before, and durability none keeps nothing (R5)
  | 'unknown-peer'
  | 'wrong-target'
  | 'direction' // only the lower id dials
  | 'stale-session' // same process, but not newer than what we have
  | 'too-many' // pending handshakes

export type DownReason = 'closed' | 'error' | 'idle' | 'frame-invalid' | 'replaced' | 'local'

/** For people and metrics; never needed for correctness (the inbox has the control cells). */
export type LinkEvent =
  | { readonly kind: 'up'; readonly peer: number; readonly session: number }
  | {
      readonly kind: 'down'
      readonly peer: number
      readonly session: number
      readonly reason: DownReason
    }
  | { readonly kind: 'dial-failed'; readonly peer: number; readonly reason: string }
  | { readonly kind: 'refused'; readonly reason: RefusedReason; readonly from: number }
  | { readonly kind: 'listen-error'; readonly problem: string }
  | { readonly kind: 'frame-invalid'; readonly peer: number; readonly problem: string }

export interface LinkCounters {
  ups: number
  downs: number
  dialsFailed: number
  refused: number
  framesInvalid: number
  idles: number
  messagesSent: number
  bytesSent: number
  messagesReceived: number
  bytesReceived: number
  /** Times that a full inbox paused a socket. */
  pauses: number
}

export const createLinkCounters = (): LinkCounters => ({
  ups: 0,
  downs: 0,
  dialsFailed: 0,
  refused: 0,
  framesInvalid: 0,
  idles: 0,
  messagesSent: 0,
  bytesSent: 0,
  messagesReceived: 0,
  bytesReceived: 0,
  pauses: 0,
})
