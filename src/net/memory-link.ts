/**
 * A link inside one process: `send` copies the message straight into the peer's inbox. One link is
 * one direction; two nodes have two. The sender's thread runs it. No socket, no loss, no session of
 * its own but what cut() and heal() make, by which tests and the simulator part two nodes.
 *
 * Invariant: while a control cell waits for room in the inbox, no message passes it.
 */
import { assert } from '../base/assert.ts'
import { deliver, deliverControl, type Inbox } from './inbox.ts'
import { LINK_DOWN, LINK_UP, type PeerLink } from './link.ts'

export interface MemoryLinkOptions {
  /** The sender, as the receiver sees it. */
  readonly from: number
  readonly incarnation: number
  readonly nonce: number
  /** The sender's history epoch; default 0. The receiver refuses another one than its own. */
  readonly history?: number
  /** The receiver's inbox for the sender. */
  readonly inbox: Inbox
  readonly now: () => number
  /** Rings the receiver's bell. */
  readonly onDelivered: () => void
}

export interface MemoryLink extends PeerLink {
  /** Parts the two nodes in this direction: link-down, then nothing arrives. */
  cut(): void
  /** Link-up with the next session. */
  heal(): void
  /** Delivers control cells that found no room. Returns how many. */
  doWork(): number
}

/** Opens the direction: link-up of session 1 is the first cell in the inbox. */
export function openMemoryLink(options: MemoryLinkOptions): MemoryLink {
  const { from, incarnation, nonce, history = 0, inbox, now, onDelivered } = options
  let isUp = false
  let isClosed = false
  let session = 0
  let sentTicket = 0
  /** Sessions whose cell waits for room; 0: none. The down one goes first. */
  let waitingDown = 0
  let waitingUp = 0

  const control = (kind: number, of: number): number => {
    const fields = { kind, peer: from, session: of, incarnation, nonce, history }
    const done = deliverControl(inbox, fields, now())
    if (done) onDelivered()
    return done ? 1 : 0
  }
  const doWork = (): number => {
    let count = 0
    if (waitingDown > 0 && control(LINK_DOWN, waitingDown) === 1) {
      waitingDown = 0
      count++
    }
    if (waitingDown === 0 && waitingUp > 0 && control(LINK_UP, waitingUp) === 1) {
      waitingUp = 0
      count++
    }
    return count
  }
  const heal = (): void => {
    assert(!isClosed, 'a closed link stays closed')
    if (isUp) return
    isUp = true
    waitingUp = ++session
    doWork()
  }
  const cut = (): void => {
    if (!isUp) return
    isUp = false
    if (waitingUp > 0)
      waitingUp = 0 // nobody saw it come up
    else waitingDown = session
    doWork()
  }
  heal()
  return {
    send(words, base, payload, ticket) {
      assert(ticket >= sentTicket, 'tickets rise')
      if (isUp) {
        if (waitingUp > 0) doWork()
        if (waitingUp > 0 || !deliver(inbox, words, base, payload, now())) return false
        onDelivered()
      }
      sentTicket = ticket
      return true
    },
    get up() {
      return isUp
    },
    get session() {
      return session
    },
    get sentTicket() {
      return sentTicket
    },
    cut,
    heal,
    doWork,
    reset(ticket) {
      sentTicket = Math.max(sentTicket, ticket) // bytes are copied by send, so nobody holds any
      if (!isUp) return
      cut()
      heal()
    },
    close() {
      cut()
      isClosed = true
    },
  }
}
