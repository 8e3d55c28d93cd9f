/**
 * `npm run mutants`: plants each mutant in turn and runs the simulator until it is caught; writes
 * results/mutants.json and results/mutants.md. Exit status 0 when all are caught as expected, 1
 * otherwise, 2 for bad usage. Names as arguments run those alone, and put them among the results
 * that there are.
 */
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { performance } from 'node:perf_hooks'
import { environmentOf } from '../../native-free-bench/environment.ts'
import { type MutantResult, SCHEDULES_MAX, runMutant } from '../sim/mutant-campaign.ts'
import { MUTANTS } from '../sim/mutants.ts'
import { mutated } from '../sim/plant.ts'
import { type Exit, EXIT } from './exit.ts'
import { writeResult } from './long-runs.ts'

const RESULTS = 'results/mutants.json'

async function main(names: readonly string[]): Promise<Exit> {
  const unknown = names.filter((name) => !MUTANTS.some((mutant) => mutant.name === name))
  for (const name of unknown) process.stderr.write(`${name}: no such mutant\n`)
  if (unknown.length > 0) return EXIT.badUsage
  const chosen = MUTANTS.filter(({ name }) => names.length === 0 || names.includes(name))
  for (const mutant of chosen) mutated(mutant, readFileSync(mutant.file, 'utf8')) // or throws now
  const workers = Math.min(2, availableParallelism())
  const started = performance.now()
  const fresh = await inLanes(chosen, workers, async (mutant) => {
    const result = await runMutant(mutant, 1)
    process.stdout.write(`${rowOf(result)}\n`)
    return result
  })
  const results = names.length === 0 ? fresh : among(fresh)
  const durationS = Math.round((performance.now() - started) / 1_000)
  const survivors = results.filter(({ found }) => found === null).map(({ mutant }) => mutant)
  const median = medianOf(results.filter(({ found }) => found !== null))
  const summary = { mutants: results.length, survivors, median, durationS, workers }
  process.stdout.write(`${results.length} mutants, ${survivors.length} survive, median ${median}\n`)
  if (results.length === MUTANTS.length) write(results, summary)
  return results.every(({ asExpected }) => asExpected) ? EXIT.done : EXIT.failed
}

/** In the order of MUTANTS; those that neither was run nor has a result are missing. */
function among(fresh: readonly MutantResult[]): MutantResult[] {
  const text = existsSync(RESULTS) ? readFileSync(RESULTS, 'utf8') : '{"results":[]}'
  const before = (JSON.parse(text) as { readonly results: readonly MutantResult[] }).results
  return MUTANTS.flatMap(({ name }) => {
    const isIt = ({ mutant }: MutantResult): boolean => mutant === name
    return fresh.find(isIt) ?? before.find(isIt) ?? []
  })
}

/** Loading the sources takes longer than most mutants live: each is loaded by one worker alone. */
async function inLanes<Item, Result>(
  items: readonly Item[],
  lanes: number,
  run: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  let next = 0
  const lane = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) results[at] = await run(items[at]!)
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return results
}

function medianOf(killed: readonly MutantResult[]): number {
  const sorted = killed.map(({ schedules }) => schedules).sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? 0
}

const rowOf = ({ mutant, expected, found, asExpected, schedules, replay }: MutantResult): string =>
  [
    `| ${mutant}`,
    expected,
    `${found ?? 'survives'}${asExpected ? '' : ' (!)'}`,
    schedules,
    `${replay === null ? '-' : `\`${replay}\``} |`,
  ].join(' | ')

function write(results: readonly MutantResult[], summary: Readonly<Record<string, unknown>>): void {
  const environment = environmentOf('.', new Date())
  const json = { schema: 'xpaxos-mutants/1', schedulesMax: SCHEDULES_MAX, ...summary, results }
  const text = [
    `Each is run over at most ${SCHEDULES_MAX} schedules, until it is caught.`,
    '',
    '| mutant | must violate | violated | schedules | replay |',
    '|---|---|---|---|---|',
    ...results.map(rowOf),
    '',
    `Median of schedules: ${String(summary['median'])}.`,
    '',
  ]
  const origin = { file: 'mutants', title: 'Mutants', command: 'npm run mutants', environment }
  writeResult(origin, json, text.join('\n'))
}

process.exitCode = await main(process.argv.slice(2))
