/**
 * `npm run faults`: how many of the one-line faults that nobody planted do the tests kill? Draws
 * faults in the files and folders that are named, puts one after the other into a scratch copy
 * under .cache, and runs simulation and tests until one of them fails. Exit status 0 when done, 2
 * for bad usage. docs/testing.md has the options.
 *
 *     npm run faults -- --count 10 --seed 1 src/core/xpaxos
 *     npm run faults -- --list src/core/xpaxos/acceptor.ts
 *     npm run faults -- --again faults.json          those that survived
 *     npm run faults -- --tests test/core/x.test.ts  with these tests alone
 *     npm run faults -- --stages 3 --json faults.json  the quick ones; then --again for the rest
 */
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { createRandom, below } from '../sim/random.ts'
import { type Exit, EXIT } from './exit.ts'
import { type Fault, faultText, faultsOf } from './faults/generate.ts'
import { type Verdict, judgeFault, makeCopy } from './faults/lane.ts'
import { type Stage, hasStages, stagesOf, tests } from './faults/stages.ts'

const LANES_MAX = 2

async function main(args: readonly string[]): Promise<Exit> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      count: { type: 'string', default: '10' },
      seed: { type: 'string', default: '1' },
      limit: { type: 'string', default: '300' },
      lanes: { type: 'string', default: String(LANES_MAX) },
      list: { type: 'boolean', default: false },
      again: { type: 'string' },
      tests: { type: 'string', multiple: true },
      stages: { type: 'string', default: 'Infinity' },
      json: { type: 'string' },
    },
  })
  const faults =
    values.again === undefined
      ? positionals.flatMap(filesIn).flatMap((file) => drawn(file, +values.count, +values.seed))
      : survivorsIn(values.again)
  if (faults.length === 0) {
    process.stderr.write(
      'no faults: name files or folders with stages (src/cli/faults/stages.ts)\n',
    )
    return EXIT.badUsage
  }
  if (values.list) {
    process.stdout.write(faults.map((fault) => `${faultText(fault)}\n`).join(''))
    return EXIT.done
  }
  const lanes = Math.max(1, Math.min(+values.lanes, LANES_MAX, availableParallelism()))
  const verdicts: Verdict[] = []
  const chosen = values.tests === undefined ? null : [tests('chosen', values.tests)]
  const stages = (file: string): readonly Stage[] => stagesOf(file).slice(0, +values.stages)
  const judge: Judge = (copy, fault) =>
    judgeFault(copy, fault, chosen ?? stages(fault.file), 1_000 * +values.limit)
  await judgeAll(faults, lanes, judge, (verdict) => {
    verdicts.push(verdict)
    process.stdout.write(`${verdictText(verdict)}\n`)
    if (values.json === undefined) return
    writeFileSync(values.json, `${JSON.stringify({ schema: 'xpaxos-faults/1', verdicts })}\n`)
  })
  process.stdout.write(ratesText(verdicts))
  return EXIT.done
}

function filesIn(path: string): string[] {
  if (statSync(path).isFile()) return [path]
  const found = readdirSync(path, { recursive: true, encoding: 'utf8' })
  return found
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${path}/${name}`.replace('//', '/'))
}

/** A seeded sample of the faults of a file, in the order of the file. */
function drawn(file: string, count: number, seed: number): Fault[] {
  if (!hasStages(file)) return []
  const all = faultsOf(file, readFileSync(file, 'utf8'))
  const random = createRandom(seed)
  for (let i = 0; i < file.length; i++) below(random, file.charCodeAt(i)) // each file its own draw
  const chosen: Fault[] = []
  while (chosen.length < count && all.length > 0) {
    chosen.push(...all.splice(below(random, all.length), 1))
  }
  return chosen.sort((a, b) => a.start - b.start)
}

/** Of an earlier run, found again in the sources of now. */
function survivorsIn(path: string): Fault[] {
  const { verdicts } = JSON.parse(readFileSync(path, 'utf8')) as { verdicts: readonly Verdict[] }
  const alive = verdicts.filter(({ killedBy }) => killedBy === null).map(({ fault }) => fault)
  return alive.flatMap(({ file, line, column, from, to }) =>
    faultsOf(file, readFileSync(file, 'utf8')).filter(
      (fault) =>
        fault.line === line && fault.column === column && fault.from === from && fault.to === to,
    ),
  )
}

type Judge = (copy: string, fault: Fault) => Promise<Verdict>

async function judgeAll(
  faults: readonly Fault[],
  lanes: number,
  judge: Judge,
  tell: (verdict: Verdict) => void,
): Promise<void> {
  const waiting = [...faults]
  const lane = async (number: number): Promise<void> => {
    const copy = makeCopy('.', `.cache/faults/${process.pid}-${number}`)
    for (let fault = waiting.shift(); fault !== undefined; fault = waiting.shift()) {
      tell(await judge(copy, fault))
    }
  }
  await Promise.all(Array.from({ length: lanes }, (_, i) => lane(i + 1)))
}

const verdictText = ({ fault, killedBy }: Verdict): string =>
  killedBy === null ? `SURVIVED ${faultText(fault)}` : `killed   ${faultText(fault)}  [${killedBy}]`

function ratesText(verdicts: readonly Verdict[]): string {
  const rates = new Map<string, { all: number; killed: number }>()
  for (const { fault, killedBy } of verdicts) {
    for (const name of [fault.file, 'all']) {
      const rate = rates.get(name) ?? { all: 0, killed: 0 }
      rate.all += 1
      if (killedBy !== null) rate.killed += 1
      rates.set(name, rate)
    }
  }
  const rows = [...rates].map(([name, { all, killed }]) => {
    const percent = ((100 * killed) / all).toFixed(1)
    const counts = `${String(killed).padStart(5)} of ${String(all).padStart(5)}`
    return `${name.padEnd(40)} ${counts} ${percent} %\n`
  })
  return rows.sort().join('')
}

process.exitCode = await main(process.argv.slice(2))
