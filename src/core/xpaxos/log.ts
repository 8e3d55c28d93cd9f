/**
 * Changes of the own log, each ordered as WAL records: appending, and the accept-sync transaction
 * by which a log is brought under a new ballot (R12). Used by the acceptor for a leader's frames
 * and by phase 1 for the leader's own adopted log (R9). Pure; decision loop only.
 *
 * Invariant: the tail and the log of the WAL's fold are the same after each record (wal/fold.ts).
 */
import { assert } from '../../base/assert.ts'
import { type FrameRef, throughOf } from '../frame-ref.ts'
import { type Ballot, type LogIndex, type Lsn, NO_BALLOT } from '../ids.ts'
import { cutConfigs, noteConfigs } from './configs.ts'
import { type Effects, type State, NO_FRAMES, event, order } from './state.ts'
import {
  type Mark,
  chainAt,
  cutBehind,
  dropFrames,
  lastChainOf,
  lastOf,
  makeMark,
  pushMark,
} from './tail.ts'

/** Appends frames behind the own last index; they count as accepted in `ballot` (0: learned). */
export function appendEntries(
  state: State,
  effects: Effects,
  ballot: Ballot,
  frames: readonly FrameRef[],
): void {
  assert(frames.length > 0, 'an append carries a frame')
  const prev = lastOf(state.tail)
  const through = throughOf(frames.at(-1)!)
  assert(frames[0]!.first === prev + 1, 'an append continues the log')
  const lsn = order(state, effects, { kind: 'entries', ballot, prev, through }, frames)
  for (const frame of frames) pushMark(state.tail, makeMark(lastChainOf(state.tail), frame, lsn))
  assert(lastOf(state.tail) === through, 'the frames of an append are contiguous')
  state.appends.push({ lsn, through })
  noteConfigs(state.configs, frames)
}

/** Opens a transaction that will replace the log behind `syncPoint`; an older open one is void. */
export function beginSync(
  state: State,
  effects: Effects,
  ballot: Ballot,
  range: { readonly syncPoint: LogIndex; readonly adoptedLast: LogIndex },
): void {
  const { syncPoint, adoptedLast } = range
  const isTurn = ballot === NO_BALLOT
  assert(ballot === state.promised || isTurn, 'a sync belongs to the promised ballot')
  assert(syncPoint >= state.floor, 'an accept-sync never cuts below the floor')
  assert(syncPoint <= lastOf(state.tail), 'a sync point lies within the log')
  dropSync(state)
  const chain = chainAt(state.tail, syncPoint)
  assert(chain >= 0, 'a sync point is a frame boundary')
  order(state, effects, { kind: 'sync-begin', ballot, syncPoint, adoptedLast }, NO_FRAMES)
  state.pendingSync = {
    ballot,
    syncPoint,
    adoptedLast,
    last: syncPoint,
    chain,
    marks: [],
    configs: [],
  }
}

/** Adds frames to the open transaction: written, and not yet of the log. */
export function extendSync(state: State, effects: Effects, frames: readonly FrameRef[]): void {
  const sync = state.pendingSync
  assert(sync !== null, 'a sync is open')
  const prev = sync.last
  const through = throughOf(frames.at(-1)!)
  assert(frames[0]!.first === prev + 1, 'a sync grows without holes')
  assert(through <= sync.adoptedLast, 'a sync stays within the adopted log')
  const record = { kind: 'sync-entries', ballot: sync.ballot, prev, through } as const
  const lsn = order(state, effects, record, frames)
  for (const frame of frames) {
    const mark = makeMark(sync.chain, frame, lsn)
    sync.marks.push(mark)
    sync.chain = mark.chain
  }
  sync.last = through
  noteConfigs(sync.configs, frames)
}

/** Ends it: cut, adopt the pending frames, and only now acceptedBallot is the new ballot. */
export function commitSync(state: State, effects: Effects): void {
  const sync = state.pendingSync
  assert(sync !== null && sync.last === sync.adoptedLast, 'a sync covers the adopted log')
  const { ballot, syncPoint, adoptedLast: through } = sync
  if (lastOf(state.tail) > syncPoint) event(effects, 'suffix-cut', syncPoint + 1)
  cutBehind(state.tail, syncPoint)
  cutConfigs(state.configs, syncPoint)
  state.configs.push(...sync.configs)
  // Pressure took pending bytes: all older ones are durable too, and go, so that what lies in the
  // rings stays a suffix of the log.
  if (sync.marks[0]?.frame === null) dropFrames(state.tail, () => true)
  const lsn = order(state, effects, { kind: 'sync-commit', ballot, syncPoint, through }, NO_FRAMES)
  for (const mark of sync.marks) pushMark(state.tail, mark)
  state.durable = Math.min(state.durable, syncPoint) as LogIndex
  for (const append of state.appends) {
    append.through = Math.min(append.through, syncPoint) as LogIndex
  }
  state.appends.push({ lsn, through })
  state.acceptedBallot = ballot
  state.pendingSync = null
}

/**
 * What this node accepted and does not know chosen is dead for it: it goes on as a learner, with
 * acceptedBallot 0, and its sync point is its floor (R31). A transaction like any other on disk.
 */
export function turnLearner(state: State, effects: Effects): void {
  const { floor } = state
  beginSync(state, effects, NO_BALLOT, { syncPoint: floor, adoptedLast: floor })
  commitSync(state, effects)
}

/** Forgets an unfinished transaction: the old log, ballot and suffix stand as they were. */
export function dropSync(state: State): void {
  dropPendingFrames(state, () => true)
  state.pendingSync = null
}

/** Lets go of the bytes of the longest pending prefix whose marks satisfy `free`. */
export function dropPendingFrames(state: State, free: (mark: Mark) => boolean): void {
  for (const mark of state.pendingSync?.marks ?? []) {
    if (mark.frame === null) continue
    if (!free(mark)) return
    mark.frame.kept = false
    mark.frame = null
  }
}

/** Everything through `lsn` is on the disk. */
export function noteDurable(state: State, lsn: Lsn): void {
  assert(lsn < state.nextLsn, 'only what was ordered becomes durable')
  if (lsn <= state.durableLsn) return
  state.durableLsn = lsn
  const { appends } = state
  let count = 0
  while (count < appends.length && appends[count]!.lsn <= lsn) {
    state.durable = appends[count]!.through
    count += 1
  }
  if (count > 0) appends.splice(0, count)
}
