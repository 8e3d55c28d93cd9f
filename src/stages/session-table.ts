/**
 * The client sessions of a log (R36, R37): which sequence of each may take effect next, and what
 * earlier ones were answered. A function of the log alone: no clock, no chance, nothing of this
 * machine, so that every node that applies the same log holds the same table. docs/sessions.md has
 * the rules and the argument.
 *
 *     sequences of one session
 *     1 ......... from ......... | gap: never |  .... kept answers .... next ......
 *     forgotten   committed,                     committed, answer     the one that may
 *                 answer gone                    again on retry        take effect
 *
 * Invariants: an entry takes effect exactly if its sequence is `next`, and moves it; `next` never
 * falls; a sequence below it is decided for ever; limits are the same on every node. Belongs to the
 * thread of the apply stage.
 */
import { assert } from '../base/assert.ts'
import { type Fifo, createFifo, dropFirst, peekAt, pushTo, sizeOfFifo } from '../base/fifo.ts'

/** Equal on all nodes of a cluster: a change is a change of what the log means. */
export interface SessionLimits {
  /** One more, and the session whose last entry is the oldest expires. */
  readonly sessionsMax: number
  /** Kept for retries, a session. */
  readonly answersMax: number
  readonly answersSizeBytesMax: number
  /** Fences remembered one by one, a session. */
  readonly gapsMax: number
}

export const SESSION_LIMITS: SessionLimits = {
  sessionsMax: 4_096,
  answersMax: 1_024,
  answersSizeBytesMax: 65_536,
  gapsMax: 64,
}

/** How far a fence moves `next`: more than any client has handed out and got no answer to. */
export const SEQUENCE_STRIDE = 2 ** 32

/** What became of one entry; the numbers go through the ring of answers. */
export const VERDICT = {
  /** It takes effect here. */
  applied: 1,
  /** It took effect earlier: the answer of then, and no effect. */
  repeated: 2,
  /** It took effect earlier; the answer is not kept any more. */
  answerExpired: 3,
  /** So old that the table cannot tell whether it took effect. Now it does not. */
  forgotten: 4,
  /** One before it is missing: no effect. */
  outOfOrder: 5,
  /** A fence came first: it never took effect and never will. */
  fenced: 6,
  /** Never opened, closed or expired: no effect. */
  sessionUnknown: 7,
  /** A command was carried out. */
  done: 8,
} as const
export type Verdict = (typeof VERDICT)[keyof typeof VERDICT]

export interface Answer {
  readonly sequence: number
  /** Log index of the entry that took effect. */
  readonly index: number
  readonly result: Uint8Array | null
  /** False when the result alone was too large to keep. */
  readonly isKept: boolean
}

/** Sequences that a fence decided: none of them ever takes effect. */
export interface Gap {
  readonly first: number
  readonly through: number
}

export interface SessionState {
  /** Log index of the entry that opened it; never used again. */
  readonly id: number
  /** The only sequence that may take effect. */
  next: number
  /** What is below is forgotten. */
  from: number
  /** Log index of the last entry that named it. */
  usedAt: number
  readonly answers: Fifo<Answer> // sequences ascend
  answersSizeBytes: number
  readonly gaps: Gap[] // ascending, between `from` and `next`
}

export interface SessionTable {
  readonly limits: SessionLimits
  readonly sessions: Map<number, SessionState> // by id, in order of opening
}

export const createSessionTable = (limits: SessionLimits = SESSION_LIMITS): SessionTable => ({
  limits,
  sessions: new Map(),
})

/** Opens the session `index`; expires the least recently used one if there are too many. */
export function openSession({ sessions, limits }: SessionTable, index: number): SessionState {
  assert(!sessions.has(index), 'a log index is applied once')
  const session: SessionState = {
    ...{ id: index, next: 1, from: 1, usedAt: index },
    ...{ answers: createFifo<Answer>(), answersSizeBytes: 0, gaps: [] },
  }
  sessions.set(index, session)
  if (sessions.size > limits.sessionsMax) sessions.delete(leastRecentlyUsed(sessions).id)
  return session
}

function leastRecentlyUsed(sessions: ReadonlyMap<number, SessionState>): SessionState {
  let oldest: SessionState | null = null
  for (const session of sessions.values()) {
    if (oldest === null || session.usedAt < oldest.usedAt) oldest = session
  }
  assert(oldest !== null, 'a full table has sessions')
  return oldest
}

/** The session that an entry at `index` names, now used; a retry never brings one back. */
export function useSession(
  { sessions }: SessionTable,
  id: number,
  index: number,
): SessionState | undefined {
  const session = sessions.get(id)
  if (session !== undefined) session.usedAt = index
  return session
}

export const closeSession = ({ sessions }: SessionTable, id: number): boolean => sessions.delete(id)

/** True: the entry takes effect, and the caller keeps its answer once it has it. */
export function tryAdmit(session: SessionState, sequence: number): boolean {
  if (sequence !== session.next || sequence === Number.MAX_SAFE_INTEGER) return false
  session.next += 1
  return true
}

/** What is said of an entry that was not admitted; answers of those admitted are kept by now. */
export function verdictOf(session: SessionState, sequence: number): Verdict {
  if (sequence >= session.next) return VERDICT.outOfOrder
  if (answerOf(session, sequence) !== null) return VERDICT.repeated
  if (sequence < session.from) return VERDICT.forgotten
  for (const { first, through } of session.gaps) {
    if (sequence >= first && sequence <= through) return VERDICT.fenced
  }
  return VERDICT.answerExpired
}

/** The kept answer of a sequence. */
export function answerOf({ answers }: SessionState, sequence: number): Answer | null {
  let low = 0
  let high = sizeOfFifo(answers)
  while (low < high) {
    const middle = (low + high) >>> 1
    if (peekAt(answers, middle)!.sequence < sequence) low = middle + 1
    else high = middle
  }
  const found = peekAt(answers, low)
  return found !== undefined && found.sequence === sequence && found.isKept ? found : null
}

/** Keeps the answer of an admitted entry, in order of sequence; the oldest ones make room. */
export function keepAnswer(
  { limits }: SessionTable,
  session: SessionState,
  { sequence, index, result }: Omit<Answer, 'isKept'>,
): void {
  const { answers } = session
  const newest = peekAt(answers, sizeOfFifo(answers) - 1)
  assert(sequence < session.next, 'only what was admitted has an answer')
  assert(newest === undefined || newest.sequence < sequence, 'answers are kept in order')
  const isKept = (result?.length ?? 0) <= limits.answersSizeBytesMax
  pushTo(answers, { sequence, index, result: isKept ? result : null, isKept })
  session.answersSizeBytes += isKept ? (result?.length ?? 0) : 0
  while (
    sizeOfFifo(answers) > limits.answersMax ||
    session.answersSizeBytes > limits.answersSizeBytesMax
  ) {
    session.answersSizeBytes -= peekAt(answers)!.result?.length ?? 0
    dropFirst(answers, 1)
  }
}

/**
 * Decides the sequence for ever. One that may still take effect is fenced, together with all that
 * the client can have handed out by now: `next` moves beyond them, and what surfaces later finds
 * itself below it. A session whose sequences are used up is closed instead, which no entry passes.
 * @returns what is true of the sequence from here on: never outOfOrder
 */
export function fenceSession(
  table: SessionTable,
  session: SessionState,
  sequence: number,
): Verdict {
  if (sequence < session.next) return verdictOf(session, sequence)
  const next = Math.max(session.next, sequence + 1) + SEQUENCE_STRIDE
  if (next + SEQUENCE_STRIDE > Number.MAX_SAFE_INTEGER) {
    closeSession(table, session.id)
    return VERDICT.fenced
  }
  session.gaps.push({ first: session.next, through: next - 1 })
  session.next = next
  if (session.gaps.length > table.limits.gapsMax) {
    session.from = session.gaps.shift()!.through + 1
  }
  return VERDICT.fenced
}
