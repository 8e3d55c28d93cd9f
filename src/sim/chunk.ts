/** A run of seeds, one after the other, as one task of a worker; plain data in and out. */
import { type ClassName, planOf } from './classes.ts'
import { addCoverage, type Coverage, createCoverage } from './coverage.ts'
import type { InvariantId } from './invariants.ts'
import { type RunResult, runPlan } from './run.ts'

export interface ChunkTask {
  readonly from: number
  readonly to: number
  /** Null: each seed draws its own. */
  readonly className: ClassName | null
  readonly stopAtFirst: boolean
}

export interface Failure {
  readonly seed: number
  readonly class: string
  readonly invariant: InvariantId
  readonly message: string
}

export interface ClassTotals {
  schedules: number
  events: number
  simulatedMs: number
  /** Of one thread. */
  busyMs: number
}

export interface ChunkResult {
  readonly schedules: number
  readonly events: number
  readonly simulatedMs: number
  readonly answered: number
  readonly failures: readonly Failure[]
  readonly coverage: Coverage
  /** Hashes of the runs, in the order of seeds. */
  readonly hashes: readonly string[]
  readonly classes: Readonly<Record<string, ClassTotals>>
}

export function runChunk(task: ChunkTask): ChunkResult {
  const coverage = createCoverage()
  const failures: Failure[] = []
  const hashes: string[] = []
  const classes: Record<string, ClassTotals> = {}
  const sum = { ...newTotals(), answered: 0 }
  for (let seed = task.from; seed <= task.to; seed++) {
    const since = performance.now()
    const result = runPlan(planOf(seed, task.className ?? undefined))
    const busyMs = performance.now() - since
    hashes.push(result.traceHash)
    addCoverage(coverage, result.coverage)
    sum.answered += result.answered
    addTo(sum, result, busyMs)
    addTo((classes[result.className] ??= newTotals()), result, busyMs)
    if (result.violation === null) continue
    const { className, violation } = result
    failures.push({ seed, class: className, ...violation })
    if (task.stopAtFirst) break
  }
  return { ...sum, failures, coverage, hashes, classes }
}

export const newTotals = (): ClassTotals => ({ schedules: 0, events: 0, simulatedMs: 0, busyMs: 0 })

function addTo(totals: ClassTotals, { events, simulatedMs }: RunResult, busyMs: number): void {
  totals.schedules += 1
  totals.events += events
  totals.simulatedMs += simulatedMs
  totals.busyMs += busyMs
}
