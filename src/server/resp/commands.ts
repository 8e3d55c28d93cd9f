/**
 * The commands that are here, and who may use them. A command that is not here is refused by its
 * name; so is an option (key-commands.ts).
 */
import { KEY_COMMANDS, wrongArity } from './key-commands.ts'
import type { Request } from './parser.ts'
import {
  type CommandSpec,
  type Context,
  type Plan,
  Refusal,
  replying,
  textOf,
  wordOf,
} from './plan.ts'
import type { Reply } from './reply.ts'
import { SERVER_COMMANDS } from './server-commands.ts'
import type { Role } from './auth.ts'

const COMMAND: CommandSpec = { arity: -1, needs: 'read', keys: [0, 0, 0], plan: command }

const COMMANDS: ReadonlyMap<string, CommandSpec> = new Map([
  ...KEY_COMMANDS,
  ...SERVER_COMMANDS,
  ['COMMAND', COMMAND],
])

const RANKS: Readonly<Record<Role, number>> = { read: 1, write: 2, admin: 3 }

/** What a browser says first, when a page of somebody else sends it here. */
export const isOfHttp = ([name]: Request): boolean =>
  name!.length <= 5 && /^(?:POST|HOST:)$/.test(wordOf(name!))

const NAME_SIZE_MAX_BYTES = 64

/** @throws Refusal */
export function planOf(request: Request, context: Context): Plan {
  const name = wordOf(request[0]!.subarray(0, NAME_SIZE_MAX_BYTES))
  const spec = COMMANDS.get(name)
  const { role } = context.client
  if (role === null && spec?.needs !== 'nothing')
    throw new Refusal('NOAUTH Authentication required.')
  if (spec === undefined) {
    throw new Refusal(
      `ERR unknown command '${textOf(request[0]!.subarray(0, NAME_SIZE_MAX_BYTES))}'`,
    )
  }
  const { arity, needs } = spec
  const isRight = arity < 0 ? request.length >= -arity : request.length === arity
  if (!isRight) throw wrongArity(name.toLowerCase())
  if (needs !== 'nothing' && role !== null && RANKS[role] < RANKS[needs]) {
    throw new Refusal(`NOPERM this secret may not run '${name.toLowerCase()}'`)
  }
  return spec.plan(request, context)
}

/** What redis-cli and client libraries ask: how many, which, and how they are called. */
function command([, word, ...names]: Request): Plan {
  const what = word === undefined ? 'ALL' : wordOf(word)
  if (what === 'COUNT') return replying(COMMANDS.size)
  if (what === 'DOCS') return replying([])
  if (what === 'ALL') return replying([...COMMANDS].map(([name, spec]) => toldOf(name, spec)))
  if (what !== 'INFO') throw new Refusal('ERR COMMAND has COUNT, DOCS and INFO here')
  return replying(
    names.map((name): Reply => {
      const spec = COMMANDS.get(wordOf(name))
      return spec === undefined ? null : toldOf(wordOf(name), spec)
    }),
  )
}

const toldOf = (name: string, { arity, needs, keys }: CommandSpec): Reply => [
  ...[name.toLowerCase(), arity, [{ status: needs === 'write' ? 'write' : 'readonly' }]],
  ...keys,
]
