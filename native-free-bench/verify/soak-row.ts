/** The row of `npm run soak`: what a long run at 80 % of the peak must not change. */
import { spreadOf } from '../stats/statistics.ts'
import type { Sample } from '../types.ts'
import { figureOf } from './figure.ts'
import { throughputs } from './lab.ts'
import type { Row } from './rows.ts'

const LOAD = 0.8
const GROWTH_RSS_MAX = 1.1
const GROWTH_P99_MAX = 1.25
const KEPT_MIN = 0.99
/** The first part warms up: the second is compared with the last. */
const PARTS = 5

export const soakRow = (minutes: number): Row => ({
  name: 'soak',
  async run({ measure }) {
    const { peak } = await measure({ peak: { payload: '16', inflight: '262144' } })
    const rate = Math.floor(LOAD * spreadOf(throughputs(peak)).median)
    const duration = String(60 * minutes)
    const { load } = await measure({ load: { payload: '16', rate: String(rate), duration } })
    const kept = throughputs(load).map((value) => value / rate)
    const growth = (key: 'rssBytes' | 'p99'): number[] =>
      load.map(({ samples }) => growthOf(samples.map((sample) => sample[key])))
    const atMost = { sense: 'at most', unit: 'ratio' } as const
    const rss = { name: 'soak-memory', claim: 'resident memory stays flat', bound: GROWTH_RSS_MAX }
    const p99 = { name: 'soak-p99', claim: 'p99 does not grow', bound: GROWTH_P99_MAX }
    const claim = 'all that is offered is taken'
    const goodput = {
      name: 'soak',
      claim,
      sense: 'at least',
      bound: KEPT_MIN,
      unit: 'ratio',
    } as const
    return [
      figureOf(goodput, kept, `${minutes} min at ${(rate / 1e6).toFixed(1)} M/s`),
      figureOf({ ...rss, ...atMost }, growth('rssBytes')),
      figureOf({ ...p99, ...atMost }, growth('p99')),
    ]
  },
})

/** The median of the last part beside that of the second; 1 where there are too few samples. */
export function growthOf(values: readonly Sample['p99'][]): number {
  const size = Math.floor(values.length / PARTS)
  if (size === 0) return 1
  const second = spreadOf(values.slice(size, 2 * size)).median
  return second === 0 ? 1 : spreadOf(values.slice(-size)).median / second
}
