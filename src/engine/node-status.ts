/**
 * What a node says of itself when it is asked: read from memory that its stages write, so asking
 * disturbs none of them. Caller's thread.
 */
import { type BellStatistics, bellStatisticsOf, openBell } from '../ring/bell.ts'
import { openCellRing, statisticsOf as cellStatisticsOf } from '../ring/cell-ring.ts'
import { countersOf, openCounters } from '../ring/counters.ts'
import { isLeaseValid, leaseLifeOf, openLease } from '../ring/lease.ts'
import { openLogRing, statisticsOf as logStatisticsOf } from '../ring/log-ring.ts'
import type { RingStatistics } from '../ring/log-ring.ts'
import type { MembershipStatus, Operator } from './operator.ts'
import { processMs, wallMs } from './process-clock.ts'
import type { History } from './token.ts'
import {
  APPLIED_COUNTERS,
  type NodeMemory,
  SNAPSHOT_COUNTERS,
  STAGE_COUNTERS,
  STAGE_NAMES,
  type StageName,
  VIEW_COUNTERS,
} from './topology.ts'
import { ROLE_CODES } from './view.ts'

export interface NodeStatus {
  readonly id: number
  readonly role: (typeof ROLE_CODES)[number]
  /** The leader this node follows; 0: none known. */
  readonly leader: number
  readonly promised: number
  readonly last: number
  readonly chosen: number
  readonly durable: number
  readonly applied: number
  readonly acceptedBatches: number
  /** True while this node leads and may read by lease. */
  readonly leased: boolean
  /** First index of the log that is still on this disk. */
  readonly firstRetained: number
  /** Its log went up to here although an absent voter lacks it; 0: all voters have what went. */
  readonly reducedThrough: number
  /** From heartbeats, smoothed; 0: not measured (Basic Paxos has none). */
  readonly roundTripUs: number
  /** The newest in this node's log; null until it has told. */
  readonly membership: MembershipStatus | null
  /** The newest snapshot that this node made since it was opened, or started from; 0: none. */
  readonly snapshot: { readonly index: number; readonly sizeBytes: number }
  /** Of the cluster's history; above 0 since a disaster command has forked it. */
  readonly historyEpoch: number
}

export interface StageStatistics {
  readonly busyMs: number
  readonly batches: number
  readonly entries: number
  readonly sizeBytes: number
  readonly syncs: number
  /** Of all syncs together, their writes included. */
  readonly syncMs: number
}

export type StagesStatistics = Readonly<Record<Exclude<StageName, 'snapshot'>, StageStatistics>> & {
  readonly snapshot?: StageStatistics
}

export interface NodeStatistics {
  /** By stage; a node that makes no snapshots has no stage for them. */
  readonly stages: StagesStatistics
  readonly rings: Readonly<Record<string, RingStatistics>>
  /** By thread: how often it went to sleep, and how many sleeps somebody ended. */
  readonly threads: Readonly<Record<string, BellStatistics>>
}

const NO_SNAPSHOT = { index: 0, sizeBytes: 0 }

export function statusOf(
  id: number,
  memory: NodeMemory,
  operator: Operator,
  { epoch: historyEpoch }: History,
): () => NodeStatus {
  const view = openCounters(VIEW_COUNTERS, memory.view)
  const applied = openCounters(APPLIED_COUNTERS, memory.applied)
  const lease = openLease(memory.lease)
  const kept = memory.snapshots && openCounters(SNAPSHOT_COUNTERS, memory.snapshots.kept)
  return () => {
    const { role, ...rest } = countersOf(view)
    const { applied: through } = countersOf(applied)
    const { membership } = operator
    const leased = isLeaseValid(lease, leaseLifeOf(lease), processMs(), wallMs())
    const snapshot = kept === null ? NO_SNAPSHOT : countersOf(kept)
    const seen = { ...rest, leased, membership, snapshot, historyEpoch, applied: through }
    return { id, ...seen, role: ROLE_CODES[role] ?? 'follower' }
  }
}

export function statisticsOf(memory: NodeMemory): NodeStatistics {
  const stages = {} as Record<StageName, StageStatistics>
  for (const name of STAGE_NAMES) {
    if (name === 'snapshot' && memory.snapshots === null) continue
    stages[name] = countersOf(openCounters(STAGE_COUNTERS, memory.stages[name]))
  }
  const rings: Record<string, RingStatistics> = {
    'ingest-log': logStatisticsOf(openLogRing(memory.ingestLog)),
    readback: logStatisticsOf(openLogRing(memory.readback)),
  }
  for (const name of ['submitted', 'received', 'walOrders', 'applyOrders'] as const) {
    rings[name] = cellStatisticsOf(openCellRing(memory[name]))
  }
  for (const { peer, memory: inbox } of memory.inboxes) {
    rings[`inbox-${peer}`] = logStatisticsOf(openLogRing(inbox.log))
  }
  const threads: Record<string, BellStatistics> = {}
  for (const [thread, sab] of Object.entries(memory.bells)) {
    threads[thread] = bellStatisticsOf(openBell(sab))
  }
  return { stages, rings, threads }
}
