/**
 * What a trial needs of the system it loads, whatever carries it: nodes that can be loaded, looked
 * at, killed and closed. local-engine.ts has them in this process (memory links), process-engine.ts
 * one OS process a node (TCP).
 */
import type { ApplyReport } from '../../src/engine/apply-report.ts'
import type { NodeStatistics, NodeStatus } from '../../src/engine/node-status.ts'
import type { RoleName } from '../types.ts'
import type { ClientTally, LoadResult, LoadSpec } from './load.ts'

/** One node at one moment; differences of two looks give rates. */
export interface NodeLook {
  readonly status: NodeStatus
  readonly statistics: NodeStatistics
  /** Of the node's process; with memory links all nodes share one. */
  readonly cpuUserUs: number
  readonly cpuSystemUs: number
  readonly rssBytes: number
}

export interface BenchNode {
  readonly id: number
  readonly role: RoleName
  /** Null with durability none. */
  readonly dataDir: string | null
  alive: boolean
  leads: boolean
  /** Resolves when the load has ended, also when the node or its process died under it. */
  startLoad(spec: Omit<LoadSpec, 'journal'>): Promise<LoadResult>
  look(): Promise<NodeLook>
  /** Ends in order. @returns null for a node without a state machine */
  close(): Promise<ApplyReport | null>
  /** SIGKILL of its process, or its threads stopped where they stand. */
  kill(): Promise<void>
  /** Its disk takes so many times as long from now on. */
  slowDisk(factor: number): Promise<void>
}

export interface Engine {
  readonly nodes: readonly BenchNode[]
  readonly sharesProcess: boolean
  /** Called on every change of `leads`. */
  onChange: () => void
  /** Failures and alarms that nodes reported by themselves: each is a violation or an error. */
  readonly failures: string[]
  /** Ends whatever is left. Never throws. */
  release(): Promise<void>
}

/** How a load ends whose process was killed. */
export const KILLED = 'killed'

/** What a killed client had been told. */
export function killedLoad(clients: readonly ClientTally[], lastAckMs: number): LoadResult {
  const empty = { buckets: [], counts: [], sumUs: 0, minUs: 0, maxUs: 0 }
  return {
    entries: 0,
    latency: empty,
    batchEntries: empty,
    samples: [],
    inflightMax: 0,
    refused: 0,
    offered: 0,
    firstAckMs: 0,
    lastAckMs,
    clients,
    failure: KILLED,
  }
}

/** Names of events that must never happen. */
export const ALARMS: ReadonlySet<string> = new Set(['chain-mismatch', 'frame-invalid'])
