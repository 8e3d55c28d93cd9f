/**
 * The bodies of bench, compare, suite and tune: parse, run under hooks, print, write, and say how
 * it ended. Nothing is written before the options are known to be sound. SIGINT and SIGTERM end the
 * run early and keep what is complete; a second one ends the process.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CommandName } from '../../native-free-bench/option-table.ts'
import { parseBench, parseCompare, parseTune, type Raw } from '../../native-free-bench/options.ts'
import { tuneText } from '../../native-free-bench/report/tune-text.ts'
import { benchText, compareText, violationText } from '../../native-free-bench/report/text.ts'
import { jsonOf, suiteText, writeResults } from '../../native-free-bench/results.ts'
import { tunedConfigOf } from '../../native-free-bench/tune/tuned-config.ts'
import type { BenchResult, CompareResult, TuneResult } from '../../native-free-bench/types.ts'
import { type Exit, EXIT } from './exit.ts'
import { fileProblems, type Flags, outputProblems, refuse, withHooks } from './hooks.ts'

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
    case 'tune':
      return tune(raw, problems)
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
  const { compare: result, suites } = published
  const { writeReport } = await import('./report.ts')
  const files = { compare: result, suites }
  const folder = writeResults(out, result.environment, files, writeReport)
  const text = suites.suites.map((one) => `${suiteText(one)}\n`).join('')
  return report(raw.flags, result, `${compareText(result)}\n${text}written: ${join(out, folder)}\n`)
}

async function tune(raw: Raw, problems: readonly string[]): Promise<Exit> {
  const { config, problems: found } = parseTune(raw)
  const { out } = raw.flags
  refuse(problems, found, outputProblems(raw.flags), fileProblems('--out', out))
  const { runTune } = await import('../../native-free-bench/tune/run-tune.ts')
  const { runTrial } = await import('../../native-free-bench/run-trial.ts')
  const result = await withHooks(raw.flags, (hooks) => runTune(config!, hooks, runTrial))
  const { best, violations } = result
  const isWritten = typeof out === 'string' && best !== null && violations.length === 0
  if (isWritten) writeFileSync(out, jsonOf(tunedConfigOf(result.config, best)))
  const text = `${tuneText(result)}${isWritten ? `\nwritten: ${out}\n` : ''}`
  const exit = await report(raw.flags, result, text)
  return exit === EXIT.done && best === null ? EXIT.failed : exit
}

/** Violations first, then the result; JSON on stdout leaves nothing else there. */
async function report(
  flags: Flags,
  result: BenchResult | CompareResult | TuneResult,
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
