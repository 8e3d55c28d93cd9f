/**
 * One replica: its threads, its client side, its status. `openNode` is for a node that talks to its
 * peers over sockets; local-cluster.ts opens several in one process over memory links.
 */
import { ReplicaError } from '../base/errors.ts'
import type { StateMachine } from '../base/state-machine.ts'
import { type BellStatistics, bellStatisticsOf, openBell } from '../ring/bell.ts'
import { openCellRing, statisticsOf as cellStatisticsOf } from '../ring/cell-ring.ts'
import { countersOf, openCounters, set } from '../ring/counters.ts'
import { isLeaseValid, leaseLifeOf, openLease } from '../ring/lease.ts'
import { openLogRing, statisticsOf as logStatisticsOf } from '../ring/log-ring.ts'
import type { RingStatistics } from '../ring/log-ring.ts'
import { type Ingest, createIngest } from '../stages/ingest-stage.ts'
import { outPort } from '../stages/port.ts'
import type { ApplyReport, PeerInbox } from './assemble.ts'
import { type CallerLoop, startCallerLoop } from './caller-loop.ts'
import { type Writer, createClientSide } from './client.ts'
import type { Proposed } from './proposals.ts'
import { type NodeOptions, specOf } from './config.ts'
import { startHost } from './host.ts'
import { type NodeSpec, type PeerAddress, clientIdBaseOf, peerIdsOf } from './node-spec.ts'
import {
  type MembershipChange,
  type MembershipStatus,
  type Operator,
  createOperator,
} from './operator.ts'
import { type Session, createSessionSide } from './session-client.ts'
import { processMs, wallMs } from './process-clock.ts'
import { type Reader, type Readers, createReaders } from './reader.ts'
import {
  APPLIED_COUNTERS,
  DRILL_COUNTERS,
  type NodeMemory,
  STAGE_COUNTERS,
  STAGE_NAMES,
  type StageName,
  type ThreadMap,
  VIEW_COUNTERS,
  createNodeMemory,
  threadMapOf,
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

export interface NodeStatistics {
  readonly stages: Readonly<Record<StageName, StageStatistics>>
  readonly rings: Readonly<Record<string, RingStatistics>>
  /** By thread: how often it went to sleep, and how many sleeps somebody ended. */
  readonly threads: Readonly<Record<string, BellStatistics>>
}

export interface ReplicaNode extends Reader {
  readonly id: number
  /** Where peers reach this node; null over memory links. */
  readonly address: { readonly host: string; readonly port: number } | null
  /** True while this node leads and takes proposals. */
  readonly leads: boolean
  /** @throws ReplicaError; its `outcome` says whether the entry may still be chosen */
  propose(payload: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<Proposed>
  /** A batch interface for millions of entries a second. @throws E_NOT_LEADER */
  writer(): Writer
  /** Entries that take effect exactly once, in order. @throws ReplicaError as `propose` */
  openSession(): Promise<Session>
  /**
   * A session that was opened at this node or another one; nothing is asked of the log.
   * @throws ReplicaError E_NOT_LEADER, E_CONFIG_INVALID
   */
  resumeSession(id: number, nextSequence: number): Session
  /** Another reader: its reads wait for its own watches only, as the node's wait for the node's. */
  reader(): Reader
  /**
   * One step of the membership, asked of the leader. Resolves when it is chosen, and proven so: a
   * removed node may be stopped then.
   * @throws ReplicaError E_NOT_LEADER; E_CHANGE_REFUSED: nothing changed; E_LEADERSHIP_LOST:
   *   unknown
   */
  changeMembership(change: MembershipChange): Promise<void>
  /**
   * Hands leadership to another member; meanwhile proposals are refused with E_TRANSFERRING.
   * Resolves when the other has taken over.
   * @throws ReplicaError E_NOT_LEADER, E_TRANSFER_FAILED
   */
  transfer(targetId: number): Promise<void>
  /**
   * Where a node is that came after this one was opened: the lower id dials the higher one. Its id
   * is one that this node has memory for (`maxNodes`).
   * @throws ReplicaError E_CONFIG_INVALID
   */
  addPeer(peer: PeerAddress): void
  status(): NodeStatus
  statistics(): NodeStatistics
  /** Ends the node in order. The report is what its state machine ended with. */
  close(): Promise<ApplyReport | null>
  /** Ends the node where it stands, as a crash would. For tests and drills. */
  kill(): Promise<void>
  /** From now on its disk takes so many times as long; 1: as long as it does. For drills. */
  slowDisk(factor: number): void
  /** The client stage itself: for generators that fill entries in place. */
  readonly ingest: Ingest
}

export type NodeEvent =
  | { readonly kind: 'event'; readonly node: number; readonly name: string; readonly value: number }
  | { readonly kind: 'leads'; readonly node: number; readonly leads: boolean }
  | { readonly kind: 'failed'; readonly node: number; readonly error: ReplicaError }

export interface OpenParts {
  readonly spec: NodeSpec
  readonly memory: NodeMemory
  readonly threads: ThreadMap
  readonly peerInboxes: readonly PeerInbox[]
  readonly stateMachine: StateMachine | null
  readonly callerLoop: CallerLoop
  readonly ownsLoop: boolean
  readonly onEvent: (event: NodeEvent) => void
}

/**
 * Opens one replica over TCP. Resolves when its files are recovered and its port listens; a leader
 * is elected once a quorum of members is open.
 * @throws ReplicaError E_CONFIG_INVALID, E_DATA_DIR, E_WAL_CORRUPT, E_DISK, E_LISTEN
 */
export async function openNode(
  options: NodeOptions & { readonly onEvent?: (event: NodeEvent) => void },
): Promise<ReplicaNode> {
  const { host = '127.0.0.1', port, peers } = options.transport
  const spec = specOf({ ...options, transport: { kind: 'tcp', host, port, peers } })
  const callerLoop = startCallerLoop()
  const isObject = spec.stateMachine.kind === 'caller'
  const threads = threadMapOf(spec.layout, { tcp: true, applyInCaller: isObject })
  const memory = createNodeMemory({
    peers: peerIdsOf(spec),
    threads,
    ringSizeBytes: spec.tuning.ringSizeBytes,
    callerBell: callerLoop.bell,
  })
  return openParts({
    spec,
    memory,
    threads,
    peerInboxes: [],
    stateMachine: isObject ? (options.stateMachine as StateMachine) : null,
    callerLoop,
    ownsLoop: true,
    onEvent: options.onEvent ?? (() => undefined),
  })
}

/** Opens a node over given memory; shared by openNode and openLocalCluster. */
export async function openParts(given: OpenParts): Promise<ReplicaNode> {
  const parts = { ...given, onEvent: safely(given.onEvent) }
  const { spec, memory, threads, callerLoop, onEvent } = parts
  const { id, tuning } = spec
  const { ingest, operator } = openIngest(parts)
  const readers = openReaders(parts, operator)
  const client = createClientSide(ingest, {
    clusterId: spec.clusterId,
    readers,
    replies: openCellRing(memory.replies),
    replyBytes: openLogRing(memory.replyBytes),
    durability: spec.durability,
    clientIdBase: clientIdBaseOf(spec),
    payloadSizeBytesMax: tuning.batchBytesMax - 1_024,
    completesOnApply: spec.engine === 'basic-paxos',
    later: queueMicrotask,
  })
  const sessions = createSessionSide(ingest, client, spec.engine)
  const onFailure = (error: ReplicaError): void => {
    client.fail(error)
    operator.fail(error)
    onEvent({ kind: 'failed', node: id, error })
  }
  const work = (): number => ingest.doWork() + client.doWork()
  const removeWork = callerLoop.add(work, (cause) => {
    const reason = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
    const detail = { stage: 'ingest', reason }
    onFailure(new ReplicaError('E_STAGE_FAILED', reason, detail, 'unknown', { cause }))
  })
  const release = async (): Promise<void> => {
    removeWork()
    if (parts.ownsLoop) await callerLoop.close()
  }
  const host = await startHost({
    spec,
    memory,
    threads,
    peerInboxes: parts.peerInboxes,
    stateMachine: parts.stateMachine,
    callerLoop,
    onEvent: (name, value) => onEvent({ kind: 'event', node: id, name, value }),
    onFailure,
  }).catch(async (error: unknown) => {
    await release()
    throw error
  })
  const end = async (stop: () => Promise<ApplyReport | null>): Promise<ApplyReport | null> => {
    client.fail(closedError())
    operator.fail(closedError())
    try {
      return await stop()
    } finally {
      await release()
    }
  }
  /** By close or kill, whichever came first. */
  let ended: Promise<ApplyReport | null> | null = null
  return {
    id,
    address: host.address,
    get leads() {
      return ingest.leads
    },
    propose: (payload, options) => client.propose(payload, options),
    writer: () => client.writer(),
    openSession: () => sessions.open(),
    resumeSession: (session, nextSequence) => sessions.resume(session, nextSequence),
    ...readers.open(),
    reader: () => readers.open(),
    changeMembership: (change) => operator.change(change),
    transfer: (targetId) => operator.transfer(targetId),
    addPeer(peer) {
      checkPeer(spec, peer)
      host.addPeer(peer)
    },
    status: statusOf(id, memory, operator),
    statistics: () => statisticsOf(memory),
    close: () => (ended ??= end(() => host.close())),
    kill: async () => void (await (ended ??= end(() => host.kill().then(() => null)))),
    slowDisk: slowDiskOf(memory),
    ingest,
  }
}

function openReaders({ spec, memory, threads }: OpenParts, operator: Operator): Readers {
  const bellOf = (stage: 'decide' | 'apply') =>
    threads[stage] === 'caller' ? null : openBell(memory.bells[threads[stage]]!)
  const { clusterId, engine, members, tuning } = spec
  const first = members.find(({ id }) => id === spec.id)?.role
  const missing = (): string | null => {
    if (engine !== 'xpaxos') return 'reads'
    return (operator.roleOf(spec.id) ?? first) === 'logger' ? 'reads at a logger' : null
  }
  const applied = openCounters(APPLIED_COUNTERS, memory.applied)
  const common = { clusterId, missing, nowMs: () => performance.now() }
  const reads = {
    queries: outPort(openCellRing(memory.queries), bellOf('apply')),
    queryBytes: openLogRing(memory.queryBytes),
    asked: outPort(openCellRing(memory.reads), bellOf('decide')),
    answerBytes: openLogRing(memory.replyBytes),
    hasLeases: tuning.leaseMs > 0,
    later: queueMicrotask,
  }
  const watches = {
    asked: outPort(openCellRing(memory.watches), bellOf('apply')),
    bytes: openLogRing(memory.watchBytes),
    applied: () => applied.words[applied.at.applied]!,
  }
  return createReaders({ reads: { ...common, ...reads }, watches: { ...common, ...watches } })
}

function openIngest({ spec, memory, threads, onEvent }: OpenParts) {
  const { tuning, id, engine } = spec
  const decideBell = threads.decide === 'caller' ? null : openBell(memory.bells[threads.decide]!)
  const toDecide = outPort(openCellRing(memory.submitted), decideBell)
  const view = openCounters(VIEW_COUNTERS, memory.view)
  const operator = createOperator({
    toDecide,
    isAvailable: engine === 'xpaxos',
    leader: () => countersOf(view).leader,
  })
  const ingest = createIngest(
    {
      batchBytesMax: tuning.batchBytesMax,
      batchEntriesMax: tuning.batchEntriesMax,
      lingerMs: tuning.batchLingerUs / 1_000,
      uncommittedBytesMax: tuning.uncommittedBytesMax,
      indexed: engine === 'xpaxos',
    },
    {
      log: openLogRing(memory.ingestLog),
      events: openCellRing(memory.admissions),
      toDecide,
      nowMs: () => performance.now(),
      onLead: (leads) => onEvent({ kind: 'leads', node: id, leads }),
      onOther: (cells, base, place) => operator.onCell(cells, base, place),
    },
  )
  return { ingest, operator }
}

/** A listener that throws is its owner's bug: it is reported as uncaught, and stops no stage. */
const safely =
  (listener: (event: NodeEvent) => void) =>
  (event: NodeEvent): void => {
    try {
      listener(event)
    } catch (error) {
      queueMicrotask(() => {
        throw error
      })
    }
  }

function checkPeer(spec: NodeSpec, { id, port }: PeerAddress): void {
  const problems: string[] = []
  if (spec.transport.kind !== 'tcp') problems.push('addPeer: memory links need no address')
  if (!peerIdsOf(spec).includes(id)) problems.push(`addPeer: id=${id}: beyond maxNodes`)
  if (!(port > 0 && port < 65_536)) problems.push(`addPeer: port=${port}: want 1 to 65535`)
  if (problems.length === 0) return
  throw new ReplicaError('E_CONFIG_INVALID', problems.join('; '), { problems })
}

export function slowDiskOf(memory: NodeMemory): (factor: number) => void {
  const drills = openCounters(DRILL_COUNTERS, memory.drills)
  return (factor) => set(drills, 'slowDisk', factor)
}

const closedError = (): ReplicaError =>
  new ReplicaError('E_CLOSED', 'the node is closed', { what: 'node' })

function statusOf(id: number, memory: NodeMemory, operator: Operator): () => NodeStatus {
  const view = openCounters(VIEW_COUNTERS, memory.view)
  const applied = openCounters(APPLIED_COUNTERS, memory.applied)
  const lease = openLease(memory.lease)
  return () => {
    const { role, ...rest } = countersOf(view)
    const { applied: through } = countersOf(applied)
    const { membership } = operator
    const leased = isLeaseValid(lease, leaseLifeOf(lease), processMs(), wallMs())
    const seen = { ...rest, leased, membership, applied: through }
    return { id, ...seen, role: ROLE_CODES[role] ?? 'follower' }
  }
}

function statisticsOf(memory: NodeMemory): NodeStatistics {
  const stages = {} as Record<StageName, StageStatistics>
  for (const name of STAGE_NAMES) {
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
