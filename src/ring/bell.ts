/**
 * The wake-up of one thread (an eventcount). Many producers ring, one thread waits.
 *
 *     bytes 0                         128                         256
 *           +---------------------------+---------------------------+
 *           | count i32 | sleeping i32  | parks f64 | wakes f64     |
 *           +---------------------------+---------------------------+
 *            producers   the waiter      the waiter; anybody reads
 *
 *     producer                        waiter
 *     P1 publish (atomic store)       W1 sleeping = 1
 *     P2 count += 1                   W2 seen = count
 *     P3 if sleeping: notify          W3 poll everything once more
 *                                     W4 wait while count === seen
 *                                     W5 sleeping = 0
 *
 * Why no wake is lost. All of these are atomic operations, and those have one total order.
 * - P3 read 0: then P3, hence P1, came before W1 (or after W5, when the waiter is up and will come
 *   by W1 again). So the poll at W3 finds what P1 published.
 * - P3 read 1 and P2 came before W2: so did P1, and W3 finds it.
 * - P3 read 1 and P2 came after W2: count differs from seen. Either W4 sees that and does not
 *   sleep, or the waiter was already queued when P2 came, and then the notify finds it.
 * Drop W3, and the first case sleeps on work; take `seen` after W3, and the second does.
 *
 * Only the waiter clears `sleeping`. It is tempting to let the first producer exchange it for 0 and
 * spare others the notify. Wrong: a producer late at P3, whose work was taken long ago, would clear
 * the flag of the next sleep, and the one after it would not notify.
 *
 * Every sleep ends after a while all the same (wait.ts), so that a bug here is a hiccup, not a
 * halt. `count` wraps: a wake is lost if exactly 2^32 rings fall between W2 and W4.
 */
import { assert } from '../base/assert.ts'

const COUNT = 0 // in i32 words
const SLEEPING = 1
const PARKS = 16 // in f64 words
const WAKES = 17
const BELL_SIZE_BYTES = 256

export interface Bell {
  readonly words: Int32Array
  readonly statistics: Float64Array
}

export interface BellStatistics {
  /** How often the thread went to sleep, and how many sleeps a ring ended (the rest timed out). */
  readonly parks: number
  readonly wakes: number
}

export const bellMemory = (): SharedArrayBuffer => new SharedArrayBuffer(BELL_SIZE_BYTES)

export function openBell(memory: SharedArrayBuffer): Bell {
  assert(memory.byteLength === BELL_SIZE_BYTES, 'a bell is made by bellMemory')
  return { words: new Int32Array(memory), statistics: new Float64Array(memory) }
}

/** Called after publishing. Two atomic operations; wakes only a thread that sleeps. */
export function ring({ words }: Bell): void {
  Atomics.add(words, COUNT, 1)
  if (Atomics.load(words, SLEEPING) !== 0) Atomics.notify(words, COUNT)
}

/** The waiter announces its sleep. It must poll once more before it waits, or cancel. */
export function prepareWait({ words }: Bell): number {
  Atomics.store(words, SLEEPING, 1)
  return Atomics.load(words, COUNT)
}

/** The poll found work: no sleep this time. */
export function cancelWait({ words }: Bell): void {
  Atomics.store(words, SLEEPING, 0)
}

/** Sleeps until somebody rings after `seen`, or the timeout. For blocking threads. */
export function wait(bell: Bell, seen: number, timeoutMs: number): void {
  countPark(bell)
  const outcome = Atomics.wait(bell.words, COUNT, seen, timeoutMs)
  endWait(bell, outcome !== 'timed-out')
}

/**
 * The same for a thread that owns an event loop, which goes on meanwhile; without a timeout, which
 * would cost a timer of the engine and a turn of the loop each time. Does not keep the loop alive,
 * counts nothing and leaves `sleeping` as it is: one waiter may serve many sleeps.
 */
export async function waitAsync({ words }: Bell, seen: number): Promise<void> {
  const waiting = Atomics.waitAsync(words, COUNT, seen)
  if (waiting.async) await waiting.value
}

/** True when somebody rang after `seen`. */
export const rangSince = ({ words }: Bell, seen: number): boolean =>
  Atomics.load(words, COUNT) !== seen

export const bellStatisticsOf = ({ statistics }: Bell): BellStatistics => ({
  parks: statistics[PARKS]!,
  wakes: statistics[WAKES]!,
})

export function countPark({ statistics }: Bell): void {
  statistics[PARKS] = statistics[PARKS]! + 1
}

/** `isWake`: by a ring, and not by a timeout. */
export function endWait(bell: Bell, isWake: boolean): void {
  cancelWait(bell)
  if (isWake) bell.statistics[WAKES] = bell.statistics[WAKES]! + 1
}
