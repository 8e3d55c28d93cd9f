/**
 * `npm run branches`: which branches of some sources does simulation alone take? Runs seeds of all
 * classes, and with --explore the scopes of the explorer too, in this process under the engine's
 * own block counters. Exit status 0 when done, 2 for bad usage.
 *
 *     npm run branches -- --seeds 1..300 src/core/xpaxos
 */
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { type Ranges, branchesOf } from './branches/points.ts'
import { type Exit, EXIT } from './exit.ts'

async function main(args: readonly string[]): Promise<Exit> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      seeds: { type: 'string', default: '1..300' },
      explore: { type: 'boolean', default: false },
    },
  })
  const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(values.seeds) ?? []
  const files = positionals.flatMap(filesIn)
  if (to === undefined || files.length === 0) {
    process.stderr.write('want --seeds A..B, and files or folders\n')
    return EXIT.badUsage
  }
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  await runSeeds(Number(from), Number(to))
  if (values.explore) await runScopes()
  const { result } = await session.post('Profiler.takePreciseCoverage')
  const byUrl = new Map(result.map(({ url, functions }) => [url, functions]))
  for (const file of files) report(file, byUrl.get(pathToFileURL(resolve(file)).href) ?? [])
  process.stdout.write(rowOf('all', total))
  return EXIT.done
}

/** Loaded after the counters began. */
async function runSeeds(from: number, to: number): Promise<void> {
  const { CLASS_NAMES, planOf } = await import('../sim/classes.ts')
  const { runPlan } = await import('../sim/run.ts')
  for (let seed = from; seed <= to; seed++) {
    runPlan(planOf(seed))
    runPlan(planOf(seed, CLASS_NAMES[seed % CLASS_NAMES.length]))
  }
}

async function runScopes(): Promise<void> {
  const { runExploration } = await import('../sim/explore/explore.ts')
  const { SCOPES } = await import('../sim/explore/scope.ts')
  for (const scope of Object.keys(SCOPES)) {
    runExploration({ scope, depthMax: 1_000, statesMax: 50_000, budgetS: null })
  }
}

const total = { all: 0, taken: 0 }

function report(file: string, functions: readonly Ranges[]): void {
  const branches = branchesOf(file, readFileSync(file, 'utf8'), functions)
  const missed = branches.filter(({ taken }) => !taken)
  const counts = { all: branches.length, taken: branches.length - missed.length }
  total.all += counts.all
  total.taken += counts.taken
  process.stdout.write(rowOf(file, counts))
  for (const { line, what } of missed) process.stdout.write(`  ${file}:${line} ${what}\n`)
}

const rowOf = (name: string, { all, taken }: { readonly all: number; readonly taken: number }) =>
  `${name.padEnd(40)} ${taken} of ${all} ${all === 0 ? '' : ((100 * taken) / all).toFixed(1)} %\n`

function filesIn(path: string): string[] {
  if (statSync(path).isFile()) return [path]
  const found = readdirSync(path, { recursive: true, encoding: 'utf8' })
  return found.filter((name) => name.endsWith('.ts')).map((name) => `${path}/${name}`)
}

process.exitCode = await main(process.argv.slice(2))
