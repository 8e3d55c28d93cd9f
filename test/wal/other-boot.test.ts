/**
 * R5: with durability `os` a machine that went down while the node was open has a lost disk. The
 * boot id of the machine tells, which lies in the directory until a close in order.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { isReplicaError } from '../../src/base/errors.ts'
import type { Storage } from '../../src/base/storage.ts'
import { type LogIndex, type Lsn, ballotOf, nodeId } from '../../src/core/ids.ts'
import type { Durability } from '../../src/wal/identity.ts'
import { openWal } from '../../src/wal/open.ts'
import { openStorage } from '../../src/wal/storage-fs.ts'
import { abandonWal, append, closeWal, flush } from '../../src/wal/wal.ts'

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
  closeWal(open(dir, durability, { ...openStorage(), bootId: () => 'another boot' }))
  abandonWal(open(dir, durability, { ...openStorage(), bootId: () => 'another boot' }))
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
  const acceptsLostDisk = true
  abandonWal(open(dir, 'os', openStorage(), { acceptsLostDisk })) // and again without an order
  expect(problemOf(() => open(dir, 'os'))).toMatch(/^E_DATA_DIR: .*when the machine went down/)
  closeWal(open(dir, 'os', openStorage(), { acceptsLostDisk }))
  closeWal(open(dir, 'os')) // closed in order: as good as new
})

test('fsync: what was acknowledged is on the disk, whatever went down', () => {
  const dir = folder()
  leaveAfterOtherBoot(dir, 'fsync')
  closeWal(open(dir, 'fsync'))
})

test('os: a process that ended while the machine stayed up has lost nothing', () => {
  const dir = folder()
  abandonWal(open(dir, 'os'))
  closeWal(open(dir, 'os'))
})

test('os: what a power cut left of the file itself is no reason', () => {
  const dir = folder()
  closeWal(open(dir, 'os'))
  writeFileSync(join(dir, 'boot.tmp'), 'ha')
  closeWal(open(dir, 'os'))
  expect(readdirSync(dir).filter((name) => name.startsWith('boot'))).toEqual([])
})

/** The calls that make something outlive the machine, and those about names. */
function recorded(calls: string[]): Storage {
  const storage = openStorage()
  return {
    ...storage,
    datasync: (file) => (calls.push('datasync'), storage.datasync(file)),
    syncDir: (dir) => (calls.push('syncDir'), storage.syncDir(dir)),
    unlink: (path) => (calls.push(`unlink ${basename(path)}`), storage.unlink(path)),
    rename: (from, to) => (calls.push(`rename ${basename(to)}`), storage.rename(from, to)),
  }
}

test('os: the boot is on the disk before anything, and goes when all else is', () => {
  const dir = folder()
  closeWal(open(dir, 'os'))
  const calls: string[] = []
  const wal = open(dir, 'os', recorded(calls))
  expect(calls.slice(0, 3)).toEqual(['datasync', 'rename boot', 'syncDir'])
  calls.length = 0
  const ballot = ballotOf(1, nodeId(1))
  append(wal, { kind: 'promised', ballot }, 1 as Lsn, 0 as LogIndex, null, null)
  flush(wal)
  expect(calls).toEqual([])
  closeWal(wal)
  expect(calls).toEqual(['datasync', 'syncDir', 'unlink boot', 'syncDir'])
})
