/**
 * The payloads of a load on the key-value store: puts (src/state-machines/key-value.ts), written
 * over what the load generator filled in. Pure; any thread.
 */
const PUT = 1
const KEY_SIZE_BYTES = 4
/** So many keys in turn: the store has its size early in the warm-up. */
const KEYS = 2 ** 14
/** Kind, size of the key, key, and a byte of value, in whole words. */
export const PUT_SIZE_MIN_BYTES = 8

/** Entries of one size, one behind the other. */
export interface EntryRun {
  /** Word of the first entry's length. */
  readonly from: number
  readonly count: number
  /** In bytes. */
  readonly payload: number
  /** Of the entry before the first. */
  readonly sequence: number
}

/** Over what `fillEntries` wrote: puts of KEYS keys in turn. */
export function fillPuts(words: Int32Array, { from, count, payload, sequence }: EntryRun): void {
  const step = 1 + ((payload + 3) >> 2)
  for (let i = 1; i <= count; i++) putHead(words, from + 1 + (i - 1) * step, sequence + i)
}

/** Kind, size of the key and the key: the first seven bytes of a put (src/state-machines). */
export function putHead(words: Int32Array, at: number, sequence: number): void {
  const key = sequence % KEYS
  words[at] = PUT | (KEY_SIZE_BYTES << 8) | ((key & 0xff) << 24)
  words[at + 1] = (key >>> 8) & 0xffffff
}
