/**
 * The bodies of the clients' and operators' commands, over the client library. Exit status: 0 done;
 * 1 it failed, or there was no such key; 2 bad usage; 130 interrupted. What was asked for goes to
 * stdout, all else to stderr.
 */
import { readFileSync } from 'node:fs'
import { type Client, ClientError, type KeyRange, openClient } from '../client/index.ts'
import { CLIENT_COMMANDS } from './client-commands.ts'
import { changeText, entriesText, tableOf } from './client-text.ts'
import { type Exit, EXIT, UsageError } from './exit.ts'
import { memberAdd } from './member-add.ts'

export type Flags = Readonly<Record<string, unknown>>

export interface Call {
  readonly client: Client
  readonly names: readonly string[]
  readonly flags: Flags
  readonly problems: string[]
  readonly isJson: boolean
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** A client of one endpoint alone. */
  readonly at: (endpoint: string) => Client
  /** Throws what was found wrong, before anything is sent. */
  readonly check: () => void
}

type Body = (call: Call) => Promise<Exit>

/** @throws UsageError with every problem at once */
export async function runClient(
  name: string,
  names: readonly string[],
  flags: Flags,
  unknown: readonly string[],
): Promise<Exit> {
  const interrupt = new AbortController()
  process.once('SIGINT', () => interrupt.abort())
  process.once('SIGTERM', () => interrupt.abort())
  const call = callOf(name, names, flags, [...unknown], interrupt.signal)
  try {
    return await BODIES[name]!(call)
  } catch (error) {
    if (!(error instanceof ClientError)) throw error
    if (interrupt.signal.aborted) return EXIT.interrupted
    process.stderr.write(`${errorLine(error)}\n`)
    return EXIT.failed
  }
}

const errorLine = ({ message, outcome }: ClientError): string =>
  outcome === 'unknown'
    ? `${message} (unknown: it may have had its effect, or still get it)`
    : message

const TIMEOUT_MAX_S = 600

function callOf(
  name: string,
  given: readonly string[],
  flags: Flags,
  problems: string[],
  signal: AbortSignal,
): Call {
  const command = CLIENT_COMMANDS.find((one) => one.name === name)!
  const wanted = command.arguments.slice(
    0,
    argumentCountOf(name, flags) ?? command.arguments.length,
  )
  for (const one of wanted.slice(given.length)) problems.push(`${one}: missing`)
  for (const one of given.slice(wanted.length)) problems.push(`${one}: unexpected argument`)
  const seconds = Number(flags['timeout'])
  if (!(seconds > 0 && seconds <= TIMEOUT_MAX_S))
    problems.push(`--timeout: want seconds in (0, ${String(TIMEOUT_MAX_S)}]`)
  const form = flags['writeOut']
  if (form !== 'table' && form !== 'json') problems.push('-w: want table or json')
  const token = tokenOf(flags['tokenFile'], problems)
  const timeoutMs = seconds * 1_000
  const clientOf = (endpoints: readonly string[]): Client =>
    openClient({ endpoints, timeoutMs, ...(token !== null && { token }) })
  const endpoints = endpointsOf(flags['endpoints'], problems)
  const check = (): void => {
    if (problems.length > 0) throw new UsageError(problems)
  }
  if (endpoints.length === 0 || !(timeoutMs > 0)) check()
  return {
    ...{ client: clientOf(endpoints), names: given, flags, problems, timeoutMs, signal, check },
    isJson: form === 'json',
    at: (endpoint) => clientOf([endpoint]),
  }
}

/** Null: as many as the command names. */
const argumentCountOf = (name: string, flags: Flags): number | null =>
  name === 'cas' && flags['absent'] === true ? 2 : null

function endpointsOf(given: unknown, problems: string[]): string[] {
  const all = typeof given === 'string' && given !== '' ? given.split(',') : []
  const isUrl = (one: string): boolean => /^https?:$/.test(URL.parse(one)?.protocol ?? '')
  const bad = all.filter((one) => !isUrl(one))
  for (const one of bad) problems.push(`--endpoints: ${one}: want http://HOST:PORT`)
  if (all.length === 0) problems.push('--endpoints: want one at least')
  return bad.length > 0 ? [] : all
}

/** The first line, without its role if it has one: a line of the server's token file does. */
function tokenOf(flag: unknown, problems: string[]): string | null {
  const path = flag ?? process.env['XPAXOS_CLIENT_TOKEN_FILE']
  if (path === undefined) return null
  if (typeof path !== 'string') {
    problems.push('--token-file: want a file')
    return null
  }
  try {
    const words = readFileSync(path, 'utf8').split('\n')[0]!.trim().split(/\s+/)
    const token = words.at(-1)!
    if (token === '') problems.push(`--token-file: ${path}: its first line has no token`)
    return token
  } catch {
    problems.push(`--token-file: cannot read ${path}`)
    return null
  }
}

export const print = (text: string): void => void process.stdout.write(text)
export const printJson = (value: unknown): void => print(`${JSON.stringify(value)}\n`)

// ---- Keys ------------------------------------------------------------------------------------

const rangeOf = ({ names, flags }: Call): KeyRange =>
  flags['prefix'] === true ? { prefix: names[0]! } : { key: names[0]! }

export function wholeOf(
  { flags, problems }: Pick<Call, 'flags' | 'problems'>,
  key: string,
  flag: string,
  min: number,
): number | null {
  const given = flags[key]
  if (given === undefined) return null
  const value = typeof given === 'string' && /^[0-9]{1,15}$/.test(given) ? Number(given) : NaN
  if (!(value >= min)) problems.push(`${flag}: want a whole number from ${String(min)}`)
  return value
}

const put: Body = async (call) => {
  const ttlMs = wholeOf(call, 'ttl', '--ttl', 1)
  call.check()
  const { client, names, signal } = call
  const options = { signal, ...(ttlMs !== null && { ttlMs }) }
  const { revision } = await client.put(names[0]!, names[1]!, options)
  if (call.isJson) printJson({ revision })
  else print('OK\n')
  return EXIT.done
}

const CONSISTENCIES = ['linearizable', 'lease', 'stale'] as const

const get: Body = async (call) => {
  const { flags, problems, client, signal } = call
  const maxStalenessMs = wholeOf(call, 'maxStaleness', '--max-staleness', 0)
  const asked = flags['consistency'] ?? 'linearizable'
  const consistency = CONSISTENCIES.find((one) => one === asked)
  if (consistency === undefined)
    problems.push(`--consistency: want one of ${CONSISTENCIES.join(', ')}`)
  call.check()
  const { entries, more } = await client.range(rangeOf(call), {
    ...{ signal, consistency: consistency! },
    ...(maxStalenessMs !== null && { maxStalenessMs }),
  })
  print(entriesText(entries, { isJson: call.isJson, isOne: flags['prefix'] !== true }))
  if (more) process.stderr.write('there are more keys: the answer was too long to be whole\n')
  return entries.length > 0 ? EXIT.done : EXIT.failed
}

const del: Body = async (call) => {
  call.check()
  const { deleted, revision } = await call.client.delete(rangeOf(call), { signal: call.signal })
  if (call.isJson) printJson({ deleted, revision })
  else print(`${String(deleted)}\n`)
  return deleted > 0 ? EXIT.done : EXIT.failed
}

const cas: Body = async (call) => {
  call.check()
  const { client, names, flags, signal } = call
  const expected = flags['absent'] === true ? null : names[1]!
  const { done, revision } = await client.cas(names[0]!, expected, names.at(-1)!, { signal })
  if (call.isJson) printJson({ done, revision })
  else print(done ? 'OK\n' : 'not done\n')
  return done ? EXIT.done : EXIT.failed
}

const watch: Body = async (call) => {
  const from = wholeOf(call, 'from', '--from', 1)
  call.check()
  const { client, signal } = call
  const options = { signal, ...(from !== null && { from }) }
  for await (const change of client.watch(rangeOf(call), options))
    print(changeText(change, call.isJson))
  return EXIT.done
}

const sync: Body = async (call) => {
  call.check()
  const { token } = await call.client.sync({ signal: call.signal })
  if (call.isJson) printJson({ token })
  else print(`synced through ${String(token.index)}\n`)
  return EXIT.done
}

// ---- Operators -------------------------------------------------------------------------------

type Told = Readonly<Record<string, unknown>>

const each = <Value>(call: Call, ask: (endpoint: string) => Promise<Value>) =>
  Promise.all(
    call.client.endpoints.map(async (endpoint) => {
      const told = await ask(endpoint).catch((error: unknown) => {
        if (error instanceof ClientError) return error
        throw error
      })
      return { endpoint, told }
    }),
  )

const endpointStatus: Body = async (call) => {
  call.check()
  const { client, signal } = call
  const all = await each(call, (endpoint) => client.statusOf(endpoint, { signal }))
  const rows = all.map(({ endpoint, told }): Told => {
    if (told instanceof ClientError) return { endpoint, error: told.message }
    return { endpoint, ...told }
  })
  const columns = ['endpoint', 'name', 'role', 'leader_name', 'chosen_index', 'applied_index']
  if (call.isJson) printJson(rows)
  else print(tableOf([...columns, 'version', 'error'], rows))
  return rows.some((row) => 'error' in row) ? EXIT.failed : EXIT.done
}

const endpointHealth: Body = async (call) => {
  call.check()
  const all = await each(call, (endpoint) => call.at(endpoint).sync({ signal: call.signal }))
  const rows = all.map(({ endpoint, told }): Told => {
    const error = told instanceof ClientError ? told.message : null
    return { endpoint, healthy: error === null, ...(error !== null && { error }) }
  })
  if (call.isJson) printJson(rows)
  else print(tableOf(['endpoint', 'healthy', 'error'], rows))
  return rows.every((row) => row['healthy'] === true) ? EXIT.done : EXIT.failed
}

function showMembers(call: Call, body: Told): Exit {
  const { leader, members } = body as { leader: string; members: readonly Told[] }
  const rows = members.map((one) => ({ ...one, leads: one['id'] === leader }))
  if (call.isJson) printJson(body)
  else
    print(tableOf(['id', 'name', 'role', 'weight', 'leads', 'forced', 'source', 'promote'], rows))
  return EXIT.done
}

const memberList: Body = async (call) => {
  call.check()
  const { client, signal } = call
  return showMembers(call, await client.admin('/v3/cluster/member/list', {}, { signal }))
}

function idOf({ names, problems }: Call): number {
  const id = /^[0-9]{1,5}$/.test(names[0] ?? '') ? Number(names[0]) : NaN
  if (names[0] !== undefined && !(id >= 1 && id <= 65_535)) problems.push('ID: want 1 to 65535')
  return id
}

const memberChange =
  (step: 'remove' | 'promote'): Body =>
  async (call) => {
    const id = idOf(call)
    call.check()
    const { client, signal } = call
    return showMembers(call, await client.admin(`/v3/cluster/member/${step}`, { id }, { signal }))
  }

const memberSet: Body = async (call) => {
  const id = idOf(call)
  const weight = wholeOf(call, 'weight', '--weight', 0)
  const source = wholeOf(call, 'source', '--source', 0)
  const { forced } = call.flags
  if (weight === null && source === null && forced === undefined)
    call.problems.push('--weight, --forced, --source: want one of them')
  call.check()
  const body = {
    id,
    ...(weight !== null && { weight }),
    ...(source !== null && { source }),
    ...(forced !== undefined && { forced }),
  }
  const { client, signal } = call
  return showMembers(call, await client.admin('/v3/cluster/member/set', body, { signal }))
}

const moveLeader: Body = async (call) => {
  const target_id = idOf(call)
  call.check()
  const { client, signal } = call
  const body = await client.admin('/v3/maintenance/transfer-leadership', { target_id }, { signal })
  if (call.isJson) printJson(body)
  else print(`node ${String(target_id)} leads\n`)
  return EXIT.done
}

const BODIES: Readonly<Record<string, Body>> = {
  ...{ put, get, del, cas, watch, sync },
  'endpoint status': endpointStatus,
  'endpoint health': endpointHealth,
  'member list': memberList,
  'member add': async (call) => showMembers(call, await memberAdd(call)),
  'member remove': memberChange('remove'),
  'member promote': memberChange('promote'),
  'member set': memberSet,
  'move-leader': moveLeader,
}
