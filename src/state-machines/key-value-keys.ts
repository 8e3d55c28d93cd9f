/**
 * The keys of the store in order: blocks of sorted keys, the blocks in order too. Keys are latin1
 * strings, one character a byte, so that the order of strings is the order of bytes.
 *
 * Invariants: no block is empty; every key of a block is below every key of the next one.
 * Cost: a new or removed key is two binary searches and a move within one block of at most
 * BLOCK_MAX keys; a put over a key that is there costs nothing. A walk costs what it visits.
 */

const BLOCK_MAX = 512

export interface KeyIndex {
  readonly blocks: string[][]
}

export const createKeyIndex = (): KeyIndex => ({ blocks: [] })

/** The last block that begins at or before `key`; 0 if none does. */
function blockOf({ blocks }: KeyIndex, key: string): number {
  let low = 0
  let high = blocks.length
  while (high - low > 1) {
    const middle = (low + high) >>> 1
    if (blocks[middle]![0]! <= key) low = middle
    else high = middle
  }
  return low
}

/** Of the first key that is not below `key`. */
function placeIn(block: readonly string[], key: string): number {
  let low = 0
  let high = block.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (block[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}

/** A key that is not in it. */
export function insertKey(index: KeyIndex, key: string): void {
  const { blocks } = index
  const at = blockOf(index, key)
  const block = blocks[at]
  if (block === undefined) return void blocks.push([key])
  if (block[block.length - 1]! < key) block.push(key)
  else block.splice(placeIn(block, key), 0, key)
  if (block.length <= BLOCK_MAX) return
  // Keys that come in order fill their blocks; others leave room on both sides.
  const isAtEnd = at === blocks.length - 1 && block[block.length - 1] === key
  blocks.splice(at + 1, 0, block.splice(isAtEnd ? BLOCK_MAX : BLOCK_MAX >> 1))
}

/** A key that is in it. */
export function removeKey(index: KeyIndex, key: string): void {
  const at = blockOf(index, key)
  const block = index.blocks[at]!
  block.splice(placeIn(block, key), 1)
  if (block.length === 0) index.blocks.splice(at, 1)
}

/** Visits keys from `from` up to `to` (not in it; null: the end) until a visit is false. */
export function walkKeys(
  index: KeyIndex,
  from: string,
  to: string | null,
  visit: (key: string) => boolean,
): void {
  const { blocks } = index
  for (let at = blockOf(index, from); at < blocks.length; at++) {
    const block = blocks[at]!
    for (let i = placeIn(block, from); i < block.length; i++) {
      const key = block[i]!
      if ((to !== null && key >= to) || !visit(key)) return
    }
  }
}
