/**
 * Simulated disk. A file has a durable image and what was written since the last sync, oldest
 * first. `crash` keeps for each 512-byte sector a random one of the contents that it had since, or
 * the durable one; a name is durable only after syncDir. Failures are injected by hooks.
 */
import { ReplicaError } from '../base/errors.ts'
import type { Storage, StorageFile } from '../base/storage.ts'

const SECTOR_SIZE_BYTES = 512

interface Inode {
  now: Uint8Array
  durable: Uint8Array
  /** Written since the last sync, oldest first. */
  readonly pending: Written[]
}
interface Written {
  readonly offset: number
  readonly bytes: Uint8Array
}

export interface MemoryStorage extends Storage {
  /** Power loss: open files are gone, unsynced sectors and names survive by chance. */
  crash(random: () => number): void
  /** kill -9: the page cache survives, so that everything written is still to be seen. */
  kill(): void
  /** Called before the operation; a throw makes it fail. */
  onOperation: ((operation: Operation, path: string) => void) | null
  /** Current content of a file, to damage it: writes through to the durable image. */
  poke(path: string, offset: number, bytes: Uint8Array): void
  peek(path: string): Uint8Array
  datasyncs: number
}
export type Operation = 'write' | 'datasync' | 'syncDir' | 'rename' | 'unlink' | 'create'

export const diskError = (syscall: string, errno: string): ReplicaError =>
  new ReplicaError('E_DISK', `${errno}: ${syscall}`, { syscall, errno }, 'unknown')

/** mulberry32: a small seeded source of chance in [0, 1). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let h = Math.imul(state ^ (state >>> 15), state | 1)
    h ^= h + Math.imul(h ^ (h >>> 7), h | 61)
    return ((h ^ (h >>> 14)) >>> 0) / 2 ** 32
  }
}

export function createMemoryStorage(): MemoryStorage {
  let names = new Map<string, Inode>()
  const durableNames = new Map<string, Inode>()
  /** Changes of names since the last syncDir, in order: a crash keeps a prefix of them. */
  let changes: ((names: Map<string, Inode>) => void)[] = []
  const dirs = new Set<string>()
  const change = (apply: (names: Map<string, Inode>) => void): void => {
    apply(names)
    changes.push(apply)
  }
  const open = new Map<number, { inode: Inode; path: string }>()
  let nextFile = 1

  const inodeOf = (file: StorageFile) => {
    const found = open.get(file)
    if (found === undefined) throw diskError('file', 'EBADF')
    return found
  }
  const openInode = (path: string, inode: Inode): StorageFile => {
    open.set(nextFile, { inode, path })
    return nextFile++ as StorageFile
  }
  const at = (path: string): Inode => {
    const inode = names.get(path)
    if (inode === undefined) throw diskError('open', 'ENOENT')
    return inode
  }
  const dirOf = (path: string): string => path.slice(0, path.lastIndexOf('/'))

  const storage: MemoryStorage = {
    onOperation: null,
    datasyncs: 0,
    makeDir: (dir) => void dirs.add(dir),
    list: (dir) =>
      dirs.has(dir)
        ? [...names.keys()]
            .filter((path) => dirOf(path) === dir)
            .map((path) => path.slice(dir.length + 1))
        : null,
    open: (path) => openInode(path, at(path)),
    create(path) {
      storage.onOperation?.('create', path)
      if (names.has(path)) throw diskError('open', 'EEXIST')
      const inode = { now: new Uint8Array(0), durable: new Uint8Array(0), pending: [] }
      change((into) => into.set(path, inode))
      return openInode(path, inode)
    },
    sizeOf: (file) => inodeOf(file).inode.now.length,
    pread(file, into, offset) {
      const { inode } = inodeOf(file)
      const from = inode.now.subarray(offset, offset + into.length)
      into.set(from)
      return from.length
    },
    pwrite(file, bytes, offset) {
      const { inode, path } = inodeOf(file)
      storage.onOperation?.('write', path)
      write(inode, bytes, offset)
    },
    pwritev(file, chunks, offset) {
      const { inode, path } = inodeOf(file)
      storage.onOperation?.('write', path)
      let position = offset
      for (const chunk of chunks) {
        write(inode, chunk, position)
        position += chunk.length
      }
    },
    datasync(file) {
      const { inode, path } = inodeOf(file)
      try {
        storage.onOperation?.('datasync', path)
      } catch (error) {
        // As the kernel does: the pages count as clean, their bytes are readable, and never
        // written.
        inode.pending.length = 0
        throw error
      }
      storage.datasyncs++
      if (inode.durable.length !== inode.now.length) inode.durable = inode.now.slice()
      else for (const { offset, bytes } of inode.pending) inode.durable.set(bytes, offset)
      inode.pending.length = 0
    },
    close: (file) => void open.delete(file),
    rename(from, to) {
      storage.onOperation?.('rename', to)
      const inode = at(from)
      change((into) => into.set(to, inode).delete(from))
    },
    unlink(path) {
      storage.onOperation?.('unlink', path)
      at(path)
      change((into) => into.delete(path))
    },
    syncDir(dir) {
      storage.onOperation?.('syncDir', dir)
      for (const apply of changes) apply(durableNames)
      changes = []
    },
    tryLock(path) {
      if (names.has(path)) return 'process 1'
      names.set(path, { now: new Uint8Array(0), durable: new Uint8Array(0), pending: [] })
      return null
    },
    unlock: (path) => void names.delete(path),
    bootId: () => 'the only one', // for durability `os`, which the simulator does not run
    crash(random) {
      const kept = Math.floor(random() * (changes.length + 1))
      for (const apply of changes.slice(0, kept)) apply(durableNames)
      names = new Map(durableNames)
      changes = []
      for (const inode of new Set(names.values())) settle(inode, random)
      storage.kill()
    },
    kill() {
      open.clear()
      for (const path of names.keys()) if (path.endsWith('/lock')) names.delete(path)
    },
    poke(path, offset, bytes) {
      const inode = at(path)
      inode.now.set(bytes, offset)
      inode.durable.set(bytes, offset)
    },
    peek: (path) => at(path).now,
  }
  return storage
}

function write(inode: Inode, bytes: Uint8Array, offset: number): void {
  const end = offset + bytes.length
  if (end > inode.now.length) {
    const grown = new Uint8Array(end)
    grown.set(inode.now)
    inode.now = grown
  }
  inode.now.set(bytes, offset)
  inode.pending.push({ offset, bytes: bytes.slice() })
}

/** Each unsynced sector ends as one of what was written to it, or as it was at the last sync. */
function settle(inode: Inode, random: () => number): void {
  const image = new Uint8Array(inode.now.length)
  image.set(inode.durable)
  const chance = random() // of a kept sector: some crashes keep nearly all, some nearly nothing
  for (const [sector, versions] of versionsOf(inode)) {
    if (random() >= chance) continue
    const kept = versions[Math.floor(random() * versions.length)]!
    image.set(kept, sector * SECTOR_SIZE_BYTES)
  }
  inode.now = image
  inode.durable = image.slice()
  inode.pending.length = 0
}

/** By sector number, in the order of the first write: its contents since the last sync. */
function versionsOf({ now, durable, pending }: Inode): Map<number, Uint8Array[]> {
  const image = new Uint8Array(now.length)
  image.set(durable)
  const found = new Map<number, Uint8Array[]>()
  for (const { offset, bytes } of pending) {
    image.set(bytes, offset)
    const last = Math.floor((offset + bytes.length - 1) / SECTOR_SIZE_BYTES)
    for (let sector = Math.floor(offset / SECTOR_SIZE_BYTES); sector <= last; sector++) {
      const start = sector * SECTOR_SIZE_BYTES
      const versions = found.get(sector) ?? []
      versions.push(image.slice(start, start + SECTOR_SIZE_BYTES))
      found.set(sector, versions)
    }
  }
  return found
}
