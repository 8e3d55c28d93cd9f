/**
 * bench: one engine under one load. Sweeps first when asked to, runs the trials one after another,
 * sums them up. The trial itself is a parameter, so that this file is tested without an engine.
 * An interrupt keeps what is complete; a failure of the engine is thrown as it came.
 */
import { ReplicaError } from '../src/base/errors.ts'
import { benchCommand } from './command-of.ts'
import { environmentOf, isTmpfs } from './environment.ts'
import { publicBench } from './options.ts'
import { violationsOf } from './report/safety.ts'
import { spreadOf } from './stats/statistics.ts'
import { type Sweep, sweepInflight } from './sweep.ts'
import type { BenchConfig, BenchResult, RunHooks, RunTrial, Summary, TrialResult } from './types.ts'

const NO_SWEEP: Sweep = { points: [], best: null, violations: [] }

export async function runBench(
  config: BenchConfig,
  hooks: RunHooks,
  runTrial: RunTrial,
): Promise<BenchResult> {
  const notes = checkDisk(config)
  const environment = environmentOf(config.dataDir ?? '.', new Date())
  const { fixed, sweep } = await fixInflight(config, hooks, runTrial)
  const trials: TrialResult[] = []
  const violations = [...sweep.violations]
  for (let i = 0; fixed !== undefined && i < config.trials && !hooks.signal.aborted; i++) {
    const label = `${config.engine}, trial ${i + 1}`
    hooks.progress(`${label} of ${config.trials}`)
    const trial = await tryTrial(fixed, hooks, runTrial)
    if (trial === undefined) break
    trials.push({ ...trial, warnings: [...notes, ...trial.warnings] })
    violations.push(...violationsOf(trial, label))
  }
  return {
    schema: 'xpaxos-bench/1',
    command: benchCommand(publicBench(config)),
    environment,
    config: publicBench(fixed ?? config),
    sweep: sweep.points,
    trials,
    summary: trials.length === 0 ? null : summaryOf(trials),
    violations,
    partial: hooks.signal.aborted || trials.some(({ partial }) => partial),
  }
}

/** Warnings for every trial. @throws ReplicaError E_CONFIG_INVALID for fsync on a tmpfs */
export function checkDisk(
  config: Pick<BenchConfig, 'durability' | 'allowTmpfs' | 'dataDir'>,
): string[] {
  if (config.durability !== 'fsync' || !isTmpfs(config.dataDir ?? '.')) return []
  if (config.allowTmpfs) return ['--data-dir is on a tmpfs: fsync cost nothing here']
  const flag = '--data-dir: is on a tmpfs, where fsync means nothing'
  const problems = [`${flag} (choose a disk, --durability os, or --allow-tmpfs)`]
  throw new ReplicaError('E_CONFIG_INVALID', problems[0]!, { problems })
}

/** `best` resolved to a number; undefined when the sweep was interrupted. */
export async function fixInflight(config: BenchConfig, hooks: RunHooks, runTrial: RunTrial) {
  if (config.inflight !== 'best') return { fixed: config, sweep: NO_SWEEP }
  const sweep = await untilAborted(hooks, () => sweepInflight(config, hooks, runTrial))
  if (sweep === undefined || sweep.best === null || hooks.signal.aborted)
    return { fixed: undefined, sweep: sweep ?? NO_SWEEP }
  return { fixed: { ...config, inflight: sweep.best }, sweep }
}

/** undefined: interrupted, and the engine had nothing to show for it. */
export const tryTrial = (config: BenchConfig, hooks: RunHooks, runTrial: RunTrial) =>
  untilAborted(hooks, () => runTrial(config, hooks))

async function untilAborted<T>(hooks: RunHooks, run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run()
  } catch (error) {
    if (hooks.signal.aborted) return undefined // what an interrupted run throws is the interrupt
    throw error
  }
}

export function summaryOf(trials: readonly TrialResult[]): Summary {
  const latency = (key: 'p50' | 'p99' | 'p999') =>
    spreadOf(trials.map(({ latencyUs }) => latencyUs[key]))
  return {
    throughputPerS: spreadOf(trials.map(({ throughputPerS }) => throughputPerS)),
    latencyUs: { p50: latency('p50'), p99: latency('p99'), p999: latency('p999') },
  }
}
