/**
 * What a report takes of a folder of results: of every file the part that is shown. Files of older
 * versions lack what was added later; whoever reads them (src/cli/report-files.ts) fills it in.
 * Types only; units end the names.
 */
import type {
  CompareRow,
  Environment,
  PublicBenchConfig,
  PublicCompareConfig,
  Spread,
  Summary,
  SweepPoint,
  TrialResult,
} from '../types.ts'
import type { SuiteResult } from '../results.ts'

export interface Origin {
  /** The name in the folder. */
  readonly file: string
  readonly schema: string
  readonly command: string
  /** null: the file does not say, nor does the folder. */
  readonly environment: Environment | null
  readonly violations: readonly string[]
  readonly partial: boolean
}

export type TrialView = Pick<
  TrialResult,
  | 'entries'
  | 'durationS'
  | 'throughputPerS'
  | 'latencyUs'
  | 'safety'
  | 'failover'
  | 'refused'
  | 'offeredPerS'
  | 'samples'
  | 'warnings'
> & {
  readonly stages: Readonly<Record<string, { readonly busyRatio: number }>>
}

export type ConfigView = Pick<
  PublicBenchConfig,
  | 'engine'
  | 'nodes'
  | 'roles'
  | 'transport'
  | 'durability'
  | 'payload'
  | 'inflight'
  | 'rate'
  | 'api'
  | 'duration'
  | 'warmup'
  | 'rttMs'
  | 'batchMaxBytes'
  | 'pipelineDepth'
  | 'killLeaderAfter'
  | 'seed'
>

/** What tells one load from another. */
export type LoadView = Pick<ConfigView, 'nodes' | 'transport' | 'durability' | 'payload' | 'rttMs'>

export interface BenchView {
  readonly kind: 'bench'
  readonly origin: Origin
  readonly config: ConfigView
  readonly sweep: readonly SweepPoint[]
  readonly trials: readonly TrialView[]
  readonly summary: Summary | null
}

export type RowView = Pick<
  CompareRow,
  'label' | 'engine' | 'sweep' | 'throughputPerS' | 'latencyUs' | 'ratio' | 'p'
> & { readonly config: ConfigView; readonly trials: readonly TrialView[] }

export interface CompareView {
  readonly kind: 'compare'
  readonly origin: Origin
  readonly config: Pick<PublicCompareConfig, 'ladder' | 'seed' | 'trials' | 'duration'>
  readonly rows: readonly RowView[]
}

export interface TunePoint {
  readonly batchMaxBytes: number
  readonly pipelineDepth: number
  readonly throughputPerS: number
  /** null: not measured. */
  readonly p99Us: number | null
  /** null: the model said nothing. */
  readonly predictedPerS: number | null
}

export interface TuneView {
  readonly kind: 'tune'
  readonly origin: Origin
  /** null: the file does not say. */
  readonly config: LoadView | null
  readonly points: readonly TunePoint[]
  readonly best: TunePoint | null
  readonly adaptive: TunePoint | null
  readonly gridBest: TunePoint | null
  readonly rationale: readonly string[]
}

export interface SuitesView {
  readonly kind: 'suites'
  readonly origin: Origin
  readonly suites: readonly SuiteResult[]
}

export interface LayoutsView {
  readonly kind: 'layouts'
  readonly origin: Origin
  readonly rows: readonly {
    readonly transport: string
    readonly inflight: number
    readonly layout: string
    readonly throughputPerS: Spread
    readonly p50Us: Spread
  }[]
}

export interface VerifyView {
  readonly kind: 'verify'
  readonly origin: Origin
  readonly figures: readonly {
    readonly name: string
    readonly claim: string
    readonly unit: 'ratio' | 'perS' | 'us'
    readonly spread: Spread
    readonly isKept: boolean
    readonly note: string
  }[]
  readonly missing: readonly string[]
}

export interface MutantsView {
  readonly kind: 'mutants'
  readonly origin: Origin
  readonly mutants: number
  readonly survivors: readonly string[]
  readonly median: number
}

/** Seeded simulations: one part, or those of a campaign. */
export interface SimView {
  readonly kind: 'sim'
  readonly origin: Origin
  readonly parts: readonly {
    readonly name: string
    readonly schedules: number
    readonly events: number
    readonly violations: number
  }[]
}

export type Stored =
  BenchView | CompareView | TuneView | SuitesView | LayoutsView | VerifyView | MutantsView | SimView

export interface Folder {
  readonly stored: readonly Stored[]
  /** JSON files that are not shown, and why. */
  readonly unread: readonly { readonly file: string; readonly reason: string }[]
}
