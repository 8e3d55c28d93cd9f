/**
 * What a node knows of reads that have no index yet: plain data, owned by its decision loop, and
 * how it follows the own role; all else is in reads.ts. It is never on a disk: a restart forgets
 * reads, and their callers with them; what a lease needs after one, the start waits for.
 */
import { type Ballot, type LogIndex, NO_BALLOT, NO_INDEX, type NodeId } from '../ids.ts'
import { type Membership, votersOf } from '../membership.ts'
import { isEstablished } from './change.ts'
import { forms, liveMemberships } from './configs.ts'
import type { State } from './state.ts'

export interface ReadConfig {
  /** Read requests count from here: apart from those of any other process of this node. */
  readonly requestBase: number
  /** How long a lease is, the same at every member; 0: there are none. */
  readonly leaseMs: number
  /** How much faster or slower than true time any member's clock may run. */
  readonly driftPerMille: number
}

/** A read of this node's own callers; one id may stand for many queries. */
export interface OwnRead {
  readonly id: number
  /** Refused when it has no index by then. */
  readonly deadline: number
}

/** The leader asks its voters whether they still follow it. */
export interface ReadRound {
  readonly number: number
  /** Announced when the round began, hence not below what was announced when its reads came. */
  readonly index: LogIndex
  own: OwnRead[]
  /** Node -> the number of its request. */
  readonly requests: Map<NodeId, number>
  readonly confirmedBy: Set<NodeId>
  sentAt: number
}

/** What this node asked the leader: a read index for these reads. */
export interface ReadRequest {
  readonly number: number
  reads: OwnRead[]
  sentAt: number
}

/** The newest leader that this node had a heartbeat from. */
export interface HeardLeader {
  ballot: Ballot
  id: NodeId | 0
  at: number
  /** What it had announced. */
  chosen: LogIndex
  /** When it last said that it is content with itself; -1: never. */
  contentAt: number
}

export interface ReadState {
  /** Without a place in a round or a request. */
  waiting: OwnRead[]
  /** Requests of other nodes that wait for a round: the last one a node. */
  requests: Map<NodeId, number>
  round: ReadRound | null
  /** Of the last round; with the ballot, which no process resumes, it is never used twice. */
  roundNumber: number
  request: ReadRequest | null
  /** By lease at another node than the leader, and not asked for yet. */
  leaseWaiting: OwnRead[]
  /** Beside `request`, so that no read by lease waits for a round. */
  leaseRequest: ReadRequest | null
  /** Of both; starts at `requestBase`: no late reply answers a request of another process. */
  requestNumber: number
  /** The own ballot that `round`, `requests` and `acceptedBy` belong to; 0: does not lead. */
  ballot: Ballot
  /** Voters that accepted the adopted log in the own ballot. */
  readonly acceptedBy: Set<NodeId>
  /** A quorum of them did, once. */
  isServed: boolean
  readonly heard: HeardLeader
  readonly lease: LeaseState
}

/** See lease.ts. Times are of this node's monotonic clock, in ms. */
export interface LeaseState {
  // What this node granted.
  holder: NodeId | 0
  /** Granted since the last tick: counts from the next one. */
  isFresh: boolean
  grantUntil: number
  /** Until then nothing is promised after a start; -1: the first tick will say. */
  startUntil: number
  // What it was granted, as the leader of `ballot`.
  ballot: Ballot
  readonly grants: Map<NodeId, number>
  /** When the rounds of the last lease length were first sent, oldest first. */
  readonly sends: { readonly round: number; readonly at: number }[]
  askedAt: number
  /** The ballot in which it was given back, for good. */
  released: Ballot
  /** What the last `lease` effect said. */
  until: number
}

const createLeaseState = (): LeaseState => ({
  holder: 0,
  isFresh: false,
  grantUntil: -1,
  startUntil: -1,
  ballot: NO_BALLOT,
  grants: new Map(),
  sends: [],
  askedAt: -Infinity,
  released: NO_BALLOT,
  until: 0,
})

export const createReadState = (requestBase: number): ReadState => ({
  waiting: [],
  requests: new Map(),
  round: null,
  roundNumber: 0,
  request: null,
  leaseWaiting: [],
  leaseRequest: null,
  requestNumber: requestBase,
  ballot: NO_BALLOT,
  acceptedBy: new Set(),
  isServed: false,
  heard: { ballot: NO_BALLOT, id: 0, at: -1, chosen: NO_INDEX, contentAt: -1 },
  lease: createLeaseState(),
})

/** Another ballot, or none: what was under way starts again, since it found no index yet. */
export function noteRole({ readState: reads, leadership }: State): void {
  const ballot = leadership?.ballot ?? NO_BALLOT
  if (ballot === reads.ballot) return
  reads.ballot = ballot
  reads.acceptedBy.clear()
  reads.isServed = false
  reads.requests.clear()
  const { round, request, leaseRequest, waiting, leaseWaiting } = reads
  reads.waiting = [
    ...(round?.own ?? []),
    ...(request?.reads ?? []),
    ...(leaseRequest?.reads ?? []),
    ...leaseWaiting,
    ...waiting,
  ]
  reads.round = null
  reads.request = null
  reads.leaseRequest = null
  reads.leaseWaiting = []
}

/** A voter holds the own log through here, durably and in the own ballot. */
export function noteAccepted(state: State, id: NodeId, through: LogIndex): void {
  noteRole(state)
  if (state.leadership === null || through < state.leadership.adopted.last) return
  state.readState.acceptedBy.add(id)
}

// ---- The quorums, in one place ---------------------------------------------------------------

/** Fewest nodes that every quorum of promises must meet: no later leader goes past them. */
export const readQuorumOf = (voters: number, promiseQuorum: number): number =>
  voters - promiseQuorum + 1

export const readQuorum = (membership: Membership): number =>
  readQuorumOf(votersOf(membership).length, membership.prepareQuorum)

/** Whether these nodes meet every quorum of promises, of both memberships while one is open. */
export const isReadQuorum = (state: State, ids: ReadonlySet<NodeId>): boolean =>
  liveMemberships(state).every((membership) => {
    const count = votersOf(membership).filter(({ id }) => ids.has(id)).length
    return count >= readQuorum(membership)
  })

/** What clients may have seen the effect of. */
export const announcedOf = (state: State): LogIndex => state.floor

/**
 * True once all that was adopted is chosen in the own ballot and announced, be it empty (R33). It
 * stays so in the ballot: a later change of the membership takes nothing back.
 */
export function serves(state: State): boolean {
  const { readState: reads } = state
  if (!isEstablished(state) || reads.ballot !== state.leadership!.ballot) return false
  reads.isServed ||= liveMemberships(state).every((membership) =>
    forms(membership, 'accept', (id) => reads.acceptedBy.has(id)),
  )
  return reads.isServed
}
