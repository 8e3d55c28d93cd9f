/**
 * Strategised majority: nothing is announced that an armed forced member does not hold (R21), and a
 * member that holds everything up is taken out of the rule, and put back when it has caught up, by
 * a config batch that everybody sees (R22). Pure; decision loop only.
 *
 * The gate lowers only what the leader announces, which is always safe: the floor is a bound from
 * below. Who is armed at an index says the log: the last config batch at or below it, and only once
 * that is chosen. A leader that merely ordered a degrading batch may die with it, and the next one
 * would take the member for armed, and for a holder of all that was announced.
 */
import type { LogIndex, NodeId } from '../ids.ts'
import { type Membership, changed } from '../membership.ts'
import { configure } from './change.ts'
import { newestConfig } from './configs.ts'
import { matchedOf } from './leader.ts'
import { type Effects, type Leadership, type State, event, peerOf } from './state.ts'

const DEGRADE_TIMEOUTS = 2

/** What of `chosen` may be announced; notes since when something is held back. */
export function withheld(state: State, leadership: Leadership, chosen: LogIndex): LogIndex {
  if (chosen <= state.floor) return chosen
  const bound = announceable(state, chosen)
  if (bound === chosen) leadership.withheldSince = -1
  else if (bound > state.floor || leadership.withheldSince < 0) leadership.withheldSince = state.now
  return bound
}

const isOverdue = (state: State, { withheldSince }: Leadership): boolean =>
  withheldSince >= 0 &&
  state.now - withheldSince > DEGRADE_TIMEOUTS * state.config.electionTimeoutMs

/**
 * The greatest index up to `chosen` that all hold who are armed there. A batch that takes a member
 * out of the rule announces everything before it; one that puts it back waits for it, so that who
 * is armed by what is announced holds all of that.
 */
function announceable(state: State, chosen: LogIndex): LogIndex {
  let through: number = chosen
  for (let i = state.configs.length - 1; i >= 0; i--) {
    const { index, membership } = state.configs[i]!
    if (index > through) continue
    const held = heldByAll(state, armedOf(membership))
    if (held >= index || index <= state.floor) return Math.min(through, held) as LogIndex
    through = index - 1
  }
  return through as LogIndex
}

const heldByAll = (state: State, ids: readonly NodeId[]): number =>
  ids.reduce((least, id) => Math.min(least, matchedOf(state, id)), Infinity)

const armedOf = ({ members }: Membership): NodeId[] =>
  members.filter(({ forced }) => forced === 'armed').map(({ id }) => id)

/** Degrades whoever holds everything up for too long, else arms whoever is back. */
export function tendForced(state: State, effects: Effects): void {
  const leadership = state.leadership!
  const { index, membership } = newestConfig(state)
  const holdsBack = (id: NodeId): boolean => matchedOf(state, id) < Math.max(state.floor + 1, index)
  const late = isOverdue(state, leadership) ? armedOf(membership).filter(holdsBack) : []
  const back = late.length > 0 ? [] : backOf(state, membership)
  const forced = late.length > 0 ? 'degraded' : 'armed'
  let next = membership
  for (const id of [...late, ...back]) {
    const result = changed(next, { kind: 'set', id, forced })
    if ('membership' in result) next = result.membership
    event(effects, forced === 'armed' ? 'forced-armed' : 'forced-degraded', id)
  }
  if (next === membership) return
  // Who lacks this very batch holds back what it frees, and has as long to catch up.
  if (late.length > 0) leadership.withheldSince = state.now
  configure(state, effects, next, 0)
}

/** Degraded members that have held all that is announced for an election timeout (R22). */
function backOf(state: State, { members }: Membership): NodeId[] {
  const degraded = members.filter(({ forced }) => forced === 'degraded').map(({ id }) => id)
  return degraded.filter((id) => {
    if (id === state.self.id) return matchedOf(state, id) >= state.floor
    const { readySince = -1 } = peerOf(state, id) ?? {}
    return readySince >= 0 && state.now - readySince > state.config.electionTimeoutMs
  })
}
