/**
 * Seeded chance of the simulator: sfc32, 128 bits of state, integers only, the same on every
 * engine. Each actor has its own generator (`split`), so that one more draw in one actor shifts no
 * other. Pure.
 */
export interface Random {
  a: number
  b: number
  c: number
  d: number
}

const WARM_UP = 12

export function createRandom(seed: number): Random {
  const high = Math.floor(seed / 2 ** 32)
  return warm({ a: 0x9e3779b9 ^ high, b: seed | 0, c: 0x243f6a88 ^ seed, d: 1 })
}

/** An own generator for one actor. */
export function split(random: Random): Random {
  return warm({ a: next(random) | 0, b: next(random) | 0, c: next(random) | 0, d: 1 })
}

function warm(random: Random): Random {
  for (let i = 0; i < WARM_UP; i++) next(random)
  return random
}

/** Uint32. */
export function next(random: Random): number {
  const sum = (random.a + random.b + random.d) | 0
  random.d = (random.d + 1) | 0
  random.a = random.b ^ (random.b >>> 9)
  random.b = (random.c + (random.c << 3)) | 0
  random.c = (((random.c << 21) | (random.c >>> 11)) + sum) | 0
  return sum >>> 0
}

/** Uniform integer in [0, limit). */
export const below = (random: Random, limit: number): number =>
  limit > 0 ? next(random) % limit : 0

/** Uniform integer in [low, high]. */
export const between = (random: Random, low: number, high: number): number =>
  low + below(random, high - low + 1)

/** True in `perMille` of 1,000 cases. */
export const chance = (random: Random, perMille: number): boolean =>
  perMille > 0 && next(random) % 1_000 < perMille

export const pick = <T>(random: Random, from: readonly T[]): T => from[below(random, from.length)]!

/** In place. */
export function shuffle<T>(random: Random, items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const other = below(random, i + 1)
    const item = items[i]!
    items[i] = items[other]!
    items[other] = item
  }
  return items
}
