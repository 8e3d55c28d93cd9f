/**
 * Learner: which instances are chosen, with which value; in order to the state machine; and to
 * whoever asks. Every member runs it, also Loggers (which apply nothing).
 *
 * Knowing a value: a node that accepted in ballot a knows the value chosen in any ballot b <= a,
 * since every accept at or above b carries it. Otherwise it has to be told (`basic-learned`).
 * Once an instance is known to be chosen, its acceptor here answers with the value and accepts
 * nothing more, so the last frame on the disk stays the chosen one.
 */
import { assert } from '../../base/assert.ts'
import { type FrameRef, chainOf } from '../frame-ref.ts'
import { type Ballot, type LogIndex, NO_BALLOT, NO_INDEX } from '../ids.ts'
import type { BasicChosen, BasicLearned } from './messages.ts'
import { endRun } from './runs.ts'
import {
  type Effects,
  type Instance,
  type Peer,
  type ReadPurpose,
  type State,
  instanceAt,
  keepsState,
  maxOf,
  order,
  read,
  release,
  send,
  setFrame,
} from './state.ts'

const MARK_EVERY = 1024
/** Instances one read covers. */
const READ_MAX = 1024
/** A gap that is older than this lets go of the frames above it when their ring is full. */
const STUCK_MS = 50
/** Instances one ask or answer covers. */
export const LEARN_MAX = 256

export function onChosen(state: State, message: BasicChosen): void {
  const { first, through, ballot } = message
  state.seenChosen = maxOf(state.seenChosen, through)
  for (let i = maxOf(first, (state.pruned + 1) as LogIndex); i <= through; i++) {
    const at = instanceAt(state, i)
    if (at.chosen) continue
    if (at.acceptedBallot >= ballot) markChosen(state, at, ballot)
    else at.chosenBallot = ballot // the value is on its way, or will be asked for
  }
}

export function onLearned(
  state: State,
  effects: Effects,
  message: BasicLearned,
  frame: FrameRef,
): void {
  if (message.instance <= state.pruned) return
  const at = instanceAt(state, message.instance)
  if (at.chosen) return
  state.learnedCount++
  learnValue(state, effects, at, message.ballot, frame)
}

/** `frame` is the chosen value; `ballot` one in which it was chosen, 0 when that is forgotten. */
export function learnValue(
  state: State,
  effects: Effects,
  at: Instance,
  ballot: Ballot,
  frame: FrameRef,
): void {
  assert(!at.chosen, 'a value is learned once')
  if (ballot === NO_BALLOT || at.acceptedBallot < ballot) {
    setFrame(state, at, frame)
    state.seenValue = maxOf(state.seenValue, at.instance)
    const { instance } = at
    at.lsn = order(state, effects, { kind: 'instance-chosen', instance, ballot }, [frame], true)
  }
  markChosen(state, at, ballot)
}

/** The value held here is chosen. */
export function markChosen(state: State, at: Instance, ballot: Ballot): void {
  assert(!at.chosen, 'an instance is chosen once')
  at.chosen = true
  at.chosenBallot = maxOf(at.chosenBallot, ballot)
  state.seenChosen = maxOf(state.seenChosen, at.instance)
  if (at.run !== null) endRun(state, at, at.run)
}

/** Moves the chosen prefix on, tells the driver, and hands values to the state machine. */
export function advance(state: State, effects: Effects): void {
  const before = state.chosenThrough
  for (;;) {
    const at = state.instances.get((state.chosenThrough + 1) as LogIndex)
    if (at === undefined || !at.chosen) break
    state.chosenThrough = at.instance
    state.chosenChain = chainOf(state.chosenChain, at.headerCrc)
  }
  if (state.chosenThrough > before) state.progressAt = state.now
  if (state.chosenThrough > state.chosenTold) {
    state.chosenTold = state.chosenThrough
    effects.push({ kind: 'chosen', through: state.chosenThrough, chain: state.chosenChain })
  }
  if (state.chosenThrough - state.markedThrough >= MARK_EVERY) markPrefix(state, effects)
  if (keepsState(state.self.role)) apply(state, effects)
  prune(state)
}

/** Says on the disk that the prefix is chosen. Nobody waits for it; without it, peers know. */
export function markPrefix(state: State, effects: Effects): void {
  if (state.chosenThrough === state.markedThrough) return
  state.markedThrough = state.chosenThrough
  const record = {
    kind: 'instance-chosen',
    instance: state.chosenThrough,
    ballot: NO_BALLOT,
  } as const
  order(state, effects, record, [], true)
}

function apply(state: State, effects: Effects): void {
  if (state.isApplyReading || state.applySent >= state.chosenThrough) return
  const first = (state.applySent + 1) as LogIndex
  const frames: FrameRef[] = []
  while (state.applySent < state.chosenThrough) {
    const frame = state.instances.get((state.applySent + 1) as LogIndex)?.frame ?? null
    if (frame === null) break
    frames.push(frame)
    state.applySent++
  }
  if (frames.length > 0) effects.push({ kind: 'apply', first, frames })
  if (state.applySent >= state.chosenThrough) return
  state.isApplyReading = true
  const from = (state.applySent + 1) as LogIndex
  const through = onDiskThrough(state, from, state.chosenThrough)
  read(state, effects, { kind: 'apply' }, { from, through })
}

/** Last of the chosen instances behind `from` whose values are on the disk alone, hence surely. */
function onDiskThrough(state: State, from: LogIndex, last: number): LogIndex {
  let through = from
  const limit = Math.min(last, from + READ_MAX - 1, state.chosenThrough)
  while (through < limit) {
    const next = (through + 1) as LogIndex
    if (next > state.pruned && (state.instances.get(next)?.frame ?? null) !== null) break
    through = next
  }
  return through
}

/** Forgets what is chosen, executed and known by every live member; a long tail in any case. */
function prune(state: State): void {
  const executed = keepsState(state.self.role) ? state.applied : state.chosenThrough
  if (state.pruned >= executed) return
  let known = executed
  for (const peer of state.peers) if (peer.up && peer.known < known) known = peer.known
  const tailMax = Math.max(1024, 2 * state.config.inflightInstancesMax)
  const through = Math.max(known, executed - tailMax)
  while (state.pruned < through) {
    const instance = (state.pruned + 1) as LogIndex
    const at = state.instances.get(instance)
    assert(at !== undefined && at.chosen && at.run === null, 'only chosen instances are forgotten')
    if (at.lsn > state.durableLsn) return // what is not on disk cannot be read from there
    state.pruned = instance
    if (at.frame !== null) at.frame.kept = false
    state.instances.delete(instance)
  }
}

/** A ring is nearly full: chosen values, and those stuck below a chosen one, stay on disk alone. */
export function onPressure(state: State, ring: number): void {
  const executed = keepsState(state.self.role) ? state.applySent : state.chosenThrough
  const isStuck = state.chosenThrough < state.seenChosen && state.now - state.progressAt >= STUCK_MS
  for (const at of state.instances.values()) {
    const { frame } = at
    if (frame === null || frame.ring !== ring || at.run !== null) continue
    if (at.lsn > state.durableLsn) continue
    if (at.instance > executed && !(isStuck && at.instance <= state.seenChosen)) continue
    at.frame = null
    release(state, frame)
  }
}

/** Sends what is chosen of [from, through]; what is not in memory is read first. */
export function tellChosen(
  state: State,
  effects: Effects,
  to: Peer,
  { from, through }: { readonly from: LogIndex; readonly through: LogIndex },
): void {
  const last = Math.min(through, from + LEARN_MAX - 1, maxOf(state.seenChosen, state.chosenThrough))
  for (let i = from; i <= last; i++) {
    const at = state.instances.get(i)
    if (i > state.pruned && at?.chosen !== true) continue
    if (at !== undefined && at.frame !== null) {
      sendLearned(state, effects, to, i, at.frame)
      continue
    }
    // What follows is asked for again when this has arrived.
    if (to.isReading || !to.up) return
    to.isReading = true
    const purpose = { kind: 'learn', peer: to, from: i } as const
    return read(state, effects, purpose, { from: i, through: onDiskThrough(state, i, last) })
  }
}

export function sendLearned(
  state: State,
  effects: Effects,
  to: Peer,
  instance: LogIndex,
  frame: FrameRef,
): void {
  const ballot = state.instances.get(instance)?.chosenBallot ?? NO_BALLOT
  const known = state.chosenThrough
  send(effects, to, { kind: 'basic-learned', instance, ballot, known }, [frame])
}

/** Bytes for `apply` and `learn`; none: the range is not on this disk any more. */
export function onRead(
  state: State,
  effects: Effects,
  purpose: Exclude<ReadPurpose, { readonly kind: 'promise' }>,
  frames: readonly FrameRef[],
): void {
  if (purpose.kind === 'learn') {
    const { peer, from } = purpose
    peer.isReading = false
    if (frames.length === 0) effects.push({ kind: 'event', name: 'behind-trim', value: peer.id })
    frames.forEach((frame, i) => {
      sendLearned(state, effects, peer, (from + i) as LogIndex, frame)
    })
    return
  }
  if (frames.length === 0) {
    // Without a snapshot there is no way on: say so, and stay still.
    effects.push({ kind: 'event', name: 'behind-trim', value: state.config.self })
    return
  }
  state.isApplyReading = false
  const first = (state.applySent + 1) as LogIndex
  state.applySent = (state.applySent + frames.length) as LogIndex
  assert(state.applySent <= state.chosenThrough, 'only chosen values are executed')
  effects.push({ kind: 'apply', first, frames })
}

/**
 * On a tick: asks for what others know, when the own prefix has not moved for a while. It asks as
 * far as it holds values itself: so a proposer hears of instances that it has to finish.
 */
export function askForGap(state: State, effects: Effects, isDue: boolean): void {
  let source: Peer | null = null
  let through = maxOf(state.seenChosen, state.seenValue)
  for (const peer of state.peers) {
    if (peer.up && peer.known > (source?.known ?? state.chosenThrough)) source = peer
    through = maxOf(through, peer.known)
  }
  if (through <= state.chosenThrough || state.peers.length === 0) return
  // A full answer is followed by the next ask at once: that is how a laggard catches up.
  const hasAsked = state.askedThrough > NO_INDEX && state.chosenThrough >= state.askedThrough
  if (!isDue && !(hasAsked && state.learnedCount * 2 >= LEARN_MAX)) return
  const to = source ?? state.peers[state.askTurn++ % state.peers.length]!
  const from = (state.chosenThrough + 1) as LogIndex
  state.askedAt = state.now
  state.askedThrough = Math.min(through, from + LEARN_MAX - 1) as LogIndex
  state.learnedCount = 0
  const known = state.chosenThrough
  send(effects, to, { kind: 'basic-learn', from, through: state.askedThrough, known })
}
