/**
 * State of one node in the Basic Paxos core, and the primitives that every part uses: ordering a
 * record, sending, keeping and releasing frames. Plain data, changed in place by the decision loop
 * only. core.ts dispatches; acceptor.ts, proposer.ts (with runs.ts) and learner.ts hold the roles.
 *
 * Invariants (asserted where they could break):
 * - per instance `promised` never falls and `acceptedBallot <= promised`;
 * - state is state *as ordered*: an answer waits for the LSN that makes it true on disk;
 * - instances through `pruned` are chosen and not in memory; pruned <= chosenThrough;
 * - a frame is kept while an instance, a run or the queue of own values points to it.
 */
import { assert } from '../../base/assert.ts'
import type { Effect, Member, MemberRole } from '../engine.ts'
import type { FrameRef } from '../frame-ref.ts'
import { type Ballot, type LogIndex, type Lsn, NO_BALLOT, NO_INDEX, type NodeId } from '../ids.ts'
import type { WalRecord } from '../records.ts'
import type { BasicPaxosMessage } from './messages.ts'
import { type Heap, type Queue, createQueue } from './queue.ts'
import { type BasicPaxosRecovered, type RecoveredInstance, hasValue } from './recovered.ts'

export interface BasicPaxosConfig {
  readonly self: NodeId
  readonly members: readonly Member[]
  /** How many electable voters propose at once; above 1 they duel for the same instances. */
  readonly proposers: number
  /** Instances that one proposer runs at a time. */
  readonly inflightInstancesMax: number
  /** Base of the random back-off after a refusal; it doubles with each one. 0: retry at once. */
  readonly retryMs: number
  /** How long a proposer's link is down before the next voter stands in; default 500. */
  readonly takeoverMs?: number
  /** Before anything is sent again at the earliest; default 50. Links in session lose nothing. */
  readonly resendMsMin?: number
  readonly seed: number
}

/** Proposing one instance. `accept` means that the value is in the own acceptor's `frame`. */
export interface Run {
  readonly instance: LogIndex
  phase: 'prepare' | 'accept' | 'back-off'
  ballot: Ballot
  /** The own value; null when the run only finishes what others left. */
  own: FrameRef | null
  /** Value of the highest accepted ballot among the promises. */
  best: FrameRef | null
  bestBallot: Ballot
  /** Bit i: members[i] has answered this phase of this ballot. */
  answered: number
  answerCount: number
  /** Highest ballot that a refusal named. */
  refusedBy: Ballot
  refusals: number
  resends: number
  readonly startedAt: number
  /** When to resend or to try again. */
  dueAt: number
  /** When its entry in the timer heap is due; Infinity: it has none. */
  timerAt: number
  isOver: boolean
}

export interface Instance {
  readonly instance: LogIndex
  promised: Ballot
  acceptedBallot: Ballot
  /** The accepted or chosen value in memory; null: none, or on the disk only. */
  frame: FrameRef | null
  /** Names the value that `frame` or the disk holds, if there is one. */
  headerCrc: number
  /** Last record ordered for this instance. */
  lsn: Lsn
  /** Chosen, and the value is the one held here. */
  chosen: boolean
  /** A ballot in which it is known to be chosen, even while the value is not known; 0: none. */
  chosenBallot: Ballot
  run: Run | null
  isReading: boolean
  /** How often phase 1 found no value and there was none to propose: a gap, left for a while. */
  abandonCount: number
  abandonedUntil: number
}

export interface Peer {
  readonly id: NodeId
  readonly role: MemberRole
  /** Its bit in Run.answered. */
  readonly bit: number
  up: boolean
  wasUp: boolean
  downSince: number
  known: LogIndex
  /** The `known` it was last told. */
  toldKnown: LogIndex
  isReading: boolean
}

export interface Answer {
  readonly kind: 'promise' | 'accepted'
  readonly lsn: Lsn
  readonly instance: LogIndex
  readonly ballot: Ballot
}

export type ReadPurpose =
  | { readonly kind: 'apply' }
  | { readonly kind: 'learn'; readonly peer: Peer; readonly from: LogIndex }
  | { readonly kind: 'promise'; readonly instance: LogIndex }

export interface State {
  readonly config: BasicPaxosConfig
  readonly self: Member
  readonly selfBit: number
  readonly quorum: number
  readonly takeoverMs: number
  readonly resendMsMin: number
  readonly peers: Peer[]
  now: number
  hasTicked: boolean
  random: number
  readonly instances: Map<LogIndex, Instance>
  // Durability.
  nextLsn: Lsn
  durableLsn: Lsn
  readonly answers: Queue<Answer>
  /** Answers of the own acceptor that are due to the own proposer. */
  readonly ownAnswers: Queue<Answer>
  // Proposer.
  isProposing: boolean
  readonly roundMin: number
  readonly values: Queue<FrameRef>
  /** Own values that lost their instance; they go first. */
  readonly lost: Queue<FrameRef>
  /** Own values that are not chosen yet: their frames are released by nobody else. */
  readonly owned: Set<FrameRef>
  running: number
  nextFree: LogIndex
  readonly timers: Heap<Run>
  /** Smoothed time from prepare to chosen; resends wait a multiple of it. */
  latencyMs: number
  announceFirst: LogIndex
  announceThrough: LogIndex
  announceBallot: Ballot
  // Learner.
  chosenThrough: LogIndex
  chosenChain: number
  chosenTold: LogIndex
  markedThrough: LogIndex
  /** Highest instance known to be chosen, and highest with an accepted value here. */
  seenChosen: LogIndex
  seenValue: LogIndex
  /** Highest instance that another node asked about. */
  seenAsked: LogIndex
  progressAt: number
  askedAt: number
  askedThrough: LogIndex
  /** Values learned by asking, since the last ask. */
  learnedCount: number
  askTurn: number
  statusAt: number
  applySent: LogIndex
  applied: LogIndex
  isApplyReading: boolean
  pruned: LogIndex
  readonly reads: Map<number, ReadPurpose>
  nextTicket: number
  // For the view.
  leader: NodeId | 0
  promisedMax: Ballot
  durableInstance: LogIndex
  acceptedBatches: number
}

export type Effects = Effect<BasicPaxosMessage>[]

export const NO_FRAMES: readonly FrameRef[] = []
const TAKEOVER_MS = 500
const RESEND_MS_MIN = 50
const MEMBERS_MAX = 31 // one bit each

export function createState(config: BasicPaxosConfig, recovered: BasicPaxosRecovered): State {
  const place = config.members.findIndex((member) => member.id === config.self)
  const self = config.members[place]
  assert(self !== undefined, 'a node is a member of its own cluster')
  assert(config.members.length <= MEMBERS_MAX, 'members fit the bits of a mask')
  assert(config.proposers >= 1 && config.inflightInstancesMax >= 1, 'somebody proposes something')
  const voters = config.members.filter((member) => isAcceptor(member.role))
  assert(voters.length > 0, 'a cluster has a voter')
  const { chosenThrough } = recovered
  const state: State = {
    config,
    self,
    selfBit: 1 << place,
    quorum: (voters.length >> 1) + 1,
    takeoverMs: config.takeoverMs ?? TAKEOVER_MS,
    resendMsMin: config.resendMsMin ?? RESEND_MS_MIN,
    peers: config.members.map(createPeer).filter((peer) => peer.id !== config.self),
    now: 0,
    hasTicked: false,
    random: (Math.imul(config.seed | 0, 0x9e3779b1) ^ config.self) | 1,
    instances: new Map(),
    nextLsn: recovered.nextLsn,
    durableLsn: (recovered.nextLsn - 1) as Lsn,
    answers: createQueue(),
    ownAnswers: createQueue(),
    isProposing: false,
    roundMin: recovered.roundMax + 1,
    values: createQueue(),
    lost: createQueue(),
    owned: new Set(),
    running: 0,
    nextFree: (chosenThrough + 1) as LogIndex,
    timers: [],
    latencyMs: 0,
    announceFirst: NO_INDEX,
    announceThrough: NO_INDEX,
    announceBallot: NO_BALLOT,
    chosenThrough,
    chosenChain: recovered.chosenChain,
    chosenTold: NO_INDEX,
    markedThrough: chosenThrough,
    seenChosen: chosenThrough,
    seenValue: chosenThrough,
    seenAsked: NO_INDEX,
    progressAt: 0,
    askedAt: 0,
    askedThrough: NO_INDEX,
    learnedCount: 0,
    askTurn: 0,
    statusAt: 0,
    applySent: NO_INDEX,
    applied: NO_INDEX,
    isApplyReading: false,
    pruned: chosenThrough,
    reads: new Map(),
    nextTicket: 1,
    leader: 0,
    promisedMax: NO_BALLOT,
    durableInstance: chosenThrough,
    acceptedBatches: 0,
  }
  for (const [instance, found] of recovered.instances) restore(state, instance, found)
  return state
}

function restore(state: State, instance: LogIndex, found: RecoveredInstance): void {
  Object.assign(instanceAt(state, instance), found)
  if (hasValue(found)) state.seenValue = maxOf(state.seenValue, instance)
  if (found.chosen) state.seenChosen = maxOf(state.seenChosen, instance)
  state.promisedMax = maxOf(state.promisedMax, found.promised)
}

const createPeer = ({ id, role }: Member, place: number): Peer => ({
  id,
  role,
  bit: 1 << place,
  up: false,
  wasUp: false,
  downSince: 0,
  known: NO_INDEX,
  toldKnown: NO_INDEX,
  isReading: false,
})

export const isAcceptor = (role: MemberRole): boolean => role !== 'learner'
export const keepsState = (role: MemberRole): boolean => role !== 'logger'
export const isElectable = ({ role, weight }: Member): boolean => role === 'voter' && weight > 0

export const maxOf = <Id extends number>(a: Id, b: Id): Id => (a > b ? a : b)

/** The instance's state, made when it is not there. Not for pruned ones: those are history. */
export function instanceAt(state: State, instance: LogIndex): Instance {
  const known = state.instances.get(instance)
  if (known !== undefined) return known
  assert(instance > state.pruned, 'a pruned instance has no state')
  const fresh: Instance = {
    instance,
    promised: NO_BALLOT,
    acceptedBallot: NO_BALLOT,
    frame: null,
    headerCrc: 0,
    lsn: 0 as Lsn,
    chosen: false,
    chosenBallot: NO_BALLOT,
    run: null,
    isReading: false,
    abandonCount: 0,
    abandonedUntil: 0,
  }
  state.instances.set(instance, fresh)
  return fresh
}

/** Uniform integer in [0, limit); xorshift32, so that a seed replays on any engine. */
export function randomBelow(state: State, limit: number): number {
  let x = state.random
  x ^= x << 13
  x ^= x >>> 17
  x ^= x << 5
  state.random = x
  return limit > 0 ? (x >>> 0) % limit : 0
}

/** Orders one WAL record; what it says is true of the ordered state from now on. */
export function order(
  state: State,
  effects: Effects,
  record: WalRecord,
  frames: readonly FrameRef[] = NO_FRAMES,
  lazy = false,
): Lsn {
  const lsn = state.nextLsn
  state.nextLsn = (lsn + 1) as Lsn
  effects.push({ kind: 'append', lsn, record, frames, lazy })
  return lsn
}

/** A peer without a link gets nothing: timers and `known` repair what it missed. */
export function send(
  effects: Effects,
  to: Peer,
  message: BasicPaxosMessage,
  frames: readonly FrameRef[] = NO_FRAMES,
): void {
  if (to.up) effects.push({ kind: 'send', to: to.id, message, frames })
}

export function read(
  state: State,
  effects: Effects,
  purpose: ReadPurpose,
  range: { readonly from: LogIndex; readonly through: LogIndex },
): void {
  const ticket = state.nextTicket++
  state.reads.set(ticket, purpose)
  effects.push({ kind: 'read', ticket, ...range, sizeBytesMax: 65_536 })
}

/** Makes `frame` the instance's value in memory; the one before it may go. */
export function setFrame(state: State, at: Instance, frame: FrameRef): void {
  const old = at.frame
  at.frame = frame
  at.headerCrc = frame.headerCrc
  frame.kept = true
  if (old !== null && old !== frame) release(state, old)
}

/** Ends the need for a frame, unless it is an own value that still waits to be chosen. */
export function release(state: State, frame: FrameRef): void {
  if (!state.owned.has(frame)) frame.kept = false
}

export function peerOf(state: State, id: NodeId): Peer | undefined {
  const { peers } = state
  for (let i = 0; i < peers.length; i++) if (peers[i]!.id === id) return peers[i]
  return undefined
}
