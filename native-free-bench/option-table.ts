/**
 * Every option of the measuring commands, in one table: its unit ends its key or its help, it has
 * a range, a default and a reason. Commands, config files, help and refusals all read this table.
 * Data only; options.ts parses by it.
 */
import { APIS, DURABILITIES, ENGINES, LAYOUTS, ROLES, STATE_MACHINES, TRANSPORTS } from './types.ts'

export const COMMANDS = ['bench', 'compare', 'suite', 'tune'] as const
export type CommandName = (typeof COMMANDS)[number]

export type Kind =
  | 'integer'
  | 'number'
  | 'choice'
  | 'list'
  | 'text'
  | 'flag'
  | 'inflight'
  | 'kill'
  | 'slow'
  | 'weights'
  | 'nodes'
  | 'sources'
  | 'quorums'

export interface Option {
  readonly kind: Kind
  readonly unit?: string
  readonly min?: number
  readonly max?: number
  readonly choices?: readonly string[]
  /** Absent or null: nothing, or a default that depends on others (said in `why`). */
  readonly fallback?: number | string | boolean | null
  /** A command's own default. */
  readonly fallbacks?: Partial<Record<CommandName, number | string>>
  readonly why: string
  readonly commands: readonly CommandName[]
  /** Belongs to the command line alone: not a key of a config file or a result. */
  readonly isLocal?: boolean
  /** The contract names it, and it is not built: refused as such. */
  readonly isMissing?: boolean
}

const BENCH = ['bench'] as const
const COMPARE = ['compare'] as const
const TUNE = ['tune'] as const
/** What may disturb a trial, or outlive it, is no part of tuning. */
const RUNS = ['bench', 'compare'] as const
const LOADS = ['bench', 'compare', 'tune'] as const
const ALL = COMMANDS
const MIB = 2 ** 20

export const OPTIONS = {
  engine: {
    kind: 'choice',
    choices: ENGINES,
    fallback: 'xpaxos',
    commands: BENCH,
    why: 'the protocol under load',
  },
  engines: {
    kind: 'list',
    choices: ENGINES,
    fallback: 'basic-paxos,multi-paxos,xpaxos,limit',
    commands: COMPARE,
    why: 'ratios are to the first',
  },
  ladder: {
    kind: 'flag',
    fallback: false,
    commands: COMPARE,
    why: 'instead of engines: from Basic Paxos to the whole engine, one change a rung',
  },
  nodes: {
    kind: 'integer',
    min: 1,
    max: 9,
    fallback: 3,
    commands: LOADS,
    why: 'members of the cluster',
  },
  roles: {
    kind: 'list',
    choices: ROLES,
    commands: LOADS,
    why: 'by node: leader first, then followers, loggers, learners',
  },
  weights: { kind: 'weights', commands: LOADS, why: 'election preference by node' },
  forced: { kind: 'nodes', commands: LOADS, why: 'nothing is acknowledged without them' },
  sources: { kind: 'sources', commands: LOADS, why: 'who feeds a learner, if not the leader' },
  quorums: { kind: 'quorums', commands: LOADS, why: 'sizes of prepare and accept quorum' },
  transport: {
    kind: 'choice',
    choices: TRANSPORTS,
    fallback: 'memory',
    commands: LOADS,
    why: 'memory: one process; tcp: one process a node, loopback sockets',
  },
  durability: {
    kind: 'choice',
    choices: DURABILITIES,
    fallback: 'fsync',
    commands: LOADS,
    why: 'fsync: acknowledged after fdatasync; os: written, not synced; none: no files',
  },
  payload: {
    kind: 'integer',
    unit: 'bytes',
    min: 1,
    max: MIB,
    fallback: 16,
    commands: LOADS,
    why: 'size of an entry',
  },
  inflight: {
    kind: 'inflight',
    unit: 'entries',
    min: 1,
    max: 2 ** 22,
    fallback: 65_536,
    fallbacks: { compare: 'best', suite: 'best' },
    commands: LOADS,
    why: 'closed loop: outstanding over all clients; best: swept first',
  },
  rate: {
    kind: 'number',
    unit: 'entries/s',
    min: 1,
    max: 1e9,
    commands: LOADS,
    why: 'open loop instead: latency from the intended start',
  },
  clients: {
    kind: 'integer',
    min: 1,
    max: 64,
    fallback: 1,
    commands: LOADS,
    why: 'each with a sequence of its own',
  },
  api: {
    kind: 'choice',
    choices: APIS,
    fallback: 'writer',
    commands: LOADS,
    why: 'writer: batches; propose: one promise an entry',
  },
  duration: {
    kind: 'number',
    unit: 's',
    min: 0.05,
    max: 604_800,
    fallback: 5,
    fallbacks: { suite: 1, tune: 0.5 },
    commands: LOADS,
    why: 'measured in each trial',
  },
  warmup: {
    kind: 'number',
    unit: 's',
    min: 0,
    max: 3_600,
    fallback: 1,
    fallbacks: { suite: 1, tune: 0.7 },
    commands: LOADS,
    why: 'before it, not measured',
  },
  trials: {
    kind: 'integer',
    min: 1,
    max: 1_000,
    fallback: 1,
    fallbacks: { compare: 5, suite: 3, tune: 5 },
    commands: LOADS,
    why: 'trials, not entries, are the sample',
  },
  batchMaxBytes: {
    kind: 'integer',
    unit: 'bytes',
    min: 64,
    max: 4 * MIB,
    commands: ALL,
    why: '1 MiB by default; bounds one duty cycle and one frame',
  },
  batchMaxEntries: {
    kind: 'integer',
    unit: 'entries',
    min: 0,
    max: MIB,
    commands: ALL,
    why: '0: as many as fit, the default; multi-paxos 1 unless batching is asked for',
  },
  batchLingerUs: {
    kind: 'integer',
    unit: 'us',
    min: 0,
    max: 1_000_000,
    commands: ALL,
    why: '0 by default: a batch is what came while the last one was sent',
  },
  pipelineDepth: {
    kind: 'integer',
    unit: 'rounds',
    min: 1,
    max: 1_024,
    commands: ALL,
    why: '8 by default, multi-paxos 1',
  },
  windowMaxBytes: {
    kind: 'integer',
    unit: 'bytes',
    min: 64,
    max: 256 * MIB,
    commands: ALL,
    why: '8 MiB a peer by default: sent and not acknowledged',
  },
  proposers: {
    kind: 'integer',
    min: 1,
    max: 9,
    commands: RUNS,
    why: 'basic-paxos: nodes that propose at once, 1 by default',
  },
  grid: {
    kind: 'flag',
    fallback: false,
    commands: TUNE,
    why: 'measure the whole grid too, and say how near the search came',
  },
  sloP99Ms: {
    kind: 'number',
    unit: 'ms',
    min: 0.001,
    max: 60_000,
    commands: TUNE,
    why: 'the best throughput whose p99 is not above it',
  },
  budget: {
    kind: 'number',
    unit: 's',
    min: 1,
    max: 86_400,
    commands: TUNE,
    why: 'no trial begins that would end later; 60 by default, with --grid no bound',
  },
  layout: {
    kind: 'choice',
    choices: LAYOUTS,
    fallback: 'auto',
    commands: LOADS,
    why: 'which stage runs on which thread',
  },
  rttMs: {
    kind: 'number',
    unit: 'ms',
    min: 0,
    max: 10_000,
    fallback: 0,
    commands: LOADS,
    why: 'emulated round trip between nodes',
  },
  jitterMs: {
    kind: 'number',
    unit: 'ms',
    min: 0,
    max: 10_000,
    fallback: 0,
    commands: LOADS,
    why: 'spread of the emulated round trip',
  },
  bandwidthMbps: {
    kind: 'number',
    unit: 'Mbit/s',
    min: 0,
    max: 1_000_000,
    fallback: 0,
    commands: LOADS,
    why: 'of each emulated link; 0: no limit',
  },
  stateMachine: {
    kind: 'choice',
    choices: STATE_MACHINES,
    fallback: 'hash',
    commands: LOADS,
    why: 'what applies the entries',
  },
  killLeaderAfter: {
    kind: 'number',
    unit: 's',
    min: 0,
    max: 604_800,
    commands: RUNS,
    why: 'after the start of a trial, warm-up included',
  },
  killNode: {
    kind: 'kill',
    commands: RUNS,
    why: 'stop node ID at S seconds after the start of a trial',
  },
  slowDisk: {
    kind: 'slow',
    commands: LOADS,
    why: 'the disk of node ID takes FACTOR times as long',
  },
  seed: {
    kind: 'integer',
    min: 0,
    max: 2 ** 32 - 1,
    fallback: 1,
    commands: ALL,
    why: 'of elections, jitter and resampling',
  },
  dataDir: {
    kind: 'text',
    isLocal: true,
    commands: ALL,
    why: 'a fresh folder under the working directory by default',
  },
  keep: { kind: 'flag', fallback: false, commands: RUNS, why: 'keep the data directory' },
  allowTmpfs: {
    kind: 'flag',
    fallback: false,
    commands: ALL,
    why: 'run fsync on a tmpfs, with a warning in the result',
  },
  config: { kind: 'text', isLocal: true, commands: ALL, why: 'a file of the same keys' },
  json: { kind: 'text', isLocal: true, commands: ALL, why: 'write JSON to FILE; - is stdout' },
  progress: { kind: 'flag', isLocal: true, commands: ALL, why: 'on stderr, terminal or not' },
  out: {
    kind: 'text',
    isLocal: true,
    fallbacks: { suite: 'results' },
    commands: ['suite', 'tune'],
    why: 'suite: the folder that gets <date>-<commit>/; tune: a file for --config',
  },
  adaptive: { kind: 'flag', isMissing: true, commands: LOADS, why: 'batch and depth by load' },
} as const satisfies Readonly<Record<string, Option>>

export type OptionKey = keyof typeof OPTIONS

/** What the contract names and this version refuses as `not available yet`. */
export const MISSING_COMMANDS: readonly string[] = ['top']

/** 'batchMaxBytes' -> '--batch-max-bytes'. */
export const flagOf = (key: string): string =>
  `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

export function optionsOf(command: CommandName): [OptionKey, Option][] {
  const all = Object.entries(OPTIONS) as [OptionKey, Option][]
  return all.filter(([, option]) => option.commands.includes(command))
}

/** The range in words, as a refusal and the help quote it. */
export function rangeOf({ kind, min, max, unit, choices }: Option): string {
  const units = unit === undefined ? '' : ` ${unit}`
  switch (kind) {
    case 'integer':
      return `an integer in [${min!}, ${max!}]${units}`
    case 'number':
      return `a number in [${min!}, ${max!}]${units}`
    case 'choice':
      return `one of ${choices!.join(', ')}`
    case 'list':
      return `a list like ${choices![0]!},${choices![1]!} of ${choices!.join(', ')}`
    case 'inflight':
      return `an integer in [${min!}, ${max!}]${units}, or best`
    case 'kill':
      return 'ID@S: a node number and seconds, like 2@3'
    case 'slow':
      return 'ID:FACTOR: a node number and 1 to 10000, like 2:100'
    case 'weights':
      return 'a list of 0 to 9 by node, like 9,5,5'
    case 'nodes':
      return 'a list of nodes, like n2,n3'
    case 'sources':
      return 'a list of LEARNER=SOURCE, like n4=n2,n5=n4'
    case 'quorums':
      return 'PREPARE,ACCEPT: two sizes, like 2,2'
    case 'text':
      return 'a value'
    case 'flag':
      return 'true or false'
  }
}
