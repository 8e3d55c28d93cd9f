/**
 * What the tests of the library share: temporary folders, options that elect and open fast, state
 * machines that remember, and waiting for a condition (bounded, never a fixed time).
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import {
  type ApplyReport,
  type LocalCluster,
  type LocalClusterOptions,
  type NodeEvent,
  type NodeOptions,
  type Proposed,
  type ReplicaNode,
  type StateMachine,
  encodePut,
  openLocalCluster,
  openNode,
} from '../../src/engine/index.ts'
import { isReplicaError } from '../../src/base/errors.ts'
import { createListStateMachine } from './engine-machine.ts'

/** Small files open fast; short time-outs elect fast, and still outlast a busy machine. */
export const TUNING = {
  heartbeatMs: 50,
  electionTimeoutMs: 500,
  batchBytesMax: 64 * 1024,
  windowBytes: 512 * 1024,
  uncommittedBytesMax: 512 * 1024,
  ringSizeBytes: 2 ** 20,
  walSegmentSizeBytes: 2 ** 20,
} as const

const WAIT_MS = 20_000

export function temporaryFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'xpaxos-test-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Resolves once `holds()`; the bound only ends a test that hangs. */
export async function until(belief: string, holds: () => boolean): Promise<void> {
  const limit = performance.now() + WAIT_MS
  while (!holds()) {
    if (performance.now() > limit) throw new Error(`never: ${belief}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

export interface OpenCluster extends LocalCluster {
  readonly events: NodeEvent[]
}

/** Closed when the test ends, if it has not been before. */
export async function openCluster(options: LocalClusterOptions): Promise<OpenCluster> {
  const events: NodeEvent[] = []
  const cluster = await openLocalCluster({
    durability: 'os',
    ...options,
    tuning: { ...TUNING, ...options.tuning },
    onEvent: (event) => {
      events.push(event)
      options.onEvent?.(event)
    },
  })
  onTestFinished(() => cluster.close())
  await settled(cluster.nodes)
  return { ...cluster, events }
}

/** For tests whose subject is not who leads: a busy machine changes no leader. */
export const CALM = { heartbeatMs: 100, electionTimeoutMs: 3_000 }

/** Three nodes with a key-value store each, where nothing else is said. */
export const openStore = (options: Partial<LocalClusterOptions> = {}): Promise<OpenCluster> =>
  openCluster({
    ...{ nodes: 3, stateMachine: 'kv', dataDir: temporaryFolder() },
    ...options,
    tuning: { ...CALM, ...options.tuning },
  })

export const put = (key: string, value: string): Uint8Array => encodePut(text(key), text(value))

/** A value of the key-value store; null: it has none. */
export const valueOf = (result: Uint8Array): string | null =>
  result[0] === 1 ? textOf(result.subarray(1)) : null

/** The folder of a cluster that was stopped in order, with three entries in every log. */
export async function stoppedCluster(options: Partial<LocalClusterOptions> = {}): Promise<string> {
  const dataDir = temporaryFolder()
  const cluster = await openCluster({ stateMachine: 'hash', dataDir, ...options })
  let index = 0
  for (const entry of ['a', 'b', 'c']) ({ index } = await cluster.propose(text(entry)))
  await until('all hold it', () => cluster.nodes.every((node) => node.status().durable >= index))
  await cluster.close()
  return dataDir
}

/** All that is in a folder, to see that nothing was written. */
export const imageOf = (dir: string): string =>
  readdirSync(dir)
    .sort()
    .map((name) => `${name} ${readFileSync(join(dir, name)).toString('base64')}`)
    .join('\n')

/** All follow one leader: the elections of a start on a busy machine are over. */
export const settled = (nodes: readonly ReplicaNode[]): Promise<void> =>
  until('all follow one leader', () => {
    const voters = nodes.filter((node) => node.status().role !== 'learner')
    const leader = voters.find((node) => node.leads)?.id ?? 0
    return leader > 0 && voters.every((node) => node.status().leader === leader)
  })

/** Proposes until somebody has answered: leadership may change under a busy machine. */
export async function proposeAgain(cluster: LocalCluster, entry: string): Promise<Proposed> {
  for (;;) {
    try {
      return await cluster.propose(text(entry))
    } catch (error) {
      if (!isReplicaError(error) || !PASSING.includes(error.code)) throw error
    }
  }
}

const PASSING: readonly string[] = [
  'E_NOT_LEADER',
  'E_LEADERSHIP_LOST',
  'E_STATE_MACHINE',
  'E_STAGE_FAILED',
]

export const codeOf = (error: unknown): string =>
  isReplicaError(error) ? error.code : String(error)
export const outcomeOf = (error: unknown): string =>
  isReplicaError(error) ? error.outcome : String(error)

/** What a promise rejects with. */
export const failing = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'it did not fail',
    (error: unknown) => error,
  )

export async function openTcpNode(
  options: Omit<NodeOptions, 'stateMachine'> & {
    readonly stateMachine?: NodeOptions['stateMachine']
    readonly onEvent?: (event: NodeEvent) => void
  },
): Promise<ReplicaNode> {
  const node = await openNode({
    stateMachine: 'hash',
    durability: 'os',
    ...options,
    tuning: { ...TUNING, ...options.tuning },
  })
  onTestFinished(async () => void (await node.close()))
  return node
}

export const text = (value: string): Uint8Array => new TextEncoder().encode(value)
export const textOf = (bytes: Uint8Array | null): string | null =>
  bytes === null ? null : new TextDecoder().decode(bytes)

/** Machines on the caller's thread, one a node in order of opening; `lists` are what they saw. */
export function listMachines(): {
  readonly lists: string[][]
  readonly make: () => StateMachine
} {
  const lists: string[][] = []
  const make = (): StateMachine => {
    const list: string[] = []
    lists.push(list)
    return createListStateMachine(list)
  }
  return { lists, make }
}

export const LIST_MODULE = new URL('./engine-machine.ts', import.meta.url)

export interface Verdict {
  readonly gaps: number
  readonly duplicates: number
  readonly hashes: readonly string[]
  readonly through: (clientId: number) => number[]
}

export function verdictOf(reports: readonly (ApplyReport | null)[]): Verdict {
  const kept = reports.filter((report) => report !== null)
  return {
    gaps: kept.reduce((sum, { gaps }) => sum + gaps, 0),
    duplicates: kept.reduce((sum, { duplicates }) => sum + duplicates, 0),
    hashes: kept.map(({ stateHash }) => stateHash),
    through: (id) =>
      kept.map(({ clients }) => clients.find((client) => client.id === id)?.through ?? 0),
  }
}
