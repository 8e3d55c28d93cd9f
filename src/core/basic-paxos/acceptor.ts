/**
 * Acceptor: the memory of an instance, and its three promises.
 *
 * 1. `promised` never falls.
 * 2. Nothing is promised or accepted below it.
 * 3. What is answered is durable: an answer waits in `answers` for the LSN of its record.
 *
 * The own proposer's prepares and accepts come here by a call and are answered by `ownAnswers`, so
 * that this node counts itself no sooner than its disk allows.
 */
import { assert, unreachable } from '../../base/assert.ts'
import type { FrameRef } from '../frame-ref.ts'
import { type Ballot, type LogIndex, type Lsn, NO_BALLOT, ballotOwner } from '../ids.ts'
import { learnValue, tellChosen } from './learner.ts'
import type { BasicAccept, BasicPrepare } from './messages.ts'
import { peek, put, take } from './queue.ts'
import { refuse } from './runs.ts'
import {
  type Answer,
  type Effects,
  type Instance,
  NO_FRAMES,
  type Peer,
  type State,
  instanceAt,
  maxOf,
  order,
  peerOf,
  read,
  send,
  setFrame,
} from './state.ts'

export function onPrepare(
  state: State,
  effects: Effects,
  from: Peer,
  { instance, ballot }: BasicPrepare,
): void {
  if (isHistory(state, effects, from, instance)) return
  const at = instanceAt(state, instance)
  if (ballot < at.promised) return reject(state, effects, from, at, ballot)
  if (ballot > at.promised) return promise(state, effects, at, ballot)
  // Asked twice: the first answer was lost, or still waits for the disk.
  if (at.lsn <= state.durableLsn) answerPromise(state, effects, at, ballot)
}

export function onAccept(
  state: State,
  effects: Effects,
  from: Peer,
  { instance, ballot }: BasicAccept,
  frame: FrameRef,
): void {
  if (isHistory(state, effects, from, instance)) return
  const at = instanceAt(state, instance)
  if (at.chosenBallot > NO_BALLOT && ballot >= at.chosenBallot) {
    // The notice overtook the value: this is it.
    learnValue(state, effects, at, ballot, frame)
  } else if (ballot < at.promised) {
    reject(state, effects, from, at, ballot)
  } else if (ballot > at.acceptedBallot) {
    state.acceptedBatches++
    accept(state, effects, at, ballot, frame)
  } else if (at.lsn <= state.durableLsn) {
    answer(state, effects, { kind: 'accepted', lsn: at.lsn, instance, ballot })
  }
}

/** Orders the promise. @throws AssertionError below an older one: the callers have looked. */
export function promise(state: State, effects: Effects, at: Instance, ballot: Ballot): void {
  assert(ballot > at.promised, 'a promised ballot never falls')
  assert(!at.chosen, 'a chosen instance is answered with its value')
  if (at.run !== null && at.run.ballot < ballot) refuse(state, at, at.run, ballot)
  const { instance } = at
  at.promised = ballot
  state.promisedMax = maxOf(state.promisedMax, ballot)
  at.lsn = order(state, effects, { kind: 'instance-promised', instance, ballot })
  put(state.answers, { kind: 'promise', lsn: at.lsn, instance, ballot })
}

/** Orders the acceptance, which is a promise too. */
export function accept(
  state: State,
  effects: Effects,
  at: Instance,
  ballot: Ballot,
  frame: FrameRef,
): void {
  assert(ballot >= at.promised, 'nothing is accepted below the promise')
  assert(!at.chosen, 'a chosen instance is answered with its value')
  if (at.run !== null && at.run.ballot < ballot) refuse(state, at, at.run, ballot)
  const { instance } = at
  at.promised = ballot
  at.acceptedBallot = ballot
  state.promisedMax = maxOf(state.promisedMax, ballot)
  state.seenValue = maxOf(state.seenValue, instance)
  at.abandonedUntil = 0
  setFrame(state, at, frame)
  at.lsn = order(state, effects, { kind: 'instance-accepted', instance, ballot }, [frame])
  put(state.answers, { kind: 'accepted', lsn: at.lsn, instance, ballot })
}

/** What the disk now holds may be answered. Cost: O(answers that became true). */
export function onDurable(state: State, effects: Effects, lsn: Lsn): void {
  assert(lsn < state.nextLsn, 'only what was ordered becomes durable')
  if (lsn <= state.durableLsn) return
  state.durableLsn = lsn
  for (;;) {
    const next = peek(state.answers)
    if (next === undefined || next.lsn > lsn) break
    answer(state, effects, take(state.answers))
  }
}

function answer(state: State, effects: Effects, due: Answer): void {
  const { kind, instance, ballot } = due
  switch (kind) {
    case 'accepted': {
      state.durableInstance = maxOf(state.durableInstance, instance)
      const owner = ballotOwner(ballot)
      if (owner === state.config.self) return put(state.ownAnswers, due)
      const known = state.chosenThrough
      const to = peerOf(state, owner)
      if (to !== undefined) send(effects, to, { kind: 'basic-accepted', instance, ballot, known })
      return
    }
    case 'promise': {
      const at = state.instances.get(instance)
      if (at !== undefined) answerPromise(state, effects, at, ballot)
      return
    }
    default:
      return unreachable(kind)
  }
}

/** `at` is as it was when the promise was ordered, or the promise is not answered. */
function answerPromise(state: State, effects: Effects, at: Instance, ballot: Ballot): void {
  const { instance, acceptedBallot, frame } = at
  const owner = ballotOwner(ballot)
  const to = owner === state.config.self ? null : peerOf(state, owner)
  if (to === undefined) return
  if (at.chosen) {
    if (to !== null) tellChosen(state, effects, to, { from: instance, through: instance })
    return
  }
  if (ballot < at.promised) {
    if (to !== null) reject(state, effects, to, at, ballot)
    return
  }
  if (acceptedBallot >= ballot) return // its proposer is past phase 1
  if (acceptedBallot > NO_BALLOT && frame === null) return fetchValue(state, effects, at)
  if (to === null) return put(state.ownAnswers, { kind: 'promise', lsn: at.lsn, instance, ballot })
  const known = state.chosenThrough
  const message = { kind: 'basic-promise', instance, ballot, acceptedBallot, known } as const
  send(effects, to, message, frame === null || acceptedBallot === NO_BALLOT ? NO_FRAMES : [frame])
}

function fetchValue(state: State, effects: Effects, at: Instance): void {
  if (at.isReading) return
  at.isReading = true
  const { instance } = at
  read(state, effects, { kind: 'promise', instance }, { from: instance, through: instance })
}

/** The accepted value is back in memory: the promise that waited for it can be answered. */
export function onValueRead(
  state: State,
  effects: Effects,
  instance: LogIndex,
  frames: readonly FrameRef[],
): void {
  const at = state.instances.get(instance)
  if (at === undefined) return
  at.isReading = false
  const frame = frames[0]
  // An accept that came meanwhile brought a newer value, which must not be replaced.
  if (frame === undefined || at.frame !== null || at.chosen) return
  if (frame.headerCrc !== at.headerCrc) return fetchValue(state, effects, at)
  setFrame(state, at, frame)
  // A promise ordered meanwhile still waits for the disk, and is answered from there.
  if (at.lsn <= state.durableLsn) answerPromise(state, effects, at, at.promised)
}

/** Chosen instances are not voted on: whoever asks gets the value. */
function isHistory(state: State, effects: Effects, from: Peer, instance: LogIndex): boolean {
  const isChosen = instance <= state.pruned || state.instances.get(instance)?.chosen === true
  if (isChosen) tellChosen(state, effects, from, { from: instance, through: instance })
  return isChosen
}

function reject(state: State, effects: Effects, to: Peer, at: Instance, ballot: Ballot): void {
  const { instance, promised } = at
  const known = state.chosenThrough
  send(effects, to, { kind: 'basic-reject', instance, ballot, promised, known })
}
