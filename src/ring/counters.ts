/**
 * Small shared values that one thread writes and any thread reads: blocks of counters for
 * statistics, and a flag to halt by.
 *
 * A counter is a plain double: on x64 and arm64 an aligned 8-byte store is one store, but the
 * language allows it to tear. So counters are for statistics, and nothing is decided by them.
 */
import { assert } from '../base/assert.ts'

// ---- Counters --------------------------------------------------------------------------------

const LINE_SIZE_BYTES = 128 // two threads' blocks never share a pair of cache lines

/** A block has one writer; keep one a thread, so that writers do not share cache lines. */
export interface Counters<Name extends string> {
  readonly names: readonly Name[]
  readonly words: Float64Array
  /** Position of each name: `words[at.batches]`, to be taken once, outside the hot path. */
  readonly at: Readonly<Record<Name, number>>
}

export function counterMemory(names: readonly string[]): SharedArrayBuffer {
  assert(names.length > 0 && new Set(names).size === names.length, 'counters have distinct names')
  return new SharedArrayBuffer(blockSizeBytes(names))
}

export function openCounters<Name extends string>(
  names: readonly Name[],
  memory: SharedArrayBuffer,
): Counters<Name> {
  assert(
    memory.byteLength === blockSizeBytes(names),
    'a block is opened by the names it was made of',
  )
  const at = Object.fromEntries(names.map((name, i) => [name, i])) as Record<Name, number>
  return { names, words: new Float64Array(memory), at }
}

/** A block in fresh memory; its `words.buffer` goes to the other threads. */
export const counterBlock = <Name extends string>(names: readonly Name[]): Counters<Name> =>
  openCounters(names, counterMemory(names))

export const memoryOf = <Name extends string>({ words }: Counters<Name>): SharedArrayBuffer =>
  words.buffer as SharedArrayBuffer

export function add<Name extends string>(
  counters: Counters<Name>,
  name: NoInfer<Name>,
  amount: number,
): void {
  const i = counters.at[name]
  counters.words[i] = counters.words[i]! + amount
}

export function set<Name extends string>(
  counters: Counters<Name>,
  name: NoInfer<Name>,
  value: number,
): void {
  counters.words[counters.at[name]] = value
}

export function countersOf<Name extends string>(counters: Counters<Name>): Record<Name, number> {
  const { names, words } = counters
  return Object.fromEntries(names.map((name, i) => [name, words[i]!])) as Record<Name, number>
}

const blockSizeBytes = (names: readonly string[]): number =>
  Math.ceil((names.length * 8) / LINE_SIZE_BYTES) * LINE_SIZE_BYTES

// ---- Flag ------------------------------------------------------------------------------------

/** Raised once by anybody, seen by all: how threads are told to halt. Ring their bells after. */
export interface Flag {
  readonly words: Int32Array
}

export const flagMemory = (): SharedArrayBuffer => new SharedArrayBuffer(LINE_SIZE_BYTES)
export const openFlag = (memory: SharedArrayBuffer): Flag => ({ words: new Int32Array(memory) })
export const raise = ({ words }: Flag): void => void Atomics.store(words, 0, 1)
export const isRaised = ({ words }: Flag): boolean => Atomics.load(words, 0) === 1
