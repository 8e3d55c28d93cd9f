/**
 * Where figures are measured: trials of several lanes in turn, forth and back (ABBA), so that a
 * machine that warms up or slows down favours nobody. A lane is the flags of `xpaxos bench`, as a
 * user would give them; every trial's safety verdict counts.
 */
import { ReplicaError } from '../../src/base/errors.ts'
import { parseBench } from '../options.ts'
import { violationsOf } from '../report/safety.ts'
import { tryTrial } from '../run-bench.ts'
import type { BenchConfig, RunHooks, RunTrial, TrialResult } from '../types.ts'

export type Flags = Readonly<Record<string, string>>

export interface Lab {
  readonly rounds: number
  readonly durationS: number
  /** Broken promises of any trial, in words. */
  readonly violations: string[]
  /** Trials by lane, `rounds` of each. @throws ReplicaError E_ABORTED when interrupted */
  readonly measure: <Name extends string>(
    lanes: Readonly<Record<Name, Flags>>,
  ) => Promise<Trials<Name>>
}

export type Trials<Name extends string> = Readonly<Record<Name, readonly TrialResult[]>>

export interface LabOptions {
  readonly rounds: number
  readonly durationS: number
  readonly warmupS: number
  readonly dataDir: string | null
}

export function createLab(options: LabOptions, hooks: RunHooks, runTrial: RunTrial): Lab {
  const { rounds, durationS } = options
  const violations: string[] = []
  const one = async (name: string, config: BenchConfig): Promise<TrialResult> => {
    const trial = await tryTrial(config, hooks, runTrial)
    if (trial === undefined || trial.partial || hooks.signal.aborted) throw interrupted()
    violations.push(...violationsOf(trial, name))
    return trial
  }
  return {
    rounds,
    durationS,
    violations,
    async measure<Name extends string>(lanes: Readonly<Record<Name, Flags>>) {
      const names = Object.keys(lanes) as Name[]
      const configs = new Map(names.map((name) => [name, configOf(lanes[name], options)]))
      const trials = Object.fromEntries(names.map((name) => [name, [] as TrialResult[]])) as Record<
        Name,
        TrialResult[]
      >
      for (let round = 0; round < rounds; round++) {
        for (const name of round % 2 === 0 ? names : names.toReversed()) {
          hooks.progress(`${name}, round ${round + 1} of ${rounds}`)
          trials[name].push(await one(name, configs.get(name)!))
        }
      }
      return trials
    },
  }
}

function configOf(flags: Flags, { durationS, warmupS, dataDir }: LabOptions): BenchConfig {
  const common = { duration: String(durationS), warmup: String(warmupS) }
  const { config, problems } = parseBench({ flags: { ...common, ...flags } })
  if (config !== undefined) return { ...config, dataDir }
  throw new ReplicaError('E_CONFIG_INVALID', problems.join('; '), { problems })
}

const interrupted = (): ReplicaError =>
  new ReplicaError('E_ABORTED', 'interrupted', { reason: 'signal' }, 'unknown')

export const throughputs = (trials: readonly TrialResult[]): number[] =>
  trials.map(({ throughputPerS }) => throughputPerS)

export const latencies = (trials: readonly TrialResult[], key: 'p50' | 'p99'): number[] =>
  trials.map(({ latencyUs }) => latencyUs[key])
