/**
 * `npm run layouts -- [ROUNDS]`: measures every layout of threads under loads from one entry in
 * flight to as many as there may be, over memory links and sockets (about 10 minutes for 3 rounds);
 * writes results/layouts.json and results/layouts.md. Exit status 1 when a trial broke a promise, 2
 * for bad usage, 130 when interrupted: then nothing is written.
 */
import { environmentOf } from '../../native-free-bench/environment.ts'
import { layoutsText, runLayouts } from '../../native-free-bench/layouts/run-layouts.ts'
import { runTrial } from '../../native-free-bench/run-trial.ts'
import { createLab } from '../../native-free-bench/verify/lab.ts'
import { type Exit, EXIT, exitOf } from './exit.ts'
import { withHooks } from './hooks.ts'
import { countOf, fenced, writeResult } from './long-runs.ts'

const ROUNDS = 3
const TRIAL = { durationS: 1.5, warmupS: 1.5, dataDir: null }

async function main([given]: readonly string[]): Promise<Exit> {
  const rounds = countOf('rounds', given ?? `${ROUNDS}`, 100)
  const environment = environmentOf('.', new Date())
  const result = await withHooks({ progress: true }, (hooks) =>
    runLayouts(createLab({ rounds, ...TRIAL }, hooks, runTrial)),
  )
  const text = layoutsText(result)
  const json = { schema: 'xpaxos-layouts/1', rounds, ...TRIAL, ...result }
  const origin = {
    file: 'layouts',
    title: 'Layouts of threads',
    command: 'npm run layouts',
    environment,
  }
  writeResult(origin, json, fenced(text))
  process.stdout.write(text)
  return result.violations.length === 0 ? EXIT.done : EXIT.failed
}

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) =>
  exitOf(error, (line) => process.stderr.write(`${line}\n`)),
)
