import { expect, test } from 'vitest'
import { loadSessions, saveSessions } from '../../src/stages/session-bytes.ts'
import {
  SEQUENCE_STRIDE,
  SESSION_LIMITS,
  type SessionLimits,
  type SessionTable,
  VERDICT,
  answerOf,
  closeSession,
  createSessionTable,
  fenceSession,
  keepAnswer,
  openSession,
  tryAdmit,
  useSession,
  verdictOf,
} from '../../src/stages/session-table.ts'
import { type Random, below, chance, createRandom, pick } from '../support/random.ts'

const LIMITS: SessionLimits = { sessionsMax: 4, answersMax: 5, answersSizeBytesMax: 40, gapsMax: 2 }
const { applied, repeated, answerExpired, forgotten } = VERDICT
const { outOfOrder, fenced, sessionUnknown } = VERDICT

/** One entry at a log index, as the apply stage does it; its result is `size` times its index. */
function enter(table: SessionTable, index: number, id: number, sequence: number, size = 1): number {
  const session = useSession(table, id, index)
  if (session === undefined) return sessionUnknown
  if (!tryAdmit(session, sequence)) return verdictOf(session, sequence)
  keepAnswer(table, session, { sequence, index, result: new Uint8Array(size).fill(index & 255) })
  return applied
}
function decide(table: SessionTable, index: number, id: number, sequence: number): number {
  const session = useSession(table, id, index)
  return session === undefined ? sessionUnknown : fenceSession(table, session, sequence)
}
function opened(limits: Partial<SessionLimits> = {}) {
  const table = createSessionTable({ ...LIMITS, ...limits })
  openSession(table, 10)
  return table
}
const sequences = (from: number, through: number): number[] =>
  Array.from({ length: through - from + 1 }, (_, i) => from + i)

test('only the next sequence takes effect, and only once', () => {
  const table = opened()
  const verdicts = [1, 1, 3, 2, 3, 3, 2].map((sequence, i) => enter(table, 11 + i, 10, sequence))
  expect(verdicts).toEqual([applied, repeated, outOfOrder, applied, applied, repeated, repeated])
  expect(answerOf(table.sessions.get(10)!, 2)).toMatchObject({ index: 14, sequence: 2 })
})

test('sessions do not see each other; one that was never opened is not made by an entry', () => {
  const table = opened()
  openSession(table, 11)
  expect([enter(table, 12, 10, 1), enter(table, 13, 11, 1)]).toEqual([applied, applied])
  expect([enter(table, 14, 12, 1), enter(table, 15, 0, 1)]).toEqual([
    sessionUnknown,
    sessionUnknown,
  ])
  expect(table.sessions.size).toBe(2)
})

test('R36: what a leader change lost is refused until it is retried, in any cut', () => {
  const table = opened({ answersMax: 100, answersSizeBytesMax: 100 })
  for (const sequence of sequences(1, 9)) enter(table, 10 + sequence, 10, sequence)
  const kept = sequences(20, 29).map((sequence) => enter(table, sequence, 10, sequence))
  expect(new Set(kept)).toEqual(new Set([outOfOrder]))
  const retried = sequences(5, 29).map((sequence) => enter(table, 25 + sequence, 10, sequence))
  expect(retried).toEqual([
    ...sequences(5, 9).map(() => repeated),
    ...sequences(10, 29).map(() => applied),
  ])
})

test('answers are kept up to a count and up to bytes; beyond, a retry is told so', () => {
  const count = opened()
  for (const sequence of sequences(1, 7)) enter(count, 10 + sequence, 10, sequence)
  const again = sequences(1, 7).map((sequence) => enter(count, 20, 10, sequence))
  const expired = [answerExpired, answerExpired]
  expect(again).toEqual([...expired, ...Array<number>(5).fill(repeated)])

  const bytes = opened()
  for (const sequence of sequences(1, 4)) enter(bytes, 10 + sequence, 10, sequence, 20)
  expect(sequences(1, 4).map((sequence) => enter(bytes, 20, 10, sequence))).toEqual([
    ...expired,
    ...[repeated, repeated],
  ])
  enter(bytes, 21, 10, 5, 41) // alone too large: it goes, the others stay
  expect([3, 4, 5].map((sequence) => enter(bytes, 22, 10, sequence))).toEqual([
    ...[repeated, repeated, answerExpired],
  ])
})

test('R37: the least recently used session expires, by log index, and no retry revives it', () => {
  const table = opened()
  for (const index of [11, 12, 13]) openSession(table, index)
  enter(table, 14, 10, 1)
  enter(table, 15, 11, 5) // out of order, and a sign of life all the same
  decide(table, 16, 13, 1)
  openSession(table, 17)
  expect([...table.sessions.keys()]).toEqual([10, 11, 13, 17])
  expect([enter(table, 18, 12, 1), enter(table, 19, 12, 1)]).toEqual([
    sessionUnknown,
    sessionUnknown,
  ])
  expect([closeSession(table, 11), closeSession(table, 11)]).toEqual([true, false])
  expect(enter(table, 20, 11, 1)).toBe(sessionUnknown)
})

test('R37: what a fence calls never has no effect, whatever surfaces later', () => {
  const table = opened()
  for (const sequence of [1, 2, 3]) enter(table, 10 + sequence, 10, sequence)
  expect([decide(table, 14, 10, 2), enter(table, 15, 10, 4)]).toEqual([repeated, applied])
  expect(decide(table, 16, 10, 7)).toBe(fenced)
  const { next } = table.sessions.get(10)!
  const late = [5, 6, 7, 8, 9, 1_000, next - 1].map((sequence) => enter(table, 17, 10, sequence))
  expect(new Set(late)).toEqual(new Set([fenced]))
  expect([5, 8, 4].map((sequence) => decide(table, 18, 10, sequence))).toEqual([
    ...[fenced, fenced, repeated],
  ])
  expect(next).toBe(8 + SEQUENCE_STRIDE)
  expect([enter(table, 19, 10, next + 1), enter(table, 20, 10, next)]).toEqual([
    ...[outOfOrder, applied],
  ])
  expect([4, next].map((sequence) => enter(table, 21, 10, sequence))).toEqual([repeated, repeated])
})

test('a second fence of the same sequence moves nothing', () => {
  const table = opened()
  decide(table, 11, 10, 1)
  const { next } = table.sessions.get(10)!
  expect([decide(table, 12, 10, 1), table.sessions.get(10)!.next]).toEqual([fenced, next])
})

test('beyond the bound of fences the oldest sequences are forgotten, never judged wrong', () => {
  const table = opened({ answersMax: 1 })
  const session = table.sessions.get(10)!
  const ends: number[] = []
  for (let index = 11; index <= 13; index++) {
    enter(table, index, 10, session.next)
    ends.push(session.next - 1)
    decide(table, index, 10, session.next)
  }
  const asked = ends.flatMap((end) => [end, end + 1])
  expect(asked.map((sequence) => enter(table, 20, 10, sequence))).toEqual([
    ...[forgotten, forgotten],
    ...[answerExpired, fenced],
    ...[repeated, fenced],
  ])
  expect(enter(table, 21, 10, 0)).toBe(forgotten)
})

test('a session whose sequences are used up is closed by its fence', () => {
  const table = opened()
  const session = table.sessions.get(10)!
  session.next = Number.MAX_SAFE_INTEGER - 2 * SEQUENCE_STRIDE
  expect(decide(table, 11, 10, session.next)).toBe(fenced)
  expect(enter(table, 12, 10, session.next)).toBe(sessionUnknown)
  const last = opened()
  last.sessions.get(10)!.next = Number.MAX_SAFE_INTEGER
  expect(enter(last, 11, 10, Number.MAX_SAFE_INTEGER)).toBe(outOfOrder)
})

test('a saved table is loaded as it was; damaged bytes are refused with a code', () => {
  const table = opened()
  openSession(table, 11)
  for (const sequence of [1, 2, 3]) enter(table, 11 + sequence, 10, sequence, sequence * 14)
  const session = useSession(table, 11, 15)!
  tryAdmit(session, 1)
  keepAnswer(table, session, { sequence: 1, index: 15, result: null })
  decide(table, 16, 11, 9)
  const bytes = saveSessions(table)
  const loaded = loadSessions(bytes, LIMITS)
  expect(saveSessions(loaded)).toEqual(bytes)
  for (const id of [10, 11]) {
    const [one, other] = [table, loaded].map((from) => from.sessions.get(id)!)
    for (const sequence of [1, 2, 3, 4, other!.next - 1]) {
      expect(verdictOf(other!, sequence)).toBe(verdictOf(one!, sequence))
      expect(answerOf(other!, sequence)).toEqual(answerOf(one!, sequence))
    }
    expect([other!.answersSizeBytes, other!.usedAt]).toEqual([one!.answersSizeBytes, one!.usedAt])
  }
  for (let size = 0; size < bytes.length; size++) {
    expect(() => loadSessions(bytes.slice(0, size))).toThrow('E_FRAME_INVALID')
  }
  expect(() => loadSessions(Uint8Array.of(...bytes, 0))).toThrow('behind the last session')
  const twice = new Uint8Array([...bytes.slice(0, 4), 2, 0, 0, 0, ...savedOne(), ...savedOne()])
  expect(() => loadSessions(twice)).toThrow('comes twice')
  expect(SESSION_LIMITS.answersMax).toBe(1_024) // of the log's meaning: a change is a new version
})

const savedOne = (): Uint8Array => saveSessions(opened()).slice(8)

// ---- Against a model that keeps everything ---------------------------------------------------

interface Told {
  readonly sequence: number
  readonly index: number
  readonly size: number
}

/** Remembers all that ever happened, and works every bound out from it each time. */
function createModel() {
  const alive = new Map<number, { next: number; usedAt: number; fences: number[][] }>()
  const executed = new Map<number, Told[]>()

  const open = (index: number): void => {
    alive.set(index, { next: 1, usedAt: index, fences: [] })
    executed.set(index, [])
    if (alive.size <= LIMITS.sessionsMax) return
    const [oldest] = [...alive].sort(([, a], [, b]) => a.usedAt - b.usedAt)
    alive.delete(oldest![0])
  }
  const enterOne = (index: number, id: number, sequence: number, size: number): number => {
    const session = alive.get(id)
    if (session === undefined) return sessionUnknown
    session.usedAt = index
    if (sequence !== session.next) return judge(id, sequence)
    session.next += 1
    executed.get(id)!.push({ sequence, index, size })
    return applied
  }
  const decideOne = (index: number, id: number, sequence: number): number => {
    const session = alive.get(id)
    if (session === undefined) return sessionUnknown
    session.usedAt = index
    if (sequence < session.next) return judge(id, sequence)
    const next = Math.max(sequence + 1, session.next) + SEQUENCE_STRIDE
    session.fences.push([session.next, next])
    session.next = next
    return fenced
  }
  /** The answers that fit, counted from the newest. */
  const keptOf = (id: number): Told[] => {
    const kept: Told[] = []
    let left = LIMITS.answersSizeBytesMax
    for (const told of executed.get(id)!.toReversed()) {
      const cost = told.size > LIMITS.answersSizeBytesMax ? 0 : told.size
      if (kept.length === LIMITS.answersMax || cost > left) break
      left -= cost
      kept.push(told)
    }
    return kept.filter(({ size }) => size <= LIMITS.answersSizeBytesMax)
  }
  const judge = (id: number, sequence: number): number => {
    const { next, fences } = alive.get(id)!
    if (sequence >= next) return outOfOrder
    if (keptOf(id).some((told) => told.sequence === sequence)) return repeated
    const forgottenFences = fences.slice(0, Math.max(0, fences.length - LIMITS.gapsMax))
    if (sequence < (forgottenFences.at(-1)?.[1] ?? 1)) return forgotten
    const isExecuted = executed.get(id)!.some((told) => told.sequence === sequence)
    return isExecuted ? answerExpired : fenced
  }
  return { alive, open, enter: enterOne, decide: decideOne, kept: keptOf }
}

/** A sequence that is worth asking for: near `next`, near a fence, or long past. */
function drawSequence(random: Random, session: { next: number; fences: number[][] }): number {
  const places = [session.next, ...session.fences.flat(), 1]
  const drawn = chance(random, 500) ? session.next : pick(random, places) + below(random, 12) - 8
  return Math.max(0, drawn)
}

test.each(sequences(1, 60))('seed %i: the table decides as a model without bounds', (seed) => {
  const random = createRandom(seed)
  const model = createModel()
  const ids: number[] = []
  let table = createSessionTable(LIMITS)
  const seen = new Set<number>()
  for (let index = 1; index <= 1_500; index++) {
    if (ids.length === 0 || chance(random, 20)) {
      openSession(table, index)
      model.open(index)
      ids.push(index)
      continue
    }
    const id = chance(random, 900) ? pick(random, ids.slice(-5)) : pick(random, ids)
    const sequence = drawSequence(random, model.alive.get(id) ?? { next: 3, fences: [] })
    if (chance(random, 10)) {
      expect(closeSession(table, id)).toBe(model.alive.delete(id))
    } else if (chance(random, 40)) {
      expect(decide(table, index, id, sequence)).toBe(model.decide(index, id, sequence))
    } else {
      const size = below(random, chance(random, 100) ? 60 : 12)
      const verdict = enter(table, index, id, sequence, size)
      const want = model.enter(index, id, sequence, size)
      if (verdict !== want) throw new Error(`index ${index}: ${verdict}, the model: ${want}`)
      seen.add(verdict)
    }
    if (chance(random, 20)) table = loadSessions(saveSessions(table), LIMITS)
    if (index % 20 === 0) checkAnswers(table, model)
  }
  expect(seen.size).toBeGreaterThanOrEqual(6)
})

function checkAnswers(table: SessionTable, model: ReturnType<typeof createModel>): void {
  expect([...table.sessions.keys()]).toEqual([...model.alive.keys()])
  for (const [id, session] of table.sessions) {
    for (const { sequence, index, size } of model.kept(id)) {
      const answer = answerOf(session, sequence)
      expect([answer?.index, answer?.result?.length]).toEqual([index, size])
    }
  }
}
