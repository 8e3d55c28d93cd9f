/**
 * The machine's ceiling with memory links: entries encoded once into one shared ring, appended and
 * synced by three writer threads, acknowledged when two of three are durable, then parsed by two
 * appliers. No consensus, nothing from src. Every option takes a comma list; each combination is a
 * JSON line.
 *
 *     ring    | frame | frame | ... | frame up to the ring's end |     no gaps, no straddling
 *     frame   | header 64 B: bytes, entries, body bytes, crc, first sequence | body | pad |
 *     entry   | u32 length | payload, padded to 4 |        counters are in units of 64 B
 */
import { once } from 'node:events'
import * as fs from 'node:fs'
import { createHistogram } from 'node:perf_hooks'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import { crc32 } from 'node:zlib'
import { type Config, runAll } from './spike-options.ts'

type Counters = Int32Array<SharedArrayBuffer>
type Job = { memory: SharedArrayBuffer; counters: Counters; id: number; path: string }
type Result = { sum: number; entries: number; syncs: number }

export const UNIT = 64
const [HEADER_WORDS, STAMP, WRITERS, APPLIERS] = [16, 0x9e3779b1, 3, 2]
const [PUBLISHED, CHOSEN, EVENT, STOP, DURABLE, APPLIED] = [0, 32, 64, 96, 128, 256]

/** Encodes frames into a ring, holds `inflight` entries, times each frame until it is chosen. */
export class Generator {
  published = 0
  entries = 0
  sum = 0
  private acked = 0
  private readonly frames: { end: number; entries: number; startMs: number }[] = []
  private readonly latency = createHistogram()
  private readonly startMs = performance.now()
  private readonly cpu = process.cpuUsage()
  private readonly config: Config
  private readonly words: Int32Array

  constructor(config: Config, memory: SharedArrayBuffer) {
    this.config = config
    this.words = new Int32Array(memory)
  }

  isOver(graceS = 0): boolean {
    return performance.now() >= this.startMs + 1000 * (+this.config.seconds + graceS)
  }

  /** One frame, if window and ring have room; `freed`: what every reader is done with. */
  encode(freed: number): Uint8Array<SharedArrayBuffer> | undefined {
    const [{ words, config }, startMs] = [this, performance.now()]
    const [ring, payload, batchBytes] = [words.byteLength, +config.payload, +config['batch-bytes']]
    const stride = 1 + ((payload + 3) >> 2)
    const at = (this.published * UNIT) % ring
    const fit = Math.floor((Math.min(batchBytes, ring - at) - UNIT) / (stride * 4))
    const count = Math.min(+config.inflight - (this.entries - this.acked), fit)
    const free = ring - (this.published - freed) * UNIT
    if (this.isOver() || free < 2 * batchBytes || count <= 0) return undefined
    let [cell, entry, sum] = [at / 4 + HEADER_WORDS, this.entries, this.sum]
    for (const end = entry + count; entry < end; entry++, cell += stride) {
      if (stride > 5) words.fill(7, cell + 3, cell + stride)
      else for (let i = 3; i < stride; i++) words[cell + i] = 7
      words[cell] = payload
      words[cell + 1] = entry
      words[cell + 2] = Math.imul(entry, STAMP)
      sum = (Math.imul(sum, 31) + Math.imul(entry, STAMP)) | 0
    }
    const body = count * stride * 4
    let size = Math.ceil(body / UNIT) * UNIT + UNIT
    if (ring - at - size < 2 * UNIT + stride * 4) size = ring - at
    const frame = new Uint8Array(words.buffer as SharedArrayBuffer, at, size)
    words.set([size, count, body, crc32(frame.subarray(UNIT, UNIT + body)), entry - count], at / 4)
    this.published += size / UNIT
    this.entries = entry
    this.sum = sum
    this.frames.push({ end: this.published, entries: count, startMs })
    return frame
  }

  settle(durable: readonly number[]): number {
    const [now, chosen] = [performance.now(), durable.toSorted((a, b) => a - b)[1]!]
    while (this.frames.length > 0 && this.frames[0]!.end <= chosen) {
      const frame = this.frames.shift()!
      this.latency.record(Math.max(1, Math.round((now - frame.startMs) * 1e6)))
      this.acked += frame.entries
    }
    return chosen
  }

  report() {
    const elapsedS = (performance.now() - this.startMs) / 1000
    const { user, system } = process.cpuUsage(this.cpu)
    const [p50, p99] = [50, 99].map((p) => Math.round(this.latency.percentile(p) / 1000))
    const entriesPerS = Math.round(this.entries / elapsedS)
    const cores = (user + system) / 1e6 / elapsedS
    const { entries, sum } = this
    return { entriesPerS, latencyUs: { p50, p99 }, cores, elapsedS, entries, sum }
  }
}

/** Parses the frame at `at` in place; returns the units it took. */
export function fold(words: Int32Array, at: number, result: Result): number {
  let [cell, { entries, sum }] = [at + HEADER_WORDS, result]
  for (const end = cell + words[at + 2]! / 4; cell < end; entries++) {
    if (words[cell + 1] !== entries) throw new Error(`sequence broken at ${entries}`)
    sum = (Math.imul(sum, 31) + words[cell + 2]!) | 0
    cell += 1 + ((words[cell]! + 3) >> 2)
  }
  result.entries = entries
  result.sum = sum
  return words[at]! / UNIT
}

function runWriter({ memory, counters, id, path }: Job): void {
  const fd = fs.openSync(path, 'r+')
  const result: Result = { sum: 0, entries: 0, syncs: 0 }
  for (let done = 0; ;) {
    const stopping = Atomics.load(counters, STOP) === 1
    const at = (done * UNIT) % memory.byteLength
    const pending = (Atomics.load(counters, PUBLISHED) - done) * UNIT
    const size = Math.min(pending, memory.byteLength - at)
    if (size > 0) {
      fs.writeSync(fd, new Uint8Array(memory, at, size), 0, size, at)
      fs.fdatasyncSync(fd)
      result.syncs++
      Atomics.store(counters, DURABLE + 32 * id, (done += size / UNIT))
      Atomics.add(counters, EVENT, 1)
      Atomics.notify(counters, EVENT)
    } else if (stopping) return parentPort!.postMessage(result)
    else Atomics.wait(counters, PUBLISHED, done, 50)
  }
}

function runApplier({ memory, counters, id }: Job): void {
  const [words, half] = [new Int32Array(memory), memory.byteLength / UNIT / 2]
  const result: Result = { sum: 0, entries: 0, syncs: 0 }
  for (let done = 0; ;) {
    const stopping = Atomics.load(counters, STOP) === 1
    if (Atomics.load(counters, CHOSEN) !== done) {
      done += fold(words, ((done * UNIT) % memory.byteLength) / 4, result)
      Atomics.store(counters, APPLIED + 32 * (id - WRITERS), done)
      if (Atomics.load(counters, PUBLISHED) - done < half) continue
      Atomics.add(counters, EVENT, 1) // only then may the generator wait for room
      Atomics.notify(counters, EVENT)
    } else if (stopping) return parentPort!.postMessage(result)
    else Atomics.wait(counters, CHOSEN, done, 50)
  }
}

async function run(config: Config, dir: string): Promise<boolean> {
  const memory = new SharedArrayBuffer(+config['ring-bytes'])
  const counters = new Int32Array(new SharedArrayBuffer(2048))
  const workers = Array.from({ length: WRITERS + APPLIERS }, (_, id) => {
    if (id < WRITERS) fs.writeFileSync(`${dir}/${id}`, new Uint8Array(memory), { flush: true })
    const data: Job = { memory, counters, id, path: `${dir}/${id}` }
    return new Worker(new URL(import.meta.url), { workerData: data })
  })
  await Promise.all(workers.map((worker) => once(worker, 'online')))
  const load = (index: number) => Atomics.load(counters, index)
  const generator = new Generator(config, memory)
  for (let chosen = 0; !generator.isOver() || chosen !== generator.published;) {
    if (generator.isOver(10)) throw new Error('no progress')
    const event = load(EVENT)
    const durable = [0, 32, 64].map((i) => load(DURABLE + i))
    if (chosen !== (chosen = generator.settle(durable))) {
      Atomics.store(counters, CHOSEN, chosen)
      Atomics.notify(counters, CHOSEN)
    }
    if (generator.encode(Math.min(...durable, load(APPLIED), load(APPLIED + 32)))) {
      Atomics.store(counters, PUBLISHED, generator.published)
      Atomics.notify(counters, PUBLISHED)
    } else if (config.wake === 'wait') Atomics.wait(counters, EVENT, event, 50)
    else if (config.wake === 'spin') await new Promise(setImmediate)
    else await Atomics.waitAsync(counters, EVENT, event, 50).value
  }
  const report = generator.report()
  Atomics.store(counters, STOP, 1)
  const results = (await Promise.all(workers.map((w) => once(w, 'message')))).flat() as Result[]
  const syncs = results.reduce((total, result) => total + result.syncs, 0)
  const same = results
    .slice(WRITERS)
    .every((r) => r.sum === report.sum && r.entries === report.entries)
  console.log(JSON.stringify({ spike: 'memory', config, ...report, syncs, same }))
  return same
}

if (process.argv[1] === import.meta.filename) {
  if (isMainThread) await runAll(run)
  else if ((workerData as Job).id < WRITERS) runWriter(workerData as Job)
  else runApplier(workerData as Job)
}
