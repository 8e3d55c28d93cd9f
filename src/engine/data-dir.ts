/**
 * A node's data directory: opened and recovered on the thread of the WAL stage; let go of, after a
 * thread was ended by force, on the host's.
 */
import {
  type BasicPaxosRecord,
  type BasicPaxosRecovered,
  foldBasicPaxos,
} from '../core/basic-paxos/recovered.ts'
import { ReplicaError } from '../base/errors.ts'
import type { Storage } from '../base/storage.ts'
import type { MemberRole } from '../core/engine.ts'
import { type ConfigAt, historyEpochOf } from '../core/membership.ts'
import type { Counters } from '../ring/counters.ts'
import { sleepMs } from '../ring/wait.ts'
import { membershipOfBytes } from '../stages/config-frame.ts'
import { leaveDir } from '../wal/identity.ts'
import { type Recovered as WalRecovered, openWal } from '../wal/open.ts'
import { type SnapshotStart, startAt } from '../wal/snapshot-start.ts'
import { slowDown } from '../wal/slow-storage.ts'
import { openStorage } from '../wal/storage-fs.ts'
import { type Wal, closeWal } from '../wal/wal.ts'
import type { NodeSpec } from './node-spec.ts'
import { snapshotOf } from './snapshots.ts'
import { processMs } from './process-clock.ts'
import type { DRILL_COUNTERS } from './topology.ts'

/** What decide starts from; crosses threads. */
export interface Recovery {
  readonly wal: WalRecovered
  readonly basic: BasicPaxosRecovered | null
  /** Memberships of the log, ascending. */
  readonly configs: readonly ConfigAt[]
  /** What the state machine starts from. */
  readonly start: SnapshotStart
  /** What the log or, of a node that joined, its identity says; never changes while it runs. */
  readonly historyEpoch: number
}

/** @throws ReplicaError E_DATA_DIR, E_WAL_CORRUPT, E_DISK, E_FRAME_INVALID */
export function openNodeWal(
  spec: NodeSpec,
  drills: Drills,
): { readonly wal: Wal; readonly recovery: Recovery } {
  const { clusterId, id, engine, durability, dataDir, tuning, historyEpoch } = spec
  const storage = storageFor(drills)
  const records: BasicPaxosRecord[] = []
  const basic = engine === 'basic-paxos'
  const { wal, recovered } = openWal(storage, {
    dir: dataDir,
    identity: { clusterId, nodeId: id, incarnation: 1, engine, durability, historyEpoch },
    segmentSizeBytes: tuning.walSegmentSizeBytes,
    spareSegments: 4,
    onRecord: ({ lsn, record, frames }) => {
      if (basic) records.push({ lsn, record, frame: frames[0] ?? null })
    },
  })
  const folded = basic ? foldBasicPaxos(records) : null
  try {
    const configs = configsOf(recovered)
    const epoch = historyOf(recovered, configs, spec)
    const start = snapshotOf(storage, spec, recovered, roleOf(spec, configs))
    const log = startAt(recovered, start)
    return { wal, recovery: { wal: log, basic: folded, configs, start, historyEpoch: epoch } }
  } catch (error) {
    closeWal(wal)
    throw error
  }
}

type Drills = Counters<(typeof DRILL_COUNTERS)[number]>

export function storageFor({ words, at }: Drills): Storage {
  const factorOf = (): number => words[at.slowDisk]!
  return slowDown(openStorage(), { factorOf, nowMs: processMs, sleepMs })
}

const configsOf = ({ configs }: WalRecovered): ConfigAt[] =>
  configs.map(({ index, bytes }) => ({ index, membership: membershipOfBytes(bytes) }))

/** By the newest membership of its log. */
function roleOf({ id, members }: NodeSpec, configs: readonly ConfigAt[]): MemberRole {
  const newest = configs.at(-1)?.membership.members ?? members
  return newest.find((member) => member.id === id)?.role ?? 'voter'
}

/**
 * The newest that identity and log know. An option that names a newer one does not make the
 * directory so: it is what is to be fenced off.
 * @throws ReplicaError E_DATA_DIR
 */
function historyOf(
  { identity }: WalRecovered,
  configs: readonly ConfigAt[],
  { dataDir, historyEpoch: wanted }: NodeSpec,
): number {
  const told = configs.map(({ membership }) => historyEpochOf(membership))
  const epoch = Math.max(identity.historyEpoch ?? 0, ...told)
  if (wanted <= epoch) return epoch
  const problem = `of history ${String(epoch)}, not ${String(wanted)}`
  throw new ReplicaError('E_DATA_DIR', `${dataDir}: ${problem}`, { problem })
}

/**
 * The lock of a process names the process, so it outlives a thread that was ended by force. Only
 * for a directory that this process had open and that no thread uses any more.
 */
export function abandonDataDir({ dataDir, durability }: NodeSpec): void {
  if (durability !== 'none') leaveDir(openStorage(), dataDir)
}
