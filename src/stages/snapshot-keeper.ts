/**
 * What decide does about snapshots: calls for one when the log on this disk reaches it, and knows
 * behind which index the log may go. Part of the decide stage.
 */
import type { CellRing } from '../ring/cell-ring.ts'
import { type OutPort, drain, flush, orderCell } from './port.ts'
import { SNAP_KEEP, SNAP_KEPT } from './snapshot-cells.ts'

const EVENTS_MAX = 8

export interface SnapshotPorts {
  readonly events: CellRing
  readonly keeps: OutPort
  /** Index of the older one of the two snapshots that recovery found; 0: there are not two. */
  readonly older: number
}

export interface SnapshotKeeper {
  /** The log through here is not needed for the state: two snapshots stand for it. */
  readonly through: number
  doWork(durable: number): number
}

/** @param ports null: this node makes no snapshots, and its state does not outlive the process */
export function createSnapshotKeeper(ports: SnapshotPorts | null): SnapshotKeeper {
  if (ports === null) return { through: Infinity, doWork: () => 0 }
  let made = 0
  const onEvent = (words: Float64Array, base: number): number => {
    if (words[base] === SNAP_KEPT) keeper.through = words[base + 2]!
    else made = words[base + 1]!
    return 1
  }
  const keeper = {
    through: ports.older,
    doWork(durable: number): number {
      const work = drain(ports.events, EVENTS_MAX, onEvent)
      // It may be chosen, and applied, before it is on this disk (R15).
      if (made > 0 && made <= durable) {
        orderCell(ports.keeps, [SNAP_KEEP, made])
        made = 0
      }
      flush(ports.keeps)
      return work
    },
  }
  return keeper
}
