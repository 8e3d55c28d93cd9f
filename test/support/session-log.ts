/** One node's apply stage over a log of entries with sessions, given frame by frame. */
import {
  FRAME_FLAG_SESSIONS,
  FRAME_HEADER_SIZE_BYTES,
  FRAME_KIND,
  type FrameKind,
  entrySizeOf,
  frameSizeOf,
  stampFrame,
  writeFrameHeader,
  writeSessionEntry,
} from '../../src/codec/frame.ts'
import type { Ballot, LogIndex } from '../../src/core/ids.ts'
import { type LogRing, publish, release, tryClaim } from '../../src/ring/log-ring.ts'
import { createApplyCheck } from '../../src/stages/apply-check.ts'
import {
  REPLY_HEADER_SIZE_BYTES,
  createApplyStage,
  replySizeOf,
} from '../../src/stages/apply-stage.ts'
import * as cell from '../../src/stages/cells.ts'
import {
  COMMAND,
  type Command,
  type SessionAnswer,
  commandBytes,
  decodeAnswer,
  saveSessions,
} from '../../src/stages/session-bytes.ts'
import {
  SESSION_LIMITS,
  type SessionLimits,
  VERDICT,
  createSessionTable,
} from '../../src/stages/session-table.ts'
import { cellRing, cellsOf, logRing, order, port, putFrame } from './engine-cells.ts'

export interface MarkedEntry {
  readonly session: number
  readonly sequence: number
  readonly payload: string
}

const OWN = 7
const encoder = new TextEncoder()
const decoder = new TextDecoder()

export interface SessionLog {
  /** Index of the next entry. */
  readonly next: number
  /** What the state machine saw: `index:payload`, in order. */
  readonly applied: string[]
  /** Sizes of the batches that it saw. */
  readonly batches: number[]
  readonly check: ReturnType<typeof createApplyCheck>
  readonly saved: Uint8Array
  /** Entries in one frame; what their client is told, an answer an entry. */
  give(entries: readonly MarkedEntry[], kind?: FrameKind): SessionAnswer[]
  /** The same without an answer to read. */
  giveForeign(entries: readonly MarkedEntry[]): void
  givePlain(payloads: readonly string[]): void
  command(command: Command, session?: number, sequence?: number): SessionAnswer
  /** @returns the id */
  open(): number
}

/** @param reply what the state machine answers entry `index:payload` */
export function openSessionLog(
  limits: SessionLimits = SESSION_LIMITS,
  reply: (entry: string) => string | null = (entry) => `ok ${entry}`,
): SessionLog {
  const [log, replyBytes] = [logRing(2 ** 20), logRing(2 ** 20)]
  const [orders, replies] = [cellRing(), cellRing()]
  const applied: string[] = []
  const batches: number[] = []
  const none = (): Promise<void> => Promise.resolve()
  const check = createApplyCheck(true)
  const sessions = createSessionTable(limits)
  let next = 1
  const clientSequences = new Map<number, number>()
  const events = cellRing()
  const stage = createApplyStage({
    stateMachine: {
      apply(batch) {
        batches.push(batch.count)
        for (let i = 0; batch.next(); i++) {
          const { offset, size, bytes } = batch
          const entry = decoder.decode(bytes.slice(offset, offset + size))
          applied.push(`${batch.first + i}:${entry}`)
          const answer = reply(entry)
          if (answer !== null) batch.reply(i, encoder.encode(answer))
        }
      },
      ...{ query: (question) => question, snapshot: none, restore: none },
    },
    check,
    sessions,
    isOwnClient: (id) => id === OWN,
    desk: null,
    logRings: [log],
    orders,
    toDecide: port(events),
    toClient: { port: port(replies), bytes: replyBytes },
    onApplied: () => undefined,
  })
  const toOrders = port(orders)
  const run = (offset: number, sizeBytes: number, count: number, end: number): void => {
    order(toOrders, [cell.APPLY, next, sizeBytes, 1, 0, offset, 0, next + count - 1])
    stage.doWork()
    cellsOf(events)
    release(log, end)
    next += count
  }
  const put = (entries: readonly MarkedEntry[], kind: FrameKind, clientId: number): void => {
    const marks = entries.map((one) => ({ ...one, bytes: encoder.encode(one.payload) }))
    const clientSequence = clientSequences.get(clientId) ?? 1
    const head = { kind, clientId, clientSequence }
    const { offset, sizeBytes, end } = putMarked(log, marks, { ...head, first: next })
    clientSequences.set(clientId, clientSequence + marks.length)
    run(offset, sizeBytes, marks.length, end)
  }
  const answersOf = (): SessionAnswer[] => {
    const found: SessionAnswer[] = []
    for (const words of cellsOf(replies)) {
      let at = words[cell.AT_OFFSET]!
      for (let i = 0; i < words[cell.AT_FRAMES]!; i++) {
        const size = replyBytes.view.getUint32(at, true)
        const bytesAt = at + REPLY_HEADER_SIZE_BYTES
        found.push(decodeAnswer(replyBytes.bytes.slice(bytesAt, bytesAt + size)))
        at += replySizeOf(size)
      }
      if (words[2]! > 0) release(replyBytes, words[7]!)
    }
    return found
  }
  const give = (entries: readonly MarkedEntry[], kind: FrameKind = FRAME_KIND.entries) => {
    put(entries, kind, OWN)
    return answersOf()
  }
  const command = (code: Command, session = 0, sequence = 0): SessionAnswer => {
    const payload = decoder.decode(commandBytes(code))
    return give([{ session, sequence, payload }], FRAME_KIND.session)[0]!
  }
  return {
    get next() {
      return next
    },
    get saved() {
      return saveSessions(sessions)
    },
    ...{ applied, batches, check, give, command },
    giveForeign: (entries) => put(entries, FRAME_KIND.entries, OWN + 1),
    givePlain(payloads) {
      const { frame, place } = putFrame(log, payloads, { first: next, clientId: OWN + 2 })
      run(place.offset, frame.sizeBytes, payloads.length, place.end)
    },
    open: () => command(COMMAND.open).index,
  }
}

function putMarked(
  log: LogRing,
  entries: readonly { session: number; sequence: number; bytes: Uint8Array }[],
  fields: { kind: FrameKind; first: number; clientId: number; clientSequence: number },
) {
  const { first, ...head } = fields
  const bodySizeBytes = entries.reduce((sum, { bytes }) => sum + entrySizeOf(bytes.length, true), 0)
  const sizeBytes = frameSizeOf(bodySizeBytes)
  const offset = tryClaim(log, sizeBytes)
  let at = offset + FRAME_HEADER_SIZE_BYTES
  for (const { session, sequence, bytes } of entries) {
    at = writeSessionEntry(log.bytes, log.view, at, session, sequence, bytes)
  }
  const flags = FRAME_FLAG_SESSIONS
  writeFrameHeader(log.view, offset, { ...head, flags, bodySizeBytes, count: entries.length })
  stampFrame(log.bytes, log.view, offset, 65_537 as Ballot, first as LogIndex)
  return { offset, sizeBytes, end: publish(log, sizeBytes) }
}

/** The names of verdicts, for reading a failure. */
export const verdictsOf = (answers: readonly SessionAnswer[]): string[] =>
  answers.map(({ verdict }) => NAMES.get(verdict)!)

const NAMES = new Map<number, string>(Object.entries(VERDICT).map(([name, code]) => [code, name]))

export const textOfAnswer = ({ result }: SessionAnswer): string | null =>
  result === null ? null : decoder.decode(result)
