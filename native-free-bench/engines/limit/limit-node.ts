/**
 * One node of the engine `limit` over sockets, in its own process. The node of the lowest id leads
 * once all others are linked.
 *
 *     inline (auto)  everything on the caller's event loop: for one entry in flight a sync there
 *                    costs less than telling another thread, and two cores have no thread to spare
 *     split          WAL and applier on threads of their own
 */
import { ReplicaError } from '../../../src/base/errors.ts'
import type { StateMachine } from '../../../src/base/state-machine.ts'
import type { ApplyReport } from '../../../src/engine/apply-report.ts'
import { type CallerLoop, startCallerLoop } from '../../../src/engine/caller-loop.ts'
import { type NodeOptions, specOf } from '../../../src/engine/config.ts'
import type { NodeSpec } from '../../../src/engine/node-spec.ts'
import { type NodeEvent, type ReplicaNode, slowDiskOf } from '../../../src/engine/node.ts'
import { noReaders } from '../../../src/engine/reader.ts'
import {
  type NodeMemory,
  STAGE_COUNTERS,
  type ThreadMap,
  createNodeMemory,
} from '../../../src/engine/topology.ts'
import { type Inbox, openInbox } from '../../../src/net/inbox.ts'
import { type TcpHub, openTcpHub } from '../../../src/net/tcp-link.ts'
import { openBell } from '../../../src/ring/bell.ts'
import { openCellRing } from '../../../src/ring/cell-ring.ts'
import { add, openCounters } from '../../../src/ring/counters.ts'
import { openLogRing } from '../../../src/ring/log-ring.ts'
import { outPort } from '../../../src/stages/port.ts'
import { createRetention, keepBehind } from '../../../src/stages/retention.ts'
import {
  type NodeClient,
  WITHOUT_SESSIONS,
  ballotOf,
  closedError,
  openClientOf,
  openView,
  showProgress,
  statisticsOf,
  NOT_OPERATED,
  statusOf,
} from './client-of.ts'
import { refuseEmulation, settled } from './limit-cluster.ts'
import { createLimitFollower } from './limit-follower.ts'
import { type LimitEnd, type OwnStages, createLimitLeader } from './limit-leader.ts'
import { type Stages, failureOf, startStages } from './threads.ts'

/** Nobody sends while there is nothing to send, so silence proves nothing here. */
const IDLE_TIMEOUT_MS = 2 ** 31 - 1

interface Wiring {
  readonly spec: NodeSpec
  readonly memory: NodeMemory
  readonly threads: ThreadMap
  readonly leader: number
  readonly inboxes: ReadonlyMap<number, Inbox>
  readonly onEvent: (event: NodeEvent) => void
}

/**
 * Resolves when its files are there and its port listens.
 * @throws ReplicaError E_CONFIG_INVALID, E_DATA_DIR, E_WAL_CORRUPT, E_DISK, E_LISTEN
 */
export async function openLimitNode(
  options: NodeOptions & { readonly onEvent?: (event: NodeEvent) => void },
): Promise<ReplicaNode> {
  refuseEmulation(options)
  const callerLoop = startCallerLoop()
  const wiring = wiringOf(options, callerLoop)
  const { spec, memory, threads, leader, onEvent } = wiring
  const { id } = spec
  const end: { current: LimitEnd | null } = { current: null }
  const client = openClientOf(spec, memory, openLogRing(memory.ingestLog), leader, {
    order: () => void end.current?.order(),
    onLead: () => onEvent({ kind: 'leads', node: id, leads: true }),
  })
  const fail = (error: ReplicaError): void => {
    client.client.fail(error)
    onEvent({ kind: 'failed', node: id, error })
  }
  const machine =
    spec.stateMachine.kind === 'caller' ? (options.stateMachine as StateMachine) : null
  const stages = await startStages({ spec, memory, threads, machine, callerLoop, onFailure: fail })
  const hub = await openHub(wiring, callerLoop).catch(async (error: unknown) => {
    await stages.stop()
    await callerLoop.close()
    throw error
  })
  const isLeader = id === leader
  const limit = isLeader ? leaderOf(wiring, hub, client) : followerOf(wiring, hub)
  end.current = limit
  if (!isLeader) client.lead()
  const removeWork = callerLoop.add(workOf(wiring, limit, stages, client, hub), (error) =>
    fail(failureOf('limit', error)),
  )
  const release = async (): Promise<void> => {
    removeWork()
    await hub.close()
    await callerLoop.close()
  }
  const close = async (): Promise<ApplyReport | null> => {
    client.client.fail(closedError())
    await settled(() => limit.isSettled)
    removeWork()
    const report = await stages.stop()
    await release()
    return report
  }
  let closing: Promise<ApplyReport | null> | null = null
  return {
    id,
    address: hub.address,
    get leads() {
      return isLeader && client.ingest.leads
    },
    propose: (payload, proposeOptions) => client.client.propose(payload, proposeOptions),
    writer: () => client.client.writer(),
    ...WITHOUT_SESSIONS,
    ...noReaders('reads of a limit engine'),
    ...NOT_OPERATED,
    status: statusOf(id, memory),
    statistics: () => statisticsOf(memory),
    slowDisk: slowDiskOf(memory),
    close: () => (closing ??= close()),
    async kill() {
      client.client.fail(closedError())
      await Promise.all([stages.kill(), release()])
    },
    ingest: client.ingest,
  }
}

function wiringOf(
  options: NodeOptions & { readonly onEvent?: (event: NodeEvent) => void },
  { bell }: CallerLoop,
): Wiring {
  const { clusterId = 'xpaxos', layout = 'auto', members, id } = options
  const { host = '127.0.0.1', port, peers } = options.transport
  const leader = Math.min(...members.map((member) => member.id))
  // Followers have nothing to tell each other.
  const linked = members.map((member) => member.id).filter((other) => other !== id)
  const peerIds = id === leader ? linked : [leader]
  const spec = specOf({
    ...options,
    engine: 'xpaxos',
    maxNodes: members.length,
    clusterId: `${clusterId}.limit`, // its folders are no xpaxos node's
    transport: { kind: 'tcp', host, port, peers },
  })
  const isSplit = layout === 'split' || layout === 'dedicated'
  const threads: ThreadMap = {
    ingest: 'caller',
    receive: 'decide',
    decide: 'decide',
    fanout: 'decide',
    wal: isSplit ? 'wal' : 'caller',
    apply: isSplit && spec.stateMachine.kind !== 'caller' ? 'apply' : 'caller',
    snapshot: 'caller', // there is no such stage
  }
  const { ringSizeBytes } = spec.tuning
  const own = createNodeMemory({ peers: peerIds, threads, ringSizeBytes, callerBell: bell })
  // What a node would tell its decide stage, it tells the caller's thread.
  const memory = { ...own, bells: { ...own.bells, decide: bell } }
  const inboxes = new Map(memory.inboxes.map((box) => [box.peer, openInbox(box.memory)]))
  const onEvent = options.onEvent ?? (() => undefined)
  return { spec, memory, threads, leader, inboxes, onEvent }
}

function openHub({ spec, inboxes, onEvent }: Wiring, callerLoop: CallerLoop): Promise<TcpHub> {
  const { transport, id } = spec
  if (transport.kind !== 'tcp') throw new TypeError('this engine links by sockets')
  return openTcpHub({
    self: id,
    peers: transport.peers.filter((peer) => inboxes.has(peer.id)),
    clusterId: spec.clusterId,
    incarnation: 1,
    nonce: spec.nonce,
    inboxes,
    listenHost: transport.host,
    listenPort: transport.port,
    idleTimeoutMs: IDLE_TIMEOUT_MS,
    onEvent: (event) => {
      const value = 'peer' in event ? event.peer : 0
      onEvent({ kind: 'event', node: id, name: `link-${event.kind}`, value })
    },
    onDelivered: () => callerLoop.wake(),
  })
}

function ownOf({ spec, memory, threads }: Wiring): OwnStages {
  // The caller's own, too: what is proposed between two cycles is ordered there and then.
  const bellOf = (name: 'wal' | 'apply') => openBell(memory.bells[threads[name]]!)
  const isLogger = spec.members.find(({ id }) => id === spec.id)?.role === 'logger'
  return {
    toWal: outPort(openCellRing(memory.walOrders), bellOf('wal')),
    fromWal: openCellRing(memory.walEvents),
    toApply: isLogger ? null : outPort(openCellRing(memory.applyOrders), bellOf('apply')),
    fromApply: openCellRing(memory.applyEvents),
    retention: createRetention(keepBehind(spec.tuning.retainBytes)),
  }
}

function leaderOf(wiring: Wiring, hub: TcpHub, client: NodeClient): LimitEnd {
  const { spec, memory, leader, inboxes } = wiring
  const voters = spec.members.filter(({ role }) => role !== 'learner')
  return createLimitLeader({
    self: leader,
    ballot: ballotOf(leader),
    own: ownOf(wiring),
    followers: [...inboxes].map(([id, inbox]) => ({
      id,
      votes: voters.some((member) => member.id === id),
      link: hub.linkTo(id),
      inbox,
      state: 'awaited',
      sentLsn: 0,
      durableLsn: 0,
      durable: 0,
    })),
    log: client.ingest.log,
    submitted: openCellRing(memory.submitted),
    toIngest: client.toIngest,
    partBytesMax: spec.tuning.batchBytesMax,
    flushLinks: () => void hub.doWork(),
    onLead: client.lead,
    onLost: (live) => {
      if (live * 2 > voters.length) return
      const message = 'too few nodes are left'
      const error = new ReplicaError('E_LEADERSHIP_LOST', message, { leader: 0 }, 'unknown')
      client.client.fail(error)
    },
    onRoom: client.onRoom,
  })
}

function followerOf({ spec, ...rest }: Wiring, hub: TcpHub): LimitEnd {
  const { leader, inboxes } = rest
  return createLimitFollower({
    self: spec.id,
    ballot: ballotOf(leader),
    own: ownOf({ spec, ...rest }),
    inbox: inboxes.get(leader)!,
    link: hub.linkTo(leader),
    flushLinks: () => void hub.doWork(),
  })
}

/** Sends before it syncs, answers before it applies. */
function workOf(
  { spec, memory, leader }: Wiring,
  limit: LimitEnd,
  { inCaller }: Stages,
  { ingest, client }: NodeClient,
  hub: TcpHub,
): () => number {
  const view = openView(spec, memory, leader)
  const counters = openCounters(STAGE_COUNTERS, memory.stages.decide)
  const step = (): number => {
    const since = performance.now()
    const work = limit.doWork()
    if (work === 0) return 0
    const { last, chosen, durable, parts: acceptedBatches } = limit
    showProgress(view, { last, chosen, durable, acceptedBatches })
    add(counters, 'busyMs', performance.now() - since)
    return work
  }
  return () => {
    let work = hub.doWork() + step() + ingest.doWork() + client.doWork()
    for (const stage of inCaller) work += stage.doWork() + step()
    return work
  }
}
