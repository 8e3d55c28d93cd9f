/** Seeded chance for tests: small, fast, the same on every engine (sfc32). */
export interface Random {
  a: number
  b: number
  c: number
  d: number
}

export function createRandom(seed: number): Random {
  const random = { a: 0x9e3779b9, b: seed | 0, c: 0x243f6a88 ^ seed, d: 1 }
  for (let i = 0; i < 16; i++) next(random)
  return random
}

/** Uint32. */
export function next(random: Random): number {
  const sum = (random.a + random.b + random.d) | 0
  random.d = (random.d + 1) | 0
  random.a = random.b ^ (random.b >>> 9)
  random.b = (random.c + (random.c << 3)) | 0
  random.c = ((random.c << 21) | (random.c >>> 11)) + sum
  return sum >>> 0
}

/** Uniform integer in [0, limit). */
export const below = (random: Random, limit: number): number =>
  limit > 0 ? next(random) % limit : 0

/** Uniform integer in [low, high]. */
export const between = (random: Random, low: number, high: number): number =>
  low + below(random, high - low + 1)

/** True in `perMille` of 1,000 cases. */
export const chance = (random: Random, perMille: number): boolean => below(random, 1_000) < perMille

export const pick = <T>(random: Random, from: readonly T[]): T => from[below(random, from.length)]!

/** An own generator for one actor, so that a new draw there does not shift the others. */
export const split = (random: Random): Random => createRandom(next(random))
