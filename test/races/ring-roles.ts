/** What the ring races and their threads share: roles, the pattern, chance, and the start. */
import { Worker } from 'node:worker_threads'

type Memory = SharedArrayBuffer
interface Talk {
  readonly own: Memory // the bell this thread waits at
  readonly other: Memory // the bell of the thread that it feeds or frees
  readonly seed: number
  readonly count: number
}
interface Echo {
  readonly requests: readonly Memory[]
  readonly answers: readonly Memory[]
  readonly clients: readonly Memory[]
  readonly own: Memory
  readonly count: number
}
export interface Roles {
  readonly produceCells: Talk & { readonly memory: Memory; readonly burstMax: number }
  readonly consumeCells: Talk & { readonly memory: Memory }
  readonly writeFrames: Talk & {
    readonly log: Memory
    readonly out: Memory
    readonly sizeMax: number
  }
  readonly decideFrames: {
    readonly log: Memory
    readonly input: Memory
    readonly orders: Memory
    readonly reports: Memory
    readonly own: Memory
    readonly writer: Memory
    readonly reader: Memory
    readonly count: number
  }
  readonly readFrames: Talk & {
    readonly log: Memory
    readonly orders: Memory
    readonly reports: Memory
  }
  readonly callEcho: Omit<Talk, 'other'> & {
    readonly request: Memory
    readonly answer: Memory
    readonly echo: Memory
  }
  readonly echo: Echo
  readonly echoAsync: Echo
}
export type Role = keyof Roles

/** What word `word` of record `n` holds: 32 bits that differ from lap to lap and word to word. */
export function patternOf(seed: number, n: number, word: number): number {
  let h = Math.imul(n ^ seed, 0x9e3779b1) ^ Math.imul(word + 1, 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35)
  return (h ^ (h >>> 13)) >>> 0
}

/** Mulberry32: uint32 by seed. */
export function randomOf(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t)
    return (t ^ (t >>> 14)) >>> 0
  }
}

type Threads = readonly { readonly [Name in Role]: readonly [Name, Roles[Name]] }[Role][]

/** Runs every role on a thread of its own; the first failure stops them all. */
export async function race(threads: Threads): Promise<Record<string, number>[]> {
  const url = new URL('./ring.worker.ts', import.meta.url)
  const workers = threads.map(([name, role]) => new Worker(url, { workerData: { name, role } }))
  try {
    return await Promise.all(workers.map(resultOf))
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
}

const resultOf = (worker: Worker): Promise<Record<string, number>> =>
  new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', (code) => reject(new Error(`a thread left with ${code}, without a result`)))
  })
