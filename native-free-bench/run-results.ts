/**
 * `npm run results`: everything that the pages of a report show, in about ten minutes: the suite,
 * the ladder, a leader's death, and three engines under steady rates up to near their peaks. One
 * measurement that fails does not lose the others; an interrupt keeps what is complete. Trials and
 * suites are parameters: tested without an engine.
 */
import { benchCommand, compareCommand } from './command-of.ts'
import { environmentOf } from './environment.ts'
import { parseBench, parseCompare } from './options.ts'
import type { SuitesResult } from './results.ts'
import { checkDisk, runBench } from './run-bench.ts'
import { runCompare } from './run-compare.ts'
import { runSuites, type Suite } from './run-suite.ts'
import type {
  BenchConfig,
  BenchResult,
  CompareConfig,
  CompareResult,
  EngineName,
  Environment,
  RunHooks,
  RunTrial,
} from './types.ts'

export interface Results {
  readonly environment: Environment
  /** By the name of their file, without `.json`. */
  readonly files: Readonly<Record<string, BenchResult | CompareResult | SuitesResult>>
  /** Measurements that could not be made, and why. */
  readonly failures: readonly string[]
}

/** Of what each engine reached in the comparison, in percent. */
const SHARES = [10, 25, 50, 75, 90] as const
const LOADED: readonly EngineName[] = ['xpaxos', 'limit', 'basic-paxos']
const LADDER = { ladder: true, duration: '2', trials: '3' }
const KILL = { duration: '12', killLeaderAfter: '7' }
const LOAD = { duration: '2', trials: '3' }

/** @throws ReplicaError E_CONFIG_INVALID where the working directory is on a tmpfs */
export async function runResults(
  hooks: RunHooks,
  runTrial: RunTrial,
  suites: readonly Suite[],
): Promise<Results> {
  const engines = compareOf({}, 'suite')
  checkDisk(engines) // before minutes are spent
  const files: Record<string, BenchResult | CompareResult | SuitesResult> = {}
  const failures: string[] = []
  async function attempt<Result extends (typeof files)[string]>(
    name: string,
    command: string,
    measure: () => Promise<Result>,
  ): Promise<Result | undefined> {
    if (hooks.signal.aborted) return undefined
    hooks.progress(`${name}.json: ${command}`)
    try {
      const result = await measure()
      files[name] = result
      return result
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      if (!hooks.signal.aborted) failures.push(`${name}: ${reason}`)
      return undefined
    }
  }
  const bench = (name: string, config: BenchConfig) =>
    attempt(name, benchCommand(config), () => runBench(config, hooks, runTrial))
  const compare = (name: string, config: CompareConfig) =>
    attempt(name, compareCommand(config), () => runCompare(config, hooks, runTrial))

  const environment = environmentOf('.', new Date())
  await attempt('suites', 'the parts of xpaxos suite', () => runSuites(suites, hooks))
  const compared = await compare('compare', engines)
  await compare('ladder', compareOf(LADDER))
  await bench('leader-kill', benchOf(KILL))
  for (const [name, config] of loadsOf(compared)) await bench(name, config)
  return { environment, files, failures }
}

/** Steady rates, as shares of what each engine reached; none of an engine that reached nothing. */
function loadsOf(compared: CompareResult | undefined): [name: string, config: BenchConfig][] {
  const rows = LOADED.flatMap((engine) => compared?.rows.find((row) => row.engine === engine) ?? [])
  return rows.flatMap(({ engine, throughputPerS }) =>
    SHARES.map((share): [string, BenchConfig] => {
      const rate = String(Math.max(1, Math.floor((throughputPerS.median * share) / 100)))
      return [`load-${engine}-${share}`, benchOf({ engine, rate, ...LOAD })]
    }),
  )
}

function benchOf(flags: Readonly<Record<string, unknown>>): BenchConfig {
  const { config, problems } = parseBench({ flags })
  if (config === undefined) throw new Error(problems.join('; '))
  return config
}

function compareOf(
  flags: Readonly<Record<string, unknown>>,
  command: 'compare' | 'suite' = 'compare',
): CompareConfig {
  const { config, problems } = parseCompare({ flags }, command)
  if (config === undefined) throw new Error(problems.join('; '))
  return config
}
