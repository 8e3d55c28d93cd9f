/**
 * The configurations that the search has visited, exactly: a hash only finds the bucket; every word
 * is compared, so two configurations are never confused.
 *
 * A configuration is a place, which must be equal, and spent bits: what it has used up. One is
 * covered by a visited one of the same place that had spent no more, for whatever could follow
 * could have followed there too. Where nothing can be spent this is plain equality.
 *
 *     arena   | next | hash | count | spent words | place words | next | hash | ...
 *     table   bucket -> first entry, as its offset in the arena + 1; 0 = none
 *
 * Bounded: once the arena would pass its bound nothing is added, and `visit` answers 'full'.
 */
import { assert } from '../base/assert.ts'

export interface Memo {
  arena: Int32Array
  usedWords: number
  table: Int32Array
  count: number
  readonly spentWords: number
  readonly wordsMax: number
}

const TABLE_START = 1 << 10
const ARENA_START_WORDS = 1 << 14
const HEAD_WORDS = 3

export function createMemo(spentWords: number, memoryBytesMax: number): Memo {
  // Half of the bytes: while the arena grows there are two, and the table is smaller than that.
  const wordsMax = Math.min(Math.floor(memoryBytesMax / 8), 2 ** 30)
  assert(wordsMax > 0, 'a memo has room')
  return {
    arena: new Int32Array(Math.min(ARENA_START_WORDS, wordsMax)),
    usedWords: 0,
    table: new Int32Array(TABLE_START),
    count: 0,
    spentWords,
    wordsMax,
  }
}

/**
 * @param key shape [count]: spent words first, then the place
 * @returns 'covered' by what was visited; else 'new', and from now on visited; or 'full'
 */
export function visit(memo: Memo, key: Int32Array, count: number): 'new' | 'covered' | 'full' {
  const hash = hashOf(key, memo.spentWords, count)
  const bucket = hash & (memo.table.length - 1)
  for (let at = memo.table[bucket]!; at !== 0; at = memo.arena[at - 1]!)
    if (covers(memo, at - 1, hash, key, count)) return 'covered'
  const sizeWords = HEAD_WORDS + count
  if (memo.usedWords + sizeWords > memo.wordsMax) return 'full'
  reserve(memo, sizeWords)
  const { arena, usedWords } = memo
  arena[usedWords] = memo.table[bucket]!
  arena[usedWords + 1] = hash
  arena[usedWords + 2] = count
  for (let i = 0; i < count; i++) arena[usedWords + HEAD_WORDS + i] = key[i]!
  memo.table[bucket] = usedWords + 1
  memo.usedWords += sizeWords
  if (++memo.count > memo.table.length) growTable(memo)
  return 'new'
}

function covers(
  { arena, spentWords }: Memo,
  entry: number,
  hash: number,
  key: Int32Array,
  count: number,
): boolean {
  if (arena[entry + 1] !== hash || arena[entry + 2] !== count) return false
  const at = entry + HEAD_WORDS
  for (let i = spentWords; i < count; i++) if (arena[at + i] !== key[i]) return false
  for (let i = 0; i < spentWords; i++) if ((arena[at + i]! & ~key[i]!) !== 0) return false
  return true
}

function reserve(memo: Memo, sizeWords: number): void {
  const wanted = memo.usedWords + sizeWords
  if (wanted <= memo.arena.length) return
  const grown = new Int32Array(Math.min(memo.wordsMax, Math.max(wanted, memo.arena.length * 2)))
  grown.set(memo.arena)
  memo.arena = grown
}

function growTable(memo: Memo): void {
  const { arena, table: old } = memo
  const table = new Int32Array(old.length * 2)
  for (const first of old) {
    for (let at = first; at !== 0;) {
      const next = arena[at - 1]!
      const bucket = arena[at]! & (table.length - 1)
      arena[at - 1] = table[bucket]!
      table[bucket] = at
      at = next
    }
  }
  memo.table = table
}

/** Multiply and mix, word by word; the last step spreads the high bits into the mask's. */
function hashOf(key: Int32Array, from: number, count: number): number {
  let hash = count
  for (let i = from; i < count; i++) {
    hash = Math.imul(hash ^ key[i]!, 0x9e3779b1)
    hash ^= hash >>> 15
  }
  hash = Math.imul(hash, 0x85ebca6b)
  return hash ^ (hash >>> 13)
}
