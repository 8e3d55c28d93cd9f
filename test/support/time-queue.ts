/** Priority queue by (time, order of arrival): a binary heap over parallel arrays. */
export interface Queue<T> {
  size: number
  sequence: number
  readonly times: number[]
  readonly sequences: number[]
  readonly values: T[]
}

export const createQueue = <T>(): Queue<T> => ({
  size: 0,
  sequence: 0,
  times: [],
  sequences: [],
  values: [],
})

const before = <T>(queue: Queue<T>, a: number, b: number): boolean =>
  queue.times[a]! < queue.times[b]! ||
  (queue.times[a] === queue.times[b] && queue.sequences[a]! < queue.sequences[b]!)

function swap<T>({ times, sequences, values }: Queue<T>, a: number, b: number): void {
  const [time, sequence, value] = [times[a]!, sequences[a]!, values[a]!]
  times[a] = times[b]!
  sequences[a] = sequences[b]!
  values[a] = values[b]!
  times[b] = time
  sequences[b] = sequence
  values[b] = value
}

export function push<T>(queue: Queue<T>, time: number, value: T): void {
  let at = queue.size++
  queue.times[at] = time
  queue.sequences[at] = queue.sequence++
  queue.values[at] = value
  while (at > 0) {
    const parent = (at - 1) >>> 1
    if (!before(queue, at, parent)) return
    swap(queue, at, parent)
    at = parent
  }
}

export function pop<T>(queue: Queue<T>): T {
  const top = queue.values[0]!
  const last = --queue.size
  swap(queue, 0, last)
  queue.times.length = queue.sequences.length = queue.values.length = last
  for (let at = 0; ;) {
    const left = 2 * at + 1
    if (left >= last) return top
    const child = left + 1 < last && before(queue, left + 1, left) ? left + 1 : left
    if (!before(queue, child, at)) return top
    swap(queue, child, at)
    at = child
  }
}
