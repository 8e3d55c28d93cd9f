/** Commands for a store of its own: what it answers, decoded, as a log would have it answered. */
import fc from 'fast-check'
import type { ApplyBatch, StateMachine } from '../../src/base/state-machine.ts'
import {
  decodeAnswer,
  decodeAnswers,
  decodeTickAnswer,
  decodeTxnAnswer,
} from '../../src/state-machines/key-value-answers.ts'
import { encodeCommand, encodeQuestion } from '../../src/state-machines/key-value-codec.ts'
import type {
  KvAnswer,
  KvCommand,
  KvGuard,
  KvOperation,
  KvQuestion,
  TickAnswer,
  TxnAnswer,
} from '../../src/state-machines/key-value-commands.ts'

/** Applies one entry; the answer's own copy. */
export function applyOne(machine: StateMachine, entry: Uint8Array, index: number): Uint8Array {
  let answer: Uint8Array | null = null
  const batch: Pick<ApplyBatch, 'first' | 'count' | 'payload' | 'reply'> = {
    first: index,
    count: 1,
    payload: () => entry,
    reply: (_i, bytes) => void (answer = bytes.slice()),
  }
  machine.apply(batch as ApplyBatch)
  return answer!
}

export function run(
  machine: StateMachine,
  command: KvCommand,
  index: number,
): KvAnswer | TxnAnswer | TickAnswer {
  const answer = applyOne(machine, encodeCommand(command), index)
  if (command.kind === 'tick') return decodeTickAnswer(answer)!
  return command.kind === 'txn' ? decodeTxnAnswer(command, answer)! : decodeAnswer(command, answer)
}

export const ask = (
  machine: Required<StateMachine>,
  question: Exclude<KvQuestion, { kind: 'status' }>,
): KvAnswer[] => decodeAnswers(question, machine.query(encodeQuestion(question)))!

export async function snapshotOf(machine: StateMachine): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = []
  await machine.snapshot({ write: (chunk) => void chunks.push(chunk) })
  return chunks
}

export async function restored(
  create: () => Required<StateMachine>,
  chunks: readonly Uint8Array[],
): Promise<Required<StateMachine>> {
  const machine = create()
  const left = [...chunks]
  await machine.restore({ read: () => left.shift() ?? null })
  return machine
}

export const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'))

// ---- Drawn commands --------------------------------------------------------------------------

/** Few, so that they meet; bytes beyond ASCII, one a prefix of another, and none at all. */
const KEYS = ['', 'a', 'a\0', 'aa', 'b', '\xff', '\xff\xfe\0q', 'key'].map(bytesOf)
const key = fc.constantFrom(...KEYS)
const value = fc.oneof(
  fc.constantFrom('1', '-7', '9223372036854775807', '007', '', 'text').map(bytesOf),
  fc.uint8Array({ maxLength: 40 }),
)
const to = fc.option(key, { nil: null })
const nowMs = fc.integer({ min: 0, max: 300 })
const ttlMs = fc.integer({ min: 1, max: 200 })
const yes = fc.constant(true)
const maybe = { requiredKeys: ['kind', 'key', 'value'] } as const

export const operation: fc.Arbitrary<KvOperation> = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), key, value }),
  fc.record(
    {
      ...{ kind: fc.constant('put' as const), key, value, keepTtl: yes, previous: yes },
      only: fc.constantFrom('absent' as const, 'present' as const),
    },
    { requiredKeys: [...maybe.requiredKeys] },
  ),
  fc.record({ kind: fc.constant('put' as const), key, value, ttlMs, nowMs }),
  fc.record({ kind: fc.constant('delete' as const), key }),
  fc.record({ kind: fc.constant('get' as const), key }),
  fc.record({ kind: fc.constant('get' as const), key, keysOnly: yes }),
  fc.record({ kind: fc.constant('cas' as const), key, expected: value, value }),
  fc.record({
    kind: fc.constant('range' as const),
    from: key,
    to,
    limit: fc.integer({ min: 1, max: 9 }),
  }),
  fc.record({ kind: fc.constant('delete-range' as const), from: key, to }),
  fc.record({
    kind: fc.constant('incr' as const),
    key,
    delta: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  }),
  fc.record({ kind: fc.constant('expire' as const), key, ttlMs, nowMs }),
  fc.record({ kind: fc.constant('expire' as const), key, ttlMs: fc.constant(null) }),
)

const is = fc.constantFrom(
  'equal' as const,
  'not-equal' as const,
  'less' as const,
  'greater' as const,
)
const guard: fc.Arbitrary<KvGuard> = fc.oneof(
  fc.record({
    field: fc.constantFrom('version' as const, 'mod' as const, 'create' as const),
    ...{ key, is, value: fc.integer({ min: 0, max: 20 }) },
  }),
  fc.record({ field: fc.constant('value' as const), key, is, value }),
)

export const command: fc.Arbitrary<KvCommand> = fc.oneof(
  { weight: 6, arbitrary: operation },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('txn' as const),
      guards: fc.array(guard, { maxLength: 3 }),
      then: fc.array(operation, { maxLength: 4 }),
      else: fc.array(operation, { maxLength: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('tick' as const),
      nowMs: fc.integer({ min: 0, max: 600 }),
    }),
  },
)
