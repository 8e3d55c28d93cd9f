/**
 * Learner: takes chosen entries in order, never votes, never cuts (R31). What it holds is chosen,
 * so its floor is its last index. Pure; decision loop only.
 */
import type { FrameRef } from '../frame-ref.ts'
import type { NodeId } from '../ids.ts'
import { NO_BALLOT } from '../ids.ts'
import { appendEntries } from './log.ts'
import type { Learn, Learned } from './messages.ts'
import {
  type Effects,
  type State,
  event,
  isVoter,
  peerOf,
  raiseFloor,
  replyDurably,
  send,
} from './state.ts'
import { lastChainOf, lastOf } from './tail.ts'

export function onLearn(
  state: State,
  from: NodeId,
  message: Learn,
  frames: readonly FrameRef[],
  effects: Effects,
): void {
  const { attempt, prev, prevChain } = message
  const last = lastOf(state.tail)
  if (isVoter(state.self.role)) return
  if (prev !== last || frames.length === 0) {
    const { promised } = state
    return send(effects, from, { kind: 'reject', ballot: NO_BALLOT, attempt, promised, last })
  }
  if (prevChain >= 0 && prevChain !== lastChainOf(state.tail)) {
    return event(effects, 'chain-mismatch', last)
  }
  appendEntries(state, effects, NO_BALLOT, frames)
  state.acceptedBatches += 1
  raiseFloor(state, effects, lastOf(state.tail))
  replyDurably(state, from, { kind: 'learned', attempt, through: lastOf(state.tail) })
}

/** The leader's side: frees window space. */
export function onLearned(state: State, from: NodeId, message: Learned): void {
  const peer = peerOf(state, from)
  if (state.leadership === null || peer === undefined || isVoter(peer.role)) return
  if (message.attempt !== peer.attempt) return
  while (peer.inflight.length > 0 && peer.inflight[0]!.through <= message.through) {
    peer.inflightBytes -= peer.inflight.shift()!.sizeBytes
  }
  peer.matched = message.through
  peer.progressAt = state.now
}
