/**
 * Statistics over trials: trials, not entries, are the sample. Medians and ranges, a seeded
 * bootstrap interval, and the Mann-Whitney test, exact where trials are few. Pure: chance is a
 * seed.
 */
import { median, quantileSorted } from 'simple-statistics'
import type { Spread } from '../types.ts'

const RESAMPLES = 10_000
/** Up to here all arrangements are counted: 184,756 of 20 trials, within 2^53 by far. */
const EXACT_TRIALS_MAX = 20

export interface Interval {
  readonly median: number
  readonly low: number
  readonly high: number
}

/** @throws when there is no value: the median of nothing is a bug of the caller */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new Error('the spread of no values')
  return { median: median([...values]), min: Math.min(...values), max: Math.max(...values) }
}

/** The median and its percentile bootstrap interval; a single value is its own interval. */
export function bootstrap(values: readonly number[], seed: number, confidence = 0.95): Interval {
  const { median: middle } = spreadOf(values)
  const random = randomOf(seed)
  const medians = new Float64Array(RESAMPLES)
  const resample = Array.from(values)
  for (let i = 0; i < RESAMPLES; i++) {
    for (let k = 0; k < resample.length; k++)
      resample[k] = values[Math.floor(random() * values.length)]!
    medians[i] = median(resample)
  }
  const sorted = Array.from(medians.sort())
  const tail = (1 - confidence) / 2
  return {
    median: middle,
    low: quantileSorted(sorted, tail),
    high: quantileSorted(sorted, 1 - tail),
  }
}

/** Mulberry32: 32 bits of state, the same numbers everywhere; in [0, 1). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/**
 * Two-sided Mann-Whitney U. Exact without ties and up to 20 values together, else the normal
 * approximation with tie and continuity correction. `u` is the smaller of the two.
 */
export function mannWhitney(a: readonly number[], b: readonly number[]): { u: number; p: number } {
  if (a.length === 0 || b.length === 0) throw new Error('Mann-Whitney wants values on both sides')
  const { rankSum, tieSum } = rankSumOf(a, b)
  const u1 = rankSum - (a.length * (a.length + 1)) / 2
  const u = Math.min(u1, a.length * b.length - u1)
  const isExact = tieSum === 0 && a.length + b.length <= EXACT_TRIALS_MAX
  return { u, p: isExact ? exactP(u, a.length, b.length) : normalP(u, a.length, b.length, tieSum) }
}

/** The rank sum of `a` among both, ties at their mean rank, and the sum of t^3 - t over ties. */
function rankSumOf(a: readonly number[], b: readonly number[]) {
  const all = [
    ...a.map((value) => ({ value, isA: true })),
    ...b.map((value) => ({ value, isA: false })),
  ]
  all.sort((left, right) => left.value - right.value)
  let rankSum = 0
  let tieSum = 0
  for (let from = 0; from < all.length;) {
    let to = from
    while (to < all.length && all[to]!.value === all[from]!.value) to++
    const tied = to - from
    const rank = (from + 1 + to) / 2
    for (let i = from; i < to; i++) if (all[i]!.isA) rankSum += rank
    tieSum += tied ** 3 - tied
    from = to
  }
  return { rankSum, tieSum }
}

/** ways[n][u]: how many arrangements of m and n values have that U (Mann and Whitney, 1947). */
function exactP(u: number, m: number, n: number): number {
  const waysTo = (left: number, right: number, want: number, memo: Map<string, number>): number => {
    if (want < 0) return 0
    if (left === 0 || right === 0) return want === 0 ? 1 : 0
    const key = `${left},${right},${want}`
    const known = memo.get(key)
    if (known !== undefined) return known
    const ways = waysTo(left - 1, right, want - right, memo) + waysTo(left, right - 1, want, memo)
    memo.set(key, ways)
    return ways
  }
  const memo = new Map<string, number>()
  let below = 0
  let total = 0
  for (let want = 0; want <= m * n; want++) {
    const ways = waysTo(m, n, want, memo)
    total += ways
    if (want <= u) below += ways
  }
  return Math.min(1, (2 * below) / total)
}

function normalP(u: number, m: number, n: number, tieSum: number): number {
  const count = m + n
  const variance = ((m * n) / 12) * (count + 1 - tieSum / (count * (count - 1)))
  if (variance <= 0) return 1 // all values are equal
  const z = Math.max(0, Math.abs(u - (m * n) / 2) - 0.5) / Math.sqrt(variance)
  return Math.min(1, erfc(z / Math.SQRT2))
}

/** Complementary error function, relative error below 1.2e-7 (Numerical Recipes, erfcc); x >= 0. */
function erfc(x: number): number {
  const t = 1 / (1 + 0.5 * x)
  const series = [
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398,
    1.48851587, -0.82215223, 0.17087277,
  ]
  const exponent = series.reduceRight((sum, term) => sum * t + term, 0)
  return t * Math.exp(-x * x + exponent)
}
