/** The reasons as people read them: golden texts over a machine that was never measured. */
import { expect, test } from 'vitest'
import { bytes } from '../../native-free-bench/report/units.ts'
import { tuneText } from '../../native-free-bench/report/tune-text.ts'
import { type Facts, rationaleOf } from '../../native-free-bench/tune/explain.ts'
import type { CostModel } from '../../native-free-bench/tune/model.ts'
import type { TuneLane, TunePoint, TuneResult } from '../../native-free-bench/types.ts'
import { ENVIRONMENT } from './report-fixtures.ts'
import { machineOf, tuneOf } from './tune-machine.ts'

const MODEL = machineOf(31, 1).model

function pointOf(
  batchMaxBytes: number,
  pipelineDepth: number,
  throughputPerS: number,
  p99Ms: number,
  more: Partial<TunePoint> = {},
): TunePoint {
  const p99 = p99Ms * 1e3
  return {
    ...{ batchMaxBytes, pipelineDepth, throughputPerS },
    latencyUs: { count: 9, mean: p99 / 2, p50: p99 / 2, p90: p99, p99, p999: p99, max: p99 },
    predictedThroughputPerS: throughputPerS * 1.04,
    trials: 3,
    ...more,
  }
}

function laneOf(lane: TuneLane['lane'], point: TunePoint, more: Partial<TuneLane> = {}): TuneLane {
  const { batchMaxBytes, pipelineDepth, throughputPerS: median, latencyUs } = point
  const throughputs = [median * 0.98, median, median, median, median * 1.02]
  const flat = (value: number) => ({ median: value, min: value, max: value })
  return {
    ...{ lane, batchMaxBytes, pipelineDepth, throughputs },
    throughputPerS: { median, min: throughputs[0]!, max: throughputs.at(-1)! },
    latencyUs: { p50: flat(latencyUs.p50), p99: flat(latencyUs.p99), p999: flat(latencyUs.p999) },
    ratio: { median: 1, low: 1, high: 1 },
    p: null,
    ...more,
  }
}

const GIVEN = pointOf(2 ** 20, 8, 8.4e6, 95)
const FOUND = pointOf(2 ** 18, 32, 13.2e6, 61)
const BETTER = { ratio: { median: 1.57, low: 1.5, high: 1.63 }, p: 0.008 }

const factsOf = (more: Partial<Facts> = {}): Facts => ({
  config: tuneOf({ inflight: '1000000', rttMs: '31' }),
  model: MODEL,
  points: [GIVEN, FOUND],
  best: { ...FOUND, trials: 5 },
  searchBest: FOUND,
  gridBest: null,
  validation: [laneOf('given', GIVEN), laneOf('search', FOUND, BETTER)],
  ended: 'search',
  gridLeft: 0,
  ...more,
})

test('a choice: what, why that deep, why that large, and against the given', () => {
  expect(rationaleOf(factsOf())).toMatchSnapshot()
})

test('one round in flight, a disk that dominates, entries that cost nothing', () => {
  const resources: CostModel['resources'] = [
    { name: 'n1 wal', busy: { fixedS: 1e-5, perEntryS: 0 }, logs: 1 },
  ]
  const model = { ...MODEL, roundTripS: 0, resources, disk: { fixedS: 0.008, perByteS: 0 } }
  const best = pointOf(2 ** 18, 1, 1.5e6, 9)
  const lines = rationaleOf(factsOf({ model, best, validation: [], points: [best] }))
  expect(lines).toMatchSnapshot()
})

test('an emulated link, and a load that is all in its rounds', () => {
  const model = { ...MODEL, bandwidthBytesPerS: 125e6 }
  const config = tuneOf({ inflight: '20000', rttMs: '31', bandwidthMbps: '1000' })
  expect(rationaleOf(factsOf({ model, config })).slice(1, 7)).toMatchSnapshot()
})

const said = (more: Partial<Facts>): string => rationaleOf(factsOf(more)).join('\n')

test('trials that do not tell two sizes apart say so, and so do too few', () => {
  const close = { ratio: { median: 1.02, low: 0.95, high: 1.1 }, p: 0.42 }
  const validation = [laneOf('given', GIVEN), laneOf('search', FOUND, close)]
  expect(said({ validation })).toContain('The trials do not tell them apart: keep the given sizes')
  const few = validation.map((lane) => ({ ...lane, throughputs: lane.throughputs.slice(0, 2) }))
  expect(said({ validation: few })).toContain('So few trials cannot tell them apart.')
})

test('a noisy machine is named: among fresh trials, or between them and the search', () => {
  const wide = laneOf('given', GIVEN, {
    throughputPerS: { median: 8.4e6, min: 6e6, max: 9.6e6 },
  })
  const noise = /The machine is noisy: trials of the same sizes lay 43 % apart/
  expect(said({ validation: [wide, laneOf('search', FOUND, BETTER)] })).toMatch(noise)
  const before = pointOf(2 ** 18, 32, 6.6e6, 61)
  expect(said({ points: [GIVEN, before] })).toContain('The machine is noisy')
  expect(said({})).not.toContain('noisy')
})

test('a model that is off by more than a quarter is not relied on', () => {
  const best = { ...FOUND, predictedThroughputPerS: 18e6 }
  expect(said({ best })).toContain(
    'The model says 18.0 M/s, 36 % above what was measured: it is off, and the choice rests on the',
  )
  expect(said({ best: { ...FOUND, predictedThroughputPerS: null } })).not.toContain('model says')
})

test('the grid: what its best is, how near the search came, what is missing', () => {
  const gridBest = pointOf(2 ** 18, 64, 13.5e6, 66)
  const config = tuneOf({ inflight: '1000000', grid: true })
  const lines = rationaleOf(factsOf({ gridBest, config }))
  expect(lines.slice(-1)).toEqual([
    'The best of the grid is batches up to 256 KiB with 64 rounds in flight (13.5 M/s, ' +
      'p99 66.0 ms); the search alone came to 98 % of it.',
  ])
  expect(rationaleOf(factsOf({ gridBest, config, gridLeft: 3 })).slice(-2)).toEqual([
    '3 points of the grid were not measured.',
    expect.stringContaining('The best of what was measured of it is batches up to 256 KiB'),
  ])
})

test('a bound on p99 that nothing keeps: the nearest, and what would lower it', () => {
  const config = tuneOf({ sloP99Ms: '2' })
  const lines = rationaleOf(factsOf({ config, best: null, searchBest: null, validation: [] }))
  expect(lines).toEqual([
    'Of 2 pairs of sizes measured none keeps p99 <= 2.00 ms.',
    'The lowest p99 was 61.0 ms, batches up to 256 KiB with 32 rounds in flight.',
    'With 65536 entries in flight an entry waits for those before it: fewer (--inflight), or a ' +
      'rate (--rate), lower p99 more than sizes do.',
  ])
})

test.each([
  [4_096, '4 KiB'],
  [2 ** 20, '1 MiB'],
  [5_000, '4.88 KiB'],
  [100, '100 B'],
])('%d bytes read as %s', (value, want) => {
  expect(bytes(value)).toBe(want)
})

test('the page: points in order, fresh trials, reasons', () => {
  const { config, model: _model, ended: _ended, gridLeft: _left, ...rest } = factsOf()
  const { dataDir: _dataDir, ...open } = config
  const result: TuneResult = {
    ...{
      schema: 'xpaxos-tune/1',
      command: 'xpaxos tune',
      environment: ENVIRONMENT,
      config: open,
      sweep: [],
      ...rest,
    },
    ...{ adaptive: null, model: null, warnings: ['a warning'], violations: [], partial: false },
    rationale: ['Because.'],
  }
  expect(tuneText(result)).toMatchSnapshot()
})
