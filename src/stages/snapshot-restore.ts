/**
 * Fills a state machine, the session table and the streaming check from a snapshot file, as
 * snapshot-taker.ts wrote them: every record is a u32 size and its bytes. In the apply thread,
 * before its stage is made.
 */
import { ReplicaError } from '../base/errors.ts'
import type { SnapshotSource, StateMachine } from '../base/state-machine.ts'
import type { Storage } from '../base/storage.ts'
import { SECTION, type Section } from '../wal/snapshot-file.ts'
import { type SnapshotReader, openSnapshot } from '../wal/snapshot-read.ts'
import { type ApplyCheck, loadClients } from './apply-check.ts'
import { loadSessions } from './session-bytes.ts'
import type { SessionLimits, SessionTable } from './session-table.ts'
import { type AppliedPoint, PREFIX_SIZE_BYTES } from './snapshot-taker.ts'

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
  if (sessions === null || clients === null) return reader.refuse('sections are missing')
  if (!loadClients(check, clients)) return reader.refuse('the section of clients')
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

/** Records of one section after the other; each is a copy. */
function openRecords(reader: SnapshotReader) {
  let chunk = reader.next()
  let at = 0
  /**
   * A copy of what comes next of the section, over as many chunks as it takes. Memory goes with
   * what is there, not with what a size says.
   */
  const take = (section: Section, sizeBytes: number): Uint8Array => {
    const parts: Uint8Array[] = []
    for (let left = sizeBytes; left > 0;) {
      if (chunk?.section !== section) return reader.refuse('a record is cut short')
      const part = chunk.bytes.subarray(at, at + left)
      parts.push(part)
      left -= part.length
      at += part.length
      if (at < chunk.bytes.length) continue
      chunk = reader.next()
      at = 0
    }
    return new Uint8Array(Buffer.concat(parts))
  }
  return {
    next(section: Section): Uint8Array | null {
      if (chunk?.section !== section) return null
      const prefix = take(section, PREFIX_SIZE_BYTES)
      return take(section, new DataView(prefix.buffer).getUint32(0, true))
    },
  }
}
