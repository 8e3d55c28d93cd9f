/**
 * `npm run campaign -- [SECONDS] [FIRST]`: a long simulation on all cores; three tenths of the time
 * micro schedules, the rest what every seed draws for itself. Begins at the seed FIRST (default 1
 * million: apart from those that tests run). Writes results/simulation.json and .md. Exit status 1
 * when anything was violated or a counter stayed at 0, 2 for bad usage.
 */
import { availableParallelism } from 'node:os'
import { environmentOf } from '../../native-free-bench/environment.ts'
import { type SimResult, runCampaign } from '../sim/campaign.ts'
import type { ClassName } from '../sim/classes.ts'
import { type Exit, EXIT, exitOf } from './exit.ts'
import { countOf, writeResult } from './long-runs.ts'

const HOUR_S = 3_600
/** The part of the time that micro schedules get. */
const MICRO_SHARE = 0.3
const SEED_MAX = 2 ** 31 - 1

async function main([seconds = `${HOUR_S}`, first = '1000000']: readonly string[]): Promise<Exit> {
  const budgetS = countOf('seconds', seconds, 100 * HOUR_S)
  const from = countOf('first seed', first, SEED_MAX)
  const microS = Math.ceil(budgetS * MICRO_SHARE)
  const micro = await leg('micro', from, microS)
  const full = await leg(null, from, budgetS - microS)
  write(micro, full)
  const isClean = [micro, full].every(({ violations }) => violations === 0)
  return isClean && full.uncovered.length === 0 ? EXIT.done : EXIT.failed
}

function leg(className: ClassName | null, from: number, budgetS: number): Promise<SimResult> {
  const workers = availableParallelism()
  const progress = (text: string): void => void process.stderr.write(`\r${text}`)
  return runCampaign({ className, from, to: SEED_MAX, mutant: null, workers, budgetS, progress })
}

function write(micro: SimResult, full: SimResult): void {
  const text = textOf(micro, full)
  const json = { schema: 'xpaxos-campaign/1', micro, full }
  const environment = environmentOf('.', new Date())
  const origin = {
    file: 'simulation',
    title: 'Simulation',
    command: 'npm run campaign',
    environment,
  }
  writeResult(origin, json, text)
  process.stdout.write(text)
}

function textOf(micro: SimResult, full: SimResult): string {
  const classes = Object.entries(full.classes).map(
    ([name, { schedules, events, simulatedMs, busyMs }]) => {
      const rates = [(1_000 * schedules) / busyMs, simulatedMs / busyMs]
      return row([name, schedules, events, ...rates.map((rate) => rate.toFixed(1))])
    },
  )
  const failures = [...micro.failures, ...full.failures].map(({ replay }) => `- \`${replay}\``)
  return [
    row(['run', 'schedules', 'events', 'violations', 'seconds', 'schedules/s', 'simulated : real']),
    row(Array.from({ length: 7 }, () => '---')),
    rateRow('micro', micro),
    rateRow('all classes', full),
    '',
    'Per class of the second run, rates of one core:',
    '',
    row(['class', 'schedules', 'events', 'schedules/s', 'simulated : real']),
    row(Array.from({ length: 5 }, () => '---')),
    ...classes,
    '',
    `Counters at 0: ${full.uncovered.length === 0 ? 'none' : full.uncovered.join(', ')}.`,
    ...failures,
    '',
  ].join('\n')
}

const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`

const rateRow = (name: string, result: SimResult): string =>
  row([
    ...[name, result.schedules, result.events, result.violations, result.durationS.toFixed(0)],
    ...[result.schedulesPerS.toFixed(1), result.simulatedToReal.toFixed(0)],
  ])

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) =>
  exitOf(error, (line) => process.stderr.write(`${line}\n`)),
)
