/**
 * Latency histogram: log-linear buckets over microseconds in plain typed arrays, after HdrHistogram
 * (Gil Tene). Up to 256 us a bucket is 1/8 us wide; above, each doubling has 1,024 buckets, so a
 * value is known to 0.1 %. Values past 4.7 minutes count in the last bucket; max and mean stay
 * exact. Posts to threads as it is; `toSparse` is for JSON between processes.
 *
 *     us       0 ........ 256 ...... 512 ............ 1,024 ...
 *     buckets  2,048 of 1/8   1,024 of 1/4   1,024 of 1/2
 */
import type { LatencyUs } from '../types.ts'

const UNITS_PER_US = 8
const LINEAR_BITS = 11
const LINEAR_COUNT = 2 ** LINEAR_BITS
const OCTAVE_COUNT = LINEAR_COUNT / 2
const UNITS_MAX = 2 ** 31 - 1
const OCTAVES = 31 - LINEAR_BITS
const BUCKETS = LINEAR_COUNT + OCTAVES * OCTAVE_COUNT

export interface Histogram {
  readonly counts: Float64Array
  count: number
  sumUs: number
  minUs: number
  maxUs: number
}

export interface SparseHistogram {
  readonly buckets: readonly number[]
  readonly counts: readonly number[]
  readonly sumUs: number
  readonly minUs: number
  readonly maxUs: number
}

export function createHistogram(): Histogram {
  return { counts: new Float64Array(BUCKETS), count: 0, sumUs: 0, minUs: Infinity, maxUs: 0 }
}

/** Counts one latency for `count` entries. O(1), allocates nothing. */
export function record(histogram: Histogram, valueUs: number, count: number): void {
  const value = valueUs > 0 ? valueUs : 0 // a clock that stepped back, and NaN, count as 0
  histogram.counts[bucketOf(value)]! += count
  histogram.count += count
  histogram.sumUs += value * count
  if (value < histogram.minUs) histogram.minUs = value
  if (value > histogram.maxUs) histogram.maxUs = value
}

export function merge(into: Histogram, from: Histogram): void {
  for (let i = 0; i < BUCKETS; i++) into.counts[i]! += from.counts[i]!
  into.count += from.count
  into.sumUs += from.sumUs
  into.minUs = Math.min(into.minUs, from.minUs)
  into.maxUs = Math.max(into.maxUs, from.maxUs)
}

export function reset(histogram: Histogram): void {
  histogram.counts.fill(0)
  histogram.count = 0
  histogram.sumUs = 0
  histogram.minUs = Infinity
  histogram.maxUs = 0
}

/** The value that `ratio` (0..1) of all values do not pass: the middle of its bucket; empty: 0. */
export function percentile({ counts, count, minUs, maxUs }: Histogram, ratio: number): number {
  if (count === 0) return 0
  const rank = Math.max(1, Math.ceil(ratio * count))
  if (rank >= count) return maxUs
  let seen = 0
  for (let i = 0; i < BUCKETS; i++) {
    seen += counts[i]!
    if (seen >= rank) return Math.min(maxUs, Math.max(minUs, middleOf(i)))
  }
  return maxUs
}

export const mean = ({ count, sumUs }: Histogram): number => (count === 0 ? 0 : sumUs / count)

export function latencyOf(histogram: Histogram): LatencyUs {
  const at = (ratio: number) => rounded(percentile(histogram, ratio))
  return {
    count: histogram.count,
    mean: rounded(mean(histogram)),
    p50: at(0.5),
    p90: at(0.9),
    p99: at(0.99),
    p999: at(0.999),
    max: rounded(histogram.maxUs),
  }
}

export function toSparse({ counts, sumUs, minUs, maxUs }: Histogram): SparseHistogram {
  const buckets: number[] = []
  counts.forEach((count, bucket) => {
    if (count > 0) buckets.push(bucket)
  })
  const isEmpty = buckets.length === 0 // JSON has no Infinity
  return {
    buckets,
    counts: buckets.map((bucket) => counts[bucket]!),
    sumUs,
    minUs: isEmpty ? 0 : minUs,
    maxUs,
  }
}

export function mergeSparse(into: Histogram, from: SparseHistogram): void {
  from.buckets.forEach((bucket, i) => {
    const count = from.counts[i]!
    into.counts[bucket]! += count
    into.count += count
  })
  into.sumUs += from.sumUs
  if (from.buckets.length > 0) into.minUs = Math.min(into.minUs, from.minUs)
  into.maxUs = Math.max(into.maxUs, from.maxUs)
}

function bucketOf(valueUs: number): number {
  const units = valueUs * UNITS_PER_US >= UNITS_MAX ? UNITS_MAX : (valueUs * UNITS_PER_US) | 0
  if (units < LINEAR_COUNT) return units
  const octave = 31 - Math.clz32(units) - LINEAR_BITS // 0: [2048, 4096)
  return LINEAR_COUNT + octave * OCTAVE_COUNT + ((units >>> (octave + 1)) - OCTAVE_COUNT)
}

function middleOf(bucket: number): number {
  if (bucket < LINEAR_COUNT) return (bucket + 0.5) / UNITS_PER_US
  const octave = Math.floor((bucket - LINEAR_COUNT) / OCTAVE_COUNT)
  const place = (bucket - LINEAR_COUNT) % OCTAVE_COUNT
  return ((OCTAVE_COUNT + place + 0.5) * 2 ** (octave + 1)) / UNITS_PER_US
}

const rounded = (valueUs: number): number => Math.round(valueUs * 1000) / 1000
