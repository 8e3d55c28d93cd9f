/** Seeds of each class in this process: no violation, and the same steps each time. */
import { expect, test } from 'vitest'
import { CLASSES, CLASS_NAMES, type ClassName, classOf, planOf } from '../../src/sim/classes.ts'
import { runPlan } from '../../src/sim/run.ts'

const SEEDS: Partial<Record<ClassName, number>> = { micro: 600, 'partial-connectivity': 30 }
const DEFAULT_SEEDS = 12

test.each(CLASS_NAMES)('class %s: a range of seeds violates nothing', (name) => {
  const failed: string[] = []
  for (let seed = 1; seed <= (SEEDS[name] ?? DEFAULT_SEEDS); seed++) {
    const { violation } = runPlan(planOf(seed, name))
    if (violation !== null) failed.push(`--replay ${seed} --class ${name}: ${violation.message}`)
  }
  expect(failed).toEqual([])
})

test.each(CLASS_NAMES)('class %s: the same seed takes the same steps', (name) => {
  const once = runPlan(planOf(4, name))
  const again = runPlan(planOf(4, name), { withLines: true })
  expect(again.traceHash).toBe(once.traceHash)
  expect(again.events).toBe(once.events)
  expect(runPlan(planOf(5, name)).traceHash).not.toBe(once.traceHash)
})

test('a micro schedule has three nodes and at most 150 events', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const plan = planOf(seed, 'micro')
    expect(plan.members).toHaveLength(3)
    expect(runPlan(plan).events).toBeLessThanOrEqual(150)
  }
})

test('seeds draw every class, in the shares of the table', () => {
  const counts = new Map<string, number>()
  for (let seed = 1; seed <= 5_000; seed++) {
    counts.set(classOf(seed), (counts.get(classOf(seed)) ?? 0) + 1)
  }
  expect(Object.values(CLASSES).reduce((sum, { share }) => sum + share, 0)).toBe(100)
  for (const name of CLASS_NAMES) {
    const share = (counts.get(name) ?? 0) / 50
    expect(Math.abs(share - CLASSES[name].share), name).toBeLessThan(3)
  }
})
