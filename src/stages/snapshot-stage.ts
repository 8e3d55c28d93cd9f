/**
 * Snapshot stage: compresses, writes and syncs what the apply stage hands on, and gives the file
 * its name when the log on this disk reaches its index. Blocking stage, apart from the threads of
 * the WAL and of apply: a snapshot costs neither a sync.
 *
 *     apply  --[SNAP_BEGIN, SNAP_PIECE, SNAP_END, bytes]--> snapshot --[SNAP_MADE, KEPT]--> decide
 *     decide --[SNAP_KEEP]--> snapshot
 *
 * Invariants: a file gets its name only after it is synced and decide has said that the log reaches
 * it (R15); the newest two are kept, and the third goes only after the name of the newest is on the
 * disk; a disk that fails costs the snapshot, not the node, since nobody was promised anything.
 */
import { isReplicaError } from '../base/errors.ts'
import type { Storage } from '../base/storage.ts'
import type { CellRing } from '../ring/cell-ring.ts'
import { type LogRing, release } from '../ring/log-ring.ts'
import {
  type Section,
  type SnapshotWriter,
  abandonSnapshot,
  addBytes,
  createSnapshot,
  dropSnapshot,
  keepSnapshot,
  sealSnapshot,
  snapshotPath,
  snapshotsAmong,
} from '../wal/snapshot-file.ts'
import { type OutPort, drain, flush, orderCell } from './port.ts'
import * as cell from './snapshot-cells.ts'
import type { Stage } from './stage.ts'

/** Pieces of one duty cycle: less than a chunk is written at once. */
const ORDERS_MAX = 4

export interface SnapshotStageWiring {
  readonly storage: Storage
  readonly dir: string
  readonly clusterHash: number
  readonly historyEpoch: number
  readonly compresses: boolean
  /** Of apply. */
  readonly orders: CellRing
  readonly pieces: LogRing
  /** Of decide. */
  readonly keeps: CellRing
  readonly toDecide: OutPort
  /** With the bytes of the file. */
  readonly onKept: (index: number, sizeBytes: number) => void
  /** The disk refused it, or an old one's removal. */
  readonly onFailed: (index: number) => void
}

export function createSnapshotStage(wiring: SnapshotStageWiring): Stage {
  const { storage, dir, orders, pieces, keeps, toDecide } = wiring
  const { clusterHash, historyEpoch, compresses } = wiring
  /** Being written; null: none is, or the disk has failed. */
  let open: SnapshotWriter | null = null
  /** Sealed, and waits for the log. */
  let made: SnapshotWriter | null = null

  const guarded = (index: number, call: () => void): boolean => {
    try {
      call()
      return true
    } catch (error) {
      if (!isReplicaError(error) || error.code !== 'E_DISK') throw error
      wiring.onFailed(index)
      return false
    }
  }
  const begin = (index: number, chain: number): void => {
    const head = { index, chain, clusterHash, historyEpoch }
    guarded(index, () => (open = createSnapshot(storage, dir, head, compresses)))
  }
  const give = (call: (writer: SnapshotWriter) => void): boolean => {
    if (open === null) return false
    const writer = open
    if (guarded(writer.head.index, () => call(writer))) return true
    open = null
    dropSnapshot(writer)
    return false
  }
  const end = (): void => {
    if (!give(sealSnapshot)) return
    // The one before was never called for: it is older, and of no use any more.
    if (made !== null) dropSnapshot(made)
    made = open
    open = null
    orderCell(toDecide, [cell.SNAP_MADE, made!.head.index])
  }
  const onOrder = (words: Float64Array, base: number): number => {
    if (words[base] === cell.SNAP_BEGIN) begin(words[base + 1]!, words[base + 2]!)
    else if (words[base] === cell.SNAP_END) end()
    else {
      const size = words[base + 2]!
      const offset = words[base + 4]!
      const section = words[base + 1]! as Section
      give((writer) => addBytes(writer, section, pieces.bytes.subarray(offset, offset + size)))
      release(pieces, words[base + 3]!)
    }
    return 1
  }
  const onKeep = (words: Float64Array, base: number): number => {
    if (made?.head.index !== words[base + 1]) return 1 // superseded meanwhile
    const writer = made!
    made = null
    const { index } = writer.head
    if (!guarded(index, () => keepSnapshot(writer))) {
      dropSnapshot(writer)
      return 1
    }
    const [, older = 0, ...rest] = snapshotsAmong(storage.list(dir)!)
    for (const gone of rest) guarded(index, () => storage.unlink(snapshotPath(dir, gone)))
    wiring.onKept(index, writer.at)
    orderCell(toDecide, [cell.SNAP_KEPT, index, older])
    return 1
  }
  const doWork = (): number => {
    if (!flush(toDecide)) return 0
    const work = drain(keeps, ORDERS_MAX, onKeep) + drain(orders, ORDERS_MAX, onOrder)
    flush(toDecide)
    return work
  }
  const each = (end: (writer: SnapshotWriter) => void): void => {
    for (const writer of [open, made]) if (writer !== null) end(writer)
  }
  return {
    ...{ name: 'snapshot', doWork },
    close: () => each(dropSnapshot),
    kill: () => each(abandonSnapshot),
  }
}
