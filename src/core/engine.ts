/**
 * The seam between a pure protocol core and the stage that drives it: inputs in, effects out.
 * Both engines (core/xpaxos, core/basic-paxos) have this shape; the decide stage and the simulator
 * run either. A core has no clock, chance, I/O, thread or payload byte; it may keep FrameRefs.
 *
 * Contract of the driver:
 * - effects are carried out in order; `append` effects reach the WAL in LSN order;
 * - a `lease` effect is known to whoever reads values before any message of its step leaves;
 * - `durable` is told in LSN order, may skip values, and never comes before the sync that covers
 *   it;
 * - messages may be lost, repeated and reordered across link sessions; a core must survive that;
 * - frames of a message or read that the core puts in no effect and does not mark `kept` are free;
 * - an `append` or `send` effect carries frames that lie in one contiguous range of one ring; an
 *   `apply` effect need not.
 */
import type { FrameRef } from './frame-ref.ts'
import type { Ballot, LogIndex, Lsn, NodeId } from './ids.ts'
import type { Change, Membership } from './membership.ts'
import type { WalRecord } from './records.ts'

export type MemberRole = 'voter' | 'logger' | 'learner'

export interface Member {
  readonly id: NodeId
  readonly role: MemberRole
  /** 0..9; higher stands earlier; 0 and Loggers and learners never stand. */
  readonly weight: number
  /** Strategised majority: nothing is announced before an armed member has it (R21, R22). */
  readonly forced?: 'armed' | 'degraded'
  /** Of a learner: who feeds it its log; absent: the leader (R31). */
  readonly source?: NodeId
  /** Of a learner: what it becomes by itself when it has caught up. */
  readonly promote?: 'voter' | 'logger'
}

export type Input<Message> =
  /** `now` in ms on a monotonic clock of this node; the core's only time. */
  | { readonly kind: 'tick'; readonly now: number }
  | { readonly kind: 'durable'; readonly lsn: Lsn }
  | { readonly kind: 'link'; readonly peer: NodeId; readonly up: boolean }
  | {
      readonly kind: 'message'
      readonly from: NodeId
      readonly message: Message
      readonly frames: readonly FrameRef[]
    }
  /** New frames of this node's clients, stamped for `ballot` and contiguous behind the last. */
  | { readonly kind: 'submitted'; readonly ballot: Ballot; readonly frames: readonly FrameRef[] }
  /** Answer to a `read` effect; no frames: the range is not on this disk any more. */
  | { readonly kind: 'read-done'; readonly ticket: number; readonly frames: readonly FrameRef[] }
  /** The state machine has executed everything through this index. */
  | { readonly kind: 'applied'; readonly through: LogIndex }
  /** A one-step change of the membership, asked of the leader; answered by `changed`. */
  | { readonly kind: 'change'; readonly id: number; readonly change: Change }
  /** Leadership is to go to `target`, asked of the leader; answered by `transferred`. */
  | { readonly kind: 'transfer'; readonly id: number; readonly target: NodeId }
  /** A ring is nearly full: stop keeping durable frames of it; laggards go on from the WAL. */
  | { readonly kind: 'pressure'; readonly ring: number }
  /** Wants an index to wait for, or a reason; `id` is the driver's, `boundMs` is for `stale`. */
  | {
      readonly kind: 'read-asked'
      readonly id: number
      readonly mode: ReadMode
      readonly boundMs: number
    }
  /** Wall and monotonic clock no longer agree: the machine slept, or somebody set a clock. */
  | { readonly kind: 'clock-jumped' }
  /** What of the log is still on this disk; `full`: its bound is reached and must not be kept. */
  | { readonly kind: 'retained'; readonly first: LogIndex; readonly full: boolean }

export type Effect<Message> =
  /** Write this record (and its frames) under this LSN. `lazy`: nobody waits for its sync. */
  | {
      readonly kind: 'append'
      readonly lsn: Lsn
      readonly record: WalRecord
      readonly frames: readonly FrameRef[]
      readonly lazy: boolean
    }
  | {
      readonly kind: 'send'
      readonly to: NodeId
      readonly message: Message
      readonly frames: readonly FrameRef[]
    }
  /**
   * Send `message` if the lease is valid by the clock now, when what it says has been read; else
   * `otherwise`. The core's own time is that of a tick, and proves nothing.
   */
  | {
      readonly kind: 'send-by-lease'
      readonly to: NodeId
      readonly message: Message
      readonly otherwise: Message
    }
  /** Read frames from the own WAL: from `from` on, at most to `through`, about `sizeBytesMax`. */
  | {
      readonly kind: 'read'
      readonly ticket: number
      readonly from: LogIndex
      readonly through: LogIndex
      readonly sizeBytesMax: number
    }
  /** Execute these consecutive chosen frames, wherever they lie; the first has index `first`. */
  | { readonly kind: 'apply'; readonly first: LogIndex; readonly frames: readonly FrameRef[] }
  /** Everything through this index is chosen; may be announced to clients. */
  | { readonly kind: 'chosen'; readonly through: LogIndex; readonly chain: number }
  /**
   * This node may propose: ingest stamps `ballot` and indexes from `next` on. `abort`: the log ends
   * within a group, and an abort batch goes before anything else (R38).
   */
  | {
      readonly kind: 'lead'
      readonly ballot: Ballot
      readonly next: LogIndex
      readonly abort: boolean
    }
  /** It may not any more; what was submitted and is not known chosen is `unknown`. */
  | { readonly kind: 'unlead'; readonly leader: NodeId | 0 }
  /**
   * Submit two frames, stamped like any other: a config batch with this membership and an empty
   * one behind it (R26); null: only the empty one.
   */
  | { readonly kind: 'configure'; readonly ballot: Ballot; readonly membership: Membership | null }
  /** While false, ingest refuses with `not-proposed`: a transfer (R24), or a log is full. */
  | { readonly kind: 'admit'; readonly open: boolean; readonly reason: AdmitReason | null }
  /** Answer to a `change`: done means chosen, and a removed node may be stopped (R26). */
  | { readonly kind: 'changed'; readonly id: number; readonly outcome: ChangeOutcome }
  /** Answer to a `transfer`: 'done' when another ballot took over. */
  | { readonly kind: 'transferred'; readonly id: number; readonly outcome: TransferOutcome }
  /** The state is as new as this read wants it once everything through `index` is applied. */
  | {
      readonly kind: 'read-ready'
      readonly id: number
      readonly index: LogIndex
      /** Only if the lease is valid when the value has been read. */
      readonly lease: boolean
    }
  /** Reads by lease are right before `until`, by the clock of the ticks; 0: not now. */
  | { readonly kind: 'lease'; readonly until: number }
  | { readonly kind: 'read-refused'; readonly id: number; readonly reason: ReadRefusal }
  /** For people: role changes, alarms. Never needed for correctness. */
  | { readonly kind: 'event'; readonly name: EventName; readonly value: number }

/** `unknown`: leadership ended meanwhile; anything else but `done` changed nothing. */
export type ChangeOutcome =
  | 'done'
  | 'not-leader'
  | 'not-ready' // what it adopted is not chosen yet, or a transfer runs
  | 'conflict' // another change is open
  | 'invalid'
  | 'lagging' // too far behind: the learner to be promoted, a Logger that trimmed, who is to lead
  | 'unknown'

/** Why a leader takes no proposals. */
export type AdmitReason = 'transfer' | 'log-full'

export type TransferOutcome =
  | 'done'
  | 'not-leader'
  | 'not-ready'
  | 'conflict'
  | 'illegal' // this node, a Logger, a learner, of weight 0, or no member
  | 'timed-out' // the old leader goes on

export type ReadMode = 'linearizable' | 'lease' | 'stale'

export type ReadRefusal =
  | 'no-leader' // none was heard in time
  | 'late' // a leader is there, and no quorum has confirmed it in time
  | 'too-stale' // no contact with a content leader within the bound
  | 'no-state' // a Logger has nothing to read
  | 'overloaded' // too many reads wait for an index
  | 'not-available' // this engine has no such reads

export type EventName =
  | 'leader' // value: node id of the leader this node follows, 0: none
  | 'prepare-started' // value: ballot
  | 'suffix-fetched' // value: node id of the source
  | 'suffix-cut' // value: first index cut
  | 'peer-reset' // value: node id; its stream starts again from a promise
  | 'behind-trim' // value: node id; needs a snapshot
  | 'membership' // value: index of the config batch that governs from now on
  | 'removed' // value: index of the config batch by which this node is no member any more
  | 'forced-degraded' // value: node id; a silent forced member is out of the rule
  | 'forced-armed' // value: node id; it is back in
  | 'transfer-started' // value: node id of the target
  | 'transfer-failed' // value: node id of the target
  | 'source-replaced' // value: node id of the learner that the leader feeds from now on
  | 'log-full' // value: node id of the Logger whose log is full; 0: none is any more
  | 'tolerance-reduced' // value: last index trimmed that an absent data voter lacks (R32)
  | 'tolerance-restored' // value: the same; every data voter has it by now
  | 'bad-message' // value: node id; what it says does not fit its frames: dropped
  | 'chain-mismatch' // value: log index; an alarm: logs differ where they must not

export interface Core<Message> {
  step(input: Input<Message>, effects: Effect<Message>[]): void
  /** For checks and status: cheap, no allocation in the core. */
  readonly view: CoreView
}

export interface CoreView {
  readonly role: 'leader' | 'candidate' | 'follower' | 'logger' | 'learner'
  readonly leader: NodeId | 0
  readonly promised: Ballot
  readonly acceptedBallot: Ballot
  readonly last: LogIndex
  readonly chosen: LogIndex
  readonly chosenChain: number
  readonly durable: LogIndex
  /** False for a Logger whose role is chosen: it needs no log but for others. */
  readonly keepsState: boolean
  /** On the disk of every member, and of every voter with a state machine. */
  readonly held: LogIndex
  readonly heldByData: LogIndex
  /** Chosen, and on the disk of the leader that this node follows; 0: it has not said. */
  readonly leaderHolds: LogIndex
  /** First index of the log that is still on this disk. */
  readonly firstRetained: LogIndex
  /** The newest membership in this node's log; its config batch is at `membershipIndex`, or 0. */
  readonly membership: Membership
  readonly membershipIndex: LogIndex
  /** Batches that this node accepted from a leader (a Logger's sign of life). */
  readonly acceptedBatches: number
}
