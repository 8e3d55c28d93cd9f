/**
 * suite: the micro-benchmark suites, then a comparison of about a minute. The suites run first, on
 * a quiet machine, one after another. Trials and suites are parameters: tested without an engine.
 */
import type { Bench } from 'tinybench'
import { makeDataFolder } from './engines/data-folder.ts'
import { environmentOf } from './environment.ts'
import { checkDisk } from './run-bench.ts'
import { runCompare } from './run-compare.ts'
import type { Published, SuiteResult, SuitesResult } from './results.ts'
import type { CompareConfig, RunHooks, RunTrial } from './types.ts'

export interface Suite {
  readonly name: string
  readonly question: string
  /** `dir` is an empty folder on the disk in question. */
  readonly benchOf: (timeMs: number, dir: string) => Bench
  /** A sample is many calls, and how many can depend on the task. */
  readonly nsPerCall: (task: string, latencyMs: number) => number
}

const TASK_MS = 200

export async function runSuite(
  config: CompareConfig,
  hooks: RunHooks,
  runTrial: RunTrial,
  suites: readonly Suite[],
): Promise<Published> {
  checkDisk(config) // before minutes are spent
  const micro = await runSuites(suites, hooks)
  return { suites: micro, compare: await runCompare(config, hooks, runTrial) }
}

export async function runSuites(
  suites: readonly Suite[],
  hooks: RunHooks,
  timeMs = TASK_MS,
): Promise<SuitesResult> {
  const environment = environmentOf('.', new Date())
  const results: SuiteResult[] = []
  for (const suite of suites) {
    if (hooks.signal.aborted) break
    hooks.progress(`suite ${suite.name}`)
    const folder = makeDataFolder(null, false)
    try {
      const bench = suite.benchOf(timeMs, folder.dir)
      await bench.run()
      results.push(resultOf(suite, bench))
    } finally {
      folder.remove()
    }
  }
  const partial = hooks.signal.aborted
  const command = 'xpaxos suite'
  return { schema: 'xpaxos-suites/1', command, environment, suites: results, partial }
}

/** Only tasks that ran to their end have a row. */
function resultOf({ name, question, nsPerCall }: Suite, bench: Bench): SuiteResult {
  const rows = bench.tasks.flatMap(({ name: task, result }) => {
    if (result.state !== 'completed') return []
    const { p50, p99, rme, samplesCount } = result.latency
    return [
      {
        name: task,
        nsPerCallMedian: nsPerCall(task, p50),
        nsPerCallP99: nsPerCall(task, p99),
        errorPercent: rme,
        samples: samplesCount,
      },
    ]
  })
  return { suite: name, question, rows }
}
