/**
 * What the options of `serve` (serve-table.ts) may be, and where they come from: flag, environment
 * variable, key of the config file, in this order of precedence, else the default. Zod checks each
 * value; relations are checked behind, and all problems come at once. Nothing is opened here but
 * the files that are named.
 */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { type Auth, readTokens } from '../server/auth.ts'
import {
  type ClientAddress,
  type Founder,
  LAYOUTS,
  type ListenAddress,
  LOG_LEVELS,
  type ServeConfig,
  exposureProblems,
} from '../server/serve-config.ts'
import {
  SERVE_KEYS,
  SERVE_OPTIONS,
  type ServeKey,
  flagOfKey,
  serveRow,
  variableOf,
} from './serve-table.ts'

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
const NAME_WORDS = 'a name of letters, digits, dots, dashes and underscores, at most 63'

const fail = (context: z.RefinementCtx, message: string): never => {
  context.addIssue({ code: 'custom', message })
  return z.NEVER
}

/** 'tcp://127.0.0.1:7480' -> host and port. */
const address = (scheme: string) =>
  z.string().transform((text, context): ListenAddress => {
    const url = URL.parse(text.replace(`${scheme}://`, 'http://'))
    const isPlain = url !== null && url.pathname === '/' && url.search === '' && url.hash === ''
    const port = /:([0-9]{1,5})\/?$/.exec(text)?.[1]
    const isWhole = text.startsWith(`${scheme}://`) && url?.username === '' && port !== undefined
    if (!isPlain || !isWhole || Number(port) > 65_535)
      return fail(context, `${text}: want ${scheme}://HOST:PORT`)
    return { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(port) }
  })

const orNone = (scheme: string) =>
  z.union([z.literal('none').transform(() => null), address(scheme)])

const list = <Out>(item: z.ZodType<Out, string>) =>
  z
    .string()
    .transform((text) => (text === '' ? [] : text.split(',').map((one) => one.trim())))
    .pipe(z.array(item))

const whole = (min: number, max: number) =>
  z.string().transform((text, context): number => {
    const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : NaN
    if (value >= min && value <= max) return value
    return fail(context, `${text}: want a whole number from ${String(min)} to ${String(max)}`)
  })

const flag = z.enum(['true', 'false']).transform((text) => text === 'true')
const name = z.string().regex(NAME, `want ${NAME_WORDS}`)
const file = z.string().min(1, 'want a file')

const founder = z.string().transform((text, context): Founder => {
  const at = text.indexOf('=')
  const peer = address('tcp').safeParse(text.slice(at + 1))
  if (at < 0 || !NAME.test(text.slice(0, at)))
    return fail(context, `${text}: want NAME=tcp://HOST:PORT`)
  if (!peer.success) return fail(context, `${text.slice(0, at)}: ${peer.error.issues[0]!.message}`)
  return { name: text.slice(0, at), peer: peer.data }
})

const origin = z.string().refine((text) => URL.parse(text)?.origin === text, {
  error: 'want an origin like https://example.org, without a path',
})
const advertised = z.string().refine((text) => /^https?:$/.test(URL.parse(text)?.protocol ?? ''), {
  error: 'want http://HOST:PORT or https://HOST:PORT',
})
const client = z.string().transform((text, context): ClientAddress => {
  const isSecure = text.startsWith('https://')
  const found = address(isSecure ? 'https' : 'http').safeParse(text)
  if (found.success) return { ...found.data, isSecure }
  return fail(context, `${text}: want http://HOST:PORT or https://HOST:PORT`)
})

const PARSERS = {
  dataDir: file,
  embedded: whole(1, 9),
  name: name,
  initialCluster: list(founder),
  initialClusterState: z.enum(['new', 'existing'], { error: 'want new or existing' }),
  memberId: whole(1, 65_535),
  initialClusterToken: name,
  listenPeerUrls: address('tcp'),
  listenClientUrls: list(client).refine((all) => all.length > 0, { error: 'want one at least' }),
  advertiseClientUrls: list(advertised),
  listenResp: orNone('tcp'),
  listenMonitoringUrl: orNone('http'),
  heartbeatInterval: whole(1, 10_000),
  electionTimeout: whole(10, 60_000),
  snapshotEveryBytes: whole(0, Number.MAX_SAFE_INTEGER),
  retainBytes: whole(0, Number.MAX_SAFE_INTEGER),
  layout: z.enum(LAYOUTS, { error: `want one of ${LAYOUTS.join(', ')}` }),
  certFile: file,
  keyFile: file,
  tokenFile: file,
  allowedHosts: list(z.string().regex(/^[A-Za-z0-9.:[\]-]+$/, 'want host names without ports')),
  allowedOrigins: list(origin),
  insecureClientNetwork: flag,
  insecurePeerNetwork: flag,
  logLevel: z.enum(LOG_LEVELS, { error: `want one of ${LOG_LEVELS.join(', ')}` }),
} as const satisfies Readonly<Record<ServeKey, z.ZodType>>

type Values = { [Key in ServeKey]?: z.output<(typeof PARSERS)[Key]> }

const SCHEMA = 'xpaxos-config/1'

/** Where values come from; each a record of texts. */
export interface Sources {
  /** By key. */
  readonly flags: Readonly<Record<string, unknown>>
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** @returns the config, or every problem there is */
export function serveConfigOf({ flags, environment }: Sources): ServeConfig | string[] {
  const problems: string[] = []
  const path = flags['configFile'] ?? flags['config'] ?? environment['XPAXOS_CONFIG_FILE']
  const fromFile = fileOf(path, problems)
  const values: Record<string, unknown> = {}
  for (const key of SERVE_KEYS) {
    const given = givenOf(key, { flags, environment }, fromFile)
    if (given === null) continue
    const parsed = PARSERS[key].safeParse(given.text)
    if (parsed.success) values[key] = parsed.data
    else problems.push(...parsed.error.issues.map(({ message }) => `${given.from}: ${message}`))
    if (given.isDefault || serveRow(key).alone !== true) continue
    const embeds = givenOf('embedded', { flags, environment }, fromFile) !== null
    if (embeds) problems.push(`${given.from}: has no meaning with --embedded`)
  }
  return configOf(values, problems)
}

interface Given {
  readonly text: unknown
  /** What to name in a refusal. */
  readonly from: string
  readonly isDefault: boolean
}

function givenOf(key: ServeKey, sources: Sources, file: ReadonlyMap<string, unknown>) {
  const found = (text: unknown, from: string, isDefault = false): Given => ({
    text: text === true ? 'true' : text === false ? 'false' : text,
    from,
    isDefault,
  })
  const byFlag = sources.flags[key]
  if (byFlag === true && serveRow(key).value !== undefined) return found('', flagOfKey(key))
  if (byFlag !== undefined) return found(byFlag, flagOfKey(key))
  const variable = variableOf(key)
  const byVariable = sources.environment[variable]
  if (byVariable !== undefined) return found(byVariable, variable)
  if (file.has(key)) return found(textOf(file.get(key)), `config file: ${key}`)
  const { fallback } = serveRow(key)
  return fallback === undefined ? null : found(fallback, flagOfKey(key), true)
}

/** Lists and numbers of a file are written as such. */
function textOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(String).join(',')
  return typeof value === 'number' ? String(value) : value
}

function fileOf(path: unknown, problems: string[]): Map<string, unknown> {
  if (path === undefined) return new Map()
  if (typeof path !== 'string' || path === '') {
    problems.push('--config-file: want a file')
    return new Map()
  }
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'))
    const isObject = typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
    const { schema, ...rest } = (isObject ? parsed : {}) as Record<string, unknown>
    if (schema !== SCHEMA) problems.push(`config file: want "schema": "${SCHEMA}"`)
    for (const key of Object.keys(rest))
      if (!Object.hasOwn(SERVE_OPTIONS, key)) problems.push(`config file: ${key}: no such key`)
    return new Map(Object.entries(rest))
  } catch (error) {
    const isSyntax = error instanceof SyntaxError
    problems.push(`--config-file: ${isSyntax ? 'not JSON' : `cannot read ${path}`}`)
    return new Map()
  }
}

function configOf(values: Values, problems: string[]): ServeConfig | string[] {
  const { embedded = null, name: own = 'n1', listenPeerUrls, heartbeatInterval = 50 } = values
  const { electionTimeout = 500, dataDir = '' } = values
  if (dataDir === '' && !problems.some((one) => one.startsWith('--data-dir')))
    problems.push('--data-dir: missing')
  if (electionTimeout < 3 * heartbeatInterval)
    problems.push('--election-timeout: want at least 3 * --heartbeat-interval')
  const listenPeer = listenPeerUrls ?? { host: '127.0.0.1', port: 7480 }
  const founders = foundersOf(values.initialCluster ?? [{ name: own, peer: listenPeer }])
  const { initialClusterState: state, memberId = null } = values
  const joins = state === 'existing'
  if (embedded === null) problems.push(...founderProblems(founders, own, joins))
  if (joins !== (memberId !== null))
    problems.push('--initial-cluster-state existing, --member-id: want both or none of the two')
  if (memberId !== null && memberId <= founders.length)
    problems.push(`--member-id: ${String(memberId)} is a founder's`)
  if (values.retainBytes! > 0 && values.snapshotEveryBytes === 0)
    problems.push('--retain-bytes: want --snapshot-every-bytes above 0, or the state would be lost')
  const { certFile, keyFile, tokenFile } = values
  const tls = tlsOf(certFile, keyFile, problems)
  if (problems.length > 0) return problems
  const config: ServeConfig = {
    ...{ embedded, name: own, dataDir, founders, memberId, listenPeer, tls },
    token: values.initialClusterToken!,
    heartbeatMs: heartbeatInterval,
    snapshotEveryBytes: values.snapshotEveryBytes!,
    retainBytes: values.retainBytes!,
    layout: values.layout!,
    electionTimeoutMs: electionTimeout,
    logLevel: values.logLevel!,
    listenClients: values.listenClientUrls!,
    listenResp: values.listenResp!,
    listenMonitoring: values.listenMonitoringUrl!,
    advertiseClientUrls: values.advertiseClientUrls ?? [],
    auth: authOf(tokenFile, problems),
    allowedHosts: values.allowedHosts ?? [],
    allowedOrigins: values.allowedOrigins ?? [],
    insecureClientNetwork: values.insecureClientNetwork!,
    insecurePeerNetwork: values.insecurePeerNetwork!,
  }
  for (const { isSecure, host, port } of config.listenClients) {
    if (isSecure === (tls !== null)) continue
    const url = `${isSecure ? 'https' : 'http'}://${host}:${String(port)}`
    const why = isSecure ? 'needs --cert-file and --key-file' : 'want https:// with --cert-file'
    problems.push(`--listen-client-urls: ${url}: ${why}`)
  }
  problems.push(...exposureProblems(config))
  return problems.length > 0 ? problems : config
}

const foundersOf = (given: readonly Founder[]): Founder[] =>
  [...given].sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))

function founderProblems(founders: readonly Founder[], own: string, joins: boolean): string[] {
  const names = founders.map((one) => one.name)
  const problems: string[] = []
  if (new Set(names).size !== names.length) problems.push('--initial-cluster: every name once')
  if (names.length < 1 || names.length > 9) problems.push('--initial-cluster: want 1 to 9 members')
  if (!joins && !names.includes(own)) problems.push(`--name: ${own} is not in --initial-cluster`)
  if (joins && names.includes(own)) problems.push(`--name: ${own} is a founder's`)
  return problems
}

function tlsOf(certFile: unknown, keyFile: unknown, problems: string[]): ServeConfig['tls'] {
  if (certFile === undefined && keyFile === undefined) return null
  const read = (path: unknown, flagName: string): string => {
    if (typeof path !== 'string') problems.push(`${flagName}: missing: both or none of the two`)
    try {
      return typeof path === 'string' ? readFileSync(path, 'utf8') : ''
    } catch {
      problems.push(`${flagName}: cannot read ${String(path)}`)
      return ''
    }
  }
  return { cert: read(certFile, '--cert-file'), key: read(keyFile, '--key-file') }
}

function authOf(path: string | undefined, problems: string[]): Auth | null {
  if (path === undefined) return null
  const auth = readTokens(path)
  if ('roleOf' in auth) return auth
  problems.push(...auth.map((problem) => `--token-file: ${problem}`))
  return null
}
