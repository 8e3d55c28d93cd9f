/** `xpaxos wal` as a program: what it shows of a stopped node, and what it says of damage. */
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import {
  SECTION,
  addBytes,
  createSnapshot,
  keepSnapshot,
  sealSnapshot,
  snapshotPath,
} from '../../src/wal/snapshot-file.ts'
import { openStorage } from '../../src/wal/storage-fs.ts'
import { imageOf, stoppedCluster, temporaryFolder } from '../support/engine.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

const run = (...args: string[]) =>
  spawnSync(process.execPath, [MAIN, 'wal', ...args], { encoding: 'utf8' })

const stopped = () => stoppedCluster({ clusterId: 'orders' })

test('bad usage: one line a problem, nothing on stdout', () => {
  expect(run('mend', '--fast')).toMatchObject({
    status: 2,
    stdout: '',
    stderr: [
      '--fast: no such option',
      'ACTION: want one of inspect, verify',
      'DIR: missing: the data directory of a stopped node',
      '',
    ].join('\n'),
  })
  expect(run('verify', 'x', 'y', '--records')).toMatchObject({
    status: 2,
    stderr: 'y: unexpected argument\n--records: only of inspect\n',
  })
})

test('a directory that is none is refused', () => {
  const { status, stderr } = run('inspect', temporaryFolder())
  expect([status, stderr]).toEqual([2, expect.stringContaining('no data directory')])
})

test('inspect shows whose log it is, its range and each record, and writes nothing', async () => {
  const dir = join(await stopped(), 'node-1')
  const before = imageOf(dir)
  const { status, stdout } = run('inspect', dir, '--records')
  expect(status).toBe(0)
  // Elections of a busy machine may add records, and carry an entry in an accept-sync.
  for (const line of [
    /^\d+ {2}1@4096 {2}promised \d+\.\d {2}0 frames, 128 bytes$/m,
    /^\d+ {2}1@\d+ {2}(sync-)?entries \d+\.\d \d\.\.3 {2}\d frames, \d+ bytes$/m,
    /^orders, node 1, incarnation 1, xpaxos, os$/m,
    /^log 1\.\.3, known chosen through \d, promised \d+\.\d, accepted \d+\.\d, LSN \d+$/m,
    /^segment 1: \d+ records, \d+ bytes, LSN 1\.\.\d+$/m,
  ])
    expect(stdout).toMatch(line)
  expect(imageOf(dir)).toBe(before)
})

test('verify counts what it read; a bit flipped in what was synced is told', async () => {
  const dir = join(await stopped(), 'node-2')
  const { status, stdout } = run('verify', dir)
  expect(status).toBe(0)
  expect(stdout).toMatch(/^whole: \d+ records, \d frames of the log, \d+ bytes of it$/m)
  const name = readdirSync(dir).find((file) => file.endsWith('.seg') && file.startsWith('wal'))!
  const bytes = readFileSync(join(dir, name))
  const at = bytes.indexOf('b', 4_096)
  bytes[at]! ^= 1
  writeFileSync(join(dir, name), bytes)
  const damaged = run('verify', dir)
  expect(damaged.status).toBe(1)
  expect(damaged.stderr).toMatch(/wal-0+1\.seg, offset \d+: damaged, and it was synced/)
})

test('snapshots are listed, and a damaged one is told', async () => {
  const dir = join(await stopped(), 'node-1')
  const storage = openStorage()
  const head = { index: 3, chain: 0, clusterHash: 0, historyEpoch: 0 }
  const writer = createSnapshot(storage, dir, head, true)
  addBytes(writer, SECTION.state, Buffer.alloc(100))
  sealSnapshot(writer)
  keepSnapshot(writer)
  for (const action of ['inspect', 'verify']) {
    const { status, stdout } = run(action, dir)
    expect(status).toBe(0)
    expect(stdout).toMatch(/^snapshot 3: \d+ bytes, 100 unpacked, 1 chunks$/m)
  }
  const path = snapshotPath(dir, 3)
  const bytes = readFileSync(path)
  bytes[4_200]! ^= 1
  writeFileSync(path, bytes)
  const damaged = run('verify', dir)
  expect(damaged.status).toBe(1)
  expect(damaged.stderr).toMatch(/snapshot-0+3\.snap, offset 4\d+: damaged/)
})
