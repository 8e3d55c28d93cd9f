/**
 * Numbers that nodes compare with each other or that a seed must draw again: pinned, so that no
 * engine and no later version makes others. And what belongs to whom by number.
 */
import { expect, test } from 'vitest'
import { adjoins, chainOf, throughOf } from '../../src/core/frame-ref.ts'
import {
  type NodeId,
  ballotAbove,
  ballotOf,
  ballotOwner,
  ballotRound,
  nodeId,
} from '../../src/core/ids.ts'
import { randomBelow } from '../../src/core/xpaxos/state.ts'
import { createMaker, stateOf } from '../support/core-state.ts'

test('a chain is this function of the one before and the header, on every node', () => {
  expect(chainOf(0, 0)).toBe(3_854_904_657)
  expect(chainOf(0, 1)).toBe(1_849_958_552)
  expect(chainOf(1, 0)).toBe(27_681_557)
  expect(chainOf(0xffff_ffff, 0xffff_ffff)).toBe(304_178_847)
})

test('a chain tells frames in another order, and other ones, apart', () => {
  expect(chainOf(chainOf(0, 7), 9)).toBe(2_397_130_974)
  expect(chainOf(chainOf(0, 9), 7)).toBe(1_149_217_819)
  const seen = new Set<number>()
  for (let crc = 0; crc < 10_000; crc++) seen.add(chainOf(17, crc))
  expect(seen.size).toBe(10_000)
})

test('a seed draws the same again', () => {
  const state = stateOf(2, { seed: 7 })
  expect([1, 2, 3, 4].map(() => randomBelow(state, 1_000))).toEqual([138, 466, 194, 545])
  expect(randomBelow(state, 1)).toBe(0)
})

test('a ballot has one owner, and the next one of a node is the smallest above', () => {
  const [low, high] = [nodeId(1), nodeId(65_535)]
  for (const owner of [low, high]) {
    expect([ballotOwner(ballotOf(3, owner)), ballotRound(ballotOf(3, owner))]).toEqual([owner, 3])
  }
  expect(ballotAbove(ballotOf(3, high), low)).toBe(ballotOf(4, low))
  expect(ballotAbove(ballotOf(3, low), high)).toBe(ballotOf(4, high))
  expect(ballotOf(2 ** 37 - 2, high)).toBeLessThanOrEqual(Number.MAX_SAFE_INTEGER)
  expect(() => ballotOf(2 ** 37 - 1, low)).toThrow()
  expect(() => ballotOf(1, 65_536 as NodeId)).toThrow()
  expect(() => nodeId(65_536)).toThrow()
  expect(() => nodeId(0)).toThrow()
})

test('a frame ends with its last entry, and adjoins what lies right behind it in its ring', () => {
  const make = createMaker()
  const frame = make(5, { count: 3, sizeBytes: 192 })
  expect(throughOf(frame)).toBe(7)
  expect(adjoins(frame, make(8))).toBe(true)
  expect(adjoins(frame, make(8, { offset: 256 }))).toBe(false)
  expect(adjoins(frame, make(8, { ring: 1, offset: 192 }))).toBe(false)
})
