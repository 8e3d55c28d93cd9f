/**
 * The fixed script: 200 operations of four clients, the same in every run, large enough that the
 * log goes through several segments of the smallest size.
 */
import type { Asking } from './history.ts'
import { createRandom } from './random.ts'

export interface Step extends Asking {
  readonly padBytes: number
}

export const CLIENTS = 4
export const OPERATIONS = 200
const KEYS = 6
const SEED = 200
const LARGE_BYTES = 50_000
const SMALL_BYTES = 400

/** One list a client. Each value is written once in all. */
export function scriptOf(): Step[][] {
  const random = createRandom(SEED)
  return Array.from({ length: CLIENTS }, (_, client) =>
    Array.from({ length: OPERATIONS / CLIENTS }, (_, i) => {
      const name = `k${String(random.under(KEYS))}`
      const padBytes = random.chance(0.4) ? LARGE_BYTES : random.under(SMALL_BYTES)
      const value = 1_000 * (client + 1) + i
      const roll = random.under(10)
      if (roll < 2) return { f: 'get', key: name, value: null, padBytes: 0 }
      if (roll < 5) return { f: 'incr', key: `sum-${name}`, value: 1, padBytes }
      if (roll < 6) return { f: 'delete', key: name, value: null, padBytes }
      if (roll < 7) return { f: 'cas', key: name, value: [value - 1, value], padBytes }
      return { f: 'put', key: name, value, padBytes }
    }),
  )
}
