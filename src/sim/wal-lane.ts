/**
 * The WAL stage of one life of a node, in virtual time. Its thread is taken to be busy for as long
 * as the drawn sync (or read) lasts: what decide ordered by then is handed to it, and its duty
 * cycle is run when that time is over. So orders wait for the disk, groups form, and power that
 * fails meanwhile finds nothing, part or all of the group written (faulty-storage.ts).
 *
 *     decide --[walOrders]--> here --[gate, one group]--> wal stage --[walEvents]--> decide
 */
import type { Lsn } from '../core/ids.ts'
import {
  CELL_WORDS,
  type CellRing,
  available,
  cellBase,
  claimedBase,
  consume,
  occupancyOf,
  openCellRing,
  publish,
  tryClaim,
  cellRingMemory,
} from '../ring/cell-ring.ts'
import * as cell from '../stages/cells.ts'
import type { Stage } from '../stages/stage.ts'

const CYCLES_MAX = 64

export interface WalLane {
  /** Begins with what is ordered, if the disk is free; returns how: the time to draw. */
  begin(): 'sync' | 'read' | null
  /** The drawn time is over. @throws what the stage throws */
  end(): void
  /** Nothing to do: the stage may prepare and mark. */
  rest(): void
  readonly stage: Stage
  readonly syncedLsn: Lsn
}

export function createWalLane(
  orders: CellRing,
  stageOf: (gate: CellRing) => { readonly stage: Stage; readonly syncedLsn: () => Lsn },
): WalLane {
  const gate = openCellRing(cellRingMemory(orders.capacityCells))
  const { stage, syncedLsn } = stageOf(gate)
  let isBusy = false

  const handOver = (): 'sync' | 'read' => {
    const count = Math.min(available(orders), gate.capacityCells - occupancyOf(gate))
    let what: 'sync' | 'read' = 'read'
    if (count > 0) tryClaim(gate, count)
    for (let i = 0; i < count; i++) {
      const from = cellBase(orders, i)
      const to = claimedBase(gate, i)
      for (let word = 0; word < CELL_WORDS; word++) {
        gate.words[to + word] = orders.words[from + word]!
      }
      if (orders.words[from] !== cell.READ) what = 'sync'
    }
    consume(orders, count)
    publish(gate)
    return what
  }
  return {
    begin() {
      if (isBusy || occupancyOf(gate) + occupancyOf(orders) === 0) return null
      isBusy = true
      return handOver()
    },
    end() {
      isBusy = false
      for (let i = 0; i < CYCLES_MAX && stage.doWork() > 0; i++) continue
    },
    rest() {
      if (!isBusy && occupancyOf(gate) + occupancyOf(orders) === 0) stage.doWork()
    },
    stage,
    get syncedLsn() {
      return syncedLsn()
    },
  }
}
