/**
 * Operations that may happen or not: which of them the search may use next. Histories with many
 * time-outs are hopeless without these rules; each keeps every order that had a completion.
 *
 * - Of one effect the first called is used first: they are interchangeable and never return.
 *   So how many of each effect were used says which, and permutations are not searched.
 * - Registers: one is used only right before an operation that needs its value, or before another
 *   pending cas that needs it; in any other place it could be left out, or used later. So from what
 *   the candidates need, go backwards over what pending operations can bring about.
 * - Lists: one is used only for the next element of the longest list read.
 */
import { CAS, NOT, type Program, READ, REFUSED, WRITE } from './program.ts'
import type { Search } from './search.ts'

export interface Pending {
  /** How many of each effect have happened. */
  readonly used: Int32Array
  /** One bit an operation, effect by effect: the used ones are the first of each. */
  readonly bits: Int32Array
  /** Searched backwards from wanted values. */
  readonly isLazy: boolean
  /** By value: effects that bring it about. */
  readonly bringing: readonly (readonly number[])[]
  readonly wantedAt: Int32Array // generation that last wanted this value
  readonly wanted: number[]
  take(kind: number): void
  giveBack(kind: number): void
}

export function createPending({ optional, valueCount }: Program): Pending {
  const starts: number[] = []
  let count = 0
  for (const { calls } of optional) {
    starts.push(count)
    count += calls.length
  }
  const bringing: number[][] = Array.from({ length: valueCount }, () => [])
  if (valueCount > 0)
    optional.forEach(({ code, a, b }, kind) => bringing[code === CAS ? b : a]!.push(kind))
  const used = new Int32Array(optional.length)
  const bits = new Int32Array((count + 31) >> 5)
  return {
    used,
    bits,
    isLazy: valueCount > 0,
    bringing,
    wantedAt: new Int32Array(valueCount),
    wanted: [],
    take(kind) {
      const bit = starts[kind]! + used[kind]!++
      bits[bit >> 5]! |= 1 << (bit & 31)
    },
    giveBack(kind) {
      const bit = starts[kind]! + --used[kind]!
      bits[bit >> 5]! &= ~(1 << (bit & 31))
    },
  }
}

/** Pushes the pending operations to try; `soonest`: those called later come too late. */
export function pushOptional(search: Search, soonest: number): void {
  const { program, pending } = search
  if (program.optional.length === 0) return
  if (pending.isLazy) pushWanted(search, soonest)
  else pushAll(search, soonest)
}

const isAtHand = ({ program, pending }: Search, kind: number, soonest: number): boolean => {
  const { calls } = program.optional[kind]!
  const used = pending.used[kind]!
  return used < calls.length && calls[used]! <= soonest
}

function pushAll(search: Search, soonest: number): void {
  const { program, state, moves } = search
  program.optional.forEach(({ code, a, b }, kind) => {
    if (!isAtHand(search, kind, soonest)) return
    const after = program.step(code, a, b, state)
    const isUseless = after === REFUSED || after === state || after === program.beyond
    if (!isUseless) moves.push(-1 - kind)
  })
}

function pushWanted(search: Search, soonest: number): void {
  const { program, pending, state, candidates } = search
  const { wanted } = pending
  wanted.length = 0
  for (const i of candidates) {
    const code = program.code[i]!
    if (code !== READ && code !== CAS && code !== NOT) continue
    if (program.step(code, program.a[i]!, program.b[i]!, state) !== REFUSED) continue
    if (code === NOT) return pushChanges(search, soonest) // any other value will do
    want(search, program.a[i]!)
  }
  while (wanted.length > 0) {
    for (const kind of pending.bringing[wanted.pop()!]!) {
      if (!isAtHand(search, kind, soonest)) continue
      const { code, a } = program.optional[kind]!
      if (code === WRITE ? !search.isOwing : a === state) search.moves.push(-1 - kind)
      else if (code === CAS) want(search, a)
    }
  }
}

function want({ pending, generation }: Search, value: number): void {
  if (pending.wantedAt[value] === generation) return
  pending.wantedAt[value] = generation
  pending.wanted.push(value)
}

/** Everything that makes the state another one. */
function pushChanges(search: Search, soonest: number): void {
  const { program, state, moves, isOwing } = search
  program.optional.forEach(({ code, a }, kind) => {
    if (!isAtHand(search, kind, soonest)) return
    const changes = code === WRITE ? !isOwing && a !== state : code === CAS && a === state
    if (changes) moves.push(-1 - kind)
  })
}
