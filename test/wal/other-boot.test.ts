/**
 * R5: with durability `os` a machine that went down while the node was open has a lost disk. What
 * went down is told by the boot id in the lock.
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { isReplicaError } from '../../src/base/errors.ts'
import type { Storage } from '../../src/base/storage.ts'
import { type LogIndex, type Lsn, ballotOf, nodeId } from '../../src/core/ids.ts'
import type { Durability } from '../../src/wal/identity.ts'
import { openWal } from '../../src/wal/open.ts'
import { openStorage } from '../../src/wal/storage-fs.ts'
import { append, closeWal, flush } from '../../src/wal/wal.ts'

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'xpaxos-boot-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return join(dir, 'node')
}

function open(dir: string, durability: Durability, storage = openStorage(), more = {}) {
  const known = { clusterId: 'c', nodeId: 1, incarnation: 1, engine: 'xpaxos' }
  const identity = { ...known, durability }
  return openWal(storage, { dir, identity, segmentSizeBytes: 2 ** 16, ...more }).wal
}

/** As the directory is found when the process ended, and then the machine. */
function leaveAfterOtherBoot(dir: string, durability: Durability): void {
  const wal = open(dir, durability)
  const lock = readFileSync(join(dir, 'lock'), 'utf8')
  closeWal(wal)
  const [pid, , start] = lock.split(' ')
  writeFileSync(join(dir, 'lock'), `${pid} another-boot ${start}`)
}

function problemOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (isReplicaError(error)) return `${error.code}: ${error.message}`
    throw error
  }
  return 'it did not fail'
}

test('os: the machine went down while it was open: the disk is lost, nothing is written', () => {
  const dir = folder()
  leaveAfterOtherBoot(dir, 'os')
  const before = readdirSync(dir)
  expect(problemOf(() => open(dir, 'os'))).toMatch(/^E_DATA_DIR: .*when the machine went down/)
  expect(readdirSync(dir)).toEqual(before)
  closeWal(open(dir, 'os', openStorage(), { acceptsLostDisk: true }))
  closeWal(open(dir, 'os')) // closed in order: as good as new
})

test('fsync: what was acknowledged is on the disk, whatever went down', () => {
  const dir = folder()
  leaveAfterOtherBoot(dir, 'fsync')
  closeWal(open(dir, 'fsync'))
})

test('os: a process that ended while the machine stayed up has lost nothing', () => {
  const dir = folder()
  const wal = open(dir, 'os')
  const lock = readFileSync(join(dir, 'lock'), 'utf8')
  closeWal(wal)
  writeFileSync(join(dir, 'lock'), lock.replace(/^\d+/, '4194305')) // above any process id
  closeWal(open(dir, 'os'))
})

test('the boot of a lock: of this one, of another one, of none', () => {
  const dir = folder()
  const storage = openStorage()
  const path = join(dir, 'lock')
  const wal = open(dir, 'os')
  expect(storage.isOfOtherBoot(path)).toBe(false)
  closeWal(wal)
  expect(storage.isOfOtherBoot(path)).toBe(false)
  writeFileSync(path, '1 another-boot 2')
  expect(storage.isOfOtherBoot(path)).toBe(true)
})

/** The calls that make something outlive the machine, and the removal of the lock. */
function recorded(calls: string[]): Storage {
  const storage = openStorage()
  return {
    ...storage,
    datasync: (file) => (calls.push('datasync'), storage.datasync(file)),
    syncDir: (dir) => (calls.push('syncDir'), storage.syncDir(dir)),
    unlock: (path) => (calls.push('unlock'), storage.unlock(path)),
  }
}

test('os: the lock is synced before anything, all else before it goes, then its going', () => {
  const dir = folder()
  const calls: string[] = []
  const wal = open(dir, 'os', recorded(calls))
  expect(calls.slice(0, 2)).toEqual(['datasync', 'syncDir'])
  calls.length = 0
  const ballot = ballotOf(1, nodeId(1))
  append(wal, { kind: 'promised', ballot }, 1 as Lsn, 0 as LogIndex, null, null)
  flush(wal)
  expect(calls).toEqual([])
  closeWal(wal)
  expect(calls).toEqual(['datasync', 'syncDir', 'unlock', 'syncDir'])
})
