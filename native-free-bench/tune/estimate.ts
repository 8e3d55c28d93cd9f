/**
 * The figures of the model from measured trials: what a round costs each thread, the cores and the
 * disk, and what a lone round takes. Pure. A round is what the leader's log appends and accepts at
 * once; node 1 leads. Costs are fitted over trials with batches of different sizes, by the least
 * squares of the relative error; a negative part is none.
 */
import { entrySizeOf, FRAME_HEADER_SIZE_BYTES } from '../../src/codec/frame.ts'
import { STAGE_NAMES, threadMapOf } from '../../src/engine/topology.ts'
import { layoutOf } from '../engines/options-of.ts'
import type { BenchConfig, Sizes, TrialResult, TuneModel } from '../types.ts'
import {
  type Affine,
  type CostModel,
  type Disk,
  type LoadShape,
  type Resource,
  roundOf,
} from './model.ts'

export interface Measured extends Sizes {
  readonly trial: TrialResult
}

/** One observation: something took `seconds` with so many entries, or bytes. */
export interface Observation {
  readonly amount: number
  readonly seconds: number
  /** An error counts in relation to this; the seconds themselves when it is not given. */
  readonly scale?: number
}

const LEADER_LOG = 'n1.wal'
const NOTHING: Affine = { fixedS: 0, perEntryS: 0 }
/** The load hands an eighth of a window over at once (engines/load.ts). */
const CHUNKS_PER_WINDOW = 8

export function fitAffine(observations: readonly Observation[]): Affine {
  let [ww, wa, waa, wy, way] = [0, 0, 0, 0, 0]
  for (const { amount, seconds, scale = seconds } of observations) {
    if (scale <= 0) continue
    const weight = 1 / scale ** 2
    ww += weight
    wa += weight * amount
    waa += weight * amount ** 2
    wy += weight * seconds
    way += weight * amount * seconds
  }
  if (ww === 0) return NOTHING
  const alone = { fixedS: Math.max(0, wy / ww), perEntryS: 0 }
  const determinant = ww * waa - wa ** 2
  // All at one amount: nothing says which part grows with it.
  if (determinant <= 1e-9 * ww * waa) return alone
  const fixedS = (wy * waa - way * wa) / determinant
  const perEntryS = (ww * way - wa * wy) / determinant
  if (perEntryS < 0) return alone
  return fixedS < 0 ? { fixedS: 0, perEntryS: Math.max(0, way / waa) } : { fixedS, perEntryS }
}

/** null: no trial had a round. `cores`: of the machine that measured. */
export function estimate(
  config: BenchConfig,
  measured: readonly Measured[],
  cores: number,
): CostModel | null {
  const useful = measured.filter(({ trial }) => roundsIn(trial) > 0 && trial.entries > 0)
  if (useful.length === 0) return null
  const trials = useful.map(({ trial }) => trial)
  const roundTrips = trials.flatMap(({ roundTripMs }) => (roundTripMs === null ? [] : roundTripMs))
  const { bandwidthMbps } = config
  const model: CostModel = {
    entryBytes: entrySizeOf(config.payload),
    headerBytes: FRAME_HEADER_SIZE_BYTES,
    resources: [...threadsOf(config, trials), coresOf(trials, cores)],
    disk: diskOf(config, trials),
    roundTripS: roundTrips.length === 0 ? 0 : Math.min(...roundTrips) / 1_000,
    bandwidthBytesPerS: bandwidthMbps === 0 ? Infinity : (bandwidthMbps * 1e6) / 8,
    rest: NOTHING,
  }
  return { ...model, rest: restOf(model, useful) }
}

const roundsIn = ({ stages }: TrialResult): number => stages[LEADER_LOG]?.batches ?? 0
const entriesARound = (trial: TrialResult): number => trial.entries / roundsIn(trial)

/** A thread is busy with all its stages, one after the other; the caller's has all nodes of it. */
function threadsOf(config: BenchConfig, trials: readonly TrialResult[]): Resource[] {
  const tcp = config.transport === 'tcp'
  const map = threadMapOf(layoutOf(config), { tcp, applyInCaller: false })
  const stagesOf = new Map<string, string[]>()
  for (let node = 1; node <= config.nodes; node++) {
    for (const stage of STAGE_NAMES) {
      const isShared = map[stage] === 'caller' && !tcp
      const thread = isShared ? "the caller's thread" : `n${node} ${map[stage]}`
      stagesOf.set(thread, [...(stagesOf.get(thread) ?? []), `n${node}.${stage}`])
    }
  }
  return [...stagesOf].map(([name, stages]) => ({
    name,
    busy: fitAffine(trials.map((trial) => busyOf(trial, stages))),
    logs:
      config.durability === 'fsync' ? stages.filter((stage) => stage.endsWith('.wal')).length : 0,
  }))
}

/** Busy seconds a round without the syncs, whose time depends on how many rounds share one. */
function busyOf(trial: TrialResult, stages: readonly string[]): Observation {
  let busyS = 0
  for (const stage of stages) {
    const { busyRatio = 0, syncs = 0, syncMsMean = 0 } = trial.stages[stage] ?? {}
    busyS += Math.max(0, busyRatio * trial.durationS - (syncs * syncMsMean) / 1_000)
  }
  return { amount: entriesARound(trial), seconds: busyS / roundsIn(trial) }
}

/** The cores are one resource: where threads are more than cores, this is the bottleneck. */
function coresOf(trials: readonly TrialResult[], cores: number): Resource {
  const busy = fitAffine(
    trials.map((trial) => ({
      amount: entriesARound(trial),
      seconds: (trial.cpu.coresUsed * trial.durationS) / roundsIn(trial) / cores,
    })),
  )
  return { name: `the ${cores} cores`, busy, logs: 0 }
}

function diskOf({ payload }: BenchConfig, trials: readonly TrialResult[]): Disk {
  const entryBytes = entrySizeOf(payload)
  const { fixedS, perEntryS } = fitAffine(
    trials.flatMap((trial) => {
      const { syncs = 0, syncMsMean = 0 } = trial.stages[LEADER_LOG] ?? {}
      const amount = (trial.entries * entryBytes) / syncs
      return syncs === 0 ? [] : [{ amount, seconds: syncMsMean / 1_000 }]
    }),
  )
  return { fixedS, perByteS: perEntryS }
}

/**
 * With one round under way at a time, a round takes the measured time over the number of rounds; an
 * open loop may leave gaps, but no entry is answered sooner than by a round.
 */
function restOf(model: CostModel, measured: readonly Measured[]): Affine {
  const lone = measured.filter(({ pipelineDepth }) => pipelineDepth === 1)
  return fitAffine(
    lone.map(({ trial }) => {
      const amount = entriesARound(trial)
      const tookS = Math.min(trial.durationS / roundsIn(trial), trial.latencyUs.p50 / 1e6)
      return { amount, seconds: tookS - roundOf(model, amount), scale: tookS }
    }),
  )
}

/** The load of a configuration whose inflight is known. */
export function loadShapeOf(config: BenchConfig): LoadShape {
  const { inflight, rate, clients, api, batchMaxEntries, windowMaxBytes } = config
  if (inflight === 'best') throw new Error('inflight is resolved before a prediction')
  const perClient = Math.ceil((inflight ?? 0) / clients)
  return {
    inflight,
    ratePerS: rate,
    chunkEntries: api === 'writer' ? Math.ceil(perClient / CHUNKS_PER_WINDOW) : 1,
    windowBytes: windowMaxBytes,
    batchEntriesMax: batchMaxEntries === 0 ? Infinity : batchMaxEntries,
  }
}

const MIB = 2 ** 20

/** As it stands in a result. */
export const publicModel = (model: CostModel): TuneModel => ({
  entryBytes: model.entryBytes,
  roundTripMs: model.roundTripS * 1e3,
  syncMs: model.disk.fixedS * 1e3,
  syncMsPerMib: model.disk.perByteS * MIB * 1e3,
  restUs: model.rest.fixedS * 1e6,
  restNsPerEntry: model.rest.perEntryS * 1e9,
  resources: model.resources.map(({ name, busy, logs }) => ({
    name,
    fixedUs: busy.fixedS * 1e6,
    perEntryNs: busy.perEntryS * 1e9,
    logs,
  })),
})
