/** The batch frame: round trips, every refusal, every cut, every flipped bit, golden bytes. */
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  FRAME_BODY_SIZE_MAX_BYTES,
  FRAME_FLAG_CONTINUES,
  FRAME_FLAG_SESSIONS,
  FRAME_HEADER_SIZE_BYTES,
  FRAME_KIND,
  FRAME_SIZE_MAX_BYTES,
  type FrameCheck,
  type FrameKind,
  checkFrame,
  createFrameHeader,
  enterFrame,
  entrySizeOf,
  frameSizeOf,
  nextEntry,
  openFrameCursor,
  readFrameHeader,
  stampFrame,
  writeEntry,
  writeFrameHeader,
  writeSessionEntry,
} from '../../src/codec/frame.ts'
import { type Ballot, type LogIndex, ballotOf, nodeId } from '../../src/core/ids.ts'

interface Entry {
  readonly clientId: number
  readonly sequence: number
  readonly payload: Uint8Array
}
interface Sample {
  readonly kind: FrameKind
  readonly flags: number
  readonly ballot: number
  readonly first: number
  readonly clientId: number
  readonly clientSequence: number
  readonly entries: readonly Entry[]
}

interface Memory {
  readonly bytes: Uint8Array
  readonly view: DataView
}

const MAX = Number.MAX_SAFE_INTEGER
const memoryOf = (buffer: ArrayBufferLike): Memory => ({
  bytes: new Uint8Array(buffer),
  view: new DataView(buffer),
})

/** Makes the frame at `offset` of memory that was full of other bytes. */
function make(sample: Sample, offset = 64): Memory & { offset: number; size: number; crc: number } {
  const sessions = (sample.flags & FRAME_FLAG_SESSIONS) !== 0
  const bodySizeBytes = sample.entries
    .map(({ payload }) => entrySizeOf(payload.length, sessions))
    .reduce((sum, size) => sum + size, 0)
  const size = frameSizeOf(bodySizeBytes)
  const { bytes, view } = memoryOf(new SharedArrayBuffer(offset + size + 64))
  bytes.fill(0xa5)
  let at = offset + FRAME_HEADER_SIZE_BYTES
  for (const { clientId, sequence, payload } of sample.entries) {
    at = sessions
      ? writeSessionEntry(bytes, view, at, clientId, sequence, payload)
      : writeEntry(bytes, view, at, payload)
  }
  expect(at).toBe(offset + FRAME_HEADER_SIZE_BYTES + bodySizeBytes)
  const { kind, flags, clientId, clientSequence } = sample
  const count = sample.entries.length
  writeFrameHeader(view, offset, { kind, flags, bodySizeBytes, count, clientId, clientSequence })
  const crc = stampFrame(bytes, view, offset, sample.ballot as Ballot, sample.first as LogIndex)
  return { bytes, view, offset, size, crc }
}

function entriesOf({ view, bytes }: Memory, offset: number): { entries: Entry[]; problem: string } {
  const header = createFrameHeader()
  expect(readFrameHeader(bytes, view, offset, bytes.length, header)).toBe('ok')
  const cursor = openFrameCursor(view)
  enterFrame(cursor, view, offset, header)
  const entries: Entry[] = []
  while (nextEntry(cursor)) {
    const { clientId, sequence, payloadOffset, payloadSize } = cursor
    const payload = Uint8Array.from(bytes.subarray(payloadOffset, payloadOffset + payloadSize))
    entries.push({ clientId, sequence, payload })
  }
  return { entries, problem: cursor.problem }
}

const text = (value: string): Uint8Array => Uint8Array.from(Buffer.from(value))
const u53 = fc.oneof(fc.nat(100), fc.integer({ min: 0, max: MAX - 100 }))
const sampleArbitrary: fc.Arbitrary<Sample> = fc
  .record({
    kind: fc.constantFrom(FRAME_KIND.entries, FRAME_KIND.config, FRAME_KIND.session),
    sessions: fc.boolean(),
    ballot: u53,
    first: u53,
    clientId: u53,
    clientSequence: u53,
    entries: fc.array(
      fc.record({
        clientId: u53,
        sequence: u53,
        payload: fc
          .uint8Array({ maxLength: 80 })
          .map((payload): Uint8Array => Uint8Array.from(payload)),
      }),
      { minLength: 1, maxLength: 9 },
    ),
  })
  .map(({ sessions, entries, ...rest }) => ({
    ...rest,
    flags: sessions ? FRAME_FLAG_SESSIONS : 0,
    entries: sessions
      ? entries
      : entries.map(({ payload }, i) => ({
          clientId: rest.clientId,
          sequence: rest.clientSequence + i,
          payload,
        })),
  }))

const SMALL: Sample = {
  kind: FRAME_KIND.entries,
  flags: 0,
  ballot: ballotOf(3, nodeId(2)),
  first: 2 ** 40 + 1,
  clientId: 7,
  clientSequence: MAX - 2,
  entries: ['abc', '', 'hello'].map((value, i) => ({
    clientId: 7,
    sequence: MAX - 2 + i,
    payload: text(value),
  })),
}
const SESSIONS: Sample = { ...SMALL, flags: FRAME_FLAG_SESSIONS }

test('a frame that is stamped is read back, entry by entry, from shared memory', () => {
  fc.assert(
    fc.property(sampleArbitrary, (sample) => {
      const made = make(sample)
      const header = createFrameHeader()
      const limit = made.offset + made.size
      expect(checkFrame(made.bytes, made.view, made.offset, limit, header)).toBe('ok')
      expect(header).toMatchObject({
        kind: sample.kind,
        flags: sample.flags,
        ballot: sample.ballot,
        first: sample.first,
        clientId: sample.clientId,
        clientSequence: sample.clientSequence,
        count: sample.entries.length,
        sizeBytes: made.size,
        headerCrc: made.crc,
      })
      expect(entriesOf(made, made.offset)).toEqual({ entries: sample.entries, problem: 'ok' })
    }),
  )
})

test('what is read makes the same bytes again', () => {
  fc.assert(
    fc.property(sampleArbitrary, (sample) => {
      const one = make(sample, 0)
      const header = createFrameHeader()
      expect(checkFrame(one.bytes, one.view, 0, one.size, header)).toBe('ok')
      const two = make({ ...header, entries: entriesOf(one, 0).entries }, 0)
      expect(Buffer.compare(one.bytes, two.bytes)).toBe(0)
    }),
  )
})

test('a stamp leaves the bytes around the frame alone', () => {
  const { bytes, offset, size } = make(SMALL)
  expect(bytes.subarray(0, offset).every((byte) => byte === 0xa5)).toBe(true)
  expect(bytes.subarray(offset + size).every((byte) => byte === 0xa5)).toBe(true)
})

test('a second stamp replaces the first and keeps the body', () => {
  const { bytes, view, offset, size, crc } = make(SMALL)
  const again = stampFrame(bytes, view, offset, ballotOf(9, nodeId(1)), 8 as LogIndex)
  const header = createFrameHeader()
  expect(checkFrame(bytes, view, offset, offset + size, header)).toBe('ok')
  expect(header).toMatchObject({ ballot: ballotOf(9, nodeId(1)), first: 8, headerCrc: again })
  expect(again).not.toBe(crc)
})

test('the bytes of version 1 never change', () => {
  const golden = (sample: Sample): string => {
    const { bytes, size } = make(sample, 0)
    return Buffer.from(bytes.subarray(0, size)).toString('hex').replace(/.{64}/g, '$&\n')
  }
  expect(golden(SMALL)).toMatchInlineSnapshot(`
    "5850010100000000180000000300000002000300000000000100000000010000
    0700000000000000fdffffffffff1f000000000000000000c83c5ba16a5b7470
    0300000061626300000000000500000068656c6c6f0000000000000000000000
    0000000000000000000000000000000000000000000000000000000000000000
    "
  `)
  expect(golden(SESSIONS)).toMatchInlineSnapshot(`
    "5850010101000000480000000300000002000300000000000100000000010000
    0700000000000000fdffffffffff1f000000000000000000fa353f06317aa0f2
    0700000000000000fdffffffffff1f0003000000616263000700000000000000
    feffffffffff1f00000000000700000000000000ffffffffffff1f0005000000
    68656c6c6f000000000000000000000000000000000000000000000000000000
    0000000000000000000000000000000000000000000000000000000000000000
    "
  `)
})

test('sizes are those of the ruler', () => {
  expect([0, 1, 4, 64, 65].map((size) => frameSizeOf(size))).toEqual([64, 128, 128, 128, 192])
  expect([0, 1, 4, 5].map((size) => entrySizeOf(size))).toEqual([4, 8, 8, 12])
  expect([0, 1, 4, 5].map((size) => entrySizeOf(size, true))).toEqual([20, 24, 24, 28])
  expect(frameSizeOf(FRAME_BODY_SIZE_MAX_BYTES)).toBe(FRAME_SIZE_MAX_BYTES)
})

test.each([
  ['one client', SMALL],
  ['sessions', SESSIONS],
])('a frame of %s that is cut at any byte is short', (_name, sample) => {
  const { bytes, view, offset, size } = make(sample)
  const header = createFrameHeader()
  for (let limit = 0; limit < offset + size; limit++) {
    expect(checkFrame(bytes, view, offset, limit, header)).toBe('short')
    const cut = memoryOf(bytes.slice(0, limit).buffer)
    expect(checkFrame(cut.bytes, cut.view, offset, offset + size, header)).toBe('short')
  }
})

test.each([
  ['one client', SMALL],
  ['sessions', SESSIONS],
])('one flipped bit anywhere in a frame of %s is found', (_name, sample) => {
  const { bytes, view, offset, size } = make(sample)
  const header = createFrameHeader()
  for (let bit = 0; bit < size * 8; bit++) {
    const at = offset + (bit >> 3)
    bytes[at]! ^= 1 << (bit & 7)
    expect(checkFrame(bytes, view, offset, offset + size, header), `bit ${bit}`).not.toBe('ok')
    bytes[at]! ^= 1 << (bit & 7)
  }
  expect(checkFrame(bytes, view, offset, offset + size, header)).toBe('ok')
})

/** Changes a header and makes its checksum right again: what only a wrong program does. */
function forge(change: (view: DataView, bytes: Uint8Array) => void, sample = SMALL): FrameCheck {
  const { bytes, view, size } = make(sample, 0)
  change(view, bytes)
  view.setUint32(60, crc32(bytes.subarray(0, 60)), true)
  return checkFrame(bytes, view, 0, size, createFrameHeader())
}

test.each<[name: string, want: FrameCheck, change: (view: DataView, bytes: Uint8Array) => void]>([
  ['no change', 'ok', () => undefined],
  ['another magic', 'magic', (view) => view.setUint16(0, 0x5059, true)],
  ['a later version', 'version', (view) => view.setUint8(2, 2)],
  ['kind 0', 'kind', (view) => view.setUint8(3, 0)],
  ['kind 7', 'kind', (view) => view.setUint8(3, 7)],
  ['entries that continue', 'ok', (view) => view.setUint16(4, FRAME_FLAG_CONTINUES, true)],
  [
    'a config batch that continues',
    'flags',
    (view) => {
      view.setUint8(3, FRAME_KIND.config)
      view.setUint16(4, FRAME_FLAG_CONTINUES, true)
    },
  ],
  ['an unknown flag', 'flags', (view) => view.setUint16(4, 0x8000, true)],
  ['a group', 'flags', (view) => view.setUint16(6, 1, true)],
  ['reserved bits, low', 'flags', (view) => view.setUint32(48, 1, true)],
  ['reserved bits, high', 'flags', (view) => view.setUint32(52, 1, true)],
  ['a body beyond the bound', 'size', (v) => v.setUint32(8, FRAME_BODY_SIZE_MAX_BYTES + 1, true)],
  ['the largest u32 as body', 'size', (view) => view.setUint32(8, 0xffff_ffff, true)],
  ['a body behind the limit', 'short', (v) => v.setUint32(8, FRAME_BODY_SIZE_MAX_BYTES, true)],
  ['no entries', 'count', (view) => view.setUint32(12, 0, true)],
  ['more entries than words', 'count', (view) => view.setUint32(12, 7, true)],
  ['more sessions than room', 'count', (view) => view.setUint16(4, FRAME_FLAG_SESSIONS, true)],
  ['an empty frame of three', 'count', (view) => view.setUint8(3, FRAME_KIND.empty)],
  ['an abort of three', 'count', (view) => view.setUint8(3, FRAME_KIND.abort)],
  ['ballot 2^53', 'number', (view) => view.setUint32(20, 0x200000, true)],
  ['first 2^53', 'number', (view) => view.setUint32(28, 0x200000, true)],
  ['client 2^64 - 1', 'number', (view) => view.setUint32(36, 0xffff_ffff, true)],
  ['client sequence 2^53', 'number', (view) => view.setUint32(44, 0x200000, true)],
  ['a last sequence of 2^53', 'number', (view) => view.setUint32(40, 0xffff_ffff, true)],
  [
    'a last index of 2^53',
    'number',
    (view) => {
      view.setUint32(24, 0xffff_ffff, true)
      view.setUint32(28, 0x1fffff, true)
    },
  ],
  ['another body checksum', 'body-crc', (view) => view.setUint32(56, 1, true)],
  ['a byte behind the body', 'padding', (_view, bytes) => void (bytes[127] = 1)],
])('a frame with a right header checksum and %s is %s', (_name, want, change) => {
  expect(forge(change)).toBe(want)
})

test('a wrong header checksum is told before any field is believed', () => {
  const { bytes, view, size } = make(SMALL, 0)
  view.setUint32(8, 0xffff_ffff, true)
  expect(checkFrame(bytes, view, 0, size, createFrameHeader())).toBe('header-crc')
})

test.each(Object.entries(FRAME_KIND))('a frame of kind %s is taken', (_name, kind) => {
  const entry = { clientId: 0, sequence: 0, payload: text('') }
  const sample = { ...SMALL, kind, clientId: 0, clientSequence: 0, entries: [entry] }
  const { bytes, view, size } = make(sample, 0)
  const header = createFrameHeader()
  expect(checkFrame(bytes, view, 0, size, header)).toBe('ok')
  expect(header.kind).toBe(kind)
})

test.each(['empty', 'abort'] as const)('an %s frame has one entry of no bytes', (kind) => {
  const entry = { clientId: 0, sequence: 0, payload: text('') }
  const sample = { ...SMALL, kind: FRAME_KIND[kind], clientId: 0, clientSequence: 0 }
  const { bytes, view, size } = make({ ...sample, entries: [entry] }, 0)
  expect(checkFrame(bytes, view, 0, size, createFrameHeader())).toBe('ok')
  expect(entriesOf({ bytes, view }, 0)).toEqual({ entries: [entry], problem: 'ok' })
})

test.each<[name: string, want: string, count: number, sample: Sample, at: number, value: number]>([
  ['a length beyond the body', 'entry-length', 0, SMALL, 64, 1_000],
  ['the largest length', 'entry-length', 0, SMALL, 64, 0xffff_ffff],
  ['a length that leaves no room for the rest', 'entry-length', 1, SMALL, 64, 20],
  ['a length that swallows the next entry', 'entry-length', 2, SMALL, 64, 8],
  ['a last length one word beyond the body', 'entry-length', 2, SMALL, 76, 12],
  ['bytes behind the last entry', 'entry-trailing', 3, SMALL, 76, 0],
  ['bytes between entries', 'entry-padding', 0, SMALL, 64, 2],
  ['a client id of 2^53', 'entry-number', 0, SESSIONS, 68, 0x200000],
  ['a sequence of 2^53', 'entry-number', 0, SESSIONS, 76, 0x200000],
  ['a length beyond the body, with sessions', 'entry-length', 0, SESSIONS, 80, 1_000],
  ['no room for the next session', 'entry-length', 1, SESSIONS, 80, 40],
])('a walk stops at %s: %s after %d', (_name, want, count, sample, at, value) => {
  const { bytes, view } = make(sample, 0)
  view.setUint32(at, value, true)
  const { entries, problem } = entriesOf({ bytes, view }, 0)
  expect({ problem, count: entries.length }).toEqual({ problem: want, count })
})

test('a body of random bytes ends a walk within bounds', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 4, maxLength: 200 }), fc.boolean(), (body, sessions) => {
      const { bytes, view } = memoryOf(new ArrayBuffer(frameSizeOf(body.length)))
      bytes.set(body, 64)
      const header = { ...createFrameHeader(), bodySizeBytes: body.length }
      header.flags = sessions ? FRAME_FLAG_SESSIONS : 0
      header.count = Math.max(1, body.length >> 3)
      const cursor = openFrameCursor(view)
      enterFrame(cursor, view, 0, header)
      while (nextEntry(cursor)) {
        expect(cursor.payloadOffset + cursor.payloadSize).toBeLessThanOrEqual(64 + body.length)
      }
      expect(nextEntry(cursor)).toBe(false)
    }),
  )
})

test('random bytes are refused and never throw', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.integer({ min: -9, max: 300 }),
      (random, at) => {
        const { bytes, view } = memoryOf(Uint8Array.from(random).buffer)
        expect(checkFrame(bytes, view, at, bytes.length, createFrameHeader())).not.toBe('ok')
      },
    ),
  )
})

test('random bytes behind a right magic, version and header checksum never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 64, maxLength: 256 }), (random) => {
      const { bytes, view } = memoryOf(Uint8Array.from(random).buffer)
      view.setUint16(0, 0x5058, true)
      view.setUint8(2, 1)
      view.setUint32(60, crc32(bytes.subarray(0, 60)), true)
      expect(checkFrame(bytes, view, 0, bytes.length, createFrameHeader())).not.toBe('header-crc')
    }),
  )
})

test.each<[name: string, change: Partial<Parameters<typeof writeFrameHeader>[2]>]>([
  ['no entries', { count: 0 }],
  ['an unknown flag', { flags: 4 }],
  ['a body beyond the bound', { bodySizeBytes: FRAME_BODY_SIZE_MAX_BYTES + 1 }],
  ['a body that is too small', { bodySizeBytes: 4, count: 2 }],
  ['a client id of 2^53', { clientId: 2 ** 53 }],
  ['a negative sequence', { clientSequence: -1 }],
])('writing a header with %s is a bug', (_name, change) => {
  const { view } = memoryOf(new ArrayBuffer(128))
  const fields = { kind: 1, flags: 0, bodySizeBytes: 8, count: 1, clientId: 1, clientSequence: 1 }
  expect(() => writeFrameHeader(view, 0, { ...fields, ...change } as never)).toThrow()
})

test('stamping what has no header is a bug', () => {
  const { bytes, view } = memoryOf(new ArrayBuffer(128))
  expect(() => stampFrame(bytes, view, 0, 1 as Ballot, 1 as LogIndex)).toThrow()
})
