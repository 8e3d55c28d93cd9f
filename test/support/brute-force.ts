/**
 * Every order of a history of one key, tried one by one: slow, and too simple to be wrong in the
 * ways of the checker. For at most eight operations or so.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Operation, Value } from '../../src/check/operation.ts'
import { applyTo } from './random-history.ts'

export function hasOrder(operations: readonly Operation[], initial: Value = null): boolean {
  const wanted = operations.filter(
    ({ f, outcome }) => outcome !== 'fail' || f === 'cas', // a failed one did not happen
  )
  return canFinish(wanted, initial)
}

/** Whatever the state was at first: any value named anywhere, or one that is named nowhere. */
export function hasOrderFromAny(operations: readonly Operation[]): boolean {
  const named = operations.flatMap(({ value, result }) => [value, result, ...[value].flat()])
  return [...named, null, 'named nowhere'].some((initial) => hasOrder(operations, initial))
}

function canFinish(left: readonly Operation[], state: Value): boolean {
  if (left.every(({ outcome }) => outcome === 'info')) return true
  return left.some((one) => {
    const rest = left.filter((other) => other !== one)
    const isFirst = rest.every((other) => other.outcome === 'info' || other.return >= one.call)
    if (!isFirst) return false
    const after = applyTo(state, one)
    if (after === undefined || !agrees(one, after)) return false
    return canFinish(rest, after.state)
  })
}

function agrees(
  { f, outcome, result }: Operation,
  after: { result: Value; isMismatch: boolean },
): boolean {
  if (outcome === 'info') return true // a pending mismatch changes nothing
  if (f === 'cas') return after.isMismatch === (outcome === 'fail')
  if (f === 'incr') return result === null || result === after.result
  return isDeepStrictEqual(after.result ?? [], result ?? []) || after.result === result
}
