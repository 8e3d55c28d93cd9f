/** The public module: a user's state machine on simulated nodes. */
import { expect, test } from 'vitest'
import type { StateMachine } from '../../src/base/state-machine.ts'
import { simulateStateMachine } from '../../src/sim/state-machine.ts'

/** Folds every byte; `spoil` adds what a bad machine would. */
function machine(spoil: () => number = () => 0): StateMachine {
  let state = 7
  return {
    apply(batch) {
      while (batch.next()) {
        const { bytes, offset, size } = batch
        for (let i = offset; i < offset + size; i++) state = (state * 31 + bytes[i]!) % 1_000_003
      }
      state += spoil()
    },
    query: () => new Uint8Array(0),
    snapshot: () => Promise.resolve(),
    restore: () => Promise.resolve(),
    hash: () => String(state),
  }
}
const payload = (below: (limit: number) => number) => Uint8Array.of(below(256), below(256))
const seeds = [1, 4] as const

test('a deterministic machine passes under crashes and replays', () => {
  const report = simulateStateMachine({ create: () => machine(), payload, seeds })
  expect(report.problems).toEqual([])
  expect(report.schedules).toBe(4)
  expect(report.applied).toBeGreaterThan(10_000)
})

test('state that is shared between instances is found', () => {
  let calls = 0
  const { problems } = simulateStateMachine({
    create: () => machine(() => calls++ % 7),
    payload,
    seeds,
  })
  expect(problems[0]).toMatch(/^seed \d: two instances of node \d differ at \d+$/)
})

test.each([
  ['Date.now', () => Date.now()],
  ['Math.random', () => Math.random()],
])('%s in apply is refused, and is itself again afterwards', (name, spoil) => {
  const { problems } = simulateStateMachine({ create: () => machine(spoil), payload, seeds })
  expect(problems[0]).toContain(`${name} in apply`)
  expect(Date.now()).toBeGreaterThan(0)
  expect(Math.random()).toBeLessThan(1)
})

test('a machine without hash and a class that there is not are refused', () => {
  const bare: StateMachine = { ...machine() }
  delete (bare as { hash?: unknown }).hash
  const { problems } = simulateStateMachine({ create: () => bare, payload, seeds })
  expect(problems[0]).toContain('has no hash()')
  const bad = { create: () => machine(), payload, className: 'storm' as 'crash' }
  expect(() => simulateStateMachine(bad)).toThrow('no class storm')
})
