/**
 * tune: measures, predicts, searches within a budget, measures the whole grid when asked to, and
 * tries what it found in fresh trials, interleaved with the given sizes. Trials and the clock are
 * parameters, so that this file is tested without an engine. An interrupt keeps what was measured.
 */
import { availableParallelism } from 'node:os'
import { tuneCommand } from '../command-of.ts'
import { environmentOf } from '../environment.ts'
import { publicTune } from '../options.ts'
import { violationsOf } from '../report/safety.ts'
import { checkDisk, fixInflight, summaryOf, tryTrial } from '../run-bench.ts'
import { bootstrap, mannWhitney, spreadOf } from '../stats/statistics.ts'
import type {
  LatencyUs,
  RunHooks,
  RunTrial,
  Sizes,
  TrialResult,
  TuneConfig,
  TuneLane,
  TunePoint,
  TuneResult,
} from '../types.ts'
import { estimate, loadShapeOf, publicModel } from './estimate.ts'
import { type End, type Findings, rationaleOf } from './explain.ts'
import { type CostModel, predictOf } from './model.ts'
import {
  againOf,
  choiceOf,
  gridOf,
  isSame,
  keeps,
  keyOf,
  latticeOf,
  type Next,
  propose,
  type Search,
  type Seen,
  type Why,
} from './search.ts'

interface Point extends Sizes {
  readonly why: Why
  readonly trials: TrialResult[]
}

interface Lane extends Sizes {
  readonly lane: TuneLane['lane']
  readonly trials: TrialResult[]
}

interface Run {
  readonly config: TuneConfig
  readonly hooks: RunHooks
  readonly runTrial: RunTrial
  readonly nowS: () => number
  readonly endS: number
  readonly costs: number[]
  readonly points: Map<string, Point>
  readonly warnings: Set<string>
  readonly violations: string[]
  model: CostModel | null
}

/** Fresh trials may take so much of the budget; the search has the rest. */
const VALIDATION_SHARE = 0.35
/** What a trial will cost is the most that so many before it took. */
const COSTS_SEEN = 3

/** @throws ReplicaError E_CONFIG_INVALID for fsync on a tmpfs; what a trial throws */
export async function runTune(
  config: TuneConfig,
  hooks: RunHooks,
  runTrial: RunTrial,
  nowS: () => number = monotonicS,
): Promise<TuneResult> {
  const startS = nowS()
  const notes = checkDisk(config)
  const environment = environmentOf(config.dataDir ?? '.', new Date())
  const { fixed, sweep } = await fixInflight(config, hooks, runTrial)
  const run: Run = {
    ...{ hooks, runTrial, nowS },
    config: { ...config, ...fixed },
    endS: startS + (config.budget ?? Infinity),
    costs: [],
    points: new Map(),
    warnings: new Set(notes),
    violations: [...sweep.violations],
    model: null,
  }
  const done = fixed === undefined ? NOTHING_DONE : await measureAll(run)
  const findings = findingsOf(run, done)
  const partial = hooks.signal.aborted
  return {
    schema: 'xpaxos-tune/1',
    command: tuneCommand(publicTune(run.config)),
    environment,
    config: publicTune(run.config),
    sweep: sweep.points,
    ...findings,
    adaptive: null,
    model: run.model && publicModel(run.model),
    rationale: rationaleOf({
      ...findings,
      config: run.config,
      model: run.model,
      ended: partial ? 'interrupt' : done.ended,
      gridLeft: done.gridLeft,
    }),
    warnings: [...run.warnings],
    violations: run.violations,
    partial,
  }
}

const monotonicS = (): number => performance.now() / 1_000

interface Done {
  readonly ended: End
  readonly searchBest: Point | null
  readonly gridBest: Point | null
  /** Points of the grid that were not measured. */
  readonly gridLeft: number
  readonly lanes: readonly Lane[]
}
const NOTHING_DONE: Done = {
  ended: 'interrupt',
  searchBest: null,
  gridBest: null,
  gridLeft: 0,
  lanes: [],
}

async function measureAll(run: Run): Promise<Done> {
  const { config } = run
  const ended = await searchOn(run)
  const searchBest = chosenOf(run, [...run.points.values()])
  const grid = config.grid ? gridOf(latticeOf(config), config) : []
  await measureGrid(run, grid)
  const measured = grid.flatMap((sizes) => run.points.get(keyOf(sizes)) ?? [])
  const gridBest = chosenOf(run, measured)
  const lanes = await validate(run, searchBest, gridBest)
  return { ended, searchBest, gridBest, gridLeft: grid.length - measured.length, lanes }
}

async function searchOn(run: Run): Promise<End> {
  const { config } = run
  const lattice = latticeOf(config)
  const load = loadShapeOf(config)
  const laneCount = config.grid ? 3 : 2
  for (;;) {
    const { model } = run
    const predict = model === null ? null : (sizes: Sizes) => predictOf(model, load, sizes)
    const search: Search = {
      ...{ lattice, given: config, sloP99Ms: config.sloP99Ms, predict },
      seen: [...run.points.values()].map(seenOf),
    }
    const next = propose(search)
    if (next === null) return 'search'
    if (!hasTime(run, 1, reserveOf(run, laneCount))) return 'budget'
    if (!(await measurePoint(run, next))) return 'interrupt'
    run.model = estimate(config, measuredOf(run), availableParallelism())
  }
}

/** The best of it is measured as often as the best of a search. */
async function measureGrid(run: Run, grid: readonly Sizes[]): Promise<void> {
  const { sloP99Ms } = run.config
  const reserve = (): number => reserveOf(run, 3)
  for (const sizes of grid) {
    if (run.points.has(keyOf(sizes))) continue
    if (!hasTime(run, 1, reserve()) || !(await measurePoint(run, { sizes, why: 'grid' }))) return
  }
  for (;;) {
    const points = grid.flatMap((sizes) => run.points.get(keyOf(sizes)) ?? [])
    const next = againOf({ seen: points.map(seenOf), sloP99Ms })
    if (next === null || !hasTime(run, 1, reserve())) return
    if (!(await measurePoint(run, next))) return
  }
}

/** Round by round, forth and back, as compare does; a round begins when there is time for it. */
async function validate(
  run: Run,
  searchBest: Point | null,
  gridBest: Point | null,
): Promise<readonly Lane[]> {
  const { config } = run
  if (searchBest === null) return []
  const lanes: Lane[] = [laneFor('given', config)]
  if (!isSame(searchBest, config)) lanes.push(laneFor('search', searchBest))
  if (gridBest !== null && !lanes.some((lane) => isSame(lane, gridBest)))
    lanes.push(laneFor('grid', gridBest))
  for (let round = 0; round < config.trials && hasTime(run, lanes.length, 0); round++) {
    for (const lane of round % 2 === 0 ? lanes : lanes.toReversed()) {
      const trial = await measure(run, lane, `fresh trial ${round + 1} of ${config.trials}`)
      if (trial === null) return lanes
      lane.trials.push(trial)
    }
  }
  return lanes
}

const laneFor = (lane: Lane['lane'], { batchMaxBytes, pipelineDepth }: Sizes): Lane => ({
  ...{ lane, batchMaxBytes, pipelineDepth },
  trials: [],
})

const laneOf = (lanes: readonly Lane[], sizes: Sizes): Lane | undefined =>
  lanes.find((lane) => isSame(lane, sizes) && lane.trials.length > 0)

// ---- Trials and time -------------------------------------------------------------------------

/** Whether so many trials would be over before the end, with `reserveS` to spare. */
function hasTime({ costs, nowS, endS, hooks }: Run, trials: number, reserveS: number): boolean {
  if (hooks.signal.aborted) return false
  if (costs.length === 0) return true // without one trial there is no answer at all
  return nowS() + trials * costOf(costs) + reserveS <= endS
}

const costOf = (costs: readonly number[]): number => Math.max(...costs.slice(-COSTS_SEEN))

function reserveOf({ config, costs }: Run, lanes: number): number {
  if (config.budget === null || costs.length === 0) return 0
  return Math.min(config.trials * lanes * costOf(costs), VALIDATION_SHARE * config.budget)
}

/** False: interrupted. */
async function measurePoint(run: Run, { sizes, why }: Next): Promise<boolean> {
  const trial = await measure(run, sizes, why)
  if (trial === null) return false
  const { batchMaxBytes, pipelineDepth } = sizes
  const point = run.points.get(keyOf(sizes)) ?? { batchMaxBytes, pipelineDepth, why, trials: [] }
  point.trials.push(trial)
  run.points.set(keyOf(sizes), point)
  return true
}

/** null: interrupted. */
async function measure(run: Run, sizes: Sizes, what: string): Promise<TrialResult | null> {
  const { config, hooks, runTrial, nowS, costs, warnings, violations } = run
  if (hooks.signal.aborted) return null
  const { batchMaxBytes, pipelineDepth } = sizes
  const label = `batches of ${batchMaxBytes} bytes, depth ${pipelineDepth}`
  hooks.progress(`${label} (${what})`)
  const sinceS = nowS()
  const trial = await tryTrial({ ...config, batchMaxBytes, pipelineDepth }, hooks, runTrial)
  costs.push(nowS() - sinceS)
  if (trial === undefined) return null
  violations.push(...violationsOf(trial, label))
  if (trial.partial) return null
  for (const warning of trial.warnings) warnings.add(warning)
  return trial
}

// ---- Figures ---------------------------------------------------------------------------------

function findingsOf(run: Run, { searchBest, gridBest, lanes }: Done): Findings {
  const freshOf = (point: Point | null): TunePoint | null =>
    point && pointOf(run, laneOf(lanes, point) ?? point)
  return {
    points: [...run.points.values()].map((point) => pointOf(run, point)),
    best: bestOf(run, lanes, gridBest ?? searchBest),
    searchBest: freshOf(searchBest),
    gridBest: freshOf(gridBest),
    validation: lanesOf(lanes, run.config.seed),
  }
}

const measuredOf = ({ points }: Run) =>
  [...points.values()].flatMap((point) => point.trials.map((trial) => ({ ...point, trial })))

const throughputsOf = (trials: readonly TrialResult[]): number[] =>
  trials.map(({ throughputPerS }) => throughputPerS)

function seenOf({ batchMaxBytes, pipelineDepth, why, trials }: Point): Seen {
  return {
    ...{ batchMaxBytes, pipelineDepth, why },
    throughputPerS: spreadOf(throughputsOf(trials)).median,
    p99Us: Math.max(...trials.map(p99Of)),
    trials: trials.length,
  }
}

/** Where nothing was acknowledged, no bound was kept. */
const p99Of = ({ throughputPerS, latencyUs }: Pick<TrialResult, 'throughputPerS' | 'latencyUs'>) =>
  throughputPerS > 0 ? latencyUs.p99 : Infinity

/** What to use of these points; null: there are none, or none keeps the p99. */
function chosenOf({ config, points }: Run, among: readonly Point[]): Point | null {
  const choice = choiceOf(among.map(seenOf), config.sloP99Ms)
  return choice === null || !keeps(choice, config.sloP99Ms) ? null : points.get(keyOf(choice))!
}

/** Fresh trials decide where every choice has one. */
function bestOf(run: Run, lanes: readonly Lane[], choice: Point | null): TunePoint | null {
  const { sloP99Ms } = run.config
  const rounds = Math.min(...lanes.map(({ trials }) => trials.length))
  if (lanes.length === 0 || rounds === 0) return choice && pointOf(run, choice)
  const points = lanes.map((lane) => pointOf(run, lane))
  const seen = points.map((one) => ({ ...one, p99Us: p99Of(one), why: 'again' as const }))
  const chosen = choiceOf(seen, sloP99Ms)
  if (chosen === null || !keeps(chosen, sloP99Ms)) return null
  return points[seen.indexOf(chosen)]!
}

function pointOf(run: Run, { batchMaxBytes, pipelineDepth, trials }: Omit<Point, 'why'>) {
  const { model, config } = run
  const sizes = { batchMaxBytes, pipelineDepth }
  const point: TunePoint = {
    ...sizes,
    throughputPerS: spreadOf(throughputsOf(trials)).median,
    latencyUs: latencyMedians(trials),
    predictedThroughputPerS: model && predictOf(model, loadShapeOf(config), sizes),
    trials: trials.length,
  }
  return point
}

function latencyMedians(trials: readonly TrialResult[]): LatencyUs {
  const of = (key: keyof LatencyUs): number =>
    spreadOf(trials.map(({ latencyUs }) => latencyUs[key])).median
  return {
    count: trials.reduce((sum, { latencyUs }) => sum + latencyUs.count, 0),
    ...{ mean: of('mean'), p50: of('p50'), p90: of('p90') },
    ...{ p99: of('p99'), p999: of('p999'), max: of('max') },
  }
}

/** Lanes that have trials, with ratios to the given sizes in the same round. */
function lanesOf(lanes: readonly Lane[], seed: number): TuneLane[] {
  const [given] = lanes
  if (given === undefined || given.trials.length === 0) return []
  const theirs = throughputsOf(given.trials)
  return lanes.flatMap(({ lane, batchMaxBytes, pipelineDepth, trials }) => {
    if (trials.length === 0) return []
    const throughputs = throughputsOf(trials)
    const ratios = throughputs.slice(0, theirs.length).map((value, i) => value / theirs[i]!)
    const isGiven = lane === 'given'
    return {
      ...{ lane, batchMaxBytes, pipelineDepth, throughputs },
      ...summaryOf(trials),
      ratio: isGiven ? { median: 1, low: 1, high: 1 } : bootstrap(ratios, seed),
      p: isGiven ? null : mannWhitney(throughputs, theirs).p,
    }
  })
}
