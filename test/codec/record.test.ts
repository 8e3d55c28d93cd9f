/** WAL envelopes: round trips of every record, chain, every refusal, flipped bits, golden bytes. */
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  ENVELOPE_CHAIN,
  ENVELOPE_CRC,
  ENVELOPE_DIGEST,
  ENVELOPE_FIELDS,
  ENVELOPE_MAGIC,
  ENVELOPE_SIZE_BYTES,
  type EnvelopeFields,
  chainAfter,
  chainStep,
  decodeEnvelope,
  encodeEnvelope,
  recordOf,
} from '../../src/codec/record.ts'
import { chainOf } from '../../src/core/frame-ref.ts'
import type { LogIndex, Lsn } from '../../src/core/ids.ts'
import type { WalRecord } from '../../src/core/records.ts'

const MAX = Number.MAX_SAFE_INTEGER
const BASE = 16

type Fields = {
  readonly [K in WalRecord['kind']]: readonly Exclude<
    keyof Extract<WalRecord, { readonly kind: K }>,
    'kind'
  >[]
}
const FIELDS: Fields = {
  entries: ['ballot', 'prev', 'through'],
  promised: ['ballot'],
  'sync-begin': ['ballot', 'syncPoint', 'adoptedLast'],
  'sync-entries': ['ballot', 'prev', 'through'],
  'sync-commit': ['ballot', 'syncPoint', 'through'],
  'instance-promised': ['instance', 'ballot'],
  'instance-accepted': ['instance', 'ballot'],
  'instance-chosen': ['instance', 'ballot'],
}
const KINDS = Object.entries(FIELDS).map(([kind, names]) => ({ kind, names: names as string[] }))

const number = fc.oneof(fc.nat(9), fc.integer({ min: 0, max: MAX }))
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff })
const fieldsArbitrary = fc
  .record({
    lsn: fc.integer({ min: 1, max: MAX }),
    units: fc.nat(131_073),
    segment: number,
    floor: number,
    synced: number,
    metadata: number,
    payloadDigest: uint32,
  })
  .map(({ units, ...rest }) => ({ ...rest, payloadSizeBytes: units * 64, frameCount: units >> 1 }))
  .map((fields) => fields as unknown as EnvelopeFields)

const fieldOf = (name: string): fc.Arbitrary<number> =>
  name === 'ballot' ? number.filter((value) => value === 0 || value % 65_536 !== 0) : number

interface Memory {
  readonly bytes: Uint8Array
  readonly words: Float64Array
}
function memory(): Memory {
  const buffer = new SharedArrayBuffer(3 * ENVELOPE_SIZE_BYTES)
  return { bytes: new Uint8Array(buffer).fill(0xa5), words: new Float64Array(buffer) }
}

const RECORD: WalRecord = { kind: 'entries', ballot: 65_537, prev: 4, through: 9 } as WalRecord
const SAMPLE: EnvelopeFields = {
  lsn: 12 as Lsn,
  payloadSizeBytes: 256,
  frameCount: 2,
  segment: 3,
  floor: 4 as LogIndex,
  synced: 11 as Lsn,
  metadata: 1 as Lsn,
  payloadDigest: 0xdeadbeef,
}
function sample(): Memory & { chain: number } {
  const { bytes, words } = memory()
  return { bytes, words, chain: encodeEnvelope(bytes, words, BASE, RECORD, SAMPLE, 77) }
}

test.each(KINDS)('$kind is read back as it was written, its envelope too', ({ kind, names }) => {
  const record = fc.record(Object.fromEntries(names.map((name) => [name, fieldOf(name)])))
  fc.assert(
    fc.property(record, fieldsArbitrary, uint32, (values, fields, previous) => {
      const made = { kind, ...values } as unknown as WalRecord
      const { bytes, words } = memory()
      const chain = encodeEnvelope(bytes, words, BASE, made, fields, previous)
      expect(decodeEnvelope(bytes, words, BASE)).toBe('ok')
      expect(recordOf(words, BASE)).toEqual(made)
      expect([...words.subarray(BASE + 1, BASE + 9)]).toEqual([
        fields.lsn,
        fields.payloadSizeBytes,
        fields.frameCount,
        fields.segment,
        fields.floor,
        chain,
        fields.synced,
        fields.metadata,
      ])
      expect(words[BASE + ENVELOPE_DIGEST]).toBe(fields.payloadDigest)
      expect(chainAfter(bytes, BASE, previous)).toBe(chain)
      const again = memory()
      encodeEnvelope(again.bytes, again.words, BASE, recordOf(words, BASE), fields, previous)
      expect(Buffer.compare(again.bytes, bytes)).toBe(0)
    }),
  )
})

test('codes and the order of fields never change', () => {
  const lines = KINDS.map(({ kind, names }) => {
    const { bytes, words } = memory()
    const values = Object.fromEntries(names.map((name, i) => [name, i + 1]))
    encodeEnvelope(bytes, words, 0, { kind, ...values } as unknown as WalRecord, SAMPLE, 0)
    const order = [...words.subarray(ENVELOPE_FIELDS, ENVELOPE_DIGEST)].map((w) => names[w - 1])
    return `${words[0]! - ENVELOPE_MAGIC} ${kind}: ${order.join(' ').trim()}`
  })
  expect(lines.join('\n')).toMatchInlineSnapshot(`
    "1 entries: ballot prev through
    2 promised: ballot
    3 sync-begin: ballot syncPoint adoptedLast
    4 sync-entries: ballot prev through
    5 sync-commit: ballot syncPoint through
    6 instance-promised: instance ballot
    7 instance-accepted: instance ballot
    8 instance-chosen: instance ballot"
  `)
})

test('the bytes of an envelope never change', () => {
  const { bytes } = sample()
  const hex = Buffer.from(bytes.subarray(128, 256)).toString('hex').replace(/.{64}/g, '$&\n')
  expect(hex).toMatchInlineSnapshot(`
    "000040001314d641000000000000284000000000000070400000000000000040
    000000000000084000000000000010400000c0748450e3410000000000002640
    000000000000f03f000000001000f04000000000000010400000000000002240
    000000000000000000000000000000000000e0ddb7d5eb41000080ee58d6e941
    "
  `)
})

test('the chain is the one of the core, over bytes 0-47 and 56-119', () => {
  fc.assert(
    fc.property(uint32, uint32, (previous, crc) => {
      expect(chainStep(previous, crc)).toBe(chainOf(previous, crc))
    }),
  )
  const { bytes, chain } = sample()
  const covered = Buffer.concat([bytes.subarray(128, 176), bytes.subarray(184, 248)])
  expect(chain).toBe(chainOf(77, crc32(covered)))
})

test('another predecessor gives another chain, the same bytes elsewhere', () => {
  const one = sample()
  const two = memory()
  const chain = encodeEnvelope(two.bytes, two.words, BASE, RECORD, SAMPLE, 78)
  expect(chain).not.toBe(one.chain)
  expect(chainAfter(two.bytes, BASE, 77)).toBe(one.chain)
})

test('writing an envelope leaves its neighbours alone', () => {
  const { bytes } = sample()
  const around = [...bytes.subarray(0, 128), ...bytes.subarray(256)]
  expect(around.every((byte) => byte === 0xa5)).toBe(true)
})

test('one flipped bit anywhere is found', () => {
  const { bytes, words } = sample()
  for (let bit = 128 * 8; bit < 256 * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    expect(['magic', 'crc'], `bit ${bit}`).toContain(decodeEnvelope(bytes, words, BASE))
    bytes[bit >> 3]! ^= 1 << (bit & 7)
  }
  expect(decodeEnvelope(bytes, words, BASE)).toBe('ok')
})

test('an envelope whose rest was never written is found, at every byte', () => {
  const { bytes, words } = sample()
  const whole = bytes.slice()
  for (let size = 0; size < ENVELOPE_SIZE_BYTES; size++) {
    if (whole.subarray(128 + size, 256).every((byte) => byte === 0)) continue // same bytes
    bytes.set(whole)
    bytes.fill(0, 128 + size, 256)
    expect(['magic', 'crc']).toContain(decodeEnvelope(bytes, words, BASE))
  }
})

function forge(at: number, value: number): string {
  const { bytes, words } = sample()
  words[BASE + at] = value
  if (at !== ENVELOPE_CRC) words[BASE + ENVELOPE_CRC] = crc32(bytes.subarray(128, 128 + 120))
  return decodeEnvelope(bytes, words, BASE)
}

test('a number that no word can have is refused in every word', () => {
  for (let at = 1; at < ENVELOPE_CRC; at++) {
    for (const bad of [NaN, Infinity, -1, -0, 0.5, MAX + 1]) {
      expect(forge(at, bad), `word ${at} = ${bad}`).toBe('number')
    }
  }
})

test.each([
  ['zeroes of a new segment', 0, 0, 'magic'],
  ['another magic', 0, 0x58504d01, 'magic'],
  ['no code', 0, ENVELOPE_MAGIC, 'magic'],
  ['half a code', 0, ENVELOPE_MAGIC + 1.5, 'magic'],
  ['a number that is none', 0, NaN, 'magic'],
  ['a kind of a later version', 0, ENVELOPE_MAGIC + 200, 'kind'],
  ['LSN 0', 1, 0, 'number'],
  ['a payload that is no multiple of 64', 2, 300, 'number'],
  ['a payload beyond the bound', 2, 2 ** 24, 'number'],
  ['more frames than the payload can hold', 3, 3, 'number'],
  ['a chain beyond u32', ENVELOPE_CHAIN, 2 ** 32, 'number'],
  ['a ballot without an owner', 9, 65_536, 'number'],
  ['a field that the record does not have', 12, 1, 'number'],
  ['a digest beyond u32', ENVELOPE_DIGEST, 2 ** 32, 'number'],
  ['another checksum', ENVELOPE_CRC, 1, 'crc'],
  ['a checksum that is no number', ENVELOPE_CRC, NaN, 'crc'],
])('%s: word %d = %d is %s', (_name, at, value, want) => {
  expect(forge(at, value)).toBe(want)
})

test('random bytes are refused and never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 128, maxLength: 128 }), fc.boolean(), (raw, forged) => {
      const { bytes, words } = memory()
      bytes.set(raw)
      if (forged) {
        words[0] = ENVELOPE_MAGIC + (1 + (raw[0]! % 9))
        words[ENVELOPE_CRC] = crc32(bytes.subarray(0, 120))
      }
      expect(decodeEnvelope(bytes, words, 0)).not.toBe('ok')
    }),
  )
})

test('writing an envelope that could not be recovered is a bug', () => {
  const { bytes, words } = memory()
  const write = (record: object, fields: object): number =>
    encodeEnvelope(bytes, words, 0, record as WalRecord, fields as EnvelopeFields, 0)
  expect(() => write(RECORD, { ...SAMPLE, lsn: 0 })).toThrow()
  expect(() => write(RECORD, { ...SAMPLE, payloadSizeBytes: 100 })).toThrow()
  expect(() => write(RECORD, { ...SAMPLE, payloadDigest: -1 })).toThrow()
  expect(() => write({ ...RECORD, prev: -1 }, SAMPLE)).toThrow()
  expect(() => write({ kind: 'other' }, SAMPLE)).toThrow()
})
