/**
 * What a figure depends on beside the code: commit, runtime, machine, file system. Carries no host
 * name and no path, so that results can be published as they are.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, realpathSync, statfsSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem, type } from 'node:os'
import { basename, dirname, join, resolve, sep } from 'node:path'
import type { DiskCache } from './environment-type.ts'
import type { Environment } from './types.ts'

const PACKAGE_NAME = 'xpaxos'
const TMPFS_MAGIC = 0x01021994
const RAMFS_MAGIC = 0x858458f6

export function environmentOf(dataDir: string, startedAt: Date): Environment {
  return {
    ...commitOf(packageRoot()),
    node: process.version,
    cpuModel: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: `${type()} ${release()}`,
    filesystem: filesystemOf(dataDir),
    diskCache: diskCacheOf(dataDir),
    startedAt: startedAt.toISOString(),
  }
}

/** fdatasync on a tmpfs costs nothing and keeps nothing: `fsync` figures of it would be false. */
export function isTmpfs(dir: string): boolean {
  const name = filesystemOf(dir)
  if (name !== 'unknown') return name === 'tmpfs' || name === 'ramfs'
  const magic = statfsSync(existingOf(dir)).type
  return magic === TMPFS_MAGIC || magic === RAMFS_MAGIC
}

/** The type of the file system that holds, or would hold, a folder: 'ext4', 'tmpfs', 'unknown'. */
export const filesystemOf = (dir: string): string => mountAt(dir).name

/** What the kernel says of the disk's write cache; a disk can lie, and layers can hide it. */
export function diskCacheOf(dir: string): DiskCache {
  const name = /^\/dev\/(.+)$/.exec(mountAt(dir).device)?.[1]
  const link = `/sys/class/block/${basename(name ?? 'none')}`
  if (name === undefined || !existsSync(link)) return 'unknown'
  const block = realpathSync(link)
  const files = [block, dirname(block)].map((one) => join(one, 'queue/write_cache')) // a partition
  const file = files.find((one) => existsSync(one))
  if (file === undefined) return 'unknown'
  return readFileSync(file, 'utf8').trim() === 'write back' ? 'volatile' : 'not volatile'
}

interface Mount {
  readonly device: string
  readonly name: string
}

function mountAt(dir: string): Mount {
  if (!existsSync('/proc/mounts')) return { device: '', name: 'unknown' }
  return mountOf(realpathSync(existingOf(dir)), readFileSync('/proc/mounts', 'utf8'))
}

/** The longest mount point above the path; of equal ones the last, which covers the others. */
export function mountOf(path: string, mounts: string): Mount {
  let found = { point: '', device: '', name: 'unknown' }
  for (const line of mounts.split('\n')) {
    const [device, escaped, name] = line.split(' ')
    if (device === undefined || escaped === undefined || name === undefined) continue
    const point = escaped.replace(/\\([0-7]{3})/g, (_, code: string) =>
      String.fromCharCode(parseInt(code, 8)),
    )
    const isAbove = point === '/' || path === point || path.startsWith(point + '/')
    if (isAbove && point.length >= found.point.length) found = { point, device, name }
  }
  return { device: found.device, name: found.name }
}

/** The folder itself or the nearest one above it that exists. */
function existingOf(dir: string): string {
  const path = resolve(dir)
  return existsSync(path) || dirname(path) === path ? path : existingOf(dirname(path))
}

/** The commit of the code that runs, not of the folder it runs in; else the package's version. */
function commitOf(root: string): { commit: string; dirty: boolean } {
  const top = git(root, 'rev-parse', '--show-toplevel')
  const commit = git(root, 'rev-parse', 'HEAD')
  if (top === undefined || commit === undefined || resolve(top) !== realpathSync(root))
    return { commit: `v${packageVersion()}`, dirty: false }
  const changes = git(root, 'status', '--porcelain', '--', '.', ':!results')
  return { commit, dirty: changes !== '' }
}

function git(cwd: string, ...args: string[]): string | undefined {
  try {
    const output = execFileSync('git', args, { cwd, stdio: ['ignore', 'pipe', 'ignore'] })
    return output.toString().trim()
  } catch {
    return undefined // no git, or no checkout: the version of the package stands in
  }
}

export function packageVersion(): string {
  const text = readFileSync(join(packageRoot(), 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** From source the parent folder, from dist one further up. */
function packageRoot(): string {
  for (let dir = import.meta.dirname; dir !== sep && dir !== dirname(dir); dir = dirname(dir)) {
    const file = join(dir, 'package.json')
    if (!existsSync(file)) continue
    if ((JSON.parse(readFileSync(file, 'utf8')) as { name?: string }).name === PACKAGE_NAME)
      return dir
  }
  throw new Error(`no package.json of ${PACKAGE_NAME} above the code`)
}
