/** What `npm run layouts` and `npm run soak` make of trials: here trials that a test makes up. */
import { expect, test } from 'vitest'
import {
  INFLIGHT,
  LAYOUTS,
  TRANSPORTS,
  layoutsText,
  runLayouts,
} from '../../native-free-bench/layouts/run-layouts.ts'
import type { BenchConfig, RunTrial, Sample, TrialResult } from '../../native-free-bench/types.ts'
import { createLab } from '../../native-free-bench/verify/lab.ts'
import { runVerify } from '../../native-free-bench/verify/run-verify.ts'
import { growthOf, soakRow } from '../../native-free-bench/verify/soak-row.ts'
import { hooksOf, trialOf } from './report-fixtures.ts'

const OPTIONS = { rounds: 2, durationS: 1, warmupS: 0, dataDir: null }

test('every layout is measured under every load, forth and back', async () => {
  const seen: BenchConfig[] = []
  const run: RunTrial = (config) => {
    seen.push(config)
    return Promise.resolve(trialOf(config.layout === 'split' ? 2e6 : 1e6, 100))
  }
  const result = await runLayouts(createLab(OPTIONS, hooksOf(), run))
  expect(result.rows.length).toBe(TRANSPORTS.length * INFLIGHT.length * LAYOUTS.length)
  expect(seen.slice(0, 8).map(({ layout }) => layout)).toEqual([
    ...LAYOUTS,
    ...LAYOUTS.toReversed(),
  ])
  const text = layoutsText(result)
  expect(text).toMatch(/^memory: throughput/)
  expect(text).toMatch(/262144 .* 2.00 M\/s \(2.00 M\/s to 2.00 M\/s\), 50.0 us/)
})

test('the path of one entry shows busy time an entry by stage', async () => {
  const use = { batches: 1, entries: 1, stalls: 0, syncs: 1, syncMsMean: 0.1 }
  const stages = { 'n1.wal': { busyRatio: 0.2, ...use }, 'n2.wal': { busyRatio: 0.1, ...use } }
  const run: RunTrial = () => Promise.resolve(trialOf(1_000, 400, { stages }))
  const { path } = await runLayouts(createLab(OPTIONS, hooksOf(), run))
  expect(path.stageUs['n1.wal']).toBeCloseTo(200)
  expect(layoutsText({ rows: [], path, violations: [] })).toMatch(/beside: leader wal 200 us/)
})

test('a broken promise of any trial comes first', async () => {
  const safety = { ...trialOf(1, 100).safety, violations: 1, violationDetails: ['lost'] }
  const run: RunTrial = () => Promise.resolve(trialOf(1, 100, { safety }))
  const result = await runLayouts(createLab(OPTIONS, hooksOf(), run))
  expect(layoutsText(result)).toMatch(/^SAFETY VIOLATION/)
})

const samplesOf = (rss: (second: number) => number, p99: (second: number) => number): Sample[] =>
  Array.from({ length: 50 }, (_, tS) => ({
    ...{ tS, throughputPerS: 8e5, rssBytes: rss(tS), p99: p99(tS) },
  }))

async function soak(samples: readonly Sample[], perS = 8e5) {
  const seen: BenchConfig[] = []
  const run: RunTrial = (config): Promise<TrialResult> => {
    seen.push(config)
    return Promise.resolve(trialOf(config.rate === null ? 1e6 : perS, 100, { samples }))
  }
  const result = await runVerify([soakRow(3)], { ...OPTIONS, rounds: 1 }, hooksOf(), run)
  return { seen, kept: result.figures.map(({ name, isKept }) => `${name} ${isKept}`) }
}

test('a soak offers 80 % of the peak for as long as it was asked', async () => {
  const { seen, kept } = await soak(
    samplesOf(
      () => 1e8,
      () => 500,
    ),
  )
  expect(seen.map(({ rate, duration }) => [rate, duration])).toEqual([
    [null, 1],
    [8e5, 180],
  ])
  expect(kept).toEqual(['soak true', 'soak-memory true', 'soak-p99 true'])
})

test('memory that grows, a tail that grows, and what is not taken are each found', async () => {
  const leaks = await soak(
    samplesOf(
      (second) => 1e8 * (1 + second / 100),
      () => 500,
    ),
  )
  expect(leaks.kept).toEqual(['soak true', 'soak-memory false', 'soak-p99 true'])
  const slows = await soak(
    samplesOf(
      () => 1e8,
      (second) => 500 + 20 * second,
    ),
  )
  expect(slows.kept).toEqual(['soak true', 'soak-memory true', 'soak-p99 false'])
  const refuses = await soak(
    samplesOf(
      () => 1e8,
      () => 500,
    ),
    7e5,
  )
  expect(refuses.kept).toEqual(['soak false', 'soak-memory true', 'soak-p99 true'])
})

test('what only the warm-up took is no growth', () => {
  const values = Array.from({ length: 50 }, (_, i) => (i < 10 ? 1 : 5))
  expect(growthOf(values)).toBe(1)
  expect(growthOf([1, 2])).toBe(1)
})
