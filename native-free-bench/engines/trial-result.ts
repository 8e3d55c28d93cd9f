/** Makes the result of a trial out of what was seen. Pure. */
import type { NodeStatistics, StageStatistics } from '../../src/engine/node-status.ts'
import type { Trial } from '../run-trial.ts'
import { createHistogram, latencyOf, mean, mergeSparse, percentile } from '../stats/histogram.ts'
import type {
  CpuUse,
  NodeResult,
  RingUse,
  Safety,
  Sample,
  StageUse,
  ThreadUse,
  TrialResult,
} from '../types.ts'
import { KILLED, type NodeLook } from './engine.ts'
import type { NodeEnd } from './verdict.ts'

export interface TrialEnd {
  readonly endMs: number
  /** The last look at every node that lived to the end. */
  readonly looks: ReadonlyMap<number, NodeLook>
  readonly ends: readonly NodeEnd[]
  readonly safety: Safety
  readonly entries: number
}

export function trialResultOf(trial: Trial, end: TrialEnd): TrialResult {
  const { config, loads, fromMs } = trial
  const { entries } = end
  const latency = createHistogram()
  const batches = createHistogram()
  for (const { result } of loads) {
    mergeSparse(latency, result.latency)
    mergeSparse(batches, result.batchEntries)
  }
  const durationS = Math.max(0.001, (end.endMs - fromMs) / 1_000)
  const nodes = config.roles.map((_, place) => nodeResultOf(trial, end, place + 1, durationS))
  const offered = loads.reduce((sum, { result }) => sum + result.offered, 0)
  const looks = [...trial.after.values()]
  return {
    entries,
    durationS,
    throughputPerS: entries / durationS,
    bytesPerS: (entries * config.payload) / durationS,
    latencyUs: latencyOf(latency),
    cpu: cpuOf(trial, durationS),
    rssBytesMax: trial.engine.sharesProcess
      ? Math.max(0, ...looks.map(({ rssBytes }) => rssBytes))
      : looks.reduce((sum, { rssBytes }) => sum + rssBytes, 0),
    syncs: nodes.reduce((sum, node) => sum + node.syncs, 0),
    batchEntries: {
      p50: Math.round(percentile(batches, 0.5)),
      mean: mean(batches),
      max: batches.maxUs,
    },
    inflightMax: Math.max(0, ...loads.map(({ result }) => result.inflightMax)),
    stages: stagesOf(trial, durationS),
    rings: ringsOf(trial),
    threads: threadsOf(trial),
    safety: end.safety,
    nodes,
    failover: trial.failovers,
    refused: loads.reduce((sum, { result }) => sum + result.refused, 0),
    offeredPerS: config.rate === null ? null : offered / (durationS + config.warmup),
    roundTripMs: roundTripOf(trial),
    samples: samplesOf(trial),
    warnings: warningsOf(trial, entries),
    partial: false,
  }
}

/** Difference of a stage's counters over the measured time; a node that died has none. */
function stageDifference(trial: Trial, node: number, name: keyof NodeStatistics['stages']) {
  const before = trial.before.get(node)?.statistics.stages[name]
  const after = trial.after.get(node)?.statistics.stages[name]
  if (before === undefined || after === undefined) return null
  const minus = (key: keyof StageStatistics): number => after[key] - before[key]
  return {
    busyMs: minus('busyMs'),
    batches: minus('batches'),
    entries: minus('entries'),
    syncs: minus('syncs'),
    syncMs: minus('syncMs'),
  }
}

function stagesOf(trial: Trial, durationS: number): Record<string, StageUse> {
  const stages: Record<string, StageUse> = {}
  for (const [id, { statistics }] of trial.after) {
    for (const name of Object.keys(statistics.stages) as (keyof NodeStatistics['stages'])[]) {
      const use = stageDifference(trial, id, name)
      if (use === null) continue
      const { busyMs, batches, entries, syncs, syncMs } = use
      const stalls = name === 'ingest' ? (statistics.rings['ingest-log']?.stalls ?? 0) : 0
      const busyRatio = busyMs / 1_000 / durationS
      const syncMsMean = syncs === 0 ? 0 : syncMs / syncs
      stages[`n${id}.${name}`] = { busyRatio, batches, entries, stalls, syncs, syncMsMean }
    }
  }
  return stages
}

function ringsOf(trial: Trial): Record<string, RingUse> {
  const rings: Record<string, RingUse> = {}
  for (const [id, { statistics }] of trial.after) {
    for (const [name, { samples, occupancySum, occupancyMax }] of Object.entries(
      statistics.rings,
    )) {
      const occupancyMean = samples === 0 ? 0 : occupancySum / samples
      rings[`n${id}.${name}`] = { occupancyMean, occupancyMax }
    }
  }
  return rings
}

/** The caller's thread has one bell, whichever node of the process asks for it. */
function threadsOf({ before, after }: Trial): Record<string, ThreadUse> {
  const threads: Record<string, ThreadUse> = {}
  for (const [id, { statistics }] of after) {
    const since = before.get(id)?.statistics.threads
    for (const [name, { parks, wakes }] of Object.entries(statistics.threads)) {
      const was = since?.[name]
      if (was === undefined) continue
      threads[`n${id}.${name}`] = { parks: parks - was.parks, wakes: wakes - was.wakes }
    }
  }
  return threads
}

function cpuOf({ before, after, engine }: Trial, durationS: number): CpuUse {
  let userUs = 0
  let systemUs = 0
  for (const [id, look] of after) {
    const since = before.get(id)
    if (since === undefined) continue
    userUs += look.cpuUserUs - since.cpuUserUs
    systemUs += look.cpuSystemUs - since.cpuSystemUs
    if (engine.sharesProcess) break
  }
  return useOf(userUs, systemUs, durationS)
}

/** As the leader saw it at the end; null where nobody measured: Basic Paxos and `limit`. */
function roundTripOf({ after }: Trial): number | null {
  const looks = [...after.values()].map(({ status }) => status)
  const { roundTripUs } = looks.find(({ role }) => role === 'leader') ?? { roundTripUs: 0 }
  return roundTripUs === 0 ? null : roundTripUs / 1_000
}

const useOf = (userUs: number, systemUs: number, durationS: number): CpuUse => ({
  userS: userUs / 1e6,
  systemS: systemUs / 1e6,
  coresUsed: (userUs + systemUs) / 1e6 / durationS,
})

function nodeResultOf(trial: Trial, end: TrialEnd, id: number, durationS: number): NodeResult {
  const look = end.looks.get(id) ?? trial.after.get(id) ?? trial.before.get(id)
  const role = trial.config.roles[id - 1]!
  const { report } = end.ends.find((one) => one.id === id)!
  const syncs = stageDifference(trial, id, 'wal')?.syncs ?? 0
  return {
    id,
    role,
    applied: look?.status.applied ?? 0,
    chosen: look?.status.chosen ?? 0,
    durable: look?.status.durable ?? 0,
    acceptedBatches: look?.status.acceptedBatches ?? 0,
    syncs,
    cpu: nodeCpu(trial, id, durationS),
    rssBytesMax: look?.rssBytes ?? 0,
    stateHash: role === 'logger' ? null : (report?.stateHash ?? null),
  }
}

/** With memory links one process has all nodes: what its stages were busy stands in for its CPU. */
function nodeCpu(trial: Trial, id: number, durationS: number): CpuUse {
  const before = trial.before.get(id)
  const after = trial.after.get(id)
  if (before === undefined || after === undefined) return useOf(0, 0, durationS)
  if (!trial.engine.sharesProcess) {
    const userUs = after.cpuUserUs - before.cpuUserUs
    return useOf(userUs, after.cpuSystemUs - before.cpuSystemUs, durationS)
  }
  let busyMs = 0
  for (const name of ['receive', 'decide', 'fanout', 'apply'] as const) {
    busyMs += stageDifference(trial, id, name)?.busyMs ?? 0
  }
  return useOf(busyMs * 1_000, 0, durationS)
}

/** Every second up to the last one that brought something; in an outage nothing is acknowledged. */
function samplesOf({ loads }: Trial): Sample[] {
  const seconds = new Map<number, Sample>()
  for (const { result } of loads) {
    for (const { second, entries, p99, rssBytes } of result.samples) {
      const known = seconds.get(second)
      seconds.set(second, {
        tS: second + 1,
        throughputPerS: entries + (known?.throughputPerS ?? 0),
        p99: Math.max(p99, known?.p99 ?? 0),
        rssBytes: Math.max(rssBytes, known?.rssBytes ?? 0),
      })
    }
  }
  const last = Math.max(-1, ...seconds.keys())
  // Of memory it says what it said before, or first: nobody looked.
  let rssBytes = seconds.get(Math.min(...seconds.keys()))?.rssBytes ?? 0
  return Array.from({ length: last + 1 }, (_, second) => {
    const sample = seconds.get(second) ?? { tS: second + 1, throughputPerS: 0, p99: 0, rssBytes }
    rssBytes = sample.rssBytes
    return sample
  })
}

function warningsOf({ config, loads, warnings }: Trial, entries: number): string[] {
  const all = [...warnings]
  if (loads.some(({ result }) => result.failure === KILLED)) {
    all.push('what a killed process was told is checked, and not counted in any figure')
  }
  if (entries === 0) all.push('nothing was acknowledged in the measured time')
  if (config.durability !== 'fsync') all.push(`durability ${config.durability}: not synced`)
  if (config.rttMs > 0) all.push('the round trip is emulated at the receiving links')
  const refused = loads.reduce((sum, { result }) => sum + result.refused, 0)
  if (config.rate !== null && refused > 0) all.push(`the engine refused ${refused} of the offered`)
  return all
}
