/**
 * What the state machine is given: chosen frames, each once, in order; from the rings while the
 * bytes are there, from the WAL after a restart or when apply lags. Pure; decision loop only.
 *
 * Invariants: applied <= applyNext - 1 <= floor; open orders hold at most APPLY_OPEN_BYTES_MAX of a
 * ring and one order more, so that a slow state machine gates no ring: the rest waits in the WAL.
 */
import { dropFirst, peekAt, pushTo, sizeOfFifo } from '../../base/fifo.ts'
import { type FrameRef, throughOf } from '../frame-ref.ts'
import type { LogIndex } from '../ids.ts'
import { dropPendingFrames } from './log.ts'
import { keepsState } from '../membership.ts'
import { type Effects, type State, FRAMES_MAX, event, read } from './state.ts'
import { feeds } from './stream.ts'
import { type Mark, dropFrames, firstKept, forget, gather } from './tail.ts'

const APPLY_OPEN_BYTES_MAX = 2 ** 23
const APPLY_OPEN_ORDERS_MAX = 256
const APPLY_ORDER_BYTES_MAX = 2 ** 20
const MARKS_KEPT = 1_024

export function applyChosen(state: State, effects: Effects): void {
  if (!keepsState(state.self.role)) return
  while (!state.applyReading && state.applyNext <= state.floor) {
    if (isFarAhead(state)) return
    const frames = gather(state.tail, state.applyNext, state.floor, {
      sizeBytesMax: APPLY_ORDER_BYTES_MAX,
      entriesMax: Number.MAX_SAFE_INTEGER,
      framesMax: FRAMES_MAX,
    })
    if (frames.length > 0) orderApply(state, effects, frames)
    else {
      state.applyReading = true
      const { applyNext: from, floor: through } = state
      const sizeBytesMax = state.config.batchBytesMax
      read(state, effects, { kind: 'apply' }, { from, through, sizeBytesMax })
    }
  }
}

const isFarAhead = ({ applyOpen, applyOpenBytes }: State): boolean =>
  sizeOfFifo(applyOpen) >= APPLY_OPEN_ORDERS_MAX || applyOpenBytes >= APPLY_OPEN_BYTES_MAX

function orderApply(state: State, effects: Effects, frames: readonly FrameRef[]): void {
  const through = throughOf(frames.at(-1)!)
  const sizeBytes = frames.reduce((sum, frame) => sum + frame.sizeBytes, 0)
  effects.push({ kind: 'apply', first: state.applyNext, frames })
  state.applyNext = (through + 1) as LogIndex
  pushTo(state.applyOpen, { through, sizeBytes })
  state.applyOpenBytes += sizeBytes
}

export function onApplied(state: State, through: LogIndex): void {
  state.applied = through
  for (let open = peekAt(state.applyOpen); open !== undefined; open = peekAt(state.applyOpen)) {
    if (open.through > through) return
    state.applyOpenBytes -= open.sizeBytes
    dropFirst(state.applyOpen, 1)
  }
}

export function onApplyRead(state: State, frames: readonly FrameRef[], effects: Effects): void {
  // Trimmed: only a snapshot can help this state machine, and asking again does not.
  if (frames.length === 0) return event(effects, 'behind-trim', state.self.id)
  state.applyReading = false
  if (!keepsState(state.self.role)) return // became a Logger meanwhile
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
    // A learner whose source is back is fed by that: its stream from here stands still.
    const isFed = peer.up && peer.phase === 'streaming' && feeds(state, peer)
    if (!isFed || peer.next < kept) continue
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
