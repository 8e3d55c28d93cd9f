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
import { checkMembers, checkMembersOf } from './option-members.ts'
import { nodesOf, quorumsOf, sourcesOf, weightsOf } from './option-members.ts'
import {
  type CommandName,
  flagOf,
  type Option,
  type OptionKey,
  OPTIONS,
  optionsOf,
  rangeOf,
} from './option-table.ts'
import {
  type BenchConfig,
  type CompareConfig,
  type EngineConfig,
  type EngineConfigGiven,
  type EngineName,
  type KillNode,
  type LoadConfig,
  type PublicBenchConfig,
  type PublicCompareConfig,
  type RoleName,
  type SlowDisk,
  type SourceOf,
  STATE_MACHINES,
} from './types.ts'

export const CONFIG_SCHEMA = 'xpaxos-config/1'

export interface Raw {
  /** By camelCase key: text of the command line, `true` for a flag without a value. */
  readonly flags: Readonly<Record<string, unknown>>
  /** The parsed JSON of `--config`, or undefined. */
  readonly file?: unknown
}

export type Parsed<Config> =
  | { readonly config: Config; readonly problems: readonly [] }
  | { readonly config: undefined; readonly problems: readonly string[] }

type Values = Record<string, unknown>

export function parseBench(raw: Raw): Parsed<BenchConfig> {
  const { values, given, problems, refused } = read('bench', raw)
  const engine = values['engine'] as EngineName
  const load = loadOf(values)
  const config = benchConfigOf(engine, load, given, dataDirOf(values))
  const relations: string[] = []
  checkLoad(load, relations)
  checkMembers(load, relations)
  checkMembersOf(engine, load, relations)
  checkEngine(engine, load, given, engineConfigOf(engine, NOTHING_GIVEN), relations)
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
  const file = fileOf(command, raw.file, problems)
  const values: Values = {}
  const refused: string[] = []
  // The suite runs a comparison too: the options that it does not take are at their defaults.
  const taken = optionsOf(command)
  const rows = command === 'suite' ? [...optionsOf('compare'), ...taken] : taken
  for (const [key, option] of rows) {
    const source = raw.flags[key] ?? file[key]
    const value = isGiven(source) ? valueOf(key, option, source, problems) : undefined
    if (isGiven(source) && value === undefined) refused.push(flagOf(key))
    values[key] = value ?? fallbackOf(command, option)
  }
  for (const key of Object.keys(raw.flags))
    if (!taken.some(([known]) => known === key)) problems.push(`${flagOf(key)}: no such option`)
  for (const given of [raw.flags, file])
    if (isGiven(given['inflight']) && isGiven(given['rate'])) problems.push(EXCLUSIVE)
  if (isGiven(raw.flags['inflight'])) values['rate'] = null // a flag outranks the file's other
  return { values, given: givenOf(values), problems, refused }
}

const EXCLUSIVE = '--inflight and --rate: one or the other (closed or open loop)'

const isGiven = (source: unknown): boolean => source !== undefined && source !== null

function fallbackOf(command: CommandName, option: Option): unknown {
  return option.fallbacks?.[command] ?? option.fallback ?? null
}

function fileOf(command: CommandName, file: unknown, problems: string[]): Values {
  if (file === undefined) return {}
  if (typeof file !== 'object' || file === null || Array.isArray(file)) {
    problems.push('--config: want a JSON object')
    return {}
  }
  const { schema, ...keys } = file as Values
  if (schema !== CONFIG_SCHEMA) problems.push(`--config: want "schema": "${CONFIG_SCHEMA}"`)
  const known = new Map<string, Option>(optionsOf(command))
  for (const key of Object.keys(keys)) {
    const option = known.get(key)
    if (option === undefined || (option.isLocal === true && key !== 'dataDir'))
      problems.push(
        `--config: ${key}: ${key in OPTIONS ? `not a key of ${command}` : 'no such key'}`,
      )
  }
  return keys
}

/** undefined: refused, and said so. */
function valueOf(key: OptionKey, option: Option, source: unknown, problems: string[]): unknown {
  const flag = flagOf(key)
  if (option.isMissing === true) {
    if (source !== false) problems.push(`${flag}: not available yet`)
    return undefined
  }
  if (key === 'stateMachine' && isOther(source, STATE_MACHINES)) {
    problems.push(`${flag}: ${source}: a MODULE is not available yet (want hash or kv)`)
    return undefined
  }
  const value = parseValue(option, source)
  if (value !== undefined) return value
  const shown = source === true ? 'nothing' : shownOf(source)
  problems.push(`${flag}: want ${rangeOf(option)}, not ${shown} (${option.why})`)
  return undefined
}

const isOther = (source: unknown, known: readonly string[]): source is string =>
  typeof source === 'string' && source !== '' && !known.includes(source)

const shownOf = (source: unknown): string =>
  typeof source === 'string' && source !== '' ? source : JSON.stringify(source)

/** undefined: refused. */
function parseValue(option: Option, source: unknown): unknown {
  switch (option.kind) {
    case 'integer':
    case 'number':
      return numberOf(option, source)
    case 'choice':
      return option.choices!.includes(source as string) ? source : undefined
    case 'list':
      return parseList(option, source)
    case 'inflight':
      return source === 'best' ? source : numberOf(option, source)
    case 'kill':
      return killOf(source)
    case 'slow':
      return slowOf(source)
    case 'weights':
      return weightsOf(source)
    case 'nodes':
      return nodesOf(source)
    case 'sources':
      return sourcesOf(source)
    case 'quorums':
      return quorumsOf(source)
    case 'text':
      return typeof source === 'string' && source !== '' ? source : undefined
    case 'flag':
      return typeof source === 'boolean' ? source : undefined
  }
}

function numberOf({ kind, min, max }: Option, source: unknown): number | undefined {
  const isText = typeof source === 'string' && /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(source)
  const value = isText ? Number(source) : source
  if (typeof value !== 'number' || !Number.isFinite(value)) return undefined
  if (kind !== 'number' && !Number.isInteger(value)) return undefined
  return value >= min! && value <= max! ? value : undefined
}

const listOf = (source: unknown): string[] =>
  Array.isArray(source) ? source.map(String) : typeof source === 'string' ? source.split(',') : []

function parseList({ choices }: Option, source: unknown): string[] | undefined {
  const parts = listOf(source).map((part) => part.trim())
  return parts.length > 0 && parts.every((part) => choices!.includes(part)) ? parts : undefined
}

function killOf(source: unknown): KillNode | undefined {
  const { node, atS } = typeof source === 'string' ? splitKill(source) : ((source ?? {}) as Values)
  const isNode = typeof node === 'number' && Number.isInteger(node) && node >= 1 && node <= 9
  const isTime = typeof atS === 'number' && Number.isFinite(atS) && atS >= 0
  return isNode && isTime ? { node, atS } : undefined
}

function splitKill(text: string): Values {
  const [, node, atS] = /^n?(\d+)@(\d+(?:\.\d+)?)$/.exec(text) ?? []
  return node === undefined ? {} : { node: Number(node), atS: Number(atS) }
}

function slowOf(source: unknown): SlowDisk | undefined {
  const { node, factor } =
    typeof source === 'string' ? splitSlow(source) : ((source ?? {}) as Values)
  const isNode = typeof node === 'number' && Number.isInteger(node) && node >= 1 && node <= 9
  const isFactor = typeof factor === 'number' && factor >= 1 && factor <= 10_000
  return isNode && isFactor ? { node, factor } : undefined
}

function splitSlow(text: string): Values {
  const [, node, factor] = /^n?(\d+):(\d+(?:\.\d+)?)$/.exec(text) ?? []
  return node === undefined ? {} : { node: Number(node), factor: Number(factor) }
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
