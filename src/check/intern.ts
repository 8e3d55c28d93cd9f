/**
 * Values to small integers and back. Equal JSON is the same integer, whatever the order of names in
 * an object. nil is always NIL. Lives as long as one program.
 */
import type { Value } from './operation.ts'
import { NIL } from './program.ts'

export interface Interned {
  /** The integer of a value, a new one when it has none; integers count up from `start`. */
  idOf(value: Value, start: number): number
  find(value: Value): number | undefined
  valueOf(id: number, start: number): Value
  count(): number
}

export function internOf(): Interned {
  const ids = new Map<number | string | boolean, number>()
  const values: Value[] = []
  const find = (value: Value): number | undefined => (value === null ? NIL : ids.get(nameOf(value)))
  return {
    find,
    idOf(value, start) {
      const known = find(value)
      if (known !== undefined || value === null) return known ?? NIL
      const id = start + values.length
      ids.set(nameOf(value), id)
      values.push(value)
      return id
    },
    valueOf: (id, start) => (id < start ? null : values[id - start]!),
    count: () => values.length,
  }
}

/** Numbers and booleans name themselves; texts and structures get names that cannot collide. */
function nameOf(value: Exclude<Value, null>): number | string | boolean {
  if (typeof value === 'string') return `"${value}`
  return typeof value === 'object' ? canonical(value) : value
}

/** JSON with names in order: equal values, equal texts. */
export function canonical(value: Value): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (isArray(value)) return `[${value.map(canonical).join(',')}]`
  const fields = Object.keys(value).sort()
  return `{${fields.map((name) => `${JSON.stringify(name)}:${canonical(value[name]!)}`).join(',')}}`
}

/** Array.isArray forgets readonly. */
const isArray = (value: object): value is readonly Value[] => Array.isArray(value)
