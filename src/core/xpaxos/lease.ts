/**
 * Leases (R34): for a time, voters promise nothing to others than the leader, so that it may read
 * without asking them. Off unless `leaseMs` is set. Pure; decision loop only.
 *
 *     leader             voter
 *       | --------------> |       confirm(b, round): sent at s by the leader's clock
 *       | <-------------- |       confirmed(granted): refuses other ballots for L (1 + drift),
 *       |                 |       counted from a moment behind the receipt
 *       |  valid until s + L (1 - drift), with voters - q1 + 1 grants, its own among them
 *
 * Clocks: `state.now` is that of the last tick, so it may lag behind the true time by any pause.
 * For the leader that is on the safe side: it counts from an older moment than it sent. A voter
 * must count from a newer one: a grant starts at the next tick, and holds until then anyway.
 * The leader's own `now` proves nothing when a read is asked: who reads the value looks at the
 * time again afterwards (`lease` effect). A read that finds no lease takes a round instead.
 *
 * Invariant: while a lease is valid no other node has a quorum of promises above the ballot.
 */
import { type Ballot, type NodeId, ballotOwner } from '../ids.ts'
import { isVoter, votersOf } from '../membership.ts'
import { mustGo } from './change.ts'
import { liveMemberships } from './configs.ts'
import type { Confirmed, LeaseHeld, LeaseReleased } from './messages.ts'
import { type LeaseState, readQuorum, serves } from './read-state.ts'
import { type Effects, type State, send } from './state.ts'

/**
 * 1 when a round asks for a lease as well: not any more once this ballot ordered a hand-over; nor
 * by a leader that has to go, since who grants one does not stand (R29).
 */
export const asksLease = (state: State): 0 | 1 =>
  leasesOn(state) && state.leadership?.leaseBarred === false && !mustGo(state) ? 1 : 0

export const leasesOn = ({ config }: State): boolean => config.leaseMs > 0

/** What a voter owes a grant, in its own ms; the leader counts on `usableMs`. */
const owedMs = ({ config: { leaseMs, driftPerMille } }: State): number =>
  Math.ceil((leaseMs * (1_000 + driftPerMille)) / 1_000)
const usableMs = ({ config: { leaseMs, driftPerMille } }: State): number =>
  Math.floor((leaseMs * (1_000 - driftPerMille)) / 1_000)

// ---- The voter -------------------------------------------------------------------------------

/** Ms for which this node may promise nothing to `owner`; 0: it may. */
export function heldMs(state: State, owner: NodeId): number {
  const {
    now,
    readState: { lease },
  } = state
  if (!leasesOn(state)) return 0
  // A restart forgot what was granted: nobody is promised anything before all of it is over.
  if (lease.startUntil < 0) return owedMs(state)
  const waitMs = Math.max(0, lease.startUntil - now)
  if (lease.holder === 0 || lease.holder === owner) return waitMs
  return Math.max(waitMs, lease.isFresh ? owedMs(state) : lease.grantUntil - now)
}

/**
 * True when this prepare was refused for a lease, and its sender told so. Whatever this node takes
 * itself for: it may have granted one to a leader whose membership makes it a voter.
 */
export function refusedForLease(
  state: State,
  from: NodeId,
  ballot: Ballot,
  effects: Effects,
): boolean {
  if (ballot <= state.promised) return false
  const leftMs = heldMs(state, ballotOwner(ballot))
  if (leftMs === 0) return false
  send(effects, from, { kind: 'lease-held', ballot, leftMs })
  return true
}

/** @returns 1 when the lease is granted */
export function grant(state: State, ballot: Ballot): 0 | 1 {
  if (!leasesOn(state) || ballot !== state.promised) return 0
  state.readState.lease.holder = ballotOwner(ballot)
  state.readState.lease.isFresh = true
  return 1
}

/** The holder reads by it no more, so that the node that it ordered to stand may pass (R24). */
export function onLeaseReleased(state: State, from: NodeId, { ballot }: LeaseReleased): void {
  if (state.readState.lease.holder !== from || ballotOwner(ballot) !== from) return
  if (state.promised !== ballot) return // granted again since, in another ballot
  state.readState.lease.holder = 0
  state.readState.lease.isFresh = false
}

/** A refused candidate waits for it, by one lease at most: it may be renewed for ever. */
export function onLeaseHeld(state: State, { ballot, leftMs }: LeaseHeld): void {
  const { candidacy, now } = state
  if (candidacy === null || ballot !== candidacy.ballot || leftMs === 0) return
  const latest = candidacy.startedAt + owedMs(state)
  candidacy.progressAt = Math.max(candidacy.progressAt, Math.min(now, latest))
}

// ---- The leader ------------------------------------------------------------------------------

export function tickLease(state: State, effects: Effects): void {
  if (!leasesOn(state)) return
  const {
    now,
    config,
    readState: { lease },
  } = state
  if (lease.startUntil < 0) lease.startUntil = now + owedMs(state)
  if (lease.isFresh) {
    lease.isFresh = false
    lease.grantUntil = now + owedMs(state)
  }
  while (lease.sends.length > 0 && now - lease.sends[0]!.at > config.leaseMs) lease.sends.shift()
  if (asksLease(state) === 0 || now - lease.askedAt < config.heartbeatMs) return
  lease.askedAt = now
  state.readState.roundNumber += 1
  const round = state.readState.roundNumber
  const { ballot } = state.leadership!
  noteLeaseRound(state, round)
  for (const { id, role, up } of state.peers) {
    if (up && isVoter(role)) send(effects, id, { kind: 'confirm', ballot, round, lease: 1 })
  }
}

/** A round leaves for the first time: its grants count from now, the own one with them. */
export function noteLeaseRound(state: State, round: number): void {
  const {
    leadership,
    now,
    readState: { lease },
  } = state
  if (asksLease(state) === 0 || grant(state, leadership!.ballot) === 0) return
  if (lease.ballot !== leadership!.ballot) startBallot(lease, leadership!.ballot)
  lease.sends.push({ round, at: now })
}

export function noteGrant(state: State, from: NodeId, message: Confirmed): void {
  const {
    leadership,
    readState: { lease },
  } = state
  if (message.granted !== 1 || message.ballot !== leadership?.ballot) return
  const sent = lease.sends.find(({ round }) => round === message.round)
  if (sent === undefined) return
  lease.grants.set(from, Math.max(sent.at, lease.grants.get(from) ?? -1))
}

function startBallot(lease: LeaseState, ballot: Ballot): void {
  lease.ballot = ballot
  lease.grants.clear()
  lease.sends.length = 0
}

/** After every input: says until when the lease is valid, whenever that changes; 0: it is not. */
export function pumpLease(state: State, effects: Effects): void {
  const {
    leadership,
    readState: { lease },
  } = state
  if (!leasesOn(state)) return
  const isOwn = leadership?.leaseBarred === false && leadership.ballot === lease.ballot
  const until = isOwn && serves(state) ? untilOf(state) : 0
  if (until !== lease.until) effects.push({ kind: 'lease', until })
  lease.until = until
  if (leadership?.leaseBarred === true) giveBack(state, leadership.ballot, effects)
}

/** By all live memberships: each has enough grants (R34). */
function untilOf(state: State): number {
  const {
    self,
    readState: { lease },
  } = state
  const own = lease.sends.at(-1)?.at ?? -1
  let from = Infinity
  for (const membership of liveMemberships(state)) {
    const times = votersOf(membership).map(({ id }) =>
      id === self.id ? own : (lease.grants.get(id) ?? -1),
    )
    times.sort((a, b) => b - a)
    from = Math.min(from, times[readQuorum(membership) - 1]!)
  }
  return from < 0 || own < 0 ? 0 : from + usableMs(state)
}

/** The ballot ordered a hand-over: no lease any more, and what was granted goes back (R24, R25). */
function giveBack(state: State, ballot: Ballot, effects: Effects): void {
  const {
    self,
    readState: { lease },
  } = state
  if (lease.released === ballot) return
  lease.released = ballot
  const released = { kind: 'lease-released', ballot } as const
  onLeaseReleased(state, self.id, released)
  for (const { id, role, up } of state.peers) if (up && isVoter(role)) send(effects, id, released)
}

/** The clock stood still or jumped: what was counted by it before is worth nothing. */
export function dropLease({ readState: { lease } }: State): void {
  lease.sends.length = 0
  lease.grants.clear()
}
