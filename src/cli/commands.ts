/**
 * The bodies of bench, compare and suite: parse, run under hooks, print, write, and say how it
 * ended. Nothing is written before the options are known to be sound. SIGINT and SIGTERM end the
 * run early and keep what is complete; a second one ends the process.
 */
import { accessSync, constants, existsSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { CommandName } from '../../native-free-bench/option-table.ts'
import { parseBench, parseCompare, type Raw } from '../../native-free-bench/options.ts'
import { benchText, compareText, violationText } from '../../native-free-bench/report/text.ts'
import { jsonOf, suiteText, writeResults } from '../../native-free-bench/results.ts'
import type { BenchResult, CompareResult, RunHooks } from '../../native-free-bench/types.ts'
import { type Exit, EXIT, UsageError } from './exit.ts'

type Flags = Readonly<Record<string, unknown>>

/** @throws UsageError with every problem of the command line at once */
export async function runCommand(
  name: CommandName,
  raw: Raw,
  problems: readonly string[],
): Promise<Exit> {
  switch (name) {
    case 'bench':
      return bench(raw, problems)
    case 'compare':
      return compare(raw, problems)
    case 'suite':
      return suite(raw, problems)
  }
}

async function bench(raw: Raw, problems: readonly string[]): Promise<Exit> {
  const { config, problems: found } = parseBench(raw)
  refuse(problems, found, outputProblems(raw.flags))
  const { runBench } = await import('../../native-free-bench/run-bench.ts')
  const { runTrial } = await import('../../native-free-bench/run-trial.ts')
  const result = await withHooks(raw.flags, (hooks) => runBench(config!, hooks, runTrial))
  return report(raw.flags, result, benchText(result))
}

async function compare(raw: Raw, problems: readonly string[]): Promise<Exit> {
  const { config, problems: found } = parseCompare(raw)
  refuse(problems, found, outputProblems(raw.flags))
  const { runCompare } = await import('../../native-free-bench/run-compare.ts')
  const { runTrial } = await import('../../native-free-bench/run-trial.ts')
  const result = await withHooks(raw.flags, (hooks) => runCompare(config!, hooks, runTrial))
  return report(raw.flags, result, compareText(result))
}

async function suite(raw: Raw, problems: readonly string[]): Promise<Exit> {
  const { config, problems: found } = parseCompare(raw, 'suite')
  refuse(problems, found, outputProblems(raw.flags))
  const { runSuite } = await import('../../native-free-bench/run-suite.ts')
  const { SUITES } = await import('../../native-free-bench/suites/all.ts')
  const { runTrial } = await import('../../native-free-bench/run-trial.ts')
  const published = await withHooks(raw.flags, (hooks) =>
    runSuite(config!, hooks, runTrial, SUITES),
  )
  const given = raw.flags['out']
  const out = typeof given === 'string' ? given : 'results'
  const folder = writeResults(out, published)
  const { compare: result, suites } = published
  const text = suites.suites.map((one) => `${suiteText(one)}\n`).join('')
  return report(raw.flags, result, `${compareText(result)}\n${text}written: ${join(out, folder)}\n`)
}

function refuse(...lists: readonly (readonly string[])[]): void {
  const problems = [...new Set(lists.flat())]
  if (problems.length > 0) throw new UsageError(problems)
}

/** Found before minutes are spent: where JSON goes must be writable when the run is over. */
function outputProblems({ json }: Flags): string[] {
  if (typeof json !== 'string' || json === '-' || json === '') return []
  const folder = dirname(resolve(json))
  try {
    const isFolder = existsSync(json) && statSync(json).isDirectory()
    if (isFolder) return [`--json: ${json} is a folder`]
    accessSync(existsSync(json) ? json : folder, constants.W_OK)
    return []
  } catch {
    return [`--json: cannot write ${json}`]
  }
}

async function withHooks<T>(flags: Flags, run: (hooks: RunHooks) => Promise<T>): Promise<T> {
  const interrupt = new AbortController()
  const onSignal = (): void => {
    if (interrupt.signal.aborted) process.exit(EXIT.interrupted)
    interrupt.abort()
  }
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const signal of signals) process.on(signal, onSignal)
  try {
    return await run({ progress: progressOf(flags), signal: interrupt.signal })
  } finally {
    for (const signal of signals) process.off(signal, onSignal)
  }
}

function progressOf(flags: Flags): (text: string) => void {
  const isWanted = flags['progress'] === true || process.stderr.isTTY
  return isWanted ? (text) => void process.stderr.write(`${text}\n`) : () => undefined
}

/** Violations first, then the result; JSON on stdout leaves nothing else there. */
async function report(
  flags: Flags,
  result: BenchResult | CompareResult,
  text: string,
): Promise<Exit> {
  const { json } = flags
  if (json === '-') {
    process.stderr.write(violationText(result.violations))
    process.stdout.write(jsonOf(result))
  } else {
    process.stdout.write(text)
    if (typeof json === 'string') writeFileSync(json, jsonOf(result))
  }
  const { schemaProblems } = await import('./schemas.ts')
  const problems = schemaProblems(result)
  for (const problem of problems) process.stderr.write(`not ${result.schema}: ${problem}\n`)
  if (result.violations.length > 0 || problems.length > 0) return EXIT.failed
  return result.partial ? EXIT.interrupted : EXIT.done
}
