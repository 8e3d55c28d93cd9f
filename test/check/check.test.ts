import { expect, test } from 'vitest'
import { checkHistory } from '../../src/check/check.ts'
import { createMemo, visit } from '../../src/check/memo.ts'
import { parseHistory } from '../../src/check/history.ts'
import type { Model, Operation } from '../../src/check/operation.ts'
import { checkText } from '../../src/check/text.ts'
import { createRandom, next } from '../support/random.ts'
import { recordHistory } from '../support/random-history.ts'

/**
 * A history drawn one line a process: `w1` is a call with its end at the closing bar, times are
 * columns. `|w1---|` ok, `|w1---x` fail, `|w1---?` info.
 */
function drawn(lines: readonly string[], model: Model): Operation[] {
  return lines.flatMap((line, process) =>
    [...line.matchAll(/\|([a-z]+)([^|?x-]*)-*([|?x])/g)].map((found): Operation => {
      const [text, f = '', argument = '', end = ''] = found
      const outcome = end === '?' ? 'info' : end === 'x' ? 'fail' : 'ok'
      const value = argument === '' ? null : (JSON.parse(argument) as Operation['value'])
      const isRead = f === 'r'
      return {
        process,
        key: '',
        f: NAMES[f]![model === 'kv' ? 1 : 0]!,
        value: isRead ? null : value,
        result: isRead || f === 'i' ? value : null,
        ...(f === 'i' ? { value: 1 } : {}),
        call: found.index,
        return: outcome === 'info' ? Infinity : found.index + text.length - 1,
        outcome,
      }
    }),
  )
}

const NAMES: Readonly<Record<string, readonly Operation['f'][]>> = {
  r: ['read', 'get'],
  w: ['write', 'put'],
  c: ['cas', 'cas'],
  d: ['delete', 'delete'],
  a: ['append', 'append'],
  i: ['incr', 'incr'],
}

const yes = 'linearizable'
const no = 'not-linearizable'

test.each<[name: string, model: Model, verdict: string, lines: string[]]>([
  ['nothing', 'register', yes, []],
  ['a new register is nil', 'register', yes, ['|r--|']],
  ['a value from nowhere', 'register', no, ['|w1--| |r2--|']],
  ['a stale read', 'register', no, ['|w1-| |w2-|', '            |r1-|']],
  ['an old value while the write is open', 'register', yes, ['|w1-| |w2----|', '        |r1-|']],
  ['new, then old', 'register', no, ['|w1-| |w2-----------|', '        |r2-| |r1-|']],
  ['a lost update', 'register', no, ['|w1-| |c[1,2]-|', '      |c[1,3]-|']],
  ['one cas of two fails', 'register', yes, ['|w1-| |c[1,2]-|', '      |c[1,3]-x']],
  ['a cas fails on a match', 'register', no, ['|w1-| |c[1,2]-x |r1-|']],
  [
    'a failed cas saw another value',
    'register',
    yes,
    ['|w1-|   |w1-|', '    |c[1,3]---x', '  |w2--|'],
  ],
  ['a failed cas had no other value', 'register', no, ['|w1-|  |w1-|', '      |c[1,3]-x']],
  ['a write that timed out, late', 'register', yes, ['|w1-?', '       |w2-| |r2-| |r1-|']],
  ['a write that timed out, twice', 'register', no, ['|w1-?', '   |r1-| |w2-| |r1-|']],
  ['a write that failed is seen', 'register', no, ['|w1-x', '       |r1-|']],
  ['a cas that timed out, late', 'register', yes, ['|c[1,2]-?', '          |w1-| |r1-| |r2-|']],
  ['a cas that timed out, no match', 'register', no, ['|c[1,2]-?', '          |w3-| |r2-|']],
  ['pending chain', 'register', yes, ['|c[1,2]-?', '|c[2,3]-?', '|w1-?', '         |r3-|']],
  ['pending chain, broken', 'register', no, ['|c[1,2]-?', '|c[2,3]-?', '         |r3-|']],
  ['pending write breaks a match', 'register', yes, ['|w9-?', '     |w1-| |c[1,2]-x']],
  ['a pending read', 'register', yes, ['|r1-?', '     |w2-| |r2-|']],
  ['deleted is absent', 'kv', yes, ['|w1-| |d-| |r--|']],
  ['deleted is seen', 'kv', no, ['|w1-| |d-| |r1-|']],
  ['cas of an absent key', 'kv', yes, ['|c[null,1]-| |r1-|']],
  ['incr counts', 'kv', yes, ['|i1-| |i2-| |r2-|']],
  ['incr repeats', 'kv', no, ['|i1-| |i1-|']],
  ['incr that timed out', 'kv', yes, ['|i-?', '     |i2-|']],
  ['appended', 'append', yes, ['|a1-| |a2-| |r[1,2]-|']],
  ['appended at once', 'append', yes, ['|a1-| |r[2,1]-|', '|a2-|']],
  ['reordered appends', 'append', no, ['|a1-| |a2-| |r[2,1]-|']],
  ['duplicate append', 'append', no, ['|a1-| |r[1,1]-|']],
  ['lost append', 'append', no, ['|a1-| |a2-| |r[2]-|']],
  ['two reads disagree', 'append', no, ['|a1-----| |r[1,2]-|', '|a2-----| |r[2,1]-|']],
  ['append that timed out, late', 'append', yes, ['|a1-?', '     |r[]-| |r[1]-|']],
  ['an element vanishes', 'append', no, ['|a1-| |r[1]-| |r[]-|']],
])('%s: %s is %s', (_name, model, verdict, lines) => {
  expect(checkHistory(model, drawn(lines, model)).verdict).toBe(verdict)
})

test('keys are judged apart, and the broken one is named', () => {
  const [good, bad] = [drawn(['|w1-| |r1-|'], 'kv'), drawn(['|w1-| |r2-|'], 'kv')]
  const named = (key: string, operations: Operation[]) =>
    operations.map((operation) => ({ ...operation, key }))
  const history = [...named('a', good), ...named('b', bad)]
  expect(checkHistory('kv', history)).toMatchObject({ verdict: no, key: 'b', keys: 2 })
})

test('the window is what contradicts, not what surrounds it', () => {
  const lines = [
    '|w7-| |w8-| |r8-| |w1-| |w2-| |r1-| |w5-|',
    ' |r7--|        |w3------|             |r5--|',
  ]
  const { window } = checkHistory('register', drawn(lines, 'register'))
  expect(window).toMatchObject({ initial: 'any', isMinimal: true })
  expect(window!.operations.map(({ f, value, result }) => [f, value ?? result])).toEqual([
    ...[['write', 2]],
    ['read', 1],
  ])
})

test('the text begins with the verdict and names lines', () => {
  const event = (type: string, f: string, value: unknown) =>
    JSON.stringify({ process: 1, type, f, key: 'x', value })
  const lines = [event('invoke', 'put', 1), event('ok', 'put', 1)]
  lines.push(event('invoke', 'get', null), event('ok', 'get', 2))
  const history = parseHistory('kv', 'jsonl', lines.join('\n'))
  const text = checkText(checkHistory('kv', history))
  expect(text.split('\n')[0]).toBe(no)
  expect(text).toContain('key "x"')
  expect(text).toMatch(/1 +get -> 2 +ok +line 3 +line 4/)
})

test('a budget of steps ends the search as unknown, the same each time', () => {
  const history = recordHistory(1, { model: 'register', processes: 8, operations: 99, values: 3 })
  const results = [1, 2].map(() => checkHistory('register', history, { stepsMax: 50 }))
  expect(results[0]).toMatchObject({ verdict: 'unknown', key: 'k0', window: null, states: 50 })
  expect(results[1]).toEqual(results[0])
})

test('a time-out and a full memo end the search as unknown', () => {
  const history = recordHistory(1, { model: 'register', processes: 9, operations: 999, values: 3 })
  let ms = 0
  const late = checkHistory('register', history, { timeoutMs: 2, now: () => ms++ })
  expect(late.verdict).toBe('unknown')
  expect(checkHistory('register', history, { memoryBytesMax: 2 ** 10 }).verdict).toBe('unknown')
})

test('10 000 operations of five clients on one register take less than two seconds', () => {
  const shape = { model: 'register', processes: 5, operations: 10_000, values: 5 } as const
  const history = recordHistory(3, shape)
  const reads = history.filter(({ f, outcome }) => f === 'read' && outcome === 'ok')
  const bad = history.map((one) => (one === reads.at(-3) ? { ...one, result: 77 } : one))
  const startMs = performance.now()
  expect(checkHistory('register', history).verdict).toBe(yes)
  expect(checkHistory('register', bad)).toMatchObject({ verdict: no, window: { isMinimal: true } })
  expect(performance.now() - startMs).toBeLessThan(2000)
})

test.each([5, 1000])('time-outs by the hundred, of %i values, do not blow up', (values) => {
  const shape = { model: 'register', processes: 5, operations: 3000, values } as const
  const history = recordHistory(4, { ...shape, infoRate: 0.05 })
  expect(history.filter(({ outcome }) => outcome === 'info').length).toBeGreaterThan(100)
  const { verdict, states } = checkHistory('register', history)
  expect(verdict).toBe(yes)
  expect(states).toBeLessThan(20_000)
})

test('configurations with one hash are told apart', () => {
  const memo = createMemo(0, 2 ** 26)
  // Among so many, about ten pairs have the same 32 bits of hash.
  const random = createRandom(1)
  const keys = Array.from({ length: 300_000 }, () => Int32Array.of(next(random), next(random)))
  expect(keys.every((key) => visit(memo, key, 2) === 'new')).toBe(true)
  expect(keys.every((key) => visit(memo, key, 2) === 'covered')).toBe(true)
})

test('a configuration is covered by one of the same place that had spent no more', () => {
  const memo = createMemo(1, 2 ** 24)
  expect(visit(memo, Int32Array.of(0b01, 3, 0), 3)).toBe('new')
  expect(visit(memo, Int32Array.of(0b11, 3, 0), 3)).toBe('covered')
  expect(visit(memo, Int32Array.of(0b10, 3, 0), 3)).toBe('new')
  expect(visit(memo, Int32Array.of(0b01, 3), 2)).toBe('new')
})

test('a violation after hundreds of time-outs is found by pieces', () => {
  const shape = { model: 'register', processes: 5, operations: 5000, values: 5 } as const
  const history = recordHistory(1, { ...shape, infoRate: 0.01 })
  const reads = history.filter(({ f, outcome }) => f === 'read' && outcome === 'ok')
  const bad = history.map((one) => (one === reads.at(-3) ? { ...one, result: 77 } : one))
  const result = checkHistory('register', bad, { stepsMax: 300_000 })
  expect(result).toMatchObject({ verdict: no, window: { isMinimal: true } })
})
