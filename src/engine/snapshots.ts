/**
 * How a node's snapshots are wired: which one it starts from (on the thread of the WAL), the taker
 * beside apply, and the stage that writes them. docs/snapshots.md has the picture.
 */
import { ReplicaError } from '../base/errors.ts'
import type { StateMachine } from '../base/state-machine.ts'
import type { Storage } from '../base/storage.ts'
import type { MemberRole } from '../core/engine.ts'
import { NO_INDEX } from '../core/ids.ts'
import type { Bell } from '../ring/bell.ts'
import { openCellRing } from '../ring/cell-ring.ts'
import { openCounters, set } from '../ring/counters.ts'
import { openLogRing } from '../ring/log-ring.ts'
import type { ApplyCheck } from '../stages/apply-check.ts'
import { outPort } from '../stages/port.ts'
import { createSessionTable } from '../stages/session-table.ts'
import type { SnapshotPorts } from '../stages/snapshot-keeper.ts'
import { type Restored, restoreSnapshot } from '../stages/snapshot-restore.ts'
import { createSnapshotStage } from '../stages/snapshot-stage.ts'
import { EMPTY, type SnapshotTaker, createSnapshotTaker } from '../stages/snapshot-taker.ts'
import type { Stage } from '../stages/stage.ts'
import { checksumOf } from '../wal/identity.ts'
import type { Recovered } from '../wal/open.ts'
import { type SnapshotStart, chooseSnapshot } from '../wal/snapshot-start.ts'
import { openStorage } from '../wal/storage-fs.ts'
import type { Recovery } from './data-dir.ts'
import { type NodeSpec, makesSnapshots } from './node-spec.ts'
import { type NodeMemory, SNAPSHOT_COUNTERS, type SnapshotMemory } from './topology.ts'

export const NO_SNAPSHOT: SnapshotStart = { snapshot: null, older: NO_INDEX, damaged: [] }

const clusterHashOf = ({ clusterId }: Pick<NodeSpec, 'clusterId'>): number =>
  checksumOf(Buffer.from(clusterId))

/** @throws ReplicaError E_DATA_DIR when the state cannot be had from what is on the disk */
export function snapshotOf(
  storage: Storage,
  spec: NodeSpec,
  log: Recovered,
  role: MemberRole,
): SnapshotStart {
  const { dataDir, durability, engine } = spec
  if (durability === 'none' || engine !== 'xpaxos') return NO_SNAPSHOT
  const start = chooseSnapshot(storage, dataDir, clusterHashOf(spec), log)
  const isBehind = start.snapshot === null && log.retainedFirst > 1
  if (isBehind && makesSnapshots(spec) && role !== 'logger') {
    const problem = `no good snapshot, and the log begins at ${log.retainedFirst}`
    throw new ReplicaError('E_DATA_DIR', `${dataDir}: ${problem}`, { problem })
  }
  return start
}

/** Of the decide stage. */
export const portsOf = (
  memory: SnapshotMemory,
  bell: Bell | null,
  { older }: SnapshotStart,
): SnapshotPorts => ({
  events: openCellRing(memory.events),
  keeps: outPort(openCellRing(memory.keeps), bell),
  older,
})

/** Fills the state machine. @throws ReplicaError E_SNAPSHOT_CORRUPT, E_DISK, E_STATE_MACHINE */
export function restoreAt(
  { snapshot }: SnapshotStart,
  machine: StateMachine,
  check: ApplyCheck,
): Promise<Restored> {
  if (snapshot === null) return Promise.resolve({ start: EMPTY, sessions: createSessionTable() })
  return restoreSnapshot(openStorage(), snapshot.path, machine, check)
}

/** Of the apply stage; null where no snapshots are made. */
export function takerOf(
  { tuning }: NodeSpec,
  { snapshots }: NodeMemory,
  bell: Bell | null,
  own: Pick<Restored, 'sessions'> & {
    readonly machine: StateMachine
    readonly check: ApplyCheck
  },
): SnapshotTaker | null {
  if (snapshots === null) return null
  const { machine: stateMachine, check, sessions } = own
  return createSnapshotTaker({
    ...{ stateMachine, check, sessions, everyBytes: tuning.snapshotEveryBytes },
    orders: outPort(openCellRing(snapshots.orders), bell),
    pieces: openLogRing(snapshots.pieces),
  })
}

export interface SnapshotStageParts {
  readonly storage: Storage
  readonly decideBell: Bell | null
  readonly onEvent: (name: string, value: number) => void
}

export function snapshotStageOf(
  spec: NodeSpec,
  memory: SnapshotMemory,
  { historyEpoch, start: { snapshot, damaged } }: Recovery,
  { storage, decideBell, onEvent }: SnapshotStageParts,
): Stage {
  const kept = openCounters(SNAPSHOT_COUNTERS, memory.kept)
  set(kept, 'index', snapshot?.index ?? 0)
  set(kept, 'sizeBytes', snapshot?.sizeBytes ?? 0)
  if (damaged.length > 0) onEvent('snapshot-damaged', damaged.length)
  return createSnapshotStage({
    ...{ storage, dir: spec.dataDir, historyEpoch, compresses: true },
    clusterHash: clusterHashOf(spec),
    orders: openCellRing(memory.orders),
    pieces: openLogRing(memory.pieces),
    keeps: openCellRing(memory.keeps),
    toDecide: outPort(openCellRing(memory.events), decideBell),
    onKept: (index, sizeBytes) => {
      set(kept, 'index', index)
      set(kept, 'sizeBytes', sizeBytes)
      onEvent('snapshot-kept', index)
    },
    onFailed: (index) => onEvent('snapshot-failed', index),
  })
}
