/**
 * Why these sizes: sentences with figures, from what was measured and what the model says. Pure.
 * What cannot be told is said too: a machine that is too noisy, a model that is off, a budget that
 * ended the search, a p99 that nothing keeps.
 */
import { bytes, digits, latency, percent, perSecond, probability } from '../report/units.ts'
import type { Sizes, TuneConfig, TunePoint, TuneResult } from '../types.ts'
import { loadShapeOf } from './estimate.ts'
import {
  bottleneckOf,
  type CostModel,
  entriesForEfficiency,
  groupOf,
  packetBytesOf,
  roundOf,
  roundsOf,
  saturatingRoundsOf,
  syncOf,
  windowBytesOf,
} from './model.ts'
import { isSame } from './search.ts'

export type End = 'search' | 'budget' | 'interrupt'
export type Findings = Pick<
  TuneResult,
  'points' | 'best' | 'searchBest' | 'gridBest' | 'validation'
>

export interface Facts extends Findings {
  readonly config: TuneConfig
  readonly model: CostModel | null
  readonly ended: End
  readonly gridLeft: number
}

/** Beyond this the choice rests on measurements alone. */
const MODEL_ERROR_MAX = 0.25
/** Trials of the same sizes that lie so far apart tell little. */
const NOISY_SPREAD = 0.3
const SIGNIFICANT = 0.05
const DEPTH_MAX = 1_024

export function rationaleOf(facts: Facts): string[] {
  const { best, model } = facts
  if (facts.points.length === 0) return ['Nothing was measured.']
  if (best === null) return [...unmetOf(facts), ...endOf(facts)]
  return [
    choiceOf(best, facts),
    ...(model === null ? [] : reasonsOf(model, best, facts)),
    ...againstGivenOf(facts),
    ...modelErrorOf(best),
    ...gridOf(facts),
    ...endOf(facts),
  ]
}

const nameOf = ({ batchMaxBytes, pipelineDepth }: Sizes): string =>
  `batches up to ${bytes(batchMaxBytes)} with ${roundsText(pipelineDepth)} in flight`

const roundsText = (count: number): string => (count === 1 ? 'one round' : `${count} rounds`)
const upper = (text: string): string => text[0]!.toUpperCase() + text.slice(1)
const figuresOf = ({ throughputPerS, latencyUs }: TunePoint): string =>
  `${perSecond(throughputPerS)}, p99 ${latency(latencyUs.p99)}`
const ms = (seconds: number): string => latency(seconds * 1e6)

function choiceOf(best: TunePoint, { config, points, validation }: Facts): string {
  const { sloP99Ms } = config
  const goal =
    sloP99Ms === null ? 'the most' : `the most that keeps p99 <= ${latency(sloP99Ms * 1e3)}`
  const basis =
    validation.length === 0
      ? `of ${countText(points.length)} measured; no fresh trials were made of it`
      : `in the median of ${trialsText(best.trials)}`
  return `${upper(nameOf(best))}: ${figuresOf(best)}, ${goal} ${basis}.`
}

/** Sizes are pairs: a batch size and a depth. */
const countText = (count: number): string =>
  (count === 1 ? 'one pair' : `${count} pairs`) + ' of sizes'

const trialsText = (count: number): string =>
  count === 1 ? 'one fresh trial' : `${count} fresh trials`

function unmetOf({ config, points, validation, searchBest }: Facts): string[] {
  const { sloP99Ms } = config
  const alive = points.filter(({ throughputPerS }) => throughputPerS > 0)
  if (alive.length === 0) return ['Nothing was acknowledged in any trial.']
  if (sloP99Ms === null) return ['Nothing was acknowledged in the fresh trials.']
  const bound = latency(sloP99Ms * 1e3)
  const nearest = alive.reduce((a, b) => (b.latencyUs.p99 < a.latencyUs.p99 ? b : a))
  const lines = [
    searchBest === null || validation.length === 0
      ? `Of ${countText(points.length)} measured none keeps p99 <= ${bound}.`
      : `${upper(nameOf(searchBest))} kept p99 <= ${bound} in the search, not in fresh trials.`,
    `The lowest p99 was ${latency(nearest.latencyUs.p99)}, ${nameOf(nearest)}.`,
  ]
  if (config.rate === null)
    lines.push(
      `With ${config.inflight} entries in flight an entry waits for those before it: ` +
        `fewer (--inflight), or a rate (--rate), lower p99 more than sizes do.`,
    )
  return lines
}

function reasonsOf(model: CostModel, best: TunePoint, { config, points }: Facts): string[] {
  const load = loadShapeOf(config)
  const { entries, rounds } = roundsOf(model, load, best)
  const wanted = saturatingRoundsOf(model, entries, DEPTH_MAX)
  const filled = Math.max(1, Math.round(rounds))
  const together = groupOf(Math.min(wanted, rounds)) // rounds a sync
  const lines = [
    depthText(model, best, entries, { wanted, together }),
    fillText(best, filled, wanted, points),
    batchText(model, best, entries, together),
  ]
  if (filled < wanted && rounds * entries >= 0.9 * (load.inflight ?? Infinity))
    lines.push(
      `All ${whole(load.inflight!)} entries that the load has in flight are in these rounds: ` +
        `more of them (--inflight) could give more.`,
    )
  if (model.bandwidthBytesPerS !== Infinity) lines.push(linkText(model))
  return lines
}

function depthText(
  model: CostModel,
  { pipelineDepth }: Sizes,
  entries: number,
  { wanted, together }: { readonly wanted: number; readonly together: number },
): string {
  const { name, busyS } = bottleneckOf(model, entries, together)
  const saturating =
    wanted < DEPTH_MAX
      ? `${roundsText(wanted)} under way ${wanted === 1 ? 'keeps' : 'keep'} it busy all the time`
      : `not even ${DEPTH_MAX} under way keep it busy all the time`
  return (
    `Depth ${pipelineDepth} because a lone round of ${whole(entries)} entries takes ` +
    `${ms(roundOf(model, entries))} (${partsOf(model, entries)}), and the busiest part (${name}) ` +
    `has ${ms(busyS)} of work with it: ${saturating}.`
  )
}

function partsOf(model: CostModel, entries: number): string {
  const packetBytes = packetBytesOf(model, entries)
  const syncS = syncOf(model.disk, packetBytes)
  const linkS = packetBytes / model.bandwidthBytesPerS
  const parts = [`the round trip is ${ms(model.roundTripS)}`]
  if (syncS > 0) parts.push(`a sync ${ms(syncS)}`)
  if (linkS > 0) parts.push(`the link ${ms(linkS)}`)
  const restS = roundOf(model, entries) - model.roundTripS - syncS - linkS
  return `${parts.join(', ')}, the rest ${ms(Math.max(0, restS))}`
}

function fillText(
  { batchMaxBytes, pipelineDepth }: Sizes,
  filled: number,
  wanted: number,
  points: readonly Sizes[],
): string {
  const isDeeper = (one: Sizes): boolean =>
    one.batchMaxBytes === batchMaxBytes && one.pipelineDepth > pipelineDepth
  if (filled >= wanted) return 'Deeper would only lengthen queues.'
  if (filled < pipelineDepth) return `The load fills about ${filled} of the ${pipelineDepth}.`
  return points.some(isDeeper)
    ? 'A deeper one was measured and gave no more.'
    : 'No deeper one was measured with these batches.'
}

/** What a round costs the busiest resource, and how many entries make it worth its cost. */
function batchText(model: CostModel, best: Sizes, entries: number, together: number): string {
  const { name } = bottleneckOf(model, entries, together)
  const cap = `Batches up to ${bytes(best.batchMaxBytes)}`
  const resource = model.resources.find((one) => one.name === name)
  if (resource === undefined) return `${cap}: the bandwidth of a link bounds the throughput.`
  const { disk, entryBytes } = model
  const { busy, logs } = resource
  const fixedS = busy.fixedS + (logs * disk.fixedS) / together
  const perEntryS = busy.perEntryS + logs * entryBytes * disk.perByteS
  const cost = `${cap} because a round costs ${name} ${ms(fixedS)} whatever it holds`
  if (perEntryS === 0) return `${cost}, and its entries nothing.`
  const wanted = entriesForEfficiency({ fixedS, perEntryS }, 0.9)
  return (
    `${cost} and ${digits(perEntryS * 1e9)} ns an entry: 90 % of that time goes into entries ` +
    `when there are ${whole(wanted)} in a round; here are ${whole(entries)}.`
  )
}

function linkText({ bandwidthBytesPerS, roundTripS, disk }: CostModel): string {
  const window = windowBytesOf(bandwidthBytesPerS, roundTripS, disk.fixedS)
  const reason = 'its bandwidth for a round trip and a sync'
  return `A link is kept busy by ${bytes(window)} under way: ${reason}.`
}

const whole = (value: number): string => Math.round(value).toLocaleString('en-US')

function againstGivenOf(facts: Facts): string[] {
  const { validation, best, config } = facts
  const [given, ...others] = validation
  if (given === undefined) return []
  const noise = noisyOf(facts)
  const sizes = `the given sizes (${nameOf(config)})`
  if (isSame(best!, config) && others.length === 0)
    return [`Nothing was found to be better than ${sizes}.`, ...noise]
  const rows = others.map((lane) => {
    const { median, low, high } = lane.ratio
    const figures = `${digits(median)} x, 95 % interval ${digits(low)} to ${digits(high)}`
    const rounds = Math.min(lane.throughputs.length, given.throughputs.length)
    return (
      `Against ${sizes} the ${SOURCES[lane.lane]} gives ${figures}, p ${probability(lane.p!)}, ` +
      `in ${trialsText(rounds)} each, interleaved.` +
      (lane.p! > SIGNIFICANT || (low <= 1 && high >= 1) ? ` ${indistinct(rounds)}` : '')
    )
  })
  return [...rows, ...noise]
}

const SOURCES = { given: 'given sizes', search: 'choice of the search', grid: 'best of the grid' }

const indistinct = (rounds: number): string =>
  rounds < 4
    ? 'So few trials cannot tell them apart.'
    : 'The trials do not tell them apart: keep the given sizes if you like.'

/** Trials of one choice among themselves, and with what the search had measured of it. */
function noisyOf({ validation, points }: Facts): string[] {
  const spreads = validation.map(({ throughputPerS: { median, min, max }, ...sizes }) => {
    const before = points.find((point) => isSame(point, sizes))?.throughputPerS ?? median
    return (Math.max(max, before) - Math.min(min, before)) / median
  })
  const widest = Math.max(...spreads)
  if (widest <= NOISY_SPREAD) return []
  return [
    `The machine is noisy: trials of the same sizes lay ${percent(widest)} apart, so differences ` +
      `of that size mean little.`,
  ]
}

function modelErrorOf({ throughputPerS, predictedThroughputPerS }: TunePoint): string[] {
  if (predictedThroughputPerS === null || throughputPerS === 0) return []
  const error = predictedThroughputPerS / throughputPerS - 1
  const side = `${percent(Math.abs(error))} ${error < 0 ? 'below' : 'above'} what was measured`
  const said = `The model says ${perSecond(predictedThroughputPerS)}, ${side}`
  return Math.abs(error) > MODEL_ERROR_MAX
    ? [`${said}: it is off, and the choice rests on the measurements.`]
    : [`${said}.`]
}

function gridOf({ gridBest, searchBest, gridLeft, config }: Facts): string[] {
  if (!config.grid) return []
  const lines = gridLeft === 0 ? [] : [`${gridLeft} points of the grid were not measured.`]
  if (gridBest === null || searchBest === null) return lines
  const grid = gridLeft === 0 ? 'the grid' : 'what was measured of it'
  const share = percent(searchBest.throughputPerS / gridBest.throughputPerS)
  return [
    ...lines,
    `The best of ${grid} is ${nameOf(gridBest)} (${figuresOf(gridBest)}); ` +
      `the search alone came to ${share} of it.`,
  ]
}

function endOf({ ended, points }: Facts): string[] {
  const after = `after ${countText(points.length)}`
  if (ended === 'budget')
    return [`The budget ended the search ${after}: a longer one could find more.`]
  if (ended === 'interrupt') return [`Interrupted ${after}: what was measured until then is kept.`]
  return []
}
