/**
 * What is to come, by (time, order of arrival): a binary heap over parallel arrays. Equal times
 * keep their order, so that a run is a function of its seed. Pure; one owner.
 */
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

export const headTime = <T>({ size, times }: Queue<T>): number => (size > 0 ? times[0]! : Infinity)

export function push<T>(queue: Queue<T>, time: number, value: T): void {
  const { times, sequences, values } = queue
  const sequence = queue.sequence++
  let at = queue.size++
  while (at > 0) {
    const parent = (at - 1) >>> 1
    if (times[parent]! <= time) break // the newer of equal ones stays behind
    times[at] = times[parent]!
    sequences[at] = sequences[parent]!
    values[at] = values[parent]!
    at = parent
  }
  times[at] = time
  sequences[at] = sequence
  values[at] = value
}

/** The queue is not empty. */
export function pop<T>(queue: Queue<T>): T {
  const { times, sequences, values } = queue
  const top = values[0]!
  const last = --queue.size
  const time = times.pop()!
  const sequence = sequences.pop()!
  const value = values.pop()!
  if (last === 0) return top
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= last) break
    if (child + 1 < last && precedes(queue, child + 1, child)) child += 1
    const childTime = times[child]!
    if (time < childTime || (time === childTime && sequence < sequences[child]!)) break
    times[at] = childTime
    sequences[at] = sequences[child]!
    values[at] = values[child]!
    at = child
  }
  times[at] = time
  sequences[at] = sequence
  values[at] = value
  return top
}

function precedes<T>({ times, sequences }: Queue<T>, a: number, b: number): boolean {
  return times[a]! < times[b]! || (times[a]! === times[b]! && sequences[a]! < sequences[b]!)
}
