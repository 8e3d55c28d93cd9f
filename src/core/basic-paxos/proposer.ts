/**
 * Proposer: brings one own value at a time into an instance, many instances at once.
 *
 *     prepare(i, b) to all  ->  a majority of promises
 *     accept(i, b, value) to all  ->  a majority of accepted  ->  chosen
 *
 * value = the one accepted in the highest ballot that a promise reports, else the own one. An own
 * value whose instance went to another goes to a later one.
 *
 * A proposer takes the lowest instance that it does not know to be chosen. So several proposers
 * meet in the same instances (they duel), and what a crashed one left unfinished comes first.
 *
 * Invariant: an accept leaves only after the own promise of its ballot is durable. Hence a ballot
 * that a restarted node might use again (its promise was lost with the page cache) was never
 * accepted by anybody, and the prepare need not wait for the own disk.
 */
import { assert } from '../../base/assert.ts'
import type { FrameRef } from '../frame-ref.ts'
import { type Ballot, type LogIndex, NO_BALLOT, NO_INDEX } from '../ids.ts'
import { accept, promise } from './acceptor.ts'
import { markChosen } from './learner.ts'
import type { BasicPaxosMessage, BasicPromise, BasicReject } from './messages.ts'
import { put, sizeOf, take } from './queue.ts'
import {
  abandonRun,
  beginRun,
  dropBest,
  nextBallot,
  nextDue,
  refuse,
  scheduleResend,
} from './runs.ts'
import {
  type Effects,
  type Instance,
  NO_FRAMES,
  type Peer,
  type Run,
  type State,
  instanceAt,
  isAcceptor,
  send,
} from './state.ts'

/** Chosen notices of one ballot travel together, at most so many. */
const ANNOUNCE_MAX = 32
/** Instances that a tick takes up to finish what others left. */
const FINISH_MAX = 256

/** @throws AssertionError before `lead`, or for a frame of several entries (a bug of the driver) */
export function onSubmitted(state: State, frames: readonly FrameRef[]): void {
  assert(state.isProposing, 'values are submitted to a proposer')
  for (const frame of frames) {
    assert(frame.count === 1, 'a value of Basic Paxos is one entry')
    frame.kept = true
    state.owned.add(frame)
    put(state.values, frame)
  }
}

/** Gives waiting values their instances, as far as the bound allows. */
export function assign(state: State, effects: Effects): void {
  while (state.running < state.config.inflightInstancesMax && hasValue(state)) {
    const at = takeFreeInstance(state)
    const own = takeValue(state)
    if (at.run === null) startBallot(state, effects, at, beginRun(state, at, own))
    else at.run.own = own
  }
}

const hasValue = (state: State): boolean => sizeOf(state.lost) + sizeOf(state.values) > 0

const takeValue = (state: State): FrameRef =>
  take(sizeOf(state.lost) > 0 ? state.lost : state.values)

/**
 * The lowest one, so that no own value is chosen above a gap and waits for it: also one that is
 * being finished without an own value so far.
 */
function takeFreeInstance(state: State): Instance {
  if (state.nextFree <= state.chosenThrough) {
    state.nextFree = (state.chosenThrough + 1) as LogIndex
  }
  for (;;) {
    const at = instanceAt(state, state.nextFree++ as LogIndex)
    if (at.chosen || at.chosenBallot > NO_BALLOT) continue
    if (at.run === null || (at.run.own === null && at.run.phase !== 'accept')) return at
  }
}

/** Phase 1 in a fresh ballot. */
function startBallot(state: State, effects: Effects, at: Instance, run: Run): void {
  run.ballot = nextBallot(state, at, run)
  run.phase = 'prepare'
  run.answered = 0
  run.answerCount = 0
  promise(state, effects, at, run.ballot)
  ask(state, effects, at, run)
}

/** Sends the question of the current phase to those who have not answered it. */
function ask(state: State, effects: Effects, at: Instance, run: Run): void {
  const { instance, ballot } = run
  const known = state.chosenThrough
  const isPrepare = run.phase === 'prepare'
  assert(
    isPrepare || (at.frame !== null && at.acceptedBallot === ballot),
    'an accept has its value',
  )
  const message: BasicPaxosMessage = isPrepare
    ? { kind: 'basic-prepare', instance, ballot, known }
    : { kind: 'basic-accept', instance, ballot, known }
  const frames = isPrepare ? NO_FRAMES : [at.frame!]
  for (const peer of state.peers) {
    if (isAcceptor(peer.role) && (run.answered & peer.bit) === 0)
      send(effects, peer, message, frames)
  }
  scheduleResend(state, run)
}

export function onPromise(
  state: State,
  effects: Effects,
  from: Peer,
  { instance, ballot, acceptedBallot }: BasicPromise,
  frame: FrameRef | null,
): void {
  countPromise(state, effects, { instance, ballot, acceptedBallot, frame, bit: from.bit })
}

export function onAccepted(
  state: State,
  effects: Effects,
  bit: number,
  { instance, ballot }: { readonly instance: LogIndex; readonly ballot: Ballot },
): void {
  const at = state.instances.get(instance)
  const run = at?.run ?? null
  if (at === undefined || run === null) return
  if (run.phase !== 'accept' || run.ballot !== ballot || (run.answered & bit) !== 0) return
  run.answered |= bit
  run.answerCount++
  if (run.answerCount < state.quorum) return
  assert(at.acceptedBallot === ballot, 'what is chosen is held here')
  markChosen(state, at, ballot)
  announce(state, effects, at)
}

/** What the own acceptor has on its disk by now. */
export function onOwnAnswers(state: State, effects: Effects): void {
  const { ownAnswers, selfBit } = state
  while (sizeOf(ownAnswers) > 0) {
    const { kind, instance, ballot } = take(ownAnswers)
    if (kind === 'accepted') {
      onAccepted(state, effects, selfBit, { instance, ballot })
      continue
    }
    const at = state.instances.get(instance)
    if (at === undefined || at.promised !== ballot) continue
    const { acceptedBallot, frame } = at
    countPromise(state, effects, { instance, ballot, acceptedBallot, frame, bit: selfBit })
  }
}

interface CountedPromise {
  readonly instance: LogIndex
  readonly ballot: Ballot
  readonly acceptedBallot: Ballot
  readonly frame: FrameRef | null
  readonly bit: number
}

function countPromise(state: State, effects: Effects, got: CountedPromise): void {
  const at = state.instances.get(got.instance)
  const run = at?.run ?? null
  if (at === undefined || run === null) return
  if (run.phase !== 'prepare' || run.ballot !== got.ballot || (run.answered & got.bit) !== 0) return
  run.answered |= got.bit
  run.answerCount++
  if (got.acceptedBallot > run.bestBallot) {
    assert(got.frame !== null, 'a promise carries the value that it reports')
    dropBest(state, at, run)
    run.best = got.frame
    run.bestBallot = got.acceptedBallot
    got.frame.kept = true
  }
  const isOwnDurable = (run.answered & state.selfBit) !== 0
  if (run.answerCount >= state.quorum && isOwnDurable) startAccept(state, effects, at, run)
}

/** Phase 2 with the value that phase 1 allows. */
function startAccept(state: State, effects: Effects, at: Instance, run: Run): void {
  assert(at.promised === run.ballot, 'a run whose promise is outdated has been refused')
  // Chosen above this ballot meanwhile: a higher one will find the value.
  if (at.chosenBallot > run.ballot) return refuse(state, at, run, at.chosenBallot)
  assert(run.best !== null || at.chosenBallot === NO_BALLOT, 'phase 1 finds what was chosen')
  if (run.best === null && run.own === null) {
    if (!hasValue(state)) return abandonRun(state, at, run)
    run.own = takeValue(state)
  }
  const value = run.best ?? run.own!
  run.phase = 'accept'
  run.answered = 0
  run.answerCount = 0
  accept(state, effects, at, run.ballot, value)
  run.best = null // the acceptor keeps it now
  // An older ballot may be known to have chosen: then phase 1 found just that value.
  if (at.chosenBallot > NO_BALLOT && run.ballot >= at.chosenBallot)
    markChosen(state, at, run.ballot)
  else ask(state, effects, at, run)
}

export function onReject(state: State, { instance, ballot, promised }: BasicReject): void {
  const at = state.instances.get(instance)
  const run = at?.run ?? null
  if (at !== undefined && run !== null && run.ballot === ballot) refuse(state, at, run, promised)
}

/** Resends what got no answer, and starts again after a back-off. */
export function runTimers(state: State, effects: Effects): void {
  for (;;) {
    const run = nextDue(state)
    if (run === undefined) return
    const at = state.instances.get(run.instance)
    assert(at !== undefined && at.run === run, 'a run that is not over has its instance')
    if (run.phase === 'back-off') startBallot(state, effects, at, run)
    else {
      run.resends++
      ask(state, effects, at, run)
    }
  }
}

/**
 * On a tick without progress: finishes instances in which others left a value, from the lowest.
 * Also those known to be chosen: whoever could have told the value may have forgotten that.
 */
export function finishGaps(state: State, effects: Effects): void {
  const through = Math.max(state.seenChosen, state.seenValue, state.seenAsked)
  const last = Math.min(through, state.chosenThrough + FINISH_MAX)
  for (let i = state.chosenThrough + 1; i <= last; i++) {
    if (state.running >= state.config.inflightInstancesMax) return
    const at = instanceAt(state, i as LogIndex)
    if (at.chosen || at.run !== null) continue
    if (state.now < at.abandonedUntil) continue
    if (i < state.nextFree) state.nextFree = i as LogIndex
    startBallot(state, effects, at, beginRun(state, at, null))
  }
}

/** Adds an instance to the notice under way; learners get the value itself. */
function announce(state: State, effects: Effects, at: Instance): void {
  const { instance, chosenBallot: ballot } = at
  const known = state.chosenThrough
  for (const peer of state.peers) {
    if (isAcceptor(peer.role)) continue
    assert(at.frame !== null, 'a value just chosen is in memory')
    send(effects, peer, { kind: 'basic-learned', instance, ballot, known }, [at.frame])
  }
  const extendsNotice = instance === state.announceThrough + 1 && ballot === state.announceBallot
  if (!extendsNotice) flushNotice(state, effects)
  if (state.announceFirst === NO_INDEX) state.announceFirst = instance
  state.announceThrough = instance
  state.announceBallot = ballot
  if (instance - state.announceFirst + 1 >= ANNOUNCE_MAX) flushNotice(state, effects)
}

export function flushNotice(state: State, effects: Effects): void {
  const { announceFirst: first, announceThrough: through, announceBallot: ballot } = state
  if (first === NO_INDEX) return
  state.announceFirst = NO_INDEX
  state.announceBallot = NO_BALLOT
  const known = state.chosenThrough
  for (const peer of state.peers) {
    if (!isAcceptor(peer.role)) continue
    send(effects, peer, { kind: 'basic-chosen', first, through, ballot, known })
    peer.toldKnown = known
  }
}
