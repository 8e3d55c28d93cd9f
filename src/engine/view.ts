/** What the core of a node shows to other threads: published by decide, read by status(). */
import type { CoreView } from '../core/engine.ts'
import { type openCounters, set } from '../ring/counters.ts'
import type { VIEW_COUNTERS } from './topology.ts'

/** Roles by the number that stands for them in shared memory. */
export const ROLE_CODES = ['leader', 'candidate', 'follower', 'logger', 'learner'] as const

export function publishView(
  view: ReturnType<typeof openCounters<(typeof VIEW_COUNTERS)[number]>>,
  of: CoreView,
  {
    roundTripUs,
    reducedThrough,
  }: { readonly roundTripUs: number; readonly reducedThrough: number },
): void {
  set(view, 'roundTripUs', Math.round(roundTripUs))
  set(view, 'role', ROLE_CODES.indexOf(of.role))
  set(view, 'leader', of.leader)
  set(view, 'promised', of.promised)
  set(view, 'acceptedBallot', of.acceptedBallot)
  set(view, 'last', of.last)
  set(view, 'durable', of.durable)
  set(view, 'acceptedBatches', of.acceptedBatches)
  set(view, 'firstRetained', of.firstRetained)
  set(view, 'reducedThrough', reducedThrough)
  set(view, 'chosen', of.chosen)
}
