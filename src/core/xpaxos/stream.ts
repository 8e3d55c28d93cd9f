/**
 * The stream of one leader to one peer: accept-sync up to the adopted last, then pipelined accepts;
 * learns to a learner, chosen entries only (R31). From the rings while the bytes are there, from
 * the WAL when the peer lags behind them. Pure; decision loop only.
 *
 * Invariants: a stream is sent in index order, `next` = first index not yet sent; at most
 * `windowBytes` and `pipelineDepth` messages are unanswered; one WAL read at a time.
 */
import { type FrameRef, sizeOf, throughOf } from '../frame-ref.ts'
import type { LogIndex } from '../ids.ts'
import { isVoter } from '../membership.ts'
import { chosenConfig } from './configs.ts'
import type { XPaxosMessage } from './messages.ts'
import {
  type Effects,
  type Peer,
  type State,
  FRAMES_MAX,
  NO_FRAMES,
  event,
  read,
  send,
} from './state.ts'
import { chainAt, gather, lastOf } from './tail.ts'

/** Forgets what was sent; answers to it, and a read that is out, are known by their attempt. */
export function resetStream(state: State, peer: Peer): void {
  peer.phase = 'idle'
  peer.attempt += 1
  peer.mustSync = false
  peer.chosenSent = 0 as LogIndex
  peer.inflight.length = 0
  peer.inflightBytes = 0
  peer.progressAt = state.now
}

/** A learner's stream starts behind what it holds: nothing there is ever cut (R31). */
export function startLearner(state: State, peer: Peer, last: LogIndex): void {
  resetStream(state, peer)
  peer.phase = 'streaming'
  peer.matched = last
  peer.next = (last + 1) as LogIndex
}

/**
 * Whose log this node is the source of: as the leader of every voter and of the learners that have
 * no other source or a silent one, else of the learners that name this node (R31).
 */
export function feeds({ self, leadership }: State, peer: Peer): boolean {
  if (peer.source === self.id) return true
  if (leadership === null) return false
  return isVoter(peer.role) || peer.source === 0 || peer.fedHere
}

/** Sends as much as the window takes. */
export function stream(state: State, peer: Peer, effects: Effects): void {
  const { config } = state
  if (!peer.up) return
  while (isOpen(peer) && peer.inflight.length < config.pipelineDepth) {
    const through = streamEnd(state, peer)
    if (peer.mustSync && peer.next > peer.syncThrough) {
      sendFrames(state, peer, NO_FRAMES, effects) // an accept-sync of no frames commits at once
      continue
    }
    if (peer.next > through || peer.inflightBytes >= config.windowBytes) return
    const frames = gather(state.tail, peer.next, through, {
      sizeBytesMax: config.batchBytesMax,
      entriesMax: config.batchEntriesMax,
      framesMax: FRAMES_MAX,
    })
    if (frames.length > 0) sendFrames(state, peer, frames, effects)
    else readFor(state, peer, through, effects)
  }
}

/** It may have turned out meanwhile that the log here does not reach back so far. */
const isOpen = ({ phase, reading }: Peer): boolean => phase === 'streaming' && reading === 0

function streamEnd(state: State, peer: Peer): LogIndex {
  if (!isVoter(peer.role)) return state.floor
  return peer.mustSync ? peer.syncThrough : lastOf(state.tail)
}

function readFor(state: State, peer: Peer, through: LogIndex, effects: Effects): void {
  if (peer.next < state.firstRetained) {
    peer.phase = 'behind-trim'
    return event(effects, 'behind-trim', peer.id)
  }
  const purpose = { kind: 'stream', peer: peer.id, attempt: peer.attempt } as const
  const sizeBytesMax = state.config.catchUpBytesMax
  peer.reading = read(state, effects, purpose, { from: peer.next, through, sizeBytesMax })
}

/** A WAL read for this peer came back. */
export function onStreamRead(
  state: State,
  peer: Peer,
  frames: readonly FrameRef[],
  effects: Effects,
): void {
  if (peer.phase !== 'streaming') return
  const first = frames[0]?.first
  if (first === undefined) {
    peer.phase = 'behind-trim'
    return event(effects, 'behind-trim', peer.id)
  }
  if (first === peer.next) sendFrames(state, peer, frames, effects)
}

function sendFrames(state: State, peer: Peer, frames: readonly FrameRef[], effects: Effects): void {
  const prev = (peer.next - 1) as LogIndex
  const through = frames.length === 0 ? prev : throughOf(frames.at(-1)!)
  const sizeBytes = sizeOf(frames)
  send(effects, peer.id, messageFor(state, peer, { prev, through }), frames)
  peer.next = (through + 1) as LogIndex
  peer.chosenSent = state.floor
  if (peer.mustSync && through === peer.syncThrough) peer.mustSync = false
  if (peer.inflight.length === 0) peer.progressAt = state.now
  peer.inflight.push({ through, sizeBytes })
  peer.inflightBytes += sizeBytes
}

function messageFor(
  state: State,
  peer: Peer,
  range: { readonly prev: LogIndex; readonly through: LogIndex },
): XPaxosMessage {
  const { attempt, syncPoint } = peer
  const { prev, through } = range
  if (!isVoter(peer.role)) {
    const config = chosenConfig(state).index as LogIndex
    return { kind: 'learn', attempt, prev, prevChain: chainAt(state.tail, prev), through, config }
  }
  const { ballot } = state.leadership!
  const { floor: chosen, floorChain: chosenChain } = state
  if (!peer.mustSync) return { kind: 'accept', ballot, attempt, prev, through, chosen, chosenChain }
  const syncChain = chainAt(state.tail, syncPoint)
  const adoptedLast = peer.syncThrough
  return {
    kind: 'accept-sync',
    ballot,
    attempt,
    syncPoint,
    syncChain,
    adoptedLast,
    prev,
    through,
    chosen,
    chosenChain,
  }
}

/** Tells the chosen index alone: nothing in flight will bring it, or not soon enough. */
export function sendChosen(state: State, peer: Peer, effects: Effects): void {
  const { leadership, floor: chosen, floorChain: chosenChain } = state
  if (leadership === null || !peer.up || peer.phase !== 'streaming') return
  if (!isVoter(peer.role) || peer.chosenSent >= chosen) return
  peer.chosenSent = chosen
  send(effects, peer.id, { kind: 'chosen', ballot: leadership.ballot, chosen, chosenChain })
}
