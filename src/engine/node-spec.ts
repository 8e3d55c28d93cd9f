/**
 * What a node is told, in a form that crosses threads and processes: everything but memory. Made
 * from the user's options by engine/config.ts.
 */
import type { Member } from '../core/engine.ts'
import type { Durability } from '../wal/identity.ts'
import type { LayoutName } from './topology.ts'

export type EngineKind = 'xpaxos' | 'basic-paxos'

export interface Tuning {
  readonly heartbeatMs: number
  readonly electionTimeoutMs: number
  readonly batchBytesMax: number
  readonly batchEntriesMax: number
  readonly batchLingerUs: number
  readonly pipelineDepth: number
  readonly windowBytes: number
  /** Batches in one message to a peer that is served from the WAL. */
  readonly catchUpRatio: number
  readonly uncommittedBytesMax: number
  /** Of all entries of one group; every node keeps an open group in memory. */
  readonly groupBytesMax: number
  readonly ringSizeBytes: number
  readonly walSegmentSizeBytes: number
  /** Log kept on disk behind the applied index; 0: all of it. */
  readonly retainBytes: number
  /** Log kept for members that lag, beyond what is kept anyway. */
  readonly laggardBytesMax: number
  /** A Logger's log: beyond, it lets go of what an absent voter lacks, or (strict) is full. */
  readonly loggerBytesMax: number
  readonly loggerStrict: number
  /** Log applied from one snapshot of the state to the next; 0: none are made. */
  readonly snapshotEveryBytes: number
  readonly inflightInstancesMax: number
  readonly proposers: number
  /** How long a lease is; 0: no leases. The same at every member. */
  readonly leaseMs: number
  readonly driftPerMille: number
  readonly seed: number
}

export interface LinkEmulation {
  readonly rttMs: number
  readonly jitterMs: number
  readonly bandwidthMbps: number
}

export type StateMachineSpec =
  | { readonly kind: 'builtin'; readonly name: 'hash' | 'kv' }
  /** A module whose default-free export `createStateMachine()` makes one. */
  | { readonly kind: 'module'; readonly url: string }
  /** An object of the caller, which stays on the caller's thread. */
  | { readonly kind: 'caller' }

export interface PeerAddress {
  readonly id: number
  readonly host: string
  readonly port: number
}

export type TransportSpec =
  | { readonly kind: 'memory' }
  | {
      readonly kind: 'tcp'
      readonly host: string
      readonly port: number
      readonly peers: readonly PeerAddress[]
    }

export interface NodeSpec {
  readonly engine: EngineKind
  readonly id: number
  /** What the cluster starts with; who `joins` has itself beside those it talks to. */
  readonly members: readonly Member[]
  /** Added to a running cluster: the log says who belongs to it. */
  readonly joins: boolean
  readonly quorums: { readonly prepare: number; readonly accept: number } | null
  /** Of a node that joins: the history of the cluster that it joins (docs/disaster.md). */
  readonly historyEpoch: number
  /** Ids of members that may come later, whom this node has memory for. */
  readonly reserved: readonly number[]
  readonly clusterId: string
  readonly durability: Durability
  readonly dataDir: string
  readonly layout: LayoutName
  readonly tuning: Tuning
  readonly emulation: LinkEmulation
  readonly transport: TransportSpec
  readonly stateMachine: StateMachineSpec
  /** Drawn when the process starts; tells a restarted process from an old one. */
  readonly nonce: number
}

/** As handshakes say it (R5). Never renumbered: nodes of two versions compare them. */
export const DURABILITY_CODES: Readonly<Record<Durability, number>> = { fsync: 0, os: 1, none: 2 }

/** Client ids of one run of a node: 2^21 from here on, apart from those of any other run. */
export const clientIdBaseOf = ({ nonce }: Pick<NodeSpec, 'nonce'>): number =>
  (nonce % 2 ** 31) * CLIENT_IDS_A_RUN + 1

/** Clients of this run whose entries are answered one by one: those of proposals. */
export const isOwnClient = (clientId: number, base: number): boolean =>
  clientId >= base && clientId < base + PROPOSERS_A_RUN

/** Ids of batch writers: nobody waits for an answer to one of their entries. */
export const writerIdBaseOf = (base: number): number => base + PROPOSERS_A_RUN

const CLIENT_IDS_A_RUN = 2 ** 21
const PROPOSERS_A_RUN = CLIENT_IDS_A_RUN / 2

/** Whom this node has memory to talk to: the other members, and who may come later. */
export const peerIdsOf = ({ id, members, reserved }: NodeSpec): number[] => [
  ...members.map((member) => member.id).filter((other) => other !== id),
  ...reserved,
]

/** Whether this node makes snapshots of its state, and starts from them. */
export const makesSnapshots = ({ tuning }: Pick<NodeSpec, 'tuning'>): boolean =>
  tuning.snapshotEveryBytes > 0
