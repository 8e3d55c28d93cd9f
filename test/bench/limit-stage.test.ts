/** The coordinator of the engine `limit` over memory, cell by cell. */
import { expect, test } from 'vitest'
import {
  type LimitMember,
  createLimitStage,
} from '../../native-free-bench/engines/limit/limit-stage.ts'
import * as cell from '../../src/stages/cells.ts'
import { createRetention, keepBehind } from '../../src/stages/retention.ts'
import { cellRing, logRing, order, port, putFrame } from '../support/engine-cells.ts'

const frameCells = (log: ReturnType<typeof logRing>): number[] => {
  const { frame, place } = putFrame(log, ['a'], { first: 1 })
  const { first, sizeBytes, count, ballot, headerCrc } = frame
  return [cell.FRAME, first, sizeBytes, count, 0, place.offset, ballot, headerCrc, place.end]
}

test('a trim that is told alone finds its part freed, and changes nothing', () => {
  const log = logRing()
  const submitted = cellRing()
  const members = [1, 2, 3].map((id): LimitMember => ({
    ...{ id, votes: true, isDead: false },
    ...{ toWal: port(cellRing()), fromWal: cellRing() },
    ...{ toApply: port(cellRing()), fromApply: cellRing() },
    retention: createRetention(keepBehind(0)),
    ...{ durableLsn: 0, durable: 0, appliedLsn: 0, applied: 0 },
  }))
  const stage = createLimitStage({
    ...{ ballot: 65_537, members, log, submitted, toIngest: port(cellRing()) },
    partBytesMax: 4_096,
    onRoom: () => undefined,
  })
  order(port(submitted), frameCells(log))
  stage.doWork()
  for (const { fromWal } of members) order(port(fromWal), [cell.DURABLE, 1])
  stage.doWork()
  for (const { fromApply } of members) order(port(fromApply), [cell.APPLIED, 1, 1])
  stage.doWork()
  expect([1, 2, 3].map((id) => stage.isSettled(id))).toEqual([true, true, true])
  for (const { fromWal } of members) order(port(fromWal), [cell.TRIMMED, 1])
  expect(stage.doWork()).toBe(3)
  expect(members.map(({ durable }) => durable)).toEqual([1, 1, 1])
})
