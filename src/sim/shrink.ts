/**
 * Makes a failing plan smaller: takes away operations in ever smaller pieces while the same
 * invariant still breaks (delta debugging), then moves what is left together in time. What links
 * and disks do by chance is drawn by each for itself, so the rest of a run stays much as it was.
 * Pure; bounded in runs, not in time.
 */
import type { InvariantId } from './invariants.ts'
import type { Op, Plan } from './plan.ts'
import { runPlan } from './run.ts'

export interface Shrunk {
  readonly plan: Plan
  readonly opsBefore: number
  readonly opsAfter: number
  readonly eventsBefore: number
  readonly eventsAfter: number
  readonly runs: number
  /** What is left, as text. */
  readonly ops: readonly string[]
}

interface Search {
  plan: Plan
  events: number
  runs: number
  readonly invariant: InvariantId
}

const RUNS_MAX = 400
const TIME_STEPS = [0.25, 0.5, 0.75, 0.9]

export function shrink(plan: Plan, invariant: InvariantId): Shrunk {
  const first = runPlan(plan)
  const search: Search = { plan, events: first.events, runs: 1, invariant }
  // What was still to come when it broke has no part in it.
  const reached = plan.ops.filter(({ atUs }) => atUs <= first.simulatedMs * 1_000 + 1_000)
  attempt(search, reached)
  dropPieces(search)
  squeeze(search)
  dropPieces(search)
  return {
    plan: search.plan,
    opsBefore: plan.ops.length,
    opsAfter: search.plan.ops.length,
    eventsBefore: first.events,
    eventsAfter: search.events,
    runs: search.runs,
    ops: search.plan.ops.map((op) => JSON.stringify(op)),
  }
}

/** Takes the smaller plan when it breaks the same invariant in fewer steps or operations. */
function attempt(search: Search, ops: readonly Op[], untilUs = search.plan.untilUs): boolean {
  if (search.runs >= RUNS_MAX) return false
  search.runs += 1
  const plan = { ...search.plan, ops, untilUs }
  const { violation, events } = runPlan({ ...plan, eventsMax: 2 * search.events })
  if (violation?.invariant !== search.invariant) return false
  const fewer = ops.length < search.plan.ops.length && events <= 1.1 * search.events
  if (!fewer && events >= search.events) return false
  search.plan = plan
  search.events = events
  return true
}

function dropPieces(search: Search): void {
  for (let size = search.plan.ops.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < search.plan.ops.length;) {
      if (search.runs >= RUNS_MAX) return
      const { ops } = search.plan
      const rest = [...ops.slice(0, at), ...ops.slice(at + size)]
      if (!attempt(search, rest)) at += size
    }
  }
}

/** Everything happens sooner: idle heartbeats are most of a run's steps. */
function squeeze(search: Search): void {
  for (let again = true; again && search.runs < RUNS_MAX;) {
    again = false
    for (const factor of TIME_STEPS) {
      const { ops, untilUs } = search.plan
      const sooner = ops.map((op): Op => ({ ...op, atUs: Math.floor(op.atUs * factor) }))
      again = attempt(search, sooner, Math.ceil(untilUs * factor)) || again
    }
  }
}
