/**
 * Leaving out operations of a history without an order, as far as that cannot spoil an order:
 *
 * - What only looks (reads, failed cas) can always go.
 * - What writes a value can go when nothing that stays looks for that value: in any order, what
 *   stays and looks still finds its own value written last. A failed cas looks for every other
 *   value. Counters keep what writes, since sums look at all of it.
 * - In lists a value can go altogether, its appends and its place in every list read.
 */
import { canonical } from './intern.ts'
import { isRead, listReadBy, observedBy } from './compile.ts'
import type { Model, Operation, Value } from './operation.ts'

export interface Trial {
  isBroken(operations: readonly Operation[]): boolean
  /** The budget is spent: stop trying. */
  isOver(): boolean
}
export type Reduction = (operations: readonly Operation[], trial: Trial) => Operation[]

/** To be applied one after the other. */
export const reductionsOf = (model: Model): readonly Reduction[] =>
  model === 'append'
    ? [withoutElements, withoutSingles(canGoFromList)]
    : [withoutValues, withoutSingles(canGoFromRegister), withoutSpares]

/**
 * Tries to leave out units in chunks: half of them, a quarter, down to single ones, and again as
 * long as single ones go. `tryWithout` answers whether the chunk went.
 */
function inChunks<Unit>(
  units: readonly Unit[],
  trial: Trial,
  tryWithout: (chunk: Set<Unit>) => boolean,
): void {
  let rest = [...units]
  let size = Math.ceil(rest.length / 2)
  while (size > 0 && !trial.isOver()) {
    const before = rest.length
    for (let at = rest.length; at > 0 && !trial.isOver(); at -= size) {
      const chunk = new Set(rest.slice(Math.max(0, at - size), at))
      if (chunk.size > 0 && tryWithout(chunk)) rest = rest.filter((unit) => !chunk.has(unit))
    }
    if (size > 1) size = Math.ceil(size / 2)
    else if (rest.length === before) size = 0
  }
}

type CanGo = (gone: readonly Operation[], stay: readonly Operation[]) => boolean

function withoutSingles(canGo: CanGo): Reduction {
  return (operations, trial) => {
    let stay = [...operations]
    inChunks(operations, trial, (chunk) => {
      const rest = stay.filter((operation) => !chunk.has(operation))
      if (!canGo([...chunk], rest) || !trial.isBroken(rest)) return false
      stay = rest
      return true
    })
    return stay
  }
}

// ---- Registers -------------------------------------------------------------------------------

/** Everything that reads or writes one of the values goes at once. */
function withoutValues(operations: readonly Operation[], trial: Trial): Operation[] {
  let stay = [...operations]
  const touched = new Map(operations.map((operation) => [operation, touchedBy(operation)]))
  inChunks([...new Set([...touched.values()].flat())], trial, (chunk) => {
    const goes = (operation: Operation): boolean =>
      touched.get(operation)!.some((value) => chunk.has(value))
    const rest = stay.filter((operation) => !goes(operation))
    if (!canGoFromRegister(stay.filter(goes), rest) || !trial.isBroken(rest)) return false
    stay = rest
    return true
  })
  return stay
}

const touchedBy = (operation: Operation): string[] =>
  [...observedBy(operation), ...writtenBy(operation)].map(canonical)

function writtenBy({ f, value, outcome }: Operation): Value[] {
  if (isRead(f) || f === 'incr' || outcome === 'fail') return []
  if (f === 'delete') return [null]
  return [f === 'cas' ? (value as readonly Value[])[1]! : value]
}

const canGoFromRegister: CanGo = (gone, stay) => {
  const written = new Set(gone.flatMap(writtenBy).map(canonical))
  if (gone.some(({ f }) => f === 'incr')) return false
  if (written.size === 0) return true
  return stay.every((operation) => {
    if (operation.f === 'incr') return false
    const observed = observedBy(operation).map(canonical)
    if (operation.outcome !== 'fail') return !observed.some((value) => written.has(value))
    return [...written].every((value) => value === observed[0])
  })
}

/**
 * Of equal pending operations only as many as could be of use: each operation that ended needs at
 * most one of them right before it (pending.ts), and the first called do as well as any.
 */
function withoutSpares(operations: readonly Operation[], trial: Trial): Operation[] {
  if (operations.some(({ f }) => f === 'incr')) return [...operations]
  const ended = operations.filter(({ outcome }) => outcome !== 'info').length
  const counts = new Map<string, number>()
  const rest = operations.filter(({ f, value, outcome }) => {
    if (outcome !== 'info') return true
    const name = canonical([f, value])
    counts.set(name, (counts.get(name) ?? 0) + 1)
    return counts.get(name)! <= ended
  })
  return trial.isBroken(rest) ? rest : [...operations]
}

// ---- Lists -----------------------------------------------------------------------------------

function withoutElements(operations: readonly Operation[], trial: Trial): Operation[] {
  let stay = [...operations]
  const appended = stay.filter(({ f }) => f === 'append').map(({ value }) => canonical(value))
  inChunks([...new Set(appended)], trial, (chunk) => {
    const rest = stay
      .filter(({ f, value }) => f !== 'append' || !chunk.has(canonical(value)))
      .map((operation) => strip(operation, chunk))
    if (!trial.isBroken(rest)) return false
    stay = rest
    return true
  })
  return stay
}

function strip(operation: Operation, gone: ReadonlySet<string>): Operation {
  const list = listReadBy(operation)
  if (list === undefined || !list.some((value) => gone.has(canonical(value)))) return operation
  return { ...operation, result: list.filter((value) => !gone.has(canonical(value))) }
}

const canGoFromList: CanGo = (gone, stay) => {
  const appended = new Set(
    gone.filter(({ f }) => f === 'append').map(({ value }) => canonical(value)),
  )
  if (appended.size === 0) return true
  const isSeen = (operation: Operation): boolean =>
    (listReadBy(operation) ?? []).some((value) => appended.has(canonical(value)))
  return !stay.some(isSeen)
}
