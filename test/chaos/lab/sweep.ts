/**
 * Many trials: one for every call that an undisturbed run makes, or for a sample of them. Calls
 * come from a run that only counts; runs differ by a few calls, so that some points at the end may
 * not be reached: they are counted as such.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createRandom } from './random.ts'
import { type Point, pointText, pointsOf } from './strace.ts'
import { type Fault, type Trial, openHosts, runTrial } from './trial.ts'

export interface SweepOptions {
  /** Of its own; what failed stays there, a folder a trial. */
  readonly folder: string
  readonly nodes: 1 | 3
  readonly victim: number
  readonly fault: Fault
  /** Calls that the fault comes to; null: all. */
  readonly calls: readonly string[] | null
  /** So many points, drawn by the seed, every kind of call among them; null: all. */
  readonly sample: number | null
  readonly seed: number
  /** Trials that run at a time. */
  readonly lanes: number
  readonly isOver?: () => boolean
  readonly onTrial?: (done: number, of: number) => void
}

export interface SweepResult {
  readonly points: number
  readonly reached: number
  readonly notReached: number
  /** Acknowledged entries in all trials together: what was looked for afterwards. */
  readonly acknowledged: number
  /** Calls reached, by name. */
  readonly byCall: Readonly<Record<string, number>>
  readonly failures: readonly string[]
  readonly partial: boolean
}

export async function sweep(options: SweepOptions): Promise<SweepResult> {
  const { folder, sample, seed, lanes, isOver = () => false } = options
  const counted = await runOne(options, null, folder)
  const { calls } = options
  const all = pointsOf(counted.calls).filter(({ call }) => calls?.includes(call) ?? true)
  const points = sample === null ? all : sampleOf(all, sample, seed)
  const result = { reached: 0, notReached: 0, acknowledged: 0, failures: [...counted.failures] }
  const byCall: Record<string, number> = {}
  let next = 0
  const lane = async (): Promise<void> => {
    const hosts = await openHosts(options.nodes)
    try {
      while (next < points.length && !isOver()) {
        const point = points[next++]!
        const { trial, failures } = await runOne(options, point, folder, hosts)
        if (trial?.isReached) byCall[point.call] = (byCall[point.call] ?? 0) + 1
        if (trial?.isReached) result.reached++
        else result.notReached++
        result.acknowledged += trial?.acknowledged ?? 0
        result.failures.push(...failures)
        options.onTrial?.(result.reached + result.notReached, points.length)
      }
    } finally {
      for (const host of hosts) host.signal('SIGKILL')
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  const partial = result.reached + result.notReached < points.length
  return { points: points.length, ...result, byCall, partial }
}

type Hosts = Awaited<ReturnType<typeof openHosts>>

/** In a folder of its own, which goes when all held. */
async function runOne(
  { nodes, victim, fault }: SweepOptions,
  point: Point | null,
  parent: string,
  given?: Hosts,
): Promise<{ trial: Trial | null; calls: Trial['calls']; failures: string[] }> {
  const name = point === null ? 'counting' : `${point.call}-${String(point.n)}`
  const folder = join(parent, `${String(nodes)}-${String(victim)}-${fault}-${name}`)
  const hosts = given ?? (await openHosts(nodes))
  const failing = (problems: readonly string[]): string[] =>
    problems.map((problem) => `${fault} at ${name} of node ${victim} (${folder}): ${problem}`)
  try {
    mkdirSync(folder, { recursive: true })
    const trial = await runTrial({ folder, nodes, victim, point, fault, hosts })
    if (trial.problems.length === 0) rmSync(folder, { recursive: true })
    return { trial, calls: trial.calls, failures: failing(trial.problems) }
  } catch (error) {
    const problem = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return { trial: null, calls: [], failures: failing([problem]) }
  } finally {
    if (given === undefined) for (const host of hosts) host.signal('SIGKILL')
  }
}

/** Kinds of calls take turns, so that the rare ones are in it. */
function sampleOf(points: readonly Point[], count: number, seed: number): Point[] {
  const random = createRandom(seed)
  const kinds = [...new Set(points.map(({ call }) => call))]
  const left = new Map(kinds.map((kind) => [kind, points.filter(({ call }) => call === kind)]))
  const drawn: Point[] = []
  for (let turn = 0; drawn.length < Math.min(count, points.length); turn++) {
    const kind = left.get(kinds[turn % kinds.length]!)!
    if (kind.length > 0) drawn.push(...kind.splice(random.under(kind.length), 1))
  }
  return drawn
}

/** For people, a line a fact. */
export function sweepText(title: string, result: SweepResult): string {
  const { points, reached, notReached, acknowledged, byCall, failures, partial } = result
  const calls = Object.entries(byCall).map(([call, count]) => pointText({ call, n: count }))
  const lines = [
    `${title}: ${reached} of ${points} points reached, ${notReached} not (the run was shorter)`,
    `  ${calls.join(', ')}`,
    `  ${acknowledged} acknowledged entries looked for, ${failures.length} failures`,
    ...failures.map((failure) => `  FAILED ${failure}`),
  ]
  return `${lines.join('\n')}${partial ? '\n  partial: interrupted' : ''}\n`
}
