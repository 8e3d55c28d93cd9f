/** One seed again, with its chart; or its plan shrunk. Runs in a worker, plain data in and out. */
import { chartOf } from './chart.ts'
import { type ClassName, planOf } from './classes.ts'
import { nodesOf } from './plan.ts'
import { type RunResult, runPlan } from './run.ts'
import { type Shrunk, shrink } from './shrink.ts'

export interface ReplayTask {
  readonly seed: number
  readonly className: ClassName | null
  readonly withTrace: boolean
  readonly withShrink: boolean
}

export interface ReplayResult extends Omit<RunResult, 'lines' | 'coverage'> {
  /** Empty unless asked for. */
  readonly chart: string
  readonly shrunk: Omit<Shrunk, 'plan'> | null
}

export function runReplay(task: ReplayTask): ReplayResult {
  const plan = planOf(task.seed, task.className ?? undefined)
  const { lines, coverage: _coverage, ...result } = runPlan(plan, { withLines: task.withTrace })
  if (!task.withShrink || result.violation === null) {
    return { ...result, chart: task.withTrace ? chartOf(nodesOf(plan), lines) : '', shrunk: null }
  }
  const { plan: smaller, ...shrunk } = shrink(plan, result.violation.invariant)
  const again = task.withTrace ? runPlan(smaller, { withLines: true }).lines : []
  return { ...result, chart: task.withTrace ? chartOf(nodesOf(smaller), again) : '', shrunk }
}
