/**
 * Where a trial keeps its files: a fresh folder under the working directory, or one that the user
 * names, which must be empty or one of ours. Removed afterwards unless it is to be kept.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ReplicaError } from '../../src/base/errors.ts'
import { makeDirs } from '../../src/wal/storage-fs.ts'

const MARKER = '.xpaxos-bench'

export interface DataFolder {
  readonly dir: string
  remove(): void
}

/** @throws ReplicaError E_DATA_DIR when it cannot be used; then nothing was written */
export function makeDataFolder(dataDir: string | null, keep: boolean): DataFolder {
  try {
    if (dataDir === null) return ours(mkdtempSync('xpaxos-bench-'), null, keep)
    const isThere = existsSync(dataDir)
    if (isThere && readdirSync(dataDir).length > 0 && !existsSync(join(dataDir, MARKER))) {
      throw refused(`--data-dir: ${dataDir} holds other things; name a new or an empty folder`)
    }
    makeDirs(dataDir)
    writeFileSync(join(dataDir, MARKER), '')
    return ours(mkdtempSync(join(dataDir, 'trial-')), isThere ? null : dataDir, keep)
  } catch (error) {
    if (error instanceof ReplicaError) throw error
    throw refused(`--data-dir: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function ours(dir: string, parent: string | null, keep: boolean): DataFolder {
  return {
    dir,
    remove() {
      if (keep) return
      rmSync(dir, { recursive: true, force: true })
      if (parent !== null && readdirSync(parent).every((name) => name === MARKER)) {
        rmSync(parent, { recursive: true, force: true })
      }
    },
  }
}

const refused = (problem: string): ReplicaError =>
  new ReplicaError('E_DATA_DIR', problem, { problem })
