/**
 * The snapshot side of the apply stage: when enough log was applied since the last one, it freezes
 * the state and hands it on in pieces, a slice a duty cycle, while apply goes on.
 *
 *     apply --[SNAP_BEGIN, SNAP_PIECE, SNAP_END, bytes]--> snapshot stage
 *
 * A state machine that can `freeze` is read piece by piece. One that can not is asked to write all
 * of its state at once, and apply stands still until it has: `isWaiting`.
 *
 * Invariants: a snapshot begins where everything taken is applied, so no group is open; all of it
 * is of that moment; one is made at a time. Belongs to the thread of the apply stage.
 */
import type { FrozenState, StateMachine } from '../base/state-machine.ts'
import { ReplicaError } from '../base/errors.ts'
import { SECTION, type Section } from '../wal/snapshot-file.ts'
import { type LogRing, copyIn, publish, tryClaim } from '../ring/log-ring.ts'
import { type ApplyCheck, saveClients } from './apply-check.ts'
import { type OutPort, claim, flush, isFull } from './port.ts'
import { saveSessions } from './session-bytes.ts'
import type { SessionTable } from './session-table.ts'
import { SNAP_BEGIN, SNAP_END, SNAP_PIECE } from './snapshot-cells.ts'

/** Of one piece, and of one duty cycle: what copies in a fraction of a sync. */
const SLICE_SIZE_BYTES = 65_536
/** Before each record: its size, u32. */
export const PREFIX_SIZE_BYTES = 4

export interface SnapshotTakerWiring {
  readonly stateMachine: StateMachine
  readonly check: ApplyCheck
  readonly sessions: SessionTable
  readonly orders: OutPort
  readonly pieces: LogRing
  /** So many bytes of log are applied from one snapshot to the next. */
  readonly everyBytes: number
}

/** Where the state machine is in the log. */
export interface AppliedPoint {
  readonly index: number
  readonly chain: number
  /** The newest membership batch that was applied: u64 index, frame. */
  readonly config: Uint8Array | null
}

/** Before the first entry. */
export const EMPTY: AppliedPoint = { index: 0, chain: 0, config: null }

export interface SnapshotTaker {
  /** Nothing is applied while the state machine writes. */
  readonly isWaiting: boolean
  /** Settles when `isWaiting` ends. */
  readonly written: Promise<void> | null
  noteApplied(sizeBytes: number): void
  /** One slice. `point`: null within a group. */
  doWork(point: () => AppliedPoint | null): number
}

interface Record {
  readonly section: Section
  readonly bytes: Uint8Array
}

export function createSnapshotTaker(wiring: SnapshotTakerWiring): SnapshotTaker {
  const { stateMachine, check, sessions, orders, pieces, everyBytes } = wiring
  let sinceBytes = 0
  /** Of the snapshot that is being handed on; null: none is. */
  let records: Iterator<Record> | null = null
  /** The record that is being copied, and what of it is: its prefix not yet at -1. */
  let record: Record | null = null
  let copied = -1
  let written: Promise<void> | null = null
  let failure: unknown = null

  const begin = ({ index, chain, config }: AppliedPoint): void => {
    sinceBytes = 0
    const base = claim(orders)
    orders.words[base] = SNAP_BEGIN
    orders.words[base + 1] = index
    orders.words[base + 2] = chain
    const before: Record[] = []
    if (config !== null) before.push({ section: SECTION.config, bytes: config })
    before.push({ section: SECTION.sessions, bytes: saveSessions(sessions) })
    before.push({ section: SECTION.clients, bytes: saveClients(check) })
    records = recordsOf(
      before,
      guarded(() => stateMachine.freeze?.() ?? frozenOf(writeAll())),
    )
    record = nextRecord()
  }
  /** All at once: the state machine is asked nothing else until it has settled. */
  const writeAll = (): Uint8Array[] => {
    const chunks: Uint8Array[] = []
    const write = (chunk: Uint8Array): void => void chunks.push(new Uint8Array(chunk))
    written = stateMachine.snapshot({ write }).catch((error: unknown) => {
      failure = error ?? new Error('it says nothing')
    })
    void written.finally(() => (written = null))
    return chunks
  }
  const nextRecord = (): Record | null => {
    copied = -1
    const next = guarded(() => records!.next())
    return next.done === true ? null : next.value
  }
  /** @returns false while the ring has no room */
  const sendPiece = (): boolean => {
    const { section } = record!
    const offset = isFull(orders) ? -1 : tryClaim(pieces, SLICE_SIZE_BYTES)
    if (offset < 0) return false
    let size = 0
    while (record?.section === section && size + PREFIX_SIZE_BYTES <= SLICE_SIZE_BYTES) {
      size += copySome(offset + size, SLICE_SIZE_BYTES - size)
      if (copied === record.bytes.length) record = nextRecord()
    }
    const end = publish(pieces, Math.ceil(size / 64) * 64)
    const base = claim(orders)
    orders.words.set([SNAP_PIECE, section, size, end, offset], base)
    return true
  }
  const copySome = (to: number, room: number): number => {
    const { bytes } = record!
    let used = 0
    if (copied < 0) {
      pieces.view.setUint32(to, bytes.length, true)
      copied = 0
      used = PREFIX_SIZE_BYTES
    }
    const size = Math.min(bytes.length - copied, room - used)
    copyIn(pieces, bytes.subarray(copied, copied + size), to + used)
    copied += size
    return used + size
  }
  return {
    get isWaiting() {
      return written !== null
    },
    get written() {
      return written
    },
    noteApplied: (sizeBytes) => void (sinceBytes += sizeBytes),
    doWork(pointOf) {
      if (written !== null || !flush(orders)) return 0
      if (failure !== null) throw failedBy(failure)
      if (records === null) {
        const point = sinceBytes < everyBytes ? null : pointOf()
        if (point === null) return 0
        begin(point)
      } else if (record === null) {
        orders.words[claim(orders)] = SNAP_END
        records = null
      } else if (!sendPiece()) return 0
      flush(orders)
      return 1
    },
  }
}

function guarded<Value>(call: () => Value): Value {
  try {
    return call()
  } catch (cause) {
    throw failedBy(cause)
  }
}

function failedBy(cause: unknown): ReplicaError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  const message = `the state machine failed to write a snapshot: ${reason}`
  return new ReplicaError('E_STATE_MACHINE', message, { reason }, 'unknown', { cause })
}

function* recordsOf(before: readonly Record[], frozen: FrozenState): Generator<Record> {
  yield* before
  for (let bytes = frozen.next(); bytes !== null; bytes = frozen.next()) {
    yield { section: SECTION.state, bytes }
  }
  frozen.close()
}

/** Of what is all there by the time that it is asked. */
function frozenOf(chunks: readonly Uint8Array[]): FrozenState {
  let next = 0
  return { next: () => chunks[next++] ?? null, close: () => undefined }
}
