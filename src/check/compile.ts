/**
 * Operations of one key to a program. What cannot matter is left out here, each time with a reason:
 *
 * - What failed, but for a failed cas; pending reads; a pending cas that changes nothing.
 * - Values that no read or cas ever looks for are one value, OTHER: no operation tells them apart.
 * - Pending writes of OTHER, unless a failed cas may have needed just another value.
 * - Pending appends of what no read ever saw.
 *
 * Keys with incr keep all values: sums make values that no operation names.
 */
import { internOf, type Interned } from './intern.ts'
import type { FunctionName, Model, Operation, Value } from './operation.ts'
import * as program from './program.ts'
import { APPEND, CAS, type Effect, INCR, INCR_TO, NIL, NOT, READ, WRITE } from './program.ts'

/** What the register held before the first call: nil, or not known. */
export type Initial = 'nil' | 'any'

export function compile(
  model: Model,
  operations: readonly Operation[],
  initial: Initial = 'nil',
): program.Program {
  return model === 'append' ? compileList(operations) : compileRegister(operations, initial)
}

// ---- Registers -------------------------------------------------------------------------------

function compileRegister(operations: readonly Operation[], initial: Initial): program.Program {
  const intern = internOf()
  const isCounter = operations.some(({ f }) => f === 'incr')
  for (const operation of operations)
    for (const value of observedBy(operation)) intern.idOf(value, program.VALUES_START)
  const written = (value: Value): number =>
    isCounter ? intern.idOf(value, program.VALUES_START) : (intern.find(value) ?? program.OTHER)
  const hasNot = operations.some(({ f, outcome }) => f === 'cas' && outcome === 'fail')
  const matters = ({ code, a, b }: Effect): boolean => {
    if (code === READ || code === NOT) return false // pending, it only looked
    if (code === INCR) return a !== 0
    const to = code === CAS ? b : a
    return to !== program.OTHER || hasNot
  }
  return {
    ...tablesOf(operations, (operation) => registerEffect(operation, intern, written), matters),
    initial: initial === 'any' ? program.ANY : NIL,
    valueCount: isCounter ? 0 : program.VALUES_START + intern.count(),
    step: isCounter ? stepCounter(intern) : program.stepRegister,
    beyond: program.REFUSED,
  }
}

/** The values whose presence the operation reports, or would act upon. */
export function observedBy({ f, value, result, outcome }: Operation): Value[] {
  if (isRead(f)) return outcome === 'ok' ? [result] : []
  return f === 'cas' ? [(value as readonly Value[])[0]!] : []
}

export const isRead = (f: FunctionName): boolean => f === 'read' || f === 'get'

function registerEffect(
  { f, value, result, outcome }: Operation,
  intern: Interned,
  written: (value: Value) => number,
): Effect | undefined {
  if (outcome === 'fail' && f !== 'cas') return undefined
  if (isRead(f)) return outcome === 'ok' ? { code: READ, a: intern.find(result)!, b: 0 } : undefined
  if (f === 'cas') return casEffect(value as readonly [Value, Value], outcome, intern, written)
  if (f === 'incr') {
    const isKnown = outcome === 'ok' && result !== null
    const by = value as number
    if (!isKnown) return { code: INCR, a: by, b: 0 }
    return { code: INCR_TO, a: by, b: written(result) }
  }
  return { code: WRITE, a: f === 'delete' ? NIL : written(value), b: 0 }
}

function casEffect(
  [from, to]: readonly [Value, Value],
  outcome: Operation['outcome'],
  intern: Interned,
  written: (value: Value) => number,
): Effect {
  const a = intern.find(from)!
  if (outcome === 'fail') return { code: NOT, a, b: 0 }
  const b = written(to)
  return a === b ? { code: READ, a, b: 0 } : { code: CAS, a, b }
}

/** An absent counter counts from 0; a value that is no number refuses. */
function stepCounter(intern: Interned): program.Program['step'] {
  return (code, a, b, state) => {
    if (code !== INCR && code !== INCR_TO) return program.stepRegister(code, a, b, state)
    const held = state === NIL ? 0 : intern.valueOf(state, program.VALUES_START)
    if (typeof held !== 'number') return program.REFUSED
    const next = intern.idOf(held + a, program.VALUES_START)
    return code === INCR || next === b ? next : program.REFUSED
  }
}

// ---- Lists -----------------------------------------------------------------------------------

function compileList(operations: readonly Operation[]): program.Program {
  const intern = internOf()
  const idOf = (value: Value): number => intern.idOf(value, program.VALUES_START)
  let longest: readonly Value[] = []
  for (const operation of operations) {
    const list = listReadBy(operation)
    if (list !== undefined && list.length > longest.length) longest = list
  }
  const full = Int32Array.from(longest, idOf)
  const wanted = new Set(full)
  const effectOf = (operation: Operation): Effect | undefined => {
    if (operation.outcome === 'fail') return undefined
    if (operation.f === 'append') return { code: APPEND, a: idOf(operation.value), b: 0 }
    const list = listReadBy(operation)
    if (list === undefined) return undefined
    // Lists that are no beginning of the longest can never be read in the same history.
    const isBeginning = list.every((value, i) => intern.find(value) === full[i])
    return { code: READ, a: isBeginning ? list.length : program.REFUSED, b: 0 }
  }
  const beyond = full.length + 1
  return {
    ...tablesOf(operations, effectOf, ({ code, a }) => code === APPEND && wanted.has(a)),
    initial: 0,
    valueCount: 0,
    beyond,
    step(code, a, _b, state) {
      if (code === READ) return state === a ? state : program.REFUSED
      if (state >= full.length) return beyond
      return full[state] === a ? state + 1 : program.REFUSED
    },
  }
}

/** nil is the empty list. */
export const listReadBy = ({ f, result, outcome }: Operation): readonly Value[] | undefined =>
  isRead(f) && outcome === 'ok' ? ((result ?? []) as readonly Value[]) : undefined

// ---- Tables ----------------------------------------------------------------------------------

type Tables = Omit<program.Program, 'initial' | 'valueCount' | 'step' | 'beyond'>

function tablesOf(
  operations: readonly Operation[],
  effectOf: (operation: Operation) => Effect | undefined,
  matters: (effect: Effect) => boolean,
): Tables {
  const required: { operation: Operation; effect: Effect }[] = []
  const pending = new Map<string, { effect: Effect; calls: number[] }>()
  for (const operation of operations) {
    const effect = effectOf(operation)
    if (effect === undefined) continue
    if (operation.outcome !== 'info') required.push({ operation, effect })
    else if (matters(effect)) {
      const kind = pending.get(nameOf(effect)) ?? { effect, calls: [] }
      kind.calls.push(operation.call)
      pending.set(nameOf(effect), kind)
    }
  }
  required.sort((left, right) => left.operation.call - right.operation.call)
  const numbers = new Map<string, number>()
  const numberOf = (effect: Effect): number => {
    const name = nameOf(effect)
    const number = numbers.get(name) ?? numbers.size
    numbers.set(name, number)
    return number
  }
  return {
    count: required.length,
    call: Float64Array.from(required, ({ operation }) => operation.call),
    return: Float64Array.from(required, ({ operation }) => operation.return),
    code: Uint8Array.from(required, ({ effect }) => effect.code),
    a: Int32Array.from(required, ({ effect }) => effect.a),
    b: Int32Array.from(required, ({ effect }) => effect.b),
    effect: Int32Array.from(required, ({ effect }) => numberOf(effect)),
    effectCount: numbers.size,
    optional: [...pending.values()].map(({ effect, calls }) => ({
      ...effect,
      calls: Float64Array.from(calls).sort(),
    })),
  }
}

const nameOf = ({ code, a, b }: Effect): string => `${code} ${a} ${b}`
