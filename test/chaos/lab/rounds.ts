/**
 * Rounds of chance on node processes: clients write, read and count while faults come, then all of
 * it heals, and what the clients were told is judged. A life is one cluster and up to
 * `ROUNDS_PER_LIFE` rounds; its seed alone says what is drawn in it.
 *
 * A round fails when its history has no linear order, a counter of a session is not what was
 * answered, nodes differ, what an earlier round left has changed, a directory is not whole, a
 * process ended that nothing was done to, or the healed cluster does not work.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MemberOptions } from '../../../src/engine/index.ts'
import type { Value } from '../../../src/check/operation.ts'
import { type Route, countInSession, createRoute, runSteps } from './client.ts'
import { type Cluster, createCluster } from './cluster.ts'
import { type Ending, FAULTS, FAULT_NAMES, type FaultScene, missingFor } from './faults.ts'
import { type History, createHistory, judge } from './history.ts'
import { type Random, createRandom } from './random.ts'
import type { Step } from './script.ts'
import { lastWhole, readAll } from './trial.ts'

export const ROUNDS_PER_LIFE = 20
const CLIENTS = 3
const KEYS = 3
const STEPS_MAX = 300
const PAUSE_MS = 2
const SETTLE_MS = 120_000
const PAD_MAX_BYTES = 4_000
const VALUE_STEP = 1_000

export interface RoundsOptions {
  readonly rounds: number
  readonly seed: number
  /** Of its own; a life that failed stays there. */
  readonly folder: string
  /** Asked between rounds. */
  readonly isOver?: () => boolean
  readonly onRound?: (done: number) => void
}

export interface RoundsResult {
  /** Those that were judged; what was left of a life that failed was not run. */
  readonly rounds: number
  readonly lives: number
  readonly operations: number
  readonly acknowledged: number
  readonly flippedBits: number
  /** Nodes that ended by themselves after a failed call to the disk. */
  readonly diskFailures: number
  /** Fault -> how often it came. */
  readonly faults: Readonly<Record<string, number>>
  /** Fault -> how often it was drawn and could not be injected here. */
  readonly skipped: Readonly<Record<string, number>>
  readonly failures: readonly string[]
}

type Totals = { -readonly [Name in keyof RoundsResult]: RoundsResult[Name] } & {
  faults: Record<string, number>
  skipped: Record<string, number>
  failures: string[]
}

export async function runRounds(options: RoundsOptions): Promise<RoundsResult> {
  const { rounds, seed, isOver = () => false } = options
  const totals: Totals = {
    ...{ rounds: 0, lives: 0, operations: 0, acknowledged: 0, flippedBits: 0, diskFailures: 0 },
    ...{ faults: {}, skipped: {}, failures: [] },
  }
  for (let left = rounds; left > 0 && !isOver(); left -= ROUNDS_PER_LIFE) {
    const count = Math.min(ROUNDS_PER_LIFE, left)
    await runLife(options, seed + totals.lives, count, totals)
    totals.lives++
  }
  return totals
}

interface Life {
  readonly folder: string
  readonly cluster: Cluster
  readonly random: Random
  readonly totals: Totals
  /** What earlier rounds left: key -> value. */
  left: ReadonlyMap<string, Value>
  /** Of the present round; empty: all held. */
  problems: string[]
}

async function runLife(
  { folder: parent, onRound, isOver = () => false }: RoundsOptions,
  seed: number,
  count: number,
  totals: Totals,
): Promise<void> {
  const random = createRandom(seed)
  const folder = join(parent, `seed-${String(seed)}`)
  const members = membersOf(random)
  const layout = random.pick(['inline', 'split'] as const)
  const cluster = await createCluster({ folder, members, seed, layout })
  const life: Life = { folder, cluster, random, totals, left: new Map(), problems: [] }
  const fail = (round: number): void => {
    const again = `npm run chaos -- --rounds ${String(count)} --seed ${String(seed)}`
    const problems = life.problems.join('; ')
    totals.failures.push(`round ${String(round)} (${again}; files in ${folder}): ${problems}`)
  }
  let round = 0
  try {
    await Promise.all(cluster.ids.map((id) => cluster.start(id)))
    await settle(cluster)
    for (; round < count && life.problems.length === 0 && !isOver(); round++) {
      await runRound(life, round)
      totals.rounds++
      onRound?.(totals.rounds)
    }
    if (life.problems.length === 0) await endLife(life)
  } catch (error) {
    life.problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
  } finally {
    totals.flippedBits += cluster.proxies.reduce((sum, { flipped }) => sum + flipped, 0)
    await cluster.close()
  }
  if (life.problems.length > 0) fail(round)
  else rmSync(folder, { recursive: true })
}

/** Three or five; sometimes the last one is a Logger. */
function membersOf(random: Random): MemberOptions[] {
  const count = random.pick([3, 3, 3, 5])
  const members = Array.from({ length: count }, (_, i) => ({ id: i + 1, weight: 5 }))
  const hasLogger = random.chance(0.3)
  return hasLogger ? members.with(-1, { id: count, role: 'logger' } as never) : members
}

async function runRound(life: Life, round: number): Promise<void> {
  const { cluster, random, totals } = life
  const history = createHistory()
  let isOver = false
  const over = (): boolean => isOver
  const running = () => cluster.running()
  const onAcknowledged = (): void => void totals.acknowledged++
  const common = { history, onAcknowledged, pauseMs: PAUSE_MS }
  const plain = { ...common, route: createRoute({ running, isOver: over }) }
  const counting = { ...common, route: createRoute({ running }) }
  const clients = Array.from({ length: CLIENTS }, (_, client) =>
    runSteps(plain, stepsOf(createRandom(random.under(2 ** 31)), round, client, over)),
  )
  const counter = `r${String(round)}-session`
  const counted = countInSession(counting, counter, over)
  const allClients = Promise.all([...clients, counted])
  allClients.catch(() => undefined) // looked at below
  const marks = { hit: new Set<number>(), failing: new Set<number>() }
  const scene = { cluster, random, ...marks, folder: life.folder }
  await disturb(life, scene)
  await heal(life, scene)
  isOver = true
  await allClients
  totals.operations += history.operations.length
  await judgeRound(life, history, counter, await counted)
}

/** Faults, one or two at a time, and then some time under them. */
async function disturb({ random, totals, ...life }: Life, scene: FaultScene): Promise<void> {
  const endings: Ending[] = []
  await sleep(random.under(150))
  for (let count = 1 + random.under(2); count > 0; count--) {
    const name = random.pick(FAULT_NAMES)
    const skipped = missingFor(name) !== null
    const counts = skipped ? totals.skipped : totals.faults
    counts[name] = (counts[name] ?? 0) + 1
    if (!skipped) endings.push(FAULTS[name](scene))
    await sleep(random.under(100))
  }
  await sleep(random.under(600))
  await Promise.all(endings.map((end) => end()))
  for (const proxy of life.cluster.proxies) proxy.heal()
}

/** Whoever is dead starts again; then all follow one leader. */
async function heal({ cluster, problems, totals }: Life, scene: FaultScene): Promise<void> {
  for (const id of cluster.ids) {
    const process = cluster.processOf(id)!
    if (process.failure !== null) await process.exited
    if (process.isAlive) continue
    const { code, signal } = await process.exited
    const isOurs = signal === 'SIGKILL' && scene.hit.has(id) && process.failure === null
    const isDisk = scene.failing.has(id) && process.failure?.code === 'E_DISK' && code === 1
    if (isDisk) totals.diskFailures++
    else if (!isOurs) {
      const why = process.failure?.message ?? `status ${String(code)}, signal ${String(signal)}`
      problems.push(`node ${String(id)} ended by itself: ${why} ${process.complaints}`)
    }
    const found = lastWhole(cluster.dirOf(id))
    if (typeof found === 'string') problems.push(`node ${String(id)}: ${found}`)
  }
  const dead = cluster.ids.filter((id) => !cluster.processOf(id)!.isAlive)
  await Promise.all(dead.map((id) => cluster.start(id)))
  await settle(cluster)
}

async function settle(cluster: Cluster): Promise<void> {
  const until = performance.now() + SETTLE_MS
  for (;;) {
    const asked = cluster.running().map((process) => process.ask('status', null))
    const found = await Promise.all(asked.map((one) => one.catch(() => null)))
    const leader = found.find((status) => status?.leads)?.id
    if (leader !== undefined && found.every((status) => status?.leader === leader)) return
    if (performance.now() > until) throw new Error('healed, and they follow no one leader')
    await sleep(10)
  }
}

function* stepsOf(random: Random, round: number, client: number, over: () => boolean) {
  for (let i = 0; i < STEPS_MAX && !over(); i++) {
    const key = `r${String(round)}-${String(random.under(KEYS))}`
    const value = VALUE_STEP * (client + 1) + i
    const padBytes = random.chance(0.2) ? random.under(PAD_MAX_BYTES) : 0
    const roll = random.under(10)
    const rest = { value: null, padBytes: 0 }
    if (roll < 4) yield { f: 'get', key, ...rest } satisfies Step
    else if (roll < 5) yield { f: 'delete', key, ...rest } satisfies Step
    else if (roll < 6) yield { f: 'incr', key: `${key}-sum`, value: 1, padBytes } satisfies Step
    else yield { f: 'put', key, value, padBytes } satisfies Step
  }
}

async function judgeRound(
  life: Life,
  history: History,
  counter: string,
  counted: number,
): Promise<void> {
  const { cluster, problems } = life
  const readers = await readersOf(cluster)
  const dumps: string[] = []
  for (const reader of readers) dumps.push(await readAll(history, reader))
  if (new Set(dumps).size > 1) problems.push(`states differ: ${dumps.join(' | ')}`)
  const state = new Map(JSON.parse(dumps[0]!) as [string, Value][])
  const sum = state.get(counter) ?? 0
  if (sum !== counted)
    problems.push(`${counted} steps were answered, counted: ${JSON.stringify(sum)}`)
  for (const [key, value] of life.left) {
    if (state.get(key) !== value) problems.push(`${key} of an earlier round has changed`)
  }
  life.left = state
  const verdict = judge(history)
  if (verdict !== null) problems.push(verdict)
}

/** One a node that keeps state. */
async function readersOf(cluster: Cluster): Promise<Route[]> {
  const readers: Route[] = []
  for (const process of cluster.running()) {
    const { role } = await process.ask('status', null)
    if (role !== 'logger') readers.push(createRoute({ running: () => [process] }))
  }
  return readers
}

async function endLife({ cluster, problems }: Life): Promise<void> {
  await Promise.all(cluster.running().map((process) => process.ask('close', null)))
  for (const id of cluster.ids) {
    const found = lastWhole(cluster.dirOf(id))
    if (typeof found === 'string') problems.push(`node ${String(id)}, closed: ${found}`)
  }
}

/** For people, a line a fact. */
export function roundsText(result: RoundsResult): string {
  const { rounds, lives, operations, acknowledged, diskFailures, flippedBits, failures } = result
  const counts = (of: Readonly<Record<string, number>>): string =>
    Object.entries(of)
      .map(([name, count]) => `${name} ${String(count)}`)
      .join(', ') || 'none'
  const lines = [
    `${rounds} rounds on ${lives} clusters: ${operations} operations, ${acknowledged} acknowledged`,
    `  faults: ${counts(result.faults)}`,
    `  nodes ended by a failed call to the disk: ${diskFailures}; bits flipped: ${flippedBits}`,
    `  skipped: ${counts(result.skipped)}`,
    `  ${failures.length} failures`,
    ...failures.map((failure) => `  FAILED ${failure}`),
  ]
  return `${lines.join('\n')}\n`
}
