/**
 * Small shared values that one thread writes and any thread reads: blocks of counters for
 * statistics, a watermark for an index, and a flag to halt by.
 *
 * A counter is a plain double: on x64 and arm64 an aligned 8-byte store is one store, but the
 * language allows it to tear. So statistics use counters, and what is decided by uses a watermark.
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

// ---- Watermark -------------------------------------------------------------------------------

/**
 * An index below 2^53 that only grows: one writer, any readers, never torn.
 *
 *     bytes 0         4         8         12        16        20
 *           +---------+---------+---------+---------+---------+
 *           | version | high 0  | low 0   | high 1  | low 1   |   i32 each
 *           +---------+---------+---------+---------+---------+
 *
 * Version v lies in half v & 1. The writer fills the other half and then stores the version, so
 * that a writer that is preempted in the middle delays nobody. A reader loads the version, the
 * half, and the version again: a half is overwritten only after the version has moved on.
 */
export interface Watermark {
  readonly words: Int32Array
  version: number // of `value`
  value: number // last written or last read by this handle
}

const VERSION = 0
const RETRIES_MAX = 1_000

export const watermarkMemory = (): SharedArrayBuffer => new SharedArrayBuffer(LINE_SIZE_BYTES)

export const openWatermark = (memory: SharedArrayBuffer): Watermark => {
  const watermark = { words: new Int32Array(memory), version: 0, value: 0 }
  readWatermark(watermark)
  return watermark
}

export function raiseWatermark(watermark: Watermark, value: number): void {
  assert(Number.isSafeInteger(value) && value >= watermark.value, 'a watermark only grows')
  if (value === watermark.value) return
  const { words } = watermark
  const version = (watermark.version + 1) | 0
  const half = (version & 1) * 2
  Atomics.store(words, half + 1, Math.floor(value / 2 ** 32))
  Atomics.store(words, half + 2, value | 0)
  Atomics.store(words, VERSION, version)
  watermark.version = version
  watermark.value = value
}

/**
 * The newest value, or a recent one: a read repeats only when the writer has moved on meanwhile,
 * and at the bound it answers what it read last, which is old but true.
 */
export function readWatermark(watermark: Watermark): number {
  const { words } = watermark
  for (let i = 0; i < RETRIES_MAX; i++) {
    const version = Atomics.load(words, VERSION)
    if (version === watermark.version) break
    const half = (version & 1) * 2
    const high = Atomics.load(words, half + 1)
    const low = Atomics.load(words, half + 2)
    if (Atomics.load(words, VERSION) !== version) continue
    watermark.version = version
    watermark.value = high * 2 ** 32 + (low >>> 0)
    break
  }
  return watermark.value
}

// ---- Flag ------------------------------------------------------------------------------------

/** Raised once by anybody, seen by all: how threads are told to halt. Ring their bells after. */
export interface Flag {
  readonly words: Int32Array
}

export const flagMemory = (): SharedArrayBuffer => new SharedArrayBuffer(LINE_SIZE_BYTES)
export const openFlag = (memory: SharedArrayBuffer): Flag => ({ words: new Int32Array(memory) })
export const raise = ({ words }: Flag): void => void Atomics.store(words, 0, 1)
export const isRaised = ({ words }: Flag): boolean => Atomics.load(words, 0) === 1
