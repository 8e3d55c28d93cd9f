/** Reads of those who watch, at the decide stage: past the core, their bytes held meanwhile. */
import { expect, test } from 'vitest'
import type { Core, Input } from '../../src/core/engine.ts'
import { occupancyBytes } from '../../src/ring/log-ring.ts'
import * as cell from '../../src/stages/cells.ts'
import { createDecideStage } from '../../src/stages/decide-stage.ts'
import { claim, flush } from '../../src/stages/port.ts'
import { createRetention, keepBehind } from '../../src/stages/retention.ts'
import { WATCH_DONE, WATCH_FRAMES, WATCH_READ } from '../../src/stages/watch-cells.ts'
import { cellRing, cellsOf, logRing, order, port, putFrame } from '../support/engine-cells.ts'

function open() {
  const [toWal, toApply, fromWal, fromApply] = [cellRing(), cellRing(), cellRing(), cellRing()]
  const readback = logRing()
  const inputs: string[] = []
  const step = (input: Input<never>): void => void inputs.push(input.kind)
  const core = { step, view: { chosen: 0, held: 0 } } as unknown as Core<never>
  const stage = createDecideStage<never>({
    ...{ core, codec: undefined as never, logRings: [logRing(), readback], reads: cellRing() },
    ...{ submitted: cellRing(), received: cellRing(), fromWal, fromApply, fromFanout: cellRing() },
    ...{ toWal: port(toWal), toApply: port(toApply), toFanout: port(cellRing()), toIngest: null },
    ...{ answersAll: false, retention: createRetention(keepBehind(0)), lease: null },
    ...{ nowMs: () => 0, wallMs: () => 0 },
    ...{ onEvent: () => undefined, onView: () => undefined },
  })
  stage.doWork()
  inputs.length = 0
  const fromApplyPort = port(fromApply)
  const tell = (...values: number[]): void => {
    order(fromApplyPort, values)
    stage.doWork()
  }
  const wal = port(fromWal)
  /** As the WAL answers a read, with these frames. */
  const answer = (ticket: number, first: number, frames: readonly string[][]): void => {
    const made = frames.map((payloads, place) =>
      putFrame(readback, payloads, { first: first + place }),
    )
    const base = claim(wal, made.length)
    wal.words.set([cell.READ_DONE, ticket, made.length, 7], base)
    for (const { frame, place } of made) {
      const at = claim(wal)
      cell.writeFrameCell(wal.words, at, frame, { ring: 1, ...place })
    }
    flush(wal)
    stage.doWork()
  }
  const orders = () => cellsOf(toApply).map((words) => words.slice(0, 9))
  return { tell, answer, orders, inputs, toWal, readback, stage }
}

test("a read goes to the WAL under a ticket that is no core's, and comes back as one range", () => {
  const { tell, answer, orders, inputs, toWal } = open()
  tell(WATCH_READ, 3, 41, 90, 4_096)
  const [read] = cellsOf(toWal)
  expect(read!.slice(0, 5)).toEqual([cell.READ, -3, 41, 90, 4_096])
  expect(read![5]).toBe(1)
  answer(-3, 41, [['a'], ['b']])
  expect(orders()).toEqual([[WATCH_FRAMES, 41, 256, 2, 1, 0, 3, 42, 7]])
  expect(inputs).toEqual([])
})

test('the bytes are held until they were fed', () => {
  const { tell, answer, readback, stage } = open()
  answer(-3, 1, [['a'], ['b']])
  stage.doWork()
  expect(occupancyBytes(readback)).toBe(256)
  tell(WATCH_DONE, 3)
  expect(occupancyBytes(readback)).toBe(0)
})

test('a read of what is trimmed says what the log begins with', () => {
  const { answer, orders } = open()
  answer(-4, 0, [])
  expect(orders()).toEqual([[WATCH_FRAMES, 0, 0, 0, 0, 0, 4, 0, 7]])
})

test('reads of the core, and what is applied, go on to the core', () => {
  const { tell, answer, inputs } = open()
  answer(5, 1, [['a']])
  tell(cell.APPLIED, 1)
  expect(inputs).toEqual(['read-done', 'applied'])
})
