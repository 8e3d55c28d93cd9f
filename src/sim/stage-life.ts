/**
 * One life of a simulated node: the memory of engine/topology.ts, small, and the stages and client
 * side of production over it, as engine/assemble.ts and engine/node.ts wire them for layout inline.
 * What is outside of a node (disk, links, clocks, whoever calls) comes in through their interfaces.
 */
import type { Core } from '../core/engine.ts'
import type { MessageCodec } from '../codec/message-codec.ts'
import { type ClientSide, type Lane, createClientSide } from '../engine/client.ts'
import { clientIdBaseOf, isOwnClient } from '../engine/node-spec.ts'
import { READ_TIMEOUT_MAX_MS } from '../engine/read-client.ts'
import { type Readers, createReaders } from '../engine/reader.ts'
import { type SessionCalls, createSessionCalls } from '../engine/session-client.ts'
import { type NodeMemory, createNodeMemory, threadMapOf } from '../engine/topology.ts'
import type { Inbox } from '../net/inbox.ts'
import type { PeerLink } from '../net/link.ts'
import { bellMemory } from '../ring/bell.ts'
import { type CellRing, openCellRing } from '../ring/cell-ring.ts'
import { type LeaseWords, openLease } from '../ring/lease.ts'
import { type LogRing, openLogRing } from '../ring/log-ring.ts'
import type { StateMachine } from '../base/state-machine.ts'
import type { Storage } from '../base/storage.ts'
import type { LogIndex } from '../core/ids.ts'
import { checksumOf } from '../wal/identity.ts'
import { demand } from './invariants.ts'
import type { ApplyCheck } from '../stages/apply-check.ts'
import { createApplyStage } from '../stages/apply-stage.ts'
import type { Retention } from '../stages/retention.ts'
import { createDecideStage } from '../stages/decide-stage.ts'
import { createFanoutStage } from '../stages/fanout-stage.ts'
import { type Ingest, PLAIN_FRAMES, createIngest } from '../stages/ingest-stage.ts'
import { type OutPort, outPort } from '../stages/port.ts'
import { createReadDesk } from '../stages/read-desk.ts'
import { createReceiveStage } from '../stages/receive-stage.ts'
import type { SessionTable } from '../stages/session-table.ts'
import type { Restored } from '../stages/snapshot-restore.ts'
import { createSnapshotStage } from '../stages/snapshot-stage.ts'
import { type SnapshotTaker, createSnapshotTaker } from '../stages/snapshot-taker.ts'
import type { Stage } from '../stages/stage.ts'
import { createWalStage } from '../stages/wal-stage.ts'
import type { Wal } from '../wal/wal.ts'
import type { Member } from '../core/engine.ts'
import type { Plan, StagePlan } from './plan.ts'
import { type WalLane, createWalLane } from './wal-lane.ts'

export const CLUSTER = 'sim'
export const CLUSTER_HASH = checksumOf(Buffer.from(CLUSTER))
export const DIR = '/data/node'
const HISTORY = { cluster: CLUSTER, epoch: 0 }
/** Above what the log reads at once here: 64 KiB of frames of 128 bytes. */
const CELLS = 1_024
/** As engine/config.ts demands. */
const BATCHES_A_RING = 8

export interface LifeWiring<M> {
  readonly plan: Plan
  readonly stages: StagePlan
  readonly member: Member
  /** Tells this life from all others. */
  readonly nonce: number
  readonly core: Core<M>
  readonly codec: MessageCodec<M>
  readonly wal: Wal
  readonly retention: Retention
  readonly links: ReadonlyMap<number, PeerLink>
  readonly machine: StateMachine
  /** What it, the session table and the check start with. */
  readonly restored: Restored & { readonly check: ApplyCheck }
  /** Index of the older snapshot that is kept; 0: there are not two. */
  readonly olderSnapshot: LogIndex
  readonly storage: Storage
  readonly onSnapshot: (index: number) => void
  readonly memory: NodeMemory
  readonly inboxes: ReadonlyMap<number, Inbox>
  readonly nowMs: () => number
  readonly wallMs: () => number
  /** Lets the links send what waited. */
  readonly poll: () => number
  /** Runs the call when this turn of the caller is over. */
  readonly later: (call: () => void) => void
  readonly onInvalid: () => void
  /** Of the decide stage. */
  readonly onEvent: (name: string) => void
  readonly onApplied: (through: number) => void
  /** Sees what the desk answers before who asked does. */
  readonly onAnswers: (words: Float64Array, base: number) => void
}

/** Handles that only look: whether a stage has anything to do. */
export type WatchedRings = Readonly<Record<(typeof WATCHED)[number], CellRing>>
const WATCHED = [
  ...(['submitted', 'reads', 'received', 'walEvents', 'applyEvents', 'admissions'] as const),
  ...(['replies', 'fanoutOrders', 'applyOrders', 'queries'] as const),
]

export interface StageLife {
  readonly memory: NodeMemory
  readonly logRings: readonly LogRing[]
  readonly receive: Stage
  readonly decide: Stage
  readonly fanout: Stage
  readonly ingest: Ingest
  readonly apply: Stage
  /** Null where no snapshots are made. */
  readonly snapshot: Stage | null
  /** How an operator's orders reach decide. */
  readonly toDecide: OutPort
  readonly wal: WalLane
  readonly client: ClientSide
  /** Of plain proposals. */
  readonly plain: Lane
  readonly sessions: SessionCalls
  readonly reads: Readers
  readonly lease: LeaseWords
  readonly check: ApplyCheck
  readonly table: SessionTable
  readonly rings: WatchedRings
}

export function createLifeMemory({ knobs, stages }: Plan, peers: readonly number[]): NodeMemory {
  const ringSizeBytes = Math.max(2 ** 14, BATCHES_A_RING * powerAbove(knobs.batchBytesMax))
  return createNodeMemory({
    peers,
    threads: threadMapOf('inline', { tcp: false, applyInCaller: true }),
    ringSizeBytes,
    callerBell: bellMemory(),
    snapshots: stages!.snapshotEveryBytes > 0,
    sizes: {
      cells: CELLS,
      readbackSizeBytes: 2 * ringSizeBytes,
      replySizeBytes: 2 ** 16,
      querySizeBytes: 2 ** 15,
      watchSizeBytes: 2 ** 14,
      snapshotSizeBytes: 2 ** 18,
    },
  })
}

const powerAbove = (size: number): number => 2 ** Math.ceil(Math.log2(size))

export function createStageLife<M>(wiring: LifeWiring<M>): StageLife {
  const { memory, inboxes, nowMs, wallMs, stages, member } = wiring
  const logRings = [
    openLogRing(memory.ingestLog),
    ...[...inboxes.values()].map(({ log }) => log),
    openLogRing(memory.readback),
  ]
  const lease = openLease(memory.lease)
  const { check, sessions: table } = wiring.restored
  const toDecide = outPort(openCellRing(memory.submitted), null)
  const ingest = openIngest(wiring, logRings[0]!, toDecide)
  const reads = openReaders(wiring)
  const client = openClient(wiring, ingest, reads)
  return {
    ...{ memory, logRings, ingest, reads, client, lease, check, table, toDecide },
    rings: Object.fromEntries(
      WATCHED.map((name) => [name, openCellRing(memory[name])]),
    ) as WatchedRings,
    receive: openReceive(wiring, logRings),
    decide: openDecide(wiring, logRings, lease),
    fanout: createFanoutStage({
      self: member.id,
      links: wiring.links,
      logRings,
      orders: openCellRing(memory.fanoutOrders),
      toDecide: outPort(openCellRing(memory.fanoutEvents), null),
      onSent: () => undefined,
      poll: wiring.poll,
      nowMs,
    }),
    apply: openApply(wiring, logRings, { lease, check, table }),
    snapshot: openSnapshots(wiring),
    wal: openWalStage(wiring, logRings),
    plain: client.lane(PLAIN_FRAMES),
    sessions: createSessionCalls(ingest, client, 'xpaxos'),
  }

  function openWalStage({ wal }: LifeWiring<M>, rings: readonly LogRing[]): WalLane {
    return createWalLane(openCellRing(memory.walOrders), (orders) => ({
      stage: createWalStage({
        wal,
        logRings: rings,
        readback: rings.at(-1)!,
        orders,
        toDecide: outPort(openCellRing(memory.walEvents), null),
        nowMs,
        onGroup: () => undefined,
      }),
      syncedLsn: () => wal.synced,
    }))
  }
  function openDecide(
    { core, codec }: LifeWiring<M>,
    rings: readonly LogRing[],
    words: LeaseWords,
  ): Stage {
    return createDecideStage({
      core,
      codec,
      logRings: rings,
      submitted: openCellRing(memory.submitted),
      reads: openCellRing(memory.reads),
      received: openCellRing(memory.received),
      fromWal: openCellRing(memory.walEvents),
      fromApply: openCellRing(memory.applyEvents),
      fromFanout: openCellRing(memory.fanoutEvents),
      toWal: outPort(openCellRing(memory.walOrders), null),
      toApply: outPort(openCellRing(memory.applyOrders), null),
      toFanout: outPort(openCellRing(memory.fanoutOrders), null),
      toIngest: outPort(openCellRing(memory.admissions), null),
      answersAll: false,
      retention: wiring.retention,
      applied: wiring.restored.start.index,
      snapshots: keeperPorts(wiring),
      nowMs,
      wallMs,
      lease: stages.leaseMs > 0 ? words : null,
      onEvent: wiring.onEvent,
      onView: () => undefined,
    })
  }
}

function openReceive<M>(
  { memory, inboxes, nowMs, onInvalid }: LifeWiring<M>,
  logRings: readonly LogRing[],
): Stage {
  const links = [...inboxes].map(([peer, { cells }], place) => ({
    ...{ peer, cells, log: logRings[place + 1]!, ring: place + 1 },
    ...{ delay: null, checksBodies: true, onInvalid, onPayload: () => undefined },
  }))
  return createReceiveStage(links, outPort(openCellRing(memory.received), null), nowMs)
}

function openApply<M>(
  wiring: LifeWiring<M>,
  logRings: readonly LogRing[],
  own: Pick<StageLife, 'lease' | 'check' | 'table'>,
): Stage {
  const { memory, machine, nowMs, wallMs } = wiring
  const toClient = {
    port: outPort(openCellRing(memory.replies), null),
    bytes: openLogRing(memory.replyBytes),
  }
  const base = clientIdBaseOf(wiring)
  return createApplyStage({
    stateMachine: machine,
    check: own.check,
    sessions: own.table,
    isOwnClient: (id) => isOwnClient(id, base),
    logRings,
    orders: openCellRing(memory.applyOrders),
    toDecide: outPort(openCellRing(memory.applyEvents), null),
    toClient,
    desk: createReadDesk({
      stateMachine: machine,
      queries: openCellRing(memory.queries),
      queryBytes: openLogRing(memory.queryBytes),
      answers: toClient,
      lease: own.lease,
      nowMs,
      wallMs,
      forgetMs: READ_TIMEOUT_MAX_MS,
    }),
    onApplied: wiring.onApplied,
    start: wiring.restored.start,
    snapshots: openTaker(wiring, own),
  })
}

function keeperPorts<M>({ memory: { snapshots }, olderSnapshot }: LifeWiring<M>) {
  if (snapshots === null) return null
  const keeps = outPort(openCellRing(snapshots.keeps), null)
  return { events: openCellRing(snapshots.events), keeps, older: olderSnapshot }
}

function openTaker<M>(
  { memory: { snapshots }, machine, stages }: LifeWiring<M>,
  { check, table }: Pick<StageLife, 'check' | 'table'>,
): SnapshotTaker | null {
  if (snapshots === null) return null
  return createSnapshotTaker({
    ...{ stateMachine: machine, check, sessions: table, everyBytes: stages.snapshotEveryBytes },
    orders: outPort(openCellRing(snapshots.orders), null),
    pieces: openLogRing(snapshots.pieces),
  })
}

function openSnapshots<M>(wiring: LifeWiring<M>): Stage | null {
  const {
    memory: { snapshots: memory },
    storage,
    onSnapshot,
  } = wiring
  if (memory === null) return null
  return createSnapshotStage({
    ...{ storage, dir: DIR, clusterHash: CLUSTER_HASH, historyEpoch: 0, compresses: false },
    orders: openCellRing(memory.orders),
    pieces: openLogRing(memory.pieces),
    keeps: openCellRing(memory.keeps),
    toDecide: outPort(openCellRing(memory.events), null),
    onKept: onSnapshot,
    onFailed: () => demand(false, 'no-panic', 'a disk that does not fail fails a snapshot'),
  })
}

function openIngest<M>(
  { plan, stages, memory, nowMs }: LifeWiring<M>,
  log: LogRing,
  toDecide: OutPort,
): Ingest {
  const { batchBytesMax, batchEntriesMax } = plan.knobs
  const { lingerMs, uncommittedBytesMax } = stages
  return createIngest(
    { batchBytesMax, batchEntriesMax, lingerMs, uncommittedBytesMax, indexed: true },
    {
      log,
      events: openCellRing(memory.admissions),
      toDecide,
      nowMs,
      onLead: () => undefined,
    },
  )
}

function openReaders<M>(wiring: LifeWiring<M>): Readers {
  const { memory, member, core, stages, nowMs, later } = wiring
  const isLogger = (): boolean =>
    core.view.membership.members.some(({ id, role }) => id === member.id && role === 'logger')
  const missing = (): string | null => (isLogger() ? 'reads at a logger' : null)
  const common = { history: HISTORY, missing, nowMs }
  const reads = {
    queries: outPort(openCellRing(memory.queries), null),
    queryBytes: openLogRing(memory.queryBytes),
    asked: outPort(openCellRing(memory.reads), null),
    answerBytes: openLogRing(memory.replyBytes),
    hasLeases: stages.leaseMs > 0,
    later,
  }
  const watches = {
    asked: outPort(openCellRing(memory.watches), null),
    bytes: openLogRing(memory.watchBytes),
    applied: () => 0,
  }
  return createReaders({ reads: { ...common, ...reads }, watches: { ...common, ...watches } })
}

function openClient<M>(wiring: LifeWiring<M>, ingest: Ingest, readers: Readers): ClientSide {
  const { plan, memory, later, onAnswers } = wiring
  const watched: Readers = {
    ...readers,
    onCell(words, base) {
      onAnswers(words, base)
      return readers.onCell(words, base)
    },
  }
  return createClientSide(ingest, {
    replies: openCellRing(memory.replies),
    replyBytes: openLogRing(memory.replyBytes),
    durability: 'fsync',
    history: HISTORY,
    readers: watched,
    clientIdBase: clientIdBaseOf(wiring),
    payloadSizeBytesMax: plan.knobs.batchBytesMax - 1_024,
    groupBytesMax: 4 * plan.knobs.batchBytesMax,
    completesOnApply: false,
    later,
  })
}
