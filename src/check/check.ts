/**
 * Judges a history: splits it by key, searches each key for an order, and shrinks the first key
 * that has none to a window. Pure: the caller brings the clock, or a budget of steps instead, which
 * makes the verdict a function of the history alone.
 *
 * A history is linearizable exactly when each key's part is (Herlihy and Wing 1990, locality).
 */
import { assert } from '../base/assert.ts'
import { compile, type Initial } from './compile.ts'
import { type Model, type Operation, validate, type Verdict } from './operation.ts'
import { type Budget, search } from './search.ts'
import { brokenSegment } from './segments.ts'
import { shrink, type Window } from './shrink.ts'

export interface CheckOptions {
  /** Milliseconds by `now`, for search and window together. */
  readonly timeoutMs?: number
  readonly now?: () => number
  /** Configurations to expand at most, over all keys; the same again for the window. */
  readonly stepsMax?: number
  /** What the visited set of one key may take. */
  readonly memoryBytesMax?: number
  /** False: the verdict alone. */
  readonly wantsWindow?: boolean
}

export interface CheckResult {
  readonly verdict: Verdict
  /** The key without an order, or the first that was not decided; null when all is well. */
  readonly key: string | null
  /** Why not: operations of `key` that alone have no order. Null unless not-linearizable. */
  readonly window: Window | null
  /** Configurations expanded, the window's not counted. */
  readonly states: number
  readonly keys: number
  readonly operations: number
}

const MEMORY_BYTES_MAX = 2 ** 29
/** A first round gives every key this much, so that one hard key does not starve the others. */
const SHORT_STEPS = 50_000
const SEGMENT_STEPS = 20_000
const STEPS_PER_CLOCK = 256

interface Meter {
  left: number
  spent: number
  readonly isLate: () => boolean
  readonly memoryBytesMax: number
}

/**
 * @param options without timeoutMs and stepsMax the search runs until it knows, or memory is out
 * @throws ReplicaError E_HISTORY_INVALID when an operation makes no sense to the model
 */
export function checkHistory(
  model: Model,
  operations: readonly Operation[],
  options: CheckOptions = {},
): CheckResult {
  validate(model, operations)
  const parts = partition(operations)
  const meter = meterOf(options)
  const { broken, undecided } = judgeParts(model, parts, meter)
  const result = { states: meter.spent, keys: parts.size, operations: operations.length }
  if (broken !== undefined) {
    const { key, piece, initial, reached } = broken
    const windowMeter: Meter = { ...meter, left: options.stepsMax ?? Infinity, spent: 0 }
    const budget = (): Budget => budgetOf(windowMeter, Infinity)
    const isWanted = options.wantsWindow !== false
    const window = isWanted ? shrink(model, piece, initial, reached, budget) : null
    return { verdict: 'not-linearizable', key, window, ...result }
  }
  const verdict = undecided === undefined ? 'linearizable' : 'unknown'
  return { verdict, key: undecided ?? null, window: null, ...result }
}

interface Broken {
  readonly key: string
  readonly piece: readonly Operation[]
  readonly initial: Initial
  readonly reached: number
}

/** A short search of each key; then of each undecided one its pieces, and then the whole. */
function judgeParts(model: Model, parts: ReadonlyMap<string, Operation[]>, meter: Meter) {
  let undecided = [...parts.keys()]
  for (const round of ['short', 'pieces', 'whole'] as const) {
    const left: string[] = []
    for (const key of undecided) {
      const found = judgePart(model, key, parts.get(key)!, round, meter)
      if (found === 'unknown') left.push(key)
      else if (found !== 'linearizable') return { broken: found, undecided: undefined }
    }
    undecided = left
  }
  return { broken: undefined, undecided: undecided[0] }
}

function judgePart(
  model: Model,
  key: string,
  part: readonly Operation[],
  round: 'short' | 'pieces' | 'whole',
  meter: Meter,
): 'linearizable' | 'unknown' | Broken {
  if (round === 'pieces') {
    const segment = brokenSegment(model, part, () => budgetOf(meter, SEGMENT_STEPS))
    if (segment === undefined) return 'unknown'
    return { key, piece: segment.operations, initial: 'any', reached: segment.reached }
  }
  const stepsMax = round === 'short' ? SHORT_STEPS + 2 * part.length : Infinity
  const { verdict, reached } = search(compile(model, part), budgetOf(meter, stepsMax))
  return verdict === 'not-linearizable' ? { key, piece: part, initial: 'nil', reached } : verdict
}

function partition(operations: readonly Operation[]): Map<string, Operation[]> {
  const parts = new Map<string, Operation[]>()
  for (const operation of operations) {
    const part = parts.get(operation.key)
    if (part === undefined) parts.set(operation.key, [operation])
    else part.push(operation)
  }
  return parts
}

function meterOf({ timeoutMs, now, stepsMax, memoryBytesMax }: CheckOptions): Meter {
  assert((timeoutMs === undefined) === (now === undefined), 'a time-out has a clock')
  const deadline = now === undefined ? Infinity : now() + timeoutMs!
  return {
    left: stepsMax ?? Infinity,
    spent: 0,
    isLate: now === undefined ? () => false : () => now() >= deadline,
    memoryBytesMax: memoryBytesMax ?? MEMORY_BYTES_MAX,
  }
}

/** A share of the meter for one search. The clock is read at once, then every so many steps. */
function budgetOf(meter: Meter, stepsMax: number): Budget {
  let left = stepsMax
  let untilClock = 0
  return {
    memoryBytesMax: meter.memoryBytesMax,
    spend() {
      if (untilClock-- === 0) {
        if (meter.isLate()) return false
        untilClock = STEPS_PER_CLOCK
      }
      if (left-- <= 0 || meter.left <= 0) return false
      meter.left--
      meter.spent++
      return true
    },
  }
}
