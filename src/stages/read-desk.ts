/**
 * The reading side of the apply stage: keeps questions until the state machine has applied what
 * they wait for, asks it, and answers.
 *
 *     client side --[QUERIES, bytes]--> desk          decide --[READ_AT, READ_REFUSED]--> desk
 *                                       desk --[ANSWERS, bytes]--> client side
 *
 * Invariants: a question is asked when everything through its index is applied or in an open group,
 * never before, and by lease it counts only if the lease is valid after the value was read (R34);
 * an answer carries the index that was applied when it was asked; a query that throws fails alone,
 * because it changes nothing. Belongs to the thread of the apply stage.
 *
 * Frames of an open group (open-group.ts) are taken and not applied. An index that decide found may
 * lie within one, and is not waited for: nobody has heard of the group before its end, and neither
 * the answer nor its index shows any of it. The index of a token is waited for until it is applied:
 * a watch elsewhere may have told what is there.
 */
import { isBytes } from '../base/bytes.ts'
import type { StateMachine } from '../base/state-machine.ts'
import type { CellRing } from '../ring/cell-ring.ts'
import { type LeaseWords, isLeaseValid } from '../ring/lease.ts'
import { type LogRing, publish, release, tryClaim } from '../ring/log-ring.ts'
import * as cell from './cells.ts'
import { type OutPort, claim, drain } from './port.ts'
import * as reads from './read-cells.ts'

const QUERIES_MAX = 256
const EXPIRY_EVERY_MS = 100

export interface ReadDeskWiring {
  readonly stateMachine: StateMachine
  readonly queries: CellRing
  readonly queryBytes: LogRing
  readonly answers: { readonly port: OutPort; readonly bytes: LogRing }
  readonly lease: LeaseWords
  /** The clock of the lease: the same for all threads of the process. */
  readonly nowMs: () => number
  readonly wallMs: () => number
  /** A question without an answer for so long has no asker any more. */
  readonly forgetMs: number
}

export interface ReadDesk {
  /** Handles a cell of decide; false: it is none of reads. */
  onOrder(words: Float64Array, base: number): boolean
  /** One pass: takes questions, asks what may be asked, answers as the client's ring has room. */
  doWork(applied: number, taken: number): number
}

interface Batch {
  readonly id: number
  readonly questions: (Uint8Array | null)[]
  readonly forgetAt: number
  /** -1: not known yet. */
  index: number
  /** The index is that of a token: what it names has had its effect, somewhere. */
  readonly isOfToken: boolean
  lease: number
}

interface Answer {
  readonly place: number
  readonly code: number
  readonly bytes: Uint8Array | null
}

interface Answers {
  readonly id: number
  readonly index: number
  readonly code: number
  readonly items: readonly Answer[]
  at: number
}

export function createReadDesk(wiring: ReadDeskWiring): ReadDesk {
  const { queries, queryBytes, answers, nowMs } = wiring
  const waiting = new Map<number, Batch>()
  /** With an index. */
  let ready: Batch[] = []
  const leaving: Answers[] = []
  let expireAt = 0

  const onQueries = (words: Float64Array, base: number): number => {
    const id = words[base + 1]!
    const questions: (Uint8Array | null)[] = []
    const [offset, count] = [words[base + cell.AT_OFFSET]!, words[base + cell.AT_FRAMES]!]
    reads.readItems(queryBytes, offset, count, (_place, _code, copy) => questions.push(copy))
    release(queryBytes, words[base + 6]!)
    const index = words[base + 7]!
    const isOfToken = index >= 0
    const forgetAt = nowMs() + wiring.forgetMs
    const batch = { id, questions, forgetAt, index, isOfToken, lease: 0 }
    if (isOfToken) ready.push(batch)
    else waiting.set(id, batch)
    return 1
  }
  /** Questions leave before what decide is asked, so none is later than its index. */
  const batchOf = (id: number): Batch | undefined => {
    if (!waiting.has(id)) while (drain(queries, QUERIES_MAX, onQueries) > 0);
    const batch = waiting.get(id)
    waiting.delete(id)
    return batch
  }
  const onOrder = (words: Float64Array, base: number): boolean => {
    if (words[base] !== reads.READ_AT && words[base] !== reads.READ_REFUSED) return false
    const batch = batchOf(words[base + 1]!)
    if (batch === undefined) return true // forgotten
    if (words[base] === reads.READ_REFUSED) {
      leaving.push({ id: batch.id, index: 0, code: words[base + 2]!, items: [], at: 0 })
      return true
    }
    batch.index = words[base + 2]!
    batch.lease = words[base + 3]!
    ready.push(batch)
    return true
  }
  const answer = (batch: Batch, applied: number): void => {
    const items = batch.questions.map((question, place) =>
      ask(wiring.stateMachine, question, place),
    )
    const { lease } = batch
    const isLost = lease !== 0 && !isLeaseValid(wiring.lease, lease, nowMs(), wiring.wallMs())
    const code = isLost ? reads.codeOfFailure('lease-lost') : 0
    leaving.push({ id: batch.id, index: applied, code, items: isLost ? [] : items, at: 0 })
  }
  const answerReady = (applied: number, taken: number): number => {
    const isEarly = ({ index, isOfToken }: Batch): boolean => index > (isOfToken ? applied : taken)
    let count = 0
    for (const batch of ready) {
      if (isEarly(batch)) continue
      answer(batch, applied)
      count += 1
    }
    if (count > 0) ready = ready.filter(isEarly)
    return count
  }
  const forget = (): void => {
    const now = nowMs()
    if (now < expireAt) return
    expireAt = now + EXPIRY_EVERY_MS
    ready = ready.filter(({ forgetAt }) => now < forgetAt)
    for (const { id, forgetAt } of waiting.values()) if (now >= forgetAt) waiting.delete(id)
  }
  const leave = (): void => {
    let done = 0
    while (done < leaving.length && sendPiece(answers.port, answers.bytes, leaving[done]!)) {
      if (leaving[done]!.at >= leaving[done]!.items.length) done += 1
    }
    leaving.splice(0, done)
  }
  const doWork = (applied: number, taken: number): number => {
    leave()
    if (leaving.length > 0) return 0
    const asked = drain(queries, QUERIES_MAX, onQueries)
    const answered = answerReady(applied, taken)
    leave()
    if (waiting.size + ready.length > 0) forget()
    return asked + answered
  }
  return { onOrder, doWork }
}

function ask(machine: StateMachine, question: Uint8Array | null, place: number): Answer {
  const failed = (failure: reads.ReadFailure, text = ''): Answer => ({
    place,
    code: reads.codeOfFailure(failure),
    bytes: new TextEncoder().encode(text),
  })
  if (question === null) return { place, code: 0, bytes: null }
  if (machine.query === undefined) return failed('no-query')
  try {
    const bytes = machine.query(question)
    if (!isBytes(bytes)) return failed('query-threw', 'query returned no Uint8Array')
    return bytes.length > reads.ANSWER_SIZE_MAX_BYTES
      ? failed('answer-size')
      : { place, code: 0, bytes: bytes.slice() }
  } catch (cause) {
    return failed('query-threw', cause instanceof Error ? cause.message : String(cause))
  }
}

/** One ANSWERS cell and its bytes; false: no room now. */
function sendPiece(port: OutPort, ring: LogRing, answer: Answers): boolean {
  if (port.overflow.length > 0) return false
  const from = answer.at
  let [to, size] = [from, 0]
  for (; to < answer.items.length; to++) {
    const more = reads.itemSizeOf(answer.items[to]!.bytes?.length ?? 0)
    if (to > from && size + more > reads.PIECE_SIZE_MAX_BYTES) break
    size += more
  }
  const sizeBytes = Math.ceil(size / 64) * 64
  const offset = sizeBytes === 0 ? 0 : tryClaim(ring, sizeBytes)
  if (offset < 0) return false
  let at = offset
  for (let i = from; i < to; i++) at = reads.writeItem(ring, at, answer.items[i]!)
  const end = sizeBytes === 0 ? 0 : publish(ring, sizeBytes)
  answer.at = to
  const base = claim(port)
  port.words[base] = reads.ANSWERS
  port.words[base + 1] = answer.id
  port.words[base + cell.AT_SIZE] = sizeBytes
  port.words[base + cell.AT_FRAMES] = to - from
  port.words[base + cell.AT_OFFSET] = offset
  port.words[base + 6] = end
  port.words[base + 7] = answer.index
  port.words[base + 8] = answer.code
  return true
}
