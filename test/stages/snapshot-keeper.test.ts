/** When decide calls for a snapshot, and what it says of the log that may go. */
import { expect, test } from 'vitest'
import {
  available,
  cellBase,
  cellRingMemory,
  consume,
  openCellRing,
} from '../../src/ring/cell-ring.ts'
import { flush, orderCell, outPort } from '../../src/stages/port.ts'
import { SNAP_KEEP, SNAP_KEPT, SNAP_MADE } from '../../src/stages/snapshot-cells.ts'
import { createSnapshotKeeper } from '../../src/stages/snapshot-keeper.ts'

function lab(older = 0) {
  const events = outPort(openCellRing(cellRingMemory(16)), null)
  const memory = cellRingMemory(16)
  const seen = openCellRing(memory)
  const keeps = outPort(openCellRing(memory), null)
  const keeper = createSnapshotKeeper({ events: events.cells, keeps, older })
  const tell = (...cell: number[]): void => {
    orderCell(events, cell)
    flush(events)
  }
  const called = (): number[][] => {
    const cells = Array.from({ length: available(seen) }, (_, place) => {
      const base = cellBase(seen, place)
      return [...seen.words.subarray(base, base + 2)]
    })
    consume(seen, cells.length)
    return cells
  }
  return { keeper, tell, called }
}

test('it is called for when the log on this disk reaches it, once (R15)', () => {
  const { keeper, tell, called } = lab()
  tell(SNAP_MADE, 40)
  keeper.doWork(39)
  expect(called()).toEqual([])
  keeper.doWork(40)
  keeper.doWork(41)
  expect(called()).toEqual([[SNAP_KEEP, 40]])
})

test('of two that wait only the newer one is called for', () => {
  const { keeper, tell, called } = lab()
  tell(SNAP_MADE, 40)
  tell(SNAP_MADE, 60)
  keeper.doWork(50)
  expect(called()).toEqual([])
  keeper.doWork(60)
  expect(called()).toEqual([[SNAP_KEEP, 60]])
})

test('the log may go behind the older one; at the start behind what recovery found', () => {
  const { keeper, tell } = lab(17)
  expect(keeper.through).toBe(17)
  tell(SNAP_KEPT, 90, 60)
  keeper.doWork(100)
  expect(keeper.through).toBe(60)
})

test('a node that makes none bounds nothing', () => {
  expect(createSnapshotKeeper(null).through).toBe(Infinity)
})
