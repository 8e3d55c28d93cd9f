/** The key-value service over a real cluster: what each operation promises, who refuses what. */
import { expect, onTestFinished, test } from 'vitest'
import { type KvService, openKvService } from '../../src/server/kv-service.ts'
import type { LocalClusterOptions } from '../../src/engine/index.ts'
import { codeOf, failing, openStore, outcomeOf, text, textOf, until } from '../support/engine.ts'

const TICK_MS = 20

async function openService(options: Partial<LocalClusterOptions> = {}) {
  const cluster = await openStore({ layout: 'inline', ...options })
  const service = openKvService(cluster, { tickMs: TICK_MS })
  onTestFinished(() => service.close())
  return { cluster, service }
}

const [a, b, c] = ['a', 'b', 'c'].map(text) as [Uint8Array, Uint8Array, Uint8Array]
const held = async (service: KvService, key: Uint8Array): Promise<string | null> =>
  textOf((await service.get(key)).entry?.value ?? null)

test('put, get, delete and cas with revisions that are indexes of the log', async () => {
  const { service } = await openService()
  const first = await service.put(a, text('1'))
  expect(first.done).toBe(true)
  const second = await service.put(a, text('2'), { previous: true })
  expect(textOf(second.previous!.value)).toBe('1')
  expect((await service.get(a)).entry).toMatchObject({
    ...{ createRevision: first.revision, modRevision: second.revision, version: 2, ttlMs: null },
  })
  expect((await service.put(a, text('3'), { only: 'absent' })).done).toBe(false)
  expect((await service.cas(a, { expected: text('1'), value: text('4') })).done).toBe(false)
  expect((await service.cas(a, { expected: text('2'), value: text('4') })).done).toBe(true)
  expect(await held(service, a)).toBe('4')
  expect((await service.delete(a)).done).toBe(true)
  expect((await service.delete(a)).done).toBe(false)
  expect((await service.get(a)).entry).toBeNull()
})

test('ranges, many keys at once, and the deletion of a range', async () => {
  const { service } = await openService()
  await Promise.all([a, b, c].map((key) => service.put(key, key)))
  const names = ({ entries }: { entries: readonly { key: Uint8Array }[] }) =>
    entries.map(({ key }) => textOf(key)).join('')
  expect(names(await service.range({ from: a, to: c }))).toBe('ab')
  expect(await service.range({ from: a, to: null, limit: 2 })).toMatchObject({ more: true })
  const { entries } = await service.getMany([c, text('none'), a], { keysOnly: true })
  expect(entries.map((entry) => textOf(entry?.key ?? null))).toEqual(['c', null, 'a'])
  expect(entries[0]!.value).toBeNull()
  expect(await service.deleteRange({ from: b, to: null })).toMatchObject({ count: 2 })
  expect(await service.status()).toMatchObject({ keys: 1, leased: 0, sizeBytes: 2 })
})

test('a transaction does one branch as one entry, and answers each operation', async () => {
  const { service } = await openService()
  const isNew = [{ key: a, field: 'version', is: 'equal', value: 0 }] as const
  const put = (key: Uint8Array) => ({ kind: 'put', key, value: key }) as const
  const txn = { guards: isNew, then: [put(a), put(b)], else: [{ kind: 'delete', key: b }] } as const
  const first = await service.txn(txn)
  expect(first).toMatchObject({ succeeded: true, answers: [{ done: true }, { done: true }] })
  const { entries } = await service.getMany([a, b])
  expect(entries.map((entry) => entry!.createRevision)).toEqual([first.revision, first.revision])
  expect(await service.txn(txn)).toMatchObject({ succeeded: false, answers: [{ done: true }] })
  expect(await held(service, b)).toBeNull()
})

test('increments are exact, and what is no number says so', async () => {
  const { service } = await openService()
  const sums = await Promise.all(Array.from({ length: 300 }, () => service.incr(a)))
  expect(sums.map(({ value }) => Number(value)).sort((x, y) => x - y)).toEqual(
    Array.from({ length: 300 }, (_, i) => i + 1),
  )
  expect((await service.incr(a, -300n)).value).toBe(0n)
  await service.put(b, text('nine'))
  expect(codeOf(await failing(service.incr(b)))).toBe('E_NOT_A_NUMBER')
  await service.put(b, text(String(2n ** 63n - 1n)))
  const error = await failing(service.incr(b))
  expect([codeOf(error), outcomeOf(error)]).toEqual(['E_NOT_A_NUMBER', 'not-proposed'])
})

test('each consistency reads what it promises, with the token of a write at any node', async () => {
  const { cluster, service } = await openService({ tuning: { leaseMs: 400 } })
  const { token } = await service.put(a, text('v'))
  for (const node of cluster.nodes) {
    const here = openKvService(node)
    onTestFinished(() => here.close())
    for (const consistency of ['linearizable', 'lease', 'session'] as const) {
      const { entry, token: seen } = await here.get(a, { consistency, token })
      expect(textOf(entry!.value)).toBe('v')
      expect(seen.index).toBeGreaterThanOrEqual(token.index)
    }
  }
})

test('a node that does not lead refuses writes and names the leader', async () => {
  const { cluster, service } = await openService()
  const leader = await cluster.leader()
  const other = openKvService(cluster.nodes.find((node) => node !== leader)!)
  onTestFinished(() => other.close())
  expect([other.leads, other.leader]).toEqual([false, leader.id])
  expect([service.leads, service.leader]).toEqual([true, leader.id])
  const error = await failing(other.put(a, a))
  expect(error).toMatchObject({ code: 'E_NOT_LEADER', detail: { leader: leader.id } })
  expect(outcomeOf(error)).toBe('not-proposed')
})

test('all problems of a request are named before anything is proposed', async () => {
  const { cluster, service } = await openService()
  const { last } = (await cluster.leader()).status()
  const big = new Uint8Array(5_000)
  const fails = async (promise: Promise<unknown>) => String(await failing(promise))
  expect(await fails(service.put(big, big, { ttlMs: 0, keepTtl: true }))).toBe(
    'ReplicaError: E_REQUEST_INVALID: key: 5000 bytes, at most 4096; ' +
      'ttlMs=0: want a whole number from 1 to 4398046511104; ttlMs, keepTtl: want one of them',
  )
  expect(await fails(service.put('a' as unknown as Uint8Array, a))).toMatch(
    'key: want a Uint8Array',
  )
  expect(await fails(service.put(a, new Uint8Array(2 ** 21)))).toMatch('in one request')
  expect(await fails(service.incr(a, 2n ** 63n))).toMatch('delta: at most 64 bits')
  expect(await fails(service.range({ from: a, to: big, limit: 0 }))).toMatch(/to: 5000.*limit=0/)
  const gets = Array.from({ length: 1_025 }, () => ({ kind: 'get', key: a }) as const)
  expect(await fails(service.txn({ guards: [], then: gets, else: [] }))).toMatch('1025 operations')
  expect(await fails(service.getMany(gets.map(({ key }) => key)))).toMatch('1025 questions')
  expect((await cluster.leader()).status().last).toBe(last)
})

test('a key goes when its time is over, not before; time stands while none needs it', async () => {
  const { service } = await openService()
  const start = performance.now()
  await service.put(a, a, { ttlMs: 150 })
  await service.put(b, b, { ttlMs: 60_000 })
  const { entry } = await service.ttl(b)
  expect(entry!.ttlMs).toBeGreaterThan(59_000)
  while ((await service.get(a)).entry !== null);
  expect(performance.now() - start).toBeGreaterThanOrEqual(150)
  expect((await service.expire(b, null)).done).toBe(true)
  expect((await service.ttl(b)).entry).toEqual({ ttlMs: null })
  expect((await service.ttl(a)).entry).toBeNull()

  const { clockMs } = await service.status()
  let entries = -1
  await until('nothing is written any more', () => {
    const { last } = service.node.status()
    const isSame = last === entries
    entries = last
    return isSame
  })
  await new Promise((resolve) => setTimeout(resolve, 5 * TICK_MS))
  expect((await service.status()).clockMs - clockMs).toBeLessThanOrEqual(2 * TICK_MS)
  // The clock goes on where it stood: what stood still takes nothing from a new key.
  const again = performance.now()
  await service.put(a, a, { ttlMs: 100 })
  while ((await service.get(a)).entry !== null);
  expect(performance.now() - again).toBeGreaterThanOrEqual(100)
})

test('a key with a time to live outlives a change of leader, and still goes', async () => {
  const { cluster, service } = await openService()
  const start = performance.now()
  await service.put(a, a, { ttlMs: 400 })
  const leader = await cluster.leader()
  const next = cluster.nodes.find((node) => node !== leader)!
  await leader.transfer(next.id)
  await until('the service asks the new leader', () => service.node === next && service.leads)
  let present = true
  while (present) present = (await service.get(a)).entry !== null
  expect(performance.now() - start).toBeGreaterThanOrEqual(400)
})

test('a fencing token is the revision that created the lock; a renewal needs it', async () => {
  const { service } = await openService()
  const lock = text('lock')
  const acquire = () => service.put(lock, text('me'), { only: 'absent', ttlMs: 100 })
  const renew = (token: number) =>
    service.txn({
      guards: [{ key: lock, field: 'create', is: 'equal', value: token }],
      then: [{ kind: 'expire', key: lock, ttlMs: 100 }],
      else: [],
    })
  const first = await acquire()
  expect((await acquire()).done).toBe(false)
  expect(await renew(first.revision)).toMatchObject({ succeeded: true, answers: [{ done: true }] })
  let second = await acquire()
  while (!second.done) second = await acquire()
  expect(second.revision).toBeGreaterThan(first.revision)
  expect(await renew(first.revision)).toMatchObject({ succeeded: false })
})
