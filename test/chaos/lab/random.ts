/** Chance from a seed: what is drawn, in which order, is the same in every run. */
import { randomOf } from '../../../src/sim/memory-storage.ts'

export interface Random {
  /** A whole number in [0, limit). */
  under(limit: number): number
  pick<Item>(items: readonly Item[]): Item
  chance(probability: number): boolean
  /** `count` of them, without one twice, in the order that they stand in. */
  sample<Item>(items: readonly Item[], count: number): Item[]
}

export function createRandom(seed: number): Random {
  const next = randomOf(seed)
  const under = (limit: number): number => Math.floor(next() * limit)
  return {
    under,
    pick: (items) => items[under(items.length)]!,
    chance: (probability) => next() < probability,
    sample(items, count) {
      const left = items.map((_, place) => place)
      const places = new Set<number>()
      while (places.size < Math.min(count, items.length)) {
        places.add(left.splice(under(left.length), 1)[0]!)
      }
      return items.filter((_, place) => places.has(place))
    },
  }
}
