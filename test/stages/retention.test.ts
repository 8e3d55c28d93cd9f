import { expect, test } from 'vitest'
import {
  type Keeper,
  type Known,
  type RetentionLimits,
  createRetention,
  keepBehind,
  noteAppended,
  safeThrough,
  tendLog,
  trimmable,
} from '../../src/stages/retention.ts'

const LIMITS: RetentionLimits = {
  retainBytes: 100,
  laggardBytesMax: 200,
  loggerBytesMax: 600,
  isStrict: false,
}

/** Ten stretches of 100 bytes and 10 indexes. */
function ten(limits: Partial<RetentionLimits>) {
  const retention = createRetention({ ...LIMITS, ...limits }, [], 100)
  for (let i = 1; i <= 10; i++) noteAppended(retention, 10 * i, 100)
  return retention
}

const data = (known: Partial<Known>): Known => ({ ...safeThrough(100), ...known })
const logger = (known: Partial<Known>): Known => ({
  ...safeThrough(100),
  ...{ keepsState: false, applied: 0 },
  ...known,
})

test.each<[what: string, limits: Partial<RetentionLimits>, known: Known, through: number]>([
  ['a node with state keeps all of it by default', { retainBytes: 0 }, data({}), 0],
  ['else so much behind what it applied', {}, data({}), 90],
  ['but nothing that it has not applied', {}, data({ applied: 30 }), 30],
  ['nor what it does not know chosen', {}, data({ chosen: 25 }), 20],
  ['nor what its snapshots do not stand for', {}, data({ snapshot: 45 }), 40],
  ['for a member that lags it keeps more', {}, data({ held: 20 }), 70],
  ['and not less than the member lacks', { laggardBytesMax: 2_000 }, data({ held: 20 }), 20],
  ['what it has not applied stays beyond the bound too', {}, data({ held: 0, applied: 40 }), 40],
  ['a Logger keeps nothing that all hold', { retainBytes: 0 }, logger({}), 100],
  ['unless it is asked to', {}, logger({}), 90],
  ['for a learner that lags it keeps more', {}, logger({ held: 20 }), 70],
  ['for a voter more than that', {}, logger({ held: 20, heldByData: 20 }), 40],
  ['and nothing above what the leader holds', {}, voterAway({ leaderHolds: 30 }), 30],
  ['or what it does not know chosen', {}, voterAway({ chosen: 10 }), 10],
  ['if strict, it keeps what a voter lacks', { isStrict: true }, voterAway({}), 20],
])('%s', (_what, limits, known, through) => {
  expect(trimmable(ten(limits), known)).toBe(through)
})

function voterAway(known: Partial<Known>): Known {
  return logger({ held: 0, heldByData: 20, ...known })
}

function keeper() {
  const said: string[] = []
  const tell: Keeper = {
    onTrim: (through) => void said.push(`trim ${String(through)}`),
    onEvent: (name, value) => void said.push(`${name} ${String(value)}`),
    onFull: (isFull) => void said.push(`full ${String(isFull)}`),
  }
  return { said, tell }
}

test('less tolerance is told when it begins, each time it gets less, and when it is back', () => {
  const { said, tell } = keeper()
  const retention = ten({})
  tendLog(retention, voterAway({}), tell)
  tendLog(retention, voterAway({}), tell)
  for (let i = 11; i <= 12; i++) noteAppended(retention, 10 * i, 100)
  tendLog(retention, { ...voterAway({}), chosen: 120, leaderHolds: 120 }, tell)
  tendLog(retention, logger({ chosen: 120, held: 60, heldByData: 60 }), tell)
  expect(said).toEqual([
    ...['trim 40', 'tolerance-reduced 40', 'trim 60', 'tolerance-reduced 60'],
    'tolerance-restored 60',
  ])
})

test('a strict log is full above its bound, and not before a part of it is free again', () => {
  const { said, tell } = keeper()
  const retention = ten({ isStrict: true })
  const away = voterAway({})
  tendLog(retention, away, tell)
  expect(said).toEqual(['trim 20', 'full true']) // 800 bytes are left
  tendLog(retention, { ...away, heldByData: 40 }, tell)
  expect(said.slice(2)).toEqual(['trim 40']) // 600: the bound itself
  tendLog(retention, { ...away, heldByData: 50 }, tell)
  expect(said.slice(3)).toEqual(['trim 50', 'full false'])
})

test('what a restart finds on the disk counts as much as what is appended', () => {
  const found = [
    { through: 50, sizeBytes: 500 },
    { through: 60, sizeBytes: 100 },
  ]
  const retention = createRetention(LIMITS, found, 100)
  noteAppended(retention, 70, 100)
  expect(trimmable(retention, data({}))).toBe(60)
})

test('a log that is never trimmed costs no memory without bound', () => {
  const retention = createRetention(keepBehind(0), [], 1)
  for (let i = 1; i <= 100_000; i++) noteAppended(retention, i, 1)
  expect(retention.marks.length).toBeLessThanOrEqual(8_192)
  expect(retention.marks.at(-1)!.through).toBeGreaterThan(99_000)
})
