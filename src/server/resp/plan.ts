/**
 * What a RESP command comes to: a reply, or what is asked of the key-value service and how its
 * answer reads. Plain data; connection.ts carries it out in the order of the pipeline.
 */
import type { SessionToken } from '../../engine/index.ts'
import type {
  GetCommand,
  KeyValue,
  KvAnswer,
  KvOperation,
  KvRefusal,
  KvStatus,
  RangeCommand,
  TxnCommand,
} from '../../state-machines/key-value-commands.ts'
import type { KvService } from '../kv-service.ts'
import type { GuessLimit, RespAuth, Role } from './auth.ts'
import type { Reply } from './reply.ts'
import type { Request } from './parser.ts'
import type { ScanCursors } from './scan-cursors.ts'

export type Plan =
  | { readonly kind: 'reply'; readonly reply: Reply }
  /** Behind every write of this connection that is under way. */
  | { readonly kind: 'later'; readonly reply: () => Reply }
  | {
      readonly kind: 'read'
      readonly of: readonly (GetCommand | RangeCommand)[]
      readonly reply: (answers: readonly KvAnswer[]) => Reply
    }
  | { readonly kind: 'status'; readonly reply: (status: KvStatus) => Reply }
  | {
      readonly kind: 'write'
      readonly command: KvOperation
      readonly reply: (answer: KvAnswer) => Reply
    }
  | {
      readonly kind: 'txn'
      readonly command: TxnCommand
      readonly reply: (answers: readonly KvAnswer[]) => Reply
    }

/** What commands see and change of their connection. */
export interface Client {
  readonly id: number
  readonly address: string
  name: string
  /** Null: it has not said who it is, and has to. */
  role: Role | null
  /** What its reads with `consistency: 'session'` have to see. */
  token: SessionToken | null
  /** It asked to leave: nothing of it is read any more. */
  isLeaving: boolean
}

export interface Context {
  readonly client: Client
  readonly service: KvService
  readonly auth: RespAuth | null
  readonly guesses: GuessLimit
  readonly cursors: ScanCursors
  /** How many connections are open. */
  readonly clients: () => number
  readonly uptimeS: () => number
}

export interface CommandSpec {
  /** As in Redis: how many words, the name included; below 0: at least so many. */
  readonly arity: number
  readonly needs: Role | 'nothing'
  /** As COMMAND tells it: first key, last key (below 0: from the end), step. */
  readonly keys: readonly [number, number, number]
  readonly plan: (request: Request, context: Context) => Plan
}

/** Refused before it was asked of anybody; the message begins with a code in capitals. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
}

export const replying = (reply: Reply): Plan => ({ kind: 'reply', reply })

export const textOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')

/** Of an option or a name: letters alone matter. */
export const wordOf = (bytes: Uint8Array): string => textOf(bytes).toUpperCase()

const INTEGER = /^-?(?:0|[1-9][0-9]{0,18})$/

/** @throws Refusal unless it is a decimal integer of 64 bits */
export function bigintOf(bytes: Uint8Array): bigint {
  const text = bytes.length <= 20 ? textOf(bytes) : ''
  const value = INTEGER.test(text) ? BigInt(text) : null
  if (value !== null && BigInt.asIntN(64, value) === value) return value
  throw new Refusal('ERR value is not an integer or out of range')
}

/** Numbers beyond what is exact are no use anywhere: they are out of any range. */
export const integerOf = (bytes: Uint8Array): number => Number(bigintOf(bytes))

export const valueOf = (entry: KeyValue | null): Uint8Array | null => entry?.value ?? null

const REFUSALS: Readonly<Record<KvRefusal, string>> = {
  malformed: 'ERR the nodes run another version of the key-value store',
  'answer-size': 'ERR the answer is beyond 1.75 MiB: ask for fewer keys at once',
  'not-a-number': 'ERR value is not an integer or out of range',
  overflow: 'ERR increment or decrement would overflow',
  full: 'OOM the store is full: delete something first',
}

/** @throws Refusal when the store refused it */
export function takenOf<Kind extends KvOperation['kind']>(
  kind: Kind,
  answer: KvAnswer,
): Extract<KvAnswer, { readonly kind: Kind }> {
  if (answer.kind === kind) return answer as Extract<KvAnswer, { readonly kind: Kind }>
  throw new Refusal(answer.kind === 'refused' ? REFUSALS[answer.reason] : 'ERR unexpected answer')
}
