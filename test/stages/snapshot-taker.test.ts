/** What a state machine throws when it is asked for its state ends the node, with a type. */
import { expect, test } from 'vitest'
import type { StateMachine } from '../../src/base/state-machine.ts'
import { cellRingMemory, openCellRing } from '../../src/ring/cell-ring.ts'
import { logRingMemory, openLogRing } from '../../src/ring/log-ring.ts'
import { createApplyCheck } from '../../src/stages/apply-check.ts'
import { outPort } from '../../src/stages/port.ts'
import { createSessionTable } from '../../src/stages/session-table.ts'
import { createSnapshotTaker } from '../../src/stages/snapshot-taker.ts'

const fail = (): never => {
  throw new Error('no room')
}

test.each<[what: string, machine: Partial<StateMachine>]>([
  ['at once', { snapshot: fail }],
  ['later', { snapshot: () => Promise.reject(new Error('no room')) }],
  ['when it is to freeze', { freeze: fail }],
  ['when it is read', { freeze: () => ({ next: fail, close: () => undefined }) }],
  ['by returning no promise', { snapshot: () => undefined as never }],
])('%s', async (_, machine) => {
  const taker = createSnapshotTaker({
    stateMachine: machine as StateMachine,
    check: createApplyCheck(true),
    sessions: createSessionTable(),
    orders: outPort(openCellRing(cellRingMemory(64)), null),
    pieces: openLogRing(logRingMemory(2 ** 18)),
    everyBytes: 1,
  })
  taker.noteApplied(1)
  const work = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) {
      taker.doWork(() => ({ index: 1, chain: 0, config: null }))
      await taker.written
    }
  }
  await expect(work()).rejects.toThrow(/^E_STATE_MACHINE: the state machine failed to write/)
})
