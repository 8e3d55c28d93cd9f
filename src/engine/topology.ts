/**
 * Which stages a node has, on which thread each runs under a layout, and the shared memory between
 * them. Pure: the one file that knows who feeds whom. engine/assemble.ts builds the stages from it,
 * on whatever thread they belong to.
 *
 * Invariant: every ring has exactly one producing and one consuming stage.
 */
import { availableParallelism } from 'node:os'
import { type InboxMemory, inboxMemory } from '../net/inbox.ts'
import { bellMemory } from '../ring/bell.ts'
import { cellRingMemory } from '../ring/cell-ring.ts'
import { counterMemory, flagMemory } from '../ring/counters.ts'
import { leaseMemory } from '../ring/lease.ts'
import { logRingMemory } from '../ring/log-ring.ts'

export type StageName = 'ingest' | 'receive' | 'decide' | 'fanout' | 'wal' | 'apply' | 'snapshot'
export type ThreadName =
  'caller' | 'decide' | 'net' | 'receive' | 'fanout' | 'wal' | 'apply' | 'snapshot'
export type LayoutName = 'inline' | 'joined' | 'split' | 'dedicated'
export type ThreadMap = Readonly<Record<StageName, ThreadName>>

export const STAGE_NAMES: readonly StageName[] = [
  'ingest',
  'receive',
  'decide',
  'fanout',
  'wal',
  'apply',
  'snapshot',
]

type Layout = Omit<Record<StageName, ThreadName>, 'snapshot'>

/** Sockets live on one thread, so their two stages stay together. */
const LAYOUTS: Readonly<Record<LayoutName, (tcp: boolean) => Layout>> = {
  inline: () => ({
    ingest: 'caller',
    receive: 'caller',
    decide: 'caller',
    fanout: 'caller',
    wal: 'caller',
    apply: 'caller',
  }),
  joined: () => ({
    ingest: 'caller',
    receive: 'decide',
    decide: 'decide',
    fanout: 'decide',
    wal: 'decide',
    apply: 'decide',
  }),
  split: () => ({
    ingest: 'caller',
    receive: 'decide',
    decide: 'decide',
    fanout: 'decide',
    wal: 'wal',
    apply: 'apply',
  }),
  dedicated: (tcp) => ({
    ingest: 'caller',
    receive: tcp ? 'net' : 'receive',
    decide: 'decide',
    fanout: tcp ? 'net' : 'fanout',
    wal: 'wal',
    apply: 'apply',
  }),
}

export function threadMapOf(
  layout: LayoutName | 'auto',
  options: {
    readonly tcp: boolean
    readonly applyInCaller: boolean
    /** Default: this node makes none, and has no thread for it. */
    readonly snapshots?: boolean
  },
): ThreadMap {
  const chosen = layout === 'auto' ? autoLayout() : layout
  const map = LAYOUTS[chosen](options.tcp)
  const apply = options.applyInCaller ? 'caller' : map.apply
  const isApart = options.snapshots === true && chosen !== 'inline'
  return { ...map, apply, snapshot: isApart ? 'snapshot' : apply }
}

/** One core gains nothing from threads; two or more overlap the disk with everything else. */
export const autoLayout = (): LayoutName => (availableParallelism() > 1 ? 'split' : 'inline')

export const threadsOf = (map: ThreadMap): ThreadName[] => [...new Set(Object.values(map))]

/** Written by the caller's thread: faults that a drill asks for. */
export const DRILL_COUNTERS = ['slowDisk'] as const
export const STAGE_COUNTERS = [
  'busyMs',
  'batches',
  'entries',
  'sizeBytes',
  'syncs',
  'syncMs',
] as const
export const VIEW_COUNTERS = [
  'role',
  'leader',
  'promised',
  'acceptedBallot',
  'last',
  'chosen',
  'durable',
  'acceptedBatches',
  'roundTripUs',
  'applied',
  'firstRetained',
  'reducedThrough',
] as const
/** `applied` has another writer than the rest, so it is a block of its own. */
export const APPLIED_COUNTERS = ['applied', 'entries'] as const

/** Between apply, decide and the snapshot stage. */
export interface SnapshotMemory {
  readonly orders: SharedArrayBuffer
  readonly pieces: SharedArrayBuffer
  readonly keeps: SharedArrayBuffer
  readonly events: SharedArrayBuffer
  readonly kept: SharedArrayBuffer
}
/** Written by the snapshot stage, for status. */
export const SNAPSHOT_COUNTERS = ['index', 'sizeBytes'] as const

/** All shared memory of one node; may cross threads. */
export interface NodeMemory {
  readonly halt: SharedArrayBuffer
  readonly bells: Readonly<Partial<Record<ThreadName, SharedArrayBuffer>>>
  readonly ingestLog: SharedArrayBuffer
  readonly readback: SharedArrayBuffer
  readonly submitted: SharedArrayBuffer
  readonly admissions: SharedArrayBuffer
  readonly received: SharedArrayBuffer
  readonly walOrders: SharedArrayBuffer
  readonly walEvents: SharedArrayBuffer
  readonly applyOrders: SharedArrayBuffer
  readonly applyEvents: SharedArrayBuffer
  readonly fanoutOrders: SharedArrayBuffer
  readonly fanoutEvents: SharedArrayBuffer
  readonly replies: SharedArrayBuffer
  readonly replyBytes: SharedArrayBuffer
  readonly reads: SharedArrayBuffer
  readonly queries: SharedArrayBuffer
  readonly queryBytes: SharedArrayBuffer
  readonly watches: SharedArrayBuffer
  readonly watchBytes: SharedArrayBuffer
  readonly lease: SharedArrayBuffer
  /** Null where no snapshots are made. */
  readonly snapshots: SnapshotMemory | null
  readonly inboxes: readonly { readonly peer: number; readonly memory: InboxMemory }[]
  readonly view: SharedArrayBuffer
  readonly applied: SharedArrayBuffer
  readonly drills: SharedArrayBuffer
  readonly stages: Readonly<Record<StageName, SharedArrayBuffer>>
}

/** Of what no knob names; each a power of two. */
export interface MemorySizes {
  /** Of each cell ring. */
  readonly cells: number
  /** At least four times the greatest frame. */
  readonly readbackSizeBytes: number
  readonly replySizeBytes: number
  readonly querySizeBytes: number
  /** Half of it takes the greatest frame and a void range for every other of its entries. */
  readonly watchSizeBytes: number
  /** At least two pieces of a snapshot. */
  readonly snapshotSizeBytes: number
}

const SIZES: MemorySizes = {
  cells: 4_096,
  readbackSizeBytes: 64 * 2 ** 20,
  replySizeBytes: 8 * 2 ** 20,
  querySizeBytes: 4 * 2 ** 20,
  watchSizeBytes: 32 * 2 ** 20,
  snapshotSizeBytes: 4 * 2 ** 20,
}

export interface MemoryPlan {
  readonly peers: readonly number[]
  readonly threads: ThreadMap
  /** Power of two; at least twice the greatest frame. */
  readonly ringSizeBytes: number
  /** The bell of the caller's thread, which several nodes of one process may share. */
  readonly callerBell: SharedArrayBuffer
  /** The simulator's nodes are small; default: what a real load needs. */
  readonly sizes?: MemorySizes
  /** Default: none are made. */
  readonly snapshots?: boolean
}

export function createNodeMemory(plan: MemoryPlan): NodeMemory {
  const sizes = plan.sizes ?? SIZES
  const { cells } = sizes
  const bells: Partial<Record<ThreadName, SharedArrayBuffer>> = { caller: plan.callerBell }
  for (const thread of threadsOf(plan.threads)) bells[thread] ??= bellMemory()
  const stages = {} as Record<StageName, SharedArrayBuffer>
  for (const name of STAGE_NAMES) stages[name] = counterMemory(STAGE_COUNTERS)
  const inboxes = plan.peers.map((peer) => ({
    peer,
    memory: inboxMemory(cells, plan.ringSizeBytes),
  }))
  return {
    halt: flagMemory(),
    bells,
    ingestLog: logRingMemory(plan.ringSizeBytes),
    readback: logRingMemory(sizes.readbackSizeBytes),
    submitted: cellRingMemory(cells),
    admissions: cellRingMemory(cells),
    received: cellRingMemory(cells),
    walOrders: cellRingMemory(cells),
    walEvents: cellRingMemory(cells),
    applyOrders: cellRingMemory(cells),
    applyEvents: cellRingMemory(cells),
    fanoutOrders: cellRingMemory(cells),
    fanoutEvents: cellRingMemory(cells),
    replies: cellRingMemory(cells),
    replyBytes: logRingMemory(sizes.replySizeBytes),
    reads: cellRingMemory(cells),
    queries: cellRingMemory(cells),
    queryBytes: logRingMemory(sizes.querySizeBytes),
    watches: cellRingMemory(cells),
    watchBytes: logRingMemory(sizes.watchSizeBytes),
    lease: leaseMemory(),
    snapshots: plan.snapshots === true ? snapshotMemory(sizes) : null,
    inboxes,
    view: counterMemory(VIEW_COUNTERS),
    applied: counterMemory(APPLIED_COUNTERS),
    drills: counterMemory(DRILL_COUNTERS),
    stages,
  }
}

const snapshotMemory = ({ cells, snapshotSizeBytes }: MemorySizes): SnapshotMemory => ({
  orders: cellRingMemory(cells),
  pieces: logRingMemory(snapshotSizeBytes),
  keeps: cellRingMemory(cells),
  events: cellRingMemory(cells),
  kept: counterMemory(SNAPSHOT_COUNTERS),
})
