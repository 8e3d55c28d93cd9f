/**
 * One other member as a node sees it: what it answered, and the stream of log to it. Plain data,
 * changed by the decision loop only; configs.ts makes and drops them as members come and go.
 */
import type { Member, MemberRole } from '../engine.ts'
import { type Ballot, type LogIndex, NO_BALLOT, NO_INDEX, type NodeId } from '../ids.ts'
import { isElectable } from '../membership.ts'
import type { State } from './state.ts'

export type StreamPhase = 'idle' | 'streaming' | 'behind-trim'

/** One other member, seen from here. */
export interface Peer {
  readonly id: NodeId
  role: MemberRole
  electable: boolean
  /** Of a learner: who feeds it; 0: the leader. */
  source: NodeId | 0
  up: boolean
  /** When it last answered a heartbeat, or its link came up. */
  heardAt: number
  // Election.
  replyAt: number
  replyContent: boolean
  replyPromised: Ballot
  replyConnected: boolean
  // Its log, by its last answer; 0: none came yet.
  firstRetained: LogIndex
  isFull: boolean
  // Stream of accepts (to voters) or learns (to learners) in this node's ballot.
  phase: StreamPhase
  mustSync: boolean
  attempt: number
  syncPoint: LogIndex
  /** Where its accept-sync ends: the adopted last, or beyond it what a learner had learnt. */
  syncThrough: LogIndex
  next: LogIndex
  matched: LogIndex
  chosenSent: LogIndex
  inflightBytes: number
  readonly inflight: { readonly through: LogIndex; readonly sizeBytes: number }[]
  reading: number
  progressAt: number
  /** Since when it has been caught up, heard and following without a gap; -1: it is not. */
  readySince: number
  /** A learner whose source is silent: this leader feeds it. */
  fedHere: boolean
}

export function createPeer(member: Member, up: boolean, now: number): Peer {
  return {
    id: member.id,
    role: member.role,
    electable: isElectable(member),
    source: member.source ?? 0,
    up,
    heardAt: now,
    replyAt: -1,
    replyContent: false,
    replyPromised: NO_BALLOT,
    replyConnected: false,
    firstRetained: NO_INDEX,
    isFull: false,
    phase: 'idle',
    mustSync: false,
    attempt: 0,
    syncPoint: NO_INDEX,
    syncThrough: NO_INDEX,
    next: 1 as LogIndex,
    matched: NO_INDEX,
    chosenSent: NO_INDEX,
    inflightBytes: 0,
    inflight: [],
    reading: 0,
    progressAt: now,
    readySince: -1,
    fedHere: false,
  }
}

/** It has answered nothing for an election timeout, whatever its link says. */
export const isSilent = ({ now, config }: State, { heardAt }: Peer): boolean =>
  now - heardAt > config.electionTimeoutMs
