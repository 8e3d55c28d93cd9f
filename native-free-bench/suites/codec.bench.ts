/**
 * Question: what do stamp, check and walk of a batch cost, and encode and decode of a message?
 * Unit:     us per call for frames (one iteration is FRAME_CALLS calls), ns per call for messages,
 *           wire headers and envelopes (one iteration is CALLS calls).
 * Control:  the empty loop, reported beside the rest and never subtracted.
 * Excludes: copying payloads into the body, rings, sockets and disk.
 */
import { Bench } from 'tinybench'
import {
  CELL_WORDS,
  WIRE_HEADER_SIZE_BYTES,
  decodeWireHeader,
  encodeWireHeader,
  writeWireWords,
} from '../../src/codec/cell.ts'
import {
  FRAME_HEADER_SIZE_BYTES,
  FRAME_KIND,
  checkFrame,
  createFrameHeader,
  enterFrame,
  entrySizeOf,
  frameSizeOf,
  nextEntry,
  openFrameCursor,
  stampFrame,
  writeEntry,
  writeFrameHeader,
} from '../../src/codec/frame.ts'
import { xpaxosCodec } from '../../src/codec/message.ts'
import { type EnvelopeFields, decodeEnvelope, encodeEnvelope } from '../../src/codec/record.ts'
import type { Ballot, LogIndex, Lsn } from '../../src/core/ids.ts'
import type { Accept } from '../../src/core/xpaxos/messages.ts'

const CALLS = 1_000
const FRAME_CALLS = 10
const FRAMES = [
  { name: '1000 x 16 B', count: 1_000, payloadSizeBytes: 16 },
  { name: '1 x 1 MiB', count: 1, payloadSizeBytes: 1_048_576 },
]
const BALLOT = 65_537 as Ballot

export const nsPerCall = (latencyMs: number): number => (latencyMs * 1e6) / CALLS
export const usPerFrame = (latencyMs: number): number => (latencyMs * 1e3) / FRAME_CALLS

export function codecSuite(timeMs: number): Bench {
  const bench = new Bench({ name: 'codec', time: timeMs, warmupTime: timeMs, throws: true })
  const sink = { value: 0 } // keeps results alive, so that the optimiser cannot delete the work
  bench.add('control: empty loop', () => {
    for (let call = 0; call < CALLS; call++) sink.value += call
  })
  for (const { name, count, payloadSizeBytes } of FRAMES) {
    addFrame(bench, sink, name, count, payloadSizeBytes)
  }
  addMessage(bench, sink)
  addEnvelope(bench, sink)
  bench.addEventListener('complete', () => {
    if (sink.value === 0) throw new Error('the work was optimised away')
  })
  return bench
}

interface Sink {
  value: number
}

function addFrame(
  bench: Bench,
  sink: Sink,
  name: string,
  count: number,
  payloadSizeBytes: number,
): void {
  const bodySizeBytes = count * entrySizeOf(payloadSizeBytes)
  const limit = frameSizeOf(bodySizeBytes)
  const memory = new SharedArrayBuffer(limit)
  const bytes = new Uint8Array(memory)
  const view = new DataView(memory)
  const payload = new Uint8Array(payloadSizeBytes).fill(7)
  let at = FRAME_HEADER_SIZE_BYTES
  for (let i = 0; i < count; i++) at = writeEntry(bytes, view, at, payload)
  const fields = { kind: FRAME_KIND.entries, flags: 0, bodySizeBytes, count }
  writeFrameHeader(view, 0, { ...fields, clientId: 1, clientSequence: 1 })
  stampFrame(bytes, view, 0, BALLOT, 1 as LogIndex)
  const header = createFrameHeader()
  const cursor = openFrameCursor(view)
  checkFrame(bytes, view, 0, limit, header)
  bench.add(`stampFrame: ${name}`, () => {
    for (let call = 1; call <= FRAME_CALLS; call++) {
      sink.value += stampFrame(bytes, view, 0, BALLOT, call as LogIndex)
    }
  })
  bench.add(`checkFrame: ${name}`, () => {
    for (let call = 0; call < FRAME_CALLS; call++) {
      if (checkFrame(bytes, view, 0, limit, header) === 'ok') sink.value += header.count
    }
  })
  bench.add(`nextEntry through the frame: ${name}`, () => {
    for (let call = 0; call < FRAME_CALLS; call++) {
      enterFrame(cursor, view, 0, header)
      while (nextEntry(cursor)) sink.value += cursor.payloadSize
    }
  })
}

function addMessage(bench: Bench, sink: Sink): void {
  const words = new Float64Array(CELL_WORDS)
  const bytes = new Uint8Array(WIRE_HEADER_SIZE_BYTES)
  const view = new DataView(bytes.buffer)
  const message: Accept = {
    kind: 'accept',
    ballot: BALLOT,
    attempt: 1,
    prev: 1_000 as LogIndex,
    through: 2_000 as LogIndex,
    chosen: 900 as LogIndex,
    chosenChain: 0xdeadbeef,
  }
  xpaxosCodec.encode(message, words, 0)
  words[1] = 1
  writeWireWords(words, 0, 1, 1)
  bench.add('message encode: accept', () => {
    for (let call = 0; call < CALLS; call++) {
      xpaxosCodec.encode(message, words, 0)
      sink.value += words[0]!
    }
  })
  bench.add('message decode: accept', () => {
    for (let call = 0; call < CALLS; call++) {
      const { kind } = xpaxosCodec.decode(words, 0)
      sink.value += kind.length
    }
  })
  bench.add('encodeWireHeader', () => {
    for (let call = 0; call < CALLS; call++) {
      encodeWireHeader(bytes, view, 0, words, 0)
      sink.value += bytes[4]!
    }
  })
  bench.add('decodeWireHeader', () => {
    for (let call = 0; call < CALLS; call++) {
      if (decodeWireHeader(bytes, view, 0, words, 0) === 'ok') sink.value++
    }
  })
}

function addEnvelope(bench: Bench, sink: Sink): void {
  const words = new Float64Array(CELL_WORDS)
  const bytes = new Uint8Array(words.buffer)
  const record = {
    kind: 'entries',
    ballot: BALLOT,
    prev: 1_000 as LogIndex,
    through: 2_000 as LogIndex,
  } as const
  const fields: EnvelopeFields = {
    lsn: 12 as Lsn,
    payloadSizeBytes: 20_096,
    frameCount: 1,
    segment: 1,
    floor: 900 as LogIndex,
    synced: 11 as Lsn,
    metadata: 3 as Lsn,
    payloadDigest: 0xdeadbeef,
  }
  bench.add('encodeEnvelope: entries', () => {
    for (let call = 0; call < CALLS; call++) {
      sink.value += encodeEnvelope(bytes, words, 0, record, fields, call)
    }
  })
  bench.add('decodeEnvelope: entries', () => {
    for (let call = 0; call < CALLS; call++) {
      if (decodeEnvelope(bytes, words, 0) === 'ok') sink.value++
    }
  })
}
