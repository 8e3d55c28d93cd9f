/**
 * Three `serve` processes over TCP: a leader is killed under load and the checker judges what its
 * clients saw, nodes come back, leave in order, and are replaced by new ones.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkHistory } from '../../src/check/check.ts'
import type { Operation } from '../../src/check/operation.ts'
import { type Client, ClientError, openClient } from '../../src/client/index.ts'
import { type Served, clusterOf, run, serve } from '../server/processes.ts'

const NAMES = ['n1', 'n2', 'n3']
const folder = mkdtempSync(join(tmpdir(), 'xpaxos-serve-'))
const nodes = new Map<string, Served>()

const start = async (name: string, ...more: string[]): Promise<Served> => {
  const cluster = clusterOf(NAMES, nodes)
  const own = ['--name', name, '--data-dir', join(folder, name), '--initial-cluster', cluster]
  const served = await serve(...own, '--listen-peer-urls', 'tcp://127.0.0.1:0', ...more)
  nodes.set(name, served)
  return served
}
const endpoints = (): string[] => [...nodes.values()].map(({ clients }) => clients)
const clientOf = (): Client => openClient({ endpoints: endpoints(), timeoutMs: 20_000 })
const cli = (...args: string[]) => run(...args, '--endpoints', endpoints().join(','))
const leaderName = async (): Promise<unknown> => {
  const { clients } = [...nodes.values()].at(-1)!
  return (await clientOf().statusOf(clients))['leader_name']
}
const makeLead = async (id: number): Promise<void> => {
  await expect
    .poll(
      async () => {
        if ((await leaderName()) === `n${String(id)}`) return true
        await clientOf()
          .admin('/v3/maintenance/transfer-leadership', { target_id: id })
          .catch(() => undefined)
        return false
      },
      { timeout: 50_000, interval: 100 },
    )
    .toBe(true)
}

// From the highest id down: the lower dials the higher, so that it must know where it is.
beforeAll(async () => {
  for (const name of NAMES.toReversed()) await start(name)
}, 120_000)
afterAll(async () => {
  for (const { process: child } of nodes.values()) child.kill('SIGKILL')
  await Promise.all([...nodes.values()].map(({ exited }) => exited))
  rmSync(folder, { recursive: true, force: true })
})

test('a cluster of processes serves at every endpoint', async () => {
  await clientOf().put('hello', 'world')
  for (const endpoint of endpoints()) {
    const one = openClient({ endpoints: [endpoint], timeoutMs: 20_000 })
    expect(await one.get('hello')).toMatchObject({ text: 'world' })
  }
  await expect
    .poll(async () => (await fetch(`${nodes.get('n1')!.monitoring}/readyz`)).status)
    .toBe(200)
})

// ---- Killed under load -----------------------------------------------------------------------

const CLIENTS = 6
const KEYS = ['k0', 'k1', 'k2']

/** One client: puts, reads and compare-and-sets until `isOver`; what it saw goes to `history`. */
async function load(
  process: number,
  history: Operation[],
  clock: { now: number },
  isOver: () => boolean,
): Promise<void> {
  const client = clientOf()
  for (let i = 0; !isOver(); i++) {
    const key = KEYS[(process + i) % KEYS.length]!
    const call = clock.now++
    const base = { process, key, call, result: null }
    const value = `${String(process)}.${String(i)}`
    const isRead = i % 3 === 0
    try {
      if (isRead) {
        const entry = await client.get(key)
        const result = entry?.text ?? null
        history.push({ ...base, f: 'get', value: null, result, return: clock.now++, outcome: 'ok' })
      } else {
        await client.put(key, value)
        history.push({ ...base, f: 'put', value, return: clock.now++, outcome: 'ok' })
      }
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
      const outcome = error.outcome === 'unknown' ? 'info' : 'fail'
      const end = outcome === 'info' ? Infinity : clock.now++
      if (!isRead) history.push({ ...base, f: 'put', value, return: end, outcome })
    }
  }
}

test('a leader is killed under load: writes go on, and the history is linearizable', async () => {
  await clientOf().delete({ prefix: 'k' })
  await makeLead(1)
  const history: Operation[] = []
  const clock = { now: 1 }
  let isOver = false
  const clients = Array.from({ length: CLIENTS }, (_, i) => load(i, history, clock, () => isOver))
  const acknowledged = (): number =>
    history.filter(({ f, outcome }) => f === 'put' && outcome === 'ok').length
  await expect.poll(acknowledged, { timeout: 30_000 }).toBeGreaterThan(100)
  nodes.get('n1')!.process.kill('SIGKILL')
  expect(await nodes.get('n1')!.exited).toBe('SIGKILL')
  const before = acknowledged()
  await expect.poll(acknowledged, { timeout: 50_000 }).toBeGreaterThan(before + 100)
  isOver = true
  await Promise.all(clients)
  const result = checkHistory('kv', history, { timeoutMs: 30_000, now: () => performance.now() })
  expect(result.verdict).toBe('linearizable')
}, 180_000)

test('the killed one comes back on its directory, and has what it missed', async () => {
  nodes.delete('n1')
  await clientOf().put('missed', 'by n1')
  const { clients } = await start('n1')
  const one = openClient({ endpoints: [clients], timeoutMs: 30_000 })
  expect(await one.get('missed')).toMatchObject({ text: 'by n1' })
  expect(await one.get('hello')).toMatchObject({ text: 'world' })
}, 120_000)

test('a directory that is open belongs to its process', () => {
  const args = ['--name', 'n1', '--initial-cluster', clusterOf(NAMES, nodes), '--data-dir']
  const free = ['--listen-peer-urls', 'tcp://127.0.0.1:0', '--listen-resp', 'none']
  const main = new URL('../../src/cli/main.ts', import.meta.url).pathname
  const { status, stderr, stdout } = spawnSync(
    process.execPath,
    [main, 'serve', ...args, join(folder, 'n1'), ...free, '--log-level', 'silent'],
    { encoding: 'utf8' },
  )
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
  expect(stderr).toMatch(/^E_DATA_DIR: .*in use/)
}, 60_000)

test('the commands of operators work against it', async () => {
  const list = await cli('member', 'list')
  expect(list.stdout).toMatch(/^id +name +role +weight +leads/)
  expect(list.stdout.trim().split('\n')).toHaveLength(4)
  expect((await cli('put', 'cli', 'yes')).stdout).toBe('OK\n')
  expect((await cli('get', 'cli')).stdout).toBe('yes\n')
  expect((await cli('get', 'none')).status).toBe(1)
  const health = await cli('endpoint', 'health', '-w', 'json')
  expect(JSON.parse(health.stdout)).toMatchObject([
    ...[{ healthy: true }, { healthy: true }, { healthy: true }],
  ])
  const moved = await cli('move-leader', (await leaderName()) === 'n2' ? '3' : '2')
  expect(moved).toMatchObject({ status: 0, stdout: expect.stringMatching(/leads/) as string })
}, 120_000)

test('SIGTERM hands leadership over and ends with 0, and nothing stands still', async () => {
  await makeLead(1)
  const leaving = nodes.get('n1')!
  nodes.delete('n1')
  const begun = Date.now()
  leaving.process.kill('SIGTERM')
  expect(await leaving.exited).toBe(0)
  expect(Date.now() - begun).toBeLessThan(20_000)
  expect(leaving.stderr()).toContain('"handedOver":true')
  await clientOf().put('after', 'hand-over')
  await start('n1')
  expect(await clientOf().get('after')).toMatchObject({ text: 'hand-over' })
}, 120_000)

test('a new node joins, catches up and votes; an old one is removed', async () => {
  const joining = ['--initial-cluster-state', 'existing', '--member-id', '4']
  const { peers } = await start('n4', ...joining)
  const own = nodes.get('n4')!
  nodes.delete('n4')
  const added = await cli('member', 'add', 'n4', peers!)
  expect(added).toMatchObject({
    status: 0,
    stderr: expect.stringContaining('--member-id 4') as string,
  })
  nodes.set('n4', own)
  await expect
    .poll(async () => (await cli('member', 'list')).stdout, { timeout: 50_000, interval: 300 })
    .toMatch(/^4 +n4 +voter/m)
  await makeLead(1)
  const removed = nodes.get('n2')!
  expect((await cli('member', 'remove', '2')).stdout).not.toMatch(/^2 /m)
  nodes.delete('n2')
  removed.process.kill('SIGTERM')
  expect(await removed.exited).toBe(0)
  // Of n1, n3 and n4 two are a quorum, so n4 votes: without n3 it has to.
  const third = nodes.get('n3')!
  nodes.delete('n3')
  third.process.kill('SIGKILL')
  await clientOf().put('by', 'n1 and n4')
  const late = openClient({ endpoints: [own.clients], timeoutMs: 20_000 })
  expect(await late.get('by')).toMatchObject({ text: 'n1 and n4' })
}, 240_000)
