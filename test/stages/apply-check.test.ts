import { expect, test } from 'vitest'
import { bodyCrcAt, createFrameHeader, readFrameHeader } from '../../src/codec/frame.ts'
import { createApplyCheck, foldFrame, noteFrame } from '../../src/stages/apply-check.ts'
import { logRing, putFrame } from '../support/engine-cells.ts'

/** Notes frames of client 7, given by sequence and count, in this order. */
function note(ordered: boolean, frames: readonly (readonly [number, number])[]) {
  const log = logRing()
  const check = createApplyCheck(ordered)
  const folds = new Map<number, number>()
  for (const [clientSequence, count] of frames) {
    const payloads = Array.from({ length: count }, (_, i) => `entry ${clientSequence + i}`)
    const { place, frame } = putFrame(log, payloads, { first: 1, clientSequence })
    const header = createFrameHeader()
    readFrameHeader(log.bytes, log.view, place.offset, place.offset + frame.sizeBytes, header)
    noteFrame(check, log.bytes, place.offset, header)
    folds.set(clientSequence, bodyCrcAt(log.bytes, place.offset, header))
  }
  const { gaps, duplicates, entries, clients } = check
  const client = clients.get(7)!
  let fold = 0 // of the contiguous part, each frame once
  for (const [sequence, crc] of folds)
    if (sequence < client.next) fold = foldFrame(fold, crc, sequence)
  return { gaps, duplicates, entries, next: client.next, isFold: client.fold === fold }
}

const clean = { gaps: 0, duplicates: 0, isFold: true }

test.each<[string, boolean, [number, number][], object]>([
  [
    'a contiguous log is clean',
    true,
    [
      [1, 3],
      [4, 1],
    ],
    { ...clean, entries: 4, next: 5 },
  ],
  [
    'a hole is a gap',
    true,
    [
      [1, 1],
      [3, 1],
    ],
    { ...clean, gaps: 1, entries: 2, next: 2 },
  ],
  [
    'a repeated frame is a duplicate',
    true,
    [
      [1, 2],
      [1, 2],
    ],
    { ...clean, duplicates: 2, next: 3 },
  ],
  [
    'a value before its turn waits',
    false,
    [
      [3, 1],
      [1, 2],
    ],
    { ...clean, entries: 3, next: 4 },
  ],
  [
    'a hole that stays is seen in next',
    false,
    [
      [1, 1],
      [3, 1],
    ],
    { ...clean, next: 2 },
  ],
  [
    'a waiting value twice is a duplicate',
    false,
    [
      [3, 1],
      [3, 1],
    ],
    { ...clean, duplicates: 1 },
  ],
])('%s', (_name, ordered, frames, want) => {
  expect(note(ordered, frames)).toMatchObject(want)
})

test('the fold does not depend on order, and does on bytes and place', () => {
  expect(foldFrame(foldFrame(0, 11, 1), 22, 5)).toBe(foldFrame(foldFrame(0, 22, 5), 11, 1))
  expect(foldFrame(0, 11, 1)).not.toBe(foldFrame(0, 11, 2))
  expect(foldFrame(0, 11, 1)).not.toBe(foldFrame(0, 12, 1))
})

test('bytes that changed after they were proposed are never applied', () => {
  const log = logRing()
  const { place, frame } = putFrame(log, ['entry'], { first: 1, clientId: 0 })
  const header = createFrameHeader()
  readFrameHeader(log.bytes, log.view, place.offset, place.offset + frame.sizeBytes, header)
  log.bytes[place.offset + 70]! ^= 1
  expect(() => noteFrame(createApplyCheck(true), log.bytes, place.offset, header)).toThrow(
    'what is applied is what was proposed',
  )
})
