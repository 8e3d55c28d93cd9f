/**
 * Strategised majority: nothing is announced that an armed forced member does not hold (R21), and a
 * member that holds everything up is taken out of the rule, and put back when it has caught up, by
 * a config batch that everybody sees (R22). Pure; decision loop only.
 *
 * The gate lowers only what the leader announces, which is always safe: the floor is a bound from
 * below. Where a change of membership is open when the member falls silent, that one batch is
 * announced by the quorum alone, since nothing may go behind it; the degrading batch follows.
 */
import type { LogIndex, NodeId } from '../ids.ts'
import { type Membership, changed } from '../membership.ts'
import { configure } from './change.ts'
import { liveMemberships, newestConfig, openConfig } from './configs.ts'
import { matchedOf } from './leader.ts'
import { type Effects, type Leadership, type State, event, peerOf } from './state.ts'

const DEGRADE_TIMEOUTS = 2

/** What of `chosen` may be announced; notes since when something is held back. */
export function withheld(state: State, leadership: Leadership, chosen: LogIndex): LogIndex {
  if (chosen <= state.floor) return chosen
  let bound: number = chosen
  for (const id of gating(state)) bound = Math.min(bound, matchedOf(state, id))
  if (bound === chosen) leadership.withheldSince = -1
  else if (bound > state.floor || leadership.withheldSince < 0) leadership.withheldSince = state.now
  else if (openConfig(state) !== null && isOverdue(state, leadership)) return chosen
  return bound as LogIndex
}

const isOverdue = (state: State, { withheldSince }: Leadership): boolean =>
  withheldSince >= 0 &&
  state.now - withheldSince > DEGRADE_TIMEOUTS * state.config.electionTimeoutMs

/** Armed in every live membership: a batch that arms or degrades needs no word of the member. */
function gating(state: State): NodeId[] {
  const [first, ...rest] = liveMemberships(state).map(armedOf)
  return first!.filter((id) => rest.every((ids) => ids.includes(id)))
}

const armedOf = ({ members }: Membership): NodeId[] =>
  members.filter(({ forced }) => forced === 'armed').map(({ id }) => id)

/** Degrades whoever holds everything up for too long, else arms whoever is back. */
export function tendForced(state: State, effects: Effects): void {
  const leadership = state.leadership!
  const { membership } = newestConfig(state)
  const late = isOverdue(state, leadership)
    ? armedOf(membership).filter((id) => matchedOf(state, id) <= state.floor)
    : []
  const back = late.length > 0 ? [] : backOf(state, membership)
  const forced = late.length > 0 ? 'degraded' : 'armed'
  let next = membership
  for (const id of [...late, ...back]) {
    const result = changed(next, { kind: 'set', id, forced })
    if ('membership' in result) next = result.membership
    event(effects, forced === 'armed' ? 'forced-armed' : 'forced-degraded', id)
  }
  if (next !== membership) configure(state, effects, next, 0)
}

/** Degraded members that have held all that is announced for an election timeout (R22). */
function backOf(state: State, { members }: Membership): NodeId[] {
  const degraded = members.filter(({ forced }) => forced === 'degraded').map(({ id }) => id)
  return degraded.filter((id) => {
    if (id === state.self.id) return true
    const { readySince = -1 } = peerOf(state, id) ?? {}
    return readySince >= 0 && state.now - readySince > state.config.electionTimeoutMs
  })
}
