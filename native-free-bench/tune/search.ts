/**
 * Which sizes to measure next. Pure: what was measured and what the model says of the rest go in,
 * the next point comes out. First a few probes that tell the costs apart, then what the model
 * predicts to be best, then a climb over powers of two around the best that was measured, and the
 * contenders again, since one trial proves little. Ends by itself.
 */
import { entrySizeOf, FRAME_HEADER_SIZE_BYTES } from '../../src/codec/frame.ts'
import { BATCH_MIN_BYTES } from '../option-checks.ts'
import type { BenchConfig, Sizes } from '../types.ts'

/** All sizes that a search may choose: powers of two, ascending. */
export interface Lattice {
  readonly batches: readonly number[]
  readonly depths: readonly number[]
}

export const WHYS = ['probe', 'model', 'climb', 'again', 'grid'] as const
export type Why = (typeof WHYS)[number]

/** A measured point: median throughput, and the worst p99 of its trials; Infinity: one had none. */
export interface Seen extends Sizes {
  readonly throughputPerS: number
  readonly p99Us: number
  readonly trials: number
  /** Why it was first measured. */
  readonly why: Why
}

export interface Search {
  readonly lattice: Lattice
  readonly given: Sizes
  readonly sloP99Ms: number | null
  readonly seen: readonly Seen[]
  /** null: there is no model yet. */
  readonly predict: ((sizes: Sizes) => number) | null
}

export interface Next {
  readonly sizes: Sizes
  readonly why: Why
}

const BATCH_MAX_BYTES = 2 ** 22
const DEPTH_MAX = 256
/** A proposal may come back as a command, with its marks (option-checks.ts). */
const PAYLOAD_MARGIN_BYTES = 1_024 + FRAME_HEADER_SIZE_BYTES
/** So many points are measured because the model says so, as it learns. */
const MODEL_POINTS_MAX = 3
/** Predictions as near as this are one: the fewer bytes under way, the shorter the queue. */
const SAME_PREDICTION = 0.99
/** Points as near to the best as this are contenders, so many of them, each measured so often. */
const CONTENDER = 0.95
const CONTENDERS_MAX = 4
const CONTENDER_TRIALS = 3
/** Equal for all that a few trials can tell: then the lower p99 decides. */
const SAME_THROUGHPUT = 0.98

export const keyOf = ({ batchMaxBytes, pipelineDepth }: Sizes): string =>
  `${batchMaxBytes} x ${pipelineDepth}`

export const isSame = (a: Sizes, b: Sizes): boolean => keyOf(a) === keyOf(b)

/** From a batch that holds an entry to one that holds all that the load has under way. */
export function latticeOf(config: BenchConfig): Lattice {
  const { payload, inflight, windowMaxBytes } = config
  const entryBytes = entrySizeOf(payload)
  const least = Math.max(BATCH_MIN_BYTES, payload + PAYLOAD_MARGIN_BYTES)
  const entries = typeof inflight === 'number' ? inflight : Infinity
  const useful = Math.max(least, FRAME_HEADER_SIZE_BYTES + entries * entryBytes)
  const most = Math.min(BATCH_MAX_BYTES, windowMaxBytes)
  const batches = powersOfTwo(least, Math.min(most, powerOfTwoFrom(useful)))
  return {
    batches: batches.length > 0 ? batches : [config.batchMaxBytes],
    depths: powersOfTwo(1, Math.min(DEPTH_MAX, powerOfTwoFrom(entries))),
  }
}

const powerOfTwoFrom = (value: number): number =>
  value === Infinity ? Infinity : 2 ** Math.ceil(Math.log2(value))

function powersOfTwo(least: number, most: number): number[] {
  const values: number[] = []
  for (let value = powerOfTwoFrom(least); value <= most; value *= 2) values.push(value)
  return values
}

/** Every second power of two of both, and the given sizes. */
export function gridOf({ batches, depths }: Lattice, given: Sizes): Sizes[] {
  const isEven = (_: number, place: number): boolean => place % 2 === 0
  const sizes = crossed(batches.filter(isEven), depths.filter(isEven))
  return unique([given, ...sizes])
}

const crossed = (batches: readonly number[], depths: readonly number[]): Sizes[] =>
  batches.flatMap((batchMaxBytes) =>
    depths.map((pipelineDepth) => ({ batchMaxBytes, pipelineDepth })),
  )

const unique = (all: readonly Sizes[]): Sizes[] => [
  ...new Map(all.map((sizes) => [keyOf(sizes), sizes])).values(),
]

/** The given sizes, then small, middle and large batches, alone and with rounds under way. */
export function probesOf({ batches, depths }: Lattice, given: Sizes): Sizes[] {
  const middle = batches[Math.floor(batches.length / 2)]!
  const sizes = [batches[0]!, middle, batches.at(-1)!]
  const under = depths.filter((depth) => depth <= Math.max(8, depths[0]!)).at(-1)!
  return unique([given, ...crossed(sizes, [1]), ...crossed(sizes, [under])])
}

/** null: nothing more is worth a trial. */
export function propose(search: Search): Next | null {
  const { lattice, given, seen } = search
  const isNew = (sizes: Sizes): boolean => !seen.some((one) => isSame(one, sizes))
  const probe = probesOf(lattice, given).find(isNew)
  if (probe !== undefined) return { sizes: probe, why: 'probe' }
  const predicted = predictedBest(search)
  const tried = seen.filter(({ why }) => why === 'model').length
  if (predicted !== null && isNew(predicted) && tried < MODEL_POINTS_MAX)
    return { sizes: predicted, why: 'model' }
  const [best, ...others] = contendersOf(search)
  const around = (centres: readonly Seen[], steps: Steps): Next | null => {
    const sizes = centres.flatMap((one) => neighboursOf(search, one, steps)).find(isNew)
    return sizes === undefined ? null : { sizes, why: 'climb' }
  }
  // On a plateau chance says which point is the best: look around all that may be.
  return around([best!], NEAR) ?? around([best!], FAR) ?? againOf(search) ?? around(others, NEAR)
}

/** Of what the model takes for equal, the least depth, then the smallest batch. */
export function predictedBest({ lattice, predict }: Search): Sizes | null {
  if (predict === null) return null
  const all = crossed(lattice.batches, lattice.depths)
  const values = all.map(predict)
  const least = Math.max(...values) * SAME_PREDICTION
  const [first] = all
    .filter((_, place) => values[place]! >= least)
    .sort((a, b) => a.pipelineDepth - b.pipelineDepth || a.batchMaxBytes - b.batchMaxBytes)
  return first!
}

type Steps = readonly (readonly [ofBatch: number, ofDepth: number])[]
/** One step in each size, and both ways along equal bytes under way, where a ridge would lie. */
const NEAR: Steps = [
  [1, 2],
  [1, 0.5],
  [2, 1],
  [0.5, 1],
  [2, 0.5],
  [0.5, 2],
]
/** Over a flat step to what may lie behind it. */
const FAR: Steps = [
  [1, 4],
  [1, 0.25],
  [4, 1],
  [0.25, 1],
]

/** The most promising first. */
function neighboursOf({ lattice, predict }: Search, of: Sizes, steps: Steps): Sizes[] {
  const all = steps
    .map(([ofBatch, ofDepth]) => ({
      batchMaxBytes: nearest(lattice.batches, of.batchMaxBytes * ofBatch),
      pipelineDepth: nearest(lattice.depths, of.pipelineDepth * ofDepth),
    }))
    .filter((sizes) => !isSame(sizes, of))
  return predict === null ? all : all.sort((a, b) => predict(b) - predict(a))
}

/** By ratio; given sizes need be no powers of two. */
const nearest = (values: readonly number[], wanted: number): number =>
  values.reduce((best, one) =>
    Math.abs(Math.log(one / wanted)) < Math.abs(Math.log(best / wanted)) ? one : best,
  )

/** The best and those near it, best first. */
function contendersOf({ seen, sloP99Ms }: Pick<Search, 'seen' | 'sloP99Ms'>): Seen[] {
  const [best, ...others] = [...seen].sort((a, b) => compareOf(a, b, sloP99Ms))
  if (best === undefined) return []
  return [best, ...others.filter((one) => isNear(one, best, sloP99Ms))].slice(0, CONTENDERS_MAX)
}

/** Contenders are measured until each was so often; the least measured first. */
export function againOf(search: Pick<Search, 'seen' | 'sloP99Ms'>): Next | null {
  const [least] = contendersOf(search)
    .filter(({ trials }) => trials < CONTENDER_TRIALS)
    .sort((a, b) => a.trials - b.trials)
  return least === undefined ? null : { sizes: least, why: 'again' }
}

/** A point that broke the bound may do so by chance: it is no contender, nor need it be. */
const isNear = (one: Seen, best: Seen, sloP99Ms: number | null): boolean =>
  keeps(best, sloP99Ms)
    ? keeps(one, sloP99Ms) && one.throughputPerS >= CONTENDER * best.throughputPerS
    : one.p99Us <= best.p99Us / CONTENDER

/** What acknowledged nothing keeps nothing. */
export const keeps = ({ throughputPerS, p99Us }: Seen, sloP99Ms: number | null): boolean =>
  throughputPerS > 0 && (sloP99Ms === null || p99Us <= sloP99Ms * 1_000)

/** Below 0: `a` is better. What keeps the p99 goes before what does not. */
function compareOf(a: Seen, b: Seen, sloP99Ms: number | null): number {
  const [ofA, ofB] = [keeps(a, sloP99Ms), keeps(b, sloP99Ms)]
  if (ofA !== ofB) return ofA ? -1 : 1
  return ofA ? b.throughputPerS - a.throughputPerS : a.p99Us - b.p99Us
}

export const bestOf = <Point extends Seen>(
  seen: readonly Point[],
  sloP99Ms: number | null,
): Point | null =>
  seen.reduce<Point | null>(
    (best, one) => (best === null || compareOf(one, best, sloP99Ms) < 0 ? one : best),
    null,
  )

/** The choice: of points that are as good as the best, the one of the lowest p99. */
export function choiceOf<Point extends Seen>(
  seen: readonly Point[],
  sloP99Ms: number | null,
): Point | null {
  const best = bestOf(seen, sloP99Ms)
  if (best === null || !keeps(best, sloP99Ms)) return best
  const least = best.throughputPerS * SAME_THROUGHPUT
  return seen
    .filter((one) => keeps(one, sloP99Ms) && one.throughputPerS >= least)
    .reduce((a, b) => (b.p99Us < a.p99Us ? b : a))
}
