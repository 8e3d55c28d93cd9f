/**
 * The keys of the store in order: blocks of sorted keys, the blocks in order too. Keys are latin1
 * strings, one character a byte, so that the order of strings is the order of bytes.
 *
 * Invariants: no block is empty; every key of a block is below every key of the next one.
 * Cost: a new or removed key is two binary searches and a move within one block of at most
 * BLOCK_MAX keys; a put over a key that is there costs nothing. A walk costs what it visits.
 */

const BLOCK_MAX = 128

export interface KeyIndex {
  readonly blocks: string[][]
  /** The first key of each block: a search looks at these, and at one block. */
  readonly firsts: string[]
}

export const createKeyIndex = (): KeyIndex => ({ blocks: [], firsts: [] })

/** The last block that begins at or before `key`; 0 if none does. */
function blockOf({ firsts }: KeyIndex, key: string): number {
  let low = 0
  let high = firsts.length
  while (high - low > 1) {
    const middle = (low + high) >>> 1
    if (firsts[middle]! <= key) low = middle
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
  const { blocks, firsts } = index
  const at = blockOf(index, key)
  const block = blocks[at]
  if (block === undefined) {
    blocks.push([key])
    firsts.push(key)
    return
  }
  const place = placeIn(block, key)
  if (place === block.length) block.push(key)
  else block.splice(place, 0, key)
  if (place === 0) firsts[at] = key
  if (block.length > BLOCK_MAX) split(index, at, place)
}

/** Keys that come in order fill their blocks; others leave room on both sides. */
function split({ blocks, firsts }: KeyIndex, at: number, place: number): void {
  const isAtEnd = at === blocks.length - 1 && place === BLOCK_MAX
  const behind = blocks[at]!.splice(isAtEnd ? BLOCK_MAX : BLOCK_MAX >> 1)
  blocks.splice(at + 1, 0, behind)
  firsts.splice(at + 1, 0, behind[0]!)
}

/** A key that is in it. */
export function removeKey(index: KeyIndex, key: string): void {
  const { blocks, firsts } = index
  const at = blockOf(index, key)
  const block = blocks[at]!
  const place = placeIn(block, key)
  block.splice(place, 1)
  if (block.length === 0) {
    blocks.splice(at, 1)
    firsts.splice(at, 1)
  } else if (place === 0) firsts[at] = block[0]!
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
