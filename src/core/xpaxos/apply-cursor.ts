/**
 * What the state machine is given: chosen frames, each once, in order; from the rings while the
 * bytes are there, from the WAL after a restart or when apply lags. Pure; decision loop only.
 *
 * Invariants: applied <= applyNext - 1 <= floor; at most `APPLY_ORDERS_MAX` orders are open.
 */
import { type FrameRef, throughOf } from '../frame-ref.ts'
import type { LogIndex } from '../ids.ts'
import { dropPendingFrames } from './log.ts'
import { type Effects, type State, FRAMES_MAX, keepsState, read } from './state.ts'
import { type Mark, dropFrames, firstKept, forget, gather } from './tail.ts'

const APPLY_ENTRIES_AHEAD_MAX = 2 ** 22
const MARKS_KEPT = 1_024

export function applyChosen(state: State, effects: Effects): void {
  if (!keepsState(state.self.role)) return
  while (!state.applyReading && state.applyNext <= state.floor) {
    if (state.applyNext - state.applied > APPLY_ENTRIES_AHEAD_MAX) return
    const frames = gather(state.tail, state.applyNext, state.floor, {
      sizeBytesMax: 2 ** 22,
      entriesMax: Number.MAX_SAFE_INTEGER,
      framesMax: FRAMES_MAX,
    })
    if (frames.length > 0) orderApply(state, effects, frames)
    else {
      state.applyReading = true
      read(state, effects, { kind: 'apply' }, { from: state.applyNext, through: state.floor })
    }
  }
}

function orderApply(state: State, effects: Effects, frames: readonly FrameRef[]): void {
  effects.push({ kind: 'apply', first: state.applyNext, frames })
  state.applyNext = (throughOf(frames.at(-1)!) + 1) as LogIndex
}

export function onApplyRead(state: State, frames: readonly FrameRef[], effects: Effects): void {
  state.applyReading = false
  if (frames[0]?.first === state.applyNext) orderApply(state, effects, frames)
}

/** Lets go of the bytes that nobody needs: durable, handed to apply, sent to whoever keeps up. */
export function tidyTail(state: State): void {
  const needed = neededFrom(state)
  dropFrames(state.tail, (mark) => mark.lsn <= state.durableLsn && mark.through < needed)
  forget(state.tail, state.floor, MARKS_KEPT)
}

/**
 * First index that apply or a peer in good standing has still to be given from the rings. Who is
 * behind them already reads the WAL, and keeps nothing here.
 */
function neededFrom(state: State): LogIndex {
  const kept = firstKept(state.tail)
  let needed: number = state.floor + 1
  if (keepsState(state.self.role) && state.applyNext >= kept) needed = state.applyNext
  if (state.leadership === null) return needed as LogIndex
  for (const peer of state.peers) {
    if (!peer.up || peer.phase !== 'streaming' || peer.next < kept) continue
    needed = Math.min(needed, peer.next)
  }
  return needed as LogIndex
}

/** A ring is nearly full: its durable frames go, whoever still wanted them reads the WAL. */
export function onPressure(state: State, ring: number): void {
  const free = (mark: Mark): boolean =>
    mark.lsn <= state.durableLsn && mark.frame !== null && mark.frame.ring === ring
  dropFrames(state.tail, free)
  dropPendingFrames(state, free)
}
