/**
 * From a history of one key without an order to a few operations that show why. Each step is one
 * that cannot itself spoil an order: if the larger history had one, the smaller would have one too.
 * So a window without an order is a proof for the whole history. Steps that may spoil one, such as
 * leaving out the write of a value that is still read, are never tried.
 *
 * 1. The shortest prefix, by return: what has not returned by then is pending.
 * 2. Registers: the latest start. What returned before is left out, what was open then may have
 *    happened or not, and the first value may be any.
 * 3. Whole values, then single operations, in halves, quarters and so on down to ones, while the
 *    rest still has no order.
 *
 * Where the budget ends before step 3 the window is sound, and larger than it need be.
 */
import { compile, type Initial } from './compile.ts'
import { canCutLeft, matters, prefixOf, suffixOf } from './cut.ts'
import type { Model, Operation } from './operation.ts'
import { type Budget, search } from './search.ts'
import { reductionsOf } from './reduce.ts'

export interface Window {
  /** By call; those cut off by the end of the prefix are pending (`info`, return Infinity). */
  readonly operations: readonly Operation[]
  /** The value before the first call: nil, or whatever it may have been. */
  readonly initial: Initial
  /** False when the budget ended first. */
  readonly isMinimal: boolean
}

export interface Judge {
  /** False once the budget is spent: then nothing more is tried. */
  isBroken(operations: readonly Operation[], initial: Initial): boolean
  isOver(): boolean
}

/**
 * @param part of one key, and without an order from `initial`
 * @param reached where the search of it got stuck
 */
export function shrink(
  model: Model,
  part: readonly Operation[],
  initial: Initial,
  reached: number,
  budgetOf: () => Budget,
): Window {
  const judge = judgeOf(model, budgetOf)
  const relevant = part.filter(matters).sort((left, right) => left.call - right.call)
  const prefix = shortestPrefix(relevant, initial, reached, judge)
  const cut = latestStart(model, prefix, initial, judge)
  let { operations } = cut
  for (const reduce of reductionsOf(model))
    operations = reduce(operations, {
      isBroken: (rest) => judge.isBroken(rest, cut.initial),
      isOver: () => judge.isOver(),
    })
  return { operations, initial: cut.initial, isMinimal: !judge.isOver() }
}

function judgeOf(model: Model, budgetOf: () => Budget): Judge {
  let isOver = false
  return {
    isBroken(operations, initial) {
      if (isOver) return false
      const found = search(compile(model, operations, initial), budgetOf())
      isOver = found.verdict === 'unknown'
      return found.verdict === 'not-linearizable'
    },
    isOver: () => isOver,
  }
}

/** The search got stuck at a return: the prefix that ends there is the first to be tried. */
function shortestPrefix(
  operations: readonly Operation[],
  initial: Initial,
  reached: number,
  judge: Judge,
): readonly Operation[] {
  const returns = operations
    .filter(({ outcome }) => outcome !== 'info')
    .map((operation) => operation.return)
    .sort((left, right) => left - right)
  const isBroken = (i: number): boolean =>
    judge.isBroken(prefixOf(operations, returns[i]!), initial)
  const stuck = Math.max(returns.indexOf(reached), 0)
  const found = firstFrom(stuck, returns.length - 1, isBroken)
  return judge.isOver() ? operations : prefixOf(operations, returns[found]!)
}

function latestStart(
  model: Model,
  operations: readonly Operation[],
  initial: Initial,
  judge: Judge,
): { operations: readonly Operation[]; initial: Initial } {
  const whole = { operations, initial }
  if (!canCutLeft(model, operations)) return whole
  const starts = operations.map(({ call }) => call)
  const isBroken = (back: number): boolean =>
    back > 0 && judge.isBroken(suffixOf(operations, starts[starts.length - back]!), 'any')
  // Counted from the end, where it most often shows: how far back the latest such start is.
  const back = firstFrom(1, starts.length + 1, (i) => i > starts.length || isBroken(i))
  if (back > starts.length || judge.isOver()) return whole
  return { operations: suffixOf(operations, starts[starts.length - back]!), initial: 'any' }
}

/**
 * The least index at which it is true, given that it stays true from there on, and is at `last`.
 * Looks around `guess` first, in steps that double, so that a good guess costs two looks.
 */
function firstFrom(guess: number, last: number, isTrue: (i: number) => boolean): number {
  let low = 0 // everything below is false
  let high = last // true
  let at = guess
  for (let step = 1; low < high; step *= 2) {
    if (at >= high) at = (low + high) >> 1
    if (isTrue(at)) {
      high = at
      at = Math.max(low, at - step)
    } else {
      low = at + 1
      at = low + step - 1
    }
  }
  return low
}
