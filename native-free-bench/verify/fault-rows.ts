/** Rows about distance, failing followers, and more load than the engine takes. */
import { spreadOf } from '../stats/statistics.ts'
import type { TrialResult } from '../types.ts'
import { type Figure, figureOf, ratiosOf } from './figure.ts'
import { type Flags, type Lab, latencies, throughputs } from './lab.ts'
import type { Row } from './rows.ts'

const RTT_MS = 30
const RSS_GROWTH_MAX = 1.25

/** The greatest rate of a closed loop, as the rows about rates take it. */
async function peakOf({ measure }: Lab, load: Flags): Promise<number> {
  const { peak } = await measure({ peak: load })
  return spreadOf(throughputs(peak)).median
}

const distance: Row = {
  name: 'rtt-30',
  async run(lab) {
    const far = { rttMs: String(RTT_MS), windowMaxBytes: String(64 * 2 ** 20) }
    const load = { payload: '1024', inflight: '65536' }
    const { near, away } = await lab.measure({ near: load, away: { ...load, ...far } })
    const kept = ratiosOf(throughputs(away), throughputs(near))
    const rate = String(Math.floor(spreadOf(throughputs(away)).median / 2))
    const half = { payload: '1024', rate }
    const slow = await lab.measure({ near: half, away: { ...half, ...far } })
    const extra = latencies(slow.away, 'p50').map(
      (p50, round) => (p50 - latencies(slow.near, 'p50')[round]!) / (1_000 * RTT_MS),
    )
    const claim = 'rtt 30 ms, 1 KiB: keeps >= 90 % of its throughput'
    return [
      figureOf({ name: 'rtt-30', claim, sense: 'at least', bound: 0.9, unit: 'ratio' }, kept),
      figureOf(
        {
          name: 'rtt-30-half',
          claim: 'at half that rate p50 <= 1.1 x RTT + p50 at rtt 0',
          sense: 'at most',
          bound: 1.1,
          unit: 'ratio',
        },
        extra,
      ),
    ]
  },
}

/** A follower that is dead, or slow, beside a healthy cluster. */
const impaired = (name: string, fault: Flags): Row => ({
  name,
  async run({ measure }) {
    const load = { payload: '16', inflight: '65536' }
    const { healthy, faulty } = await measure({ healthy: load, faulty: { ...load, ...fault } })
    const kept = ratiosOf(throughputs(faulty), throughputs(healthy))
    const tails = ratiosOf(latencies(faulty, 'p99'), latencies(healthy, 'p99'))
    const claim = `${name}: throughput >= 90 % of healthy`
    const tail = `${name}: p99 <= 1.2 x healthy`
    return [
      figureOf({ name, claim, sense: 'at least', bound: 0.9, unit: 'ratio' }, kept),
      figureOf(
        { name: `${name}-p99`, claim: tail, sense: 'at most', bound: 1.2, unit: 'ratio' },
        tails,
      ),
    ]
  },
})

const halfLoad: Row = {
  name: 'open-loop',
  async run(lab) {
    const peak = await peakOf(lab, { payload: '16', inflight: '262144' })
    const rate = String(Math.floor(peak / 2))
    const { limit, xpaxos } = await lab.measure({
      limit: { engine: 'limit', rate },
      xpaxos: { engine: 'xpaxos', rate },
    })
    const claim = 'open loop at half of the peak: p99 <= 4 x limit’s'
    const ratios = ratiosOf(latencies(xpaxos, 'p99'), latencies(limit, 'p99'))
    const promise = { name: 'open-loop', claim, sense: 'at most', bound: 4, unit: 'ratio' } as const
    return [figureOf(promise, ratios, `${(peak / 2e6).toFixed(1)} M/s`)]
  },
}

const overload: Row = {
  name: 'overload',
  async run(lab) {
    const peak = await peakOf(lab, { payload: '16', inflight: '262144' })
    const { over } = await lab.measure({ over: { rate: String(Math.floor(peak * 10)) } })
    const kept = throughputs(over).map((value) => value / peak)
    const claim = '10 x overload: goodput >= 80 % of the peak'
    const refused = over.every((trial) => trial.refused > 0) ? 'refusals early' : 'nothing refused'
    const goodput = {
      name: 'overload',
      claim,
      sense: 'at least',
      bound: 0.8,
      unit: 'ratio',
    } as const
    return [figureOf(goodput, kept, refused), memoryFigure(over)]
  },
}

/** Resident memory of the last second beside that of the first. */
function memoryFigure(trials: readonly TrialResult[]): Figure {
  const growth = trials.map(({ samples }) => {
    const [first, last] = [samples[0], samples.at(-1)]
    return first === undefined || last === undefined ? 1 : last.rssBytes / first.rssBytes
  })
  const claim = 'memory stays flat'
  const bound = RSS_GROWTH_MAX
  return figureOf(
    { name: 'overload-memory', claim, sense: 'at most', bound, unit: 'ratio' },
    growth,
  )
}

const logger: Row = {
  name: 'logger',
  async run({ measure }) {
    const roles = 'leader,follower,logger'
    const flags = { transport: 'tcp', stateMachine: 'kv', roles, payload: '128', rate: '200000' }
    const { mixed } = await measure({ mixed: flags })
    const cpu = mixed.map(({ nodes }) => {
      const [, follower, log] = nodes.map((node) => node.cpu.userS + node.cpu.systemS)
      return log! / follower!
    })
    const claim = 'a Logger takes <= 0.6 x the CPU of a follower'
    const promise = { name: 'logger', claim, sense: 'at most', bound: 0.6, unit: 'ratio' } as const
    return [figureOf(promise, cpu)]
  },
}

export const FAULT_ROWS: readonly Row[] = [
  distance,
  impaired('dead-follower', { killNode: '3@0.05' }),
  impaired('slow-follower', { slowDisk: '3:100' }),
  halfLoad,
  overload,
  logger,
]
