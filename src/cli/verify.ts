/** The body of `xpaxos verify`: parse, measure row by row, print the table, say how it ended. */
import { writeFileSync } from 'node:fs'
import { runTrial } from '../../native-free-bench/run-trial.ts'
import { jsonOf } from '../../native-free-bench/results.ts'
import { MISSING, ROWS } from '../../native-free-bench/verify/rows.ts'
import { isVerified, runVerify, verifyText } from '../../native-free-bench/verify/run-verify.ts'
import { type Exit, EXIT } from './exit.ts'
import { type Flags, outputProblems, refuse, withHooks } from './hooks.ts'

const WARMUP_S = 1

export async function runVerifyCommand(flags: Flags, problems: readonly string[]): Promise<Exit> {
  const rounds = numberOf(flags, 'rounds', 1, 100)
  const durationS = numberOf(flags, 'duration', 0.5, 3_600)
  const bare = ['rows', 'json', 'dataDir'].filter((key) => flags[key] === true)
  const names = typeof flags['rows'] === 'string' ? flags['rows'].split(',') : null
  const known = ROWS.map(({ name }) => name)
  const unknown = (names ?? []).filter((name) => !known.includes(name))
  refuse(
    problems,
    bare.map((key) => `--${key.replace('D', '-d')}: want a value`),
    typeof rounds === 'string' ? [rounds] : [],
    typeof durationS === 'string' ? [durationS] : [],
    unknown.map((name) => `--rows: want some of ${known.join(', ')}, not ${name}`),
    outputProblems(flags),
  )
  const rows = ROWS.filter(({ name }) => names?.includes(name) ?? true)
  const given = flags['dataDir']
  const dataDir = typeof given === 'string' ? given : null
  const options = {
    rounds: Number(rounds),
    durationS: Number(durationS),
    warmupS: WARMUP_S,
    dataDir,
    missing: MISSING,
  }
  const result = await withHooks(flags, (hooks) => runVerify(rows, options, hooks, runTrial))
  const { json } = flags
  const { schema, ...rest } = result
  const command = commandOf(names, options.rounds, options.durationS)
  const content = jsonOf({ schema, command, ...rest })
  if (json === '-') process.stdout.write(content)
  else {
    process.stdout.write(verifyText(result))
    if (typeof json === 'string') writeFileSync(json, content)
  }
  if (json === '-') for (const text of result.violations) process.stderr.write(`${text}\n`)
  if (result.partial && result.violations.length === 0) return EXIT.interrupted
  return isVerified(result) ? EXIT.done : EXIT.failed
}

/** What measures it again, without the data directory. */
function commandOf(names: readonly string[] | null, rounds: number, durationS: number): string {
  const rows = names === null ? '' : ` --rows ${names.join(',')}`
  return `xpaxos verify${rows} --rounds ${rounds} --duration ${durationS}`
}

/** The number, or the refusal. */
function numberOf(flags: Flags, key: string, min: number, max: number): number | string {
  const value = Number(flags[key])
  if (value >= min && value <= max) return value
  return `--${key}: want a number in [${min}, ${max}], not ${String(flags[key])}`
}
