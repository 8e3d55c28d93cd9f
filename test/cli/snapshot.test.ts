/** `xpaxos snapshot` as a program, and a node that begins with what it made. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { encodePut } from '../../src/engine/index.ts'
import { CALM, openCluster, temporaryFolder, until } from '../support/engine.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

const run = (...args: string[]) =>
  spawnSync(process.execPath, [MAIN, 'snapshot', ...args], { encoding: 'utf8' })

test('bad usage: one line a problem, nothing written', () => {
  expect(run('keep', '--fast')).toMatchObject({
    status: 2,
    stdout: '',
    stderr: [
      '--fast: no such option',
      'ACTION: want one of save, restore',
      'FILE: missing: the snapshot',
      '--data-dir: missing',
      '--node-id=: want 1 to 65535',
      '',
    ].join('\n'),
  })
  const { status, stderr } = run('save', 'x', '--data-dir', 'y', '--node-id', '4')
  expect([status, stderr]).toEqual([2, '--node-id: only of restore\n'])
})

test('nothing to save, and a copy that is there already, are refused', () => {
  const dir = temporaryFolder()
  const { status, stderr } = run('save', join(dir, 'copy'), '--data-dir', dir)
  expect([status, stderr]).toEqual([2, expect.stringContaining('no data directory')])
})

test('a node joins behind a trimmed log with a snapshot of another', async () => {
  const dataDir = temporaryFolder()
  const tuning = { ...CALM, snapshotEveryBytes: 2 ** 20, retainBytes: 4_096 }
  const cluster = await openCluster({ nodes: 3, stateMachine: 'kv', dataDir, tuning })
  const leader = await cluster.leader()
  await leader.changeMembership({ kind: 'set', id: 3, weight: 2 })
  const value = Buffer.alloc(1_000, 'v')
  const isTrimmed = (): boolean => cluster.nodes.every((node) => node.status().firstRetained > 1)
  for (let i = 0; i < 300 && !isTrimmed(); i++) {
    const keys = Array.from({ length: 200 }, (_, key) => Buffer.from(`${i}:${key}`))
    await Promise.all(keys.map((key) => leader.propose(encodePut(key, value))))
  }
  await until('every log is trimmed', isTrimmed)

  const copy = join(dataDir, 'copy.snap')
  const saved = run('save', copy, '--data-dir', join(dataDir, 'node-2'))
  expect(saved).toMatchObject({ status: 0, stderr: '' })
  expect(saved.stdout).toMatch(/^saved: state behind entry \d+, \d+ bytes in \d+ chunks$/m)
  expect(saved.stdout).toMatch(/^to restore it: --cluster-id xpaxos$/m)
  expect(run('save', copy, '--data-dir', join(dataDir, 'node-2')).status).toBe(2)

  const dir = join(dataDir, 'node-4')
  const more = ['--node-id', '4', '--durability', 'os']
  const restored = run('restore', copy, '--data-dir', dir, ...more)
  expect(restored).toMatchObject({ status: 0, stderr: '' })
  const node = await cluster.addNode(4)
  await until('it tells its membership', () => node.status().membership !== null)
  const weights = node.status().membership!.members.map(({ weight }) => weight)
  expect(weights).toEqual([5, 5, 2]) // as the snapshot says: it has heard of nobody yet
  expect(node.status()).toMatchObject({ chosen: node.status().snapshot.index })
  await leader.changeMembership({ kind: 'add', id: 4, promote: 'voter' })
  await until('it is a voter', () => {
    const members = leader.status().membership?.members ?? []
    return members.some(({ id, role }) => id === 4 && role === 'voter')
  })
  const read = await node.read(Buffer.from('0:0'))
  expect(read.result.length).toBe(1 + value.length)
  await until('it has applied all', () => node.status().applied === leader.status().last)
  const reports = await Promise.all(cluster.nodes.map((one) => one.close()))
  expect(new Set(reports.map((report) => report!.stateHash)).size).toBe(1)
}, 120_000)

test('a damaged file, another cluster and a directory in use make no node', async () => {
  const dataDir = temporaryFolder()
  const tuning = { snapshotEveryBytes: 4_096 }
  const cluster = await openCluster({ nodes: 1, stateMachine: 'kv', dataDir, tuning })
  for (let i = 0; i < 20; i++) await cluster.propose(encodePut(Buffer.from('k'), Buffer.alloc(500)))
  await until('a snapshot', () => cluster.nodes[0]!.status().snapshot.index > 0)
  const copy = join(dataDir, 'copy.snap')
  expect(run('save', copy, '--data-dir', join(dataDir, 'node-1')).status).toBe(0)

  const dir = join(dataDir, 'node-9')
  const to = ['--data-dir', dir, '--node-id', '9']
  const foreign = run('restore', copy, ...to, '--cluster-id', 'other')
  expect([foreign.status, foreign.stderr]).toEqual([2, expect.stringMatching(/another cluster/)])
  const bytes = readFileSync(copy)
  bytes[4_200]! ^= 1
  writeFileSync(join(dataDir, 'bad.snap'), bytes)
  const bad = run('restore', join(dataDir, 'bad.snap'), ...to)
  expect([bad.status, bad.stderr]).toEqual([1, expect.stringMatching(/offset 4\d+: damaged/)])
  expect(existsSync(dir)).toBe(false)
  const taken = run('restore', copy, '--data-dir', dataDir, '--node-id', '9')
  expect([taken.status, taken.stderr]).toEqual([2, expect.stringMatching(/not empty/)])
  expect(readdirSync(dataDir).sort()).toEqual(['bad.snap', 'copy.snap', 'node-1'])

  await cluster.close()
  const own = join(dataDir, 'node-1')
  const newest = readdirSync(own).filter((name) => name.endsWith('.snap'))
  for (const name of newest) writeFileSync(join(own, name), bytes)
  const of = run('save', join(dataDir, 'another.snap'), '--data-dir', own)
  expect([of.status, of.stderr]).toEqual([1, expect.stringMatching(/damaged/)])
  expect(readdirSync(dataDir).sort()).toEqual(['bad.snap', 'copy.snap', 'node-1'])
})
