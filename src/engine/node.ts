/**
 * One replica: its threads, its client side, its status. `openNode` is for a node that talks to its
 * peers over sockets; local-cluster.ts opens several in one process over memory links.
 */
import { ReplicaError } from '../base/errors.ts'
import type { StateMachine } from '../base/state-machine.ts'
import { openBell } from '../ring/bell.ts'
import { openCellRing } from '../ring/cell-ring.ts'
import { countersOf, openCounters, set } from '../ring/counters.ts'
import { openLogRing } from '../ring/log-ring.ts'
import { type Ingest, createIngest } from '../stages/ingest-stage.ts'
import { outPort } from '../stages/port.ts'
import type { ApplyReport } from './apply-report.ts'
import type { PeerInbox } from './assemble.ts'
import { type CallerLoop, startCallerLoop } from './caller-loop.ts'
import { type Writer, createClientSide } from './client.ts'
import type { Proposed } from './proposals.ts'
import { type NodeOptions, specOf } from './config.ts'
import { startHost } from './host.ts'
import { type NodeStatistics, type NodeStatus, statisticsOf, statusOf } from './node-status.ts'
import {
  type NodeSpec,
  type PeerAddress,
  clientIdBaseOf,
  makesSnapshots,
  peerIdsOf,
} from './node-spec.ts'
import { type MembershipChange, type Operator, createOperator } from './operator.ts'
import { type Session, createSessionSide } from './session-client.ts'
import { type Reader, type Readers, createReaders } from './reader.ts'
import type { History } from './token.ts'
import {
  APPLIED_COUNTERS,
  DRILL_COUNTERS,
  type NodeMemory,
  type ThreadMap,
  VIEW_COUNTERS,
  createNodeMemory,
  threadMapOf,
} from './topology.ts'

export interface ReplicaNode extends Reader {
  readonly id: number
  /** Where peers reach this node; null over memory links. */
  readonly address: { readonly host: string; readonly port: number } | null
  /** True while this node leads and takes proposals. */
  readonly leads: boolean
  /** @throws ReplicaError; its `outcome` says whether the entry may still be chosen */
  propose(payload: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<Proposed>
  /**
   * Entries that take effect together, next to each other in the log, or not at all, whoever dies.
   * Resolves with the results in order of `payloads` when all of them are applied here.
   * @throws ReplicaError E_GROUP_SIZE, and as `propose`, for the group as a whole
   */
  proposeGroup(
    payloads: readonly Uint8Array[],
    options?: { readonly signal?: AbortSignal },
  ): Promise<readonly Proposed[]>
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
  const snapshots = makesSnapshots(spec)
  const threads = threadMapOf(spec.layout, { tcp: true, applyInCaller: isObject, snapshots })
  const memory = createNodeMemory({
    peers: peerIdsOf(spec),
    threads,
    ringSizeBytes: spec.tuning.ringSizeBytes,
    callerBell: callerLoop.bell,
    snapshots,
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
  const history: History = { cluster: spec.clusterId, epoch: 0 }
  const readers = openReaders(parts, operator, history)
  const client = createClientSide(ingest, {
    history,
    readers,
    replies: openCellRing(memory.replies),
    replyBytes: openLogRing(memory.replyBytes),
    durability: spec.durability,
    clientIdBase: clientIdBaseOf(spec),
    payloadSizeBytesMax: tuning.batchBytesMax - 1_024,
    groupBytesMax: tuning.groupBytesMax,
    completesOnApply: spec.engine === 'basic-paxos',
    later: queueMicrotask,
  })
  const sessions = createSessionSide(ingest, client, spec.engine)
  const onFailure = (error: ReplicaError): void => {
    client.fail(error)
    operator.fail(error)
    onEvent({ kind: 'failed', node: id, error })
  }
  const release = async (): Promise<void> => {
    if (parts.ownsLoop) await callerLoop.close()
  }
  const host = await startHost({
    spec,
    memory,
    threads,
    peerInboxes: parts.peerInboxes,
    stateMachine: parts.stateMachine,
    callerLoop,
    clientWork: () => ingest.doWork() + client.doWork(),
    onEvent: (name, value) => onEvent({ kind: 'event', node: id, name, value }),
    onFailure,
  }).catch(async (error: unknown) => {
    await release()
    throw error
  })
  history.epoch = host.historyEpoch
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
    proposeGroup: (payloads, options) => client.proposeGroup(payloads, options),
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
    status: statusOf(id, memory, operator, history),
    statistics: () => statisticsOf(memory),
    close: () => (ended ??= end(() => host.close())),
    kill: async () => void (await (ended ??= end(() => host.kill().then(() => null)))),
    slowDisk: slowDiskOf(memory),
    ingest,
  }
}

function openReaders(
  { spec, memory, threads }: OpenParts,
  operator: Operator,
  history: History,
): Readers {
  // Its own bell, too, where the stage is on this thread: what is asked between cycles wakes it.
  const bellOf = (stage: 'decide' | 'apply') => openBell(memory.bells[threads[stage]]!)
  const { engine, members, tuning } = spec
  const first = members.find(({ id }) => id === spec.id)?.role
  const missing = (): string | null => {
    if (engine !== 'xpaxos') return 'reads'
    return (operator.roleOf(spec.id) ?? first) === 'logger' ? 'reads at a logger' : null
  }
  const applied = openCounters(APPLIED_COUNTERS, memory.applied)
  const common = { history, missing, nowMs: () => performance.now() }
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
  const toDecide = outPort(openCellRing(memory.submitted), openBell(memory.bells[threads.decide]!))
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
