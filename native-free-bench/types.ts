/**
 * The shapes that measurements are exchanged in: configurations and results, as they stand in
 * JSON. Types only. src/cli/schemas.ts holds the same shapes as run-time checks, and the compiler
 * refuses one that differs from the other. Units end the names; `null` is "does not apply", not 0.
 */
import type { Environment } from './environment-type.ts'

export type { Environment }

export const ENGINES = ['xpaxos', 'multi-paxos', 'basic-paxos', 'limit'] as const
export const ROLES = ['leader', 'follower', 'logger', 'learner'] as const
export const TRANSPORTS = ['memory', 'tcp'] as const
export const DURABILITIES = ['fsync', 'os', 'none'] as const
export const APIS = ['writer', 'propose'] as const
export const LAYOUTS = ['inline', 'joined', 'split', 'dedicated', 'auto'] as const
export const STATE_MACHINES = ['hash', 'kv'] as const

export type EngineName = (typeof ENGINES)[number]
export type RoleName = (typeof ROLES)[number]
export type Transport = (typeof TRANSPORTS)[number]
export type Durability = (typeof DURABILITIES)[number]
export type Api = (typeof APIS)[number]
export type Layout = (typeof LAYOUTS)[number]
export type StateMachineName = (typeof STATE_MACHINES)[number]

/** The disk of a node takes so many times as long. */
export interface SlowDisk {
  readonly node: number
  readonly factor: number
}

/** Stop node `node` (1-based) `atS` seconds after the start of a trial, warm-up included. */
export interface KillNode {
  readonly node: number
  readonly atS: number
}

/** Who feeds a learner its log; both 1-based. */
export interface SourceOf {
  readonly node: number
  readonly source: number
}

export interface QuorumSizes {
  readonly prepare: number
  readonly accept: number
}

/** What every engine of a comparison shares: the load and the cluster. */
export interface LoadConfig {
  readonly nodes: number
  /** By node; the first is the leader. */
  readonly roles: readonly RoleName[]
  /** Election preference by node; null: the leader's is the highest. */
  readonly weights: readonly number[] | null
  /** Nodes without which nothing is acknowledged while they live. */
  readonly forced: readonly number[]
  /** Learners that the leader does not feed. */
  readonly sources: readonly SourceOf[]
  /** null: majorities. */
  readonly quorums: QuorumSizes | null
  readonly transport: Transport
  readonly durability: Durability
  /** Bytes an entry. */
  readonly payload: number
  /** Closed loop: entries outstanding over all clients. null: open loop, see rate. */
  readonly inflight: number | 'best' | null
  /** Open loop: entries a second over all clients. null: closed loop. */
  readonly rate: number | null
  readonly clients: number
  readonly api: Api
  /** Seconds measured in each trial, after `warmup` seconds that are not. */
  readonly duration: number
  readonly warmup: number
  readonly trials: number
  readonly layout: Layout
  readonly rttMs: number
  readonly jitterMs: number
  /** 0: no limit. */
  readonly bandwidthMbps: number
  readonly stateMachine: StateMachineName
  /** Seconds after the start of a trial, warm-up included. */
  readonly killLeaderAfter: number | null
  readonly killNode: KillNode | null
  readonly slowDisk: SlowDisk | null
  readonly seed: number
  readonly keep: boolean
  readonly allowTmpfs: boolean
}

/** What differs by engine when it is not given. */
export interface EngineConfig {
  readonly batchMaxBytes: number
  /** 0: as many as batchMaxBytes holds. */
  readonly batchMaxEntries: number
  readonly batchLingerUs: number
  /** Accept rounds in flight. basic-paxos: 1, and its instances run up to inflight. */
  readonly pipelineDepth: number
  /** Bytes sent to a peer and not yet acknowledged. */
  readonly windowMaxBytes: number
  /** basic-paxos: how many nodes propose at once. */
  readonly proposers: number
}

/** A benchmark as it appears in results: every option as used, and no path of the machine. */
export interface PublicBenchConfig extends LoadConfig, EngineConfig {
  readonly engine: EngineName
}

/** A benchmark as it is run. */
export interface BenchConfig extends PublicBenchConfig {
  /** null: a fresh folder under the working directory. */
  readonly dataDir: string | null
}

/** Options that depend on the engine are null where each row takes its engine's default. */
export type EngineConfigGiven = { readonly [Key in keyof EngineConfig]: EngineConfig[Key] | null }

export interface PublicCompareConfig extends LoadConfig, EngineConfigGiven {
  readonly engines: readonly EngineName[]
  /** Rungs from Basic Paxos to the whole engine instead of `engines`. */
  readonly ladder: boolean
}

export interface CompareConfig extends PublicCompareConfig {
  readonly dataDir: string | null
}

/** A tuning as it appears in results; the sizes are those that it is compared with. */
export interface PublicTuneConfig extends PublicBenchConfig {
  readonly grid: boolean
  /** p99 must not be above it; null: most throughput. */
  readonly sloP99Ms: number | null
  /** Seconds for the whole run; null: no bound. */
  readonly budget: number | null
}

export interface TuneConfig extends PublicTuneConfig {
  readonly dataDir: string | null
}

export interface LatencyUs {
  readonly count: number
  readonly mean: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

export interface CpuUse {
  readonly userS: number
  readonly systemS: number
  readonly coresUsed: number
}

export interface StageUse {
  readonly busyRatio: number
  readonly batches: number
  readonly entries: number
  readonly stalls: number
  /** Of the WAL: groups that were synced, and what the write and sync of one took. */
  readonly syncs: number
  readonly syncMsMean: number
}

/** A thread: how often it went to sleep, and how many sleeps ended because another woke it. */
export interface ThreadUse {
  readonly parks: number
  readonly wakes: number
}

export interface RingUse {
  readonly occupancyMean: number
  readonly occupancyMax: number
}

/** `violations` counts; `violationDetails` says each in words (bounded by the writer). */
export interface Safety {
  readonly checkedEntries: number
  readonly entriesLost: number
  readonly duplicates: number
  readonly stateHashesEqual: boolean
  readonly violations: number
  readonly violationDetails: readonly string[]
}

export interface NodeResult {
  readonly id: number
  readonly role: RoleName
  readonly applied: number
  readonly chosen: number
  readonly durable: number
  readonly acceptedBatches: number
  readonly syncs: number
  readonly cpu: CpuUse
  readonly rssBytesMax: number
  /** null: a Logger, which keeps no state, or a node that was killed. */
  readonly stateHash: string | null
}

export interface Failover {
  readonly atS: number
  readonly gapMs: number
  readonly fromNode: number
  readonly toNode: number
}

export interface Sample {
  readonly tS: number
  readonly throughputPerS: number
  readonly p99: number
  readonly rssBytes: number
}

export interface TrialResult {
  readonly entries: number
  readonly durationS: number
  readonly throughputPerS: number
  readonly bytesPerS: number
  readonly latencyUs: LatencyUs
  readonly cpu: CpuUse
  readonly rssBytesMax: number
  readonly syncs: number
  readonly batchEntries: { readonly p50: number; readonly mean: number; readonly max: number }
  readonly inflightMax: number
  readonly stages: Readonly<Record<string, StageUse>>
  readonly rings: Readonly<Record<string, RingUse>>
  readonly threads: Readonly<Record<string, ThreadUse>>
  readonly safety: Safety
  readonly nodes: readonly NodeResult[]
  readonly failover: readonly Failover[]
  readonly refused: number
  readonly offeredPerS: number | null
  /** The round trip measured between nodes when links are emulated. */
  readonly roundTripMs: number | null
  readonly samples: readonly Sample[]
  readonly warnings: readonly string[]
  readonly partial: boolean
}

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export interface LatencySpreads {
  readonly p50: Spread
  readonly p99: Spread
  readonly p999: Spread
}

export interface Summary {
  readonly throughputPerS: Spread
  readonly latencyUs: LatencySpreads
}

export interface SweepPoint {
  readonly inflight: number
  readonly throughputPerS: number
  readonly p99: number
}

export interface BenchResult {
  readonly schema: 'xpaxos-bench/1'
  /** What measures it again, without the data directory. */
  readonly command: string
  readonly environment: Environment
  readonly config: PublicBenchConfig
  /** Empty unless `--inflight best` asked for it. */
  readonly sweep: readonly SweepPoint[]
  readonly trials: readonly TrialResult[]
  /** null: interrupted before the first trial ended. */
  readonly summary: Summary | null
  /** Every broken promise of any trial or probe, in words: not empty means exit status 1. */
  readonly violations: readonly string[]
  readonly partial: boolean
}

export interface CompareRow {
  /** The engine's name, or what a rung of the ladder adds. */
  readonly label: string
  readonly engine: EngineName
  readonly config: PublicBenchConfig
  readonly sweep: readonly SweepPoint[]
  readonly trials: readonly TrialResult[]
  readonly throughputPerS: Spread
  readonly latencyUs: LatencySpreads
  /** Throughput to the first engine's in the same round, 95 % interval. */
  readonly ratio: { readonly median: number; readonly low: number; readonly high: number }
  readonly p: number | null
}

export interface CompareResult {
  readonly schema: 'xpaxos-compare/1'
  /** What measures it again, without the data directory. */
  readonly command: string
  readonly environment: Environment
  readonly config: PublicCompareConfig
  /** Rows of engines that have at least one trial, in the order of `config.engines`. */
  readonly rows: readonly CompareRow[]
  readonly violations: readonly string[]
  readonly partial: boolean
}

/** What tuning chooses. */
export interface Sizes {
  readonly batchMaxBytes: number
  readonly pipelineDepth: number
}

/** Sizes and what they gave: medians of `trials` trials. */
export interface TunePoint extends Sizes {
  readonly throughputPerS: number
  readonly latencyUs: LatencyUs
  /** null: too little was measured for a prediction. */
  readonly predictedThroughputPerS: number | null
  readonly trials: number
}

/** What one round costs a thread, or the cores together; syncs of its logs come on top. */
export interface TuneResource {
  readonly name: string
  readonly fixedUs: number
  readonly perEntryNs: number
  /** Logs whose syncs it waits for. */
  readonly logs: number
}

/** What the model was fitted to: docs/tuning.md. */
export interface TuneModel {
  /** Bytes of an entry in a batch. */
  readonly entryBytes: number
  readonly roundTripMs: number
  /** A sync of nothing, and of each MiB more. */
  readonly syncMs: number
  readonly syncMsPerMib: number
  /** What a lone round takes beside round trip and syncs. */
  readonly restUs: number
  readonly restNsPerEntry: number
  readonly resources: readonly TuneResource[]
}

export const TUNE_LANES = ['given', 'search', 'grid'] as const

/** Fresh trials of one choice, interleaved with those of the others. */
export interface TuneLane extends Sizes {
  readonly lane: (typeof TUNE_LANES)[number]
  readonly throughputs: readonly number[]
  readonly throughputPerS: Spread
  readonly latencyUs: LatencySpreads
  /** Throughput to the given sizes' in the same round, 95 % interval. */
  readonly ratio: { readonly median: number; readonly low: number; readonly high: number }
  readonly p: number | null
}

export interface TuneResult {
  readonly schema: 'xpaxos-tune/1'
  readonly command: string
  readonly environment: Environment
  readonly config: PublicTuneConfig
  /** Empty unless `--inflight best` asked for it. */
  readonly sweep: readonly SweepPoint[]
  /** In the order in which they were first measured. */
  readonly points: readonly TunePoint[]
  /** null: nothing was measured, or nothing keeps the p99 that was asked for. */
  readonly best: TunePoint | null
  /** The adaptive engine's point: always null, there is none yet. */
  readonly adaptive: TunePoint | null
  /** What the search alone chose. */
  readonly searchBest: TunePoint | null
  /** The best of the whole grid; null without `--grid`. */
  readonly gridBest: TunePoint | null
  readonly model: TuneModel | null
  /** The given sizes first; empty when the run ended before. */
  readonly validation: readonly TuneLane[]
  readonly rationale: readonly string[]
  readonly warnings: readonly string[]
  readonly violations: readonly string[]
  readonly partial: boolean
}

/** What a run reports to and stops by. */
export interface RunHooks {
  progress(text: string): void
  readonly signal: AbortSignal
}

/** One engine, one load, one trial; ends early with `partial: true` when the signal aborts. */
export type RunTrial = (config: BenchConfig, hooks: RunHooks) => Promise<TrialResult>
