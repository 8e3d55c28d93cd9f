/**
 * Patterns of SCAN, matched byte by byte: `*`, `?`, `[abc]`, `[^a-z]` and `\` before a byte that is
 * meant as it is. Goes back to the last `*` alone, so it costs at most pattern x text steps.
 */

const [STAR, ANY, OPEN, CLOSE, ESCAPE, NOT, DASH] = [...'*?[]\\^-'].map((c) => c.charCodeAt(0)) as [
  ...[number, number, number, number, number, number, number],
]

export function matchesGlob(pattern: Uint8Array, text: Uint8Array): boolean {
  let [p, t] = [0, 0]
  /** Of the last `*`: behind it, and the text that it may still take. */
  let [starAt, starText] = [-1, 0]
  while (t < text.length) {
    if (pattern[p] === STAR) {
      starAt = ++p
      starText = t
      continue
    }
    const next = p < pattern.length ? matchOne(pattern, p, text[t]!) : -1
    if (next > 0) {
      p = next
      t += 1
    } else if (starAt >= 0) {
      p = starAt
      t = ++starText
    } else return false
  }
  while (pattern[p] === STAR) p += 1
  return p === pattern.length
}

/** @returns where the pattern goes on; -1: it does not match the byte */
function matchOne(pattern: Uint8Array, at: number, byte: number): number {
  switch (pattern[at]) {
    case ANY:
      return at + 1
    case OPEN:
      return matchSet(pattern, at + 1, byte)
    case ESCAPE: {
      const meant = at + 1 < pattern.length ? at + 1 : at
      return pattern[meant] === byte ? meant + 1 : -1
    }
    default:
      return pattern[at] === byte ? at + 1 : -1
  }
}

/** A set that does not end goes to the end of the pattern. */
function matchSet(pattern: Uint8Array, from: number, byte: number): number {
  const isNegated = pattern[from] === NOT
  let at = isNegated ? from + 1 : from
  let isIn = false
  while (at < pattern.length && pattern[at] !== CLOSE) {
    if (pattern[at] === ESCAPE && at + 1 < pattern.length) at += 1
    const low = pattern[at]!
    const isRange = pattern[at + 1] === DASH && at + 2 < pattern.length && pattern[at + 2] !== CLOSE
    const high = isRange ? pattern[at + 2]! : low
    if (byte >= Math.min(low, high) && byte <= Math.max(low, high)) isIn = true
    at += isRange ? 3 : 1
  }
  return isIn === isNegated ? -1 : Math.min(at + 1, pattern.length)
}
