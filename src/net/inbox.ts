/**
 * What a node received from one peer: a ring of cells (messages, in order) and a ring of bytes (the
 * frames that came with them). The link is the single writer of both, the decision side consumes
 * the cells and releases the bytes; the two may be on different threads.
 *
 *     word    0     1     2        3       4        5       6      7 ........ 15
 *           | kind| from| payload| frames| end    | offset| stamp| message fields |
 *           |     |     | bytes  |       | of log | in log| ms   |                |
 *     up    | 240 | peer| 0      | 0     | 0      | 0     | ms   | session, incarnation, nonce,
 *           |     |     |        |       |        |       |      | history
 *     down  | 241 | peer| 0      | 0     | 0      | 0     | ms   | session
 *
 * Invariants: a payload is published before the cell that names it; whatever came in a session lies
 * between its link-up and its link-down; nothing is taken unless both rings have room for it.
 * A cell that was claimed and not used (no room in the log, a torn message) serves the next one.
 */
import { assert } from '../base/assert.ts'
import {
  CELL_WORDS,
  PAYLOAD_SIZE_MAX_BYTES,
  WORD_FROM,
  WORD_KIND,
  WORD_PAYLOAD_SIZE,
} from '../codec/cell.ts'
import * as cellRing from '../ring/cell-ring.ts'
import * as logRing from '../ring/log-ring.ts'
import { AT_HISTORY, AT_PAYLOAD_END, AT_PAYLOAD_OFFSET, AT_SESSION, AT_STAMP } from './link.ts'

/** May cross threads. */
export interface InboxMemory {
  readonly cells: SharedArrayBuffer
  readonly log: SharedArrayBuffer
}

export interface Inbox {
  readonly cells: cellRing.CellRing
  readonly log: logRing.LogRing
}

/** Both capacities are powers of two; a payload is at most half of the log. */
export const inboxMemory = (capacityCells: number, logBytes: number): InboxMemory => ({
  cells: cellRing.cellRingMemory(capacityCells),
  log: logRing.logRingMemory(logBytes),
})

export const openInbox = (memory: InboxMemory): Inbox => ({
  cells: cellRing.openCellRing(memory.cells),
  log: logRing.openLogRing(memory.log),
})

/** The largest payload that this inbox can ever take. */
export const payloadMaxOf = ({ log }: Inbox): number =>
  Math.min(PAYLOAD_SIZE_MAX_BYTES, log.capacityBytes / 2)

/** Copies one message in. False: no room now, nothing was taken; the caller keeps it. */
export function deliver(
  inbox: Inbox,
  words: Float64Array,
  base: number,
  payload: Uint8Array | null,
  stampMs: number,
): boolean {
  const sizeBytes = payload === null ? 0 : payload.length
  assert(words[base + WORD_PAYLOAD_SIZE] === sizeBytes, 'word 2 is the size of the payload')
  const offset = reserve(inbox, sizeBytes)
  if (offset < 0) return false
  if (payload !== null && sizeBytes > 0) logRing.copyIn(inbox.log, payload, offset)
  commit(inbox, words, base, offset, stampMs)
  return true
}

/** A control cell. False: no room now. No payload may be reserved meanwhile. */
export function deliverControl(
  inbox: Inbox,
  fields: {
    readonly kind: number
    readonly peer: number
    readonly session: number
    readonly incarnation: number
    readonly nonce: number
    readonly history: number
  },
  stampMs: number,
): boolean {
  assert(inbox.log.claimedUnits === 0, 'a session ends after its last message was dropped')
  if (!hasCell(inbox)) return false
  const { words } = inbox.cells
  const base = cellRing.claimedBase(inbox.cells, 0)
  words.fill(0, base, base + CELL_WORDS)
  words[base + WORD_KIND] = fields.kind
  words[base + WORD_FROM] = fields.peer
  words[base + AT_STAMP] = stampMs
  words[base + AT_SESSION] = fields.session
  words[base + AT_SESSION + 1] = fields.incarnation
  words[base + AT_SESSION + 2] = fields.nonce
  words[base + AT_HISTORY] = fields.history
  cellRing.publish(inbox.cells)
  return true
}

/**
 * Room for one message whose bytes are still to come: offset of its payload in the data area (0
 * when it has none), or -1: no room now. Followed by commit or abandon.
 */
export function reserve(inbox: Inbox, sizeBytes: number): number {
  if (!hasCell(inbox)) return -1
  return sizeBytes === 0 ? 0 : logRing.tryClaim(inbox.log, sizeBytes)
}

/** Publishes the reserved message: the payload's bytes are all there. */
export function commit(
  inbox: Inbox,
  words: Float64Array,
  base: number,
  offset: number,
  stampMs: number,
): void {
  const { cells, log } = inbox
  const sizeBytes = words[base + WORD_PAYLOAD_SIZE]!
  const end = sizeBytes === 0 ? 0 : logRing.publish(log, sizeBytes)
  const to = cellRing.claimedBase(cells, 0)
  for (let i = 0; i < CELL_WORDS; i++) cells.words[to + i] = words[base + i]!
  cells.words[to + AT_PAYLOAD_END] = end
  cells.words[to + AT_PAYLOAD_OFFSET] = offset
  cells.words[to + AT_STAMP] = stampMs
  cellRing.publish(cells)
}

/** Gives the reserved payload back: its message will never be complete. */
export function abandon({ log }: Inbox): void {
  if (log.claimedUnits > 0) logRing.publish(log, 0)
}

const hasCell = ({ cells }: Inbox): boolean => cells.claimed > 0 || cellRing.tryClaim(cells, 1)
