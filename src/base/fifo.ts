/**
 * First in, first out, without the cost of moving a long array at every take: a head index, and one
 * move once half of the array is behind it. Single owner.
 */
export interface Fifo<T> {
  items: (T | undefined)[]
  head: number
}

const COMPACT_COUNT = 1_024

export const createFifo = <T>(): Fifo<T> => ({ items: [], head: 0 })

export const sizeOfFifo = <T>({ items, head }: Fifo<T>): number => items.length - head

export const pushTo = <T>(fifo: Fifo<T>, item: T): void => void fifo.items.push(item)

/** The item `place` behind the head; undefined behind the end. */
export const peekAt = <T>({ items, head }: Fifo<T>, place = 0): T | undefined => items[head + place]

/** `place` counts from the head and lies within. */
export function replaceAt<T>({ items, head }: Fifo<T>, place: number, item: T): void {
  items[head + place] = item
}

/** Drops the first `count` items. Amortised O(1) an item. */
export function dropFirst<T>(fifo: Fifo<T>, count: number): void {
  for (let i = 0; i < count; i++) fifo.items[fifo.head++] = undefined
  if (fifo.head < COMPACT_COUNT || fifo.head * 2 < fifo.items.length) return
  fifo.items = fifo.items.slice(fifo.head)
  fifo.head = 0
}

/** Empties it. @returns what it held */
export function takeAll<T>(fifo: Fifo<T>): T[] {
  const all = fifo.items.slice(fifo.head) as T[]
  fifo.items = []
  fifo.head = 0
  return all
}
