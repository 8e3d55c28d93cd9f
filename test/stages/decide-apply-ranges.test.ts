/**
 * What becomes of an `apply` effect: the apply stage walks one range of one ring an order, so
 * frames that do not lie behind each other must not share one. The core here is a puppet.
 */
import { expect, test } from 'vitest'
import { basicPaxosCodec } from '../../src/codec/basic-paxos-message.ts'
import type { Core, CoreView, Effect, Input } from '../../src/core/engine.ts'
import type { FrameRef } from '../../src/core/frame-ref.ts'
import { type LogIndex, NO_BALLOT, NO_INDEX } from '../../src/core/ids.ts'
import { membershipOf } from '../../src/core/membership.ts'
import {
  type CellRing,
  available,
  cellBase,
  cellRingMemory,
  claimedBase,
  consume,
  openCellRing,
  publish,
  tryClaim,
} from '../../src/ring/cell-ring.ts'
import { logRingMemory, openLogRing } from '../../src/ring/log-ring.ts'
import * as cell from '../../src/stages/cells.ts'
import { createDecideStage } from '../../src/stages/decide-stage.ts'
import { outPort } from '../../src/stages/port.ts'
import { createRetention, keepBehind } from '../../src/stages/retention.ts'

const CELLS = 64
const FRAME_SIZE_BYTES = 128

const VIEW: CoreView = {
  role: 'follower',
  leader: 0,
  promised: NO_BALLOT,
  acceptedBallot: NO_BALLOT,
  last: NO_INDEX,
  chosen: NO_INDEX,
  chosenChain: 0,
  durable: NO_INDEX,
  keepsState: true,
  held: NO_INDEX,
  heldByData: NO_INDEX,
  leaderHolds: NO_INDEX,
  firstRetained: NO_INDEX,
  acceptedBatches: 0,
  membership: membershipOf([]),
  membershipIndex: NO_INDEX,
}

interface Place {
  readonly ring: number
  readonly offset: number
  readonly count?: number
}

/** Emits on its first tick what the test wants, and nothing else ever. */
function createPuppet(effectOnTick: Effect<never>): Core<never> {
  let waits = true
  return {
    view: VIEW,
    step(input: Input<never>, effects) {
      if (input.kind !== 'tick' || !waits) return
      waits = false
      effects.push(effectOnTick)
    },
  }
}

const frameAt = ({ ring, offset, count = 1 }: Place): FrameRef => ({
  first: NO_INDEX,
  count,
  ballot: NO_BALLOT,
  sizeBytes: FRAME_SIZE_BYTES,
  headerCrc: 0,
  continues: false,
  ring,
  offset,
  end: 0,
  kept: true,
  holds: 0,
})

function decideWith(first: number, frames: readonly FrameRef[], answersAll: boolean) {
  const cells = (): CellRing => openCellRing(cellRingMemory(CELLS))
  const [applyOrders, applyEvents] = [cells(), cells()]
  const stage = createDecideStage({
    core: createPuppet({ kind: 'apply', first: first as LogIndex, frames }),
    codec: basicPaxosCodec as never,
    logRings: [0, 1, 2].map(() => openLogRing(logRingMemory(4_096))),
    submitted: cells(),
    reads: cells(),
    lease: null,
    wallMs: () => 0,
    received: cells(),
    fromWal: cells(),
    fromApply: applyEvents,
    fromFanout: cells(),
    toWal: outPort(cells(), null),
    toApply: outPort(applyOrders, null),
    toFanout: outPort(cells(), null),
    toIngest: null,
    answersAll,
    retention: createRetention(keepBehind(0)),
    nowMs: () => 0,
    onEvent: () => undefined,
    onView: () => undefined,
  })
  const applied = (through: number): void => {
    expect(tryClaim(applyEvents, 1)).toBe(true)
    const base = claimedBase(applyEvents, 0)
    applyEvents.words[base] = cell.APPLIED
    applyEvents.words[base + 1] = through
    publish(applyEvents)
    stage.doWork()
  }
  stage.doWork()
  return { orders: takeOrders(applyOrders), applied }
}

function takeOrders(orders: CellRing) {
  const count = available(orders)
  const taken = Array.from({ length: count }, (_, place) => {
    const base = cellBase(orders, place)
    const [kind, first, sizeBytes, frames, ring, offset, own, through] = orders.words.subarray(base)
    return { kind, first, sizeBytes, frames, ring, offset, own, through }
  })
  consume(orders, count)
  return taken
}

const rangesOf = (first: number, places: readonly Place[], answersAll = true) =>
  decideWith(first, places.map(frameAt), answersAll).orders.map(
    (order) => `${order.first}-${order.through}: ${order.frames} at ${order.ring}/${order.offset}`,
  )

test('frames that adjoin are one order', () => {
  const places = [0, 128, 256].map((offset) => ({ ring: 1, offset }))
  expect(rangesOf(7, places)).toEqual(['7-9: 3 at 1/0'])
})

test('a gap between frames ends the order', () => {
  const places = [0, 128, 384, 512].map((offset) => ({ ring: 0, offset }))
  expect(rangesOf(1, places)).toEqual(['1-2: 2 at 0/0', '3-4: 2 at 0/384'])
})

test('another ring ends the order, also where the offsets would fit', () => {
  const places = [
    { ring: 0, offset: 0 },
    { ring: 1, offset: 128 },
    { ring: 0, offset: 128 },
  ]
  expect(rangesOf(1, places)).toEqual(['1-1: 1 at 0/0', '2-2: 1 at 1/128', '3-3: 1 at 0/128'])
})

test('frames that lie in the reverse of their order are an order each', () => {
  const places = [256, 128, 0].map((offset) => ({ ring: 2, offset }))
  expect(rangesOf(4, places)).toEqual(['4-4: 1 at 2/256', '5-5: 1 at 2/128', '6-6: 1 at 2/0'])
})

test('orders go on counting entries, not frames', () => {
  const places = [
    { ring: 1, offset: 0, count: 10 },
    { ring: 1, offset: 128, count: 5 },
    { ring: 1, offset: 512, count: 3 },
  ]
  expect(rangesOf(21, places)).toEqual(['21-35: 2 at 1/0', '36-38: 1 at 1/512'])
})

test('an order covers the bytes of its own frames', () => {
  const places = [0, 128, 384].map((offset) => ({ ring: 0, offset }))
  const { orders } = decideWith(1, places.map(frameAt), true)
  expect(orders.map(({ kind }) => kind)).toEqual([cell.APPLY, cell.APPLY])
  expect(orders.map(({ sizeBytes }) => sizeBytes)).toEqual([256, 128])
})

test('apply is told to answer every frame only where frames complete when applied', () => {
  const places = [
    { ring: 0, offset: 0 },
    { ring: 1, offset: 0 },
  ]
  const ownOf = (answersAll: boolean): unknown[] =>
    decideWith(1, places.map(frameAt), answersAll).orders.map(({ own }) => own)
  expect(ownOf(false)).toEqual([0, 0])
  expect(ownOf(true)).toEqual([1, 1])
})

test('each range is let go when it is applied, not before', () => {
  const frames = [0, 128, 384].map((offset) => frameAt({ ring: 0, offset }))
  const { applied } = decideWith(1, frames, true)
  const holds = (): number[] => frames.map((frame) => frame.holds)
  expect(holds()).toEqual([1, 1, 1])
  applied(2)
  expect(holds()).toEqual([0, 0, 1])
  applied(3)
  expect(holds()).toEqual([0, 0, 0])
})
