/**
 * The body of `sim`: a campaign over seeds, one seed again, or a list. Exit status 0 nothing was
 * violated, 1 something was (so also when a mutant is caught, or a campaign missed a counter), 2
 * bad usage, 130 interrupted.
 */
import { accessSync, constants, existsSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, resolve } from 'node:path'
import type { SimResult } from '../sim/campaign.ts'
import { CLASSES, CLASS_NAMES, type ClassName, isClassName } from '../sim/classes.ts'
import { COUNTERS, PENDING_COUNTERS } from '../sim/coverage.ts'
import { INVARIANTS, PENDING_INVARIANTS } from '../sim/invariants.ts'
import { MUTANTS } from '../sim/mutants.ts'
import type { ReplayResult } from '../sim/replay.ts'
import { EXPLORER_MUTANTS } from '../sim/explore/mutants.ts'
import { type Exit, EXIT, UsageError } from './exit.ts'
import { type ExploreFlags, exploreWantedOf, runExplore, scopesText } from './explore.ts'

export interface SimFlags extends ExploreFlags {
  readonly seeds?: unknown
  readonly class?: unknown
  readonly budget?: unknown
  readonly mutant?: unknown
  readonly workers?: unknown
  readonly json?: unknown
  readonly replay?: unknown
  readonly trace?: unknown
  readonly shrink?: unknown
  readonly listClasses?: unknown
  readonly listMutants?: unknown
  readonly listScopes?: unknown
  readonly coverage?: unknown
  readonly progress?: unknown
}

const ALL_MUTANTS = [...MUTANTS, ...EXPLORER_MUTANTS]
const SEED_MAX = 2 ** 48
const WORKERS_MAX = 64
const BUDGET_MAX_S = 86_400

interface Wanted {
  readonly seeds: readonly [from: number, to: number] | null
  readonly replay: number | null
  readonly className: ClassName | null
  readonly mutant: string | null
  readonly workers: number
  readonly budgetS: number | null
}

/** @throws UsageError with every problem at once */
export async function runSim(flags: SimFlags, unknown: readonly string[]): Promise<Exit> {
  const problems = [...unknown]
  const wanted = wantedOf(flags, problems)
  const explore = exploreWantedOf(flags, problems)
  jsonProblems(flags, problems)
  if (problems.length > 0) throw new UsageError(problems)
  if (flags.listClasses === true) return print(classesText())
  if (flags.listMutants === true) return print(mutantsText())
  if (flags.listScopes === true) return print(scopesText())
  if (explore !== null) return runExplore({ ...wanted, ...explore }, flags.json)
  if (wanted.replay !== null) return replay(flags, wanted, wanted.replay)
  if (wanted.seeds === null) return print(countersText())
  return campaign(flags, wanted, wanted.seeds)
}

// ---- The command line -------------------------------------------------------------------------

function wantedOf(flags: SimFlags, problems: string[]): Wanted {
  const wanted: Wanted = {
    seeds: flags.seeds === undefined ? null : seedsOf(flags.seeds, problems),
    replay:
      flags.replay === undefined
        ? null
        : wholeOf('--replay', flags.replay, [0, SEED_MAX], problems),
    className: classNameOf(flags.class, problems),
    mutant: mutantNameOf(flags.mutant, problems),
    workers:
      flags.workers === undefined
        ? Math.min(2, availableParallelism())
        : wholeOf('--workers', flags.workers, [1, WORKERS_MAX], problems),
    budgetS:
      flags.budget === undefined
        ? null
        : wholeOf('--budget', flags.budget, [1, BUDGET_MAX_S], problems),
  }
  whatProblems(flags, problems)
  for (const flag of ['trace', 'shrink'] as const) {
    if (flags[flag] === true && flags.replay === undefined) {
      problems.push(`--${flag}: only with --replay`)
    }
  }
  return wanted
}

/** One of what a call may be about. */
function whatProblems(flags: SimFlags, problems: string[]): void {
  const { seeds, replay, explore, listClasses, listMutants, listScopes, coverage } = flags
  const isList = listClasses === true || listMutants === true || listScopes === true
  const isCounters = coverage === true && replay === undefined
  const isRun = seeds !== undefined || replay !== undefined || explore !== undefined
  if (!isList && !isCounters && !isRun) {
    const others = '--replay, --explore, --list-classes, --list-mutants, --list-scopes, --coverage'
    problems.push(`--seeds: missing (or ${others})`)
  }
  for (const [flag, given] of Object.entries({ replay, explore })) {
    if (seeds !== undefined && given !== undefined) {
      problems.push(`--${flag}: not together with --seeds`)
    }
  }
}

function seedsOf(given: unknown, problems: string[]): readonly [number, number] {
  const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(String(given)) ?? []
  const range = [Number(from), Number(to)] as const
  if (!(range[0] <= range[1] && range[1] <= SEED_MAX)) {
    problems.push('--seeds: want A..B with A <= B')
  }
  return range
}

function wholeOf(
  flag: string,
  given: unknown,
  [min, max]: readonly [number, number],
  problems: string[],
): number {
  const value = typeof given === 'string' && /^\d+$/.test(given) ? Number(given) : NaN
  if (!(value >= min && value <= max)) {
    problems.push(`${flag}: want an integer in [${min}, ${max}]`)
  }
  return value
}

function classNameOf(given: unknown, problems: string[]): ClassName | null {
  if (given === undefined) return null
  if (typeof given === 'string' && isClassName(given)) return given
  problems.push(`--class: want one of ${CLASS_NAMES.join(', ')}`)
  return null
}

function mutantNameOf(given: unknown, problems: string[]): string | null {
  if (given === undefined) return null
  if (!import.meta.url.endsWith('.ts')) problems.push('--mutant: works from a checkout only')
  else if (!ALL_MUTANTS.some(({ name }) => name === given)) {
    problems.push(`--mutant: ${typeof given === 'string' ? given : ''} is none of --list-mutants`)
  }
  return typeof given === 'string' ? given : null
}

/** Found before minutes are spent: where JSON goes must be writable when the run is over. */
function jsonProblems({ json }: SimFlags, problems: string[]): void {
  if (json === undefined || json === '-') return
  if (typeof json !== 'string' || json === '') return void problems.push('--json: want FILE or -')
  try {
    if (existsSync(json) && statSync(json).isDirectory()) {
      return void problems.push(`--json: ${json} is a folder`)
    }
    accessSync(existsSync(json) ? json : dirname(resolve(json)), constants.W_OK)
  } catch {
    problems.push(`--json: cannot write ${json}`)
  }
}

// ---- A campaign -------------------------------------------------------------------------------

async function campaign(
  flags: SimFlags,
  wanted: Wanted,
  [from, to]: readonly [number, number],
): Promise<Exit> {
  const { runCampaign } = await import('../sim/campaign.ts')
  const interrupt = new AbortController()
  const onSignal = (): void => interrupt.abort()
  process.once('SIGINT', onSignal)
  process.once('SIGTERM', onSignal)
  const isWanted = flags.progress === true || process.stderr.isTTY
  const progress = (text: string): void => {
    if (isWanted) process.stderr.write(`${text}\n`)
  }
  try {
    const { signal } = interrupt
    const result = await runCampaign({ ...wanted, from, to, signal, progress })
    report(flags, result)
    if (result.violations > 0 || result.uncovered.length > 0) return EXIT.failed
    return interrupt.signal.aborted ? EXIT.interrupted : EXIT.done
  } finally {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}

function report(flags: SimFlags, result: SimResult): void {
  const { json } = flags
  const lines = result.failures.map(
    ({ seed, class: className, message, replay }) =>
      `seed ${seed} class ${className} ${message}; replay: ${replay}\n`,
  )
  if (json === '-') {
    process.stderr.write(lines.join(''))
    process.stdout.write(jsonOf(result))
    return
  }
  process.stdout.write(lines.join('') + resultText(result, flags.coverage === true))
  if (typeof json === 'string') writeFileSync(json, jsonOf(result))
}

const jsonOf = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

function resultText(result: SimResult, withCoverage: boolean): string {
  const { schedules, events, eventsPerS, schedulesPerS, simulatedToReal, durationS } = result
  const lines = [
    `${schedules} schedules, ${events} events, ${result.violations} violations in ${durationS} s`,
    `${eventsPerS} events/s, ${schedulesPerS} schedules/s, simulated : real ${simulatedToReal}`,
    `trace ${result.traceHash}`,
  ]
  if (withCoverage) {
    for (const name of COUNTERS) lines.push(`${name.padEnd(32)} ${result.coverage[name]}`)
  }
  for (const name of result.uncovered) lines.push(`never happened: ${name}`)
  return `${lines.join('\n')}\n`
}

// ---- One seed ---------------------------------------------------------------------------------

async function replay(flags: SimFlags, wanted: Wanted, seed: number): Promise<Exit> {
  const { replaySeed } = await import('../sim/campaign.ts')
  const { className, mutant } = wanted
  const withTrace = flags.trace === true
  const withShrink = flags.shrink === true
  const result = await replaySeed({ seed, className, withTrace, withShrink }, mutant)
  if (flags.json === '-') process.stdout.write(jsonOf(result))
  else {
    process.stdout.write(replayText(result))
    if (typeof flags.json === 'string') writeFileSync(flags.json, jsonOf(result))
  }
  return result.violation === null ? EXIT.done : EXIT.failed
}

function replayText({ chart, shrunk, violation, ...result }: ReplayResult): string {
  const { seed, className, events, simulatedMs, traceHash } = result
  const lines: string[] = []
  if (chart !== '') lines.push(chart.trimEnd())
  if (shrunk !== null) {
    const { opsBefore, opsAfter, eventsBefore, eventsAfter, runs, ops } = shrunk
    lines.push(`shrunk in ${runs} runs: operations ${opsBefore} -> ${opsAfter},`)
    lines.push(`events ${eventsBefore} -> ${eventsAfter}; what is left:`, ...ops)
  }
  lines.push(`seed ${seed} class ${className}: ${events} events, ${simulatedMs} ms simulated`)
  lines.push(violation === null ? 'no violation' : violation.message, `trace ${traceHash}`)
  return `${lines.join('\n')}\n`
}

// ---- Lists ------------------------------------------------------------------------------------

function print(text: string): Exit {
  process.stdout.write(text)
  return EXIT.done
}

const classesText = (): string =>
  CLASS_NAMES.map((name) => `${name.padEnd(22)} ${CLASSES[name].what}\n`).join('')

const mutantsText = (): string =>
  ALL_MUTANTS.map(({ name, invariant }) => `${name} ${invariant}\n`).join('')

function countersText(): string {
  const pending = (table: Readonly<Record<string, string>>): string[] =>
    Object.entries(table).map(([name, why]) => `${name.padEnd(32)} pending: ${why}`)
  const invariants = Object.entries(INVARIANTS).map(([id, what]) => `${id.padEnd(32)} ${what}`)
  const lines = [
    ...COUNTERS,
    ...pending(PENDING_COUNTERS),
    ...invariants,
    ...pending(PENDING_INVARIANTS),
  ]
  return `${lines.join('\n')}\n`
}
