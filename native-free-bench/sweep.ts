/**
 * `--inflight best`: short probes over 1, 4, 16 ... 262144 entries outstanding. The load of highest
 * throughput is used for the trials, and every probe stands in the result. Kills belong to trials.
 */
import { violationsOf } from './report/safety.ts'
import type { BenchConfig, RunHooks, RunTrial, SweepPoint } from './types.ts'

const INFLIGHT_MAX = 262_144
const PROBE_S = 0.5
/** A probe has fresh threads and fresh files: a cold one would favour large batches. */
const PROBE_WARMUP_S = 0.7
/** So many points in a row below the best so far: the peak is behind. */
const FALLS_MAX = 2

export interface Sweep {
  readonly points: readonly SweepPoint[]
  /** null: interrupted before any probe was complete. */
  readonly best: number | null
  readonly violations: readonly string[]
}

export async function sweepInflight(
  config: BenchConfig,
  hooks: RunHooks,
  runTrial: RunTrial,
): Promise<Sweep> {
  const points: SweepPoint[] = []
  const violations: string[] = []
  let best: SweepPoint | undefined
  let falls = 0
  for (let inflight = 1; inflight <= INFLIGHT_MAX && falls < FALLS_MAX; inflight *= 4) {
    if (hooks.signal.aborted) break
    if (inflight < config.clients) continue
    hooks.progress(`${config.engine}: probe with inflight ${inflight}`)
    const trial = await runTrial(probeOf(config, inflight), hooks)
    violations.push(...violationsOf(trial, `${config.engine}, probe with inflight ${inflight}`))
    if (trial.partial) break
    const point = { inflight, throughputPerS: trial.throughputPerS, p99: trial.latencyUs.p99 }
    points.push(point)
    const isBest = best === undefined || point.throughputPerS > best.throughputPerS
    if (isBest) best = point
    falls = isBest ? 0 : falls + 1
  }
  return { points, best: best?.inflight ?? null, violations }
}

const probeOf = (config: BenchConfig, inflight: number): BenchConfig => ({
  ...config,
  inflight,
  duration: PROBE_S,
  warmup: PROBE_WARMUP_S,
  trials: 1,
  killLeaderAfter: null,
  killNode: null,
  keep: false,
})
