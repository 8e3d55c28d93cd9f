/**
 * Executes frames with sessions, entry by entry through the session table (R36): the state machine
 * sees only what takes effect, as runs of consecutive entries with their right log indexes. Every
 * node keeps the answers, whoever proposed, since any of them may lead when the retry comes.
 *
 *     frame    | a 1 | b 7 | a 1 | a 2 |      session and sequence of each entry
 *     runs     |-----------|     |-----|      one ApplyBatch each
 *     a 1 again: its answer of the first run
 *
 * Invariants: a run ends before an entry that takes no effect, so that a retry finds the answer of
 * an earlier entry of its own frame. Part of the apply stage, on its thread; other frames never
 * come here.
 */
import { assert, unreachable } from '../base/assert.ts'
import {
  ENTRY_SESSION_SIZE_BYTES,
  FRAME_FLAG_SESSIONS,
  FRAME_KIND,
  type FrameCursor,
  type FrameHeader,
  enterFrame,
  nextEntry,
  openFrameCursor,
} from '../codec/frame.ts'
import type { LogRing } from '../ring/log-ring.ts'
import type { FrameBatch, Reply } from './frame-batch.ts'
import { COMMAND, type SessionAnswer, commandOf, encodeAnswer } from './session-bytes.ts'
import {
  type SessionState,
  type SessionTable,
  VERDICT,
  answerOf,
  closeSession,
  fenceSession,
  keepAnswer,
  openSession,
  tryAdmit,
  useSession,
  verdictOf,
} from './session-table.ts'
import { type VoidEntries, noteVoid } from './void-entries.ts'

const LENGTH_SIZE_BYTES = 4

export interface SessionFrames {
  /** @param answers where this node's own client is told, an answer an entry; null: elsewhere */
  apply(
    log: LogRing,
    at: number,
    first: number,
    header: Readonly<FrameHeader>,
    answers: Reply[] | null,
  ): void
}

/** Admitted entries that the state machine has not seen yet; they lie behind each other. */
interface Run {
  first: number
  count: number
  body: number
  end: number
  /** Of entry i, for i below `count`. */
  readonly sessions: SessionState[]
  readonly sequences: number[]
}

/**
 * @param execute runs the state machine on `batch`
 * @param voids where entries without effect are noted; null: nobody asks
 */
export function createSessionFrames(
  table: SessionTable,
  batch: FrameBatch,
  execute: () => void,
  voids: VoidEntries | null = null,
): SessionFrames {
  const cursor = openFrameCursor(new DataView(new ArrayBuffer(0)))
  const run: Run = { first: 0, count: 0, body: 0, end: 0, sessions: [], sequences: [] }

  /** Executes the run, and keeps what it was answered. */
  const endRun = (log: LogRing, answers: Reply[] | null): void => {
    if (run.count === 0) return
    const replies: Reply[] = []
    batch.enterRun(log, run, replies)
    execute()
    const results = new Array<Uint8Array | null>(run.count).fill(null)
    for (const { place, bytes } of replies) results[place - run.first] = bytes
    for (let i = 0; i < run.count; i++) {
      const index = run.first + i
      const sequence = run.sequences[i]!
      const result = results[i]!
      keepAnswer(table, run.sessions[i]!, { sequence, index, result })
      tell(answers, index, { verdict: VERDICT.applied, index, next: sequence + 1, result })
    }
    run.count = 0
    run.sessions.length = 0
    run.sequences.length = 0
  }
  const addToRun = (session: SessionState, index: number): void => {
    if (run.count === 0) {
      run.first = index
      run.body = cursor.payloadOffset - LENGTH_SIZE_BYTES - ENTRY_SESSION_SIZE_BYTES
    }
    run.sessions.push(session)
    run.sequences.push(cursor.sequence)
    run.count += 1
    run.end = cursor.at
  }
  const applyEntries = (log: LogRing, first: number, answers: Reply[] | null): void => {
    for (let index = first; nextEntry(cursor); index++) {
      const session = useSession(table, cursor.clientId, index)
      if (session !== undefined && tryAdmit(session, cursor.sequence)) {
        addToRun(session, index)
        continue
      }
      endRun(log, answers)
      if (voids !== null) noteVoid(voids, index)
      tell(answers, index, refusalOf(session, cursor.sequence, index))
    }
    endRun(log, answers)
  }
  const applyCommands = (log: LogRing, first: number, answers: Reply[] | null): void => {
    for (let index = first; nextEntry(cursor); index++) {
      assert(cursor.payloadSize === 1, 'a command is its code')
      tell(answers, index, carryOut(table, log.bytes[cursor.payloadOffset]!, cursor, index))
    }
  }
  return {
    apply(log, at, first, header, answers) {
      assert((header.flags & FRAME_FLAG_SESSIONS) !== 0, 'each entry names its session')
      enterFrame(cursor, log.view, at, header)
      if (header.kind === FRAME_KIND.session) applyCommands(log, first, answers)
      else if (header.kind === FRAME_KIND.entries) applyEntries(log, first, answers)
      else return // of the protocol: takes indexes, says nothing
      assert(cursor.problem === 'ok', 'the body of a frame is whole entries')
    },
  }
}

/** What the client of an entry without an effect is told. */
function refusalOf(
  session: SessionState | undefined,
  sequence: number,
  index: number,
): SessionAnswer {
  if (session === undefined) return nobody(index)
  const { next } = session
  const kept = answerOf(session, sequence)
  if (kept === null) return { verdict: verdictOf(session, sequence), index, next, result: null }
  return { verdict: VERDICT.repeated, index: kept.index, next, result: kept.result }
}

const nobody = (index: number): SessionAnswer => ({
  verdict: VERDICT.sessionUnknown,
  ...{ index, next: 0, result: null },
})

function carryOut(
  table: SessionTable,
  code: number,
  { clientId, sequence }: FrameCursor,
  index: number,
): SessionAnswer {
  const command = commandOf(code)
  const done = { verdict: VERDICT.done, index, next: 0, result: null }
  switch (command) {
    case COMMAND.open:
      return { ...done, next: openSession(table, index).next }
    case COMMAND.close:
      return closeSession(table, clientId) ? done : nobody(index)
    case COMMAND.decide: {
      const session = useSession(table, clientId, index)
      if (session === undefined) return nobody(index)
      const verdict = fenceSession(table, session, sequence)
      return { verdict, index, next: session.next, result: null }
    }
    default:
      return unreachable(command)
  }
}

function tell(answers: Reply[] | null, place: number, answer: SessionAnswer): void {
  answers?.push({ place, bytes: encodeAnswer(answer) })
}
