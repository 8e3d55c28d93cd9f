import { expect, test } from 'vitest'
import type { FrameRef } from '../../src/core/frame-ref.ts'
import type { Ballot, LogIndex, NodeId } from '../../src/core/ids.ts'
import { occupancyBytes } from '../../src/ring/log-ring.ts'
import * as holds from '../../src/stages/holds.ts'
import { logRing, putFrame } from '../support/engine-cells.ts'

const PEER = 2 as NodeId
const OTHER = 3 as NodeId

function open(count: number) {
  const log = logRing(2 ** 10)
  const state = holds.createHolds([log])
  const frames = Array.from({ length: count }, (_, i): FrameRef => {
    const { frame, place } = putFrame(log, ['x'], { first: i + 1 })
    const { sizeBytes, headerCrc } = frame
    return holds.takeFrame(state, {
      ...{ first: (i + 1) as LogIndex, count: 1, ballot: 1 as Ballot, sizeBytes, headerCrc },
      ...{ continues: false, ring: 0, ...place, kept: false, holds: 0 },
    })
  })
  return { log, state, frames, used: () => occupancyBytes(log) / 128 }
}

test('bytes are freed in ring order, when nobody holds or keeps them', () => {
  const { state, frames, used } = open(4)
  holds.holdForWal(state, 10, frames.slice(0, 2))
  holds.holdForApply(state, 1, frames.slice(0, 1))
  const ticket = holds.holdForSend(state, PEER, frames.slice(1, 2), 0)
  frames[2]!.kept = true
  holds.releaseFree(state, 0)
  expect(used()).toBe(4)
  holds.walDone(state, 9)
  holds.applyDone(state, 1)
  holds.releaseFree(state, 0)
  expect(used()).toBe(4)
  holds.walDone(state, 10)
  holds.releaseFree(state, 0)
  expect(used()).toBe(3)
  holds.sendDone(state, OTHER, ticket)
  holds.sendDone(state, PEER, ticket - 1)
  holds.releaseFree(state, 0)
  expect(used()).toBe(3)
  holds.sendDone(state, PEER, ticket)
  holds.releaseFree(state, 0)
  expect(used()).toBe(2)
  frames[2]!.kept = false
  holds.releaseFree(state, 0)
  expect(used()).toBe(0)
})

test('a ring is pressed that has been nearly full for a while', () => {
  const { state, frames } = open(7)
  frames[0]!.kept = true
  const pressedAt = [0, 50, 150].map((ms) => [...holds.releaseFree(state, ms)])
  expect(pressedAt).toEqual([[], [], [0]])
  frames[0]!.kept = false
  expect(holds.releaseFree(state, 151)).toEqual([])
  const free = open(7)
  for (const ms of [0, 150]) expect(holds.releaseFree(free.state, ms)).toEqual([])
})

test('who keeps a ring from moving for too long is a laggard, once a while', () => {
  const { state, frames } = open(7)
  holds.holdForSend(state, PEER, frames.slice(0, 1), 0)
  holds.holdForSend(state, OTHER, frames.slice(1, 2), 200)
  expect(holds.laggardsOf(state, 0, 100)).toEqual([])
  expect(holds.laggardsOf(state, 0, 300)).toEqual([PEER])
  expect(holds.laggardsOf(state, 0, 310)).toEqual([])
  expect(holds.laggardsOf(state, 0, 600)).toEqual([PEER, OTHER])
})

test('letting go twice is a bug that is seen', () => {
  const { state, frames } = open(1)
  holds.holdForWal(state, 1, frames)
  frames[0]!.holds = 0
  expect(() => holds.walDone(state, 1)).toThrow('let go once')
})
