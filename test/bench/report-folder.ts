/**
 * A folder of results of every kind, as the commands write them, made of trials that never ran:
 * figures are drawn from formulas, so that a chart of them looks like one.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { jsonOf } from '../../native-free-bench/results.ts'
import { runBench } from '../../native-free-bench/run-bench.ts'
import { runCompare } from '../../native-free-bench/run-compare.ts'
import type {
  BenchConfig,
  EngineName,
  RunTrial,
  Sample,
  StageUse,
  TrialResult,
} from '../../native-free-bench/types.ts'
import { benchOf, compareOf, ENVIRONMENT, hooksOf, trialOf } from './report-fixtures.ts'

const PEAKS: Readonly<Record<EngineName, number>> = {
  ...{ 'basic-paxos': 24_000, 'multi-paxos': 900, xpaxos: 15e6, limit: 19e6 },
}
const STAGES = ['receive', 'decide', 'fanout', 'wal', 'apply']

/** What no line of a phone holds. */
const LONG_WORD = 'a-word-that-does-not-end-'.repeat(6)

/** A little up and down from trial to trial, always the same. */
const wobble = (i: number): number => 1 + 0.08 * Math.sin(i * 2.4)

function busy(peak: number): Record<string, StageUse> {
  const use = { batches: 10, entries: 10, stalls: 0, syncs: 0, syncMsMean: 0 }
  const stages: Record<string, StageUse> = {}
  for (const node of [1, 2, 3])
    for (const [i, stage] of STAGES.entries())
      stages[`n${node}.${stage}`] = { ...use, busyRatio: (peak * (i + 1)) / 5.6 / wobble(node + i) }
  return stages
}

/** Saturates; an open loop waits longer the nearer it comes to the peak. */
export function fakeTrials(): RunTrial {
  let count = 0
  return ({ engine, inflight, rate, pipelineDepth, batchMaxEntries, layout }: BenchConfig) => {
    const slow = batchMaxEntries === 1 ? (pipelineDepth > 1 ? 0.002 : 0.0001) : 1
    const threads = layout === 'inline' ? 0.7 : 1
    const peak = PEAKS[engine] * (engine === 'xpaxos' ? slow * threads : 1) * wobble(count++)
    const load = rate ?? (inflight as number)
    const closed = (peak * load) / (load + peak * 0.002)
    const throughput = rate === null ? closed : Math.min(rate, peak)
    const used = Math.min(0.999, load / peak)
    const p99 = rate === null ? 4_000 + (1e6 * load) / peak : 3_000 / (1 - used)
    return Promise.resolve(trialOf(throughput, p99, { stages: busy(throughput / peak) }))
  }
}

function killTrial(): TrialResult {
  const samples: Sample[] = Array.from({ length: 12 }, (_, i) => {
    const isGap = i === 6
    const throughputPerS = isGap ? 310_000 : 900_000 * wobble(i)
    return {
      tS: i + 1,
      throughputPerS,
      p99: isGap ? 610_000 : 9_000 * wobble(i),
      rssBytes: 2 ** 28,
    }
  })
  const failover = [{ atS: 6.02, gapMs: 612, fromNode: 1, toNode: 2 }]
  return trialOf(860_000, 11_000, { samples, failover, stages: {} })
}

/** Batches help up to a point, depth too; the model is a little too hopeful. */
function tuneOf(): object {
  const sizes = [4, 16, 64, 256, 1_024].map((kibibytes) => kibibytes * 1_024)
  const points = sizes.flatMap((batchMaxBytes, i) =>
    [1, 2, 4, 8, 16].map((pipelineDepth, k) => {
      const throughputPerS = 15e6 * (1 - 0.16 * Math.abs(i - 3)) * (1 - 0.1 * Math.abs(k - 3))
      const latencyUs = { p50: 9_000, p99: 20_000 + 2_000 * k, p999: 40_000 }
      const predictedThroughputPerS = throughputPerS * 1.04
      return {
        ...{ batchMaxBytes, pipelineDepth, throughputPerS, latencyUs, predictedThroughputPerS },
      }
    }),
  )
  const gridBest = points.find((one) => one.batchMaxBytes === 2 ** 18 && one.pipelineDepth === 8)!
  return {
    ...{ schema: 'xpaxos-tune/1', environment: ENVIRONMENT, points, best: gridBest, gridBest },
    command: 'xpaxos tune --grid',
    config: benchOf({ durability: 'fsync' }),
    adaptive: { ...gridBest, batchMaxBytes: 90_000, throughputPerS: 14.4e6 },
    rationale: ['batches of 256 KiB: the sync costs as much as 200 KiB of bytes', LONG_WORD],
  }
}

const layoutsOf = (): object => ({
  ...{ schema: 'xpaxos-layouts/1', environment: ENVIRONMENT, violations: [] },
  rows: [1, 64, 4_096, 262_144].flatMap((inflight) =>
    ['inline', 'split'].map((layout, i) => {
      const median = (inflight * 1e7) / (inflight + 1e4) / (1 + i * (inflight < 5_000 ? 0.4 : -0.3))
      const throughputPerS = { median, min: median * 0.9, max: median * 1.1 }
      return { transport: 'memory', inflight, layout, throughputPerS, p50Us: throughputPerS }
    }),
  ),
})

const figure = (name: string, median: number, isKept: boolean): object => ({
  ...{ name, claim: `${name} >= 0.5 x limit`, sense: 'at least', bound: 0.5, unit: 'ratio' },
  ...{ values: [median], spread: { median, min: median, max: median }, isKept, note: LONG_WORD },
})

const SUITES = {
  schema: 'xpaxos-suites/1',
  suites: [
    {
      suite: 'ring/hop',
      question: 'what does one hand-over cost?',
      rows: [
        { name: 'publish', nsPerCallMedian: 56, nsPerCallP99: 99, errorPercent: 1, samples: 300 },
      ],
    },
  ],
  partial: false,
}

/** File names to contents; environments are those of the fixtures. */
export async function resultsOfEveryKind(): Promise<Record<string, object>> {
  const run = fakeTrials()
  const here = <Result extends object>(result: Result) => ({ ...result, environment: ENVIRONMENT })
  const files: Record<string, object> = {
    'environment.json': ENVIRONMENT,
    'compare.json': here(await runCompare(compareOf({ trials: '4' }), hooksOf(), run)),
    'ladder.json': here(await runCompare(compareOf({ ladder: true, trials: '4' }), hooksOf(), run)),
    'leader-kill.json': here(
      await runBench(benchOf({ duration: '12', killLeaderAfter: '7' }), hooksOf(), () =>
        Promise.resolve(killTrial()),
      ),
    ),
    'single.json': here(await runBench(benchOf({ trials: '2', inflight: '64' }), hooksOf(), run)),
    'tune.json': tuneOf(),
    'layouts.json': layoutsOf(),
    'suites.json': SUITES,
    'verify.json': {
      ...{ schema: 'xpaxos-verify/1', environment: ENVIRONMENT, violations: [], partial: false },
      figures: [figure('memory-16', 0.76, true), figure('tcp-16', 0.41, false)],
      missing: ['adaptive: not available yet'],
    },
    'mutants.json': { schema: 'xpaxos-mutants/1', mutants: 98, survivors: [], median: 13 },
    'simulation.json': {
      schema: 'xpaxos-campaign/1',
      micro: { schema: 'xpaxos-sim/1', schedules: 1_000, events: 150_000, violations: 0 },
    },
  }
  for (const engine of ['xpaxos', 'limit'] as const) {
    for (const share of [10, 25, 50, 75, 90]) {
      const rate = String(Math.floor((PEAKS[engine] * share) / 100))
      const result = await runBench(benchOf({ engine, rate, trials: '3' }), hooksOf(), run)
      files[`load-${engine}-${share}.json`] = here(result)
    }
  }
  return files
}

export function writeFolder(dir: string, files: Readonly<Record<string, object>>): void {
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(dir, name), jsonOf(content))
}
