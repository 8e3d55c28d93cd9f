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
import { type RunSpike, runSpike } from './spike.ts'

export type Flags = Readonly<Record<string, string>>

export interface Lab {
  readonly rounds: number
  readonly durationS: number
  /** Broken promises of any trial, in words. */
  readonly violations: string[]
  readonly spike: RunSpike
  /** What each lane gave, `rounds` times, forth and back. @throws ReplicaError E_ABORTED */
  readonly alternate: <Name extends string, Value>(
    lanes: Readonly<Record<Name, () => Promise<Value>>>,
  ) => Promise<Readonly<Record<Name, readonly Value[]>>>
  /** One trial. @throws ReplicaError E_ABORTED when interrupted, E_CONFIG_INVALID */
  readonly trial: (name: string, flags: Flags) => Promise<TrialResult>
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

export function createLab(
  options: LabOptions,
  hooks: RunHooks,
  runTrial: RunTrial,
  spike: RunSpike = runSpike,
): Lab {
  const { rounds, durationS } = options
  const violations: string[] = []
  const run = async (name: string, config: BenchConfig): Promise<TrialResult> => {
    const trial = await tryTrial(config, hooks, runTrial)
    if (trial === undefined || trial.partial || hooks.signal.aborted) throw interrupted()
    violations.push(...violationsOf(trial, name))
    return trial
  }
  const alternate: Lab['alternate'] = async <Name extends string, Value>(
    lanes: Readonly<Record<Name, () => Promise<Value>>>,
  ) => {
    const names = Object.keys(lanes) as Name[]
    const values = Object.fromEntries(names.map((name) => [name, [] as Value[]])) as Record<
      Name,
      Value[]
    >
    for (let round = 0; round < rounds; round++) {
      for (const name of round % 2 === 0 ? names : names.toReversed()) {
        hooks.progress(`${name}, round ${round + 1} of ${rounds}`)
        values[name].push(await lanes[name]())
      }
    }
    return values
  }
  return {
    rounds,
    durationS,
    violations,
    spike,
    alternate,
    trial: (name, flags) => run(name, configOf(flags, options)),
    measure<Name extends string>(lanes: Readonly<Record<Name, Flags>>) {
      const names = Object.keys(lanes) as Name[]
      const runs = names.map((name) => {
        const config = configOf(lanes[name], options) // all are refused before any is run
        return [name, () => run(name, config)] as const
      })
      return alternate(Object.fromEntries(runs) as Record<Name, () => Promise<TrialResult>>)
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
