/** Reads and leases at the decide stage: cells in, cells out, and two clocks that disagree. */
import { expect, test } from 'vitest'
import type { MessageCodec } from '../../src/codec/message-codec.ts'
import type { Core, Effect, Input } from '../../src/core/engine.ts'
import type { LogIndex, NodeId } from '../../src/core/ids.ts'
import { isLeaseValid, leaseLifeOf, leaseMemory, openLease } from '../../src/ring/lease.ts'
import { createDecideStage } from '../../src/stages/decide-stage.ts'
import * as reads from '../../src/stages/read-cells.ts'
import { createRetention, keepBehind } from '../../src/stages/retention.ts'
import { cellRing, cellsOf, logRing, order, port } from '../support/engine-cells.ts'

type Answer = (input: Input<never>, effects: Effect<never>[]) => void

/** Messages here are numbers. */
const codec = {
  encode: (message: number, words: Float64Array, base: number) => void (words[base] = message),
  probeOf: () => 0,
} as unknown as MessageCodec<never>

function open(answer: Answer, hasLeases = true) {
  const toApply = cellRing()
  const asked = cellRing()
  const toFanout = cellRing()
  const clock = { now: 1_000, wall: 50_000 }
  const words = openLease(leaseMemory())
  const core = { step: answer, view: { chosen: 0, held: 0 } } as unknown as Core<never>
  const stage = createDecideStage<never>({
    ...{ core, codec, logRings: [logRing()], reads: asked },
    ...{ submitted: cellRing(), received: cellRing(), fromWal: cellRing() },
    ...{ fromApply: cellRing(), fromFanout: cellRing(), toApply: port(toApply) },
    ...{ toWal: port(cellRing()), toFanout: port(toFanout), toIngest: null },
    ...{
      answersAll: false,
      retention: createRetention(keepBehind(0)),
      appliesHere: true,
      nowMs: () => clock.now,
    },
    ...{ onEvent: () => undefined, onView: () => undefined },
    wallMs: () => clock.wall,
    lease: hasLeases ? words : null,
  })
  const ask = (...values: number[]): void => {
    order(port(asked), [reads.READ_ASKED, ...values])
    stage.doWork()
  }
  const orders = () => cellsOf(toApply).map((c) => c.slice(0, 4))
  const sent = () => cellsOf(toFanout).map(([message, to]) => [message, to])
  return { stage, ask, clock, words, orders, sent }
}

const ready = (id: number, index: number, lease: boolean): Effect<never> => ({
  ...{ kind: 'read-ready', id, index: index as LogIndex, lease },
})

test('a read reaches the core, and its index or reason the state machine', () => {
  const inputs: Input<never>[] = []
  const { ask, orders } = open((input, effects) => {
    if (input.kind !== 'read-asked') return
    inputs.push(input)
    if (input.id === 1) effects.push(ready(1, 42, false))
    else effects.push({ kind: 'read-refused', id: input.id, reason: 'late' })
  })
  ask(1, reads.READ_MODES.indexOf('linearizable'), 0)
  ask(2, reads.READ_MODES.indexOf('stale'), 250)
  expect(inputs).toEqual([
    { kind: 'read-asked', id: 1, mode: 'linearizable', boundMs: 0 },
    { kind: 'read-asked', id: 2, mode: 'stale', boundMs: 250 },
  ])
  expect(orders()).toEqual([
    [reads.READ_AT, 1, 42, 0],
    [reads.READ_REFUSED, 2, reads.codeOfFailure('late'), 0],
  ])
})

test('a lease is shared with both clocks, and a read by lease names its life', () => {
  const { ask, orders, words, stage, clock } = open((input, effects) => {
    if (input.kind !== 'read-asked') return
    if (input.id === 1) effects.push({ kind: 'lease', until: 1_500 })
    effects.push(ready(input.id, 7, true))
    if (input.id === 2) effects.push({ kind: 'lease', until: 0 })
  })
  stage.doWork() // the tick that takes both clocks
  ask(1, 1, 0)
  const life = leaseLifeOf(words)
  expect(isLeaseValid(words, life, 1_499, 50_499)).toBe(true)
  expect(isLeaseValid(words, life, 1_499, 50_500)).toBe(false)
  clock.now += 1
  ask(2, 1, 0)
  expect(leaseLifeOf(words)).not.toBe(life)
  ask(3, 1, 0) // none any more: whatever it names is not valid
  const named = orders().map((words) => words[3]!)
  expect(named.slice(0, 2)).toEqual([life, life])
  expect(named[2]).not.toBe(0)
  expect(isLeaseValid(words, named[2]!, 1_001, 50_001)).toBe(false)
})

test('what is said by lease leaves if the lease is valid behind the step, else a no', () => {
  const { ask, sent, stage, clock } = open((input, effects) => {
    if (input.kind !== 'read-asked') return
    if (input.id === 1) effects.push({ kind: 'lease', until: 1_500 })
    const [to, message, otherwise] = [4 as NodeId, 100 as never, 200 as never]
    effects.push({ kind: 'send-by-lease', to, message, otherwise })
    if (input.boundMs > 0) clock.now += input.boundMs // a step that took so long
  })
  stage.doWork() // the tick that takes both clocks
  ask(1, 1, 0)
  ask(2, 1, 600)
  clock.now = 1_400
  clock.wall += 600 // the machine slept: only the wall knows
  ask(3, 1, 0)
  expect(sent()).toEqual([
    [100, 4],
    [200, 4],
    [200, 4],
  ])
})

test('clocks that part are told to the core before the tick, and only then', () => {
  const kinds: string[] = []
  const { stage, clock } = open((input) => kinds.push(input.kind))
  const advance = (ms: number, wallMs: number): string => {
    clock.now += ms
    clock.wall += wallMs
    kinds.length = 0
    stage.doWork()
    return kinds.join()
  }
  expect(advance(5, 5)).toBe('tick')
  expect(advance(6, 5)).toBe('tick')
  expect(advance(6, 3_000)).toBe('clock-jumped,tick') // it slept
  expect(advance(5, 5)).toBe('tick')
  expect(advance(5, -100)).toBe('clock-jumped,tick') // somebody set the clock
})

test('a jump is told without leases too: a stale read counts by the same clock', () => {
  const kinds: string[] = []
  const { stage, clock } = open((input) => kinds.push(input.kind), false)
  stage.doWork()
  clock.now += 5
  clock.wall += 3_000
  stage.doWork()
  expect(kinds.join()).toBe('tick,clock-jumped,tick')
})

test('a stale read after a sleep waits for no tick: the core is told of the jump first', () => {
  const inputs: string[] = []
  const { ask, clock } = open(({ kind }) => void inputs.push(kind), false)
  ask(1, reads.READ_MODES.indexOf('stale'), 250)
  inputs.length = 0
  clock.wall += 540 // the monotonic clock stood still: no tick is due
  ask(2, reads.READ_MODES.indexOf('stale'), 250)
  expect(inputs).toEqual(['clock-jumped', 'read-asked'])
})

test('after a pause the core is told the time before it is asked anything', () => {
  const kinds: string[] = []
  const { stage, ask, clock } = open((input) => kinds.push(input.kind))
  stage.doWork()
  clock.now += 10_000
  clock.wall += 10_000
  ask(1, reads.READ_MODES.indexOf('stale'), 100)
  expect(kinds.join()).toBe('tick,tick,read-asked')
})
