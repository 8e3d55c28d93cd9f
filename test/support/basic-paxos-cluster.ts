/**
 * A seeded cluster of Basic Paxos cores in one loop: virtual time, links that drop, delay, repeat
 * and reorder, disks that lose what is not synced, and an oracle that knows nothing of the cores'
 * state. It reads only what crosses the seam: records synced, messages sent, values applied.
 *
 * Checked at every step (a failure throws `Violation`):
 * - one value an instance, for ever; an accept of one ballot has one value;
 * - a value is applied only when a majority holds it on disk in one ballot;
 * - promised, accepted: on the sender's disk when they leave, and truthful about what was accepted;
 * - an acceptor's records never fall below its promise;
 * - a frame is used only while it is kept, or in the step that brought it.
 */
import { createBasicPaxos } from '../../src/core/basic-paxos/core.ts'
import type { BasicPaxosMessage } from '../../src/core/basic-paxos/messages.ts'
import { heapPopDue, heapPush, type Heap } from '../../src/core/basic-paxos/queue.ts'
import { foldBasicPaxos } from '../../src/core/basic-paxos/recovered.ts'
import type { Core, Effect, Input, Member } from '../../src/core/engine.ts'
import type { FrameRef } from '../../src/core/frame-ref.ts'
import type { Ballot, LogIndex, Lsn, NodeId } from '../../src/core/ids.ts'
import type { WalRecord } from '../../src/core/records.ts'

export class Violation extends Error {
  override readonly name = 'Violation'
}

export interface ClusterOptions {
  readonly seed: number
  readonly roles: readonly Member['role'][]
  readonly proposers: number
  readonly retryMs: number
  readonly inflight?: number
  readonly dropRate?: number
  readonly repeatRate?: number
  readonly delayMsMax?: number
  readonly syncMsMax?: number
}

interface StoredRecord {
  readonly lsn: Lsn
  readonly record: WalRecord
  readonly frame: FrameRef | null
}

export interface SimNode {
  readonly id: NodeId
  readonly role: Member['role']
  core: Core<BasicPaxosMessage>
  life: number
  isUp: boolean
  synced: StoredRecord[]
  unsynced: StoredRecord[]
  isSyncing: boolean
  /** Frames that the core keeps; anything else it may not name. */
  live: Set<FrameRef>
  isLeading: boolean
  /** Values by instance, in this life: value of instance i at [i - 1]. */
  applied: number[]
}

export interface Cluster {
  readonly options: ClusterOptions
  readonly nodes: SimNode[]
  readonly timeline: Heap<() => void>
  readonly cut: Set<number> // a * 100 + b, a < b
  now: number
  random: number
  dropRate: number
  repeatRate: number
  nextValue: number
  /** Oracle. */
  readonly chosen: Map<number, number>
  readonly votes: Map<string, { value: number; holders: Set<NodeId> }>
  readonly proposed: Map<string, number>
  readonly counts: Map<string, number>
  readonly submitted: Map<number, { node: NodeId; life: number }>
}

export function chance(cluster: Cluster): number {
  cluster.random = (cluster.random + 0x6d2b79f5) | 0
  let t = Math.imul(cluster.random ^ (cluster.random >>> 15), 1 | cluster.random)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}

export const below = (cluster: Cluster, limit: number): number =>
  Math.floor(chance(cluster) * limit)

export function openCluster(options: ClusterOptions): Cluster {
  const cluster: Cluster = {
    options,
    nodes: [],
    timeline: [],
    cut: new Set(),
    now: 0,
    random: options.seed,
    dropRate: options.dropRate ?? 0,
    repeatRate: options.repeatRate ?? 0,
    nextValue: 1,
    chosen: new Map(),
    votes: new Map(),
    proposed: new Map(),
    counts: new Map(),
    submitted: new Map(),
  }
  for (let i = 0; i < options.roles.length; i++) {
    cluster.nodes.push({
      id: (i + 1) as NodeId,
      role: options.roles[i]!,
      core: coreOf(cluster, (i + 1) as NodeId, []),
      life: 0,
      isUp: false,
      synced: [],
      unsynced: [],
      isSyncing: false,
      live: new Set(),
      isLeading: false,
      applied: [],
    })
  }
  for (const node of cluster.nodes) start(cluster, node)
  return cluster
}

const membersOf = ({ roles }: ClusterOptions): Member[] =>
  roles.map((role, i) => ({ id: (i + 1) as NodeId, role, weight: role === 'voter' ? 5 : 0 }))

function coreOf(cluster: Cluster, self: NodeId, records: StoredRecord[]): Core<BasicPaxosMessage> {
  const { proposers, retryMs, seed, inflight = 8 } = cluster.options
  const members = membersOf(cluster.options)
  const config = { self, members, proposers, retryMs, seed, inflightInstancesMax: inflight }
  return createBasicPaxos(config, foldBasicPaxos(records))
}

export function at(cluster: Cluster, delayMs: number, item: () => void): void {
  heapPush(cluster.timeline, { dueAt: cluster.now + delayMs, item })
}

export function runFor(cluster: Cluster, ms: number): void {
  const end = cluster.now + ms
  for (;;) {
    const entry = heapPopDue(cluster.timeline, end)
    if (entry === undefined) break
    cluster.now = entry.dueAt
    entry.item()
  }
  cluster.now = end
}

// ---- Life and links ---------------------------------------------------------------------------

function start(cluster: Cluster, node: SimNode): void {
  node.isUp = true
  node.life++
  step(cluster, node, { kind: 'tick', now: cluster.now })
  for (const other of cluster.nodes) {
    if (other === node || !other.isUp || isCut(cluster, node, other)) continue
    step(cluster, node, { kind: 'link', peer: other.id, up: true })
    step(cluster, other, { kind: 'link', peer: node.id, up: true })
  }
  tickOn(cluster, node, node.life)
}

function tickOn(cluster: Cluster, node: SimNode, life: number): void {
  at(cluster, 5, () => {
    if (!node.isUp || node.life !== life) return
    step(cluster, node, { kind: 'tick', now: cluster.now })
    tickOn(cluster, node, life)
  })
}

/** Some of what was not synced survives, as the page cache pleases; always a prefix. */
export function crash(cluster: Cluster, node: SimNode): void {
  if (!node.isUp) return
  node.isUp = false
  node.isLeading = false
  node.isSyncing = false
  const survivors = node.unsynced.splice(0, below(cluster, node.unsynced.length + 1))
  node.unsynced = []
  for (const stored of survivors) sync(cluster, node, stored)
  for (const other of cluster.nodes) {
    if (other !== node && other.isUp && !isCut(cluster, node, other))
      step(cluster, other, { kind: 'link', peer: node.id, up: false })
  }
}

export function restart(cluster: Cluster, node: SimNode): void {
  if (node.isUp) return
  node.live = new Set()
  node.applied = []
  node.core = coreOf(cluster, node.id, node.synced)
  start(cluster, node)
}

const linkOf = (a: SimNode, b: SimNode): number => Math.min(a.id, b.id) * 100 + Math.max(a.id, b.id)

const isCut = (cluster: Cluster, a: SimNode, b: SimNode): boolean => cluster.cut.has(linkOf(a, b))

export function setLink(cluster: Cluster, a: SimNode, b: SimNode, up: boolean): void {
  if (isCut(cluster, a, b) !== up) return
  if (up) cluster.cut.delete(linkOf(a, b))
  else cluster.cut.add(linkOf(a, b))
  if (!a.isUp || !b.isUp) return
  step(cluster, a, { kind: 'link', peer: b.id, up })
  step(cluster, b, { kind: 'link', peer: a.id, up })
}

/** All links, no faults, everybody up. */
export function heal(cluster: Cluster): void {
  cluster.dropRate = 0
  cluster.repeatRate = 0
  for (const a of cluster.nodes)
    for (const b of cluster.nodes) if (a.id < b.id) setLink(cluster, a, b, true)
  for (const node of cluster.nodes) restart(cluster, node)
}

/** One new value; its number is its headerCrc. @returns 0 when the node takes none */
export function submit(cluster: Cluster, node: SimNode): number {
  if (!node.isUp || !node.isLeading) return 0
  const value = cluster.nextValue++
  cluster.submitted.set(value, { node: node.id, life: node.life })
  const frames = [frameOf(value, 0)]
  step(cluster, node, { kind: 'submitted', ballot: 0 as Ballot, frames })
  return value
}

const frameOf = (value: number, ring: number): FrameRef => ({
  first: 0 as LogIndex,
  count: 1,
  ballot: 0 as Ballot,
  sizeBytes: 128,
  headerCrc: value,
  continues: false,
  ring,
  offset: 0,
  end: 0,
  kept: false,
  holds: 0,
})

// ---- One step of one node ---------------------------------------------------------------------

export function step(cluster: Cluster, node: SimNode, input: Input<BasicPaxosMessage>): void {
  const usable = new Set(node.live)
  if ('frames' in input) for (const frame of input.frames) usable.add(frame)
  const effects: Effect<BasicPaxosMessage>[] = []
  node.core.step(input, effects)
  for (const effect of effects) {
    if ('frames' in effect)
      for (const frame of effect.frames)
        if (!usable.has(frame)) fail(node, `uses a frame that was free: ${frame.headerCrc}`)
    carryOut(cluster, node, effect)
  }
  for (const frame of usable) {
    if (frame.kept) node.live.add(frame)
    else node.live.delete(frame)
  }
}

function fail(node: SimNode, problem: string): never {
  throw new Violation(`node ${node.id}: ${problem}`)
}

function carryOut(cluster: Cluster, node: SimNode, effect: Effect<BasicPaxosMessage>): void {
  const { life } = node
  const later = (delayMs: number, input: () => Input<BasicPaxosMessage>): void => {
    at(cluster, delayMs, () => {
      if (node.isUp && node.life === life) step(cluster, node, input())
    })
  }
  switch (effect.kind) {
    case 'append':
      return append(cluster, node, effect)
    case 'send':
      return carry(cluster, node, effect)
    case 'read': {
      const { ticket, from, through } = effect
      return later(1 + below(cluster, 5), () => ({
        kind: 'read-done',
        ticket,
        frames: readBack(node, from, through),
      }))
    }
    case 'apply': {
      effect.frames.forEach((frame, i) => apply(cluster, node, effect.first + i, frame.headerCrc))
      const through = (effect.first + effect.frames.length - 1) as LogIndex
      return later(below(cluster, 10), () => ({ kind: 'applied', through }))
    }
    case 'lead':
      node.isLeading = true
      return
    default:
  }
}

/** Last frame of each instance, of what was written so far; some 20 an answer. */
function readBack(node: SimNode, from: number, through: number): FrameRef[] {
  const last = new Map<number, number>()
  for (const { record, frame } of [...node.synced, ...node.unsynced])
    if ('instance' in record && frame !== null) last.set(record.instance, frame.headerCrc)
  const frames: FrameRef[] = []
  for (let i = from; i <= through && frames.length < 20; i++) {
    const value = last.get(i)
    if (value === undefined) fail(node, `reads instance ${i}, which its disk does not hold`)
    frames.push(frameOf(value, 2))
  }
  return frames
}

function apply(cluster: Cluster, node: SimNode, instance: number, value: number): void {
  if (node.role === 'logger') fail(node, 'a Logger applies nothing')
  if (instance !== node.applied.length + 1) fail(node, `applies ${instance} out of order`)
  if (cluster.chosen.get(instance) !== value)
    fail(node, `applies ${value} at ${instance}, chosen: ${cluster.chosen.get(instance)}`)
  node.applied.push(value)
}

// ---- Disk -------------------------------------------------------------------------------------

function append(
  cluster: Cluster,
  node: SimNode,
  { lsn, record, frames }: Extract<Effect<BasicPaxosMessage>, { kind: 'append' }>,
): void {
  const before = node.unsynced.at(-1) ?? node.synced.at(-1)
  if (lsn <= (before?.lsn ?? 0)) fail(node, `LSN ${lsn} is not new`)
  if (record.kind === 'instance-promised' || record.kind === 'instance-accepted') {
    const { promised } = memoryOf([...node.synced, ...node.unsynced], record.instance)
    if (record.ballot < promised) fail(node, `${record.kind} below its promise`)
  }
  // The disk keeps bytes, not references.
  const frame = frames[0] === undefined ? null : frameOf(frames[0].headerCrc, 2)
  node.unsynced.push({ lsn, record, frame })
  if (!node.isSyncing) startSync(cluster, node)
}

function startSync(cluster: Cluster, node: SimNode): void {
  node.isSyncing = true
  const { life } = node
  const covered = node.unsynced.length
  at(cluster, 1 + below(cluster, cluster.options.syncMsMax ?? 5), () => {
    if (!node.isUp || node.life !== life) return
    const done = node.unsynced.splice(0, covered)
    for (const stored of done) sync(cluster, node, stored)
    node.isSyncing = false
    if (node.unsynced.length > 0) startSync(cluster, node)
    step(cluster, node, { kind: 'durable', lsn: done.at(-1)!.lsn })
  })
}

/** The oracle's only source: what is on the disks. */
function sync(cluster: Cluster, node: SimNode, stored: StoredRecord): void {
  node.synced.push(stored)
  const { record, frame } = stored
  if (record.kind !== 'instance-accepted' || frame === null) return
  const key = `${record.instance}/${record.ballot}`
  const vote = cluster.votes.get(key) ?? { value: frame.headerCrc, holders: new Set() }
  if (vote.value !== frame.headerCrc) fail(node, `two values in ${key}`)
  cluster.votes.set(key, vote)
  vote.holders.add(node.id)
  const voters = cluster.nodes.filter(({ role }) => role !== 'learner').length
  if (vote.holders.size <= voters / 2) return
  const known = cluster.chosen.get(record.instance)
  if (known !== undefined && known !== vote.value)
    fail(node, `instance ${record.instance}: ${known} was chosen, now ${vote.value}`)
  cluster.chosen.set(record.instance, vote.value)
}

interface Memory {
  promised: number
  acceptedBallot: number
  value: number
}

function memoryOf(records: readonly StoredRecord[], instance: number): Memory {
  const memory = { promised: 0, acceptedBallot: 0, value: 0 }
  for (const { record, frame } of records) {
    if (record.kind !== 'instance-promised' && record.kind !== 'instance-accepted') continue
    if (record.instance !== instance) continue
    memory.promised = Math.max(memory.promised, record.ballot)
    if (record.kind === 'instance-promised') continue
    memory.acceptedBallot = record.ballot
    memory.value = frame!.headerCrc
  }
  return memory
}

// ---- Wire -------------------------------------------------------------------------------------

function carry(
  cluster: Cluster,
  node: SimNode,
  { to, message, frames }: Extract<Effect<BasicPaxosMessage>, { kind: 'send' }>,
): void {
  checkMessage(cluster, node, message, frames[0]?.headerCrc ?? 0)
  count(cluster, message.kind)
  const values = frames.map((frame) => frame.headerCrc)
  const copies = chance(cluster) < cluster.repeatRate ? 2 : 1
  for (let copy = 0; copy < copies; copy++) {
    if (chance(cluster) < cluster.dropRate) continue
    at(cluster, 1 + below(cluster, cluster.options.delayMsMax ?? 10), () => {
      const target = cluster.nodes.find(({ id }) => id === to)!
      if (!target.isUp || isCut(cluster, node, target)) return
      const arrived = values.map((value) => frameOf(value, 1))
      step(cluster, target, { kind: 'message', from: node.id, message, frames: arrived })
    })
  }
}

export function count(cluster: Cluster, name: string): void {
  cluster.counts.set(name, (cluster.counts.get(name) ?? 0) + 1)
}

function checkMessage(
  cluster: Cluster,
  node: SimNode,
  message: BasicPaxosMessage,
  value: number,
): void {
  if (message.kind === 'basic-promise') {
    const { promised, acceptedBallot, value: held } = memoryOf(node.synced, message.instance)
    if (promised < message.ballot) fail(node, 'a promise left before it was durable')
    if (acceptedBallot < message.ballot) {
      if (acceptedBallot !== message.acceptedBallot) fail(node, 'a promise hides what was accepted')
      if (held !== value) fail(node, 'a promise carries another value')
    }
  }
  if (message.kind === 'basic-accepted') {
    const vote = cluster.votes.get(`${message.instance}/${message.ballot}`)
    if (!vote?.holders.has(node.id)) fail(node, 'an accepted left before it was durable')
  }
  if (message.kind === 'basic-accept') {
    const key = `${message.instance}/${message.ballot}`
    if ((cluster.proposed.get(key) ?? value) !== value) fail(node, `two values proposed in ${key}`)
    cluster.proposed.set(key, value)
  }
  if (message.kind === 'basic-learned' && cluster.chosen.get(message.instance) !== value)
    fail(node, `tells ${value} for instance ${message.instance}`)
}
