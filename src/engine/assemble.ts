/**
 * Builds the stages of one thread of one node from shared memory. Runs on that thread. A thread
 * that owns the WAL opens and recovers it; the thread that owns decide needs what was recovered.
 */
import { assert } from '../base/assert.ts'
import type { StateMachine } from '../base/state-machine.ts'
import { basicPaxosCodec } from '../codec/basic-paxos-message.ts'
import type { MessageCodec } from '../codec/message-codec.ts'
import { xpaxosCodec } from '../codec/message.ts'
import type { Core } from '../core/engine.ts'
import { createDelay } from '../net/delay.ts'
import { type Inbox, openInbox } from '../net/inbox.ts'
import type { LinkEvent, PeerLink } from '../net/link.ts'
import { openMemoryLink } from '../net/memory-link.ts'
import { openTcpHub } from '../net/tcp-link.ts'
import { openBell, ring as ringBell } from '../ring/bell.ts'
import { openCellRing } from '../ring/cell-ring.ts'
import { add, openCounters, set } from '../ring/counters.ts'
import { openLease } from '../ring/lease.ts'
import { openLogRing } from '../ring/log-ring.ts'
import { type ApplyCheck, createApplyCheck } from '../stages/apply-check.ts'
import { createApplyStage } from '../stages/apply-stage.ts'
import { createDecideStage } from '../stages/decide-stage.ts'
import { createFanoutStage } from '../stages/fanout-stage.ts'
import { outPort } from '../stages/port.ts'
import { createReadDesk } from '../stages/read-desk.ts'
import { createReceiveStage } from '../stages/receive-stage.ts'
import type { Restored } from '../stages/snapshot-restore.ts'
import type { SnapshotTaker } from '../stages/snapshot-taker.ts'
import type { Stage } from '../stages/stage.ts'
import { createVoidEntries } from '../stages/void-entries.ts'
import { createWatchDesk } from '../stages/watch-desk.ts'
import { createWalStage } from '../stages/wal-stage.ts'
import type { Wal } from '../wal/wal.ts'
import { type ApplyReport, reportOf } from './apply-report.ts'
import { basicPaxosOf, catchUpBytesMaxOf, retentionOf, xpaxosOf } from './core-of.ts'
import { type Recovery, openNodeWal, storageFor } from './data-dir.ts'
import { DURABILITY_CODES, clientIdBaseOf, isOwnClient } from './node-spec.ts'
import type { PeerAddress } from './node-spec.ts'
import { processMs, wallMs } from './process-clock.ts'
import { READ_TIMEOUT_MAX_MS } from './read-client.ts'
import { type AssembleOptions, type Parts, nowMs, partsOf, timed } from './parts.ts'
import { NO_SNAPSHOT, portsOf, restoreAt, snapshotStageOf, takerOf } from './snapshots.ts'
import { openStateMachine } from './state-machine-of.ts'
import { APPLIED_COUNTERS, DRILL_COUNTERS, type StageName, VIEW_COUNTERS } from './topology.ts'
import { publishView } from './view.ts'

export { ROLE_CODES } from './view.ts'
export type { AssembleOptions, PeerInbox } from './parts.ts'

export interface Assembled {
  readonly stages: readonly Stage[]
  readonly recovery: Recovery | null
  readonly address: { readonly host: string; readonly port: number } | null
  /** Where a peer is that came later; for the thread of the sockets. */
  readonly addPeer: (peer: PeerAddress) => void
  /** While apply stands still for a state machine that writes: until when. */
  readonly written: () => Promise<void> | null
  /** Null on threads without an apply stage. */
  readonly applyReport: () => ApplyReport | null
  readonly close: () => Promise<void>
  /** Lets go of files and sockets as a crash would. */
  readonly kill: () => Promise<void>
}

/** @throws ReplicaError when a part cannot be opened; those that were open are closed again */
export async function assemble(options: AssembleOptions): Promise<Assembled> {
  const opened: Opened = { stages: [], hub: null }
  try {
    return await assembleInto(options, opened)
  } catch (error) {
    for (const stage of opened.stages) stage.close()
    await opened.hub?.close()
    throw error
  }
}

interface Opened {
  readonly stages: Stage[]
  hub: Awaited<ReturnType<typeof openTcpHub>> | null
}

async function assembleInto(options: AssembleOptions, opened: Opened): Promise<Assembled> {
  const { spec, threads, thread, memory } = options
  const has = (name: StageName): boolean => threads[name] === thread
  const parts = partsOf(options)
  const { stages } = opened
  let recovery = options.recovery
  let check: { readonly check: ApplyCheck; readonly machine: StateMachine } | null = null
  let taker: SnapshotTaker | null = null
  if (has('wal')) {
    const log = openNodeWal(spec, openCounters(DRILL_COUNTERS, memory.drills))
    recovery = log.recovery
    stages.push(timed(parts, 'wal', walStage(parts, log.wal)))
  }
  if (has('receive') || has('fanout')) {
    assert(threads.receive === threads.fanout || spec.transport.kind === 'memory', 'one hub')
    const inboxes = new Map(memory.inboxes.map((box) => [box.peer, openInbox(box.memory)]))
    const self = {
      incarnation: recovery?.wal.identity.incarnation ?? 1,
      history: recovery?.historyEpoch ?? 0,
    }
    if (spec.transport.kind === 'tcp') opened.hub = await openHub(parts, inboxes, self)
    if (has('receive')) stages.push(timed(parts, 'receive', receiveStage(parts, inboxes, self)))
    if (has('fanout')) stages.push(timed(parts, 'fanout', fanoutStage(parts, opened.hub, self)))
  }
  if (has('decide')) {
    assert(recovery !== null, 'decide starts from what the WAL recovered')
    // Loud at every start: what was acknowledged before the fork may be missing (docs/disaster.md).
    const { historyEpoch } = recovery
    if (historyEpoch > 0) options.onEvent('history-forked', historyEpoch)
    stages.push(timed(parts, 'decide', decideStage(parts, recovery)))
  }
  if (has('apply')) {
    const machine = options.callerStateMachine ?? (await openStateMachine(spec.stateMachine))
    check = { machine, check: createApplyCheck(spec.engine === 'xpaxos') }
    const restored = await restoreAt(recovery?.start ?? NO_SNAPSHOT, machine, check.check)
    taker = takerOf(spec, memory, parts.bellOf('snapshot'), { ...check, ...restored })
    stages.push(timed(parts, 'apply', applyStage(parts, machine, check.check, restored, taker)))
  }
  if (has('snapshot') && memory.snapshots !== null) {
    assert(recovery !== null, 'snapshots belong to a history')
    const storage = storageFor(openCounters(DRILL_COUNTERS, memory.drills))
    const own = { storage, decideBell: parts.bellOf('decide'), onEvent: options.onEvent }
    const stage = snapshotStageOf(spec, memory.snapshots, recovery, own)
    stages.push(timed(parts, 'snapshot', stage))
  }
  return {
    stages,
    recovery,
    address: opened.hub?.address ?? null,
    addPeer: (peer) => void opened.hub?.setAddress(peer),
    written: () => taker?.written ?? null,
    applyReport: () => (check === null ? null : reportOf(check.machine, check.check)),
    close: async () => {
      for (const stage of stages) stage.close()
      await opened.hub?.close()
    },
    kill: async () => {
      for (const stage of stages) (stage.kill ?? stage.close)()
      await opened.hub?.close()
    },
  }
}

function walStage(parts: Parts, wal: Wal): Stage {
  const { memory, logRings, bellOf, counters, spec } = parts
  const block = counters('wal')
  return createWalStage({
    wal,
    logRings,
    readback: logRings.at(-1)!,
    orders: openCellRing(memory.walOrders),
    toDecide: outPort(openCellRing(memory.walEvents), bellOf('decide')),
    nowMs,
    onGroup: (batches, sizeBytes, tookMs) => {
      add(block, 'batches', batches)
      add(block, 'sizeBytes', sizeBytes)
      if (spec.durability !== 'fsync') return
      add(block, 'syncs', 1)
      add(block, 'syncMs', tookMs)
    },
  })
}

/** What a node says of itself when a session begins. */
interface Self {
  readonly incarnation: number
  readonly history: number
}

function receiveStage(parts: Parts, inboxes: ReadonlyMap<number, Inbox>, { history }: Self): Stage {
  const { spec, memory, logRings, bellOf, counters, onEvent } = parts
  const block = counters('receive')
  const links = memory.inboxes.map(({ peer }, place) => {
    const delay = createDelay({ ...spec.emulation, seed: spec.tuning.seed + peer })
    const { cells } = inboxes.get(peer)!
    return {
      peer,
      cells,
      log: logRings[place + 1]!,
      ring: place + 1,
      delay: delay.isNone ? null : delay,
      checksBodies: spec.transport.kind === 'tcp',
      history,
      onForeign: () => onEvent('history-refused', peer),
      onInvalid: () => onEvent('frame-invalid', peer),
      onPayload: (sizeBytes: number) => {
        add(block, 'batches', 1)
        add(block, 'sizeBytes', sizeBytes)
      },
    }
  })
  return createReceiveStage(links, outPort(openCellRing(memory.received), bellOf('decide')), nowMs)
}

async function openHub(parts: Parts, inboxes: ReadonlyMap<number, Inbox>, self: Self) {
  const { spec, onEvent, wake, bellOf } = parts
  assert(spec.transport.kind === 'tcp', 'a hub is for sockets')
  const { host, port, peers } = spec.transport
  const receiveBell = bellOf('receive')
  const onLink = (event: LinkEvent): void => {
    if ('peer' in event) onEvent(`link-${event.kind}`, event.peer)
    else if (event.kind === 'refused' && /^(history|durability|lost-disk)$/.test(event.reason)) {
      onEvent(`${event.reason}-refused`, event.from)
    } else onEvent(`link-${event.kind}`, 0)
  }
  return openTcpHub({
    self: spec.id,
    peers,
    clusterId: spec.clusterId,
    ...self,
    nonce: spec.nonce,
    durability: DURABILITY_CODES[spec.durability],
    forgets: spec.durability === 'none',
    inboxes,
    listenHost: host,
    listenPort: port,
    sendBufferBytesMax: spec.tuning.windowBytes + catchUpBytesMaxOf(spec.tuning),
    onEvent: onLink,
    onDelivered: () => (receiveBell === null ? wake() : ringBell(receiveBell)),
  })
}

function fanoutStage(
  parts: Parts,
  hub: Awaited<ReturnType<typeof openTcpHub>> | null,
  self: Self,
): Stage {
  const { spec, memory, logRings, bellOf, counters, peerInboxes } = parts
  const links = new Map<number, PeerLink>()
  const polls: (() => number)[] = []
  if (hub !== null) {
    for (const { peer } of memory.inboxes) links.set(peer, hub.linkTo(peer))
    polls.push(() => hub.doWork())
  }
  for (const { peer, memory: inbox, bell } of peerInboxes) {
    const peerBell = openBell(bell)
    const link = openMemoryLink({
      from: spec.id,
      ...self,
      nonce: spec.nonce,
      inbox: openInbox(inbox),
      now: nowMs,
      onDelivered: () => ringBell(peerBell),
    })
    links.set(peer, link)
    polls.push(() => link.doWork())
  }
  const block = counters('fanout')
  return createFanoutStage({
    self: spec.id,
    links,
    logRings,
    orders: openCellRing(memory.fanoutOrders),
    toDecide: outPort(openCellRing(memory.fanoutEvents), bellOf('decide')),
    onSent: (messages, sizeBytes) => {
      add(block, 'batches', messages)
      add(block, 'sizeBytes', sizeBytes)
    },
    poll: () => polls.reduce((work, poll) => work + poll(), 0),
    nowMs,
  })
}

function decideStage(parts: Parts, recovery: Recovery): Stage {
  const { spec } = parts
  if (spec.engine === 'xpaxos') {
    return driveCore(parts, recovery, xpaxosOf(spec, recovery), xpaxosCodec)
  }
  return driveCore(parts, recovery, basicPaxosOf(spec, recovery), basicPaxosCodec)
}

function driveCore<Message>(
  parts: Parts,
  recovery: Recovery,
  core: Core<Message>,
  codec: MessageCodec<Message>,
): Stage {
  const { memory, logRings, bellOf, onEvent, spec } = parts
  const view = openCounters(VIEW_COUNTERS, memory.view)
  const retention = retentionOf(spec, recovery)
  return createDecideStage({
    core,
    codec,
    logRings,
    submitted: openCellRing(memory.submitted),
    reads: openCellRing(memory.reads),
    received: openCellRing(memory.received),
    fromWal: openCellRing(memory.walEvents),
    fromApply: openCellRing(memory.applyEvents),
    fromFanout: openCellRing(memory.fanoutEvents),
    toWal: outPort(openCellRing(memory.walOrders), bellOf('wal')),
    toApply: outPort(openCellRing(memory.applyOrders), bellOf('apply')),
    toFanout: outPort(openCellRing(memory.fanoutOrders), bellOf('fanout')),
    toIngest: outPort(openCellRing(memory.admissions), bellOf('ingest')),
    answersAll: spec.engine === 'basic-paxos',
    retention,
    applied: recovery.start.snapshot?.index ?? 0,
    snapshots: memory.snapshots && portsOf(memory.snapshots, bellOf('snapshot'), recovery.start),
    nowMs: processMs,
    wallMs,
    lease: spec.tuning.leaseMs > 0 ? openLease(memory.lease) : null,
    onEvent,
    onView: (roundTripUs) => {
      const { reducedThrough } = retention
      publishView(view, core.view, { roundTripUs, reducedThrough })
    },
  })
}

function applyStage(
  parts: Parts,
  stateMachine: StateMachine,
  check: ApplyCheck,
  { start, sessions }: Restored,
  snapshots: SnapshotTaker | null,
): Stage {
  const { memory, logRings, bellOf, counters, spec } = parts
  const clientIdBase = clientIdBaseOf(spec)
  const block = counters('apply')
  const applied = openCounters(APPLIED_COUNTERS, memory.applied)
  set(applied, 'applied', start.index)
  const toClient = {
    port: outPort(openCellRing(memory.replies), bellOf('ingest')),
    bytes: openLogRing(memory.replyBytes),
  }
  const toDecide = outPort(openCellRing(memory.applyEvents), bellOf('decide'))
  return createApplyStage({
    ...{ stateMachine, check, start, sessions, snapshots },
    isOwnClient: (id) => isOwnClient(id, clientIdBase),
    logRings,
    orders: openCellRing(memory.applyOrders),
    toDecide,
    toClient,
    desk: createReadDesk({
      stateMachine,
      queries: openCellRing(memory.queries),
      queryBytes: openLogRing(memory.queryBytes),
      answers: toClient,
      lease: openLease(memory.lease),
      nowMs: processMs,
      wallMs,
      forgetMs: READ_TIMEOUT_MAX_MS,
    }),
    watch: createWatchDesk({
      asked: openCellRing(memory.watches),
      toDecide,
      toCaller: { port: toClient.port, bytes: openLogRing(memory.watchBytes) },
      logRings,
      voids: createVoidEntries(start.index + 1),
    }),
    onApplied: (through, frames, entries) => {
      set(applied, 'applied', through)
      add(applied, 'entries', entries)
      add(block, 'batches', frames)
      add(block, 'entries', entries)
    },
  })
}
