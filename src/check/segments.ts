/**
 * Looking for a violation in short pieces of a register's history, before the whole is searched to
 * the end: most are local, and a whole with many choices before them takes for ever to exhaust. A
 * piece without an order is a proof; pieces that have one prove nothing.
 */
import { compile } from './compile.ts'
import { canCutLeft, matters, prefixOf, suffixOf } from './cut.ts'
import type { Model, Operation } from './operation.ts'
import { type Budget, search } from './search.ts'

export interface Segment {
  readonly operations: readonly Operation[]
  readonly reached: number
}

const SIZES = [32, 128, 512]

/** A piece without an order, whatever came before it; undefined when none was found. */
export function brokenSegment(
  model: Model,
  part: readonly Operation[],
  budgetOf: () => Budget,
): Segment | undefined {
  if (!canCutLeft(model, part)) return undefined
  const relevant = part.filter(matters).sort((left, right) => left.call - right.call)
  const calls = relevant.filter(({ outcome }) => outcome !== 'info').map(({ call }) => call)
  for (const size of SIZES.filter((one) => one < calls.length)) {
    for (let at = 0; at < calls.length; at += size / 2) {
      const end = calls[at + size] ?? Infinity
      const operations = suffixOf(prefixOf(relevant, end), calls[at]!)
      const found = search(compile(model, operations, 'any'), budgetOf())
      if (found.verdict === 'not-linearizable') return { operations, reached: found.reached }
    }
  }
  return undefined
}
