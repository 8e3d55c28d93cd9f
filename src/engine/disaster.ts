/**
 * Disaster commands, second half: carries out a plan on a stopped node's directory. What is written
 * is one transaction of the WAL (R12), hence all or nothing, whenever the power fails:
 *
 *     sync-begin | [abort] config: the survivor alone, audit: who, what, why | sync-commit
 *
 * The abort ends a group that the log ends within (R38). The audit batch stands behind the config
 * batch, so that the new membership is proven by the log itself and needs no quorum of the old one
 * (R27). Nothing that the log held is cut.
 */
import { assert } from '../base/assert.ts'
import type { Storage } from '../base/storage.ts'
import { FRAME_KIND } from '../codec/frame.ts'
import { encodeMembership } from '../codec/membership.ts'
import type { LogIndex, Lsn } from '../core/ids.ts'
import { historyEpochOf } from '../core/membership.ts'
import { logRingMemory, openLogRing } from '../ring/log-ring.ts'
import { putFrame } from '../stages/config-frame.ts'
import { framesIn } from '../stages/frames-in.ts'
import { openWal } from '../wal/open.ts'
import { type Wal, abandonWal, append, closeWal, flush } from '../wal/wal.ts'
import { type DisasterPlan, refuse } from './disaster-plan.ts'

const RING_SIZE_BYTES = 2 ** 16
const SPARE_SEGMENTS = 4
export const BY_LENGTH_MAX = 500

/**
 * @param by who orders it, and whatever should be known later; stays in the log
 * @throws ReplicaError E_DISASTER_REFUSED, E_DATA_DIR when the directory is in use or has changed
 *   since it was planned; E_DISK. Without an error it is done, and on the disk.
 */
export function carryOut(storage: Storage, plan: DisasterPlan, by: string): void {
  const { dir, log } = plan.survey
  const { identity, segmentSizeBytes } = log
  const acceptsLostDisk = true // what may be lost was named, and accepted
  const spareSegments = SPARE_SEGMENTS
  const options = { dir, identity, segmentSizeBytes, spareSegments, acceptsLostDisk }
  const { wal, recovered } = openWal(storage, options)
  try {
    const { promised, acceptedBallot, last, lastChain } = recovered
    const isSame =
      last === log.last &&
      lastChain === log.lastChain &&
      promised === log.promised &&
      acceptedBallot === log.acceptedBallot
    if (!isSame) refuse('the directory changed while the command was planned')
    write(wal, plan, by)
    flush(wal)
  } catch (error) {
    abandonWal(wal) // nothing that is queued may reach the disk
    throw error
  }
  closeWal(wal)
}

function write(wal: Wal, plan: DisasterPlan, by: string): void {
  const { after, ballot } = plan
  const { last, lastContinues, lsn, floor } = plan.survey.log
  const ring = openLogRing(logRingMemory(RING_SIZE_BYTES))
  const audit = new TextEncoder().encode(auditOf(plan, by))
  const parts = [
    ...(lastContinues ? [{ kind: FRAME_KIND.abort, payload: new Uint8Array(0) }] : []),
    { kind: FRAME_KIND.config, payload: encodeMembership(after) },
    { kind: FRAME_KIND.audit, payload: audit },
  ]
  let sizeBytes = 0
  for (const [place, { kind, payload }] of parts.entries()) {
    const made = putFrame(ring, kind, payload, ballot, last + 1 + place)
    assert(made !== null && made.offset === sizeBytes, 'the frames of a command fit the ring')
    sizeBytes += made.sizeBytes
  }
  const frames = framesIn(ring.bytes, ring.view, 0, sizeBytes)
  const through = (last + parts.length) as LogIndex
  assert(frames.at(-1)!.first === through, 'each frame has one entry')
  const range = { ballot, syncPoint: last }
  const payload = { bytes: ring.bytes, offset: 0, sizeBytes }
  const at = (place: number): Lsn => (lsn + 1 + place) as Lsn
  append(wal, { kind: 'sync-begin', ...range, adoptedLast: through }, at(0), floor, null, null)
  const entries = { kind: 'sync-entries', ballot, prev: last, through } as const
  append(wal, entries, at(1), floor, payload, frames)
  append(wal, { kind: 'sync-commit', ...range, through }, at(2), floor, null, null)
}

/** What the audit batch says, one line of JSON. */
function auditOf({ action, survey, survivor, before, after }: DisasterPlan, by: string): string {
  assert(by.length <= BY_LENGTH_MAX, 'who orders it is short')
  const { last, floor } = survey.log
  const members = before.membership.members.map(({ id, role, weight }) => ({ id, role, weight }))
  return JSON.stringify({
    schema: 'xpaxos-audit/1',
    action,
    by,
    survivor: survivor.id,
    last,
    knownChosen: floor,
    members,
    historyBefore: historyEpochOf(before.membership),
    historyAfter: historyEpochOf(after),
  })
}
