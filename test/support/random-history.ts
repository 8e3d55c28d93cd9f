/**
 * Histories for the checker's tests: real ones, recorded from an atomic object that applies each
 * operation at a drawn instant between its call and its return; and drawn ones, which may be
 * anything. Seeded: a seed is a history.
 */
import type { FunctionName, Model, Operation, Value } from '../../src/check/operation.ts'
import { createRandom, next } from './random.ts'

export interface HistoryShape {
  readonly model: Model
  readonly processes: number
  readonly operations: number
  readonly values: number
  readonly keys?: number
  /** Share of operations that end in info; half of them take effect, some of those late. */
  readonly infoRate?: number
  readonly hasIncr?: boolean
  /** Appended values are never repeated. */
  readonly isUnique?: boolean
}

export type Chance = () => number

/** In [0, 1). */
export function chanceOf(seed: number): Chance {
  const random = createRandom(seed)
  return () => next(random) / 2 ** 32
}

const below = (chance: Chance, limit: number): number => Math.floor(chance() * limit)

const FUNCTIONS: Readonly<Record<Model, readonly FunctionName[]>> = {
  register: ['read', 'read', 'write', 'cas'],
  kv: ['get', 'get', 'put', 'cas', 'delete'],
  append: ['append', 'read'],
}

export function drawCall(chance: Chance, shape: HistoryShape, number: number) {
  const functions = FUNCTIONS[shape.model]
  const names = shape.hasIncr === true ? [...functions, 'incr' as const] : functions
  const f = names[below(chance, names.length)]!
  const value = (): number => below(chance, shape.values)
  const nilOr = (): Value => (shape.model === 'kv' && chance() < 0.2 ? null : value())
  const key = `k${below(chance, shape.keys ?? 1)}`
  switch (f) {
    case 'cas':
      return { f, key, value: [nilOr(), value()] as Value }
    case 'incr':
      return { f, key, value: 1 + value() }
    case 'append':
      return { f, key, value: shape.isUnique === true ? number : value() }
    case 'write':
    case 'put':
      return { f, key, value: value() }
    default:
      return { f, key, value: null }
  }
}

/** What a register, counter or list does with one operation; undefined: it cannot happen. */
export function applyTo(
  state: Value,
  { f, value }: Pick<Operation, 'f' | 'value'>,
): { state: Value; result: Value; isMismatch: boolean } | undefined {
  const done = (after: Value, result: Value = null, isMismatch = false) => ({
    ...{ state: after, result, isMismatch },
  })
  switch (f) {
    case 'read':
    case 'get':
      return done(state, state)
    case 'write':
    case 'put':
      return done(value)
    case 'delete':
      return done(null)
    case 'append':
      return done([...((state ?? []) as Value[]), value])
    case 'cas': {
      const [from, to] = value as [Value, Value]
      return state === from ? done(to) : done(state, null, true)
    }
    case 'incr': {
      if (state !== null && typeof state !== 'number') return undefined
      const sum = (state ?? 0) + (value as number)
      return done(sum, sum)
    }
  }
}

/** Always linearizable. */
export function recordHistory(seed: number, shape: HistoryShape): Operation[] {
  const chance = chanceOf(seed)
  const states = new Map<string, Value>()
  const operations: Operation[] = []
  type Open = Operation & { isApplied: boolean; isLost: boolean; isMismatch: boolean }
  const open: (Open | undefined)[] = Array.from({ length: shape.processes })
  const late: Open[] = []
  const apply = (one: Open): Open => {
    const { state, result, isMismatch } = applyTo(states.get(one.key) ?? null, one)!
    states.set(one.key, state)
    return { ...one, isApplied: true, result, isMismatch }
  }
  const end = ({ isApplied, isLost, isMismatch, ...one }: Open, now: number): void => {
    const isInfo = isLost || !isApplied
    const outcome = isInfo ? 'info' : isMismatch ? 'fail' : 'ok'
    operations.push({ ...one, outcome, result: isInfo ? null : one.result, return: now })
  }
  let started = 0
  for (let now = 0; operations.length < shape.operations; now++) {
    if (late.length > 0 && chance() < 0.1) apply(late.splice(below(chance, late.length), 1)[0]!)
    const process = below(chance, shape.processes)
    const one = open[process]
    if (one === undefined) {
      const base = { process, result: null, call: now, return: Infinity, outcome: 'ok' as const }
      const isLost = chance() < (shape.infoRate ?? 0)
      const call = drawCall(chance, shape, started++)
      open[process] = { ...base, ...call, isApplied: false, isLost, isMismatch: false }
    } else if (one.isLost) {
      if (chance() < 0.3) late.push(one)
      else if (chance() < 0.3) apply(one)
      end(one, now)
      open[process] = undefined
    } else if (!one.isApplied) {
      open[process] = apply(one)
      if (chance() < 0.3) {
        end(open[process], now)
        open[process] = undefined
      }
    } else {
      end(one, now)
      open[process] = undefined
    }
  }
  for (const one of open) if (one !== undefined) end({ ...one, isLost: true }, Infinity)
  return operations
}

/** Anything: times with ties, results at random. */
export function drawHistory(seed: number, shape: HistoryShape): Operation[] {
  const chance = chanceOf(seed)
  return Array.from({ length: shape.operations }, (_, i) => {
    const call = drawCall(chance, shape, i)
    const at = below(chance, shape.operations * 2)
    const isInfo = chance() < (shape.infoRate ?? 0)
    const isFailedCas = call.f === 'cas' && chance() < 0.5
    const outcome = isInfo ? 'info' : isFailedCas ? 'fail' : 'ok'
    return {
      ...{ process: i, ...call, call: at, outcome },
      result: isInfo ? null : drawResult(chance, shape, call.f),
      return: isInfo ? Infinity : at + below(chance, shape.operations),
    }
  })
}

function drawResult(chance: Chance, shape: HistoryShape, f: FunctionName): Value {
  if (f === 'incr') return chance() < 0.3 ? null : 1 + below(chance, shape.values * 2)
  if (f !== 'read' && f !== 'get') return null
  if (shape.model !== 'append') return chance() < 0.2 ? null : below(chance, shape.values)
  const limit = shape.isUnique === true ? shape.operations : shape.values
  return Array.from({ length: below(chance, 4) }, () => below(chance, limit))
}

/** One answer is replaced; undefined when nothing answered. */
export function mutateHistory(
  seed: number,
  shape: HistoryShape,
  operations: readonly Operation[],
): Operation[] | undefined {
  const chance = chanceOf(seed ^ 0x5bd1e995)
  const reads = operations.filter(
    ({ f, outcome }) => outcome === 'ok' && (f === 'read' || f === 'get'),
  )
  const read = reads[below(chance, reads.length)]
  if (read === undefined) return undefined
  const result = drawResult(chance, shape, read.f)
  return operations.map((one) => (one === read ? { ...one, result } : one))
}
