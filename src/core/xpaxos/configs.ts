/**
 * The memberships in a node's log and what follows from them: whom it talks to, its own role, which
 * quorums count. Pure; decision loop only.
 *
 * Rules: index i is governed by the last config batch below i in the log at hand (R27); a config
 * batch with anything behind it is proven chosen, only a trailing one above the floor is open;
 * while one is open the membership before it counts too (R28), and whoever votes in either is a
 * voter.
 * `configs[0]` is the newest at or below the floor; at index 0: what the node was started with.
 */
import type { Member, MemberRole } from '../engine.ts'
import type { FrameRef } from '../frame-ref.ts'
import { type LogIndex, NO_INDEX, type NodeId } from '../ids.ts'
import {
  type ConfigAt,
  type Membership,
  isElectable,
  isVoter,
  keepsState,
  memberOf,
} from '../membership.ts'
import { type Peer, createPeer } from './peer.ts'
import type { State } from './state.ts'
import { resetStream } from './stream.ts'
import { lastOf } from './tail.ts'

export const newestConfig = (state: State): ConfigAt => state.configs.at(-1)!

/** The newest membership of the log through an index at or above the floor. */
export function configAt(state: State, through: LogIndex): ConfigAt {
  return state.configs.findLast(({ index }) => index <= through) ?? state.configs[0]!
}

/** The newest membership that this node knows to be chosen. */
export const chosenConfig = (state: State): ConfigAt => configAt(state, state.floor)

/**
 * A trailing config batch that is not known chosen; null: none is open. Its leader knows what a
 * quorum holds, though a forced member keeps it from announcing that.
 */
export function openConfig(state: State): ConfigAt | null {
  const newest = newestConfig(state)
  const isTrailing = newest.index === lastOf(state.tail)
  const known = Math.max(state.floor, state.leadership?.quorumThrough ?? NO_INDEX)
  return isTrailing && newest.index > known ? newest : null
}

/** The memberships whose members count now: the newest, and the one before it while it is open. */
export function liveMemberships(state: State): readonly Membership[] {
  const { configs } = state
  const newest = configs.at(-1)!.membership
  return openConfig(state) === null ? [newest] : [configs.at(-2)!.membership, newest]
}

/** What governs the index behind the floor: what the next chosen index is counted by. */
export function governing(state: State): Membership {
  return liveMemberships(state)[0]!
}

/** True when the nodes that satisfy `has`, this one too, form the quorum of a membership. */
export function forms(
  membership: Membership,
  quorum: 'prepare' | 'accept',
  has: (id: NodeId) => boolean,
): boolean {
  const size = quorum === 'prepare' ? membership.prepareQuorum : membership.acceptQuorum
  let count = 0
  for (const { id, role } of membership.members) if (isVoter(role) && has(id)) count += 1
  return count >= size
}

/**
 * Configs of frames that join the log, in order.
 * @returns whether there was one
 */
export function noteConfigs(configs: ConfigAt[], frames: readonly FrameRef[]): boolean {
  let found = false
  for (const { config, first } of frames) {
    if (config === undefined) continue
    configs.push({ index: first, membership: config })
    found = true
  }
  return found
}

/** Forgets the configs of a suffix that is cut; the first one, below the floor, always stays. */
export function cutConfigs(configs: ConfigAt[], behind: LogIndex): void {
  while (configs.at(-1)!.index > behind) configs.pop()
}

/** The highest config index of a log of this length that has an entry behind it: chosen (R27). */
export function provenConfig(configs: readonly ConfigAt[], last: LogIndex): LogIndex {
  return (configs.findLast(({ index }) => index < last)?.index ?? NO_INDEX) as LogIndex
}

/** Removed for good: a chosen membership no longer has an id that it knows was used (R30). */
export function isRemoved(state: State, id: NodeId): boolean {
  const { index, membership } = chosenConfig(state)
  if (index === 0) return false
  return memberOf(membership, id) === undefined && id <= membership.highestId
}

/**
 * By the newest membership or by the newest that is chosen: a voter that is to be a Logger may yet
 * have to build its state again, and one that was a Logger is to begin.
 */
export function mayKeepState(state: State): boolean {
  const roleIn = ({ membership }: ConfigAt): MemberRole =>
    memberOf(membership, state.self.id)?.role ?? 'learner'
  return keepsState(roleIn(newestConfig(state))) || keepsState(roleIn(chosenConfig(state)))
}

/**
 * Peers and own role follow the live memberships. Call after configs or the floor changed. What
 * the floor has passed governs nothing any more: of that only the newest config is kept.
 */
export function refreshPeers(state: State): void {
  const { configs } = state
  while (configs.length > 1 && configs[1]!.index <= state.floor) configs.shift()
  const live = liveMemberships(state)
  state.refreshedFor = newestConfig(state)
  state.refreshedOpen = live.length > 1
  const { self, peers } = state
  const members = new Map<NodeId, Member>()
  for (const { members: all } of live) {
    for (const member of all) {
      const before = members.get(member.id)
      members.set(member.id, before === undefined ? member : mergeMembers(before, member))
    }
  }
  state.self = members.get(self.id) ?? { ...self, weight: 0 } // removed: never stands
  members.delete(self.id)
  for (let i = peers.length - 1; i >= 0; i--) if (!members.has(peers[i]!.id)) peers.splice(i, 1)
  for (const member of members.values()) {
    const peer = peers.find(({ id }) => id === member.id)
    if (peer === undefined) peers.push(createPeer(member, state.linksUp.has(member.id), state.now))
    else follow(state, peer, member)
  }
  peers.sort((a, b) => a.id - b.id)
}

/**
 * What a learner holds is no vote, and its stream is another: who changes sides starts anew. Who
 * gets another source is fed by that one from now on: nothing is kept here for it.
 */
function follow(state: State, peer: Peer, member: Member): void {
  const changesSides = isVoter(peer.role) !== isVoter(member.role)
  const source = member.source ?? 0
  const changesSource = peer.source !== source
  peer.role = member.role
  peer.electable = isElectable(member)
  peer.source = source
  if (changesSides) peer.matched = NO_INDEX
  if (changesSource) peer.fedHere = false
  if (changesSides || changesSource) resetStream(state, peer)
}

/** While a change is open: the newer settings, but whoever votes in either is a voter. */
function mergeMembers(before: Member, after: Member): Member {
  if (isVoter(after.role) || !isVoter(before.role)) return after
  return { ...after, role: before.role }
}

/** True when `refreshPeers` would change something: cheap enough for every step. */
export function peersAreStale(state: State): boolean {
  const isOpen = openConfig(state) !== null
  return state.refreshedFor !== newestConfig(state) || state.refreshedOpen !== isOpen
}
