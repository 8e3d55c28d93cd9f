/**
 * The world of a run: one queue of what is to come, the nodes, links and disks, the judge, the
 * coverage and the trace. Time is in microseconds and jumps from event to event. Plain data, and
 * the few primitives that every part uses; network.ts, core-driver.ts and ops.ts do the rest.
 *
 * Invariants: nothing here reads a clock or chance but its own; one event is carried out at a time;
 * every step of a node is counted, hashed and judged.
 */
import type { CoreView, Input, Member } from '../core/engine.ts'
import type { Ballot, NodeId } from '../core/ids.ts'
import type { Clock } from './clock.ts'
import type { Coverage } from './coverage.ts'
import type { Disk } from './disk.ts'
import type { Frame, FrameArena } from './frames.ts'
import type { Judge } from './judge.ts'
import type { Stored } from './log.ts'
import type { Ambush } from './ambush.ts'
import type { Network } from './network.ts'
import type { Order } from './orders.ts'
import type { Op, Plan } from './plan.ts'
import type { Queue } from './queue.ts'
import { push } from './queue.ts'
import type { Random } from './random.ts'
import type { Ring } from './ring.ts'
import type { StageWorld } from './stage-world.ts'
import type { Trace } from './trace.ts'
import type { Wire } from './wire.ts'

/**
 * What the world does with a node, whatever runs in it: a bare core with its codec (core-driver.ts)
 * or, later, the stages of production in one loop.
 */
export interface Driver<M> {
  /** Starts from what its disk holds. */
  boot(): void
  /** Gives one input; a tick carries the node's own time. */
  give(input: Input<M>): void
  /** A message arrived; false: its bytes were refused, and the link must be reset. */
  deliver(from: number, place: number, frames: readonly Frame[], overtaken: boolean): boolean
  /** What was written and not synced is at the mercy of the disk; `keepAll`: the cache survives. */
  stop(keepAll: boolean): void
  synced(lsn: number): void
  readDone(payload: unknown): void
  readonly view: CoreView
  /** A request in the node's own way; null: by the core's submitted frames (clients.ts). */
  readonly submit: ((op: Op & { readonly kind: 'submit' }) => boolean) | null
}

export interface Leading {
  readonly ballot: Ballot
  next: number
  /** False while a hand-over is prepared: ingest refuses (R24). */
  admits: boolean
}

export interface HandOver {
  readonly target: NodeId
  /** By weight, or because it must go: nobody asked for it. */
  readonly isOwn: boolean
}

export type Outcome = 'pending' | 'ok' | 'refused' | 'unknown'

export interface Request {
  readonly node: number
  readonly atUs: number
  outcome: Outcome
}
export interface FramedRequest extends Request {
  readonly frame: Frame
}

export interface SimNode<M> {
  readonly place: number
  readonly id: NodeId
  /** What it was started with; what it is now says the log. */
  readonly member: Member
  readonly driver: Driver<M>
  readonly clock: Clock
  readonly random: Random
  readonly rings: Ring[]
  disk: Disk
  /** Records as ordered; those behind `durableCount` are at risk. */
  readonly stored: Stored[]
  durableCount: number
  syncing: boolean
  syncFails: boolean
  stalledUntilUs: number
  life: number
  alive: boolean
  /** It was removed, and its machine is gone for good. */
  retired: boolean
  pausedUntilUs: number
  /** What came while it was paused, in order: worked off when it wakes. */
  readonly held: Due[]
  leading: Leading | null
  /** A hand-over that it started and that has not ended. */
  handOver: HandOver | null
  /** How often it began one by itself, in this life. */
  handOvers: number
  /** Requests that this node took in this term and has not answered, oldest first. */
  readonly pending: FramedRequest[]
  appliedAtUs: number
  /** Requests reach the core in the order of their stamps. */
  submittedAtUs: number
  steps: number
}

export const DUE = {
  tick: 0,
  input: 1,
  deliver: 2,
  synced: 3,
  read: 4,
  op: 5,
  call: 6,
  wake: 7,
} as const

/** One shape for all that is to come, so that the loop stays monomorphic. */
export interface Due {
  readonly kind: number
  readonly node: number
  readonly life: number
  readonly from: number
  readonly a: number
  readonly b: number
  readonly payload: unknown
}

/** For who runs a state machine of his own on the nodes. */
export interface Hooks {
  /** Bytes of one entry of a request. */
  payload(): Uint8Array
  applied(node: number, frames: readonly Frame[]): void
  /** The node has forgotten what it applied: also before its first life. */
  restarted(node: number): void
}

export interface World<M> {
  readonly plan: Plan
  readonly hooks: Hooks | null
  readonly random: Random
  readonly queue: Queue<Due>
  readonly nodes: SimNode<M>[]
  readonly network: Network
  readonly wire: Wire<M>
  readonly judge: Judge<M>
  readonly arena: FrameArena
  readonly coverage: Coverage
  readonly trace: Trace
  readonly requests: Request[]
  readonly sessionSequences: number[]
  /** Of a run on the stages of production. */
  stages: StageWorld | null
  ambush: Ambush | null
  /** Places of members that the ending keeps away. */
  readonly away: Set<number>
  /** What operators asked for; an order's id is its place + 1. */
  readonly orders: Order[]
  nowUs: number
  events: number
  /** Loss, duplicates, reordering and flips are on. */
  noisy: boolean
  refused: number
}

export function later<M>(
  world: World<M>,
  inUs: number,
  kind: number,
  node: SimNode<M> | null,
  payload: unknown,
  a = 0,
): void {
  const place = node === null ? -1 : node.place
  const life = node === null ? 0 : node.life
  push(world.queue, world.nowUs + inUs, { kind, node: place, life, from: 0, a, b: 0, payload })
}

export function after<M>(world: World<M>, inUs: number, call: () => void): void {
  later(world, inUs, DUE.call, null, call)
}

/** The living node that leads with the highest ballot. */
export function leaderOf<M>({ nodes }: World<M>): SimNode<M> | undefined {
  let best: SimNode<M> | undefined
  for (const node of nodes) {
    if (!node.alive || node.leading === null) continue
    if (best === undefined || node.leading.ballot > best.leading!.ballot) best = node
  }
  return best
}

export const isAsleep = <M>({ nowUs }: World<M>, { pausedUntilUs, held }: SimNode<M>): boolean =>
  pausedUntilUs > nowUs || held.length > 0
