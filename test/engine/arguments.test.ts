/**
 * What JavaScript lets a caller hand in: refused with one clear error, before anything is done, so
 * that the calls behind it get their own answers and no node is the worse for it.
 */
import { expect, test } from 'vitest'
import type { MembershipChange, ReplicaNode } from '../../src/engine/index.ts'
import { codeOf, failing, openStore, put, text, textOf, valueOf } from '../support/engine.ts'

const BAD_SIGNALS = [null, new AbortController(), 'stop', {}] as unknown as AbortSignal[]
const BAD_BYTES = [
  ...['set x=1', null, undefined, 7, [1, 2]],
  ...[
    new Uint16Array(2),
    BigUint64Array.of(7n),
    new ArrayBuffer(8),
    new DataView(new ArrayBuffer(8)),
  ],
] as unknown as Uint8Array[]

const one = async (): Promise<ReplicaNode> =>
  (await openStore({ nodes: 1, layout: 'inline' })).nodes[0]!

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : '')

test('a signal that is none is refused before anything is written: no answer shifts', async () => {
  const node = await one()
  const session = await node.openSession()
  for (const signal of BAD_SIGNALS) {
    for (const call of [
      () => node.propose(put('k', 'x'), { signal }),
      () => node.proposeGroup([put('k', 'x')], { signal }),
      () => session.propose(put('k', 'x'), { signal }),
      () => node.read(text('k'), { signal }),
      () => node.sync({ signal }),
    ]) {
      const error = await failing(call())
      expect([codeOf(error), messageOf(error)]).toEqual([
        'E_CONFIG_INVALID',
        expect.stringContaining('signal: want an AbortSignal'),
      ])
    }
    expect(() => node.watch({ signal })).toThrow('signal: want an AbortSignal')
  }
  const [first, second] = await Promise.all([
    node.propose(put('k', 'a')),
    session.propose(put('k', 'b')),
  ])
  expect([first.index, second.index].map((index) => index > 0)).toEqual([true, true])
  expect(valueOf((await node.read(text('k'))).result)).toBe('b')
  expect(session.next).toBe(2)
})

test('what is no Uint8Array is refused, and the next call is as good as ever', async () => {
  const node = await one()
  const writer = node.writer()
  for (const bytes of BAD_BYTES) {
    const calls: (() => Promise<unknown>)[] = [
      () => node.propose(bytes),
      () => node.proposeGroup([put('k', 'x'), bytes]),
      () => node.read(bytes),
    ]
    for (const call of calls) {
      const error = await failing(Promise.resolve().then(call))
      expect([codeOf(error), messageOf(error)]).toEqual([
        'E_CONFIG_INVALID',
        expect.stringContaining('want a Uint8Array'),
      ])
    }
    expect(() => writer.tryWrite(bytes)).toThrow('want a Uint8Array')
  }
  await node.proposeGroup([put('k', 'a'), put('l', 'b')])
  expect(valueOf((await node.read(text('l'))).result)).toBe('b')
  expect(writer.tryWrite(put('k', 'c'))).toBe(true)
  await writer.close()
})

test('a query is the bytes at the time of the call, whatever becomes of its buffer', async () => {
  const node = await one()
  for (const key of ['a', 'b', 'c']) await node.propose(put(key, `value ${key}`))
  const scratch = text(' ')
  const reads = ['a', 'b', 'c'].map((key) => {
    scratch.set(text(key))
    return node.read(scratch)
  })
  scratch.fill(0)
  const values = (await Promise.all(reads)).map(({ result }) => valueOf(result))
  expect(values).toEqual(['value a', 'value b', 'value c'])
})

test('a change of the membership that names no known role or state changes nothing', async () => {
  const node = await one()
  const before = node.status().membership
  const changes = [
    { kind: 'role', id: 1, role: 'follower' },
    { kind: 'role', id: 1 },
    { kind: 'add', id: 2, promote: 'learner' },
    { kind: 'add', id: 2, promote: 'Voter' },
    { kind: 'set', id: 1, forced: 'x' },
  ] as unknown as MembershipChange[]
  for (const change of changes) {
    const error = await failing(node.changeMembership(change))
    expect([codeOf(error), messageOf(error)]).toEqual([
      'E_CONFIG_INVALID',
      expect.stringMatching(/(role|promote|forced)=.*: want one of/),
    ])
  }
  expect(node.status().membership).toEqual(before)
  expect((await node.propose(put('k', 'a'))).index).toBeGreaterThan(0)
})

test('a state machine that answers with something else fails the query, not the node', async () => {
  const stateMachine = () => ({
    apply: () => undefined,
    query: (question: Uint8Array) => textOf(question) as unknown as Uint8Array,
    snapshot: () => Promise.resolve(),
    restore: () => Promise.resolve(),
  })
  const [node] = (await openStore({ nodes: 1, layout: 'inline', stateMachine })).nodes
  const error = await failing(node!.read(text('k')))
  expect([codeOf(error), messageOf(error)]).toEqual([
    'E_QUERY_FAILED',
    expect.stringContaining('no Uint8Array'),
  ])
  expect((await node!.propose(text('x'))).index).toBeGreaterThan(0)
})
