import { expect, test } from 'vitest'
import { FRAME_KIND } from '../../src/codec/frame.ts'
import { COMMAND } from '../../src/stages/session-bytes.ts'
import { SESSION_LIMITS } from '../../src/stages/session-table.ts'
import { type Random, below, between, chance, createRandom } from '../support/random.ts'
import {
  type MarkedEntry,
  type SessionLog,
  openSessionLog,
  textOfAnswer,
  verdictsOf,
} from '../support/session-log.ts'

const entry = (session: number, sequence: number): MarkedEntry => ({
  ...{ session, sequence, payload: `${session}/${sequence}` },
})
const entries = (session: number, from: number, through: number): MarkedEntry[] =>
  Array.from({ length: through - from + 1 }, (_, i) => entry(session, from + i))
const allOf = (name: string, count: number): string[] => Array<string>(count).fill(name)

test('the state machine sees what takes effect, as runs with their log indexes', () => {
  const log = openSessionLog()
  const [a, b] = [log.open(), log.open()]
  log.givePlain(['plain'])
  const mixed = [entry(a, 1), entry(b, 1), entry(a, 1), entry(a, 2), entry(b, 7), entry(b, 2)]
  const answers = log.give(mixed)
  const at = log.next - mixed.length
  expect(verdictsOf(answers)).toEqual([
    ...['applied', 'applied', 'repeated', 'applied', 'outOfOrder', 'applied'],
  ])
  expect(log.applied).toEqual([
    '3:plain',
    ...[`${at}:1/1`, `${at + 1}:2/1`, `${at + 3}:1/2`, `${at + 5}:2/2`],
  ])
  expect(log.batches).toEqual([1, 2, 1, 1])
  expect(answers.map(({ index }) => index)).toEqual([at, at + 1, at, at + 3, at + 4, at + 5])
  expect(textOfAnswer(answers[2]!)).toBe('ok 1/1')
  expect(answers[4]!.next).toBe(2)
})

test('T38: a retry after a leader change has the same answer and no second effect', () => {
  const log = openSessionLog()
  const id = log.open()
  log.giveForeign(entries(id, 1, 4)) // proposed by a node that is gone
  const before = [...log.applied]
  const answers = log.give(entries(id, 2, 5))
  expect(verdictsOf(answers)).toEqual([...allOf('repeated', 3), 'applied'])
  expect(answers.map(textOfAnswer)).toEqual(['ok 1/2', 'ok 1/3', 'ok 1/4', 'ok 1/5'])
  expect(answers.map(({ index }) => index)).toEqual([3, 4, 5, log.next - 1])
  expect(log.applied).toEqual([...before, `${log.next - 1}:1/5`])
  expect([log.check.gaps, log.check.duplicates]).toEqual([0, 0])
})

test('R36: a leader change drops [10-19] and keeps [20-29]; a retry comes in other frames', () => {
  const log = openSessionLog()
  const id = log.open()
  log.giveForeign(entries(id, 1, 9))
  log.giveForeign(entries(id, 20, 29))
  expect(log.applied).toHaveLength(9)
  const sizes = [7, 1, 13]
  const told: string[] = []
  for (let from = 9; sizes.length > 0; from += sizes.shift()!) {
    told.push(...verdictsOf(log.give(entries(id, from, from + sizes[0]! - 1))))
  }
  expect(told).toEqual(['repeated', ...allOf('applied', 20)])
  const payloads = log.applied.map((one) => one.split(':')[1])
  expect(payloads).toEqual(entries(id, 1, 29).map(({ payload }) => payload))
  log.giveForeign(entries(id, 10, 19)) // what was thought lost surfaces after all
  expect(log.applied).toHaveLength(29)
})

test('R37: an old frame that surfaces behind `never` has no effect', () => {
  const log = openSessionLog()
  const id = log.open()
  log.give(entries(id, 1, 3))
  expect(verdictsOf([log.command(COMMAND.decide, id, 2)])).toEqual(['repeated'])
  expect(verdictsOf([log.command(COMMAND.decide, id, 5)])).toEqual(['fenced'])
  const { next } = log.command(COMMAND.decide, id, 5)
  log.giveForeign(entries(id, 4, 9))
  expect(verdictsOf(log.give(entries(id, 3, 6)))).toEqual(['repeated', ...allOf('fenced', 3)])
  expect(log.applied).toHaveLength(3)
  expect(verdictsOf(log.give(entries(id, next, next + 1)))).toEqual(allOf('applied', 2))
})

test('R37: an expired or closed session is refused, and never made again by a retry', () => {
  const log = openSessionLog({ ...SESSION_LIMITS, sessionsMax: 2 })
  const [a, b] = [log.open(), log.open()]
  log.give([entry(a, 1)])
  const c = log.open()
  expect(verdictsOf(log.give([entry(a, 2), entry(b, 1), entry(b, 1), entry(c, 1)]))).toEqual([
    ...['applied', 'sessionUnknown', 'sessionUnknown', 'applied'],
  ])
  expect(verdictsOf([log.command(COMMAND.decide, b, 1)])).toEqual(['sessionUnknown'])
  expect(verdictsOf([log.command(COMMAND.close, a)])).toEqual(['done'])
  expect(verdictsOf([log.command(COMMAND.close, a), ...log.give([entry(a, 3)])])).toEqual([
    ...['sessionUnknown', 'sessionUnknown'],
  ])
})

test('answers without a result, empty ones and large ones are told as they were', () => {
  const results: Readonly<Record<string, string | null>> = {
    ...{ '1/1': null, '1/2': '', '1/3': 'x'.repeat(SESSION_LIMITS.answersSizeBytesMax + 1) },
  }
  const log = openSessionLog(SESSION_LIMITS, (given) => results[given]!)
  const id = log.open()
  const wanted = [null, '', results['1/3']]
  expect(log.give(entries(id, 1, 3)).map(textOfAnswer)).toEqual(wanted)
  const again = log.give(entries(id, 1, 3))
  expect(verdictsOf(again)).toEqual(['repeated', 'repeated', 'answerExpired'])
  expect(again.slice(0, 2).map(textOfAnswer)).toEqual([null, ''])
})

test('a frame is whole entries, and a command is one of this version', () => {
  const strange = (payload: string) => () =>
    openSessionLog().give([{ session: 0, sequence: 0, payload }], FRAME_KIND.session)
  expect(strange('\x04')).toThrow('a command of this version')
  expect(strange('\x01\x01')).toThrow('a command is its code')
})

test('of the protocol: a config frame takes its indexes and says nothing', () => {
  const log = openSessionLog()
  const id = log.open()
  expect(log.give([entry(id, 1)], FRAME_KIND.config)).toEqual([])
  expect(verdictsOf(log.give([entry(id, 1)]))).toEqual(['applied'])
  expect(log.applied).toEqual([`${log.next - 1}:1/1`])
})

// ---- Any cut of the same log is the same state ------------------------------------------------

type Step =
  | { readonly kind: 'entry'; readonly marked: MarkedEntry }
  | { readonly kind: 'command'; readonly command: 1 | 2 | 3; readonly mark: [number, number] }

/** Sessions that pipeline, retry from some point back, skip ahead, fence and close. */
function drawLog(random: Random): Step[] {
  const steps: Step[] = []
  const next = new Map<number, number>()
  for (let index = 1; index <= 300; index++) {
    const ids = [...next.keys()]
    if (ids.length === 0 || chance(random, 30)) {
      next.set(index, 1)
      steps.push({ kind: 'command', command: COMMAND.open, mark: [0, 0] })
      continue
    }
    const id = ids[below(random, ids.length)]!
    const at = next.get(id)!
    if (chance(random, 20)) {
      const command = chance(random, 300) ? COMMAND.close : COMMAND.decide
      steps.push({ kind: 'command', command, mark: [id, at + below(random, 3)] })
      continue
    }
    const sequence = chance(random, 600) ? at : Math.max(1, at + between(random, -6, 2))
    next.set(id, Math.max(at, sequence + 1))
    steps.push({ kind: 'entry', marked: entry(id, sequence) })
  }
  return steps
}

/** Gives the log in frames of drawn sizes; commands of ours are frames of one. */
function giveCut(log: SessionLog, steps: readonly Step[], random: Random, max: number): string[] {
  const told: string[] = []
  let open: MarkedEntry[] = []
  const flush = (): void => {
    if (open.length > 0) {
      const answers = log.give(open)
      told.push(...answers.map((one) => JSON.stringify(one)))
    }
    open = []
  }
  for (const step of steps) {
    if (step.kind === 'entry') open.push(step.marked)
    if (open.length >= between(random, 1, max)) flush()
    if (step.kind === 'entry') continue
    flush()
    told.push(JSON.stringify(log.command(step.command, ...step.mark)))
  }
  flush()
  return told
}

const SEEDS = Array.from({ length: 40 }, (_, i) => i + 1)

test.each(SEEDS)(
  'seed %i: however frames are cut, effects, answers and table are equal',
  (seed) => {
    const steps = drawLog(createRandom(seed))
    const limits = { sessionsMax: 4, answersMax: 6, answersSizeBytesMax: 64, gapsMax: 2 }
    const outcomes = [1, 4, 50].map((max) => {
      const log = openSessionLog(limits)
      const told = giveCut(log, steps, createRandom(seed + max), max)
      const { gaps, duplicates } = log.check
      return { told, applied: log.applied, saved: log.saved, gaps, duplicates }
    })
    expect(outcomes[1]).toEqual(outcomes[0])
    expect(outcomes[2]).toEqual(outcomes[0])
    expect(outcomes[0]).toMatchObject({ gaps: 0, duplicates: 0 })
    const payloads = outcomes[0]!.applied.map((one) => one.split(':')[1])
    expect(new Set(payloads).size).toBe(payloads.length)
  },
)
