/**
 * The leader's side of a membership change: one at a time, a config batch that is the last entry of
 * the log until it is chosen by the membership before it, then a batch under the new one (R26).
 * Pure; decision loop only.
 *
 * Invariant: while `leadership.change` is set no other change starts, and nothing is ordered behind
 * its config batch before that is chosen (leader.ts).
 */
import type { ChangeOutcome } from '../engine.ts'
import type { LogIndex } from '../ids.ts'
import {
  type Change,
  type Membership,
  changed,
  isElectable,
  isVoter,
  keepsState,
  memberOf,
} from '../membership.ts'
import { newestConfig, openConfig } from './configs.ts'
import { type Effects, type Leadership, type State, peerOf } from './state.ts'

export function onChangeAsked(state: State, id: number, change: Change, effects: Effects): void {
  const outcome = tryChange(state, id, change, effects)
  if (outcome !== null) effects.push({ kind: 'changed', id, outcome })
}

/** Null when the change is on its way. */
function tryChange(
  state: State,
  id: number,
  change: Change,
  effects: Effects,
): ChangeOutcome | null {
  const { leadership } = state
  if (leadership === null) return 'not-leader'
  if (leadership.change !== null || openConfig(state) !== null) return 'conflict'
  if (!mayChange(state) || leadership.transfer !== null) return 'not-ready'
  const before = newestConfig(state).membership
  const result = changed(before, change)
  if ('problem' in result) return 'invalid'
  if (change.kind === 'role' && !mayBecome(state, before, change)) return 'lagging'
  if (!hasSuccessor(state, result.membership)) return 'lagging'
  configure(state, effects, result.membership, id)
  return null
}

/**
 * Somebody can lead afterwards and knows it: this node, or a ready one whose log has all changes so
 * far. Else a leader that takes itself out could leave only nodes that believe they may not stand.
 */
function hasSuccessor(state: State, { members }: Membership): boolean {
  const known = newestConfig(state).index
  return members.some((member) => {
    if (!isElectable(member)) return false
    if (member.id === state.self.id) return true
    const peer = peerOf(state, member.id)
    return peer !== undefined && peer.readySince >= 0 && peer.matched >= known
  })
}

/**
 * A learner votes only when it has caught up (X-Paxos' promote guard). A Logger that has trimmed
 * its log, or has not said that it did not, gets no state machine: only a snapshot could fill it.
 */
function mayBecome(state: State, before: Membership, change: Change & { readonly kind: 'role' }) {
  const was = memberOf(before, change.id)?.role
  const peer = peerOf(state, change.id)
  if (was === 'logger' && keepsState(change.role)) return peer?.firstRetained === 1
  return was !== 'learner' || !isVoter(change.role) || (peer?.readySince ?? -1) >= 0
}

/** Everything adopted is chosen in the own ballot and announced: reads may begin (R33). */
export const isEstablished = ({ leadership, floor }: State): boolean =>
  leadership !== null && floor >= leadership.adopted.last

/**
 * Everything adopted is chosen in the own ballot, though it was known chosen before: changes may
 * begin (R26). Announced or not: else nobody could degrade a silent forced member that withholds
 * what was adopted.
 */
export const mayChange = ({ leadership }: State): boolean =>
  leadership !== null && leadership.quorumThrough >= leadership.adopted.last

/** Proposes a membership; `asked` 0: this leader's own doing. */
export function configure(
  state: State,
  effects: Effects,
  membership: Membership,
  asked: number,
): void {
  const { ballot } = state.leadership!
  state.leadership!.change = { id: asked, index: 0 as LogIndex, startedAt: state.now }
  effects.push({ kind: 'configure', ballot, membership })
}

/** A leader that adopted a trailing config batch concludes that change with an empty batch. */
export function concludeAdopted(state: State, effects: Effects): void {
  const open = openConfig(state)
  if (open === null) return
  const { ballot } = state.leadership!
  state.leadership!.change = { id: 0, index: open.index as LogIndex, startedAt: state.now }
  effects.push({ kind: 'configure', ballot, membership: null })
}

export function noteOrdered(state: State, index: LogIndex): void {
  const { change } = state.leadership!
  if (change !== null) change.index = index
}

/** What a quorum holds behind the config batch proves the change, announced or not (R26). */
export function noteProven(state: State, leadership: Leadership, effects: Effects): void {
  const { change, quorumThrough } = leadership
  if (change === null || change.index === 0 || quorumThrough <= change.index) return
  endChange(state, effects, 'done')
}

export function endChange(state: State, effects: Effects, outcome: 'done' | 'unknown'): void {
  const { leadership } = state
  if (leadership === null || leadership.change === null) return
  const { id } = leadership.change
  leadership.change = null
  if (id !== 0) effects.push({ kind: 'changed', id, outcome })
}

/** A learner that is to vote does so once it has been caught up for an election timeout. */
export function promoteReady(state: State, effects: Effects): void {
  const { membership } = newestConfig(state)
  for (const { id, promote } of membership.members) {
    if (promote === undefined) continue
    const { readySince = -1 } = peerOf(state, id) ?? {}
    if (readySince < 0 || state.now - readySince < state.config.electionTimeoutMs) continue
    const result = changed(membership, { kind: 'role', id, role: promote })
    if ('membership' in result) return configure(state, effects, result.membership, 0)
  }
}

/** A leader that is no electable member of the newest membership has to go (R29). */
export function mustGo(state: State): boolean {
  const member = memberOf(newestConfig(state).membership, state.self.id)
  return member === undefined || !isElectable(member)
}
