/**
 * Whether a leader takes proposals: not while it hands leadership over (R24), and not while the log
 * of a Logger is full that must not be trimmed (R32, open choice 1). Pure; decision loop only.
 *
 * Invariant: ingest was last told what `closedFor` says.
 */
import type { AdmitReason } from '../engine.ts'
import type { NodeId } from '../ids.ts'
import { type Effects, type State, event } from './state.ts'

export function reviewAdmission(state: State, effects: Effects): void {
  const leadership = state.leadership!
  const { closedFor } = leadership
  const full = fullMember(state)
  const reason = leadership.transfer !== null ? 'transfer' : full !== 0 ? 'log-full' : null
  if (reason === closedFor) return
  leadership.closedFor = reason
  if (wasFull(reason) !== wasFull(closedFor)) event(effects, 'log-full', full)
  effects.push({ kind: 'admit', open: reason === null, reason })
}

const wasFull = (reason: AdmitReason | null): boolean => reason === 'log-full'

/** One that is silent takes nothing anyhow, and the others have to do without it. */
function fullMember({ peers, now, config }: State): NodeId | 0 {
  const since = now - config.electionTimeoutMs
  return peers.find(({ isFull, replyAt }) => isFull && replyAt >= since)?.id ?? 0
}
