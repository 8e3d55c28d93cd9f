/**
 * Machines that were never measured: what a trial would give for any sizes, with seeded noise. The
 * truth has effects that the model of the tuner knows nothing of: the search must find them.
 */
import { loadShapeOf } from '../../native-free-bench/tune/estimate.ts'
import {
  bottleneckOf,
  type CostModel,
  groupOf,
  roundOf,
  roundsOf,
} from '../../native-free-bench/tune/model.ts'
import { randomOf } from '../../native-free-bench/stats/statistics.ts'
import type { BenchConfig, Sizes, TrialResult, TuneConfig } from '../../native-free-bench/types.ts'
import { parseTune } from '../../native-free-bench/options.ts'
import { trialOf } from './report-fixtures.ts'

export interface Machine {
  readonly model: CostModel
  /** What the formulas leave out: a factor of the throughput by entries a round and rounds. */
  readonly effect: (entries: number, rounds: number) => number
}

const US = 1e-6
const NS = 1e-9

export const machineOf = (
  roundTripMs: number,
  syncMs: number,
  effect: Machine['effect'] = () => 1,
): Machine => ({
  effect,
  model: {
    entryBytes: 20,
    headerBytes: 64,
    resources: [
      { name: 'n1 decide', busy: { fixedS: 60 * US, perEntryS: 12 * NS }, logs: 0 },
      { name: 'n1 wal', busy: { fixedS: 20 * US, perEntryS: 5 * NS }, logs: 1 },
      { name: 'the 2 cores', busy: { fixedS: 200 * US, perEntryS: 50 * NS }, logs: 0 },
    ],
    disk: { fixedS: syncMs / 1e3, perByteS: 0.5 * NS },
    roundTripS: roundTripMs / 1e3,
    bandwidthBytesPerS: Infinity,
    rest: { fixedS: 50 * US, perEntryS: 5 * NS },
  },
})

export function truthOf({ model, effect }: Machine, config: BenchConfig, sizes: Sizes): number {
  const { entries, rounds } = roundsOf(model, loadShapeOf(config), sizes)
  const { busyS } = bottleneckOf(model, entries, groupOf(rounds))
  const possible = entries * Math.min(rounds / roundOf(model, entries), 1 / busyS)
  return possible * effect(entries, sizes.pipelineDepth)
}

/** Normal by Box and Muller. */
function normalOf(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

/** Trials of half a second; in a closed loop an entry waits for all that are in flight. */
export function trialsOf(machine: Machine, noise: number, seed: number) {
  const random = randomOf(seed)
  return (config: BenchConfig): Promise<TrialResult> => {
    const throughput = truthOf(machine, config, config) * Math.exp(noise * normalOf(random))
    const { entries } = roundsOf(machine.model, loadShapeOf(config), config)
    return Promise.resolve(measuredOf(machine.model, config, entries, throughput))
  }
}

function measuredOf(
  model: CostModel,
  { inflight, pipelineDepth }: BenchConfig,
  entries: number,
  throughput: number,
): TrialResult {
  const durationS = 0.5
  const rounds = Math.max(1, Math.round((throughput * durationS) / entries))
  const latencyUs = ((inflight as number) / throughput) * 1e6 + 10 * pipelineDepth
  const together = groupOf(pipelineDepth)
  const use = (name: string, syncs = 0) => {
    const { busy } = model.resources.find((one) => one.name === name)!
    const syncS = model.disk.fixedS + model.disk.perByteS * entries * model.entryBytes * together
    const busyS = rounds * (busy.fixedS + busy.perEntryS * entries) + syncs * syncS
    const ratio = { busyRatio: busyS / durationS, batches: rounds, entries: 0, stalls: 0 }
    return { ...ratio, syncs, syncMsMean: syncs === 0 ? 0 : syncS * 1e3 }
  }
  const cores = model.resources.find(({ name }) => name === 'the 2 cores')!.busy
  const coreS = 2 * rounds * (cores.fixedS + cores.perEntryS * entries)
  const trial = trialOf(throughput, latencyUs * 2)
  const count = Math.round(throughput * durationS)
  return {
    ...trial,
    ...{ durationS, entries: count, roundTripMs: model.roundTripS * 1e3 },
    safety: { ...trial.safety, checkedEntries: count },
    cpu: { userS: coreS, systemS: 0, coresUsed: coreS / durationS },
    stages: {
      'n1.decide': use('n1 decide'),
      'n1.wal': use('n1 wal', Math.max(1, Math.round(rounds / together))),
    },
  }
}

export function tuneOf(flags: Readonly<Record<string, unknown>>): TuneConfig {
  const { config, problems } = parseTune({ flags: { allowTmpfs: true, ...flags } })
  if (config === undefined) throw new Error(problems.join('\n'))
  return config
}
