import * as reference from 'simple-statistics'
import { expect, test } from 'vitest'
import {
  createHistogram,
  latencyOf,
  merge,
  mergeSparse,
  percentile,
  record,
  reset,
  toSparse,
} from '../../native-free-bench/stats/histogram.ts'
import {
  bootstrap,
  mannWhitney,
  randomOf,
  spreadOf,
} from '../../native-free-bench/stats/statistics.ts'

const RATIOS = [0.01, 0.25, 0.5, 0.9, 0.99, 0.999]

const drawn = (count: number, seed: number): number[] => {
  const random = randomOf(seed)
  return Array.from({ length: count }, () => 20 * Math.exp(8 * random() ** 3))
}

const histogramOf = (values: readonly number[]) => {
  const histogram = createHistogram()
  for (const value of values) record(histogram, value, 1)
  return histogram
}

test.each(RATIOS)('the %d quantile is within 0.1 % or 1/8 us of the exact one', (ratio) => {
  const values = drawn(20_000, 1)
  const exact = values.toSorted((a, b) => a - b)[Math.ceil(ratio * values.length) - 1]!
  const error = Math.abs(percentile(histogramOf(values), ratio) - exact)
  expect(error).toBeLessThanOrEqual(Math.max(exact / 1000, 1 / 8))
})

test.each([0, 0.1, 0.125, 1, 255.9, 256, 257, 511.9, 512, 1e3, 65_535, 1e6, 6e7, 2.6e8])(
  'a lone value of %d us is every percentile',
  (value) => {
    const histogram = histogramOf([value])
    for (const ratio of RATIOS) expect(percentile(histogram, ratio)).toBe(value)
  },
)

test('neighbouring buckets are in order over the whole range', () => {
  const values: number[] = []
  for (let value = 0.0625; value < 2 ** 27; value *= 1.001) values.push(value)
  const histogram = createHistogram()
  let before = -1
  for (const value of values) {
    reset(histogram)
    record(histogram, value, 1)
    record(histogram, 1e9, 1) // max apart, so that the bucket's own middle is read
    histogram.minUs = 0
    const read = percentile(histogram, 0.5)
    expect(read).toBeGreaterThanOrEqual(before)
    expect(Math.abs(read - value)).toBeLessThanOrEqual(Math.max(value / 1000, 1 / 8))
    before = read
  }
})

test('a value past the range keeps max and mean exact', () => {
  const { max, mean, count } = latencyOf(histogramOf([1e9, 3e9]))
  expect({ max, mean, count }).toEqual({ max: 3e9, mean: 2e9, count: 2 })
})

test('an empty histogram reads as zero, and a negative or unknown value counts as 0', () => {
  expect(latencyOf(createHistogram())).toEqual(
    { count: 0, mean: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 }, //
  )
  expect(latencyOf(histogramOf([-5, NaN]))).toMatchObject({ count: 2, mean: 0, max: 0 })
})

test('a record of many entries weighs as many', () => {
  const histogram = createHistogram()
  record(histogram, 10, 99)
  record(histogram, 1000, 1)
  expect(latencyOf(histogram)).toMatchObject({ count: 100, mean: 19.9, max: 1000 })
  expect(percentile(histogram, 0.99)).toBeCloseTo(10, 0)
})

test('merging, sparse or not, equals recording in one', () => {
  const [a, b] = [drawn(500, 2), drawn(700, 3)]
  const want = latencyOf(histogramOf([...a, ...b]))
  const merged = histogramOf(a)
  merge(merged, structuredClone(histogramOf(b)))
  expect(latencyOf(merged)).toEqual(want)
  const sparse = histogramOf(a)
  const wire = JSON.stringify(toSparse(histogramOf(b)))
  mergeSparse(sparse, JSON.parse(wire) as ReturnType<typeof toSparse>)
  mergeSparse(sparse, toSparse(createHistogram()))
  expect(latencyOf(sparse)).toEqual(want)
})

test('spread is the median and the range; of nothing it is a bug', () => {
  expect(spreadOf([3, 1, 2, 10])).toEqual({ median: 2.5, min: 1, max: 10 })
  expect(() => spreadOf([])).toThrow('no values')
})

test('the generator is the published mulberry32', () => {
  const random = randomOf(1)
  expect([random(), random()]).toEqual([0.6270739405881613, 0.002735721180215478])
})

test('a bootstrap interval is fixed by its seed and holds the median', () => {
  const values = drawn(30, 4)
  const interval = bootstrap(values, 9)
  expect(bootstrap(values, 9)).toEqual(interval)
  expect(randomOf(10)()).not.toBe(randomOf(9)())
  expect(interval.median).toBe(reference.median(values))
  expect(interval.low).toBeLessThan(interval.median)
  expect(interval.high).toBeGreaterThan(interval.median)
  expect(bootstrap([5], 1)).toEqual({ median: 5, low: 5, high: 5 })
})

test('a bootstrap interval of the median covers the truth about as often as it says', () => {
  const random = randomOf(5)
  let covered = 0
  for (let run = 0; run < 60; run++) {
    const values = Array.from({ length: 21 }, () => random())
    const { low, high } = bootstrap(values, run)
    if (low <= 0.5 && high >= 0.5) covered++
  }
  expect(covered).toBeGreaterThanOrEqual(52)
})

// How often a resample's median is the lowest value or the two lowest is a sum of binomials: of 3
// values 7/27; of 7 values 1 % and 11 %; so the 2.5 % quantile is known without chance.
test.each<[count: number, low: number, high: number]>([
  [2, 1, 2],
  [3, 1, 3],
  [5, 1, 5],
  [7, 2, 6],
])('the bootstrap interval of the median of 1 to %d is %d to %d', (count, low, high) => {
  const values = Array.from({ length: count }, (_, i) => i + 1)
  for (let seed = 1; seed <= 3; seed++) expect(bootstrap(values, seed)).toMatchObject({ low, high })
})

test('a bootstrap needs no order, and leaves the values as they are', () => {
  const values = Object.freeze([5, 1, 4, 2, 3, 7, 6])
  expect(bootstrap(values, 1)).toMatchObject({ median: 4, low: 2, high: 6 })
})

// Exact p by counting arrangements (2/20, 2/252); with ties, scipy 1's mannwhitneyu, asymptotic.
test.each<[name: string, a: number[], b: number[], u: number, p: number]>([
  ['3 below 3', [1, 2, 3], [4, 5, 6], 0, 0.1],
  ['5 below 5', [1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 0, 2 / 252],
  ['one pair', [1], [2], 0, 1],
  ['interleaved', [1, 3, 5], [2, 4, 6], 3, 0.7],
  // The example of scipy's documentation; 5 against 4, exact.
  ['the ages of scipy', [19, 22, 16, 29, 24], [20, 11, 17, 12], 3, 1 / 9],
  // The tables' critical value of 5 against 5 at 5 % is 2: 2 x 4/252, and 3 is 2 x 7/252.
  ['at the critical value', [1, 2, 3, 4, 7], [5, 6, 8, 9, 10], 2, 8 / 252],
  ['just above it', [1, 2, 3, 4, 8], [5, 6, 7, 9, 10], 3, 14 / 252],
  ['equal values', [2, 2, 2], [2, 2, 2], 4.5, 1],
  ['ties, by the normal approximation', [1, 2, 2, 3], [2, 3, 4, 5], 2.5, 0.136_658],
])('Mann-Whitney: %s', (_name, a, b, u, p) => {
  expect(mannWhitney(a, b).u).toBe(u)
  expect(mannWhitney(a, b).p).toBeCloseTo(p, 4)
  expect(mannWhitney(b, a)).toEqual(mannWhitney(a, b))
})

test('Mann-Whitney: far apart and many, the normal tail is right to four digits', () => {
  const [a, b] = [15, 15].map((count, side) =>
    Array.from({ length: count }, (_, i) => side * 20 + i),
  )
  // z = (112.5 - 0.5) / sqrt(225 x 31 / 12) = 4.6456
  const { u, p } = mannWhitney(a!, b!)
  expect(u).toBe(0)
  const z = 112 / Math.sqrt((225 * 31) / 12)
  // 2 (1 - Phi(z)) by its asymptotic series, here good to five digits.
  const tail = 1 - 1 / z ** 2 + 3 / z ** 4 - 15 / z ** 6 + 105 / z ** 8 - 945 / z ** 10
  const want = (2 * Math.exp((-z * z) / 2) * tail) / (z * Math.sqrt(2 * Math.PI))
  expect(p / want).toBeGreaterThan(0.999)
  expect(p / want).toBeLessThan(1.001)
})

test('U follows from the rank sum of simple-statistics', () => {
  const [a, b] = [drawn(12, 6), drawn(15, 7)]
  const u1 = reference.wilcoxonRankSum(a, b) - (a.length * (a.length + 1)) / 2
  expect(mannWhitney(a, b).u).toBe(Math.min(u1, a.length * b.length - u1))
})

test('the normal approximation meets the exact p where both apply', () => {
  const [a, b] = [drawn(10, 8), drawn(10, 9).map((value) => value * 1.6)]
  const exact = mannWhitney(a, b)
  const z = (Math.abs(exact.u - 50) - 0.5) / Math.sqrt((100 * 21) / 12)
  const normal = 2 * (1 - reference.cumulativeStdNormalProbability(z))
  expect(Math.abs(exact.p - normal)).toBeLessThan(0.01)
})
