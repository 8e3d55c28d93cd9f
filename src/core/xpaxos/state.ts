/**
 * State of one node in the X-Paxos core, and the few primitives that every part uses: ordering a
 * record, answering when it is durable, sending. Plain data, changed in place by the decision loop
 * only. core.ts dispatches; acceptor.ts, leader.ts, phase1.ts, election.ts, learner.ts and
 * apply-cursor.ts each hold one role.
 *
 * Invariants (asserted where they could break):
 * - `promised` never falls; `acceptedBallot <= promised`; `floor <= last`; `floor` never falls;
 * - state is state *as ordered*: a reply about it sits in `waiting` until the LSN that makes it
 *   true on disk is durable (R3), also for the node's own promise and own count (R9);
 * - LSNs are handed out in the order of append effects.
 */
import { assert } from '../../base/assert.ts'
import { type Fifo, createFifo } from '../../base/fifo.ts'
import type { AdmitReason, Effect, EventName, Member } from '../engine.ts'
import type { FrameRef } from '../frame-ref.ts'
import { type Ballot, type LogIndex, type Lsn, NO_BALLOT, NO_INDEX, type NodeId } from '../ids.ts'
import { type ConfigAt, type Membership, membershipOf, votersOf } from '../membership.ts'
import type { WalRecord } from '../records.ts'
import { refreshPeers } from './configs.ts'
import type { Serving } from './fetch.ts'
import type { XPaxosMessage } from './messages.ts'
import type { Peer } from './peer.ts'
import { type Purge, createPurge } from './purge.ts'
import { type ReadConfig, type ReadState, createReadState } from './read-state.ts'
import type { Recovered } from './recovered.ts'
import { type Mark, type Tail, chainAt, createTail, lastOf } from './tail.ts'

export { BLANK, type Recovered } from './recovered.ts'

export type { Peer } from './peer.ts'

export interface XPaxosConfig extends ReadConfig {
  readonly self: NodeId
  /**
   * What a new cluster starts with, the same on every node. A node that joins a running cluster
   * has only itself, as a learner: the log tells it the rest.
   */
  readonly members: readonly Member[]
  /** Quorum sizes that must meet; absent: majorities. */
  readonly quorums?: { readonly prepare: number; readonly accept: number }
  readonly heartbeatMs: number
  readonly electionTimeoutMs: number
  /** Bytes in flight to one peer. */
  readonly windowBytes: number
  /** One accept carries at most this much, and at least one frame. */
  readonly batchBytesMax: number
  readonly batchEntriesMax: number
  /** The same for a peer that is served from the WAL, and for a candidate's fetch. */
  readonly catchUpBytesMax: number
  /** Batches proposed and not yet chosen. */
  readonly pipelineDepth: number
  readonly seed: number
}

/** An open accept-sync transaction (R12): its frames are written, but not yet of the log. */
export interface PendingSync {
  readonly ballot: Ballot
  readonly syncPoint: LogIndex
  readonly adoptedLast: LogIndex
  last: LogIndex
  chain: number
  readonly marks: Mark[]
  /** Config batches among its frames. */
  readonly configs: ConfigAt[]
}

export interface PromiseInfo {
  readonly from: NodeId
  readonly acceptedBallot: Ballot
  readonly last: LogIndex
  readonly floor: LogIndex
  readonly floorChain: number
  readonly firstRetained: LogIndex
}

/** Phase 1 of this node's own ballot. */
export interface Candidacy {
  readonly ballot: Ballot
  readonly startedAt: number
  /** A long fetch may outlast its time while frames come: there may be nobody else to lead. */
  progressAt: number
  selfPromised: boolean
  readonly promises: Map<NodeId, PromiseInfo>
  /** Voters of memberships that this node learns of while it fetches (R28). */
  readonly targets: Set<NodeId>
  /** The promise whose log is being fetched, from `supplier` through `supplyThrough`. */
  source: PromiseInfo | null
  supplier: NodeId | 0
  supplyThrough: LogIndex
  /** Who failed to supply in this ballot. */
  readonly refused: Set<NodeId>
  fetchAskedAt: number
}

/** Phase 2 of this node's own ballot. */
export interface Leadership {
  readonly ballot: Ballot
  readonly adopted: { readonly acceptedBallot: Ballot; readonly last: LogIndex }
  /** Submitted and not yet ordered: waits for a free place in the pipeline. */
  readonly queue: FrameRef[]
  queueLast: LogIndex
  /** Ends of the batches that are ordered and not yet chosen. */
  readonly rounds: LogIndex[]
  /** What of the own log is durable under the own ballot (R9). */
  ownMatched: LogIndex
  /** What an accept quorum holds in this ballot: chosen, though a forced member may withhold it. */
  quorumThrough: LogIndex
  progressAt: number
  discontentSince: number
  strayedSince: number
  readonly startedAt: number
  /** The floor one heartbeat ago: who holds that is caught up. */
  floorAtRound: LogIndex
  /** A config batch of this ballot on its way through the log; null: none is open. */
  change: OpenChange | null
  transfer: Transfer | null
  /** Why it admits nothing; null: it does. */
  closedFor: AdmitReason | null
  /** An order to take over has left: no lease in this ballot any more (R25). */
  leaseBarred: boolean
  /** Since when a forced member holds back what a quorum has; -1: none does. */
  withheldSince: number
}

/** A membership change, from the order to configure to the empty batch behind it (R26). */
export interface OpenChange {
  /** Who asked; 0: this leader itself. */
  readonly id: number
  /** Of the config batch; 0 until it is in the log. */
  index: LogIndex
  readonly startedAt: number
}

/** A hand-over: drain, then one-use orders to the target (R24). */
export interface Transfer {
  /** Who asked; 0: this leader itself, by weight or because it must go. */
  readonly id: number
  readonly target: NodeId
  readonly startedAt: number
  orders: number
  orderAt: number
}

interface Waiting {
  readonly lsn: Lsn
  readonly to: NodeId
  readonly message: XPaxosMessage
}

/** What a `read` effect was for. */
export type ReadPurpose =
  | { readonly kind: 'apply' }
  | { readonly kind: 'stream'; readonly peer: NodeId; readonly attempt: number }
  | { readonly kind: 'fetch' }

export interface State {
  readonly config: XPaxosConfig
  self: Member
  readonly configs: ConfigAt[]
  /** What `peers` and `self` were made for. */
  refreshedFor: ConfigAt | null
  refreshedOpen: boolean
  /** A chosen membership that others know of does not have this node any more (R30). */
  removedAt: LogIndex | 0
  /**
   * The index of a config batch, proven chosen, by which this node may not lead: found in a log
   * that it was to adopt, and could not. -1: none.
   */
  unfitBy: number
  readonly peers: Peer[]
  /** Links that are up, to members and to others. */
  readonly linksUp: Set<NodeId>
  now: number
  random: number
  promised: Ballot
  acceptedBallot: Ballot
  seen: Ballot
  readonly tail: Tail
  floor: LogIndex
  floorChain: number
  firstRetained: LogIndex
  nextLsn: Lsn
  durableLsn: Lsn
  durable: LogIndex
  readonly appends: { readonly lsn: Lsn; through: LogIndex }[]
  readonly waiting: Waiting[]
  waitingSince: number
  pendingSync: PendingSync | null
  /**
   * The stream of the promised ballot whose sync point has another chain here; 0: none. Nothing of
   * it is answered: a refusal would start the same stream again, at the speed of the link (R11).
   */
  otherChainAttempt: number
  candidacy: Candidacy | null
  /** A candidate's fetch that this node answers. */
  serving: Serving | null
  leadership: Leadership | null
  acceptedBatches: number
  readonly purge: Purge
  // Election.
  round: number
  heartbeatAt: number
  contentAt: number
  standAt: number
  /** When this process last woke from a sleep that was longer than its patience. */
  awakeAt: number
  backOffUntil: number
  backOffCount: number
  /**
   * Own candidacies that ended in the middle of a fetch, since somebody led. Each doubles how long
   * the next one is content, so that two laggards do not cut each other short for ever (R19).
   */
  fetchesCut: number
  announcedLeader: NodeId | 0
  announcedConfig: LogIndex
  /** The newest leader heard of, for a node that promised nobody. */
  heardBallot: Ballot
  heardAt: number
  /** The greatest chosen index that a leader has told. */
  heardChosen: LogIndex
  /** Failed hand-overs by weight: whom not to try again before when. */
  readonly penalties: Map<NodeId, { count: number; until: number }>
  // Apply.
  applyNext: LogIndex
  applied: LogIndex
  /** Apply orders that are not answered yet, and the ring bytes they hold. */
  readonly applyOpen: Fifo<{ readonly through: LogIndex; readonly sizeBytes: number }>
  applyOpenBytes: number
  applyReading: boolean
  readonly reads: Map<number, ReadPurpose>
  nextTicket: number
  readonly readState: ReadState
}

export type Effects = Effect<XPaxosMessage>[]

export const NO_FRAMES: readonly FrameRef[] = []
export const FRAMES_MAX = 256

export function createState(config: XPaxosConfig, recovered: Recovered): State {
  const self = config.members.find((member) => member.id === config.self)
  assert(self !== undefined, 'a node is a member of its own cluster')
  const isJoining = votersOf(config).length === 0
  const base = membershipOf(config.members, config.quorums)
  const membership: Membership = isJoining ? { ...base, highestId: 0 as NodeId } : base
  const { floor: through, floorChain: chain, floorContinues: continues } = recovered
  const tail = createTail({ through, chain, continues }, recovered.marks)
  const { applied = NO_INDEX } = recovered
  assert(applied <= through, 'what a snapshot has is chosen')
  const state: State = {
    config,
    self,
    configs: [{ index: NO_INDEX, membership }, ...(recovered.configs ?? [])],
    refreshedFor: null,
    refreshedOpen: false,
    removedAt: 0,
    unfitBy: -1,
    peers: [],
    linksUp: new Set(),
    now: 0,
    random: (Math.imul(config.seed | 0, 0x9e3779b1) ^ config.self) | 1,
    promised: recovered.promised,
    acceptedBallot: recovered.acceptedBallot,
    seen: recovered.promised,
    tail,
    floor: recovered.floor,
    floorChain: recovered.floorChain,
    firstRetained: recovered.firstRetained,
    nextLsn: recovered.nextLsn,
    durableLsn: (recovered.nextLsn - 1) as Lsn,
    durable: lastOf(tail),
    appends: [],
    waiting: [],
    waitingSince: 0,
    pendingSync: null,
    otherChainAttempt: 0,
    candidacy: null,
    serving: null,
    leadership: null,
    acceptedBatches: 0,
    purge: createPurge(),
    round: 0,
    heartbeatAt: 0,
    contentAt: 0,
    standAt: 0,
    awakeAt: -Infinity,
    backOffUntil: 0,
    backOffCount: 0,
    fetchesCut: 0,
    announcedLeader: 0,
    announcedConfig: NO_INDEX,
    heardBallot: NO_BALLOT,
    heardAt: -Infinity,
    heardChosen: NO_INDEX,
    penalties: new Map(),
    applyNext: (applied + 1) as LogIndex,
    applied,
    applyOpen: createFifo(),
    applyOpenBytes: 0,
    applyReading: false,
    reads: new Map(),
    nextTicket: 1,
    readState: createReadState(config.requestBase),
  }
  refreshPeers(state)
  return state
}

export function peerOf(state: State, id: NodeId): Peer | undefined {
  return state.peers.find((peer) => peer.id === id)
}

/** Uniform integer in [0, limit), limit > 0; xorshift32: a seed replays on any engine. */
export function randomBelow(state: State, limit: number): number {
  let x = state.random
  x ^= x << 13
  x ^= x >>> 17
  x ^= x << 5
  state.random = x
  return (x >>> 0) % limit
}

/** Orders one WAL record; everything it says is true of the ordered state from now on. */
export function order(
  state: State,
  effects: Effects,
  record: WalRecord,
  frames: readonly FrameRef[],
): Lsn {
  const lsn = state.nextLsn
  state.nextLsn = (lsn + 1) as Lsn
  effects.push({ kind: 'append', lsn, record, frames, lazy: false })
  return lsn
}

/** Sends once everything ordered so far is durable (R3). To itself: handled in this core. */
export function replyDurably(state: State, to: NodeId, message: XPaxosMessage): void {
  if (state.waiting.length === 0) state.waitingSince = state.now
  state.waiting.push({ lsn: (state.nextLsn - 1) as Lsn, to, message })
}

export function send(
  effects: Effects,
  to: NodeId,
  message: XPaxosMessage,
  frames: readonly FrameRef[] = NO_FRAMES,
): void {
  effects.push({ kind: 'send', to, message, frames })
}

export function event(effects: Effects, name: EventName, value: number): void {
  effects.push({ kind: 'event', name, value })
}

export function read(
  state: State,
  effects: Effects,
  purpose: ReadPurpose,
  range: { readonly from: LogIndex; readonly through: LogIndex; readonly sizeBytesMax: number },
): number {
  const ticket = state.nextTicket++
  state.reads.set(ticket, purpose)
  effects.push({ kind: 'read', ticket, ...range })
  return ticket
}

/** Moves the floor to a boundary of the own log; the caller proved that it is chosen (R13, R14). */
export function raiseFloor(state: State, effects: Effects, through: LogIndex): void {
  if (through <= state.floor) return
  assert(through <= lastOf(state.tail), 'a floor lies within the log')
  const chain = chainAt(state.tail, through)
  assert(chain >= 0, 'a floor is a frame boundary')
  state.floor = through
  state.floorChain = chain
  effects.push({ kind: 'chosen', through, chain })
}
