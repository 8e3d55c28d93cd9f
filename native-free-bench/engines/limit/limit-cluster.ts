/**
 * The engine `limit` in one process: the machine's ceiling, against which the others are judged.
 * Node 1 takes entries on the caller's thread; every node has its own folder, its own WAL thread
 * with real syncs and, if it keeps state, its own apply thread; all read the one ring that ingest
 * wrote. docs: contract.md, engine `limit`.
 *
 *     caller's thread: ingest, limit --> wal thread of each node, apply thread of each data node
 */
import { join } from 'node:path'
import { ReplicaError } from '../../../src/base/errors.ts'
import type { StateMachine } from '../../../src/base/state-machine.ts'
import type { ApplyReport } from '../../../src/engine/apply-report.ts'
import { type CallerLoop, startCallerLoop } from '../../../src/engine/caller-loop.ts'
import { type CommonOptions, specOf } from '../../../src/engine/config.ts'
import {
  type LocalCluster,
  type LocalClusterOptions,
  makeFolder,
} from '../../../src/engine/local-cluster.ts'
import type { NodeSpec } from '../../../src/engine/node-spec.ts'
import { type ReplicaNode, slowDiskOf } from '../../../src/engine/node.ts'
import { noReaders } from '../../../src/engine/reader.ts'
import {
  type NodeMemory,
  STAGE_COUNTERS,
  type ThreadMap,
  createNodeMemory,
} from '../../../src/engine/topology.ts'
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
import { type LimitMember, type LimitStage, createLimitStage } from './limit-stage.ts'
import { failureOf, startStages } from './threads.ts'

const SETTLE_MS_MAX = 5_000

interface Wiring {
  readonly spec: NodeSpec
  readonly memory: NodeMemory
  readonly threads: ThreadMap
  readonly machine: StateMachine | null
  readonly keepsState: boolean
}

/**
 * Opens all nodes; node 1 (the one of the lowest id) leads at once.
 * @throws ReplicaError E_CONFIG_INVALID, E_DATA_DIR, E_WAL_CORRUPT, E_DISK
 */
export async function openLimitCluster(options: LocalClusterOptions): Promise<LocalCluster> {
  const callerLoop = startCallerLoop()
  const wirings = wiringsOf(options, callerLoop)
  const leader = wirings[0]!.spec.id
  const log = openLogRing(wirings[0]!.memory.ingestLog)
  const emit = options.onEvent ?? (() => undefined)
  const stage: { current: LimitStage | null } = { current: null }
  const clients = wirings.map(({ spec, memory }) =>
    openClientOf(spec, memory, log, leader, {
      order: () => void stage.current?.order(),
      onLead: () => emit({ kind: 'leads', node: spec.id, leads: true }),
    }),
  )
  for (const { lead } of clients) lead()
  const members = wirings.map(memberOf)
  const limit = createLimitStage({
    ballot: ballotOf(leader),
    members,
    log,
    submitted: openCellRing(wirings[0]!.memory.submitted),
    toIngest: clients[0]!.toIngest,
    partBytesMax: wirings[0]!.spec.tuning.batchBytesMax,
    onRoom: clients[0]!.onRoom,
  })
  stage.current = limit
  const voters = members.filter(({ votes }) => votes)
  const lose = (id: number, error: ReplicaError): void => {
    limit.drop(id)
    const live = voters.filter(({ isDead }) => !isDead).length
    if (id !== leader && live * 2 > voters.length) return
    for (const { client } of clients) client.fail(error)
  }
  const onFailure = (id: number, error: ReplicaError): void => {
    lose(id, error)
    emit({ kind: 'failed', node: id, error })
  }
  const removeWork = callerLoop.add(workOf(wirings, members, limit, clients), (error) =>
    onFailure(leader, failureOf('limit', error)),
  )
  const opened = await Promise.allSettled(
    wirings.map((wiring, place) =>
      openLimitMember(wiring, clients[place]!, { callerLoop, limit, leader, lose, onFailure }),
    ),
  )
  const nodes = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const close = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.close()))
    removeWork()
    await callerLoop.close()
  }
  const failed = opened.find((one) => one.status === 'rejected')
  if (failed !== undefined) {
    await close()
    throw failed.reason
  }
  const first = nodes[0]!
  while (!first.leads) await new Promise((resolve) => setImmediate(resolve))
  return {
    nodes,
    addNode: () => NOT_OPERATED.transfer(),
    leader: async () => first,
    propose: (payload, proposeOptions) => first.propose(payload, proposeOptions),
    writer: () => first.writer(),
    close,
  }
}

function wiringsOf(options: LocalClusterOptions, { bell }: CallerLoop): Wiring[] {
  const { nodes = 3, stateMachine, dataDir = '', clusterId = 'xpaxos' } = options
  const members =
    typeof nodes === 'number' ? Array.from({ length: nodes }, (_, i) => ({ id: i + 1 })) : nodes
  refuseEmulation(options)
  const isFactory = typeof stateMachine === 'function'
  const made = [...members]
    .sort((a, b) => a.id - b.id)
    .map(({ id }) => {
      const machine = isFactory ? stateMachine() : null
      const spec = specOf({
        ...options,
        engine: 'xpaxos',
        clusterId: `${clusterId}.limit`, // its folders are no xpaxos node's
        id,
        members,
        maxNodes: members.length,
        dataDir: dataDir === '' ? '' : join(dataDir, `node-${id}`),
        stateMachine: machine ?? (stateMachine as URL | 'kv' | 'hash'),
        transport: { kind: 'memory' },
      })
      const threads: ThreadMap = {
        ingest: 'caller',
        receive: 'decide',
        decide: 'decide',
        fanout: 'decide',
        wal: 'wal',
        apply: machine === null ? 'apply' : 'caller',
        snapshot: 'caller', // there is no such stage
      }
      return { spec, threads, machine }
    })
  if (dataDir !== '' && options.durability !== 'none') makeFolder(dataDir)
  let ingestLog: SharedArrayBuffer | null = null
  return made.map(({ spec, threads, machine }) => {
    const { ringSizeBytes } = spec.tuning
    const own = createNodeMemory({ peers: [], threads, ringSizeBytes, callerBell: bell })
    ingestLog ??= own.ingestLog
    // What a node would tell its decide stage, it tells the caller's thread.
    const memory = { ...own, ingestLog, bells: { ...own.bells, decide: bell } }
    const role = spec.members.find(({ id }) => id === spec.id)!.role
    return { spec, threads, machine, memory, keepsState: role !== 'logger' }
  })
}

export function refuseEmulation({ emulation = {} }: CommonOptions): void {
  if (Object.values(emulation).every((value) => value === 0)) return
  const problems = ['emulation: the engine limit has no links to emulate']
  throw new ReplicaError('E_CONFIG_INVALID', problems[0]!, { problems })
}

function memberOf({ spec, memory, threads, keepsState }: Wiring): LimitMember {
  const { role } = spec.members.find(({ id }) => id === spec.id)!
  const applyBell = threads.apply === 'caller' ? null : openBell(memory.bells.apply!)
  return {
    id: spec.id,
    votes: role !== 'learner',
    toApply: keepsState ? outPort(openCellRing(memory.applyOrders), applyBell) : null,
    fromApply: openCellRing(memory.applyEvents),
    toWal: outPort(openCellRing(memory.walOrders), openBell(memory.bells.wal!)),
    fromWal: openCellRing(memory.walEvents),
    retention: createRetention(keepBehind(spec.tuning.retainBytes)),
    isDead: false,
    durableLsn: 0,
    durable: 0,
    appliedLsn: 0,
    applied: 0,
  }
}

/** The duty cycle of the caller's thread: limit, then the client side of every node. */
function workOf(
  wirings: readonly Wiring[],
  members: readonly LimitMember[],
  limit: LimitStage,
  clients: readonly NodeClient[],
): () => number {
  const leader = wirings[0]!.spec.id
  const views = wirings.map(({ spec, memory }) => openView(spec, memory, leader))
  const counters = openCounters(STAGE_COUNTERS, wirings[0]!.memory.stages.decide)
  return () => {
    const since = performance.now()
    const work = limit.doWork()
    if (work > 0) {
      const { last, chosen } = limit
      for (const [place, { isDead, durable, durableLsn }] of members.entries()) {
        if (isDead) continue
        showProgress(views[place]!, { last, chosen, durable, acceptedBatches: durableLsn })
      }
      add(counters, 'busyMs', performance.now() - since)
    }
    let rest = 0
    for (const { ingest, client } of clients) rest += ingest.doWork() + client.doWork()
    return work + rest
  }
}

interface Around {
  readonly callerLoop: CallerLoop
  readonly limit: LimitStage
  readonly leader: number
  readonly lose: (id: number, error: ReplicaError) => void
  readonly onFailure: (id: number, error: ReplicaError) => void
}

async function openLimitMember(
  wiring: Wiring,
  { ingest, client }: NodeClient,
  { callerLoop, limit, leader, lose, onFailure }: Around,
): Promise<ReplicaNode> {
  const { spec, memory, threads, machine } = wiring
  const { id } = spec
  const fail = (error: ReplicaError): void => onFailure(id, error)
  const parts = { spec, memory, threads, machine, callerLoop, onFailure: fail }
  const stages = await startStages(parts)
  const { inCaller } = stages
  const removeCaller = callerLoop.add(
    () => inCaller.reduce((work, stage) => work + stage.doWork(), 0),
    (error) => fail(failureOf('apply', error)),
  )
  let closing: Promise<ApplyReport | null> | null = null
  const close = async (): Promise<ApplyReport | null> => {
    client.fail(closedError())
    await settled(() => limit.isSettled(id))
    lose(id, closedError())
    removeCaller()
    return stages.stop()
  }
  return {
    id,
    address: null,
    get leads() {
      return id === leader && ingest.leads
    },
    propose: (payload, proposeOptions) => client.propose(payload, proposeOptions),
    writer: () => client.writer(),
    ...WITHOUT_SESSIONS,
    ...noReaders('reads of a limit engine'),
    ...NOT_OPERATED,
    status: statusOf(id, memory),
    statistics: () => statisticsOf(memory),
    slowDisk: slowDiskOf(memory),
    close: () => (closing ??= close()),
    async kill() {
      client.fail(closedError())
      lose(id, closedError())
      removeCaller()
      await stages.kill()
    },
    ingest,
  }
}

/** What was ordered reaches every disk and state, so that the reports of all nodes agree. */
export async function settled(isSettled: () => boolean): Promise<void> {
  const until = performance.now() + SETTLE_MS_MAX
  while (!isSettled() && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
