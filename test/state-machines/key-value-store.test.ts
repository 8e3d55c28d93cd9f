/** Bounds, order, time and what a watch is told: the parts of the store one by one. */
import { expect, test } from 'vitest'
import { encodeCommand } from '../../src/state-machines/key-value-codec.ts'
import { changesOf } from '../../src/state-machines/key-value-changes.ts'
import type {
  KvAnswer,
  KvCommand,
  TickAnswer,
  TxnAnswer,
} from '../../src/state-machines/key-value-commands.ts'
import { createKeyValueStateMachine } from '../../src/state-machines/key-value.ts'
import { createDeadlines, pushDeadline } from '../../src/state-machines/key-value-deadlines.ts'
import {
  createKeyIndex,
  insertKey,
  removeKey,
  walkKeys,
} from '../../src/state-machines/key-value-keys.ts'
import { below, createRandom } from '../support/random.ts'
import { applyOne, ask, bytesOf, run, snapshotOf } from './key-value-support.ts'

const NOTHING = new Uint8Array(0)
const k = bytesOf('k')
const put = (key: string, value: Uint8Array): KvCommand => ({
  kind: 'put',
  key: bytesOf(key),
  value,
})

test('keys stay in order through any insertions and removals', () => {
  const random = createRandom(5)
  const index = createKeyIndex()
  const all = new Set<string>()
  for (let i = 0; i < 20_000; i++) {
    const key = String(below(random, 4_000))
    if (all.has(key)) {
      removeKey(index, key)
      all.delete(key)
    } else {
      insertKey(index, key)
      all.add(key)
    }
  }
  const walked: string[] = []
  walkKeys(index, '1', '3', (key) => walked.push(key) > 0)
  expect(walked).toEqual([...all].filter((key) => key >= '1' && key < '3').sort())
  expect(index.blocks.every(({ length }) => length > 0 && length <= 128)).toBe(true)
  expect(index.firsts).toEqual(index.blocks.map(([first]) => first))
  for (const key of all) removeKey(index, key)
  expect(index).toEqual({ blocks: [], firsts: [] })
})

test('a deadline that is moved again and again leaves no more behind than twice what holds', () => {
  const deadlines = createDeadlines()
  let last = 0
  for (let at = 1; at <= 10_000; at++) {
    last = at
    pushDeadline(deadlines, at, 'k', 1, (_key, time) => time === last)
  }
  expect(deadlines.heap.length).toBeLessThanOrEqual(2 + 64 + 1)
})

test('time is what ticks say: a key is there through its deadline, and goes with a tick', () => {
  const store = createKeyValueStateMachine()
  run(store, { kind: 'tick', nowMs: 1_000 }, 1)
  run(store, { kind: 'put', key: k, value: k, ttlMs: 50, nowMs: 1_020 }, 2)
  const ttl = () => ask(store, { kind: 'get', key: k })[0]
  expect(ttl()).toMatchObject({ entry: { ttlMs: 50, createRevision: 2 } })
  run(store, { kind: 'tick', nowMs: 1_069 }, 3)
  expect(ttl()).toMatchObject({ entry: { ttlMs: 1 } })
  run(store, { kind: 'tick', nowMs: 900 }, 4) // never back
  expect(ttl()).toMatchObject({ entry: { ttlMs: 1 } })
  expect(run(store, { kind: 'tick', nowMs: 1_070 }, 5)).toMatchObject({ leased: 0, more: false })
  expect(ttl()).toEqual({ kind: 'get', entry: null })
})

test('a tick removes a bounded number of keys, in order of time, and says if there is more', () => {
  const store = createKeyValueStateMachine()
  for (let i = 0; i < 2_500; i++) {
    const key = bytesOf(String(i).padStart(4, '0'))
    run(store, { kind: 'put', key, value: NOTHING, ttlMs: 1 + (i % 2) }, i + 1)
  }
  const ticks = [1, 2, 3, 4].map(
    (i) => run(store, { kind: 'tick', nowMs: 9 }, 2_500 + i) as TickAnswer,
  )
  expect(ticks.map(({ expired }) => expired.length)).toEqual([1_024, 1_024, 452, 0])
  expect(ticks.map(({ more }) => more)).toEqual([true, true, false, false])
  expect(ticks.map(({ leased }) => leased)).toEqual([1_476, 452, 0, 0])
  const first = ticks[0]!.expired.map((key) => Number(Buffer.from(key).toString()))
  expect(first.every((number) => number % 2 === 0)).toBe(true)
})

test('a store at its bound refuses what adds to it, and goes on behind a delete', () => {
  const store = createKeyValueStateMachine({ sizeMaxBytes: 100, keysMax: 2 })
  const big = new Uint8Array(90)
  const full = { kind: 'refused', reason: 'full' }
  expect(run(store, put('a', big), 1)).toMatchObject({ done: true })
  const before = store.hash()
  expect(run(store, put('b', big), 2)).toEqual(full)
  expect(run(store, put('a', new Uint8Array(200)), 3)).toEqual(full)
  expect(run(store, { kind: 'put', key: bytesOf('b'), value: big, previous: true }, 4)).toEqual(
    full,
  )
  expect(store.hash()).toBe(before)
  expect(run(store, put('a', new Uint8Array(10)), 5)).toMatchObject({ done: true })
  expect(run(store, put('b', NOTHING), 6)).toMatchObject({ done: true })
  expect(run(store, put('c', NOTHING), 7)).toEqual(full)
  expect(run(store, { kind: 'incr', key: bytesOf('c'), delta: 1n }, 8)).toEqual(full)
  run(store, { kind: 'delete', key: bytesOf('b') }, 9)
  expect(run(store, put('c', NOTHING), 10)).toMatchObject({ done: true })
})

test('an answer has an end: what is read beyond it has no room, writes are done', () => {
  const store = createKeyValueStateMachine()
  const value = new Uint8Array(1_000_000)
  for (const [i, key] of ['a', 'b', 'c'].entries()) run(store, put(key, value), i + 1)
  const get = (key: string) => ({ kind: 'get', key: bytesOf(key) }) as const
  const then = [get('a'), get('b'), { kind: 'delete', key: bytesOf('c') } as const]
  const txn = { kind: 'txn', guards: [], then, else: [] } as const
  const answer = run(store, txn, 4)
  expect((answer as TxnAnswer).answers).toMatchObject([
    ...[{ kind: 'get' }, { kind: 'refused', reason: 'answer-size' }, { done: true }],
  ])
  expect(applyOne(store, encodeCommand(txn), 5).length).toBeLessThan(2 * 1_024 * 1_024)
  const range = { kind: 'range', from: NOTHING, to: null } as const
  expect(ask(store, range)[0]).toMatchObject({ more: true, entries: [{ createRevision: 1 }] })
})

test('ranges end at their limit and at their end, and go on behind the last key', () => {
  const store = createKeyValueStateMachine()
  for (const [i, key] of ['d', 'b', 'a', 'c'].entries()) run(store, put(key, k), i + 1)
  const keys = (from: string, to: string | null, limit: number) => {
    const [found] = ask(store, {
      ...{ kind: 'range', from: bytesOf(from), limit },
      to: to === null ? null : bytesOf(to),
    })
    const { entries, more } = found as KvAnswer & { kind: 'range' }
    return `${entries.map(({ key }) => Buffer.from(key).toString()).join('')}${more ? '+' : ''}`
  }
  expect(keys('', null, 9)).toBe('abcd')
  expect(keys('', null, 2)).toBe('ab+')
  expect(keys('b\0', null, 2)).toBe('cd')
  expect(keys('b', 'd', 9)).toBe('bc')
  expect(keys('d', 'b', 9)).toBe('')
})

test.each([-1, 0, 1].map((by) => [by]))('a key of 4,096 %i bytes: the limit', (by) => {
  const store = createKeyValueStateMachine()
  const command = { kind: 'incr', key: new Uint8Array(4_096 + by), delta: 1n } as const
  const want = by > 0 ? { kind: 'refused', reason: 'malformed' } : { kind: 'incr', value: 1n }
  expect(run(store, command, 1)).toEqual(want)
})

test('a command beyond 1.5 MiB and a transaction beyond 1,024 operations are malformed', () => {
  const store = createKeyValueStateMachine()
  const value = new Uint8Array(1_536 * 1_024)
  expect(run(store, { kind: 'put', key: k, value, previous: true }, 1)).toMatchObject({
    reason: 'malformed',
  })
  const then = Array.from({ length: 1_025 }, () => ({ kind: 'get', key: k }) as const)
  const txn = { kind: 'txn', guards: [], then, else: [] } as const
  expect([...applyOne(store, encodeCommand(txn), 2)]).toEqual([2])
  expect(run(store, { ...txn, then: then.slice(1) }, 3)).toMatchObject({ succeeded: true })
})

test('the hash sees every part of the state; a snapshot is the same by any way', async () => {
  const ways: KvCommand[][] = [
    [put('a', k), put('b', k)],
    [put('a', k), put('b', k), { kind: 'tick', nowMs: 1 }],
    [put('a', k), put('b', k), { kind: 'expire', key: bytesOf('b'), ttlMs: 9 }],
    [put('a', k), put('b', k), put('b', k)],
    [put('b', k), put('a', k)],
  ]
  const hashes = ways.map((way) => {
    const store = createKeyValueStateMachine()
    way.forEach((one, i) => run(store, one, i + 1))
    return store.hash()
  })
  expect(new Set(hashes).size).toBe(ways.length)

  const straight = createKeyValueStateMachine()
  const around = createKeyValueStateMachine()
  run(straight, put('a', k), 5)
  run(straight, put('b', k), 6)
  run(around, put('b', k), 4)
  run(around, put('a', k), 5)
  run(around, { kind: 'delete', key: bytesOf('b') }, 5)
  run(around, put('b', k), 6)
  expect(around.hash()).toBe(straight.hash())
  expect(await snapshotOf(around)).toEqual(await snapshotOf(straight))
})

test.each<[name: string, chunks: number[][]]>([
  ['no head', []],
  ['another version', [[2, ...new Array<number>(16).fill(0)]]],
  [
    'half an entry',
    [
      [1, ...new Array<number>(16).fill(0)],
      [1, 0, 65, 1],
    ],
  ],
  ['fewer keys than it says', [[1, ...new Array<number>(8).fill(0), 1, 0, 0, 0, 0, 0, 0, 0]]],
])('a snapshot with %s is refused', async (_name, chunks) => {
  const store = createKeyValueStateMachine()
  const left = chunks.map((chunk) => Uint8Array.from(chunk))
  await expect(async () => store.restore({ read: () => left.shift() ?? null })).rejects.toThrow(
    /snapshot/,
  )
})

test('what a watch is told of an entry: what it changed, or that nobody knows any more', () => {
  const store = createKeyValueStateMachine()
  const other = bytesOf('other')
  let index = 0
  const changes = (command: KvCommand, isForgotten = false) => {
    const payload = encodeCommand(command)
    const result = applyOne(store, payload, ++index)
    const { changes, isCertain } = changesOf(payload, isForgotten ? undefined : result)
    return isCertain ? changes.map(({ kind }) => kind) : null
  }
  const absent = { kind: 'put', key: k, value: k, only: 'absent' } as const
  expect(changes(absent)).toEqual(['put'])
  expect(changes(absent)).toEqual([])
  expect(changes(absent, true)).toBeNull()
  expect(changes({ kind: 'put', key: k, value: k, ttlMs: 5 }, true)).toEqual(['put'])
  expect(changes({ kind: 'cas', key: k, expected: other, value: k })).toEqual([])
  expect(changes({ kind: 'cas', key: k, expected: k, value: other }, true)).toBeNull()
  expect(changes({ kind: 'incr', key: bytesOf('n'), delta: 2n })).toEqual(['put'])
  expect(changes({ kind: 'incr', key: k, delta: 2n })).toEqual([])
  const guards = [{ key: k, field: 'version', is: 'equal', value: 0 }] as const
  const either = { then: [absent], else: [{ kind: 'delete', key: k }] } as const
  expect(changes({ kind: 'txn', guards, ...either })).toEqual(['delete'])
  expect(changes({ kind: 'txn', guards, ...either }, true)).toBeNull()
  expect(changes({ kind: 'txn', guards: [], then: either.else, else: [] }, true)).toEqual([
    'delete',
  ])
  expect(changes({ kind: 'put', key: k, value: k, ttlMs: 5 })).toEqual(['put'])
  expect(changes({ kind: 'tick', nowMs: 5 })).toEqual(['delete'])
  expect(changes({ kind: 'tick', nowMs: 6 }, true)).toBeNull()
  expect(changes({ kind: 'delete-range', from: NOTHING, to: null })).toEqual(['delete-range'])
  expect(changesOf(Uint8Array.of(77), Uint8Array.of(2))).toEqual({ changes: [], isCertain: true })
})
