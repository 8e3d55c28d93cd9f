/**
 * Judges a history: splits it by key, searches each key for an order, and shrinks the first key
 * that has none to a window. Pure: the caller brings the clock, or a budget of steps instead, which
 * makes the verdict a function of the history alone.
 *
 * A history is linearizable exactly when each key's part is (Herlihy and Wing 1990, locality).
 */
import { assert } from '../base/assert.ts'
import { compile } from './compile.ts'
import { type Model, type Operation, validate, type Verdict } from './operation.ts'
import { type Budget, search } from './search.ts'
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
const FIRST_ROUND_STEPS = 50_000
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
  const verdicts = new Map<string, Verdict>()
  let reached = 0 // by the last search
  for (const stepsMax of [FIRST_ROUND_STEPS, Infinity]) {
    for (const [key, part] of parts) {
      if ((verdicts.get(key) ?? 'unknown') !== 'unknown') continue
      const found = search(compile(model, part), budgetOf(meter, stepsMax))
      verdicts.set(key, found.verdict)
      reached = found.reached
      if (verdicts.get(key) === 'not-linearizable') break
    }
    if ([...verdicts.values()].includes('not-linearizable')) break
  }
  const keyOf = (wanted: Verdict): string | undefined =>
    [...verdicts].find(([, verdict]) => verdict === wanted)?.[0]
  const broken = keyOf('not-linearizable')
  const undecided = keyOf('unknown')
  const wantsWindow = broken !== undefined && options.wantsWindow !== false
  const result = { states: meter.spent, keys: parts.size, operations: operations.length }
  const windowMeter: Meter = { ...meter, left: options.stepsMax ?? Infinity, spent: 0 }
  const budget = (): Budget => budgetOf(windowMeter, Infinity)
  const window = wantsWindow ? shrink(model, parts.get(broken)!, reached, budget) : null
  if (broken !== undefined) return { verdict: 'not-linearizable', key: broken, window, ...result }
  if (undecided !== undefined)
    return { verdict: 'unknown', key: undecided, window: null, ...result }
  return { verdict: 'linearizable', key: null, window: null, ...result }
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
