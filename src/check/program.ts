/**
 * The history of one key in numbers: what the search runs on. Values are interned, effects are
 * codes with two arguments, and a state is a small integer.
 *
 * A register's state is the value it holds. A list's state is how many elements of the longest list
 * ever read it has; a list only grows, so until that read any other content is a dead end, and
 * after it the content does not matter (one state more, `beyond`).
 */

/** read a: state is a. not a: a failed cas, state is another. incrTo a, b: counts by a up to b. */
export const READ = 0
export const WRITE = 1
export const CAS = 2
export const NOT = 3
export const INCR = 4
export const INCR_TO = 5
export const APPEND = 6

/** No state: the operation cannot happen now. */
export const REFUSED = -1

/** Interned values that every register has. */
export const NIL = 0
/** Stands for all values that nobody ever looks for: nothing can tell them apart. */
export const OTHER = 1
/** Before a history that was cut on the left: may turn out to be any value, once. */
export const ANY = 2
export const VALUES_START = 3

export interface Effect {
  readonly code: number
  readonly a: number
  readonly b: number
}

/** Pending operations of one effect: interchangeable, so the first called is used first. */
export interface Optional extends Effect {
  /** When each was called, ascending. */
  readonly calls: Float64Array
}

export interface Program {
  /** Operations that must happen, ascending by call. */
  readonly count: number
  readonly call: Float64Array
  readonly return: Float64Array
  readonly code: Uint8Array
  readonly a: Int32Array
  readonly b: Int32Array
  /** Equal numbers, equal effects; below effectCount. */
  readonly effect: Int32Array
  readonly effectCount: number
  /** Operations that may happen: each at any time after its call, or never. */
  readonly optional: readonly Optional[]
  readonly initial: number
  /** Interned values; 0 where optional operations are not searched by wanted value. */
  readonly valueCount: number
  step(code: number, a: number, b: number, state: number): number
  /** A state that no operation leaves and no operation looks at. */
  readonly beyond: number
}

/** True of an operation that only looks: it may go first whenever it may go at all. */
export const isObserver = (code: number): boolean => code === READ || code === NOT

export function stepRegister(code: number, a: number, b: number, state: number): number {
  if (code === READ) return state === a || state === ANY ? a : REFUSED
  if (code === WRITE) return a
  if (code === CAS) return state === a || state === ANY ? b : REFUSED
  return state === a ? REFUSED : state
}
