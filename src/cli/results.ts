/**
 * `npm run results`: measures what a report shows (about ten minutes on two cores) and writes a
 * folder under results/ with its JSON files, summary.md, report.html and charts. Exit status 1 when
 * a promise was broken or a measurement failed (the others are written), 2 where it cannot run, 130
 * when interrupted: what is complete is written, and marked partial.
 */
import { join } from 'node:path'
import { type Results, runResults } from '../../native-free-bench/run-results.ts'
import { writeResults } from '../../native-free-bench/results.ts'
import { runTrial } from '../../native-free-bench/run-trial.ts'
import { SUITES } from '../../native-free-bench/suites/all.ts'
import { type Exit, EXIT, exitOf } from './exit.ts'
import { withHooks } from './hooks.ts'
import { writeReport } from './report.ts'
import { schemaProblems } from './schemas.ts'

const OUT = 'results'

async function main(): Promise<Exit> {
  let isInterrupted = false
  const results = await withHooks({ progress: true }, async (hooks) => {
    hooks.progress('Everything that a report shows: about ten minutes on two cores. Ctrl-C keeps')
    hooks.progress('what is complete. Leave the machine alone meanwhile.')
    const measured = await runResults(hooks, runTrial, SUITES)
    isInterrupted = hooks.signal.aborted
    return measured
  })
  const problems = [...results.failures, ...problemsOf(results)]
  for (const problem of problems) process.stderr.write(`${problem}\n`)
  if (Object.keys(results.files).length === 0) return isInterrupted ? EXIT.interrupted : EXIT.failed
  const folder = join(OUT, writeResults(OUT, results.environment, results.files, writeReport))
  for (const name of ['summary.md', 'report.html'])
    process.stdout.write(`written: ${join(folder, name)}\n`)
  if (problems.length > 0) return EXIT.failed
  return isInterrupted ? EXIT.interrupted : EXIT.done
}

/** Broken promises, and results that are not what their schema says. */
function problemsOf({ files }: Results): string[] {
  return Object.entries(files).flatMap(([name, result]) => {
    if (result.schema === 'xpaxos-suites/1') return []
    const broken = result.violations.map((text) => `SAFETY VIOLATION: ${text}`)
    return [...broken, ...schemaProblems(result)].map((text) => `${name}: ${text}`)
  })
}

process.exitCode = await main().catch((error: unknown) =>
  exitOf(error, (line) => process.stderr.write(`${line}\n`)),
)
