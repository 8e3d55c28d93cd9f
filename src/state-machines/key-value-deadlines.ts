/**
 * Deadlines of keys, the next one first: a heap in the order (time, key), so that what is due
 * leaves in an order that the state alone decides. A deadline that was changed stays behind until
 * it comes up or the heap is cleaned; its owner says which still hold.
 *
 * Invariant: at most twice as many as hold, and a few.
 */

interface Deadline {
  readonly at: number
  readonly key: string
}

export interface Deadlines {
  heap: Deadline[]
}

export const createDeadlines = (): Deadlines => ({ heap: [] })

const STALE_MIN = 64

const isBefore = (one: Deadline, other: Deadline): boolean =>
  one.at < other.at || (one.at === other.at && one.key < other.key)

/**
 * @param held how many keys have a deadline now, this one included
 * @param holds whether that is still the deadline of the key
 */
export function pushDeadline(
  deadlines: Deadlines,
  at: number,
  key: string,
  held: number,
  holds: (key: string, at: number) => boolean,
): void {
  if (deadlines.heap.length >= 2 * held + STALE_MIN) clean(deadlines, holds)
  sink(deadlines.heap, { at, key })
}

/** The first that holds, which stays; null: none does. What does not hold is dropped on the way. */
export function nextDeadline(
  { heap }: Deadlines,
  holds: (key: string, at: number) => boolean,
): Deadline | null {
  for (let first = heap[0]; first !== undefined; first = heap[0]) {
    if (holds(first.key, first.at)) return first
    dropFirst(heap)
  }
  return null
}

function clean(deadlines: Deadlines, holds: (key: string, at: number) => boolean): void {
  const seen = new Set<string>()
  const kept: Deadline[] = []
  for (const one of deadlines.heap) {
    if (seen.has(one.key) || !holds(one.key, one.at)) continue
    seen.add(one.key)
    sink(kept, one)
  }
  deadlines.heap = kept
}

function sink(heap: Deadline[], one: Deadline): void {
  let at = heap.push(one) - 1
  while (at > 0) {
    const above = (at - 1) >> 1
    if (!isBefore(one, heap[above]!)) break
    heap[at] = heap[above]!
    at = above
  }
  heap[at] = one
}

function dropFirst(heap: Deadline[]): void {
  const last = heap.pop()!
  if (heap.length === 0) return
  let at = 0
  for (;;) {
    let next = 2 * at + 1
    if (next >= heap.length) break
    if (next + 1 < heap.length && isBefore(heap[next + 1]!, heap[next]!)) next += 1
    if (!isBefore(heap[next]!, last)) break
    heap[at] = heap[next]!
    at = next
  }
  heap[at] = last
}
