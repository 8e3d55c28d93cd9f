/**
 * Options to configurations: flags over config file over defaults, every value against its row of
 * option-table.ts, then the relations between options. All problems are reported at once, each in
 * one line that names the flag and what it wants. Pure: reads no file and no clock.
 */
import {
  checkEmulation,
  checkEngine,
  checkKills,
  checkLoad,
  checkSizes,
  ONLY_BASIC,
} from './option-checks.ts'
import { keysOfFile } from './config-file.ts'
import { checkMembers, checkMembersOf } from './option-members.ts'
import { listOf, type Origin, valueOf, type Values } from './option-values.ts'
import { type CommandName, flagOf, type Option, OPTIONS, optionsOf } from './option-table.ts'
import type {
  BenchConfig,
  CompareConfig,
  EngineConfig,
  EngineConfigGiven,
  EngineName,
  LoadConfig,
  PublicBenchConfig,
  PublicCompareConfig,
  PublicTuneConfig,
  RoleName,
  SourceOf,
  TuneConfig,
} from './types.ts'

export interface Raw {
  /** By camelCase key: text of the command line, `true` for a flag without a value. */
  readonly flags: Readonly<Record<string, unknown>>
  /** The parsed JSON of `--config`, or undefined. */
  readonly file?: unknown
}

export type Parsed<Config> =
  | { readonly config: Config; readonly problems: readonly [] }
  | { readonly config: undefined; readonly problems: readonly string[] }

export function parseBench(raw: Raw): Parsed<BenchConfig> {
  const { values, given, problems, refused } = read('bench', raw)
  const engine = values['engine'] as EngineName
  const load = loadOf(values)
  const config = benchConfigOf(engine, load, given, dataDirOf(values))
  const relations: string[] = []
  checkLoad(load, relations)
  checkMembers(load, relations)
  checkMembersOf(engine, load, relations)
  checkEngine(engine, load, given, defaultsOf(engine), relations)
  checkSizes(config, relations)
  return outcomeOf(config, problems, relations, refused)
}

export function parseCompare(
  raw: Raw,
  command: 'compare' | 'suite' = 'compare',
): Parsed<CompareConfig> {
  const { values, given, problems, refused } = read(command, raw)
  const engines = listOf(values['engines']) as EngineName[]
  const load = loadOf(values)
  const ladder = values['ladder'] === true
  const config: CompareConfig = { ...load, ...given, engines, ladder, dataDir: dataDirOf(values) }
  const relations: string[] = []
  if (new Set(engines).size < engines.length) relations.push('--engines: each engine once')
  checkLoad(load, relations)
  checkMembers(load, relations)
  for (const row of rowsOf(config)) {
    checkMembersOf(row.engine, load, relations)
    checkKills(row.engine, load, relations)
    checkEmulation(row.engine, load, relations)
    checkSizes(row, relations)
  }
  if ((given.proposers ?? 1) > 1 && !engines.includes('basic-paxos')) relations.push(ONLY_BASIC)
  return outcomeOf(config, problems, relations, refused)
}

/** The sizes that are given are those that the tuned ones are compared with. */
export function parseTune(raw: Raw): Parsed<TuneConfig> {
  const { values, given, problems, refused } = read('tune', raw)
  const load = loadOf(values)
  const grid = values['grid'] === true
  const budget = (values['budget'] as number | null) ?? (grid ? null : TUNE_BUDGET_S)
  const bench = benchConfigOf('xpaxos', load, given, dataDirOf(values))
  const config = { ...bench, grid, budget, sloP99Ms: values['sloP99Ms'] as number | null }
  const relations: string[] = []
  checkLoad(load, relations)
  checkMembers(load, relations)
  checkSizes(bench, relations)
  const trialS = load.warmup + load.duration
  if (budget !== null && budget <= trialS)
    relations.push(`--budget: want more than --warmup + --duration (${trialS} s), one trial`)
  if (budget !== null && load.inflight === 'best' && budget < SWEEP_BUDGET_S)
    relations.push(`--budget: want at least ${SWEEP_BUDGET_S} with --inflight best, swept first`)
  return outcomeOf(config, problems, relations, refused)
}

const TUNE_BUDGET_S = 60
/** Ten probes, and as much again to tune. */
const SWEEP_BUDGET_S = 40

/** The benchmarks of a comparison, one an engine: what the engine does not take is its default. */
export function rowsOf(config: CompareConfig): BenchConfig[] {
  const { engines, dataDir, ladder: _ladder, ...rest } = config
  return engines.map((engine) => {
    const isBasic = engine === 'basic-paxos'
    const given: EngineConfigGiven = isBasic
      ? { ...NOTHING_GIVEN, windowMaxBytes: rest.windowMaxBytes, proposers: rest.proposers }
      : { ...givenOf(rest), proposers: null }
    return benchConfigOf(engine, loadPartOf(rest), given, dataDir)
  })
}

/** Results carry no path of the machine. */
export function publicBench({ dataDir: _dataDir, ...config }: BenchConfig): PublicBenchConfig {
  return config
}

export function publicTune({ dataDir: _dataDir, ...config }: TuneConfig): PublicTuneConfig {
  return config
}

export function publicCompare({ dataDir: _dataDir, ...config }: CompareConfig) {
  return config satisfies PublicCompareConfig
}

// ---- Defaults that depend on the engine ------------------------------------------------------

const MIB = 2 ** 20
const ENGINE_KEYS = [
  'batchMaxBytes',
  'batchMaxEntries',
  'batchLingerUs',
  'pipelineDepth',
  'windowMaxBytes',
  'proposers',
] as const satisfies readonly (keyof EngineConfig)[]

const NOTHING_GIVEN: EngineConfigGiven = {
  batchMaxBytes: null,
  batchMaxEntries: null,
  batchLingerUs: null,
  pipelineDepth: null,
  windowMaxBytes: null,
  proposers: null,
}

/** Asking multi-paxos for bytes or linger asks for batches: one entry would ignore the request. */
function engineConfigOf(engine: EngineName, given: EngineConfigGiven): EngineConfig {
  const isPlain = engine === 'multi-paxos' || engine === 'basic-paxos'
  const asksForBatches =
    engine !== 'basic-paxos' && (given.batchMaxBytes ?? given.batchLingerUs) !== null
  return {
    batchMaxBytes: given.batchMaxBytes ?? MIB,
    batchMaxEntries: given.batchMaxEntries ?? (isPlain && !asksForBatches ? 1 : 0),
    batchLingerUs: given.batchLingerUs ?? 0,
    pipelineDepth: given.pipelineDepth ?? (isPlain ? 1 : 8),
    windowMaxBytes: given.windowMaxBytes ?? 8 * MIB,
    proposers: given.proposers ?? 1,
  }
}

export const defaultsOf = (engine: EngineName): EngineConfig =>
  engineConfigOf(engine, NOTHING_GIVEN)

function benchConfigOf(
  engine: EngineName,
  load: LoadConfig,
  given: EngineConfigGiven,
  dataDir: string | null,
): BenchConfig {
  return { engine, ...load, ...engineConfigOf(engine, given), dataDir }
}

function givenOf(values: Readonly<Record<string, unknown>>): EngineConfigGiven {
  const given: Record<string, unknown> = {}
  for (const key of ENGINE_KEYS) given[key] = values[key] ?? null
  return given as unknown as EngineConfigGiven
}

function loadPartOf(config: LoadConfig): LoadConfig {
  const part: Record<string, unknown> = {}
  for (const key of LOAD_KEYS) part[key] = config[key]
  return part as unknown as LoadConfig
}

const LOAD_KEYS = [
  'nodes',
  'roles',
  'weights',
  'forced',
  'sources',
  'quorums',
  'transport',
  'durability',
  'payload',
  'inflight',
  'rate',
  'clients',
  'api',
  'duration',
  'warmup',
  'trials',
  'layout',
  'rttMs',
  'jitterMs',
  'bandwidthMbps',
  'stateMachine',
  'killLeaderAfter',
  'killNode',
  'slowDisk',
  'seed',
  'keep',
  'allowTmpfs',
] as const satisfies readonly (keyof LoadConfig)[]

function loadOf(values: Values): LoadConfig {
  const { nodes, roles, inflight, rate } = values
  return loadPartOf({
    ...(values as unknown as LoadConfig),
    roles: roles === null ? defaultRoles(Number(nodes)) : (listOf(roles) as RoleName[]),
    inflight: rate === null ? (inflight as number | 'best') : null,
    forced: (values['forced'] as number[] | null) ?? [],
    sources: (values['sources'] as SourceOf[] | null) ?? [],
  })
}

const defaultRoles = (nodes: number): RoleName[] =>
  Array.from({ length: nodes }, (_, i) => (i === 0 ? 'leader' : 'follower'))

const dataDirOf = (values: Values): string | null => values['dataDir'] as string | null

// ---- Reading values --------------------------------------------------------------------------

function read(command: CommandName, raw: Raw) {
  const problems: string[] = []
  const taken = new Map<string, Option>(optionsOf(command))
  const isTaken = (key: string): boolean => isOfFile(key, taken.get(key))
  const isKnown = (key: string): boolean => Object.hasOwn(OPTIONS, key)
  const file = keysOfFile(raw.file, { command, isTaken, isKnown }, problems)
  const values: Values = {}
  const refused: string[] = []
  // What a command does not take is at its default.
  const all = new Map([...optionsOf(WIDER[command]), ...optionsOf(command)])
  for (const [key, option] of all) {
    const origin: Origin = isGiven(raw.flags[key]) ? 'flag' : 'file'
    const source = origin === 'flag' ? raw.flags[key] : file[key]
    const isUsed = isGiven(source) && (origin === 'flag' || isTaken(key))
    const value = isUsed ? valueOf(key, option, source, origin, problems) : undefined
    if (isUsed && value === undefined) refused.push(flagOf(key))
    values[key] = value ?? fallbackOf(command, option)
  }
  for (const key of Object.keys(raw.flags))
    if (!taken.has(key)) problems.push(`${flagOf(key)}: no such option`)
  for (const given of [raw.flags, file])
    if (isGiven(given['inflight']) && isGiven(given['rate'])) problems.push(EXCLUSIVE)
  if (isGiven(raw.flags['inflight'])) values['rate'] = null // a flag outranks the file's other
  return { values, given: givenOf(values), problems, refused }
}

/** Of what belongs to the command line alone, a file may name the folder of the data. */
const isOfFile = (key: string, option: Option | undefined): boolean =>
  option !== undefined && (option.isLocal !== true || key === 'dataDir')

/** Whose options make up a configuration: a suite runs a comparison, a tuner benchmarks. */
const WIDER = { bench: 'bench', compare: 'compare', suite: 'compare', tune: 'bench' } as const

const EXCLUSIVE = '--inflight and --rate: one or the other (closed or open loop)'

const isGiven = (source: unknown): boolean => source !== undefined && source !== null

function fallbackOf(command: CommandName, option: Option): unknown {
  return option.fallbacks?.[command] ?? option.fallback ?? null
}

function outcomeOf<Config>(
  config: Config,
  problems: readonly string[],
  relations: readonly string[],
  refused: readonly string[],
): Parsed<Config> {
  const isAbout = (text: string, flag: string) => new RegExp(`${flag}(?![-a-z])`).test(text)
  const sound = relations.filter((text) => !refused.some((flag) => isAbout(text, flag)))
  const all = [...new Set([...problems, ...sound])]
  return all.length === 0
    ? { config: Object.freeze(config), problems: [] }
    : { config: undefined, problems: all }
}
