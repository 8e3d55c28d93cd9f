/** Commands over RESP that are about the connection and the server. */
import { wrongArity } from './key-commands.ts'
import type { Request } from './parser.ts'
import {
  type CommandSpec,
  type Context,
  type Plan,
  Refusal,
  integerOf,
  replying,
  textOf,
  wordOf,
} from './plan.ts'
import { OK, type Reply } from './reply.ts'

const NO_KEYS = [0, 0, 0] as const
const server = (
  arity: number,
  needs: CommandSpec['needs'],
  plan: CommandSpec['plan'],
): CommandSpec => ({ arity, needs, keys: NO_KEYS, plan })

/** What a client has to be able to say before it has said who it is. */
export const SERVER_COMMANDS: ReadonlyMap<string, CommandSpec> = new Map<string, CommandSpec>([
  ['AUTH', server(-2, 'nothing', auth)],
  ['HELLO', server(-1, 'nothing', hello)],
  ['QUIT', server(-1, 'nothing', quit)],
  ['PING', server(-1, 'read', ping)],
  ['ECHO', server(2, 'read', ([, text]) => replying(text!))],
  ['SELECT', server(2, 'read', select)],
  ['INFO', server(-1, 'read', info)],
  ['WAIT', server(3, 'read', wait)],
  ['CLIENT', server(-2, 'read', client)],
  ['CONFIG', server(-2, 'read', config)],
])

/** What INFO and HELLO call the version of Redis whose replies these are shaped after. */
const REDIS_VERSION = '6.2.0'

function ping([, ...words]: Request): Plan {
  if (words.length > 1) throw wrongArity('ping')
  return replying(words[0] ?? { status: 'PONG' })
}

function quit(_words: Request, { client }: Context): Plan {
  client.isLeaving = true
  return replying(OK)
}

function select([, number]: Request): Plan {
  if (integerOf(number!) !== 0) throw new Refusal('ERR DB index is out of range: there is 0 alone')
  return replying(OK)
}

// ---- Who it is -------------------------------------------------------------------------------

function auth([, ...words]: Request, context: Context): Plan {
  if (words.length > 2) throw wrongArity('auth')
  const secret = words.at(-1)!
  logIn(words.length === 2 ? textOf(words[0]!) : 'default', secret, context)
  return replying(OK)
}

/** @throws Refusal; then the role of the client is what it was */
function logIn(name: string, secret: Uint8Array, { auth, client, guesses }: Context): void {
  if (auth === null) throw new Refusal('ERR AUTH is not needed: no secret is configured here')
  if (!guesses.mayTry(client.address)) {
    throw new Refusal('ERR too many failed attempts from this address: try again later')
  }
  const role = auth.roleOf(name, secret)
  if (role === null) {
    guesses.failed(client.address)
    throw new Refusal('WRONGPASS invalid username-password pair')
  }
  client.role = role
}

function hello([, version, ...words]: Request, context: Context): Plan {
  const { client, service } = context
  if (version !== undefined && textOf(version) !== '2') {
    throw new Refusal('NOPROTO unsupported protocol version: this is RESP2')
  }
  for (let i = 0; i < words.length;) {
    const word = wordOf(words[i]!)
    if (word === 'AUTH' && i + 2 < words.length) {
      logIn(textOf(words[i + 1]!), words[i + 2]!, context)
      i += 3
    } else if (word === 'SETNAME' && i + 1 < words.length) {
      client.name = nameOf(words[i + 1]!)
      i += 2
    } else throw new Refusal('ERR syntax error in HELLO')
  }
  if (client.role === null) throw new Refusal('NOAUTH HELLO needs AUTH here')
  const told = { server: 'redis', version: REDIS_VERSION, proto: 2, id: client.id }
  const role = service.leads ? 'master' : 'replica'
  return replying(Object.entries({ ...told, mode: 'standalone', role, modules: [] }).flat())
}

const NAME_SIZE_MAX = 64

function nameOf(bytes: Uint8Array): string {
  const name = textOf(bytes)
  if (/^[!-~]*$/.test(name) && name.length <= NAME_SIZE_MAX) return name
  throw new Refusal('ERR a name has at most 64 visible characters, and no space')
}

function client(words: Request, { client: own }: Context): Plan {
  const [, word, ...given] = words
  const what = wordOf(word!)
  if (what === 'ID' && given.length === 0) return replying(own.id)
  if (what === 'GETNAME' && given.length === 0) return replying(own.name === '' ? null : own.name)
  // The name and version of a client library: taken, as it asks no more.
  if (what === 'SETINFO' && given.length === 2) return replying(OK)
  if (what !== 'SETNAME' || given.length !== 1) throw unknownSubcommand('CLIENT', word!)
  own.name = nameOf(given[0]!)
  return replying(OK)
}

const unknownSubcommand = (command: string, word: Uint8Array): Refusal =>
  new Refusal(`ERR '${textOf(word).slice(0, 64)}' of ${command} is not supported`)

// ---- The server ------------------------------------------------------------------------------

/** What redis-benchmark asks for; every acknowledged write is on a quorum's disks. */
const CONFIG: ReadonlyMap<string, string> = new Map([
  ['save', ''],
  ['appendonly', 'yes'],
])

function config([, word, ...names]: Request): Plan {
  if (wordOf(word!) !== 'GET' || names.length === 0) throw unknownSubcommand('CONFIG', word!)
  const known = names.map((name) => textOf(name).toLowerCase()).filter((name) => CONFIG.has(name))
  return replying(known.flatMap((name) => [name, CONFIG.get(name)!]))
}

/**
 * How many other voters are sure to have what this connection wrote, on their disks: those of an
 * accept quorum, before a write is answered. So it never waits for more than the writes themselves.
 */
function wait([, replicas, timeout]: Request, { service }: Context): Plan {
  if (integerOf(replicas!) < 0 || integerOf(timeout!) < 0) {
    throw new Refusal('ERR WAIT takes numbers from 0')
  }
  const reply = (): Reply => {
    const { membership } = service.node.status()
    return membership === null ? 0 : membership.acceptQuorum - 1
  }
  return { kind: 'later', reply }
}

function info([, ...sections]: Request, { service, clients, uptimeS }: Context): Plan {
  const wanted = sections.map(wordOf)
  const isWanted = (name: string): boolean =>
    wanted.length === 0 ||
    ['ALL', 'DEFAULT', 'EVERYTHING', name].some((one) => wanted.includes(one))
  const { node, leads, leader } = service
  const { applied, chosen } = node.status()
  const parts: [string, string[]][] = [
    [
      'Server',
      [`redis_version:${REDIS_VERSION}`, 'redis_mode:standalone', 'server_name:xpaxos'].concat(
        `uptime_in_seconds:${uptimeS()}`,
      ),
    ],
    ['Clients', [`connected_clients:${clients()}`]],
    ['Persistence', ['loading:0', 'aof_enabled:1']],
    [
      'Replication',
      [`role:${leads ? 'master' : 'slave'}`, `node_id:${node.id}`, `leader_id:${leader}`].concat([
        `chosen_index:${chosen}`,
        `applied_index:${applied}`,
      ]),
    ],
  ]
  const text = parts
    .filter(([name]) => isWanted(name.toUpperCase()))
    .map(([name, lines]) => [`# ${name}`, ...lines, ''].join('\r\n'))
    .join('\r\n')
  if (!isWanted('KEYSPACE')) return replying(text)
  return {
    kind: 'status',
    reply: ({ keys, leased }) =>
      `${text}${text === '' ? '' : '\r\n'}# Keyspace\r\n` +
      (keys === 0 ? '' : `db0:keys=${keys},expires=${leased},avg_ttl=0\r\n`),
  }
}
