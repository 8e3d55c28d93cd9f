import { expect, test } from 'vitest'
import {
  ENVELOPE_SIZE_BYTES,
  type EnvelopeFields,
  chainStep,
  encodeEnvelope,
} from '../../src/codec/record.ts'
import { type LogIndex, type Lsn, ballotOf, nodeId } from '../../src/core/ids.ts'
import { type Place, openWindow, readRecord } from '../../src/wal/scan.ts'
import { createMemoryStorage } from '../../src/sim/memory-storage.ts'
import { frameOf, framesOf } from '../support/wal-records.ts'

const OFFSET = 4096
const LIMIT = 16 * 1024
const ballot = ballotOf(1, nodeId(1))
const frame = frameOf(ballot, 11, 3, 100)
const PLACE: Place = {
  segment: 5,
  offset: OFFSET,
  limit: LIMIT,
  lsn: 40 as Lsn,
  chain: 77,
  metadataLsn: 12 as Lsn,
}
const FIELDS: EnvelopeFields = {
  lsn: 41 as Lsn,
  payloadSizeBytes: frame.length,
  frameCount: 1,
  segment: 5,
  floor: 10 as LogIndex,
  synced: 38 as Lsn,
  metadata: 12 as Lsn,
  payloadDigest: chainStep(0, framesOf(frame)[0]!.headerCrc),
}

/** What stands at PLACE when this envelope and this payload are in the file. */
function readBack(fields: EnvelopeFields, chain: number, payload: Uint8Array, place: Place) {
  const storage = createMemoryStorage()
  const file = storage.create('/d/f')
  const bytes = new Uint8Array(ENVELOPE_SIZE_BYTES)
  const words = new Float64Array(bytes.buffer)
  const [prev, through] = [10 as LogIndex, 13 as LogIndex]
  encodeEnvelope(bytes, words, 0, { kind: 'entries', ballot, prev, through }, fields, chain)
  storage.pwrite(file, new Uint8Array(LIMIT), 0)
  storage.pwritev(file, [bytes, payload], OFFSET)
  return readRecord(openWindow(storage, file), place)
}

test('a record that continues everything is the next one', () => {
  const found = readBack(FIELDS, PLACE.chain, frame, PLACE)
  expect(found).toMatchObject({ lsn: 41, floor: 10, synced: 38, offset: OFFSET, segment: 5 })
  expect(found?.frames).toEqual(framesOf(frame))
  expect(Buffer.compare(found!.payload, frame)).toBe(0)
})

const otherFrame = frameOf(ballot, 14, 3, 100)

test.each<[name: string, fields: Partial<EnvelopeFields>, chain: number, payload: Uint8Array]>([
  ['of another segment: the file was recycled', { segment: 4 }, 77, frame],
  ['behind another record: its chain differs', {}, 78, frame],
  ['with the LSN before it', { lsn: 40 as Lsn }, 77, frame],
  ['that knows newer metadata than was found', { metadata: 13 as Lsn }, 77, frame],
  ['whose frame is whole but another one', {}, 77, otherFrame],
  ['with fewer frames than it says', { frameCount: 2 }, 77, frame],
  ['whose frame is damaged', {}, 77, frame.map((byte, i) => (i === 100 ? byte ^ 1 : byte))],
])('a whole record %s is not the next one', (_name, fields, chain, payload) => {
  expect(readBack({ ...FIELDS, ...fields }, chain, payload, PLACE)).toBe(null)
})

test('a record that would reach beyond its segment is not the next one', () => {
  const limit = OFFSET + ENVELOPE_SIZE_BYTES + frame.length - 64
  expect(readBack(FIELDS, PLACE.chain, frame, { ...PLACE, limit })).toBe(null)
})
