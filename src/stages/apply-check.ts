/**
 * The streaming safety check of contract.md: as frames are applied, every client's sequence must be
 * contiguous, and the applied bytes fold into a checksum that the client can fold as well. One call
 * a frame, never an entry. Belongs to the apply stage's thread.
 *
 * In a log (X-Paxos) a client's sequences arrive in order. Basic Paxos may choose a client's values
 * in another order after a conflict; then `ordered` is false, and a value ahead of its turn waits
 * in `ahead` until the gap closes. Either way a repeated entry is a duplicate and counted.
 */
import { assert } from '../base/assert.ts'
import { FRAME_KIND, type FrameHeader, bodyCrcAt } from '../codec/frame.ts'

export interface ClientCheck {
  /** Next sequence to come; all below it were applied. */
  next: number
  /** Over the frames below `next`: the sum modulo 2^32 of one term a frame. */
  fold: number
  readonly ahead: Map<number, Ahead> // by sequence
}

interface Ahead {
  readonly count: number
  readonly term: number
}

export interface ApplyCheck {
  readonly ordered: boolean
  readonly clients: Map<number, ClientCheck>
  entries: number
  duplicates: number
  gaps: number
}

export const createApplyCheck = (ordered: boolean): ApplyCheck => ({
  ordered,
  clients: new Map(),
  entries: 0,
  duplicates: 0,
  gaps: 0,
})

export const createClientCheck = (): ClientCheck => ({ next: 1, fold: 0, ahead: new Map() })

/** One frame's term: depends on its bytes and on its place in the client's sequence. */
export const foldTerm = (bodyCrc: number, sequence: number): number =>
  Math.imul(bodyCrc ^ Math.imul(sequence | 0, 0x9e3779b1), 0x85ebca6b) >>> 0

export const foldFrame = (fold: number, bodyCrc: number, sequence: number): number =>
  (fold + foldTerm(bodyCrc, sequence)) >>> 0

/** The checksum is taken of the bytes at hand, not copied from the header. */
export function noteFrame(
  check: ApplyCheck,
  bytes: Uint8Array,
  offset: number,
  header: Readonly<FrameHeader>,
): void {
  const { clientId, clientSequence, count, kind } = header
  const isOfClients = kind === FRAME_KIND.entries || kind === FRAME_KIND.session
  if (!isOfClients) return // nobody waits for them
  check.entries += count
  const crc = bodyCrcAt(bytes, offset, header)
  assert(crc === header.bodyCrc, 'what is applied is what was proposed')
  if (clientId === 0) return
  let client = check.clients.get(clientId)
  if (client === undefined) check.clients.set(clientId, (client = createClientCheck()))
  const term = foldTerm(crc, clientSequence)
  if (clientSequence < client.next || client.ahead.has(clientSequence)) {
    check.duplicates += count
    return
  }
  if (clientSequence > client.next && check.ordered) check.gaps += 1
  client.ahead.set(clientSequence, { count, term })
  closeGap(client)
}

function closeGap(client: ClientCheck): void {
  for (let next = client.ahead.get(client.next); next !== undefined;) {
    client.ahead.delete(client.next)
    client.fold = (client.fold + next.term) >>> 0
    client.next += next.count
    next = client.ahead.get(client.next)
  }
}

const TOTALS = 3
const WORDS_A_CLIENT = 3

/**
 * What a snapshot keeps of it: f64 entries, duplicates, gaps; then f64 id, next and fold of each
 * client. Only of an ordered log, where no client has anything ahead of its turn.
 */
export function saveClients({ clients, entries, duplicates, gaps, ordered }: ApplyCheck) {
  assert(ordered, 'a snapshot is of a log')
  const words = new Float64Array(TOTALS + WORDS_A_CLIENT * clients.size)
  words.set([entries, duplicates, gaps])
  let at = TOTALS
  for (const [id, { next, fold }] of clients) {
    words.set([id, next, fold], at)
    at += WORDS_A_CLIENT
  }
  return new Uint8Array(words.buffer)
}

/** Fills a new check with what was saved; false: the bytes are none of that. */
export function loadClients(check: ApplyCheck, bytes: Uint8Array): boolean {
  const isWhole = bytes.length % (8 * WORDS_A_CLIENT) === 0 && bytes.length >= 8 * TOTALS
  if (!isWhole) return false
  const words = new Float64Array(new Uint8Array(bytes).buffer)
  const [entries, duplicates, gaps] = words
  Object.assign(check, { entries, duplicates, gaps })
  for (let at = TOTALS; at < words.length; at += WORDS_A_CLIENT) {
    const client = { next: words[at + 1]!, fold: words[at + 2]!, ahead: new Map() }
    check.clients.set(words[at]!, client)
  }
  return true
}
