/** The wire header: round trips, every refusal, truncation, flipped bits, golden bytes. */
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  CELL_WORDS,
  PAYLOAD_SIZE_MAX_BYTES,
  WIRE_HEADER_SIZE_BYTES,
  decodeWireHeader,
  encodeWireHeader,
  writeWireWords,
} from '../../src/codec/cell.ts'

const MAX = Number.MAX_SAFE_INTEGER
const word = (min: number): fc.Arbitrary<number> =>
  fc.oneof(fc.integer({ min, max: 9 }), fc.integer({ min, max: MAX }))

const cellArbitrary = fc
  .record({
    head: fc.tuple(fc.integer({ min: 1, max: MAX }), fc.integer({ min: 1, max: 65_535 })),
    units: fc.nat(PAYLOAD_SIZE_MAX_BYTES / 64),
    session: word(0),
    stamp: word(0),
    fields: fc.array(word(-1), { minLength: 9, maxLength: 9 }),
  })
  .map(({ head, units, session, stamp, fields }) => {
    const words = Float64Array.of(...head, units * 64, units >> 1, 0, 0, 0, ...fields)
    writeWireWords(words, 0, session, stamp)
    return words
  })

interface Wire {
  readonly bytes: Uint8Array
  readonly view: DataView
}

function wireOf(words: Float64Array, offset = 0): Wire {
  const bytes = new Uint8Array(offset + WIRE_HEADER_SIZE_BYTES)
  const view = new DataView(bytes.buffer)
  encodeWireHeader(bytes, view, offset, words, 0)
  return { bytes, view }
}

const decode = ({ bytes, view }: Wire, offset = 0, words = new Float64Array(16)): string =>
  decodeWireHeader(bytes, view, offset, words, 0)

const SAMPLE = Float64Array.of(9, 2, 128, 1, 1, 5, 1_000, 65_537, 3, 4, -1, MAX, 0, 0, 0, 0)

test('a header is decoded to the words that were encoded, at any byte', () => {
  fc.assert(
    fc.property(cellArbitrary, fc.nat(9), (words, offset) => {
      const wire = wireOf(words, offset)
      const decoded = new Float64Array(3 * CELL_WORDS)
      expect(decodeWireHeader(wire.bytes, wire.view, offset, decoded, CELL_WORDS)).toBe('ok')
      expect(decoded.subarray(CELL_WORDS, 2 * CELL_WORDS)).toEqual(words)
      expect(wireOf(decoded.slice(CELL_WORDS), offset).bytes).toEqual(wire.bytes)
    }),
  )
})

test('the bytes of protocol 1 never change', () => {
  const hex = Buffer.from(wireOf(SAMPLE).bytes).toString('hex').replace(/.{64}/g, '$&\n')
  expect(hex).toMatchInlineSnapshot(`
    "5850433184c0c411000000000000224000000000000000400000000000006040
    000000000000f03f000000000000f03f00000000000014400000000000408f40
    000000001000f04000000000000008400000000000001040000000000000f0bf
    ffffffffffff3f43000000000000000000000000000000000000000000000000
    0000000000000000"
  `)
})

test('a header that is cut at any byte is short', () => {
  const { bytes } = wireOf(SAMPLE)
  for (let size = 0; size < bytes.length; size++) {
    const cut = bytes.slice(0, size)
    expect(decode({ bytes: cut, view: new DataView(cut.buffer) })).toBe('short')
  }
  expect(decode(wireOf(SAMPLE), -1)).toBe('short')
  expect(decode(wireOf(SAMPLE), 1)).toBe('short')
})

test('one flipped bit anywhere is found', () => {
  const wire = wireOf(SAMPLE)
  for (let bit = 0; bit < wire.bytes.length * 8; bit++) {
    wire.bytes[bit >> 3]! ^= 1 << (bit & 7)
    expect(decode(wire), `bit ${bit}`).toBe(bit < 32 ? 'magic' : 'crc')
    wire.bytes[bit >> 3]! ^= 1 << (bit & 7)
  }
  expect(decode(wire)).toBe('ok')
})

function forge(at: number, value: number): string {
  const wire = wireOf(SAMPLE)
  wire.view.setFloat64(8 + 8 * at, value, true)
  wire.view.setUint32(4, crc32(wire.bytes.subarray(8)), true)
  return decode(wire)
}

test('a number that no word can have is refused in every word', () => {
  for (let at = 0; at < CELL_WORDS; at++) {
    for (const bad of [NaN, Infinity, -Infinity, -2, -0, 0.5, MAX + 1]) {
      expect(forge(at, bad), `word ${at} = ${bad}`).toBe('number')
    }
    expect(forge(at, -1)).toBe(at < 7 ? 'number' : 'ok')
  }
})

test.each([
  ['kind 0', 0, 0, 'number'],
  ['from nobody', 1, 0, 'number'],
  ['from a node beyond u16', 1, 65_536, 'number'],
  ['a payload that is no multiple of 64', 2, 129, 'size'],
  ['a payload beyond the bound', 2, PAYLOAD_SIZE_MAX_BYTES + 64, 'size'],
  ['the largest payload', 2, PAYLOAD_SIZE_MAX_BYTES, 'ok'],
  ['a payload without frames', 3, 0, 'ok'],
  ['frames without payload', 2, 0, 'size'],
  ['more frames than the payload can hold', 3, 2, 'size'],
  ['another protocol', 4, 2, 'protocol'],
])('%s: word %d = %d is %s', (_name, at, value, want) => {
  expect(forge(at, value)).toBe(want)
})

test('random bytes are refused and never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: -2, max: 90 }), (raw, at) => {
      const bytes = Uint8Array.from(raw)
      expect(decode({ bytes, view: new DataView(bytes.buffer) }, at)).not.toBe('ok')
    }),
  )
})

test('random words behind a right checksum never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 136, maxLength: 136 }), (raw) => {
      const bytes = Uint8Array.from(raw)
      const view = new DataView(bytes.buffer)
      view.setUint32(0, 0x31435058, true)
      view.setUint32(4, crc32(bytes.subarray(8)), true)
      expect(['number', 'protocol', 'size', 'ok']).toContain(decode({ bytes, view }))
    }),
  )
})

test('encoding a cell that would be refused is a bug', () => {
  for (const [at, value] of [
    [0, 0],
    [2, 63],
    [4, 2],
    [9, 0.5],
  ] as const) {
    const words = SAMPLE.slice()
    words[at] = value
    expect(() => wireOf(words)).toThrow()
  }
})
