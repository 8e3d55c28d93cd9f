/**
 * The body of `snapshot`: `save` copies the newest snapshot out of a node's directory, `restore`
 * makes one the directory of a new node. Exit status 0 done, 1 damaged, 2 bad usage or refused.
 */
import { resolve } from 'node:path'
import { KNOBS } from '../engine/config.ts'
import { saveSnapshot, seedDir } from '../wal/seed.ts'
import type { SnapshotInfo } from '../wal/snapshot-read.ts'
import { makeDirs, openStorage } from '../wal/storage-fs.ts'
import { type Exit, EXIT, UsageError } from './exit.ts'

export interface SnapshotFlags {
  readonly dataDir?: unknown
  readonly nodeId?: unknown
  readonly clusterId?: unknown
  readonly durability?: unknown
}

const ACTIONS = ['save', 'restore'] as const
const DURABILITIES = ['fsync', 'os'] as const
const ID_MAX = 65_535

/** @throws UsageError with every problem at once; ReplicaError E_DATA_DIR, E_SNAPSHOT_CORRUPT */
export function runSnapshot(
  flags: SnapshotFlags,
  names: readonly string[],
  unknown: readonly string[],
): Exit {
  const [given, file, ...more] = names
  const action = ACTIONS.find((one) => one === given)
  const problems = [...unknown, ...more.map((one) => `${one}: unexpected argument`)]
  if (action === undefined) problems.push(`ACTION: want one of ${ACTIONS.join(', ')}`)
  if (file === undefined) problems.push('FILE: missing: the snapshot')
  const dir = textOf(flags.dataDir)
  if (dir === '') problems.push('--data-dir: missing')
  const node = nodeOf(flags, action, problems)
  if (problems.length > 0) throw new UsageError(problems)
  return action === 'save' ? save(resolve(dir), resolve(file!)) : restore(resolve(dir), file!, node)
}

interface NewNode {
  readonly nodeId: number
  readonly clusterId: string
  readonly durability: (typeof DURABILITIES)[number]
}

function nodeOf(flags: SnapshotFlags, action: string | undefined, problems: string[]): NewNode {
  const { nodeId, clusterId, durability } = flags
  if (action === 'save') {
    const foreign = Object.entries({ '--node-id': nodeId, '--cluster-id': clusterId, durability })
    for (const [name, value] of foreign) {
      if (value !== undefined) problems.push(`${name.replace(/^(?!--)/, '--')}: only of restore`)
    }
    return { nodeId: 0, clusterId: '', durability: 'fsync' }
  }
  const id = /^\d+$/.test(textOf(nodeId)) ? Number(nodeId) : 0
  if (!(id >= 1 && id <= ID_MAX)) problems.push(`--node-id=${textOf(nodeId)}: want 1 to ${ID_MAX}`)
  const kept = DURABILITIES.find((one) => one === (durability ?? 'fsync'))
  if (kept === undefined) {
    problems.push(`--durability=${textOf(durability)}: want one of ${DURABILITIES.join(', ')}`)
  }
  return {
    nodeId: id,
    clusterId: textOf(clusterId ?? 'xpaxos'),
    durability: kept ?? 'fsync',
  }
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

function save(dir: string, file: string): Exit {
  const saved = saveSnapshot(openStorage(), dir, file)
  print(`saved: ${infoText(saved)}`)
  print(`to restore it: --cluster-id ${saved.clusterId}`)
  return EXIT.done
}

function restore(dir: string, file: string, { nodeId, clusterId, durability }: NewNode): Exit {
  makeDirs(resolve(dir, '..'))
  const info = seedDir(openStorage(), {
    ...{ dir, from: resolve(file) },
    identity: { clusterId, nodeId, incarnation: 1, engine: 'xpaxos', durability },
    segmentSizeBytes: KNOBS.walSegmentSizeBytes.default,
  })
  print(`restored: ${infoText(info)}`)
  print(`node ${nodeId} of ${clusterId} may be opened with \`join\`, and added to the cluster`)
  return EXIT.done
}

const infoText = ({ index, sizeBytes, chunks }: SnapshotInfo): string =>
  `state behind entry ${index}, ${sizeBytes} bytes in ${chunks} chunks`

const print = (line: string): void => void process.stdout.write(`${line}\n`)
