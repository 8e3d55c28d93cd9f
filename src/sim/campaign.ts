/**
 * A campaign: a range of seeds over worker threads. What it finds is a function of the seeds alone:
 * chunks are put together in the order of seeds, however many workers there are. Only the rates and
 * a budget look at the clock.
 */
import { Piscina } from 'piscina'
import {
  type ChunkResult,
  type ChunkTask,
  type ClassTotals,
  type Failure,
  newTotals,
} from './chunk.ts'
import type { ClassName } from './classes.ts'
import { addCoverage, COUNTERS, type Coverage, createCoverage, coverageRecord } from './coverage.ts'
import type { ExploreResult, ExploreTask, PathResult, PathTask } from './explore/explore.ts'
import type { ReplayResult, ReplayTask } from './replay.ts'
import type { WorkerData } from './sim.worker.ts'
import { createTrace, hashOf, mix } from './trace.ts'

export interface CampaignOptions {
  readonly from: number
  readonly to: number
  readonly className: ClassName | null
  readonly mutant: string | null
  readonly workers: number
  /** Seconds after which no new chunk begins. */
  readonly budgetS: number | null
  readonly stopAtFirst?: boolean
  readonly signal?: AbortSignal
  readonly progress?: (text: string) => void
}

export interface SimResult {
  readonly schema: 'xpaxos-sim/1'
  readonly schedules: number
  readonly events: number
  readonly eventsPerS: number
  readonly schedulesPerS: number
  readonly simulatedToReal: number
  readonly violations: number
  readonly failures: readonly (Failure & { readonly replay: string })[]
  readonly coverage: Readonly<Record<string, number>>
  /** Counters that a whole campaign must reach and this one did not. */
  readonly uncovered: readonly string[]
  readonly answered: number
  readonly classes: Readonly<Record<string, ClassTotals>>
  /** Of all runs, in the order of seeds. */
  readonly traceHash: string
  readonly workers: number
  readonly durationS: number
  readonly partial: boolean
}

const CHUNK_MICRO = 100
const CHUNK_FULL = 5
/** From so many schedules of all classes on, a counter at 0 fails the campaign. */
export const CAMPAIGN_MIN = 500

export async function runCampaign(options: CampaignOptions): Promise<SimResult> {
  const started = performance.now()
  const chunks = await withPool(options, (pool) => runChunks(options, pool, started))
  const durationS = (performance.now() - started) / 1_000
  return resultOf(options, chunks, durationS)
}

/** Runs one seed in a worker of its own. */
export async function replaySeed(task: ReplayTask, mutant: string | null): Promise<ReplayResult> {
  const [result] = await replaySeeds([task], mutant, 1)
  return result!
}

/** Runs seeds in so many workers. */
export function replaySeeds(
  tasks: readonly ReplayTask[],
  mutant: string | null,
  workers: number,
): Promise<ReplayResult[]> {
  return withPool({ mutant, workers }, (pool) =>
    Promise.all(tasks.map((task) => pool.run(task, { name: 'replay' }) as Promise<ReplayResult>)),
  )
}

/** Explores one scope in a worker of its own. */
export function exploreScope(task: ExploreTask, mutant: string | null): Promise<ExploreResult> {
  return withPool(
    { mutant, workers: 1 },
    (pool) => pool.run(task, { name: 'explore' }) as Promise<ExploreResult>,
  )
}

/** Follows one path of an exploration in a worker of its own. */
export function followPath(task: PathTask, mutant: string | null): Promise<PathResult> {
  return withPool(
    { mutant, workers: 1 },
    (pool) => pool.run(task, { name: 'path' }) as Promise<PathResult>,
  )
}

async function withPool<T>(
  { mutant, workers }: Pick<CampaignOptions, 'mutant' | 'workers'>,
  use: (pool: Piscina) => Promise<T>,
): Promise<T> {
  const file = import.meta.url.endsWith('.ts') ? './sim.worker.ts' : './sim.worker.js'
  const workerData: WorkerData = { mutant }
  const pool = new Piscina({
    filename: new URL(file, import.meta.url).href,
    minThreads: workers,
    maxThreads: workers,
    niceIncrement: 0,
    workerData,
  })
  try {
    return await use(pool)
  } finally {
    await pool.destroy()
  }
}

/** Chunks in order; a few are always waiting, so that no worker does. */
async function runChunks(
  options: CampaignOptions,
  pool: Piscina,
  started: number,
): Promise<ChunkResult[]> {
  const { from, to, className, workers, budgetS, signal, progress } = options
  const size = className === 'micro' ? CHUNK_MICRO : CHUNK_FULL
  const stopAtFirst = options.stopAtFirst === true
  const results: Promise<ChunkResult>[] = []
  let found = false
  const isOver = (): boolean =>
    signal?.aborted === true ||
    found ||
    (budgetS !== null && performance.now() - started >= budgetS * 1_000)
  for (let first = from; first <= to && !isOver(); first += size) {
    const last = Math.min(to, first + size - 1)
    const task: ChunkTask = { from: first, to: last, className, stopAtFirst }
    const result = pool.run(task, { name: 'chunk' }) as Promise<ChunkResult>
    results.push(result)
    const before = results[results.length - 2 * workers]
    if (before === undefined) continue
    const { failures } = await before
    if (stopAtFirst && failures.length > 0) found = true
    progress?.(`seeds through ${last}`)
  }
  return Promise.all(results)
}

function resultOf(
  options: CampaignOptions,
  chunks: readonly ChunkResult[],
  durationS: number,
): SimResult {
  const coverage: Coverage = createCoverage()
  const trace = createTrace(false)
  const classes: Record<string, ClassTotals> = {}
  const sum = { schedules: 0, events: 0, simulatedMs: 0, answered: 0 }
  const failures: Failure[] = []
  for (const chunk of chunks) {
    addCoverage(coverage, chunk.coverage)
    sum.schedules += chunk.schedules
    sum.events += chunk.events
    sum.simulatedMs += chunk.simulatedMs
    sum.answered += chunk.answered
    failures.push(...chunk.failures)
    for (const hash of chunk.hashes) {
      mix(trace, parseInt(hash.slice(0, 8), 16))
      mix(trace, parseInt(hash.slice(8), 16))
    }
    addClasses(classes, chunk.classes)
  }
  const { schedules, events, simulatedMs, answered } = sum
  const isCampaign = options.className === null && options.mutant === null
  const uncovered =
    isCampaign && schedules >= CAMPAIGN_MIN ? COUNTERS.filter((_, i) => coverage[i] === 0) : []
  return {
    schema: 'xpaxos-sim/1',
    schedules,
    events,
    eventsPerS: Math.round(events / durationS),
    schedulesPerS: Math.round((100 * schedules) / durationS) / 100,
    simulatedToReal: Math.round(simulatedMs / 10 / durationS) / 100,
    violations: failures.length,
    failures: failures.map((failure) => ({ ...failure, replay: replayLine(failure, options) })),
    coverage: coverageRecord(coverage),
    uncovered,
    answered,
    classes,
    traceHash: hashOf(trace),
    workers: options.workers,
    durationS: Math.round(durationS * 1_000) / 1_000,
    partial: schedules < options.to - options.from + 1 && options.stopAtFirst !== true,
  }
}

function addClasses(
  into: Record<string, ClassTotals>,
  from: Readonly<Record<string, ClassTotals>>,
): void {
  for (const [name, { schedules, events, simulatedMs, busyMs }] of Object.entries(from)) {
    const totals = (into[name] ??= newTotals())
    totals.schedules += schedules
    totals.events += events
    totals.simulatedMs += simulatedMs
    totals.busyMs += busyMs
  }
}

/** All flags, so that the line replays by itself. */
export function replayLine(
  { seed, class: className }: Pick<Failure, 'seed' | 'class'>,
  { mutant }: Pick<CampaignOptions, 'mutant'>,
): string {
  const planted = mutant === null ? '' : ` --mutant ${mutant}`
  return `xpaxos sim --replay ${seed} --class ${className}${planted}`
}
