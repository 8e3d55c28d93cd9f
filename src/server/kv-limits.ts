/**
 * What the key-value service takes: every problem of a request at once, before anything is proposed
 * or asked. The state machine has the same limits; here they have names. Pure.
 */
import { isBytes } from '../base/bytes.ts'
import { ReplicaError } from '../base/errors.ts'
import {
  KEY_SIZE_MAX_BYTES,
  type KvGuard,
  type KvOperation,
  type KvQuestion,
  OPERATIONS_MAX,
  RANGE_KEYS_MAX,
  REQUEST_SIZE_MAX_BYTES,
  TTL_MAX_MS,
  type TxnCommand,
} from '../state-machines/key-value-commands.ts'

export const OTHER_VERSION = 'the nodes run another version of the key-value store'

export function invalid(...problems: string[]): ReplicaError {
  return new ReplicaError('E_REQUEST_INVALID', problems.join('; '), { problems })
}

/** @throws ReplicaError E_REQUEST_INVALID */
export function checkRequest(command: KvOperation | TxnCommand): void {
  const problems: string[] = []
  if (command.kind === 'txn') checkTxn(command, problems)
  else checkOperation(command, '', problems)
  if (problems.length > 0) throw invalid(...problems.slice(0, PROBLEMS_MAX))
}

/** @throws ReplicaError E_REQUEST_INVALID */
export function checkQuestion(question: Exclude<KvQuestion, { readonly kind: 'status' }>): void {
  const problems: string[] = []
  const of = question.kind === 'many' ? question.of : [question]
  checkCount(of.length, 'questions', problems)
  if (problems.length === 0) of.forEach((one, i) => checkOperation(one, placeOf(of, i), problems))
  if (problems.length > 0) throw invalid(...problems.slice(0, PROBLEMS_MAX))
}

/** @throws ReplicaError E_REQUEST_INVALID */
export function checkSize(command: Uint8Array): void {
  if (command.length <= REQUEST_SIZE_MAX_BYTES) return
  throw invalid(`${command.length} bytes: at most ${REQUEST_SIZE_MAX_BYTES} in one request`)
}

/** A request of 1,024 wrong keys need not have 1,024 lines. */
const PROBLEMS_MAX = 8

const placeOf = (of: readonly unknown[], i: number): string => (of.length > 1 ? `[${i}] ` : '')

function checkTxn(txn: TxnCommand, problems: string[]): void {
  checkCount(txn.guards.length, 'guards', problems)
  checkCount(txn.then.length + txn.else.length, 'operations', problems)
  if (problems.length > 0) return
  txn.guards.forEach((guard, i) => checkGuard(guard, `guards[${i}] `, problems))
  txn.then.forEach((one, i) => checkOperation(one, `then[${i}] `, problems))
  txn.else.forEach((one, i) => checkOperation(one, `else[${i}] `, problems))
}

function checkCount(count: number, what: string, problems: string[]): void {
  if (count > OPERATIONS_MAX) problems.push(`${count} ${what}: at most ${OPERATIONS_MAX}`)
}

function checkGuard(guard: KvGuard, at: string, problems: string[]): void {
  checkKey(guard.key, `${at}key`, problems)
  if (guard.field === 'value') return checkBytes(guard.value, `${at}value`, problems)
  if (Number.isSafeInteger(guard.value) && guard.value >= 0) return
  problems.push(`${at}value=${String(guard.value)}: want a whole number from 0`)
}

function checkOperation(one: KvOperation, at: string, problems: string[]): void {
  if (one.kind === 'range' || one.kind === 'delete-range') {
    checkKey(one.from, `${at}from`, problems)
    // One byte more than a key: what comes behind the longest one.
    if (one.to !== null) checkKey(one.to, `${at}to`, problems, KEY_SIZE_MAX_BYTES + 1)
    if (one.kind === 'range') checkInteger(one.limit, 'limit', RANGE_KEYS_MAX, at, problems)
    return
  }
  checkKey(one.key, `${at}key`, problems)
  if (one.kind === 'put' || one.kind === 'cas') checkBytes(one.value, `${at}value`, problems)
  if (one.kind === 'cas') checkBytes(one.expected, `${at}expected`, problems)
  if (one.kind === 'put' || one.kind === 'expire') {
    checkInteger(one.ttlMs ?? undefined, 'ttlMs', TTL_MAX_MS, at, problems)
  }
  if (one.kind === 'put' && one.ttlMs !== undefined && one.keepTtl === true) {
    problems.push(`${at}ttlMs, keepTtl: want one of them`)
  }
  const isLong = one.kind === 'incr' && BigInt.asIntN(64, one.delta) !== one.delta
  if (isLong) problems.push(`${at}delta: at most 64 bits`)
}

function checkInteger(
  value: number | undefined,
  name: string,
  max: number,
  at: string,
  problems: string[],
): void {
  if (value === undefined || (Number.isInteger(value) && value >= 1 && value <= max)) return
  problems.push(`${at}${name}=${String(value)}: want a whole number from 1 to ${max}`)
}

function checkKey(
  key: unknown,
  name: string,
  problems: string[],
  maxBytes = KEY_SIZE_MAX_BYTES,
): void {
  if (!isBytes(key)) problems.push(`${name}: want a Uint8Array`)
  else if (key.length > maxBytes) problems.push(`${name}: ${key.length} bytes, at most ${maxBytes}`)
}

/** How many is for `checkSize`. */
function checkBytes(value: unknown, name: string, problems: string[]): void {
  if (!isBytes(value)) problems.push(`${name}: want a Uint8Array`)
}
