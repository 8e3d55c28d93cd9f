/** Commands over RESP that read and write keys. What they do not take is refused by its name. */
import type {
  GetCommand,
  KvAnswer,
  KvOperation,
  PutCommand,
} from '../../state-machines/key-value-commands.ts'
import { OPERATIONS_MAX, TTL_MAX_MS } from '../../state-machines/key-value-commands.ts'
import { matchesGlob } from './glob.ts'
import type { Request } from './parser.ts'
import {
  type CommandSpec,
  type Context,
  type Plan,
  Refusal,
  bigintOf,
  integerOf,
  takenOf,
  textOf,
  valueOf,
  wordOf,
} from './plan.ts'
import { OK, type Reply } from './reply.ts'

const FIRST = [1, 1, 1] as const
const ALL = [1, -1, 1] as const
const NO_KEYS = [0, 0, 0] as const

export const KEY_COMMANDS: ReadonlyMap<string, CommandSpec> = new Map<string, CommandSpec>([
  ['GET', { arity: 2, needs: 'read', keys: FIRST, plan: get }],
  ['SET', { arity: -3, needs: 'write', keys: FIRST, plan: set }],
  ['DEL', { arity: -2, needs: 'write', keys: ALL, plan: del }],
  ['INCR', { arity: 2, needs: 'write', keys: FIRST, plan: (words) => incr(words[1]!, 1n) }],
  ['DECR', { arity: 2, needs: 'write', keys: FIRST, plan: (words) => incr(words[1]!, -1n) }],
  ['INCRBY', { arity: 3, needs: 'write', keys: FIRST, plan: incrBy }],
  ['DECRBY', { arity: 3, needs: 'write', keys: FIRST, plan: decrBy }],
  ['EXISTS', { arity: -2, needs: 'read', keys: ALL, plan: exists }],
  ['MGET', { arity: -2, needs: 'read', keys: ALL, plan: mget }],
  ['MSET', { arity: -3, needs: 'write', keys: [1, -1, 2], plan: mset }],
  ['EXPIRE', { arity: -3, needs: 'write', keys: FIRST, plan: (words) => expire(words, 1_000) }],
  ['PEXPIRE', { arity: -3, needs: 'write', keys: FIRST, plan: (words) => expire(words, 1) }],
  ['TTL', { arity: 2, needs: 'read', keys: FIRST, plan: (words) => ttl(words, 1_000) }],
  ['PTTL', { arity: 2, needs: 'read', keys: FIRST, plan: (words) => ttl(words, 1) }],
  ['SCAN', { arity: -2, needs: 'read', keys: NO_KEYS, plan: scan }],
  [
    'DBSIZE',
    {
      arity: 1,
      needs: 'read',
      keys: NO_KEYS,
      plan: () => ({ kind: 'status', reply: (s) => s.keys }),
    },
  ],
])

const getOf = (key: Uint8Array, keysOnly = false): GetCommand => ({
  ...{ kind: 'get', key },
  ...(keysOnly && { keysOnly }),
})

const entryOf = (answer: KvAnswer) => takenOf('get', answer).entry

function get([, key]: Request): Plan {
  return { kind: 'read', of: [getOf(key!)], reply: ([answer]) => valueOf(entryOf(answer!)) }
}

function mget([, ...keys]: Request): Plan {
  checkCount(keys.length)
  const reply = (answers: readonly KvAnswer[]): Reply =>
    answers.map((answer) => valueOf(entryOf(answer)))
  return { kind: 'read', of: keys.map((key) => getOf(key)), reply }
}

function exists([, ...keys]: Request): Plan {
  checkCount(keys.length)
  const reply = (answers: readonly KvAnswer[]): Reply =>
    answers.filter((answer) => entryOf(answer) !== null).length
  return { kind: 'read', of: keys.map((key) => getOf(key, true)), reply }
}

function ttl([, key]: Request, unitMs: number): Plan {
  const reply = ([answer]: readonly KvAnswer[]): Reply => {
    const entry = entryOf(answer!)
    if (entry === null) return -2
    return entry.ttlMs === null ? -1 : Math.round(entry.ttlMs / unitMs)
  }
  return { kind: 'read', of: [getOf(key!, true)], reply }
}

// ---- Writes ----------------------------------------------------------------------------------

function set([, key, value, ...words]: Request): Plan {
  const { wantsOld, ...options } = setOptionsOf(words)
  const command: PutCommand = { ...{ kind: 'put', key: key!, value: value! }, ...options }
  const reply = (answer: KvAnswer): Reply => {
    const { done, previous } = takenOf('put', answer)
    if (!wantsOld) return done ? OK : null
    if (previous === undefined)
      throw new Refusal('ERR done, but the old value is too large to tell')
    return valueOf(previous)
  }
  return { kind: 'write', command, reply }
}

const SYNTAX = 'ERR syntax error'
const UNITS: ReadonlyMap<string, number> = new Map([
  ['EX', 1_000],
  ['PX', 1],
])

function setOptionsOf(words: readonly Uint8Array[]) {
  let ttlMs: number | undefined
  let only: 'absent' | 'present' | undefined
  let [keepTtl, wantsOld] = [false, false]
  for (let i = 0; i < words.length; i++) {
    const word = wordOf(words[i]!)
    const unitMs = UNITS.get(word)
    if (unitMs !== undefined) {
      const given = words[++i]
      if (ttlMs !== undefined || given === undefined) throw new Refusal(SYNTAX)
      ttlMs = ttlMsOf(integerOf(given) * unitMs, 'set')
    } else if (word === 'NX' || word === 'XX') {
      if (only !== undefined) throw new Refusal(SYNTAX)
      only = word === 'NX' ? 'absent' : 'present'
    } else if (word === 'KEEPTTL') keepTtl = true
    else if (word === 'GET') wantsOld = true
    else if (word === 'EXAT' || word === 'PXAT') throw new Refusal(NO_WALL_CLOCK)
    else throw new Refusal(SYNTAX)
  }
  if (keepTtl && ttlMs !== undefined) throw new Refusal(SYNTAX)
  return {
    wantsOld,
    ...(ttlMs !== undefined && { ttlMs }),
    ...(only !== undefined && { only }),
    ...(keepTtl && { keepTtl }),
    ...(wantsOld && { previous: true }),
  }
}

const NO_WALL_CLOCK = 'ERR EXAT and PXAT are not supported: time here is that of the log'

function ttlMsOf(ttlMs: number, command: string): number {
  if (ttlMs >= 1 && ttlMs <= TTL_MAX_MS) return ttlMs
  throw new Refusal(`ERR invalid expire time in '${command}' command`)
}

function del([, ...keys]: Request): Plan {
  checkCount(keys.length)
  const one = (key: Uint8Array): KvOperation => ({ kind: 'delete', key })
  const isDone = (answer: KvAnswer): boolean => takenOf('delete', answer).done
  if (keys.length === 1) {
    return { kind: 'write', command: one(keys[0]!), reply: (answer) => (isDone(answer) ? 1 : 0) }
  }
  return together(keys.map(one), (answers) => answers.filter(isDone).length)
}

function mset([, ...words]: Request): Plan {
  if (words.length % 2 !== 0) throw wrongArity('mset')
  checkCount(words.length / 2)
  const puts: KvOperation[] = []
  for (let i = 0; i < words.length; i += 2) {
    puts.push({ kind: 'put', key: words[i]!, value: words[i + 1]! })
  }
  return together(puts, (answers) => {
    for (const answer of answers) takenOf('put', answer)
    return OK
  })
}

/** All at one place of the log. */
const together = (
  then: readonly KvOperation[],
  reply: (answers: readonly KvAnswer[]) => Reply,
): Plan => ({ kind: 'txn', command: { kind: 'txn', guards: [], then, else: [] }, reply })

function incr(key: Uint8Array, delta: bigint): Plan {
  const reply = (answer: KvAnswer): Reply => takenOf('incr', answer).value
  return { kind: 'write', command: { kind: 'incr', key, delta }, reply }
}
function incrBy([, key, by]: Request): Plan {
  return incr(key!, bigintOf(by!))
}
function decrBy([, key, by]: Request): Plan {
  const delta = -bigintOf(by!)
  if (BigInt.asIntN(64, delta) !== delta) throw new Refusal('ERR decrement would overflow')
  return incr(key!, delta)
}

function expire(words: Request, unitMs: number): Plan {
  const [name, key, given, option] = words
  const command = textOf(name!).toLowerCase()
  if (option !== undefined) throw new Refusal(`ERR options of '${command}' are not supported`)
  const wanted = integerOf(given!) * unitMs
  if (wanted < 1) return del([name!, key!]) // a time that is over
  const reply = (answer: KvAnswer): Reply => (takenOf('expire', answer).done ? 1 : 0)
  const ttlMs = ttlMsOf(wanted, command)
  return { kind: 'write', command: { kind: 'expire', key: key!, ttlMs }, reply }
}

// ---- SCAN ------------------------------------------------------------------------------------

const SCAN_COUNT = 10
const SCAN_COUNT_MAX = 10_000
const PATTERN_SIZE_MAX_BYTES = 4_096

function scan([, cursor, ...words]: Request, { cursors }: Context): Plan {
  const { count, pattern } = scanOptionsOf(words)
  const name = textOf(cursor!)
  const from = name === '0' ? new Uint8Array(0) : cursors.find(name)
  if (from === null) throw new Refusal('ERR invalid cursor: begin again with 0')
  const reply = ([answer]: readonly KvAnswer[]): Reply => {
    const { entries, more } = takenOf('range', answer!)
    const keys = entries.map(({ key }) => key)
    const found = pattern === null ? keys : keys.filter((key) => matchesGlob(pattern, key))
    const last = keys.at(-1)
    const next = more && last !== undefined ? cursors.open(Uint8Array.of(...last, 0)) : '0'
    return [next, found]
  }
  const range = { kind: 'range', from, to: null, limit: count, keysOnly: true } as const
  return { kind: 'read', of: [range], reply }
}

function scanOptionsOf(words: readonly Uint8Array[]) {
  let count = SCAN_COUNT
  let pattern: Uint8Array | null = null
  for (let i = 0; i < words.length; i += 2) {
    const [word, given] = [wordOf(words[i]!), words[i + 1]]
    if (given === undefined) throw new Refusal(SYNTAX)
    if (word === 'COUNT') count = integerOf(given)
    else if (word === 'MATCH') pattern = given
    else throw new Refusal(SYNTAX)
  }
  if (count < 1) throw new Refusal(SYNTAX)
  if (pattern !== null && pattern.length > PATTERN_SIZE_MAX_BYTES) {
    throw new Refusal(`ERR a pattern has at most ${PATTERN_SIZE_MAX_BYTES} bytes`)
  }
  return { count: Math.min(count, SCAN_COUNT_MAX), pattern }
}

// ---- Bounds ----------------------------------------------------------------------------------

function checkCount(count: number): void {
  if (count > OPERATIONS_MAX) {
    throw new Refusal(`ERR ${count} keys in one command, at most ${OPERATIONS_MAX}`)
  }
}

export const wrongArity = (command: string): Refusal =>
  new Refusal(`ERR wrong number of arguments for '${command}' command`)
