/**
 * The load generator: runs beside one node's ingest stage, on its thread, in whatever process that
 * is. Closed loop keeps so many entries outstanding; open loop offers a rate and counts latency
 * from the intended start, so that a stall is charged to every entry it delayed.
 *
 * Entries are written in place into the node's log ring (`--api writer`) or proposed one promise
 * each (`--api propose`). One clock reading and one record a chunk, nothing per entry.
 */
import { writeSync } from 'node:fs'
import { type Fifo, createFifo, dropFirst, peekAt, pushTo } from '../../src/base/fifo.ts'
import { entrySizeOf } from '../../src/codec/frame.ts'
import type { ReplicaNode } from '../../src/engine/node.ts'
import type { IngestClient } from '../../src/stages/ingest-stage.ts'
import {
  type Histogram,
  type SparseHistogram,
  createHistogram,
  percentile,
  record,
  reset,
  toSparse,
} from '../stats/histogram.ts'
import type { Api, StateMachineName } from '../types.ts'
import { turnClock, wallMs } from './clock.ts'
import { type EntryRun, fillPuts, putHead } from './puts.ts'

export interface LoadSpec {
  readonly api: Api
  readonly payload: number
  /** `kv`: every entry is a put; payloads have PUT_SIZE_MIN_BYTES or more. */
  readonly stateMachine: StateMachineName
  readonly clients: number
  /** Closed loop; null: open loop at `rate`. */
  readonly inflight: number | null
  readonly rate: number | null
  readonly batchBytesMax: number
  readonly batchEntriesMax: number
  /** Absolute, on `wallMs`. The load ends at `toMs`; what completes in between is measured. */
  readonly fromMs: number
  readonly toMs: number
  /** File that survives a kill of this process: what was acknowledged, 3 doubles a client. */
  readonly journal: number | null
}

/** What one client was told, for the verdict. */
export interface ClientTally {
  readonly id: number
  readonly acknowledged: number
  readonly acknowledgedFold: number
  readonly submitted: number
  readonly submittedFold: number
}

export interface LoadSample {
  readonly second: number
  readonly entries: number
  readonly p99: number
  readonly rssBytes: number
}

export interface LoadResult {
  readonly entries: number
  readonly latency: SparseHistogram
  readonly batchEntries: SparseHistogram
  readonly samples: readonly LoadSample[]
  readonly inflightMax: number
  readonly refused: number
  readonly offered: number
  readonly firstAckMs: number
  readonly lastAckMs: number
  readonly clients: readonly ClientTally[]
  /** Why it ended early, '' when it did not. */
  readonly failure: string
}

/** A chunk is an eighth of the window, so that filling, syncing and applying overlap. */
const CHUNKS_PER_WINDOW = 8
const DRAIN_MS_MAX = 10_000
const PACE_MS = 1
const JOURNAL_RECORD_BYTES = 24

interface Chunk {
  readonly through: number
  readonly count: number
  readonly startMs: number
  /** Open loop: intended starts are spread evenly over [startMs, endMs]. */
  readonly endMs: number
}

interface Meter {
  readonly spec: LoadSpec
  readonly latency: Histogram
  readonly second: Histogram
  readonly batches: Histogram
  readonly samples: LoadSample[]
  secondIndex: number
  entries: number
  inflightMax: number
  refused: number
  offered: number
  firstAckMs: number
  lastAckMs: number
}

export async function runLoad(node: ReplicaNode, spec: LoadSpec): Promise<LoadResult> {
  const meter: Meter = {
    spec,
    latency: createHistogram(),
    second: createHistogram(),
    batches: createHistogram(),
    samples: [],
    secondIndex: 0,
    entries: 0,
    inflightMax: 0,
    refused: 0,
    offered: 0,
    firstAckMs: 0,
    lastAckMs: 0,
  }
  const run = spec.api === 'writer' ? runWriters : runProposals
  const { clients, failure } = await run(node, meter)
  closeSecond(meter)
  const { entries, inflightMax, refused, offered, firstAckMs, lastAckMs, samples } = meter
  return {
    entries,
    latency: toSparse(meter.latency),
    batchEntries: toSparse(meter.batches),
    samples,
    inflightMax,
    refused,
    offered,
    firstAckMs,
    lastAckMs,
    clients,
    failure,
  }
}

// ---- Measuring -------------------------------------------------------------------------------

/** `count` entries that started together were acknowledged now. */
function acknowledged(meter: Meter, startMs: number, count: number, now: number): void {
  const { fromMs, toMs } = meter.spec
  if (meter.firstAckMs === 0) meter.firstAckMs = now
  meter.lastAckMs = now
  if (now < fromMs || now > toMs) return
  const second = Math.floor((now - fromMs) / 1_000)
  if (second !== meter.secondIndex) {
    closeSecond(meter)
    meter.secondIndex = second
  }
  const latencyUs = (now - startMs) * 1_000
  record(meter.latency, latencyUs, count)
  record(meter.second, latencyUs, count)
  meter.entries += count
}

function closeSecond(meter: Meter): void {
  const { second, secondIndex, samples } = meter
  if (second.count === 0) return
  const rssBytes = process.memoryUsage.rss()
  samples.push({
    second: secondIndex,
    entries: second.count,
    p99: percentile(second, 0.99),
    rssBytes,
  })
  reset(second)
}

function settleChunk(meter: Meter, chunk: Chunk, now: number): void {
  const pieces = chunk.endMs === chunk.startMs ? 1 : Math.min(chunk.count, 16)
  const step = (chunk.endMs - chunk.startMs) / pieces
  let left = chunk.count
  for (let i = 0; i < pieces; i++) {
    const count = Math.round(left / (pieces - i))
    acknowledged(meter, chunk.startMs + step * i, count, now)
    left -= count
  }
}

// ---- Batch writers ---------------------------------------------------------------------------

interface Flow {
  readonly client: IngestClient
  readonly window: number
  readonly chunkMax: number
  readonly chunks: Fifo<Chunk>
  readonly place: number
}

async function runWriters(node: ReplicaNode, meter: Meter) {
  const { spec } = meter
  const ended = Promise.withResolvers<void>()
  const flows: Flow[] = []
  const fits = Math.max(1, Math.floor((spec.batchBytesMax - 64) / entrySizeOf(spec.payload)))
  const windowOf = (i: number): number => {
    if (spec.inflight === null) return Number.MAX_SAFE_INTEGER
    const share = Math.floor(spec.inflight / spec.clients)
    return share + (i < spec.inflight % spec.clients ? 1 : 0)
  }
  const idBase = (Math.floor(wallMs()) * 16 + node.id) * 64
  const onProgress = (flow: Flow): void => {
    const now = wallMs()
    const { chunks, client } = flow
    let done = 0
    for (let chunk = peekAt(chunks); chunk !== undefined; chunk = peekAt(chunks)) {
      if (chunk.through > client.chosen) break
      settleChunk(meter, chunk, now)
      dropFirst(chunks, 1)
      done += 1
    }
    if (done > 0) writeJournal(spec, client, flow.place)
    if (client.failure !== null) return ended.resolve()
    if (now < spec.toMs) fill(now)
    else if (flows.every(({ client: one }) => one.chosen === one.submitted)) ended.resolve()
  }
  for (let i = 0; i < spec.clients; i++) {
    const window = windowOf(i)
    const parts = spec.inflight === null ? 1 : CHUNKS_PER_WINDOW
    const chunkMax = Math.min(fits, spec.batchEntriesMax, Math.max(1, Math.ceil(window / parts)))
    const client = node.ingest.openClient(idBase + i, () => onProgress(flow))
    const flow: Flow = { client, window, chunkMax, chunks: createFifo(), place: i }
    flows.push(flow)
  }
  const fill =
    spec.inflight === null ? openLoop(node, meter, flows) : closedLoop(node, meter, flows)
  fill(wallMs())
  const pace = setInterval(() => {
    const now = wallMs()
    if (now < spec.toMs) fill(now)
    else for (const flow of flows) onProgress(flow)
    if (now > spec.toMs + DRAIN_MS_MAX) ended.resolve()
  }, PACE_MS)
  await ended.promise
  clearInterval(pace)
  for (const { client } of flows) node.ingest.closeClient(client)
  const failure = flows.find(({ client }) => client.failure !== null)?.client.failure
  return { clients: flows.map(({ client }) => tallyOf(client)), failure: failure?.code ?? '' }
}

const tallyOf = (client: IngestClient): ClientTally => ({
  id: client.id,
  acknowledged: client.chosen,
  acknowledgedFold: client.chosenFold,
  submitted: client.publishedThrough,
  submittedFold: client.publishedFold,
})

function closedLoop(node: ReplicaNode, meter: Meter, flows: readonly Flow[]) {
  return (now: number): void => {
    for (const flow of flows) {
      const { client, window, chunkMax } = flow
      let room = window - (client.submitted - client.chosen)
      // A sliver of room waits for more, or the window would decay into ever smaller frames.
      while (room > 0 && room >= Math.min(chunkMax, window)) {
        if (!writeChunk(node, meter, flow, { count: chunkMax, startMs: now, endMs: now })) break
        room -= chunkMax
      }
      const outstanding = client.submitted - client.chosen
      meter.inflightMax = Math.max(meter.inflightMax, outstanding * flows.length)
    }
  }
}

/** Offers what the clock says is due; what finds no room is refused, never queued without bound. */
function openLoop(node: ReplicaNode, meter: Meter, flows: readonly Flow[]) {
  const perMs = meter.spec.rate! / 1_000
  const start = wallMs()
  let offered = 0
  let turn = 0
  return (now: number): void => {
    let due = Math.floor((now - start) * perMs) - offered
    while (due > 0) {
      const flow = flows[turn++ % flows.length]!
      const count = Math.min(due, flow.chunkMax)
      const startMs = start + offered / perMs
      const endMs = start + (offered + count) / perMs
      if (!writeChunk(node, meter, flow, { count, startMs, endMs })) meter.refused += count
      offered += count
      due -= count
    }
    meter.offered = offered
    let outstanding = 0
    for (const { client } of flows) outstanding += client.submitted - client.chosen
    meter.inflightMax = Math.max(meter.inflightMax, outstanding)
  }
}

function writeChunk(
  node: ReplicaNode,
  meter: Meter,
  flow: Flow,
  chunk: { readonly count: number; readonly startMs: number; readonly endMs: number },
): boolean {
  const { ingest } = node
  const { client } = flow
  const { payload, stateMachine } = meter.spec
  const at = ingest.tryReserve(client, chunk.count, payload)
  if (at < 0) return false
  const sequence = client.submitted - chunk.count
  const run = { from: at >> 2, count: chunk.count, payload, sequence }
  fillEntries(ingest.log.words, run)
  if (stateMachine === 'kv') fillPuts(ingest.log.words, run)
  ingest.seal()
  pushTo(flow.chunks, { ...chunk, through: client.submitted })
  record(meter.batches, chunk.count, 1)
  return true
}

/**
 * Every payload byte is written; its words differ by sequence, so that no two entries are equal.
 */
function fillEntries(words: Int32Array, { from, count, payload, sequence }: EntryRun): void {
  const full = payload >> 2
  const tail = payload & 3
  const mask = (1 << (8 * tail)) - 1
  let at = from
  for (let i = 1; i <= count; i++) {
    const value = (sequence + i) | 0
    words[at++] = payload
    if (full > 16) {
      words.fill(value, at, at + full)
      at += full
    } else {
      for (let w = 0; w < full; w++) words[at++] = value + w
    }
    if (tail > 0) words[at++] = value & mask
  }
}

function writeJournal({ journal }: LoadSpec, client: IngestClient, place: number): void {
  if (journal === null) return
  const entry = Float64Array.of(client.id, client.chosen, client.chosenFold)
  writeSync(journal, entry, 0, JOURNAL_RECORD_BYTES, place * JOURNAL_RECORD_BYTES)
}

// ---- One promise an entry --------------------------------------------------------------------

async function runProposals(node: ReplicaNode, meter: Meter) {
  const { spec } = meter
  const payload = new Uint8Array(spec.payload)
  const words = new Int32Array(payload.buffer, 0, spec.payload >> 2)
  const ended = Promise.withResolvers<void>()
  let outstanding = 0
  let issued = 0
  let failure = ''
  const perMs = (spec.rate ?? 0) / 1_000
  const start = wallMs()
  const clock = turnClock()
  const one = (startMs: number): void => {
    outstanding += 1
    issued += 1
    if (spec.stateMachine === 'kv') putHead(words, 0, issued)
    else if (words.length > 0) words[0] = issued
    node.propose(payload).then(
      () => {
        outstanding -= 1
        const now = clock()
        acknowledged(meter, startMs, 1, now)
        if (now >= spec.toMs || failure !== '') {
          if (outstanding === 0) ended.resolve()
        } else if (spec.inflight !== null) one(now)
      },
      (error: unknown) => {
        outstanding -= 1
        const code =
          error instanceof Error && 'code' in error ? String(error.code) : 'E_STAGE_FAILED'
        if (code === 'E_OVERLOADED') meter.refused += 1
        else failure = code
        if (failure !== '' && outstanding === 0) ended.resolve()
      },
    )
    meter.inflightMax = Math.max(meter.inflightMax, outstanding)
  }
  for (let i = 0; i < (spec.inflight ?? 0); i++) one(wallMs())
  const pace = setInterval(() => {
    const now = wallMs()
    if (spec.inflight === null && now < spec.toMs && failure === '') {
      for (const due = Math.floor((now - start) * perMs); meter.offered < due; meter.offered++) {
        one(start + meter.offered / perMs)
      }
    }
    for (const [place, client] of [...node.ingest.clients.values()].entries()) {
      writeJournal(spec, client, place)
    }
    if (now > spec.toMs && outstanding === 0) ended.resolve()
    if (now > spec.toMs + DRAIN_MS_MAX) ended.resolve()
  }, PACE_MS)
  await ended.promise
  clearInterval(pace)
  return { clients: [...node.ingest.clients.values()].map(tallyOf), failure }
}
