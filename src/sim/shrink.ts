/**
 * Makes a failing plan smaller: takes away operations in ever smaller pieces while the same
 * invariant still breaks (delta debugging), quiets what is left, and moves it together in time.
 * What links and disks do by chance is drawn apart from the plan, so a piece that seems needed may
 * only have shifted a chance: pieces that matter are tried with a few other draws.
 *
 * Invariant: what it returns breaks the same invariant, in fewer steps. Pure; bounded in steps.
 */
import type { InvariantId } from './invariants.ts'
import { constant } from './laws.ts'
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
  /** Steps that may still be spent. */
  left: number
  readonly invariant: InvariantId
}

/** About 30 s on a slow core. */
const STEPS_MAX = 5_000_000
const TIME_STEPS = [0.25, 0.5, 0.75, 0.9]
const GAPS_US = [1_000, 20_000, 100_000]
const DRAWS = 3
/** First of all: only the newest part of the operations, sooner. */
const SUFFIXES = [0.9, 0.75, 0.5, 0.25]
const PIECES_DRAWN = 16

export function shrink(plan: Plan, invariant: InvariantId): Shrunk {
  const first = runPlan(plan)
  const { events } = first
  const search: Search = { plan, events, runs: 1, left: STEPS_MAX, invariant }
  const endUs = first.simulatedMs * 1_000 + 1_000
  // What was still to come when it broke has no part in it.
  attempt(search, { ops: plan.ops.filter(({ atUs }) => atUs <= endUs) }, 1)
  for (const share of SUFFIXES) keepSuffix(search, share)
  for (let before = Infinity; search.events < before && search.left > 0;) {
    before = search.events
    dropPieces(search, 2, PIECES_DRAWN)
    quiet(search)
    squeeze(search)
  }
  dropPieces(search, PIECES_DRAWN, Infinity)
  squeeze(search)
  return {
    plan: search.plan,
    opsBefore: plan.ops.length,
    opsAfter: search.plan.ops.length,
    eventsBefore: events,
    eventsAfter: search.events,
    runs: search.runs,
    ops: search.plan.ops.map((op) => JSON.stringify(op)),
  }
}

/** Takes the changed plan when it breaks the same invariant in fewer steps or operations. */
function attempt(search: Search, change: Partial<Plan>, draws: number): boolean {
  for (let draw = 0; draw < draws && search.left > 0; draw++) {
    const chanceSeed = search.plan.chanceSeed + draw
    const plan = { ...search.plan, ...change, chanceSeed }
    const { violation, events } = runPlan(plan, { eventsCap: search.events + 1 })
    search.runs += 1
    search.left -= events
    if (violation?.invariant !== search.invariant) continue
    if (events >= search.events && plan.ops.length >= search.plan.ops.length) continue
    search.plan = plan
    search.events = events
    return true
  }
  return false
}

/** Begins late in the plan, one election timeout into the run, so that somebody can lead. */
function keepSuffix(search: Search, share: number): void {
  const { ops, untilUs, knobs } = search.plan
  const lastUs = ops.at(-1)?.atUs ?? 0
  const byUs = Math.floor(lastUs * share) - 1_000 * knobs.electionTimeoutMs
  if (byUs <= 0) return
  const from = Math.floor(lastUs * share)
  const kept = ops.filter(({ atUs }) => atUs >= from)
  const sooner = kept.map((op): Op => ({ ...op, atUs: op.atUs - byUs }))
  attempt(search, { ops: sooner, untilUs: Math.max(1, untilUs - byUs) }, DRAWS)
}

/** Pieces of 1/parts of the operations, then halves of them. */
function dropPieces(search: Search, parts: number, partsMax: number): void {
  for (let count = parts; count <= partsMax; count *= 2) {
    const size = Math.ceil(search.plan.ops.length / count)
    for (let at = 0; at < search.plan.ops.length && search.left > 0;) {
      const { ops } = search.plan
      const rest = [...ops.slice(0, at), ...ops.slice(at + size)]
      if (!attempt(search, { ops: rest }, count <= PIECES_DRAWN ? DRAWS : 1)) at += size
    }
    if (size <= 1) return
  }
}

/** Without noise, with plain laws, true clocks, the cheap disk, requests of one entry. */
function quiet(search: Search): void {
  const { plan } = search
  const { link, sync, read, apply, submit } = plan.laws
  const still = { loss: 0, duplicates: 0, reorder: false, flips: 0, gaps: 0 }
  attempt(search, { noise: still }, DRAWS)
  attempt(search, { realWal: false }, DRAWS)
  attempt(search, { clocks: plan.clocks.map(() => ({ offsetMs: 0, driftPpm: 0 })) }, DRAWS)
  const laws = { link, sync, read, apply, submit }
  const plain = { link: constant(500), sync: constant(1_000), read: constant(1_000) }
  attempt(search, { laws: { ...laws, ...plain } }, DRAWS)
  const one = plan.ops.map((op): Op => (op.kind === 'submit' ? { ...op, count: 1 } : op))
  attempt(search, { ops: one }, DRAWS)
}

/** Everything happens sooner: idle heartbeats are most of a run's steps. */
function squeeze(search: Search): void {
  for (const factor of TIME_STEPS) {
    const { ops, untilUs } = search.plan
    const sooner = ops.map((op): Op => ({ ...op, atUs: Math.floor(op.atUs * factor) }))
    attempt(search, { ops: sooner, untilUs: Math.ceil(untilUs * factor) }, DRAWS)
  }
  for (const gapUs of GAPS_US) closeGaps(search, gapUs)
}

/** The longest waits between operations become short ones. */
function closeGaps(search: Search, gapUs: number): void {
  const { ops } = search.plan
  for (let at = ops.length - 1; at > 0 && search.left > 0; at--) {
    const now = search.plan.ops
    const wait = (now[at]?.atUs ?? 0) - (now[at - 1]?.atUs ?? 0)
    if (wait <= 2 * gapUs) continue
    const sooner = wait - gapUs
    const closer = now.map((op, i): Op => (i < at ? op : { ...op, atUs: op.atUs - sooner }))
    const untilUs = Math.max(1, search.plan.untilUs - sooner)
    attempt(search, { ops: closer, untilUs }, 1)
  }
}
