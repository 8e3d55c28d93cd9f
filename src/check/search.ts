/**
 * Is there an order? Depth-first over what may happen next, after Wing and Gong (1993), with the
 * visited set of Lowe (2017): a configuration, that is which operations have happened and the state
 * they left, is expanded once. Pure and deterministic; time-outs come in through the budget.
 *
 * Operations that have not happened stand in a linked list by call; taking one out and putting it
 * back are O(1). Those in front, called before any of the list returned, are the candidates.
 *
 * Branches are left out only where an exchange keeps every order that had a completion:
 * - A candidate that only looks, and sees what it needs, goes first, and nothing else is tried.
 * - Of candidates with one effect, only the one that returns first is tried.
 * - Pending operations: see `pushOptional`.
 */
import { createMemo, type Memo, visit } from './memo.ts'
import { createPending, type Pending, pushOptional } from './pending.ts'
import { CAS, isObserver, type Program, REFUSED } from './program.ts'
import type { Verdict } from './operation.ts'

export interface Budget {
  /** Counts one configuration; false when there is nothing left to spend. */
  spend(): boolean
  readonly memoryBytesMax: number
}

export interface Search {
  readonly program: Program
  readonly memo: Memo
  readonly pending: Pending
  /** Linked list over operations that have not happened; the last index is its end. */
  readonly next: Int32Array
  readonly previous: Int32Array
  /** Bit i: operation i has happened. */
  readonly happened: Int32Array
  highest: number // the last operation that has happened; -1 none
  state: number
  /** A pending operation has just happened: what comes next must need it. */
  isOwing: boolean
  /** Moves of all frames on the path, a frame's own at the end. An index, or -1 - an optional's. */
  readonly moves: number[]
  readonly frames: Frame[]
  readonly candidates: number[]
  readonly effectSeen: Int32Array // generation that last tried this effect
  generation: number
  /** The latest time by which some branch had placed all that had returned before it. */
  reached: number
  key: Int32Array
}

interface Frame {
  readonly state: number
  readonly isOwing: boolean
  readonly highest: number
  readonly start: number // of its moves
  at: number // the next move to try
}

export interface Found {
  readonly verdict: Verdict
  /** Not linearizable: the return that no branch got past, as a hint at the shortest prefix. */
  readonly reached: number
}

export function search(program: Program, budget: Budget): Found {
  const search = createSearch(program, budget.memoryBytesMax)
  const verdict = run(search, budget)
  return { verdict, reached: search.reached }
}

function run(search: Search, budget: Budget): Verdict {
  const { program } = search
  const { frames, moves, next } = search
  const end = program.count
  let problem = enter(search)
  while (problem === undefined) {
    if (next[end] === end) return 'linearizable'
    if (!budget.spend()) return 'unknown'
    let frame = frames[frames.length - 1]!
    while (frame.at === moves.length) {
      moves.length = frame.start
      frames.pop()
      if (frames.length === 0) return 'not-linearizable'
      frame = frames[frames.length - 1]!
      undo(search, frame, moves[frame.at - 1]!)
    }
    happen(search, moves[frame.at++]!)
    problem = enter(search)
  }
  return problem
}

function createSearch(program: Program, memoryBytesMax: number): Search {
  const { count } = program
  const words = (count + 31) >> 5
  const pending = createPending(program)
  return {
    program,
    memo: createMemo(pending.bits.length + 1, memoryBytesMax),
    reached: -Infinity,
    pending,
    next: Int32Array.from({ length: count + 1 }, (_, i) => (i === count ? 0 : i + 1)),
    previous: Int32Array.from({ length: count + 1 }, (_, i) => (i === 0 ? count : i - 1)),
    happened: new Int32Array(words),
    highest: -1,
    state: program.initial,
    isOwing: false,
    moves: [],
    frames: [],
    candidates: [],
    effectSeen: new Int32Array(program.effectCount),
    generation: 0,
    key: new Int32Array(3 + pending.bits.length + words),
  }
}

/** Opens a frame with the moves of this configuration; none when it was seen before. */
function enter(search: Search): 'unknown' | undefined {
  const { state, isOwing, highest, moves, frames } = search
  frames.push({ state, isOwing, highest, start: moves.length, at: moves.length })
  const soonest = collect(search)
  if (soonest === undefined) return undefined // one move, which loses nothing
  if (soonest > search.reached) search.reached = soonest
  const found = visit(search.memo, search.key, writeKey(search))
  if (found === 'full') return 'unknown'
  if (found === 'new') pushMoves(search, soonest)
  return undefined
}

/**
 * Fills `candidates`, soonest return first, and returns the soonest return of the whole list; or
 * pushes one move that is as good as any, and returns undefined.
 */
function collect(search: Search): number | undefined {
  const { program, next, candidates, state } = search
  const { count, call, code, a, b, return: returned } = program
  candidates.length = 0
  let soonest = Infinity
  for (let i = next[count]!; i !== count && call[i]! <= soonest; i = next[i]!) {
    const after = program.step(code[i]!, a[i]!, b[i]!, state)
    if (after === state && (isObserver(code[i]!) || state === program.beyond)) {
      search.moves.push(i)
      return undefined
    }
    if (returned[i]! < soonest) soonest = returned[i]!
    let at = candidates.length
    for (; at > 0 && returned[candidates[at - 1]!]! > returned[i]!; at--)
      candidates[at] = candidates[at - 1]!
    candidates[at] = i
  }
  return soonest
}

function pushMoves(search: Search, soonest: number): void {
  const { program, candidates, state, moves, effectSeen, isOwing } = search
  const { code, a, b, effect } = program
  search.generation++
  for (const i of candidates) {
    const after = program.step(code[i]!, a[i]!, b[i]!, state)
    // What was not needed by the next operation need not have happened: skip blind ones.
    if (after === REFUSED || (isOwing && !looks(code[i]!))) continue
    if (effectSeen[effect[i]!] === search.generation) continue
    effectSeen[effect[i]!] = search.generation
    moves.push(i)
  }
  pushOptional(search, soonest) // tried last
}

const looks = (code: number): boolean => isObserver(code) || code === CAS

function happen(search: Search, move: number): void {
  const { program, next, previous, happened, pending } = search
  if (move < 0) {
    const kind = program.optional[-1 - move]!
    search.state = program.step(kind.code, kind.a, kind.b, search.state)
    search.isOwing = pending.isLazy
    pending.take(-1 - move)
    return
  }
  search.state = program.step(program.code[move]!, program.a[move]!, program.b[move]!, search.state)
  search.isOwing = false
  next[previous[move]!] = next[move]!
  previous[next[move]!] = previous[move]!
  happened[move >> 5]! |= 1 << (move & 31)
  if (move > search.highest) search.highest = move
}

function undo(search: Search, frame: Frame, move: number): void {
  const { next, previous, happened, pending } = search
  search.state = frame.state
  search.isOwing = frame.isOwing
  search.highest = frame.highest
  if (move < 0) return pending.giveBack(-1 - move)
  next[previous[move]!] = move
  previous[next[move]!] = move
  happened[move >> 5]! &= ~(1 << (move & 31))
}

/**
 * The configuration as words. Spent: the debt (one who owes can do less) and the pending bits. The
 * place: state, first word of `happened` that is not full, the words from there to the last that is
 * not empty.
 */
function writeKey(search: Search): number {
  const { key, program, pending, happened, next, highest } = search
  const firstWord = next[program.count]! >> 5
  let count = 0
  key[count++] = search.isOwing ? 1 : 0
  for (const word of pending.bits) key[count++] = word
  key[count++] = search.state
  key[count++] = firstWord
  for (let word = firstWord; word <= highest >> 5; word++) key[count++] = happened[word]!
  return count
}
