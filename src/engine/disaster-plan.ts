/**
 * Disaster commands, first half: what a stopped node's directory holds, and what a command would
 * make of it (docs/disaster.md). Reads only, and refuses whatever cannot be right, so that a
 * refusal leaves the directory as it was. disaster.ts carries a plan out.
 */
import { ReplicaError } from '../base/errors.ts'
import type { Storage } from '../base/storage.ts'
import { FRAME_HEADER_SIZE_BYTES, FRAME_KIND } from '../codec/frame.ts'
import type { Member } from '../core/engine.ts'
import { type Ballot, type NodeId, ballotAbove, nodeId } from '../core/ids.ts'
import {
  type ConfigAt,
  type Membership,
  forcedMembership,
  isElectable,
  memberOf,
  membershipOf,
  membershipProblem,
} from '../core/membership.ts'
import { membershipOfBytes } from '../stages/config-frame.ts'
import { type LogScan, scanLog } from '../wal/inspect.ts'

/**
 * `force-single-leader`: the survivor is a voter that could lead. `force-promote`: it is a learner,
 * a Logger or a voter of weight 0, and is made one.
 */
export const DISASTER_ACTIONS = ['force-single-leader', 'force-promote'] as const
export type DisasterAction = (typeof DISASTER_ACTIONS)[number]

export interface DisasterOrder {
  readonly action: DisasterAction
  /** What the cluster started with; exactly where the log holds no change of it. */
  readonly members: readonly Member[] | null
  /** Of a promoted survivor. */
  readonly weight: number
}

/** What an earlier command left in the log, as text; `index` is its place. */
export interface Audit {
  readonly index: number
  readonly text: string
}

/** What a directory holds. */
export interface Survey {
  readonly dir: string
  readonly log: LogScan
  /** The newest in the log; null: none is in it. */
  readonly config: ConfigAt | null
  readonly audits: readonly Audit[]
}

export interface DisasterPlan {
  readonly action: DisasterAction
  readonly survey: Survey
  /** The survivor as the membership before has it. */
  readonly survivor: Member
  readonly before: ConfigAt
  readonly after: Membership
  /** Of what the command appends: of this node, and used for nothing else. */
  readonly ballot: Ballot
}

/** @throws ReplicaError E_DATA_DIR, E_WAL_CORRUPT, E_FRAME_INVALID */
export function surveyDir(storage: Storage, dir: string): Survey {
  const audits: Audit[] = []
  const log = scanLog(storage, dir, (index, _through, _chain, _ballot, kind, bytes) => {
    if (kind === FRAME_KIND.audit) audits.push({ index, text: textOf(bytes) })
  })
  const { config } = log
  const known =
    config === null ? null : { index: config.index, membership: membershipOfBytes(config.bytes) }
  return { dir, log, config: known, audits }
}

/** The payload of a frame of one entry. */
function textOf(frame: Uint8Array): string {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length)
  const size = view.getUint32(FRAME_HEADER_SIZE_BYTES, true)
  const from = FRAME_HEADER_SIZE_BYTES + 4
  return new TextDecoder().decode(frame.slice(from, from + size))
}

/** @throws ReplicaError E_DISASTER_REFUSED */
export function planDisaster(survey: Survey, order: DisasterOrder): DisasterPlan {
  const { log } = survey
  const { identity, promised, acceptedBallot } = log
  if (identity.engine !== 'xpaxos') {
    refuse(`of the engine ${identity.engine}, which has no membership and no leader to force`)
  }
  if (log.last === 0) refuse('it holds no entry: open a new cluster instead')
  // Without a snapshot a state machine is made from the whole log, the survivor's as any other.
  if (log.first > 1) refuse(`its log begins at ${log.first}: no state can be made from it`)
  const before = survey.config ?? startedWith(order.members, identity.nodeId)
  if (survey.config !== null && order.members !== null) {
    refuse(`its log knows the members (index ${survey.config.index}): leave --members out`)
  }
  const self = nodeId(identity.nodeId)
  const survivor = survivorOf(before.membership, self)
  const weight = weightOf(order, survivor)
  const after = forcedMembership(before.membership, self, weight)
  const above = Math.max(promised, acceptedBallot) as Ballot
  const ballot = ballotAbove(above, self)
  return { action: order.action, survey, survivor, before, after, ballot }
}

function startedWith(members: readonly Member[] | null, self: number): ConfigAt {
  if (members === null) {
    refuse(
      'its log holds no change of the membership: say with --members what the cluster ' +
        `started with, node ${self} among them unless it joined later`,
    )
  }
  const membership = membershipOf(members)
  const problem = membershipProblem(membership)
  if (problem !== null) refuse(`--members: ${problem}`)
  return { index: 0, membership }
}

/** An id above all that the log has seen is of a node that was added, and has not learnt of it. */
function survivorOf(membership: Membership, self: NodeId): Member {
  const member = memberOf(membership, self)
  if (member !== undefined) return member
  if (self > membership.highestId) return { id: self, role: 'learner', weight: 0 }
  return refuse(`node ${self} was removed from the cluster: others may serve what it misses`)
}

/** The weight that the survivor has afterwards; refuses the command that is not for it. */
function weightOf({ action, weight }: DisasterOrder, survivor: Member): number {
  const isLeader = isElectable(survivor)
  const what = survivor.role === 'voter' ? `voter of weight ${survivor.weight}` : survivor.role
  if (action === 'force-single-leader') {
    return isLeader
      ? survivor.weight
      : refuse(`node ${survivor.id} is a ${what} and could never lead: that is force-promote`)
  }
  return isLeader
    ? refuse(`node ${survivor.id} is a ${what} and can lead: that is force-single-leader`)
    : weight
}

export function refuse(problem: string): never {
  throw new ReplicaError('E_DISASTER_REFUSED', problem, { problem })
}
