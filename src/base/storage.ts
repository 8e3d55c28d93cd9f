/**
 * What the WAL asks of a disk, so that it runs unchanged over real files and over the simulated
 * disk of the tests. Synchronous: the WAL runs in a blocking thread that owns no socket or timer.
 *
 * Every failure is a ReplicaError E_DISK with syscall and errno. Rules that an implementation and
 * the callers rely on:
 * - what is written is on the disk only after `datasync` of that file has returned;
 * - a name (create, rename, unlink) is on the disk only after `syncDir` has returned;
 * - a sector of 512 bytes is written whole or not at all, in any order, before a sync;
 * - after a failed `datasync` nothing is known of the writes before it: it is never tried again.
 */
import type { Brand } from './brand.ts'

export type StorageFile = Brand<number, 'StorageFile'>

export interface Storage {
  /** Makes the directory and its parents, mode 0700; nothing when it is there. */
  makeDir(dir: string): void
  /** Names of the files in a directory, unordered; null when there is no such directory. */
  list(dir: string): string[] | null
  /** An existing file for reading, and for writing too unless `access` is 'read'. */
  open(path: string, access: 'read' | 'write'): StorageFile
  /** A new file, mode 0600; fails with EEXIST when the name is taken. */
  create(path: string): StorageFile
  sizeOf(file: StorageFile): number
  /** Fills `into` from `offset` on; returns how many bytes, fewer only at the end of the file. */
  pread(file: StorageFile, into: Uint8Array, offset: number): number
  /** Writes all of it or throws. */
  pwrite(file: StorageFile, bytes: Uint8Array, offset: number): void
  /** Writes all of the chunks, one behind the other, or throws; at most IOV_MAX chunks. */
  pwritev(file: StorageFile, chunks: readonly Uint8Array[], offset: number): void
  datasync(file: StorageFile): void
  close(file: StorageFile): void
  /** Replaces `to` when it is there. */
  rename(from: string, to: string): void
  unlink(path: string): void
  syncDir(dir: string): void
  /**
   * Takes a lock file against a second process, also one that died with it.
   * @returns who holds it (for people), or null when it is ours now
   */
  tryLock(path: string): string | null
  unlock(path: string): void
  /** Another one each time that the machine starts; '' where the system does not say. */
  bootId(): string
}

/** Chunks that one `pwritev` takes at most: Linux's bound. */
export const IOV_MAX = 1024

export const joinPath = (dir: string, name: string): string => `${dir}/${name}`
