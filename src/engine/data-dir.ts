/**
 * A node's data directory: opened and recovered on the thread of the WAL stage; let go of, after a
 * thread was ended by force, on the host's.
 */
import {
  type BasicPaxosRecord,
  type BasicPaxosRecovered,
  foldBasicPaxos,
} from '../core/basic-paxos/recovered.ts'
import type { Storage } from '../base/storage.ts'
import type { ConfigAt } from '../core/membership.ts'
import type { Counters } from '../ring/counters.ts'
import { sleepMs } from '../ring/wait.ts'
import { membershipOfBytes } from '../stages/config-frame.ts'
import { leaveDir } from '../wal/identity.ts'
import { type Recovered as WalRecovered, openWal } from '../wal/open.ts'
import { slowDown } from '../wal/slow-storage.ts'
import { openStorage } from '../wal/storage-fs.ts'
import { type Wal, closeWal } from '../wal/wal.ts'
import type { NodeSpec } from './node-spec.ts'
import { processMs } from './process-clock.ts'
import type { DRILL_COUNTERS } from './topology.ts'

/** What decide starts from; crosses threads. */
export interface Recovery {
  readonly wal: WalRecovered
  readonly basic: BasicPaxosRecovered | null
  /** Memberships of the log, ascending. */
  readonly configs: readonly ConfigAt[]
}

/** @throws ReplicaError E_DATA_DIR, E_WAL_CORRUPT, E_DISK, E_FRAME_INVALID */
export function openNodeWal(
  spec: NodeSpec,
  drills: Drills,
): { readonly wal: Wal; readonly recovery: Recovery } {
  const { clusterId, id, engine, durability, dataDir, tuning } = spec
  const records: BasicPaxosRecord[] = []
  const basic = engine === 'basic-paxos'
  const { wal, recovered } = openWal(storageFor(drills), {
    dir: dataDir,
    identity: { clusterId, nodeId: id, incarnation: 1, engine, durability },
    segmentSizeBytes: tuning.walSegmentSizeBytes,
    spareSegments: 4,
    onRecord: ({ lsn, record, frames }) => {
      if (basic) records.push({ lsn, record, frame: frames[0] ?? null })
    },
  })
  const folded = basic ? foldBasicPaxos(records) : null
  return { wal, recovery: { wal: recovered, basic: folded, configs: configsOf(wal, recovered) } }
}

type Drills = Counters<(typeof DRILL_COUNTERS)[number]>

function storageFor({ words, at }: Drills): Storage {
  const factorOf = (): number => words[at.slowDisk]!
  return slowDown(openStorage(), { factorOf, nowMs: processMs, sleepMs })
}

function configsOf(wal: Wal, { configs }: WalRecovered): ConfigAt[] {
  try {
    return configs.map(({ index, bytes }) => ({ index, membership: membershipOfBytes(bytes) }))
  } catch (error) {
    closeWal(wal)
    throw error
  }
}

/**
 * The lock of a process names the process, so it outlives a thread that was ended by force. Only
 * for a directory that this process had open and that no thread uses any more.
 */
export function abandonDataDir({ dataDir, durability }: NodeSpec): void {
  if (durability !== 'none') leaveDir(openStorage(), dataDir)
}
