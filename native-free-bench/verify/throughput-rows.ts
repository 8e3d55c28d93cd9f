/** Rows about what an engine does a second, and about one entry alone. */
import { figureOf, ratiosOf } from './figure.ts'
import { type Flags, latencies, throughputs } from './lab.ts'
import type { Row } from './rows.ts'
import { perSecond } from '../report/units.ts'
import { spreadOf } from '../stats/statistics.ts'

const SMALL: Flags = { payload: '16', inflight: '262144' }
const KIB: Flags = { payload: '1024', inflight: '16384' }
const ALONE_WARMUP_S = '10'
/** The baseline counts at the best of these. */
const BASIC_INFLIGHTS = ['256', '1024', '4096']
const BASIC_FAST_PER_S = 30_000

/** xpaxos beside `limit` under one load. */
const ofLimit = (name: string, load: Flags, bound: number): Row => ({
  name,
  async run({ measure }) {
    const { limit, xpaxos } = await measure({
      limit: { engine: 'limit', ...load },
      xpaxos: { engine: 'xpaxos', ...load },
    })
    const claim = `xpaxos >= ${bound} x limit`
    const ratios = ratiosOf(throughputs(xpaxos), throughputs(limit))
    const [own, its] = [xpaxos, limit].map((trials) => spreadOf(throughputs(trials)).median)
    const note = `${perSecond(own!)}, limit ${perSecond(its!)}`
    return [figureOf({ name, claim, sense: 'at least', bound, unit: 'ratio' }, ratios, note)]
  },
})

/**
 * One entry in flight: the median latency of an engine beside that of `limit`. A few hundred
 * entries a second keep the optimising compiler long: both are warm before they count.
 */
const alone = (name: string, engine: string, load: Flags, bound: number): Row => ({
  name,
  async run({ measure }) {
    const one = { ...load, inflight: '1', warmup: ALONE_WARMUP_S }
    const { limit, mine } = await measure({
      limit: { engine: 'limit', ...one },
      mine: { engine, ...one },
    })
    const claim = `${engine}: p50 <= ${bound} x limit's`
    const ratios = ratiosOf(latencies(mine, 'p50'), latencies(limit, 'p50'))
    const note = `${spreadOf(latencies(mine, 'p50')).median.toFixed(0)} us`
    return [figureOf({ name, claim, sense: 'at most', bound, unit: 'ratio' }, ratios, note)]
  },
})

const propose: Row = {
  name: 'propose',
  async run({ measure }) {
    const { xpaxos } = await measure({ xpaxos: { api: 'propose', inflight: '4096' } })
    const claim = 'one promise an entry, 4,096 in flight: >= 1 M/s'
    const promise = { name: 'propose', claim, sense: 'at least', bound: 1e6, unit: 'perS' } as const
    return [figureOf(promise, throughputs(xpaxos))]
  },
}

const baseline: Row = {
  name: 'basic-paxos-best',
  async run({ measure }) {
    const lanes = BASIC_INFLIGHTS.map((inflight) => ({ engine: 'basic-paxos', inflight }))
    const trials = await measure<string>({
      ...Object.fromEntries(lanes.map((flags) => [flags.inflight, flags])),
      xpaxos: { engine: 'xpaxos', ...SMALL },
      limit: { engine: 'limit', ...SMALL },
    })
    const perLane = (lane: string): number[] => throughputs(trials[lane]!)
    const medianOf = (lane: string): number => spreadOf(perLane(lane)).median
    const best = BASIC_INFLIGHTS.reduce((a, b) => (medianOf(b) > medianOf(a) ? b : a))
    const name = 'basic-paxos-best'
    const values = perLane(best)
    const own = figureOf(
      {
        name,
        claim: 'basic-paxos >= 20 k values/s',
        sense: 'at least',
        bound: 20_000,
        unit: 'perS',
      },
      values,
      `inflight ${best}`,
    )
    const ratios = ratiosOf(perLane('xpaxos'), values)
    if (own.spread.median <= BASIC_FAST_PER_S) {
      const claim = 'xpaxos : basic-paxos >= 500'
      return [
        own,
        figureOf({ name: 'ratio', claim, sense: 'at least', bound: 500, unit: 'ratio' }, ratios),
      ]
    }
    const claim = 'basic-paxos is above 30 k/s, so xpaxos >= 0.5 x limit decides'
    const ofLimits = ratiosOf(perLane('xpaxos'), perLane('limit'))
    const note = `xpaxos : basic-paxos ${spreadOf(ratios).median.toFixed(0)}`
    const promise = { name: 'ratio', claim, sense: 'at least', bound: 0.5, unit: 'ratio' } as const
    return [own, figureOf(promise, ofLimits, note)]
  },
}

const sevenNodes: Row = {
  name: 'seven-nodes',
  async run({ measure }) {
    const { three, seven } = await measure({
      three: { ...SMALL, nodes: '3' },
      seven: { ...SMALL, nodes: '7' },
    })
    const claim = '7 nodes >= 1/3 of 3 nodes'
    const bound = 1 / 3
    const ratios = ratiosOf(throughputs(seven), throughputs(three))
    const promise = { name: 'seven-nodes', claim, sense: 'at least', bound, unit: 'ratio' } as const
    return [figureOf(promise, ratios)]
  },
}

export const THROUGHPUT_ROWS: readonly Row[] = [
  ofLimit('memory-16', SMALL, 0.5),
  ofLimit('memory-1024', KIB, 0.8),
  ofLimit('tcp-16', { ...SMALL, transport: 'tcp' }, 0.5),
  ofLimit('tcp-1024', { ...KIB, transport: 'tcp' }, 0.7),
  alone('tcp-alone', 'xpaxos', { transport: 'tcp' }, 1.3),
  propose,
  alone('basic-paxos-alone', 'basic-paxos', {}, 2.5),
  baseline,
  sevenNodes,
]
