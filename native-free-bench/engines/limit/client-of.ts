/**
 * What a program holds of a node of the engine `limit`, in the shape of src/engine's nodes: its
 * ingest, its writers and proposals, its status and statistics.
 */
import { ReplicaError } from '../../../src/base/errors.ts'
import { ROLE_CODES } from '../../../src/engine/assemble.ts'
import { type ClientSide, createClientSide } from '../../../src/engine/client.ts'
import type { NodeSpec } from '../../../src/engine/node-spec.ts'
import type {
  NodeStatistics,
  NodeStatus,
  StageStatistics,
} from '../../../src/engine/node-status.ts'
import type { ReplicaNode } from '../../../src/engine/node.ts'
import {
  APPLIED_COUNTERS,
  type NodeMemory,
  STAGE_COUNTERS,
  STAGE_NAMES,
  type StageName,
  VIEW_COUNTERS,
} from '../../../src/engine/topology.ts'
import { type BellStatistics, bellStatisticsOf, openBell } from '../../../src/ring/bell.ts'
import { openCellRing, statisticsOf as cellStatisticsOf } from '../../../src/ring/cell-ring.ts'
import { type Counters, countersOf, openCounters, set } from '../../../src/ring/counters.ts'
import {
  type LogRing,
  type RingStatistics,
  openLogRing,
  statisticsOf as logStatisticsOf,
} from '../../../src/ring/log-ring.ts'
import * as cell from '../../../src/stages/cells.ts'
import { type Ingest, type IngestClient, createIngest } from '../../../src/stages/ingest-stage.ts'
import { type OutPort, claim, flush, outPort } from '../../../src/stages/port.ts'

/** Round 1 of node 1: every frame carries it, as if that node had been elected. */
export const ballotOf = (leader: number): number => 65_536 + leader

export interface NodeClient {
  readonly ingest: Ingest
  readonly client: ClientSide
  readonly toIngest: OutPort
  /** Tells ingest who leads. */
  readonly lead: () => void
  /** Clients that were refused for want of room may try again. */
  readonly onRoom: () => void
}

/**
 * The client side of one node. `order` is called when a frame has been sealed, so that its way to
 * the disks begins while the caller fills the next one.
 */
export function openClientOf(
  spec: NodeSpec,
  memory: NodeMemory,
  log: LogRing,
  leader: number,
  hooks: { readonly order: () => void; readonly onLead: () => void },
): NodeClient {
  const { tuning } = spec
  const plain = createIngest(
    {
      batchBytesMax: tuning.batchBytesMax,
      batchEntriesMax: tuning.batchEntriesMax,
      lingerMs: tuning.batchLingerUs / 1_000,
      uncommittedBytesMax: tuning.uncommittedBytesMax,
      indexed: true,
    },
    {
      log,
      events: openCellRing(memory.admissions),
      toDecide: outPort(openCellRing(memory.submitted), null),
      nowMs: () => performance.now(),
      onLead: (leads) => void (leads && hooks.onLead()),
    },
  )
  const starved = new Set<IngestClient>()
  let seen = log.published
  const orderSealed = (): void => {
    if (log.published === seen) return
    seen = log.published
    hooks.order()
  }
  const ingest = Object.assign(Object.create(plain) as Ingest, {
    tryWrite(client: IngestClient, payload: Uint8Array): boolean {
      const isTaken = plain.tryWrite(client, payload)
      if (!isTaken) starved.add(client)
      orderSealed()
      return isTaken
    },
    tryReserve(client: IngestClient, count: number, payloadSizeBytes: number): number {
      const at = plain.tryReserve(client, count, payloadSizeBytes)
      if (at < 0) starved.add(client)
      orderSealed()
      return at
    },
    seal(): void {
      plain.seal()
      orderSealed()
    },
    closeClient(client: IngestClient): void {
      starved.delete(client)
      plain.closeClient(client)
      orderSealed()
    },
    doWork(): number {
      const work = plain.doWork()
      orderSealed()
      return work
    },
  })
  const client = createClientSide(ingest, {
    replies: openCellRing(memory.replies),
    replyBytes: openLogRing(memory.replyBytes),
    durability: spec.durability,
    clientIdBase: (spec.nonce % 2 ** 31) * 2 ** 21 + 1,
    payloadSizeBytesMax: tuning.batchBytesMax - 1_024,
    groupBytesMax: tuning.groupBytesMax,
    completesOnApply: false,
    later: queueMicrotask,
    history: { cluster: spec.clusterId, epoch: 0 },
    readers: null,
  })
  const toIngest = outPort(openCellRing(memory.admissions), null)
  return {
    ingest,
    client,
    toIngest,
    lead() {
      const base = claim(toIngest)
      toIngest.words[base] = spec.id === leader ? cell.LEAD : cell.UNLEAD
      toIngest.words[base + 1] = spec.id === leader ? ballotOf(leader) : leader
      toIngest.words[base + 2] = 1
      flush(toIngest)
    },
    onRoom() {
      if (starved.size === 0) return
      const woken = [...starved]
      starved.clear()
      for (const one of woken) one.onProgress()
    },
  }
}

export type ViewCounters = Counters<(typeof VIEW_COUNTERS)[number]>

export interface Progress {
  readonly last: number
  readonly chosen: number
  readonly durable: number
  readonly acceptedBatches: number
}

export function openView(spec: NodeSpec, memory: NodeMemory, leader: number): ViewCounters {
  const view = openCounters(VIEW_COUNTERS, memory.view)
  const isLogger = spec.members.find(({ id }) => id === spec.id)?.role === 'logger'
  const role = spec.id === leader ? 'leader' : isLogger ? 'logger' : 'follower'
  set(view, 'role', ROLE_CODES.indexOf(role))
  set(view, 'leader', leader)
  set(view, 'promised', ballotOf(leader))
  set(view, 'acceptedBallot', ballotOf(leader))
  return view
}

export function showProgress(view: ViewCounters, progress: Progress): void {
  set(view, 'last', progress.last)
  set(view, 'chosen', progress.chosen)
  set(view, 'durable', progress.durable)
  set(view, 'acceptedBatches', progress.acceptedBatches)
}

/** What the limit has no protocol for. */
export const NOT_OPERATED = {
  changeMembership: () => Promise.reject(notOperated()),
  transfer: () => Promise.reject(notOperated()),
  addPeer: () => {
    throw notOperated()
  },
} as const

const notOperated = (): ReplicaError =>
  new ReplicaError('E_NOT_AVAILABLE', 'the limit has no protocol', { feature: 'membership' })

export function statusOf(id: number, memory: NodeMemory): () => NodeStatus {
  const view = openCounters(VIEW_COUNTERS, memory.view)
  const applied = openCounters(APPLIED_COUNTERS, memory.applied)
  return () => {
    const { role, ...rest } = countersOf(view)
    const { applied: through } = countersOf(applied)
    const unasked = {
      leased: false,
      membership: null,
      snapshot: { index: 0, sizeBytes: 0 },
      historyEpoch: 0,
    }
    const seen = { ...rest, ...unasked, applied: through }
    return { id, ...seen, role: ROLE_CODES[role] ?? 'follower' }
  }
}

export function statisticsOf(memory: NodeMemory): NodeStatistics {
  const stages = {} as Record<StageName, StageStatistics>
  for (const name of STAGE_NAMES) {
    if (name === 'snapshot') continue
    stages[name] = countersOf(openCounters(STAGE_COUNTERS, memory.stages[name]))
  }
  const rings: Record<string, RingStatistics> = {
    'ingest-log': logStatisticsOf(openLogRing(memory.ingestLog)),
  }
  for (const name of ['submitted', 'walOrders', 'applyOrders'] as const) {
    rings[name] = cellStatisticsOf(openCellRing(memory[name]))
  }
  for (const { peer, memory: inbox } of memory.inboxes) {
    rings[`inbox-${peer}`] = logStatisticsOf(openLogRing(inbox.log))
  }
  const threads: Record<string, BellStatistics> = {}
  for (const [thread, bell] of Object.entries(memory.bells)) {
    threads[thread] = bellStatisticsOf(openBell(bell))
  }
  return { stages, rings, threads }
}

export const closedError = (): ReplicaError =>
  new ReplicaError('E_CLOSED', 'the node is closed', { what: 'node' })

const noSessions = (): ReplicaError => {
  const feature = 'sessions of the engine limit'
  return new ReplicaError('E_NOT_AVAILABLE', `${feature}: not available yet`, { feature })
}

/** The ceiling executes what comes, as it comes: nothing would decide about a retry or a group. */
export const WITHOUT_SESSIONS: Pick<ReplicaNode, 'openSession' | 'resumeSession' | 'proposeGroup'> =
  {
    proposeGroup: () => Promise.reject(noSessions()),
    openSession: () => Promise.reject(noSessions()),
    resumeSession() {
      throw noSessions()
    },
  }
