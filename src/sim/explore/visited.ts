/**
 * The set of worlds that were met, by 64 bits of hash each: two different worlds are taken for one
 * with a chance of n^2 / 2^65, that is 1 in a million for 6 million worlds. Open addressing over
 * flat arrays. Grows only; one owner.
 */
export interface Visited {
  high: Uint32Array
  low: Uint32Array
  count: number
}

const CAPACITY = 2 ** 16

export const createVisited = (): Visited => ({
  high: new Uint32Array(CAPACITY),
  low: new Uint32Array(CAPACITY),
  count: 0,
})

/** @returns false when it was there */
export function visit(visited: Visited, high: number, low: number): boolean {
  if (visited.count * 2 >= visited.low.length) grow(visited)
  const wanted = low === 0 && high === 0 ? 1 : low // both 0: an empty place
  if (!put(visited, high, wanted)) return false
  visited.count += 1
  return true
}

function put({ high: highs, low: lows }: Visited, high: number, low: number): boolean {
  const mask = lows.length - 1
  let at = (low ^ (high >>> 7)) & mask
  while (lows[at] !== 0 || highs[at] !== 0) {
    if (lows[at] === low && highs[at] === high) return false
    at = (at + 1) & mask
  }
  highs[at] = high
  lows[at] = low
  return true
}

function grow(visited: Visited): void {
  const { high, low } = visited
  visited.high = new Uint32Array(2 * high.length)
  visited.low = new Uint32Array(2 * low.length)
  for (let i = 0; i < low.length; i++) {
    if (low[i] !== 0 || high[i] !== 0) put(visited, high[i]!, low[i]!)
  }
}
