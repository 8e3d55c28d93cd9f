/** Where chaos keeps its files, and what a machine must have for it. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const CACHE = fileURLToPath(new URL('../../../.cache', import.meta.url))

/** On the disk of the checkout: in memory a sync would do nothing. */
export function freshFolder(name: string): string {
  mkdirSync(CACHE, { recursive: true })
  return mkdtempSync(`${CACHE}/${name}-`)
}

const run = (command: string, ...args: string[]): string | null => {
  const { error, status, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (error === undefined && status === 0) return null
  return `${command} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`
}

/** @throws Error what the command said */
function mustRun(command: string, ...args: string[]): void {
  const problem = run(command, ...args)
  if (problem !== null) throw new Error(problem)
}

export interface Mounted {
  readonly dir: string
  unmount(): void
}

/** A file system in memory of so many bytes. @throws Error where one may not be mounted */
export function mountSmall(
  folder: string,
  sizeBytes: number,
): Mounted & { grow(to: number): void } {
  const dir = join(folder, 'small')
  mkdirSync(dir)
  mustRun('mount', '-t', 'tmpfs', '-o', `size=${String(sizeBytes)}`, 'none', dir)
  return {
    dir,
    grow: (to) => mustRun('mount', '-o', `remount,size=${String(to)}`, dir),
    unmount: () => mustRun('umount', dir),
  }
}

/**
 * ext4 in a file: what lies in the file is what has reached the disk, and all else is in memory, so
 * that a copy of the file is the disk as a power cut would leave it.
 */
export function mountImage(image: string, dir: string): Mounted {
  mkdirSync(dir)
  mustRun('mount', '-o', 'loop', image, dir)
  return { dir, unmount: () => mustRun('umount', dir) }
}

export function makeImage(image: string, sizeBytes: number): void {
  mustRun('truncate', '-s', String(sizeBytes), image)
  const options = 'lazy_itable_init=0,lazy_journal_init=0' // nothing is written later
  mustRun('mkfs.ext4', '-q', '-F', '-E', options, image)
}

/** Why a file system cannot be mounted here; null: it can. `loop`: of a file, else in memory. */
export function mountMissing(kind: 'loop' | 'memory'): string | null {
  const folder = freshFolder('mount')
  try {
    if (kind === 'memory') mountSmall(folder, 2 ** 20).unmount()
    else {
      makeImage(join(folder, 'image'), 2 ** 23)
      mountImage(join(folder, 'image'), join(folder, 'mounted')).unmount()
    }
    return null
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    const needs = kind === 'loop' ? 'root, loop devices and e2fsprogs' : 'root'
    return `mounting needs ${needs} (${problem})`
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const UNTIL_MS = 120_000

/** Resolves once `holds()`; the bound only ends what hangs. */
export async function until(belief: string, holds: () => boolean): Promise<void> {
  const limit = performance.now() + UNTIL_MS
  while (!holds()) {
    if (performance.now() > limit) throw new Error(`never: ${belief}`)
    await sleep(5)
  }
}
