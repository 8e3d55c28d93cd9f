/**
 * Drives the stages of production of one node in one loop: after every event that reaches the node
 * its stages go round until none has work, as under layout inline. Time is virtual: the disk and
 * the state machine take what the plan's laws draw (wal-lane.ts), everything else takes none.
 *
 * Invariants: a node that is paused or down runs nothing; ring bytes are poisoned as soon as decide
 * lets go of them; what the disk has synced is judged before any stage is told.
 */
import { ReplicaError, isReplicaError } from '../base/errors.ts'
import { type Lsn, NO_INDEX } from '../core/ids.ts'
import type { CoreView, Input } from '../core/engine.ts'
import { openInbox } from '../net/inbox.ts'
import { type CellRing, occupancyOf } from '../ring/cell-ring.ts'
import { openWal } from '../wal/open.ts'
import { type SnapshotStart, startAt } from '../wal/snapshot-start.ts'
import type { Wal } from '../wal/wal.ts'
import { proposeAt } from './caller-writes.ts'
import { loseCalls } from './callers.ts'
import { nowMsOf, thaw, wallMsOf } from './clock.ts'
import { cover } from './coverage.ts'
import type { Found } from './disk.ts'
import { endByDisk } from './disk-failure.ts'
import type { Engine } from './engines.ts'
import type { Frame } from './frames.ts'
import { Violation, demand } from './invariants.ts'
import { drawUs } from './laws.ts'
import { noteAnswers } from './lease-watch.ts'
import { sessionOf } from './network.ts'
import { createPoison } from './poison.ts'
import { below } from './random.ts'
import * as about from '../stages/membership-cells.ts'
import { type OutPort, claim, flush } from '../stages/port.ts'
import { type Retention, createRetention } from '../stages/retention.ts'
import { springAmbush } from './ambush.ts'
import { type StageLife, CLUSTER, DIR, createLifeMemory, createStageLife } from './stage-life.ts'
import { type StageLink, createStageLink } from './stage-link.ts'
import { checkRetained, compareTables, restore, startOf } from './stage-start.ts'
import type { StageWorld } from './stage-world.ts'
import { watchCore } from './watched-core.ts'
import { DUE, type Driver, type SimNode, type World, later } from './world.ts'

const PASSES_MAX = 64
const GROUP_COUNT = 10
const LIVES_MAX = 4_096
/** Of log that is counted as one, and trimmed as such. */
const STRETCH_SIZE_BYTES = 8_192
/** Session tables are compared at one index in so many. */
const TABLE_EVERY = 8

/** What reaches a node besides packets and ticks; `run` is a turn of whoever calls it. */
export type StageInput =
  { readonly kind: 'disk' | 'machine' } | { readonly kind: 'turn'; readonly run: () => void }

export function createStageDriver<M>(
  world: World<M>,
  stages: StageWorld,
  engine: Engine<M>,
  nodeOf: () => SimNode<M>,
): Driver<M> {
  const { plan, judge, coverage } = world
  let life = null as unknown as StageLife
  let wal = null as unknown as Wal
  let retention = null as unknown as Retention
  let start = null as unknown as SnapshotStart
  let view = null as unknown as CoreView
  let links = new Map<number, StageLink>()
  let poison = (): void => undefined
  /** What the state machine has executed. */
  let applied = 0
  let machineIsBusy = false

  const boot = (): void => {
    const node = nodeOf()
    const own = stages.nodes[node.place]!
    const found = open(node)
    const nowMs = (): number => nowMsOf(node.clock, world.nowUs)
    const memory = createLifeMemory(
      plan,
      world.nodes.map(({ id }) => id).filter((id) => id !== node.id),
    )
    const inboxes = new Map(memory.inboxes.map((box) => [box.peer, openInbox(box.memory)]))
    links = new Map()
    const onFlight = (us: number): void => void (own.flightUs = Math.max(own.flightUs, us))
    for (const [id, inbox] of inboxes) {
      const peer = world.nodes[id - 1]!
      links.set(id, createStageLink(world, node, peer, inbox, nowMs, onFlight))
    }
    const bare = engine.core(plan, node.member, node.life, found)
    const core = watchCore(world, stages, node, bare, { links, logRings: () => life.logRings })
    view = core.view
    own.leaseReads.clear()
    const begun = restore(world, stages, own.storage.storage, start)
    applied = begun.restored.start.index
    own.applied = applied
    machineIsBusy = false
    life = createStageLife({
      ...{ plan, stages: stages.plan, member: node.member, core, codec: engine.codec, wal, links },
      ...{ memory, inboxes, nowMs, retention, ...begun },
      storage: own.storage.storage,
      olderSnapshot: start.older,
      onSnapshot: () => cover(coverage, 'snapshot-taken'),
      nonce: 1 + node.place * LIVES_MAX + node.life,
      wallMs: () => wallMsOf(node.clock, world.nowUs),
      poll: () => [...links.values()].reduce((count, link) => count + link.poll(), 0),
      later: (run) => {
        const inUs = drawUs(plan.laws.submit, node.random)
        later(world, inUs, DUE.input, node, { kind: 'turn', run })
      },
      onEvent: (name) => name === 'tolerance-reduced' && cover(coverage, 'tolerance-reduced'),
      onInvalid: () => cover(coverage, 'frame-checksum-failure'),
      onApplied: (through) => void (applied = through),
      onAnswers: (words, base) => noteAnswers(world, own, words, base),
    })
    own.life = life
    poison = createPoison(life.logRings)
    later(world, below(node.random, plan.knobs.tickMs * 1_000), DUE.tick, node, null)
  }

  const open = (node: SimNode<M>): Found => {
    const faulty = stages.nodes[node.place]!.storage
    const { storage } = faulty
    stages.nodes[node.place]!.suspendedUntilUs = 0
    thaw(node.clock, world.nowUs)
    const identity = {
      ...{ clusterId: CLUSTER, nodeId: node.id, incarnation: 1 },
      ...{ engine: plan.engine, durability: 'fsync' as const },
    }
    const segmentSizeBytes = Math.max(2 ** 16, 4 * plan.knobs.batchBytesMax)
    const opened = faulty.openAtLast(() => {
      const log = openWal(storage, { dir: DIR, identity, segmentSizeBytes })
      return { ...log, start: startOf(storage, log.recovered) }
    })
    wal = opened.wal
    start = opened.start
    const log = startAt(opened.recovered, start)
    const { nextLsn, retainedFirst, stretches, ...recovered } = log
    checkRetained(plan, node.member, retainedFirst, start)
    retention = createRetention(stages.plan.retention, stretches, STRETCH_SIZE_BYTES)
    const lsn = (nextLsn - 1) as Lsn
    const has = start.snapshot?.index ?? NO_INDEX
    const found = { ...recovered, firstRetained: retainedFirst, applied: has, lsn, records: [] }
    noteFound(node, found)
    return found
  }
  const noteFound = (node: SimNode<M>, found: Found): void => {
    const { stored } = node
    while (node.durableCount < found.lsn) {
      judge.durable(node.place, stored[node.durableCount++]!)
    }
    if (stored.length > found.lsn) cover(coverage, 'torn-tail-found')
    if (found.last > 0 && node.life > 1) cover(coverage, 'restart-with-log')
    stored.length = found.lsn
    judge.restarted(node.place, found)
  }

  // ---- One turn ------------------------------------------------------------------------------

  /** @param whole every stage has its turn; else those that have cells to take */
  const goRound = (whole: boolean): void => {
    const node = nodeOf()
    const { receive, decide, fanout, ingest, client, rings } = life
    let isWhole = whole
    for (let pass = 0; pass < PASSES_MAX; pass++) {
      if (isWhole) for (const link of links.values()) link.pump()
      receive.doWork()
      decide.doWork()
      poison()
      if (isWhole || !isEmpty(rings.fanoutOrders)) fanout.doWork()
      if (isWhole || !isEmpty(rings.admissions) || !isEmpty(rings.replies)) {
        ingest.doWork()
        client.doWork()
      }
      isWhole = false
      if (isEmpty(rings.received) && isEmpty(rings.submitted) && isEmpty(rings.reads)) break
    }
    if (whole) life.snapshot?.doWork()
    beginDisk(node)
    beginMachine(node)
  }
  const beginDisk = (node: SimNode<M>): void => {
    const what = life.wal.begin()
    if (what === null) return
    const stallUs = Math.max(0, node.stalledUntilUs - world.nowUs)
    const inUs = drawUs(plan.laws[what], node.random) + stallUs
    later(world, inUs, DUE.input, node, { kind: 'disk' })
  }
  /** The disk is done with what it was given. */
  const endDisk = (node: SimNode<M>): void => {
    const { storage } = stages.nodes[node.place]!
    storage.failing = node.syncFails
    try {
      life.wal.end()
    } catch (error) {
      if (!node.syncFails || !isReplicaError(error) || error.code !== 'E_DISK') throw error
      return endByDisk(world, node)
    } finally {
      storage.failing = false
      node.syncFails = false
    }
    const { syncedLsn } = life.wal
    if (syncedLsn - node.durableCount >= GROUP_COUNT) cover(coverage, 'group-commit-of-10')
    while (node.durableCount < syncedLsn) {
      judge.durable(node.place, node.stored[node.durableCount++]!)
    }
    if (world.ambush !== null) springAmbush(world, world.ambush)
  }
  const beginMachine = (node: SimNode<M>): void => {
    const { rings } = life
    if (machineIsBusy) return
    if (isEmpty(rings.applyOrders) && isEmpty(rings.queries)) return
    machineIsBusy = true
    later(world, drawUs(plan.laws.apply, node.random), DUE.input, node, { kind: 'machine' })
  }
  const endMachine = (): void => {
    machineIsBusy = false
    try {
      life.apply.doWork()
    } catch (error) {
      // What the watched machine found, not what the stage makes of a throw.
      if (error instanceof Error && error.cause instanceof Violation) throw error.cause
      throw error
    }
    const { check, table } = life
    demand(
      check.duplicates === 0 && check.gaps === 0,
      'I10',
      'a client is applied twice or in part',
    )
    if (applied % TABLE_EVERY === 0) compareTables(stages, applied, table)
  }

  return {
    boot,
    give(input) {
      const node = nodeOf()
      if (!node.alive) return
      const given = input as StageInput | { readonly kind: 'tick' | 'pressure' | 'link' }
      if (given.kind === 'disk') endDisk(node)
      else if (given.kind === 'machine') endMachine()
      else if (given.kind === 'turn') given.run()
      else if (given.kind === 'tick') life.wal.rest()
      else if (input.kind === 'change' || input.kind === 'transfer') order(life.toDecide, input)
      else if (input.kind === 'link') {
        const session = sessionOf(world.network, node.place, input.peer - 1)
        links.get(input.peer)!.tell(input.up, session)
      }
      if (node.alive) goRound(true)
    },
    deliver(from: number, place: number, frames: readonly Frame[]) {
      const link = links.get(world.nodes[from]!.id)!
      const isTaken = link.arrive(place, frames)
      goRound(false)
      return isTaken
    },
    stop(keepAll) {
      const node = nodeOf()
      const own = stages.nodes[node.place]!
      own.life = null
      if (keepAll) life.client.fail(closedError())
      loseCalls(stages, node.place)
      own.storage.crash(node.random, keepAll, wal.state === 'open' ? () => life.wal.end() : null)
    },
    readDone: () => undefined,
    synced: () => undefined,
    submit: (op) => proposeAt(world, stages, nodeOf(), op),
    get view() {
      return view
    },
  }
}

/** As engine/operator.ts writes it. */
function order(
  port: OutPort,
  input: Input<unknown> & { readonly kind: 'change' | 'transfer' },
): void {
  const base = claim(port)
  if (input.kind === 'change') about.writeChange(port.words, base, input.id, input.change)
  else port.words.set([about.TRANSFER, input.id, input.target], base)
  flush(port)
}

const isEmpty = (ring: CellRing): boolean => occupancyOf(ring) === 0

const closedError = (): ReplicaError =>
  new ReplicaError('E_CLOSED', 'the node is closed', { what: 'node' })
