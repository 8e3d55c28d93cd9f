/** The promised figures: judged from trials that a test makes up. */
import { expect, test } from 'vitest'
import type { BenchConfig, RunTrial } from '../../native-free-bench/types.ts'
import { figureOf } from '../../native-free-bench/verify/figure.ts'
import { ROWS } from '../../native-free-bench/verify/rows.ts'
import { isVerified, runVerify, verifyText } from '../../native-free-bench/verify/run-verify.ts'
import { hooksOf, trialOf } from './report-fixtures.ts'

const OPTIONS = { rounds: 3, durationS: 1, warmupS: 0, dataDir: null }
const row = (name: string) => ROWS.filter((one) => one.name === name)

/** Trials whose throughput is by engine. */
const trialsOf =
  (perS: Readonly<Record<string, number>>, seen: BenchConfig[] = []): RunTrial =>
  (config) => {
    seen.push(config)
    return Promise.resolve(trialOf(perS[config.engine]!, 100))
  }

test('a ratio is of trials of one round, which go forth and back', async () => {
  const seen: BenchConfig[] = []
  const run = trialsOf({ limit: 100, xpaxos: 60 }, seen)
  const result = await runVerify(row('memory-16'), OPTIONS, hooksOf(), run)
  expect(seen.map(({ engine }) => engine)).toEqual([
    ...['limit', 'xpaxos', 'xpaxos', 'limit', 'limit', 'xpaxos'],
  ])
  expect(result.figures).toMatchObject([{ values: [0.6, 0.6, 0.6], isKept: true, bound: 0.5 }])
  expect(isVerified(result)).toBe(true)
})

test('a figure that is not kept fails, and stands out in the table', async () => {
  const run = trialsOf({ limit: 100, xpaxos: 60 })
  const result = await runVerify(row('memory-1024'), OPTIONS, hooksOf(), run)
  expect(isVerified(result)).toBe(false)
  expect(verifyText(result)).toMatch(/memory-1024 +xpaxos >= 0.8 x limit +0.60 +0.60 +0.60 +NO/)
})

test('a violation of any trial fails, whatever the figures are', async () => {
  const safety = { ...trialOf(1, 100).safety, violations: 1, violationDetails: ['lost'] }
  const run: RunTrial = () => Promise.resolve(trialOf(1, 100, { safety }))
  const result = await runVerify(row('memory-16'), OPTIONS, hooksOf(), run)
  expect(result.violations).not.toEqual([])
  expect(isVerified(result)).toBe(false)
})

test('an interrupt keeps the rows that are complete', async () => {
  const abort = new AbortController()
  let trials = 0
  const run: RunTrial = () => {
    if (++trials === 8) abort.abort()
    return Promise.resolve(trialOf(1, 100))
  }
  const rows = [...row('memory-16'), ...row('tcp-16')]
  const result = await runVerify(rows, OPTIONS, hooksOf(abort.signal), run)
  expect(result.figures.map(({ name }) => name)).toEqual(['memory-16'])
  expect([result.partial, isVerified(result)]).toEqual([true, false])
})

test('above 30 k values/s the ratio to limit decides for the baseline', async () => {
  const fast = trialsOf({ 'basic-paxos': 40_000, xpaxos: 6e6, limit: 1e7 })
  const slow = trialsOf({ 'basic-paxos': 25_000, xpaxos: 6e6, limit: 1e7 })
  const figures = async (run: RunTrial) =>
    (await runVerify(row('basic-paxos-best'), OPTIONS, hooksOf(), run)).figures[1]!
  expect(await figures(fast)).toMatchObject({ bound: 0.5, isKept: true })
  expect(await figures(slow)).toMatchObject({ bound: 500, isKept: false })
})

test('the median decides, in the sense that was promised', () => {
  const promise = { name: 'x', claim: '', bound: 2, unit: 'ratio' } as const
  expect(figureOf({ ...promise, sense: 'at most' }, [1, 2, 9]).isKept).toBe(true)
  expect(figureOf({ ...promise, sense: 'at least' }, [1, 1.9, 9]).isKept).toBe(false)
})

test('limit is judged beside the raw spike, trial by trial', async () => {
  const order: string[] = []
  const run: RunTrial = ({ engine }) => {
    order.push(engine)
    return Promise.resolve(trialOf(50, 100))
  }
  const spike = () => Promise.resolve(order.push('spike') && 100)
  const { figures } = await runVerify(row('spike-tcp'), OPTIONS, hooksOf(), run, spike)
  expect(order).toEqual(['spike', 'limit', 'limit', 'spike', 'spike', 'limit'])
  expect(figures).toMatchObject([{ values: [0.5, 0.5, 0.5], bound: 0.6, isKept: false }])
})

test('every row is measured by flags that the bench takes', async () => {
  const sample = { tS: 1, throughputPerS: 1, p99: 1, rssBytes: 1 }
  const run: RunTrial = () => Promise.resolve(trialOf(1e6, 100, { samples: [sample] }))
  const result = await runVerify(ROWS, { ...OPTIONS, rounds: 1 }, hooksOf(), run, () =>
    Promise.resolve(1e6),
  )
  expect(new Set(result.figures.map(({ name }) => name)).size).toBe(result.figures.length)
  expect(result.figures.length).toBeGreaterThanOrEqual(ROWS.length)
})
