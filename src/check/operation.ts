/**
 * What the checker judges: operations of clients with the times of their calls and returns, and
 * the words for models and verdicts. Plain data, no clock: times are whatever orders the events,
 * event numbers, line numbers or virtual time.
 *
 * One operation precedes another when it returned before the other was called, strictly: equal
 * times count as concurrent, so give event numbers where a clock is coarse.
 */
import { ReplicaError } from '../base/errors.ts'

export const MODELS = ['register', 'kv', 'append'] as const
export type Model = (typeof MODELS)[number]

export type Verdict = 'linearizable' | 'not-linearizable' | 'unknown'

/** A JSON value; null is nil: a register never written, a key that is absent. */
export type Value =
  null | boolean | number | string | readonly Value[] | { readonly [name: string]: Value }

/** get and put are other words for read and write; delete writes nil. */
export const FUNCTIONS = [
  ...['read', 'write', 'cas', 'append', 'get', 'put', 'delete', 'incr'],
] as const satisfies readonly string[]
export type FunctionName = 'read' | 'write' | 'cas' | 'append' | 'get' | 'put' | 'delete' | 'incr'

export const isFunction = (name: unknown): name is FunctionName =>
  (FUNCTIONS as readonly unknown[]).includes(name)

/** What each model understands. */
export const FUNCTIONS_OF: Readonly<Record<Model, readonly FunctionName[]>> = {
  register: ['read', 'write', 'cas', 'get', 'put'],
  kv: ['get', 'put', 'delete', 'cas', 'incr', 'read', 'write'],
  append: ['append', 'read', 'get'],
}

export interface Operation {
  readonly process: number | string
  /** Keys are independent objects; a lone object has the key ''. */
  readonly key: string
  readonly f: FunctionName
  /** What was asked: the value of write, put and append, [old, new] of cas, the step of incr. */
  readonly value: Value
  /** What a read answered; what an incr counted up to, null when it did not say. */
  readonly result: Value
  readonly call: number
  /** Infinity when it never returned; of no meaning for `info`. */
  readonly return: number
  /**
   * ok: happened between call and return. info: happens once at any time after its call, or never.
   * fail: did not happen; but a failed cas saw, between call and return, another value than `old`.
   */
  readonly outcome: 'ok' | 'fail' | 'info'
  /** Where it stands in a file; for messages only. */
  readonly source?: Source
}

export interface Source {
  readonly callLine: number
  readonly returnLine: number | null
  readonly callNs: number | null
  readonly returnNs: number | null
}

/** @throws ReplicaError E_HISTORY_INVALID; `line` counts from 1 */
export function refuse(line: number, field: string, problem: string): never {
  throw new ReplicaError('E_HISTORY_INVALID', `line ${line}: ${field}: ${problem}`, {
    line,
    field,
    problem,
  })
}

/**
 * Every operation makes sense to the model.
 * @throws ReplicaError E_HISTORY_INVALID naming the line, or the place in the array from 1
 */
export function validate(model: Model, operations: readonly Operation[]): void {
  operations.forEach((operation, i) => validateOne(model, operation, i))
}

function validateOne(model: Model, operation: Operation, i: number): void {
  const { f, value, result, call, outcome, source } = operation
  const line = source?.callLine ?? i + 1
  if (!FUNCTIONS_OF[model].includes(f))
    refuse(line, 'f', `${f} is no operation of ${model} (${FUNCTIONS_OF[model].join(', ')})`)
  if (!Number.isFinite(call)) refuse(line, 'call', 'not a finite number')
  if (outcome !== 'info' && !(operation.return >= call && operation.return < Infinity))
    refuse(line, 'return', `an operation that ended ${outcome} returned, and not before its call`)
  const at = outcome === 'ok' ? (source?.returnLine ?? line) : line
  if (f === 'cas' && !(Array.isArray(value) && value.length === 2))
    refuse(line, 'value', 'a cas has [old, new]')
  if (f === 'incr' && !Number.isSafeInteger(value))
    refuse(line, 'value', 'an incr has a whole number')
  if (f === 'incr' && outcome === 'ok' && result !== null && !Number.isSafeInteger(result))
    refuse(at, 'value', 'an incr answers a whole number or nothing')
  const isRead = f === 'read' || f === 'get'
  if (model === 'append' && isRead && outcome === 'ok' && !isList(result))
    refuse(at, 'value', 'a read of a list answers a list')
  if (model === 'kv' && (f === 'put' || f === 'write') && value === null)
    refuse(line, 'value', 'a put has a value; delete makes a key absent')
}

const isList = (value: Value): boolean => value === null || Array.isArray(value)
