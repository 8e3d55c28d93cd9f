/**
 * What a seed means: members, knobs, laws and the list of everything that will be done to the
 * cluster (client requests, faults, operators), drawn before the run. The run itself draws only
 * what links and disks do by chance, each from a generator of its own, so that a plan with fewer
 * operations is still a run (shrink.ts). Plain data.
 */
import type { Member } from '../core/engine.ts'
import type { RetentionLimits } from '../stages/retention.ts'
import type { SessionLimits } from '../stages/session-table.ts'
import type { Law } from './laws.ts'
import type { Operator } from './operators.ts'

export interface Knobs {
  readonly heartbeatMs: number
  readonly electionTimeoutMs: number
  readonly windowBytes: number
  readonly batchBytesMax: number
  readonly batchEntriesMax: number
  readonly pipelineDepth: number
  readonly tickMs: number
  /** Basic Paxos: how many propose at once, and instances in flight. */
  readonly proposers: number
  readonly inflightInstancesMax: number
  /** Clients are refused beyond so many unchosen entries at one node (ingest's bound). */
  readonly backlogEntriesMax: number
}

export interface Laws {
  readonly link: Law
  readonly sync: Law
  readonly read: Law
  readonly apply: Law
  /** From the stamp of a request to the core. */
  readonly submit: Law
}

/** Rates per 1,000 messages or events. */
export interface Noise {
  readonly loss: number
  readonly duplicates: number
  /** Messages overtake each other inside a session. */
  readonly reorder: boolean
  readonly flips: number
  /** Neighbours in the log do not adjoin in the ring. */
  readonly gaps: number
}

/** Place of a node, or the node that leads at that moment. */
export const LEADER = -1

interface At {
  readonly atUs: number
}
export type Op =
  | (At & {
      readonly kind: 'submit'
      readonly session: number
      readonly count: number
      readonly payloadSizeBytes: number
      /** So many frames of `count` entries that take effect together (R38); default: one alone. */
      readonly groupFrames?: number
      /** LEADER: whoever leads; else this node, which refuses when it does not lead. */
      readonly node: number
    })
  | (At & { readonly kind: 'crash'; readonly node: number })
  /** The end of the process: what was written stays in the page cache. */
  | (At & { readonly kind: 'kill'; readonly node: number })
  | (At & { readonly kind: 'restart'; readonly node: number })
  | (At & { readonly kind: 'power' })
  | (At & { readonly kind: 'cut'; readonly node: number; readonly other: number })
  | (At & { readonly kind: 'one-way'; readonly node: number; readonly other: number })
  | (At & { readonly kind: 'mend'; readonly node: number; readonly other: number })
  | (At & { readonly kind: 'reset'; readonly node: number; readonly other: number })
  | (At & {
      readonly kind: 'clog'
      readonly node: number
      readonly other: number
      readonly forUs: number
    })
  | (At & { readonly kind: 'isolate'; readonly node: number })
  | (At & { readonly kind: 'mend-all' })
  /** Only links of `hub` stay. */
  | (At & { readonly kind: 'hub'; readonly node: number })
  | (At & { readonly kind: 'chain' })
  | (At & { readonly kind: 'pause'; readonly node: number; readonly forUs: number })
  | (At & { readonly kind: 'stall'; readonly node: number; readonly forUs: number })
  | (At & { readonly kind: 'fail-sync'; readonly node: number })
  | (At & {
      readonly kind: 'clock'
      readonly node: number
      readonly driftPpm: number
      readonly stepUs: number
    })
  | (At & { readonly kind: 'pressure'; readonly node: number; readonly ring: number })
  /** The machine sleeps: its monotonic clock stands still, its wall clock does not. */
  | (At & { readonly kind: 'suspend'; readonly node: number; readonly forUs: number })
  /** The same, in the middle of the next read that it grants by lease. */
  | (At & { readonly kind: 'doze'; readonly node: number; readonly forUs: number })
  /** Whoever leads is paused, and the processes of all others end and start again. */
  | (At & { readonly kind: 'outlive'; readonly node: number; readonly forUs: number })
  /** Somebody sets the wall clock, forward or back. */
  | (At & { readonly kind: 'wall'; readonly node: number; readonly stepUs: number })
  | (At & CallOp)
  /** Asks a node for a change or a hand-over; `a` and `b` say which, by what it is by then. */
  | (At & {
      readonly kind: 'operator'
      readonly name: Operator
      readonly node: number
      readonly a: number
      readonly b: number
    })

export type OpKind = Op['kind']

export const nodesOf = ({ members, joiners }: Pick<Plan, 'members' | 'joiners'>): Member[] => [
  ...members,
  ...joiners,
]

/** What a caller wants next; it waits for what it has under way, and tries again where it must. */
export interface CallOp {
  readonly kind: 'call'
  readonly caller: number
  readonly f: 'put' | 'delete' | 'cas' | 'get' | 'sync' | 'close'
  readonly key: number
  /** Of a read: where; LEADER: whoever leads. Writes look for the leader themselves. */
  readonly node: number
  readonly consistency: 'linearizable' | 'lease' | 'session' | 'stale'
  /** Of a stale read. */
  readonly boundMs: number
}

/** What a run on the stages of production has beside the rest. */
export interface StagePlan {
  /** 0: no leases. */
  readonly leaseMs: number
  readonly driftPerMille: number
  readonly sessions: SessionLimits
  readonly retention: RetentionLimits
  /** Log applied from one snapshot to the next; 0: none are made. */
  readonly snapshotEveryBytes: number
  readonly uncommittedBytesMax: number
  readonly lingerMs: number
  readonly callers: readonly CallerPlan[]
  /** By place: how far the wall clock is ahead of true time. */
  readonly wallMs: readonly number[]
}

export interface CallerPlan {
  readonly hasSession: boolean
  /** Calls that it has under way at once, at most. */
  readonly window: number
}

export type Ending =
  /** Ends where the operations end. */
  | 'safety'
  /** Heals, freezes the faults, and demands progress and agreement. */
  | 'liveness'
  /** The same, but then as many members as can be spared die for good. */
  | 'core'
  /** Keeps the cut of a partial-connectivity graph and demands progress. */
  | 'partial'

export interface Plan {
  readonly seed: number
  /** What links and disks do by chance; the seed itself, until a shrinker tries others. */
  readonly chanceSeed: number
  readonly className: string
  readonly engine: 'xpaxos' | 'basic-paxos'
  /** Their ids are 1, 2, ..., so that a node's place is its id - 1. */
  readonly members: readonly Member[]
  /** Nodes that may be added later, with the ids behind those of the members. */
  readonly joiners: readonly Member[]
  /** Sizes of the first membership; null: majorities. */
  readonly quorums: { readonly prepare: number; readonly accept: number } | null
  readonly knobs: Knobs
  readonly laws: Laws
  readonly noise: Noise
  /** The real src/wal over a simulated file system. */
  readonly realWal: boolean
  /** Null: bare cores (core-driver.ts). */
  readonly stages: StagePlan | null
  readonly clocks: readonly { readonly offsetMs: number; readonly driftPpm: number }[]
  readonly ops: readonly Op[]
  /** Faults end and the ending begins. */
  readonly untilUs: number
  readonly ending: Ending
  /** Places in the order in which the ending tries to do without them. */
  readonly away: readonly number[]
  readonly graph: 'quorum-loss' | 'constrained' | 'chained' | null
  /** A micro schedule ends here; any other that comes so far has no end (L6). */
  readonly eventsMax: number
}
