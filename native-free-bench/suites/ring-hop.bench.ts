/**
 * Question: what does one hand-over between stages cost, in one thread and between two?
 * Unit:     ns per hand-over (inline; one iteration is CALLS of them), us per round trip (threads).
 * Control:  the empty loop, reported beside the rest and never subtracted.
 * Excludes: making and checking frames. Inline rows have no cache misses between cores, so the gap
 *           to the round trip is what threads cost.
 */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { Bench } from 'tinybench'
import { type Bell, bellMemory, cancelWait, openBell, prepareWait } from '../../src/ring/bell.ts'
import { ring, wait } from '../../src/ring/bell.ts'
import * as cells from '../../src/ring/cell-ring.ts'
import * as logs from '../../src/ring/log-ring.ts'

export const CALLS = 10_000
const FRAME_SIZES_BYTES = [64, 128, 256, 512, 1_024]
const PAYLOAD_SIZE_BYTES = 16
const BATCHES_CELLS = [1, 16]
const CAPACITY_CELLS = 1_024
const CAPACITY_BYTES = 2 ** 20

export function ringHopSuite(timeMs: number): Bench {
  const bench = new Bench({ name: 'ring/hop', time: timeMs, warmupTime: timeMs, throws: true })
  let sink = 0 // keeps results alive, so that the optimiser cannot delete the work
  bench.add('control: empty loop', () => {
    for (let call = 0; call < CALLS; call++) sink += call
  })
  for (const batch of BATCHES_CELLS) {
    const line = openPair()
    bench.add(`cell ring: claim, write 8 words, publish, consume; ${batch} cells a publish`, () => {
      for (let call = 0; call < CALLS; call += batch) sink += passCells(line, batch, call)
    })
  }
  for (const sizeBytes of [PAYLOAD_SIZE_BYTES, ...FRAME_SIZES_BYTES]) {
    const log = logs.openLogRing(logs.logRingMemory(CAPACITY_BYTES))
    const payload = new Uint8Array(sizeBytes).fill(7)
    bench.add(`log ring: claim, copy ${sizeBytes} B, publish, release`, () => {
      for (let call = 0; call < CALLS; call++) sink += passFrame(log, payload)
    })
  }
  const bell = openBell(bellMemory())
  bench.add('bell: ring, nobody sleeps', () => {
    for (let call = 0; call < CALLS; call++) ring(bell)
  })
  bench.addEventListener('complete', () => {
    if (sink === 0) throw new Error('the work was optimised away')
  })
  return bench
}

interface Pair {
  readonly producer: cells.CellRing
  readonly consumer: cells.CellRing
}

function openPair(): Pair {
  const memory = cells.cellRingMemory(CAPACITY_CELLS)
  return { producer: cells.openCellRing(memory), consumer: cells.openCellRing(memory) }
}

function passCells({ producer, consumer }: Pair, count: number, value: number): number {
  if (!cells.tryClaim(producer, count)) throw new Error('an inline ring is never full')
  for (let i = 0; i < count; i++) {
    const base = cells.claimedBase(producer, i)
    for (let word = 0; word < 8; word++) producer.words[base + word] = value + word
  }
  cells.publish(producer)
  const ready = cells.available(consumer)
  let sum = 0
  for (let i = 0; i < ready; i++) {
    const base = cells.cellBase(consumer, i)
    for (let word = 0; word < 8; word++) sum += consumer.words[base + word]!
  }
  cells.consume(consumer, ready)
  return sum
}

function passFrame(log: logs.LogRing, payload: Uint8Array): number {
  const offset = logs.tryClaim(log, payload.length)
  if (offset < 0) throw new Error('an inline ring is never full')
  log.bytes.set(payload, offset)
  const units = Math.ceil(payload.length / logs.UNIT_SIZE_BYTES)
  const end = logs.publish(log, units * logs.UNIT_SIZE_BYTES)
  logs.release(log, end)
  return end
}

export const nsPerCall = (latencyMs: number): number => (latencyMs * 1e6) / CALLS

// ---- Between two threads ---------------------------------------------------------------------

export interface RoundTrip {
  readonly rounds: number
  readonly spinCount: number
  /** Microseconds a round trip: two hand-overs, and two wakes unless spinning caught them. */
  readonly usP50: number
  readonly usP99: number
  readonly usMean: number
}

/** What the echo thread gets; the same two rings and bells, seen from the other side. */
export interface HopMemory {
  readonly request: SharedArrayBuffer
  readonly answer: SharedArrayBuffer
  readonly caller: SharedArrayBuffer
  readonly echo: SharedArrayBuffer
  readonly spinCount: number
  /** The echo lives on an event loop (waitAsync) instead of blocking. */
  readonly onEventLoop: boolean
}

export interface HopEnd {
  readonly input: cells.CellRing
  readonly output: cells.CellRing
  readonly own: Bell
  readonly other: Bell
}

/** Last value of a conversation: the echo answers it and leaves. */
export const HOP_END = -1

const WARMUP_ROUNDS = 2_000
const TIMEOUT_MS = 1_000

/**
 * Sends one cell to another thread and waits for its echo, `rounds` times, blocking the calling
 * thread. With spinning and one core only, the two would wait for each other's time slice.
 */
export async function crossThreadRoundTrip(
  rounds: number,
  spinCount = 0,
  onEventLoop = false,
): Promise<RoundTrip> {
  if (spinCount > 0 && availableParallelism() < 2) throw new Error('spinning needs two cores')
  const memory: HopMemory = {
    request: cells.cellRingMemory(16),
    answer: cells.cellRingMemory(16),
    caller: bellMemory(),
    echo: bellMemory(),
    spinCount,
    onEventLoop,
  }
  const url = new URL(import.meta.url.replace(/\.bench\.([jt]s)$/, '.worker.$1'))
  const worker = new Worker(url, { workerData: memory })
  const left = new Promise<void>((resolve, reject) => {
    worker.once('error', reject)
    worker.once('exit', () => resolve())
  })
  await new Promise((resolve) => worker.once('message', resolve)) // it is up
  const end = openHopEnd(memory.answer, memory.request, memory.caller, memory.echo)
  const samplesUs = new Float64Array(rounds)
  for (let round = -WARMUP_ROUNDS; round < rounds; round++) {
    const startMs = performance.now()
    call(end, round + WARMUP_ROUNDS, spinCount)
    if (round >= 0) samplesUs[round] = (performance.now() - startMs) * 1e3
  }
  call(end, HOP_END, spinCount)
  await left
  return summaryOf(samplesUs, spinCount)
}

export const openHopEnd = (
  input: SharedArrayBuffer,
  output: SharedArrayBuffer,
  own: SharedArrayBuffer,
  other: SharedArrayBuffer,
): HopEnd => ({
  input: cells.openCellRing(input),
  output: cells.openCellRing(output),
  own: openBell(own),
  other: openBell(other),
})

function call(end: HopEnd, value: number, spinCount: number): void {
  send(end, value)
  const answer = receive(end, spinCount)
  if (answer !== value) throw new Error(`echo of ${value} was ${answer}`)
}

export function send({ output, other }: HopEnd, value: number): void {
  if (!cells.tryClaim(output, 1)) throw new Error('a conversation has one cell in flight')
  output.words[cells.claimedBase(output, 0)] = value
  cells.publish(output)
  ring(other)
}

function receive(end: HopEnd, spinCount: number): number {
  for (let i = 0; i < spinCount; i++) if (cells.available(end.input) > 0) return takeOne(end)
  while (cells.available(end.input) === 0) {
    const seen = prepareWait(end.own)
    if (cells.available(end.input) > 0) cancelWait(end.own)
    else wait(end.own, seen, TIMEOUT_MS)
  }
  return takeOne(end)
}

export function takeOne({ input }: HopEnd): number {
  const value = input.words[cells.cellBase(input, 0)]!
  cells.consume(input, 1)
  return value
}

function summaryOf(samplesUs: Float64Array, spinCount: number): RoundTrip {
  const sorted = samplesUs.toSorted()
  const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))]!
  const usMean = sorted.reduce((sum, us) => sum + us, 0) / sorted.length
  return { rounds: sorted.length, spinCount, usP50: at(0.5), usP99: at(0.99), usMean }
}
