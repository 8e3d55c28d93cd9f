/**
 * What docs/sessions.md promises, written apart from src/stages/session-table.ts so that each can
 * convict the other: which entries of sessions take effect, and what each is answered. Forgets
 * nothing that the rules do not forget. Pure.
 */
import { COMMAND } from '../stages/session-bytes.ts'
import { SEQUENCE_STRIDE, type SessionLimits, VERDICT } from '../stages/session-table.ts'
import { demand } from './invariants.ts'

/** What an entry of a session is answered. */
export interface Said {
  readonly verdict: number
  readonly index: number
  readonly next: number
  readonly result: Uint8Array | null
}

interface Kept {
  readonly sequence: number
  readonly index: number
  readonly result: Uint8Array
}

interface Book {
  readonly id: number
  next: number
  usedAt: number
  /** Oldest first. */
  kept: Kept[]
  fences: { readonly from: number; readonly through: number }[]
  /** Sequences below it are behind too many fences. */
  forgotten: number
}

export interface SessionRules {
  readonly limits: SessionLimits
  readonly books: Map<number, Book>
}

export const createSessionRules = (limits: SessionLimits): SessionRules => ({
  limits,
  books: new Map(),
})

/** @param execute makes the entry take effect, and returns the result of the state machine */
export function ruleEntry(
  { books, limits }: SessionRules,
  { session, sequence, index }: { session: number; sequence: number; index: number },
  execute: () => Uint8Array,
): Said {
  const book = books.get(session)
  if (book === undefined) return say(VERDICT.sessionUnknown, index, 0)
  book.usedAt = index
  if (sequence === book.next) {
    const result = execute()
    book.next += 1
    book.kept.push({ sequence, index, result })
    if (book.kept.length > limits.answersMax) book.kept.shift()
    while (sizeOf(book.kept) > limits.answersSizeBytesMax) book.kept.shift()
    return { ...say(VERDICT.applied, index, book.next), result }
  }
  const kept = book.kept.find((one) => one.sequence === sequence)
  if (kept === undefined) return say(verdictOf(book, sequence), index, book.next)
  return { ...say(VERDICT.repeated, kept.index, book.next), result: kept.result }
}

const sizeOf = (kept: readonly Kept[]): number =>
  kept.reduce((sum, { result }) => sum + result.length, 0)

const say = (verdict: number, index: number, next: number): Said => ({
  ...{ verdict, index, next },
  result: null,
})

function verdictOf(book: Book, sequence: number): number {
  if (sequence > book.next) return VERDICT.outOfOrder
  if (sequence < book.forgotten) return VERDICT.forgotten
  const isFenced = book.fences.some(({ from, through }) => from <= sequence && sequence <= through)
  return isFenced ? VERDICT.fenced : VERDICT.answerExpired
}

export function ruleCommand(
  rules: SessionRules,
  code: number,
  { session, sequence, index }: { session: number; sequence: number; index: number },
): Said {
  const { books, limits } = rules
  if (code === COMMAND.open) {
    open(rules, index)
    return say(VERDICT.done, index, 1)
  }
  const book = books.get(session)
  if (book === undefined) return say(VERDICT.sessionUnknown, index, 0)
  if (code === COMMAND.close) {
    books.delete(session)
    return say(VERDICT.done, index, 0)
  }
  demand(code === COMMAND.decide, 'I10', `no command has the code ${code}`)
  book.usedAt = index
  if (sequence < book.next) {
    const isKept = book.kept.some((one) => one.sequence === sequence)
    return say(isKept ? VERDICT.repeated : verdictOf(book, sequence), index, book.next)
  }
  const from = book.next
  book.next = Math.max(from, sequence + 1) + SEQUENCE_STRIDE
  book.fences.push({ from, through: book.next - 1 })
  if (book.fences.length > limits.gapsMax) book.forgotten = book.fences.shift()!.through + 1
  return say(VERDICT.fenced, index, book.next)
}

/** Who has been silent for longest goes first. */
function open({ books, limits }: SessionRules, index: number): void {
  const fresh = { id: index, next: 1, usedAt: index, kept: [], fences: [], forgotten: 1 }
  books.set(index, fresh)
  if (books.size <= limits.sessionsMax) return
  const [oldest] = [...books.values()].sort((a, b) => a.usedAt - b.usedAt)
  books.delete(oldest!.id)
}
