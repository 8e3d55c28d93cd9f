/**
 * The two containers of this core: a first-in-first-out queue without shifting, and a binary heap
 * ordered by due time. Plain data, no class; each has one owner, the decision loop.
 */
import { assert } from '../../base/assert.ts'

export interface Queue<Item> {
  items: Item[]
  /** Place of the oldest item; those before it are gone. */
  head: number
}

export const createQueue = <Item>(): Queue<Item> => ({ items: [], head: 0 })

export const sizeOf = (queue: Queue<unknown>): number => queue.items.length - queue.head

export function put<Item>(queue: Queue<Item>, item: Item): void {
  queue.items.push(item)
}

export const peek = <Item>(queue: Queue<Item>): Item | undefined => queue.items[queue.head]

/** Takes the oldest item. Amortised O(1): the dead half is cut off when it is the larger one. */
export function take<Item>(queue: Queue<Item>): Item {
  assert(queue.head < queue.items.length, 'a queue that is taken from has an item')
  const item = queue.items[queue.head++]!
  if (queue.head === queue.items.length) {
    queue.items.length = 0
    queue.head = 0
  } else if (queue.head > 1024 && queue.head * 2 > queue.items.length) {
    queue.items = queue.items.slice(queue.head)
    queue.head = 0
  }
  return item
}

export interface Due<Item> {
  readonly dueAt: number
  readonly item: Item
}
export type Heap<Item> = Due<Item>[]

/** O(log n), and O(1) when nothing in the heap is due later, as for timeouts of one length. */
export function heapPush<Item>(heap: Heap<Item>, entry: Due<Item>): void {
  let at = heap.length
  heap.push(entry)
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (heap[parent]!.dueAt <= entry.dueAt) break
    heap[at] = heap[parent]!
    at = parent
  }
  heap[at] = entry
}

/** The entry that is due first, if it is due now. */
export function heapPopDue<Item>(heap: Heap<Item>, now: number): Due<Item> | undefined {
  const first = heap[0]
  if (first === undefined || first.dueAt > now) return undefined
  const last = heap.pop()!
  if (heap.length > 0) sink(heap, last)
  return first
}

function sink<Item>(heap: Heap<Item>, entry: Due<Item>): void {
  let at = 0
  for (;;) {
    let child = at * 2 + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && heap[child + 1]!.dueAt < heap[child]!.dueAt) child++
    if (heap[child]!.dueAt >= entry.dueAt) break
    heap[at] = heap[child]!
    at = child
  }
  heap[at] = entry
}
