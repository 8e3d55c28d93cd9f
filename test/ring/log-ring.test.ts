/** Behaviour of the log ring on one thread: claims, the gap before the end, release, wrap. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import { cellRingMemory } from '../../src/ring/cell-ring.ts'
import {
  type LogRing,
  freeBytes,
  logRingMemory,
  occupancyBytes,
  openLogRing,
  publish,
  release,
  statisticsOf,
  tryClaim,
} from '../../src/ring/log-ring.ts'

const open = (capacityBytes: number, startAt = 0): LogRing =>
  openLogRing(logRingMemory(capacityBytes, startAt))

/** Claims and publishes one frame; returns [offset, end]. */
function write(ring: LogRing, sizeBytes: number): [number, number] {
  const offset = tryClaim(ring, sizeBytes)
  expect(offset).toBeGreaterThanOrEqual(0)
  return [offset, publish(ring, sizeBytes)]
}

test('frames lie one behind the other, and end sequences count units of 64 bytes', () => {
  const ring = open(1024)
  expect(write(ring, 64)).toEqual([0, 1])
  expect(write(ring, 192)).toEqual([64, 4])
  expect(write(ring, 128)).toEqual([256, 6])
  expect(occupancyBytes(ring)).toBe(384)
  expect(freeBytes(ring)).toBe(640)
})

test('the unpublished rest of a claim is the next claim', () => {
  const ring = open(1024)
  tryClaim(ring, 500)
  expect(publish(ring, 64)).toBe(1)
  expect(tryClaim(ring, 1)).toBe(64)
})

test('an abandoned claim leaves nothing, not even the gap that it skipped', () => {
  const ring = open(1024)
  release(ring, write(ring, 512)[1])
  release(ring, write(ring, 384)[1]) // at 896 now
  expect(tryClaim(ring, 256)).toBe(0)
  expect(publish(ring, 0)).toBe(14)
  expect(occupancyBytes(ring)).toBe(0)
  expect(tryClaim(ring, 128)).toBe(896)
})

test('a claim that would cross the end starts at 0, and the gap is freed with its frame', () => {
  const ring = open(1024)
  release(ring, write(ring, 512)[1])
  const [, before] = write(ring, 320) // ends at 832
  const [offset, end] = write(ring, 256)
  expect([offset, end]).toEqual([0, 16 + 4])
  expect(occupancyBytes(ring)).toBe(320 + 192 + 256)
  release(ring, before)
  expect(occupancyBytes(ring)).toBe(192 + 256)
  release(ring, end)
  expect(occupancyBytes(ring)).toBe(0)
})

test('a claim that ends exactly at the end of the data leaves no gap', () => {
  const ring = open(1024)
  release(ring, write(ring, 512)[1])
  expect(write(ring, 512)).toEqual([512, 16])
  expect(tryClaim(ring, 512)).toBe(0)
})

test('the gap counts: a claim is refused when only its bytes would fit', () => {
  const ring = open(1024)
  const [, first] = write(ring, 512)
  write(ring, 320) // at 832: 192 bytes to the end
  release(ring, first) // 512 free at the start
  expect(tryClaim(ring, 512)).toBe(0)
  publish(ring, 0)
  const other = open(1024)
  write(other, 256)
  release(other, 3) // 192 free at the start
  write(other, 512)
  expect(freeBytes(other)).toBe(1024 - 64 - 512)
  expect(tryClaim(other, 256)).toBe(768)
  publish(other, 192)
  expect(tryClaim(other, 256)).toBe(-1) // gap 64 + 256 > 256 free
  expect(statisticsOf(other).stalls).toBe(1)
})

test('a full ring refuses until the releaser frees, seen through another handle', () => {
  const memory = logRingMemory(1024)
  const writer = openLogRing(memory)
  const releaser = openLogRing(memory)
  const [, first] = write(writer, 512)
  write(writer, 512)
  expect(tryClaim(writer, 64)).toBe(-1)
  expect(tryClaim(writer, 64)).toBe(-1)
  expect(statisticsOf(releaser).stalls).toBe(2)
  release(releaser, first)
  expect(tryClaim(writer, 512)).toBe(0)
})

test('the largest claim fits into an empty ring wherever it stands', () => {
  for (let at = 0; at < 16; at++) {
    const ring = open(1024, at)
    expect(tryClaim(ring, 512)).toBe(at <= 8 ? at * 64 : 0)
  }
})

test.each([
  ['2^31', 2 ** 31 - 8],
  ['2^32', -8],
])('sequences wrap at %s', (_name, startAt) => {
  const ring = open(1024, startAt)
  const ends = [1, 2, 3, 4].map(() => {
    const [, end] = write(ring, 512)
    expect(occupancyBytes(ring)).toBe(512)
    release(ring, end)
    return end
  })
  expect(ends).toEqual([8, 16, 24, 32].map((units) => (startAt + units) | 0))
})

test('bytes, view and words show the same data', () => {
  const ring = open(1024)
  write(ring, 64)
  const offset = tryClaim(ring, 64)
  ring.words[offset / 4] = 0x01020304
  expect(ring.view.getInt32(offset, true)).toBe(0x01020304)
  expect(ring.bytes[offset]).toBe(4)
  expect(ring.bytes).toHaveLength(1024)
})

test('occupancy is sampled in bytes', () => {
  const ring = open(1024)
  write(ring, 192)
  expect(statisticsOf(ring)).toMatchObject({ samples: 1, occupancySum: 192, occupancyMax: 192 })
})

test.each<[string, (ring: LogRing) => void]>([
  ['claiming more than half', (ring) => tryClaim(ring, 513)],
  ['claiming nothing', (ring) => tryClaim(ring, 0)],
  ['publishing without a claim', (ring) => publish(ring, 64)],
  ['a second claim', (ring) => [tryClaim(ring, 64), tryClaim(ring, 64)]],
  ['publishing past the claim', (ring) => [tryClaim(ring, 64), publish(ring, 128)]],
  ['publishing part of a unit', (ring) => [tryClaim(ring, 128), publish(ring, 100)]],
  ['releasing what is not published', (ring) => release(ring, 5)],
  ['releasing backwards', (ring) => [release(ring, 4), release(ring, 3)]],
])('%s is an assertion', (_name, misuse) => {
  const ring = open(1024)
  write(ring, 256)
  expect(() => misuse(ring)).toThrow(AssertionError)
})

test('a memory of the other kind is refused', () => {
  expect(() => openLogRing(cellRingMemory(8))).toThrow(/kind/)
})

test('property: live frames never overlap, keep their bytes, and refusals are true', () => {
  const step = fc.record({
    maxBytes: fc.integer({ min: 1, max: 1024 }),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    releases: fc.integer({ min: 0, max: 3 }),
  })
  const start = fc.oneof(fc.constant(2 ** 31 - 20), fc.constant(-20), fc.integer())
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), start, (steps, startAt) => {
      const memory = logRingMemory(2048, startAt | 0)
      const writer = openLogRing(memory)
      const releaser = openLogRing(memory)
      const live: { offset: number; size: number; end: number; endAt: number; mark: number }[] = []
      let position = 32 + (startAt & 31) // in units, unwrapped
      let freed = position
      steps.forEach(({ maxBytes, share, releases }, mark) => {
        const units = Math.ceil(maxBytes / 64)
        const gap = (position % 32) + units > 32 ? 32 - (position % 32) : 0
        const offset = tryClaim(writer, maxBytes)
        expect(offset >= 0).toBe(position + gap + units - freed <= 32)
        if (offset >= 0) {
          const size = Math.floor(share * units) * 64
          writer.bytes.fill(mark, offset, offset + size)
          const end = publish(writer, size)
          if (size > 0) {
            position += gap + size / 64
            for (const frame of live)
              expect(offset >= frame.offset + frame.size || offset + size <= frame.offset).toBe(
                true,
              )
            live.push({ offset, size, end, endAt: position, mark })
          }
          expect(end).toBe((startAt + position - 32 - (startAt & 31)) | 0)
        }
        for (const { offset: from, size, mark: byte } of live)
          expect(releaser.bytes.subarray(from, from + size).every((one) => one === byte)).toBe(true)
        const gone = live.splice(0, releases).at(-1)
        if (gone !== undefined) {
          release(releaser, gone.end)
          freed = gone.endAt
        }
        expect(occupancyBytes(releaser)).toBe((position - freed) * 64)
      })
    }),
  )
})
