/**
 * The life of a run, apart from its messages: begin, refusal and back-off, timers, end. Used by all
 * roles: an acceptor that promises a higher ballot refuses the own run, a learner ends it.
 *
 *     begin -> prepare -> accept -> end (chosen)
 *                 ^   \     |
 *                 |    v    v
 *                back-off <-+  (refused: somebody has a higher ballot)
 */
import type { FrameRef } from '../frame-ref.ts'
import { type Ballot, NO_BALLOT, ballotOf, ballotRound } from '../ids.ts'
import { heapPopDue, heapPush, put } from './queue.ts'
import { type Instance, type Run, type State, maxOf, randomBelow, release } from './state.ts'

/** An acceptor that was away may hold a value after all: gaps are tried again, ever more seldom. */
const ABANDON_MS = 1000
const DOUBLINGS_MAX = 6

export function beginRun(state: State, at: Instance, own: FrameRef | null): Run {
  const run: Run = {
    instance: at.instance,
    phase: 'back-off',
    ballot: NO_BALLOT,
    own,
    best: null,
    bestBallot: NO_BALLOT,
    answered: 0,
    answerCount: 0,
    refusedBy: NO_BALLOT,
    refusals: 0,
    resends: 0,
    startedAt: state.now,
    dueAt: state.now,
    timerAt: Infinity,
    isOver: false,
  }
  at.run = run
  state.running++
  return run
}

/** A ballot of this node above everything it saw for the instance and used before (R4). */
export function nextBallot(state: State, at: Instance, run: Run): Ballot {
  const seen = ballotRound(Math.max(at.promised, run.refusedBy, at.chosenBallot) as Ballot)
  return ballotOf(Math.max(state.roundMin, seen + 1), state.config.self)
}

/** The run's ballot is of no use any more: wait a random while, longer each time, then retry. */
export function refuse(state: State, at: Instance, run: Run, by: Ballot): void {
  run.refusedBy = maxOf(run.refusedBy, by)
  if (run.phase === 'back-off') return
  run.phase = 'back-off'
  dropBest(state, at, run)
  const limit = state.config.retryMs * 2 ** Math.min(run.refusals, DOUBLINGS_MAX)
  run.refusals++
  run.resends = 0
  schedule(state, run, limit > 0 ? 1 + randomBelow(state, limit) : 0)
}

export function dropBest(state: State, at: Instance, run: Run): void {
  if (run.best !== null && run.best !== at.frame) release(state, run.best)
  run.best = null
  run.bestBallot = NO_BALLOT
}

export function scheduleResend(state: State, run: Run): void {
  const base = Math.max(state.resendMsMin, 4 * state.config.retryMs, 4 * state.latencyMs)
  schedule(state, run, base * 2 ** Math.min(run.resends, DOUBLINGS_MAX))
}

/** A link came up: what was sent while it was down is lost, and need not wait its time. */
export function resendNow(state: State): void {
  for (const { run } of state.instances.values()) {
    if (run !== null && run.phase !== 'back-off') schedule(state, run, 0)
  }
}

/** One heap entry a run, as a rule: a later due time waits for the entry to come up. */
function schedule(state: State, run: Run, delayMs: number): void {
  run.dueAt = state.now + delayMs
  if (run.dueAt >= run.timerAt) return
  run.timerAt = run.dueAt
  heapPush(state.timers, { dueAt: run.dueAt, item: run })
}

/** A run whose time has come; undefined when there is none. */
export function nextDue(state: State): Run | undefined {
  for (;;) {
    const entry = heapPopDue(state.timers, state.now)
    if (entry === undefined) return undefined
    const run = entry.item
    if (run.isOver || entry.dueAt !== run.timerAt) continue
    run.timerAt = Infinity
    if (run.dueAt <= state.now) return run
    schedule(state, run, run.dueAt - state.now)
  }
}

/** The instance is chosen. An own value that lost goes first into another instance. */
export function endRun(state: State, at: Instance, run: Run): void {
  closeRun(state, at, run)
  const { own } = run
  state.latencyMs += (state.now - run.startedAt - state.latencyMs) / 8
  if (own === null) return
  if (own.headerCrc !== at.headerCrc) return put(state.lost, own)
  state.owned.delete(own)
  if (at.frame !== own) release(state, own)
}

/** Nobody accepted anything and there is nothing to propose: the gap waits for a value. */
export function abandonRun(state: State, at: Instance, run: Run): void {
  closeRun(state, at, run)
  at.abandonedUntil = state.now + ABANDON_MS * 2 ** Math.min(at.abandonCount++, DOUBLINGS_MAX)
  if (at.instance < state.nextFree) state.nextFree = at.instance
}

function closeRun(state: State, at: Instance, run: Run): void {
  dropBest(state, at, run)
  run.isOver = true
  at.run = null
  state.running--
}
