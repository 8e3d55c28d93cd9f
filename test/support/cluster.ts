/**
 * A cluster of real cores on one virtual clock: simulated links, disks, rings and clients, all
 * drawn from one seed, judged by the oracle after every step. One priority queue of (time,
 * sequence); nothing here reads a real clock.
 *
 * What is modelled: link sessions (ordered, or lossy and unordered when asked), a WAL with a
 * durable prefix, ring space that is poisoned as soon as the core lets go of it, reads that answer
 * later, apply that lags, pauses during which a node's input piles up.
 */
import type {
  Core,
  Effect,
  Input,
  Member,
  MemberRole,
  ReadMode,
  ReadRefusal,
} from '../../src/core/engine.ts'
import { memberOf, membershipOf, votersOf } from '../../src/core/membership.ts'
import {
  type Ballot,
  type LogIndex,
  type Lsn,
  type NodeId,
  ballotOwner,
} from '../../src/core/ids.ts'
import { createXPaxos } from '../../src/core/xpaxos/core.ts'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'
import {
  type Retention,
  type RetentionLimits,
  createRetention,
  keepBehind,
  noteAppended,
  tendLog,
} from '../../src/stages/retention.ts'
import { type Ring, type RingFrame, createRing, place, skip, sweep } from './ring-model.ts'
import {
  type Oracle,
  checkChosen,
  checkSent,
  checkView,
  cover,
  createOracle,
  noteAdopted,
  noteChosen,
  noteLead,
  noteRestart,
  noteStored,
} from './oracle.ts'
import { type Random, below, between, chance, createRandom } from './random.ts'
import { type Queue, createQueue, pop, push } from '../../src/sim/queue.ts'
import {
  type Content,
  type Log,
  type Stored,
  check,
  copyLog,
  emptyLog,
  foldInto,
  placeOf,
  recoveredOf,
} from './disk-model.ts'

type Message = XPaxosMessage
type CoreInput = Input<Message>
type CoreEffect = Effect<Message>

export interface ClusterOptions {
  readonly members: readonly Member[]
  readonly quorums?: { readonly prepare: number; readonly accept: number }
  /** Nodes that are there from the start and are members only later. */
  readonly joiners?: readonly Member[]
  readonly seed: number
  readonly heartbeatMs: number
  readonly electionTimeoutMs: number
  readonly windowBytes: number
  readonly batchBytesMax: number
  readonly batchEntriesMax: number
  /** Default: one batch. */
  readonly catchUpBytesMax?: number
  readonly pipelineDepth: number
  readonly leaseMs: number
  readonly driftPerMille: number
  /** Law of delays, in ms: uniform over [low, high]. */
  readonly linkDelay: readonly [low: number, high: number]
  readonly syncDelay: readonly [low: number, high: number]
  readonly readDelay: readonly [low: number, high: number]
  readonly applyDelay: readonly [low: number, high: number]
  /** How much log a node keeps; absent: all of it. Trims go by stretches of so many bytes. */
  readonly retention?: RetentionLimits
  readonly stretchSizeBytes?: number
  /** Sizes of frames, in units of 64 bytes: uniform; default 1 to 8. */
  readonly frameUnits?: readonly [low: number, high: number]
  /** LSNs of a blank disk begin behind this one; default 0. */
  readonly lsnBase?: number
}

export const DEFAULTS: Omit<ClusterOptions, 'members' | 'seed'> = {
  heartbeatMs: 20,
  electionTimeoutMs: 100,
  windowBytes: 2 ** 16,
  batchBytesMax: 4_096,
  batchEntriesMax: 200,
  pipelineDepth: 8,
  leaseMs: 0,
  driftPerMille: 0,
  linkDelay: [1, 3],
  syncDelay: [1, 4],
  readDelay: [1, 5],
  applyDelay: [1, 3],
}

export interface Disk {
  readonly records: Stored[]
  durableCount: number
  syncing: boolean
  stalledUntil: number
  /** Fold of all records, and of the durable ones. */
  written: Log
  durable: Log
}

/** What ingest knows while this node leads. */
export interface Leading {
  readonly ballot: Ballot
  next: number
  /** The log ends within a group: an abort batch goes first. */
  owesAbort: boolean
  /** By the serial of its first frame: more frames of it will come, and nothing else before. */
  openGroup: number | null
}

export interface Node {
  readonly id: NodeId
  readonly member: Member
  core: Core<Message>
  generation: number
  alive: boolean
  pausedUntil: number
  readonly rings: Ring[]
  readonly disk: Disk
  floor: number
  leading: Leading | null
  /** False while a transfer is prepared: clients are refused. */
  admits: boolean
  /** Outcomes of changes and transfers asked of this node, by id. */
  readonly answers: Map<number, string>
  /** What its last `lease` effect said. */
  leaseUntil: number
  /** Grows when a lease ends: a read is right only within the one that it was asked in. */
  leaseLife: number
  /** Its own monotonic clock: `at` when the cluster's showed `since`, and its ms for one of it. */
  clock: { readonly at: number; readonly since: number; readonly rate: number }
  applyNext: number
  appliedAt: number
  applied: number
  retention: Retention
  /** First index that is still on its disk. */
  firstRetained: number
  steps: number
}

/** One direction of a link between two nodes. */
interface Direction {
  blocked: boolean
  lastAt: number
}

type Due =
  | { readonly kind: 'tick'; readonly node: Node; readonly generation: number }
  | {
      readonly kind: 'input'
      readonly node: Node
      readonly generation: number
      readonly input: CoreInput
    }
  | {
      readonly kind: 'deliver'
      readonly from: Node
      readonly to: Node
      readonly session: number
      readonly message: Message
      readonly contents: readonly Content[]
    }
  | {
      readonly kind: 'synced'
      readonly node: Node
      readonly generation: number
      readonly count: number
    }
  | {
      readonly kind: 'read'
      readonly node: Node
      readonly generation: number
      readonly effect: CoreEffect & { readonly kind: 'read' }
    }
  | { readonly kind: 'call'; readonly call: () => void }

/** A read of a client, as it was asked and as it ended. */
export interface Read {
  readonly node: Node
  readonly mode: ReadMode
  /** Announced somewhere before it was asked: a linearizable read must not be older. */
  readonly acknowledged: number
  readonly askedAt: number
  index: number
  refused: ReadRefusal | null
}

export interface Cluster {
  readonly options: ClusterOptions
  readonly random: Random
  readonly oracle: Oracle
  readonly nodes: Node[]
  readonly byId: Map<NodeId, Node>
  now: number
  readonly queue: Queue<Due>
  readonly directions: Map<number, Direction>
  /** Present session of a pair of nodes; 0: down. */
  readonly sessions: Map<number, number>
  nextSession: number
  nextSerial: number
  /** Per mille of messages, inside a session; also allows reordering. */
  loss: number
  duplicates: number
  reorder: boolean
  /** Ring offsets jump now and then, so that neighbours in the log do not adjoin. */
  gaps: number
  /** Clients that submit by themselves go on. */
  clients: boolean
  steps: number
  /** 'drop' loses a message; a number delays it by so many ms, others overtake it. */
  filter: (from: NodeId, to: NodeId, message: Message) => 'drop' | number | undefined
  onEffect: (node: Node, effect: CoreEffect) => void
  /** Reads by id, and the highest index that any node announced. */
  readonly reads: Map<number, Read>
  acknowledged: number
  readonly trace: string[] | null
}

const TICK_MS = 10
const READ_RING = 0
const INGEST_RING = 1

export function createCluster(options: ClusterOptions, trace: string[] | null = null): Cluster {
  const { members, seed } = options
  const cluster: Cluster = {
    options,
    random: createRandom(seed),
    oracle: createOracle(
      membershipOf(options.members, options.quorums),
      [...members, ...(options.joiners ?? [])].map(({ id }) => id),
    ),
    nodes: [],
    byId: new Map(),
    now: 1,
    queue: createQueue(),
    directions: new Map(),
    sessions: new Map(),
    nextSession: 1,
    nextSerial: 1,
    loss: 0,
    duplicates: 0,
    reorder: false,
    gaps: 100,
    clients: true,
    steps: 0,
    filter: () => undefined,
    onEffect: () => undefined,
    reads: new Map(),
    acknowledged: 0,
    trace,
  }
  for (const member of [...members, ...(options.joiners ?? [])]) {
    const node = createNode(cluster, member)
    cluster.nodes.push(node)
    cluster.byId.set(node.id, node)
  }
  for (const node of cluster.nodes) boot(cluster, node)
  for (const a of cluster.nodes)
    for (const b of cluster.nodes) if (a.id < b.id) connect(cluster, a, b)
  return cluster
}

function createNode(cluster: Cluster, member: Member): Node {
  const { members, joiners = [] } = cluster.options
  const ringCount = 2 + Math.max(...[...members, ...joiners].map(({ id }) => id))
  return {
    id: member.id,
    member,
    core: undefined as unknown as Core<Message>,
    generation: 0,
    alive: false,
    pausedUntil: 0,
    rings: Array.from({ length: ringCount }, (_, number) => createRing(number)),
    disk: {
      records: [],
      durableCount: 0,
      syncing: false,
      stalledUntil: 0,
      written: emptyLog(),
      durable: emptyLog(),
    },
    floor: 0,
    leading: null,
    admits: true,
    answers: new Map(),
    leaseUntil: 0,
    leaseLife: 0,
    clock: { at: 0, since: 0, rate: 1 },
    applyNext: 1,
    appliedAt: 0,
    applied: 0,
    retention: createRetention(keepBehind(0)),
    firstRetained: 1,
    steps: 0,
  }
}

// ---- Life of a node --------------------------------------------------------------------------

function boot(cluster: Cluster, node: Node): void {
  const { options } = cluster
  const { disk } = node
  const nextLsn = ((disk.records.at(-1)?.lsn ?? options.lsnBase ?? 0) + 1) as Lsn
  node.generation += 1
  node.alive = true
  node.pausedUntil = 0
  node.leading = null
  node.leaseUntil = 0
  node.applyNext = 1
  node.applied = 0
  const { retention = keepBehind(0), stretchSizeBytes } = options
  const kept = disk.durable.contents.filter(({ through }) => through >= node.firstRetained)
  node.retention = createRetention(retention, kept, stretchSizeBytes)
  const { heartbeatMs, electionTimeoutMs, windowBytes } = options
  const { batchBytesMax, batchEntriesMax, pipelineDepth } = options
  node.core = createXPaxos(
    {
      self: node.id,
      members: isJoiner(cluster, node) ? [node.member] : options.members,
      ...(options.quorums && { quorums: options.quorums }),
      heartbeatMs,
      electionTimeoutMs,
      windowBytes,
      batchBytesMax,
      batchEntriesMax,
      catchUpBytesMax: options.catchUpBytesMax ?? batchBytesMax,
      pipelineDepth,
      seed: options.seed + 1_000 * node.generation,
      requestBase: 2 ** 20 * node.generation,
      leaseMs: options.leaseMs,
      driftPerMille: options.driftPerMille,
    },
    { ...recoveredOf(disk.durable, nextLsn), firstRetained: node.firstRetained as LogIndex },
  )
  node.floor = node.core.view.chosen
  schedule(cluster, below(cluster.random, TICK_MS), {
    kind: 'tick',
    node,
    generation: node.generation,
  })
}

const isJoiner = ({ options }: Cluster, { id }: Node): boolean =>
  options.joiners?.some((member) => member.id === id) ?? false

/** Power fails: of what was written and not synced a prefix stays. */
export function crash(cluster: Cluster, node: Node, kept = -1): void {
  if (!node.alive) return
  trace(cluster, `crash ${node.id}`)
  node.alive = false
  node.leading = null
  const { disk } = node
  const unsynced = disk.records.length - disk.durableCount
  const keep = kept >= 0 ? Math.min(kept, unsynced) : below(cluster.random, unsynced + 1)
  disk.records.length = disk.durableCount + keep
  settleDisk(cluster, node, disk.records.length)
  disk.written = copyLog(disk.durable)
  disk.syncing = false
  for (const ring of node.rings) ring.frames.length = 0
  for (const other of cluster.nodes) {
    const session = sessionOf(cluster, node, other)
    if (other === node || session === 0) continue
    // The others notice later, or by the next session.
    schedule(cluster, below(cluster.random, 2 * cluster.options.electionTimeoutMs), {
      kind: 'call',
      call: () => {
        if (sessionOf(cluster, node, other) === session) disconnect(cluster, node, other)
      },
    })
  }
}

export function restart(cluster: Cluster, node: Node): void {
  if (node.alive) return
  trace(cluster, `restart ${node.id}`)
  for (const other of cluster.nodes) if (other !== node) disconnect(cluster, node, other)
  noteRestart(cluster.oracle, node.id, node.disk.durable)
  boot(cluster, node)
  for (const other of cluster.nodes) if (other !== node) connect(cluster, node, other)
}

export function pause(cluster: Cluster, node: Node, ms: number): void {
  trace(cluster, `pause ${node.id} ${ms}`)
  node.pausedUntil = Math.max(node.pausedUntil, cluster.now + ms)
}

// ---- Links -----------------------------------------------------------------------------------

const pairOf = (a: Node, b: Node): number => Math.min(a.id, b.id) * 256 + Math.max(a.id, b.id)
const sessionOf = (cluster: Cluster, a: Node, b: Node): number =>
  cluster.sessions.get(pairOf(a, b)) ?? 0

export function directionOf(cluster: Cluster, from: Node, to: Node): Direction {
  const key = from.id * 256 + to.id
  let direction = cluster.directions.get(key)
  if (direction === undefined) {
    direction = { blocked: false, lastAt: 0 }
    cluster.directions.set(key, direction)
  }
  return direction
}

/** A new session, when both ends live and both directions pass. */
export function connect(cluster: Cluster, a: Node, b: Node): void {
  if (a === b || !a.alive || !b.alive || sessionOf(cluster, a, b) !== 0) return
  if (directionOf(cluster, a, b).blocked || directionOf(cluster, b, a).blocked) return
  cluster.sessions.set(pairOf(a, b), cluster.nextSession++)
  for (const [self, peer] of [
    [a, b],
    [b, a],
  ] as const) {
    directionOf(cluster, self, peer).lastAt = 0
    give(cluster, self, { kind: 'link', peer: peer.id, up: true })
  }
}

export function disconnect(cluster: Cluster, a: Node, b: Node): void {
  if (a === b || sessionOf(cluster, a, b) === 0) return
  cluster.sessions.set(pairOf(a, b), 0)
  for (const [self, peer] of [
    [a, b],
    [b, a],
  ] as const) {
    give(cluster, self, { kind: 'link', peer: peer.id, up: false })
  }
}

/** Nothing passes from `from` to `to` any more; the session stays until somebody resets it. */
export function block(cluster: Cluster, from: Node, to: Node): void {
  directionOf(cluster, from, to).blocked = true
}

/** Both directions are cut and both ends know it. */
export function cut(cluster: Cluster, a: Node, b: Node): void {
  block(cluster, a, b)
  block(cluster, b, a)
  disconnect(cluster, a, b)
}

export function mend(cluster: Cluster, a: Node, b: Node): void {
  const wasBlocked = directionOf(cluster, a, b).blocked || directionOf(cluster, b, a).blocked
  directionOf(cluster, a, b).blocked = false
  directionOf(cluster, b, a).blocked = false
  if (wasBlocked) disconnect(cluster, a, b) // what was lost inside it is known lost
  connect(cluster, a, b)
}

export function mendAll(cluster: Cluster): void {
  const { nodes } = cluster
  for (const a of nodes) for (const b of nodes) if (a.id < b.id) mend(cluster, a, b)
}

function transmit(
  cluster: Cluster,
  from: Node,
  to: Node,
  message: Message,
  contents: readonly Content[],
): void {
  const session = sessionOf(cluster, from, to)
  const direction = directionOf(cluster, from, to)
  if (session === 0 || direction.blocked) return
  const verdict = cluster.filter(from.id, to.id, message)
  if (verdict === 'drop') return
  const copies = chance(cluster.random, cluster.duplicates) ? 2 : 1
  for (let i = 0; i < copies; i++) {
    if (chance(cluster.random, cluster.loss)) continue
    const [low, high] = cluster.options.linkDelay
    let at = cluster.now + between(cluster.random, low, high)
    if (verdict !== undefined) at += verdict
    else if (cluster.reorder) at += below(cluster.random, 4 * high)
    else at = direction.lastAt = Math.max(at, direction.lastAt)
    push(cluster.queue, at, { kind: 'deliver', from, to, session, message, contents })
  }
}

// ---- Time ------------------------------------------------------------------------------------

export function schedule(cluster: Cluster, inMs: number, due: Due): void {
  push(cluster.queue, cluster.now + inMs, due)
}

export function after(cluster: Cluster, inMs: number, call: () => void): void {
  schedule(cluster, inMs, { kind: 'call', call })
}

export function runUntil(cluster: Cluster, time: number): void {
  const { queue } = cluster
  while (queue.size > 0 && queue.times[0]! <= time) {
    const at = queue.times[0]!
    if (at > cluster.now) cluster.now = at
    run(cluster, pop(queue))
  }
  cluster.now = time
}

export const runFor = (cluster: Cluster, ms: number): void => runUntil(cluster, cluster.now + ms)

/** Runs until `done`; returns the ms it took, or -1 when that was more than `ms`. */
export function runUntilDone(cluster: Cluster, ms: number, done: () => boolean): number {
  const start = cluster.now
  while (!done()) {
    if (cluster.now - start >= ms) return -1
    runFor(cluster, TICK_MS)
  }
  return cluster.now - start
}

function run(cluster: Cluster, due: Due): void {
  if (due.kind === 'call') return due.call()
  const node = due.kind === 'deliver' ? due.to : due.node
  if (!node.alive) return
  if (due.kind !== 'deliver' && due.generation !== node.generation) return
  if (node.pausedUntil > cluster.now && due.kind !== 'synced') {
    return push(cluster.queue, node.pausedUntil, due)
  }
  switch (due.kind) {
    case 'tick': {
      const jitter = below(cluster.random, 3)
      schedule(cluster, TICK_MS + jitter, due)
      give(cluster, node, { kind: 'tick', now: clockOf(cluster, node) })
      return keepLog(cluster, node)
    }
    case 'input':
      return give(cluster, node, due.input)
    case 'deliver':
      return deliver(cluster, due)
    case 'synced':
      return onSynced(cluster, node, due.count)
    case 'read':
      return onRead(cluster, node, due.effect)
  }
}

function deliver(cluster: Cluster, due: Due & { readonly kind: 'deliver' }): void {
  const { from, to, session, message, contents } = due
  if (sessionOf(cluster, from, to) !== session && !cluster.reorder) return
  const ring = to.rings[1 + from.id]!
  if (chance(cluster.random, cluster.gaps)) skip(ring)
  const frames = contents.map((content) => place(ring, content))
  give(cluster, to, { kind: 'message', from: from.id, message, frames })
}

/** Hands a message over in the present session, whenever it was made. */
export function inject(
  cluster: Cluster,
  from: Node,
  to: Node,
  message: Message,
  contents: readonly Content[],
): void {
  const session = sessionOf(cluster, from, to)
  deliver(cluster, { kind: 'deliver', from, to, session, message, contents })
}

// ---- A step and its effects ------------------------------------------------------------------

export function give(cluster: Cluster, node: Node, input: CoreInput): void {
  if (!node.alive) return
  const effects: CoreEffect[] = []
  if (cluster.trace !== null) trace(cluster, `${node.id} <- ${show(input)}`)
  if (input.kind === 'applied') node.applied = input.through
  node.core.step(input, effects)
  cluster.steps += 1
  node.steps += 1
  for (const effect of effects) {
    if (cluster.trace !== null) trace(cluster, `${node.id} -> ${show(effect)}`)
    carryOut(cluster, node, effect)
    cluster.onEffect(node, effect)
    if (!node.alive) return // it crashed here: the rest of the step never happened
  }
  if (cluster.options.leaseMs > 0) checkLeases(cluster)
  const { view } = node.core
  checkView(cluster.oracle, node.id, view)
  const { written } = node.disk
  check(view.promised === written.promised, 'I7: the promise is the one that was ordered')
  check(view.acceptedBallot === written.acceptedBallot, 'I7: so is the accepted ballot')
  check(view.last === written.last, 'I7: so is the log')
  const everything = (node.steps & 15) === 0
  for (const ring of node.rings) if (ring.frames.length > 0) sweep(ring, everything)
}

function carryOut(cluster: Cluster, node: Node, effect: CoreEffect): void {
  const { oracle } = cluster
  switch (effect.kind) {
    case 'append':
      return onAppend(cluster, node, effect)
    case 'send': {
      const contents = contentsOf(effect.frames, true)
      checkSent(oracle, node.id, node.disk.durable, effect.message)
      const to = cluster.byId.get(effect.to)!
      check(to !== node, 'nobody sends to itself')
      cover(oracle, effect.message.kind)
      return transmit(cluster, node, to, effect.message, contents)
    }
    case 'send-by-lease': {
      const isValid = clockOf(cluster, node) < node.leaseUntil
      cover(oracle, isValid ? 'by-lease' : 'not-by-lease')
      const message = isValid ? effect.message : effect.otherwise
      return carryOut(cluster, node, { kind: 'send', to: effect.to, message, frames: [] })
    }
    case 'read': {
      check(effect.from <= effect.through, 'a read has a range')
      const { readDelay } = cluster.options
      const { generation } = node
      const inMs = between(cluster.random, ...readDelay)
      cover(oracle, 'read')
      return schedule(cluster, inMs, { kind: 'read', node, generation, effect })
    }
    case 'apply':
      return onApply(cluster, node, effect)
    case 'chosen':
      node.floor = effect.through
      cluster.acknowledged = Math.max(cluster.acknowledged, effect.through)
      return noteChosen(oracle, effect.through, effect.chain)
    case 'lead':
      node.leading = {
        ballot: effect.ballot,
        next: effect.next,
        owesAbort: effect.abort,
        openGroup: null,
      }
      node.admits = true
      if (effect.abort) onOwesAbort(cluster, node, effect.ballot)
      return noteLead(oracle, node.id, node.generation, effect.ballot)
    case 'unlead':
      node.leading = null
      return
    case 'admit':
      node.admits = effect.open
      return
    case 'configure':
      return onConfigure(cluster, node, effect)
    case 'changed':
    case 'transferred':
      return void node.answers.set(effect.id, effect.outcome)
    case 'read-ready':
      return onReadReady(cluster, node, effect)
    case 'lease':
      if (effect.until === 0) node.leaseLife += 1
      node.leaseUntil = effect.until
      return
    case 'read-refused': {
      cover(oracle, `read-${effect.reason}`)
      const read = cluster.reads.get(effect.id)
      check(read?.node === node && isOpen(read), 'a read ends once, where it was asked')
      read.refused = effect.reason
      return
    }
    case 'event':
      cover(oracle, effect.name)
      check(effect.name !== 'chain-mismatch', 'chain mismatch')
      return
  }
}

// ---- Reads -----------------------------------------------------------------------------------

/** Asks one read at a node; its id. */
export function ask(
  cluster: Cluster,
  node: Node,
  mode: ReadMode = 'linearizable',
  boundMs = 0,
): number {
  const { acknowledged, now: askedAt } = cluster
  const id = cluster.reads.size + 1
  cluster.reads.set(id, { node, mode, acknowledged, askedAt, index: -1, refused: null })
  give(cluster, node, { kind: 'read-asked', id, mode, boundMs })
  return id
}

export const isOpen = ({ index, refused }: Read): boolean => index < 0 && refused === null

function onReadReady(
  cluster: Cluster,
  node: Node,
  effect: CoreEffect & { readonly kind: 'read-ready' },
): void {
  const { oracle } = cluster
  const read = cluster.reads.get(effect.id)
  check(read?.node === node && isOpen(read), 'a read ends once, where it was asked')
  if (!effect.lease) return answer(cluster, read, effect.index)
  // By lease: the value is read some time later, and only then the lease must still be valid.
  const { generation, leaseLife } = node
  after(cluster, between(cluster.random, ...cluster.options.applyDelay), () => {
    const isSame = generation === node.generation && leaseLife === node.leaseLife
    if (isSame && clockOf(cluster, node) < node.leaseUntil)
      return answer(cluster, read, effect.index)
    cover(oracle, 'lease-expired')
    read.refused = 'late'
  })
}

/** The node's own monotonic clock. */
export const clockOf = ({ now }: Cluster, { clock }: Node): number =>
  Math.floor(clock.at + (now - clock.since) * clock.rate)

export function setClockRate(cluster: Cluster, node: Node, rate: number): void {
  node.clock = { at: clockOf(cluster, node), since: cluster.now, rate }
}

/** R34: while a lease is valid, no quorum has promised a ballot above it to another node. */
function checkLeases(cluster: Cluster): void {
  const { prepareQuorum } = membershipOf(cluster.options.members)
  for (const holder of cluster.nodes) {
    if (!holder.alive || clockOf(cluster, holder) >= holder.leaseUntil) continue
    const { ballot } = holder.leading!
    let count = 0
    for (const { member, alive, core, disk } of cluster.nodes) {
      const promised = alive ? core.view.promised : (disk.durable.promised as Ballot)
      if (member.role === 'learner' || ballotOwner(promised) === holder.id) continue
      if (promised > ballot) count += 1
    }
    check(count < prepareQuorum, `R34: the lease of ${holder.id} is valid, and over`)
  }
}

function answer(cluster: Cluster, read: Read, index: number): void {
  const { oracle } = cluster
  read.index = index
  cover(oracle, `read-${read.mode}`)
  check(index <= oracle.chosenThrough, 'I8: a read index is chosen')
  if (read.mode === 'stale') return
  const { acknowledged } = read
  check(index >= acknowledged, `R33: read at ${index} after ${acknowledged}`)
}

/** The bytes of frames in an effect, which must still be theirs; in one range where asked. */
function contentsOf(frames: readonly unknown[], oneRange: boolean): Content[] {
  const contents: Content[] = []
  for (let i = 0; i < frames.length; i++) {
    const frame = frames[i] as RingFrame
    check(!frame.gone, `frame ${frame.first} used after its ring space was free`)
    contents.push(frame.content)
    if (i === 0) continue
    const before = frames[i - 1] as RingFrame
    check(before.first + before.count === frame.first, 'frames of an effect are consecutive')
    if (!oneRange) continue
    const adjoins = before.ring === frame.ring && before.offset + before.sizeBytes === frame.offset
    check(adjoins, 'frames of an effect lie in one range')
  }
  return contents
}

function onAppend(
  cluster: Cluster,
  node: Node,
  effect: CoreEffect & { readonly kind: 'append' },
): void {
  const { disk } = node
  const { lsn, record, frames } = effect
  check(lsn === (disk.records.at(-1)?.lsn ?? lsn - 1) + 1, 'LSNs are handed out in order')
  const contents = contentsOf(frames, true)
  const stored = { lsn, record, contents, floor: node.floor as LogIndex }
  disk.records.push(stored)
  const sizeBytes = contents.reduce((sum, content) => sum + content.sizeBytes, 0)
  if (contents.length > 0) noteAppended(node.retention, contents.at(-1)!.through, sizeBytes)
  foldInto(disk.written, stored)
  if (record.kind === 'sync-commit' && record.ballot !== 0) {
    noteAdopted(cluster.oracle, record.ballot, disk.written)
  }
  cover(cluster.oracle, record.kind)
  startSync(cluster, node)
}

function startSync(cluster: Cluster, node: Node): void {
  const { disk, generation } = node
  const { records } = disk
  if (disk.syncing || records.length === disk.durableCount) return
  disk.syncing = true
  const { syncDelay } = cluster.options
  const stall = Math.max(0, disk.stalledUntil - cluster.now)
  const inMs = between(cluster.random, ...syncDelay) + stall
  schedule(cluster, inMs, { kind: 'synced', node, generation, count: records.length })
}

function onSynced(cluster: Cluster, node: Node, count: number): void {
  const { disk, generation } = node
  disk.syncing = false
  settleDisk(cluster, node, count)
  const { lsn } = disk.records[count - 1]!
  const inMs = between(cluster.random, 0, 1)
  const input = { kind: 'durable', lsn } as const
  schedule(cluster, inMs, { kind: 'input', node, generation, input })
  startSync(cluster, node)
}

function settleDisk(cluster: Cluster, node: Node, count: number): void {
  const { disk } = node
  for (; disk.durableCount < count; disk.durableCount++) {
    noteStored(cluster.oracle, node.id, disk.durable, disk.records[disk.durableCount]!)
  }
}

function onRead(
  cluster: Cluster,
  node: Node,
  effect: CoreEffect & { readonly kind: 'read' },
): void {
  const { from, through, ticket, sizeBytesMax } = effect
  const { contents } = node.disk.written
  const ring = node.rings[READ_RING]!
  skip(ring)
  const frames: RingFrame[] = []
  let sizeBytes = 0
  const start = from < node.firstRetained ? contents.length : placeOf(contents, from)
  for (let i = start; i < contents.length; i++) {
    const content = contents[i]!
    if (content.through > through || (frames.length === 0 && content.first !== from)) break
    sizeBytes += content.sizeBytes
    if (frames.length > 0 && sizeBytes > sizeBytesMax) break
    frames.push(place(ring, content))
  }
  give(cluster, node, { kind: 'read-done', ticket, frames })
}

/** By the newest membership in its own log. */
export const roleOf = ({ id, core }: Node): MemberRole =>
  memberOf(core.view.membership, id)?.role ?? (core.view.role === 'logger' ? 'logger' : 'voter')

function onApply(
  cluster: Cluster,
  node: Node,
  effect: CoreEffect & { readonly kind: 'apply' },
): void {
  check(roleOf(node) !== 'logger', 'I15: a Logger applies nothing')
  const contents = contentsOf(effect.frames, false)
  check(contents.length > 0 && effect.first === contents[0]!.first, 'apply names its first index')
  check(effect.first === node.applyNext, 'I19: applied in order, once')
  for (const content of contents) checkChosen(cluster.oracle, content)
  const { through } = contents.at(-1)!
  check(through <= node.core.view.chosen, 'I19: applied is chosen')
  node.applyNext = through + 1
  const { generation } = node
  const input = { kind: 'applied', through } as const
  const inMs = between(cluster.random, ...cluster.options.applyDelay)
  node.appliedAt = Math.max(node.appliedAt, cluster.now + inMs)
  push(cluster.queue, node.appliedAt, { kind: 'input', node, generation, input })
}

// ---- Trimming --------------------------------------------------------------------------------

/** What the decide stage does behind each tick, and what nobody may do (R32, R40). */
function keepLog(cluster: Cluster, node: Node): void {
  if (!node.alive || cluster.options.retention === undefined) return
  const { retention, core, applied } = node
  tendLog(
    retention,
    { ...core.view, applied, snapshot: Infinity },
    {
      onTrim: (through) => onTrim(cluster, node, through),
      onEvent: (name, value) => {
        cover(cluster.oracle, name)
        cluster.onEffect(node, { kind: 'event', name, value })
      },
      onFull: (full) => {
        const first = node.firstRetained as LogIndex
        give(cluster, node, { kind: 'retained', first, full })
      },
    },
  )
}

function onTrim(cluster: Cluster, node: Node, wanted: number): void {
  const { oracle } = cluster
  const { keepsState, membership, promised } = node.core.view
  check(wanted <= oracle.chosenThrough, 'R32: only what is chosen is trimmed')
  if (keepsState) check(wanted <= node.applied, 'R40: nothing is trimmed that is not applied')
  cover(oracle, keepsState ? 'trim' : 'trim-logger')
  const lacks = votersOf(membership).some(({ id, role }) => {
    if (role === 'logger') return false
    return chosenOnDisk(cluster, cluster.byId.get(id)!) < wanted
  })
  if (lacks) {
    check(node.retention.reducedThrough >= wanted, 'R32: less tolerance is told')
    const leader = cluster.byId.get(ballotOwner(promised))
    const isHeld = keepsState || (leader !== undefined && chosenOnDisk(cluster, leader) >= wanted)
    check(isHeld, 'R32: the leader holds what a Logger trims')
  }
  // The WAL trims no log above a floor that is on its disk.
  const { contents, floor } = node.disk.durable
  const through = contents.findLast((one) => one.through <= Math.min(wanted, floor))?.through ?? 0
  if (through < node.firstRetained) return
  node.firstRetained = through + 1
  const { isFull: full } = node.retention
  give(cluster, node, { kind: 'retained', first: node.firstRetained as LogIndex, full })
}

/** How far the durable log of a node is the chosen one. */
function chosenOnDisk({ oracle }: Cluster, { disk }: Node): number {
  const { contents } = disk.durable
  let through = 0
  for (let i = 0; i < contents.length && contents[i] === oracle.chosen[i]; i++)
    through = contents[i]!.through
  return through
}

// ---- Clients ---------------------------------------------------------------------------------

/** Submits frames of these entry counts at a node that leads; false when it does not. */
export function submit(cluster: Cluster, node: Node, counts: readonly number[]): boolean {
  return submitFrames(cluster, node, counts, null)
}

/** A group by the serial of its first frame; `isOpen`: more frames of it will come. */
export interface GroupPart {
  readonly group?: number
  readonly isOpen?: boolean
}

/** The same frames as a group: they take effect together or not at all (R38). */
export const submitGroup = (
  cluster: Cluster,
  node: Node,
  counts: readonly number[],
  part: GroupPart = {},
): boolean => submitFrames(cluster, node, counts, part)

function submitFrames(
  cluster: Cluster,
  node: Node,
  counts: readonly number[],
  part: GroupPart | null,
): boolean {
  const { leading } = node
  if (leading === null || !node.alive || leading.owesAbort) return false
  const isNext = part?.group !== undefined && part.group === leading.openGroup
  if (leading.openGroup === null ? !node.admits : !isNext) return false
  const ring = node.rings[INGEST_RING]!
  const group = part?.group ?? cluster.nextSerial
  leading.openGroup = part?.isOpen === true ? group : null
  const frames = counts.map((count, i) => {
    if (chance(cluster.random, cluster.gaps)) skip(ring)
    const content = createContent(cluster, leading.next, count, leading.ballot)
    leading.next += count
    const continues = i < counts.length - 1 || part?.isOpen === true
    return place(ring, part === null ? content : { ...content, group, continues })
  })
  give(cluster, node, { kind: 'submitted', ballot: leading.ballot, frames })
  return true
}

/** Ingest ends the open group of the log before it takes anything else (R38). */
function onOwesAbort(cluster: Cluster, node: Node, ballot: Ballot): void {
  const { generation } = node
  after(cluster, 1, () => {
    const { leading } = node
    if (!node.alive || node.generation !== generation || leading?.ballot !== ballot) return
    const content = { ...createContent(cluster, leading.next, 1, ballot), aborts: true }
    leading.next += 1
    leading.owesAbort = false
    const frames = [place(node.rings[INGEST_RING]!, content)]
    give(cluster, node, { kind: 'submitted', ballot, frames })
  })
}

/** Ingest stamps a config batch and the empty one behind it like any other. */
function onConfigure(
  cluster: Cluster,
  node: Node,
  { ballot, membership }: CoreEffect & { readonly kind: 'configure' },
): void {
  const { generation } = node
  const put = (): void => {
    const { leading } = node
    if (!node.alive || node.generation !== generation || leading?.ballot !== ballot) return
    if (leading.openGroup !== null) return after(cluster, 1, put)
    const frames = (membership === null ? [undefined] : [membership, undefined]).map((config) => {
      const content = createContent(cluster, leading.next, 1, ballot)
      leading.next += 1
      return place(
        node.rings[INGEST_RING]!,
        config === undefined ? content : { ...content, config },
      )
    })
    give(cluster, node, { kind: 'submitted', ballot, frames })
  }
  after(cluster, 1, put)
}

function createContent(cluster: Cluster, first: number, count: number, ballot: Ballot): Content {
  const serial = cluster.nextSerial++
  return {
    first: first as LogIndex,
    count,
    through: (first + count - 1) as LogIndex,
    ballot,
    sizeBytes: 64 * between(cluster.random, ...(cluster.options.frameUnits ?? [1, 8])),
    serial,
    headerCrc: Math.imul(serial, 0x9e3779b1) >>> 0,
  }
}

/** The living node that leads with the highest ballot. */
export function leaderOf(cluster: Cluster): Node | undefined {
  let best: Node | undefined
  for (const node of cluster.nodes) {
    if (!node.alive || node.leading === null) continue
    if (best === undefined || node.leading.ballot > best.leading!.ballot) best = node
  }
  return best
}

function trace(cluster: Cluster, line: string): void {
  if (cluster.trace === null) return
  cluster.trace.push(`${cluster.now} ${line}`)
  if (cluster.trace.length > 400_000) cluster.trace.splice(0, 200_000)
}

const show = (value: unknown): string =>
  JSON.stringify(value, (key, inner: unknown) => {
    if (key !== 'frames' || !Array.isArray(inner)) return inner
    const frames = inner as RingFrame[]
    return frames.map((frame) => `${frame.first}+${frame.count}`).join(' ')
  })
