/**
 * Question: what does it cost to record a latency?
 * Unit:     ns per call. One sample is many calls: a single call is below the timer's grain.
 * Control:  the loop that only draws the values, reported beside the rest and never subtracted.
 * Excludes: the clock that took the latency.
 */
import { Bench } from 'tinybench'
import { createHistogram, percentile, record } from '../stats/histogram.ts'
import { randomOf } from '../stats/statistics.ts'

const CALLS = 10_000
const VALUES = 1024

export function histogramSuite(timeMs: number): Bench {
  const bench = new Bench({
    name: 'stats/histogram',
    time: timeMs,
    warmupTime: timeMs,
    throws: true,
  })
  const random = randomOf(1)
  const values = Float64Array.from({ length: VALUES }, () => 50 / (1e-4 + random()))
  const histogram = createHistogram()
  let sink = 0 // keeps results alive, so that the optimiser cannot delete the work
  bench.add('control: draw a value', () => {
    for (let call = 0; call < CALLS; call++) sink += values[call % VALUES]!
  })
  bench.add('record', () => {
    for (let call = 0; call < CALLS; call++) record(histogram, values[call % VALUES]!, 1)
  })
  bench.addEventListener('complete', () => {
    sink += percentile(histogram, 0.99)
    if (sink === 0) throw new Error('the work was optimised away')
  })
  return bench
}

export const nsPerRecord = (latencyMs: number): number => (latencyMs * 1e6) / CALLS
