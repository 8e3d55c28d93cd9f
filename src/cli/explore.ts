/**
 * The body of `sim --explore`: every order of what small scopes allow, or one path again. Exit
 * status 0 nothing was violated, 1 something was, 2 bad usage.
 */
import { writeFileSync } from 'node:fs'
import type { ExploreResult, PathResult } from '../sim/explore/explore.ts'
import { SCOPES, scopeIn } from '../sim/explore/scope.ts'
import { type Exit, EXIT } from './exit.ts'

export interface ExploreWanted {
  /** As scope.ts writes them. */
  readonly scopes: readonly string[]
  readonly path: readonly number[] | null
  readonly depthMax: number
  readonly statesMax: number
  readonly budgetS: number | null
  readonly mutant: string | null
}

export interface ExploreFlags {
  readonly explore?: unknown
  readonly path?: unknown
  readonly depth?: unknown
  readonly states?: unknown
}

const STATES_DEFAULT = 2_000_000
const STATES_MAX = 50_000_000
const DEPTH_MAX = 10_000

type Bounded = Pick<ExploreWanted, 'scopes' | 'path' | 'depthMax' | 'statesMax'>

/** Null: nothing is to be explored. */
export function exploreWantedOf(flags: ExploreFlags, problems: string[]): Bounded | null {
  const { explore, path, depth, states } = flags
  if (explore === undefined) {
    for (const [flag, given] of Object.entries({ path, depth, states })) {
      if (given !== undefined) problems.push(`--${flag}: only with --explore`)
    }
    return null
  }
  const scopes = typeof explore === 'string' ? [explore] : Object.keys(SCOPES)
  for (const scope of scopes) {
    const found = scopeIn(scope)
    if ('problem' in found) problems.push(`--explore: ${found.problem}`)
  }
  if (path !== undefined && typeof explore !== 'string') problems.push('--path: only in one scope')
  return {
    scopes,
    path: path === undefined ? null : pathOf(path, problems),
    depthMax: countOf('--depth', depth ?? String(DEPTH_MAX), DEPTH_MAX, problems),
    statesMax: countOf('--states', states ?? String(STATES_DEFAULT), STATES_MAX, problems),
  }
}

function pathOf(given: unknown, problems: string[]): number[] {
  if (typeof given === 'string' && /^\d+(\.\d+)*$/.test(given)) return given.split('.').map(Number)
  problems.push('--path: want places of actions, as 0.2.1')
  return []
}

function countOf(flag: string, given: unknown, max: number, problems: string[]): number {
  const value = typeof given === 'string' && /^\d+$/.test(given) ? Number(given) : NaN
  if (!(value >= 1 && value <= max)) problems.push(`${flag}: want an integer in [1, ${max}]`)
  return value
}

export async function runExplore(wanted: ExploreWanted, json: unknown): Promise<Exit> {
  const { exploreScope, followPath } = await import('../sim/campaign.ts')
  const { scopes, path, depthMax, statesMax, budgetS, mutant } = wanted
  if (path !== null) {
    const result = await followPath({ scope: scopes[0]!, path }, mutant)
    report(json, result, pathText(result))
    return result.violation === null ? EXIT.done : EXIT.failed
  }
  const results: ExploreResult[] = []
  for (const scope of scopes) {
    const result = await exploreScope({ scope, depthMax, statesMax, budgetS }, mutant)
    if (json !== '-') process.stdout.write(resultText(result, mutant))
    results.push(result)
  }
  report(json, results, '')
  return results.every(({ violation }) => violation === null) ? EXIT.done : EXIT.failed
}

function report(json: unknown, result: unknown, text: string): void {
  const body = `${JSON.stringify(result, null, 2)}\n`
  process.stdout.write(json === '-' ? body : text)
  if (typeof json === 'string' && json !== '-') writeFileSync(json, body)
}

function resultText(result: ExploreResult, mutant: string | null): string {
  const { scope, states, transitions, depth, isComplete, nodes, steps, durationS } = result
  const { violation } = result
  const end = isComplete ? 'nothing is left' : violation === null ? 'a bound was reached' : 'broken'
  const counts = `${states} states, ${transitions} transitions, depth ${depth} (${end})`
  const lines = [`${scope}: ${counts}, ${nodes} states of nodes by ${steps} steps, ${durationS} s`]
  if (violation !== null) {
    const { message, path, chart } = violation
    const planted = mutant === null ? '' : ` --mutant ${mutant}`
    const where = path.length === 0 ? '' : ` --path ${path.join('.')}`
    lines.push(chart.trimEnd(), `${message}`)
    lines.push(`replay: xpaxos sim --explore ${scope}${where}${planted}`)
  }
  return `${lines.join('\n')}\n`
}

const pathText = ({ chart, violation }: PathResult): string =>
  `${chart}${violation === null ? 'no violation' : violation.message}\n`

export const scopesText = (): string =>
  Object.entries(SCOPES)
    .map(([name, { what, bounds }]) => {
      const text = Object.entries(bounds).map(([bound, count]) => `${bound}=${String(count)}`)
      return `${name.padEnd(10)} ${what}\n${' '.repeat(11)}${text.join(' ')}\n`
    })
    .join('')
