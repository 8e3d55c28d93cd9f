/**
 * `npm run campaign -- [SECONDS] [FIRST]`: a long simulation on all cores; a quarter of the time
 * micro schedules, the rest what every seed draws for itself. Begins at the seed FIRST (default 1
 * million: apart from those that tests run). Writes results/simulation.json and .md. Exit status 1
 * when anything was violated or a counter stayed at 0, 2 for bad usage.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { environmentOf } from '../../native-free-bench/environment.ts'
import { type SimResult, runCampaign } from '../sim/campaign.ts'
import type { ClassName } from '../sim/classes.ts'
import { type Exit, EXIT } from './exit.ts'

const FOLDER = 'results'
const HOUR_S = 3_600
/** The part of the time that micro schedules get: one in so many seconds. */
const MICRO_SHARE = 4
const SEED_MAX = 2 ** 31 - 1

async function main([seconds = `${HOUR_S}`, first = '1000000']: readonly string[]): Promise<Exit> {
  const [budgetS, from] = [Number(seconds), Number(first)]
  const fits = (value: number, max: number): boolean =>
    Number.isInteger(value) && value >= 1 && value <= max
  if (!fits(budgetS, 100 * HOUR_S)) return refuse(`seconds: want 1 to ${100 * HOUR_S}`)
  if (!fits(from, SEED_MAX)) return refuse(`first seed: want 1 to ${SEED_MAX}`)
  const micro = await leg('micro', from, Math.ceil(budgetS / MICRO_SHARE))
  const full = await leg(null, from, budgetS - Math.ceil(budgetS / MICRO_SHARE))
  write(micro, full)
  const isClean = [micro, full].every(({ violations }) => violations === 0)
  return isClean && full.uncovered.length === 0 ? EXIT.done : EXIT.failed
}

function leg(className: ClassName | null, from: number, budgetS: number): Promise<SimResult> {
  const workers = availableParallelism()
  const progress = (text: string): void => void process.stderr.write(`\r${text}`)
  return runCampaign({ className, from, to: SEED_MAX, mutant: null, workers, budgetS, progress })
}

function refuse(problem: string): Exit {
  process.stderr.write(`${problem}\n`)
  return EXIT.badUsage
}

function write(micro: SimResult, full: SimResult): void {
  const environment = environmentOf('.', new Date())
  mkdirSync(FOLDER, { recursive: true })
  const json = { schema: 'xpaxos-campaign/1', environment, micro, full }
  writeFileSync(`${FOLDER}/simulation.json`, `${JSON.stringify(json, null, 2)}\n`)
  const text = textOf(micro, full, environment)
  writeFileSync(`${FOLDER}/simulation.md`, text)
  process.stdout.write(text)
}

function textOf(
  micro: SimResult,
  full: SimResult,
  { commit, dirty, node, cpuModel, cores }: ReturnType<typeof environmentOf>,
): string {
  const classes = Object.entries(full.classes).map(
    ([name, { schedules, events, simulatedMs, busyMs }]) => {
      const rates = [(1_000 * schedules) / busyMs, simulatedMs / busyMs]
      return row([name, schedules, events, ...rates.map((rate) => rate.toFixed(1))])
    },
  )
  const failures = [...micro.failures, ...full.failures].map(({ replay }) => `- \`${replay}\``)
  return [
    '# Simulation',
    '',
    `Written by \`npm run campaign\` at ${commit}${dirty ? ' (changed)' : ''}, Node ${node},`,
    `${cpuModel}, ${cores} cores.`,
    '',
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

process.exitCode = await main(process.argv.slice(2))
