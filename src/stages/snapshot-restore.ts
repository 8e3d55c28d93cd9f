/**
 * Fills a state machine, the session table and the streaming check from a snapshot file, as
 * snapshot-taker.ts wrote them: every record is a u32 size and its bytes. In the apply thread,
 * before its stage is made.
 */
import { assert } from '../base/assert.ts'
import { ReplicaError } from '../base/errors.ts'
import type { SnapshotSource, StateMachine } from '../base/state-machine.ts'
import type { Storage } from '../base/storage.ts'
import { SECTION, type Section } from '../wal/snapshot-file.ts'
import { type SnapshotReader, openSnapshot } from '../wal/snapshot-read.ts'
import { type ApplyCheck, loadClients } from './apply-check.ts'
import { loadSessions } from './session-bytes.ts'
import type { SessionLimits, SessionTable } from './session-table.ts'
import type { AppliedPoint } from './snapshot-taker.ts'

export interface Restored {
  readonly start: AppliedPoint
  readonly sessions: SessionTable
}

/** A snapshot of which the state machine has still to read its part. */
export interface Restoring extends Restored {
  readonly source: SnapshotSource
  /** Reads what the state machine did not, and checks the end of the file. */
  end(): void
}

/** @throws ReplicaError E_SNAPSHOT_CORRUPT, E_DISK; E_STATE_MACHINE when it refuses its state */
export async function restoreSnapshot(
  storage: Storage,
  path: string,
  stateMachine: StateMachine,
  check: ApplyCheck,
): Promise<Restored> {
  const reader = openSnapshot(storage, path)
  try {
    const restoring = beginRestore(reader, check)
    await restoreState(stateMachine, restoring.source)
    restoring.end()
    return restoring
  } finally {
    reader.close()
  }
}

/** Everything but the state. @throws ReplicaError E_SNAPSHOT_CORRUPT, E_DISK */
export function beginRestore(
  reader: SnapshotReader,
  check: ApplyCheck,
  limits?: SessionLimits,
): Restoring {
  const records = openRecords(reader)
  const config = records.next(SECTION.config)
  const sessions = records.next(SECTION.sessions)
  const clients = records.next(SECTION.clients)
  assert(sessions !== null && clients !== null, 'a snapshot has its sections')
  loadClients(check, clients)
  const { index, chain } = reader.head
  const read = (): Uint8Array | null => records.next(SECTION.state)
  return {
    start: { index, chain, config },
    sessions: loadSessions(sessions, limits),
    source: { read },
    end() {
      while (read() !== null);
    },
  }
}

async function restoreState(stateMachine: StateMachine, source: SnapshotSource): Promise<void> {
  try {
    await stateMachine.restore(source)
  } catch (cause) {
    if (cause instanceof ReplicaError) throw cause // of the file
    const reason = cause instanceof Error ? cause.message : String(cause)
    const message = `the state machine refuses its snapshot: ${reason}`
    throw new ReplicaError('E_STATE_MACHINE', message, { reason }, 'unknown', { cause })
  }
}

/** Records of one section after the other; each is valid until the next is asked for. */
function openRecords(reader: SnapshotReader) {
  let chunk = reader.next()
  let at = 0
  /** Copies what comes next of the section, over as many chunks as it takes; false: it ends. */
  const fill = (section: Section, into: Uint8Array): boolean => {
    let filled = 0
    while (filled < into.length) {
      if (chunk?.section !== section) return false
      const size = Math.min(into.length - filled, chunk.bytes.length - at)
      into.set(chunk.bytes.subarray(at, at + size), filled)
      filled += size
      at += size
      if (at === chunk.bytes.length) {
        chunk = reader.next()
        at = 0
      }
    }
    return true
  }
  const prefix = new Uint8Array(4)
  const sizeOf = new DataView(prefix.buffer)
  return {
    next(section: Section): Uint8Array | null {
      if (!fill(section, prefix)) return null
      const bytes = new Uint8Array(sizeOf.getUint32(0, true))
      assert(fill(section, bytes), 'a record is whole')
      return bytes
    },
  }
}
