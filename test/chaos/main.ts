/**
 * `npm run chaos`: real processes under faults, for as long as wanted (docs/testing.md).
 *
 *     npm run chaos -- --rounds 1000 --seed 1                       rounds of chance
 *     npm run chaos -- --every-syscall [--nodes 3 --victim 3] [--fault EIO]
 *     npm run chaos -- --every-block                                a flipped bit a block
 *
 * Exit status 0 all held, 1 something did not (its files are kept), 2 bad usage, 130 interrupted.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Exit, EXIT, UsageError, exitOf } from '../../src/cli/exit.ts'
import { type Ending, flipsText, makeLog, runFlips } from './lab/flips.ts'
import { freshFolder } from './lab/places.ts'
import { createRandom } from './lab/random.ts'
import { roundsText, runRounds } from './lab/rounds.ts'
import { straceMissing } from './lab/strace.ts'
import { sweep, sweepText } from './lab/sweep.ts'
import { type Fault, openHosts, runTrial } from './lab/trial.ts'

const FAULTS = ['KILL', 'EIO', 'ENOSPC'] as const
const ROUNDS_MAX = 1_000_000
const SEED_MAX = 2 ** 31 - 1

let isInterrupted = false
process.once('SIGINT', () => {
  isInterrupted = true
  say('interrupted: ends with what is under way')
})

const say = (line: string): void => void process.stderr.write(`${line}\n`)
const isOver = (): boolean => isInterrupted

interface Outcome {
  readonly text: string
  readonly failures: number
}

async function main(args: readonly string[]): Promise<Exit> {
  const action = actionOf(args)
  const folder = freshFolder('chaos')
  const { text, failures } = await action(folder)
  process.stdout.write(text)
  if (failures > 0) process.stdout.write(`files of what failed: ${folder}\n`)
  else rmSync(folder, { recursive: true })
  if (isInterrupted) return EXIT.interrupted
  return failures === 0 ? EXIT.done : EXIT.failed
}

type Action = (folder: string) => Promise<Outcome>

const rounds =
  (count: number, seed: number): Action =>
  async (folder) => {
    const onRound = (done: number): void => {
      if (done % 10 === 0) say(`${String(done)} of ${String(count)} rounds`)
    }
    const result = await runRounds({ rounds: count, seed, folder, isOver, onRound })
    return { text: roundsText(result), failures: result.failures.length }
  }

const everySyscall =
  (nodes: 1 | 3, victim: number, fault: Fault): Action =>
  async (folder) => {
    const onTrial = (done: number, of: number): void => {
      if (done % 10 === 0) say(`${String(done)} of ${String(of)} calls`)
    }
    const options = { nodes, victim, fault, calls: null, sample: null, seed: 1, lanes: 2 }
    const result = await sweep({ ...options, folder, isOver, onTrial })
    const title = `${fault} at every call, ${String(nodes)} nodes, node ${String(victim)}`
    return { text: sweepText(title, result), failures: result.failures.length }
  }

const everyBlock = (): Action => async (folder) => {
  let text = ''
  let failures = 0
  const flip = (what: string, dir: string, ending: Ending): void => {
    const result = runFlips(dir, ending, null, createRandom(1))
    text += flipsText(what, result)
    failures += result.failures.length
  }
  for (const ending of ['closed', 'killed'] as const) {
    flip(`a node that was ${ending}`, await makeLog(join(folder, ending), ending), ending)
  }
  const missing = straceMissing()
  if (missing === null) flip('a Logger that trims', await loggerLog(folder), 'closed')
  else text += `a Logger that trims: skipped: ${missing}\n`
  return { text, failures }
}

/** What the fixed script leaves of the third of three nodes: trimmed, in files of a second life. */
async function loggerLog(parent: string): Promise<string> {
  const folder = join(parent, 'logger')
  mkdirSync(folder)
  const hosts = await openHosts(3)
  try {
    await runTrial({ folder, nodes: 3, victim: 3, point: null, fault: 'KILL', hosts })
  } finally {
    for (const host of hosts) host.signal('SIGKILL')
  }
  return join(folder, 'node-3')
}

const OPTIONS = {
  rounds: { type: 'string' },
  seed: { type: 'string' },
  'every-syscall': { type: 'boolean', default: false },
  nodes: { type: 'string' },
  victim: { type: 'string' },
  fault: { type: 'string' },
  'every-block': { type: 'boolean', default: false },
} as const

/** @throws UsageError every problem at once */
function actionOf(args: readonly string[]): Action {
  const { values } = parse(args)
  const problems: string[] = []
  const number = (name: 'rounds' | 'seed' | 'nodes' | 'victim', otherwise: number, max: number) => {
    const text = values[name] ?? String(otherwise)
    const value = /^\d{1,15}$/.test(text) ? Number(text) : 0
    if (value < 1 || value > max) problems.push(`--${name}=${text}: want 1 to ${String(max)}`)
    return value
  }
  const isSweep = values['every-syscall']
  const chosen = [values.rounds !== undefined, isSweep, values['every-block']].filter(Boolean)
  if (chosen.length !== 1) problems.push('want one of --rounds N, --every-syscall, --every-block')
  for (const name of ['nodes', 'victim', 'fault'] as const) {
    if (values[name] !== undefined && !isSweep) problems.push(`--${name}: only of --every-syscall`)
  }
  if (values.seed !== undefined && values.rounds === undefined)
    problems.push('--seed: only of --rounds')
  const nodes = number('nodes', 1, 3)
  if (nodes === 2) problems.push('--nodes=2: want 1 or 3')
  const victim = number('victim', 1, nodes)
  const fault = FAULTS.find((one) => one === (values.fault ?? 'KILL'))
  if (fault === undefined) problems.push(`--fault=${values.fault!}: want ${FAULTS.join(', ')}`)
  const seed = number('seed', 1, SEED_MAX)
  const count = number('rounds', 1, ROUNDS_MAX)
  const missing = isSweep ? straceMissing() : null
  if (missing !== null) problems.push(`--every-syscall: ${missing}`)
  if (problems.length > 0) throw new UsageError(problems)
  if (isSweep) return everySyscall(nodes as 1 | 3, victim, fault!)
  return values['every-block'] ? everyBlock() : rounds(count, seed)
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS })
  } catch (error) {
    throw new UsageError([error instanceof Error ? error.message : String(error)])
  }
}

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => exitOf(error, say))
