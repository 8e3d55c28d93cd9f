import { expect, test } from 'vitest'
import { checkHistory } from '../../src/check/check.ts'
import { canCutLeft, matters, prefixOf, suffixOf } from '../../src/check/cut.ts'
import type { Operation } from '../../src/check/operation.ts'
import { reductionsOf } from '../../src/check/reduce.ts'
import { hasOrder, hasOrderFromAny } from '../support/brute-force.ts'
import {
  chanceOf,
  drawHistory,
  type HistoryShape,
  mutateHistory,
  recordHistory,
} from '../support/random-history.ts'

const [FIRST, LAST] = (process.env['CHECK_SEEDS'] ?? '1..1500').split('..').map(Number) as [
  number,
  number,
]
const seeds = Array.from({ length: LAST - FIRST + 1 }, (_, i) => FIRST + i)

const REGISTER: HistoryShape = { model: 'register', processes: 3, operations: 7, values: 3 }
const SHAPES: readonly [name: string, shape: HistoryShape][] = [
  ['register', REGISTER],
  ['register of two values', { ...REGISTER, values: 2 }],
  ['register with time-outs', { ...REGISTER, infoRate: 0.4 }],
  ['register of many time-outs', { ...REGISTER, infoRate: 0.7, values: 4 }],
  ['kv', { ...REGISTER, model: 'kv', infoRate: 0.2 }],
  ['counter', { ...REGISTER, model: 'kv', infoRate: 0.2, hasIncr: true }],
  ['list', { ...REGISTER, model: 'append', infoRate: 0.2 }],
  ['list of values once each', { ...REGISTER, model: 'append', infoRate: 0.3, isUnique: true }],
]

test.each(SHAPES)('%s: what an atomic object did is always linearizable', (_name, shape) => {
  for (const seed of seeds) {
    const long = { ...shape, processes: 6, operations: 150, keys: 2 }
    const { verdict } = checkHistory(shape.model, recordHistory(seed, long))
    expect({ seed, verdict }).toEqual({ seed, verdict: 'linearizable' })
  }
})

test.each(SHAPES)('%s: verdicts are those of all orders tried one by one', (_name, shape) => {
  const counts = { linearizable: 0, 'not-linearizable': 0, unknown: 0 }
  for (const seed of seeds) {
    const recorded = recordHistory(seed, shape)
    const mutated = mutateHistory(seed, shape, recorded) ?? recorded
    for (const history of [mutated, drawHistory(seed, shape)]) {
      const { verdict, window } = checkHistory(shape.model, history)
      const want = hasOrder(history) ? 'linearizable' : 'not-linearizable'
      expect({ seed, history, verdict }).toEqual({ seed, history, verdict: want })
      counts[verdict]++
      if (window !== null) judgeWindow(seed, history, window)
    }
  }
  // Both verdicts occur often, or the comparison shows little.
  expect(counts.linearizable).toBeGreaterThan(seeds.length / 10)
  expect(counts['not-linearizable']).toBeGreaterThan(seeds.length / 10)
})

function judgeWindow(
  seed: number,
  history: readonly Operation[],
  window: NonNullable<ReturnType<typeof checkHistory>['window']>,
): void {
  const { operations, initial } = window
  const isOrdered = initial === 'any' ? hasOrderFromAny(operations) : hasOrder(operations)
  expect({ seed, history, window, isOrdered }).toMatchObject({ isOrdered: false })
  expect(operations.length).toBeGreaterThan(0)
  expect(window.isMinimal).toBe(true)
}

test.each(SHAPES)('%s: no step towards a window spoils an order', (_name, shape) => {
  for (const seed of seeds) {
    const chance = chanceOf(seed)
    const whole = recordHistory(seed, { ...shape, operations: 8 }).filter(matters)
    const at = (): number => Math.floor(chance() * 30)
    const prefix = prefixOf(whole, at())
    expect({ seed, prefix, isOrdered: hasOrder(prefix) }).toMatchObject({ isOrdered: true })
    const canCut = canCutLeft(shape.model, prefix) && chance() < 0.5
    let operations = canCut ? suffixOf(prefix, at()) : prefix
    // All answers come from chance: some seeds take nearly every step, some only the last.
    const rate = chance()
    const trial = { isBroken: () => chance() < rate, isOver: () => false }
    const reductions = reductionsOf(shape.model)
    const from = Math.floor(chance() * reductions.length)
    for (const reduce of reductions.slice(from)) operations = reduce(operations, trial)
    const isOrdered = canCut ? hasOrderFromAny(operations) : hasOrder(operations)
    expect({ seed, whole, operations, isOrdered }).toMatchObject({ isOrdered: true })
  }
})
