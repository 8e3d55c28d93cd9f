/**
 * Storage over real files: the one file of the product's lower half that touches node:fs.
 * Runs in the thread of the WAL; every call blocks. Files are 0600, directories 0700.
 *
 * A short write is completed here (a disk that is filling up writes short before it fails); an
 * error is never retried, least of all that of a sync.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
  writevSync,
} from 'node:fs'
import { dirname, resolve } from 'node:path'
import { assert } from '../base/assert.ts'
import { ReplicaError } from '../base/errors.ts'
import { IOV_MAX, type Storage, type StorageFile } from '../base/storage.ts'

const FILE_MODE = 0o600
const DIR_MODE = 0o700
const LOCK_ATTEMPTS_MAX = 3

export function openStorage(): Storage {
  return {
    makeDir: (dir) => guard('mkdir', () => makeDirs(dir)),
    list,
    open: (path, access) => asFile('open', () => openSync(path, access === 'read' ? 'r' : 'r+')),
    create: (path) => asFile('open', () => openSync(path, 'wx+', FILE_MODE)),
    sizeOf: (file) => guard('fstat', () => fstatSync(file).size),
    pread: (file, into, offset) => guard('pread', () => readWhole(file, into, offset)),
    pwrite: (file, bytes, offset) => guard('pwrite', () => writeWhole(file, bytes, offset)),
    pwritev: (file, chunks, offset) => guard('pwritev', () => writeAll(file, chunks, offset)),
    datasync: (file) => guard('fdatasync', () => fdatasyncSync(file)),
    close: (file) => guard('close', () => closeSync(file)),
    rename: (from, to) => guard('rename', () => renameSync(from, to)),
    unlink: (path) => guard('unlink', () => unlinkSync(path)),
    syncDir,
    tryLock,
    unlock: (path) => guard('unlink', () => unlinkSync(path)),
    bootId: () => guard('read', bootId),
  }
}

/**
 * Makes a directory and its parents, mode 0700. Not by `recursive`, which goes round for ever where
 * the kernel answers ENOENT to a mkdir in a directory that is there (/proc), as of Node 22.
 */
export function makeDirs(dir: string): void {
  const missing: string[] = []
  for (let at = resolve(dir); !existsSync(at); at = dirname(at)) missing.push(at)
  for (const each of missing.toReversed()) {
    try {
      mkdirSync(each, DIR_MODE)
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error // somebody else was faster
    }
  }
  if (!statSync(dir).isDirectory()) mkdirSync(dir) // EEXIST, with its path
}

function guard<Result>(syscall: string, call: () => Result): Result {
  try {
    return call()
  } catch (error) {
    const errno = errnoOf(error)
    const text = error instanceof Error ? error.message : String(error)
    throw new ReplicaError('E_DISK', text, { syscall, errno }, 'unknown', { cause: error })
  }
}

const asFile = (syscall: string, call: () => number): StorageFile =>
  guard(syscall, call) as StorageFile

const errnoOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'unknown'

function list(dir: string): string[] | null {
  try {
    return readdirSync(dir)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null
    return guard('readdir', () => {
      throw error
    })
  }
}

function readWhole(file: number, into: Uint8Array, offset: number): number {
  let done = 0
  while (done < into.length) {
    const count = readSync(file, into, done, into.length - done, offset + done)
    if (count === 0) break
    done += count
  }
  return done
}

function writeWhole(file: number, bytes: Uint8Array, offset: number): void {
  let done = 0
  while (done < bytes.length) {
    done += writeSync(file, bytes, done, bytes.length - done, offset + done)
  }
}

/** One writev; when the kernel took only part of it, the rest chunk by chunk. */
function writeAll(file: number, chunks: readonly Uint8Array[], offset: number): void {
  assert(chunks.length <= IOV_MAX, 'the kernel takes this many chunks')
  let written = writevSync(file, chunks, offset)
  let at = offset
  for (const chunk of chunks) {
    const covered = Math.min(written, chunk.length)
    if (covered < chunk.length) writeWhole(file, chunk.subarray(covered), at + covered)
    written -= covered
    at += chunk.length
  }
}

function syncDir(dir: string): void {
  const file = asFile('open', () => openSync(dir, 'r'))
  try {
    guard('fsync', () => fsyncSync(file))
  } finally {
    closeSync(file)
  }
}

/**
 * The lock names its holder: process id, boot and start time, so that a process id that came round
 * again does not pass for the holder. It appears whole (link of a finished file) and a stale one is
 * taken away by rename, then looked at once more: of two processes that find it, one wins.
 */
function tryLock(path: string): string | null {
  const own = identityOf(process.pid)
  const mine = `${path}.${process.pid}.${process.hrtime.bigint()}`
  return guard('link', () => {
    writeFileSync(mine, own, { mode: FILE_MODE, flag: 'wx' })
    try {
      for (let attempt = 0; attempt < LOCK_ATTEMPTS_MAX; attempt++) {
        if (tryLink(mine, path)) return null
        const holder = readIfThere(path)
        if (holder !== null && isAlive(holder)) return `process ${Number.parseInt(holder, 10)}`
        if (holder !== null) takeAway(path, `${mine}.stale`, holder)
      }
      return 'another process that is starting'
    } finally {
      unlinkSync(mine)
    }
  })
}

function takeAway(path: string, aside: string, stale: string): void {
  try {
    renameSync(path, aside)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return // the other one was faster
    throw error
  }
  if (readIfThere(aside) !== stale) tryLink(aside, path) // it was the winner's: give it back
  unlinkSync(aside)
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false
    throw error
  }
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null
    throw error
  }
}

const bootId = (): string => readIfThere('/proc/sys/kernel/random/boot_id')?.trim() ?? ''

/** 'pid boot start-time'; the last two are empty where there is no /proc. */
function identityOf(pid: number): string {
  const boot = bootId()
  const stat = readIfThere(`/proc/${pid}/stat`) ?? ''
  const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '' // the 22nd field
  return `${pid} ${boot} ${start}\n`
}

function isAlive(holder: string): boolean {
  const pid = Number.parseInt(holder, 10)
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0) // signal 0 only asks
  } catch (error) {
    if (errnoOf(error) === 'ESRCH') return false // EPERM: it lives, as another user's
  }
  return identityOf(pid) === holder
}
