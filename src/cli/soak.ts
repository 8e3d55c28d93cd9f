/**
 * `npm run soak -- [MINUTES]`: the engine at 80 % of the peak it has just shown, for 20 minutes if
 * nothing else is said; memory and p99 must stay what they were. Writes results/soak.json and .md.
 * Exit status 1 when a figure was not kept or a promise broken, 2 for bad usage, 130 when
 * interrupted: then nothing is written.
 */
import { runTrial } from '../../native-free-bench/run-trial.ts'
import { isVerified, runVerify, verifyText } from '../../native-free-bench/verify/run-verify.ts'
import { soakRow } from '../../native-free-bench/verify/soak-row.ts'
import { type Exit, EXIT, exitOf } from './exit.ts'
import { withHooks } from './hooks.ts'
import { countOf, fenced, writeResult } from './long-runs.ts'

const MINUTES = 20
const MINUTES_MAX = 10_000
const PEAK = { rounds: 1, durationS: 10, warmupS: 5, dataDir: null }

async function main([given]: readonly string[]): Promise<Exit> {
  const minutes = countOf('minutes', given ?? `${MINUTES}`, MINUTES_MAX)
  const result = await withHooks({ progress: true }, (hooks) =>
    runVerify([soakRow(minutes)], PEAK, hooks, runTrial),
  )
  if (result.partial) return EXIT.interrupted
  const { environment, ...rest } = result
  const origin = { file: 'soak', title: 'Soak', command: 'npm run soak', environment }
  writeResult(origin, { ...rest, minutes }, fenced(verifyText(result)))
  process.stdout.write(verifyText(result))
  return isVerified(result) ? EXIT.done : EXIT.failed
}

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) =>
  exitOf(error, (line) => process.stderr.write(`${line}\n`)),
)
