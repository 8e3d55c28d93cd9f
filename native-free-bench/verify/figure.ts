/**
 * A promised figure and what was measured of it: values of single rounds, their spread, and whether
 * the median keeps the promise. Pure.
 */
import { spreadOf } from '../stats/statistics.ts'
import type { Spread } from '../types.ts'

export interface Promise {
  readonly name: string
  /** What is promised, in words. */
  readonly claim: string
  readonly sense: 'at least' | 'at most'
  readonly bound: number
  readonly unit: 'ratio' | 'perS' | 'us'
}

export interface Figure extends Promise {
  /** One a round, both sides of a ratio from the same round. */
  readonly values: readonly number[]
  readonly spread: Spread
  readonly isKept: boolean
  /** What a reader should know beside it. */
  readonly note: string
}

/** @param values at least one */
export function figureOf(promise: Promise, values: readonly number[], note = ''): Figure {
  const spread = spreadOf(values)
  const { sense, bound } = promise
  const isKept = sense === 'at least' ? spread.median >= bound : spread.median <= bound
  return { ...promise, values, spread, isKept, note }
}

/** Round by round; both lists have one value a round. */
export const ratiosOf = (mine: readonly number[], theirs: readonly number[]): number[] =>
  mine.map((value, round) => value / theirs[round]!)
