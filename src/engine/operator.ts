/**
 * The operator's side of a node, on the caller's thread: changes of the membership, transfer of
 * leadership, and the membership for `status()`. Orders go to decide in the ring of submissions,
 * answers come back in that of admissions (stages/membership-cells.ts).
 *
 * Invariants: every call ends in a result or a ReplicaError; nothing is retried here; a change that
 * failed with outcome `not-proposed` changed nothing.
 */
import { ReplicaError } from '../base/errors.ts'
import { decodeMembership } from '../codec/membership.ts'
import type { ChangeOutcome, MemberRole, TransferOutcome } from '../core/engine.ts'
import { type Change, type Membership, changed } from '../core/membership.ts'
import type { NodeId } from '../core/ids.ts'
import type { CellRing } from '../ring/cell-ring.ts'
import * as about from '../stages/membership-cells.ts'
import { type OutPort, claim, flush } from '../stages/port.ts'
import { notLeader } from './client.ts'

/** One step of the membership; several are several changes, one after the other. */
export type MembershipChange =
  /** A new node joins as a learner; with `promote` it becomes that by itself once caught up. */
  | {
      readonly kind: 'add'
      readonly id: number
      readonly promote?: 'voter' | 'logger'
      readonly weight?: number
      readonly source?: number
    }
  /** Its id is never used again. */
  | { readonly kind: 'remove'; readonly id: number }
  | { readonly kind: 'role'; readonly id: number; readonly role: MemberRole }
  | {
      readonly kind: 'set'
      readonly id: number
      readonly weight?: number
      readonly forced?: 'armed' | 'degraded' | 'none'
      /** 0: the leader. */
      readonly source?: number
    }
  | { readonly kind: 'quorums'; readonly prepare: number; readonly accept: number }

export interface MemberStatus {
  readonly id: number
  readonly role: MemberRole
  readonly weight: number
  /** Of a forced member: whether it counts now, or was silent for too long; null: not forced. */
  readonly forced: 'armed' | 'degraded' | null
  /** Of a learner: who feeds it; null: the leader. */
  readonly source: number | null
  readonly promote: 'voter' | 'logger' | null
}

/** The newest membership in a node's log, chosen or about to be. */
export interface MembershipStatus {
  /** Of its config batch; 0: what the cluster started with. */
  readonly index: number
  readonly members: readonly MemberStatus[]
  readonly prepareQuorum: number
  readonly acceptQuorum: number
  /** The highest id that was ever used: a new node's is above it. */
  readonly highestId: number
}

export interface Operator {
  /** Null: this node has not said yet. */
  readonly membership: MembershipStatus | null
  /** By the newest membership in this node's log; null: it does not say. */
  roleOf(id: number): MemberRole | null
  change(change: MembershipChange): Promise<void>
  transfer(target: number): Promise<void>
  /** For ingest: takes a cell of decide that is about the membership. */
  onCell(cells: CellRing, base: number, place: number): number
  /** Ends every open call. */
  fail(error: ReplicaError): void
}

interface Asked {
  readonly resolve: () => void
  readonly reject: (error: ReplicaError) => void
  /** Null: a transfer. */
  readonly change: Change | null
}

export function createOperator(wiring: {
  readonly toDecide: OutPort
  readonly isAvailable: boolean
  readonly leader: () => number
}): Operator {
  const { toDecide } = wiring
  const asked = new Map<number, Asked>()
  let nextId = 1
  let failure: ReplicaError | null = null
  let newest: { readonly index: number; readonly membership: Membership } | null = null

  const ask = (
    change: Change | null,
    write: (words: Float64Array, base: number, id: number) => void,
  ): Promise<void> =>
    new Promise((resolve, reject) => {
      if (failure !== null) throw failure
      if (!wiring.isAvailable) throw notAvailable()
      const id = nextId++
      asked.set(id, { resolve, reject, change })
      const base = claim(toDecide)
      write(toDecide.words, base, id)
      flush(toDecide)
    })
  const answer = (id: number, error: (change: Change | null) => ReplicaError | null): void => {
    const one = asked.get(id)
    if (one === undefined) return
    asked.delete(id)
    const reason = error(one.change)
    if (reason === null) one.resolve()
    else one.reject(reason)
  }
  const onCell = (cells: CellRing, base: number, place: number): number => {
    const { words } = cells
    const kind = words[base]!
    const id = words[base + 1]!
    const code = words[base + 2]!
    if (kind === about.MEMBERSHIP) {
      // Of this node's own core; who has only just joined has none yet that could stand alone.
      const bytes = about.readMembership(cells, place)
      newest = { index: id, membership: decodeMembership(bytes, () => null) }
      return about.groupCellsOf(words, base)
    }
    const leader = wiring.leader()
    if (kind === about.CHANGED) {
      const outcome = about.changeOutcomeOf(code)
      answer(id, (change) => changeError(outcome, change, newest?.membership ?? null, leader))
    } else if (kind === about.TRANSFERRED) {
      const outcome = about.transferOutcomeOf(code)
      answer(id, () => transferError(outcome, leader))
    }
    return 1
  }
  return {
    get membership() {
      return newest === null ? null : statusOf(newest)
    },
    roleOf: (id) => newest?.membership.members.find((one) => one.id === id)?.role ?? null,
    change(given) {
      const change = given as Change
      const problems = problemsOf(given)
      if (problems.length > 0) return Promise.reject(invalid(problems))
      return ask(change, (words, base, id) => about.writeChange(words, base, id, change))
    },
    transfer(target) {
      if (!isId(target)) return Promise.reject(invalid([`target=${target}: want 1 to ${ID_MAX}`]))
      return ask(null, (words, base, id) => words.set([about.TRANSFER, id, target], base))
    },
    onCell,
    fail(error) {
      failure ??= error
      for (const { reject } of asked.values()) {
        const message = error.message.replace(`${error.code}: `, '')
        reject(new ReplicaError(error.code, message, error.detail, 'unknown'))
      }
      asked.clear()
    },
  }
}

const ID_MAX = 65_535
const isId = (value: number): boolean => Number.isInteger(value) && value >= 1 && value <= ID_MAX

/** What would not even fit in an order; whether it is a valid step is the core's to say. */
function problemsOf(change: MembershipChange): string[] {
  const problems: string[] = []
  const check = (name: string, value: number | undefined, min: number, max: number): void => {
    const fits = value === undefined || (Number.isInteger(value) && value >= min && value <= max)
    if (!fits) problems.push(`${name}=${value}: want ${min} to ${max}`)
  }
  if (!KINDS.includes(change.kind)) return [`kind=${change.kind}: want one of ${KINDS.join(', ')}`]
  if ('id' in change) check('id', change.id, 1, ID_MAX)
  if ('weight' in change) check('weight', change.weight, 0, 9)
  if ('source' in change) check('source', change.source, 0, ID_MAX)
  const choose = (name: string, value: string | undefined, allowed: readonly string[]): void => {
    const fits = value === undefined || allowed.includes(value)
    if (!fits) problems.push(`${name}=${value}: want one of ${allowed.join(', ')}`)
  }
  if (change.kind === 'add') choose('promote', change.promote, PROMOTED)
  if (change.kind === 'role') choose('role', change.role ?? 'none', ROLES)
  if (change.kind === 'set') choose('forced', change.forced, FORCED)
  if (change.kind !== 'quorums') return problems
  check('prepare', change.prepare, 1, 32)
  check('accept', change.accept, 1, 32)
  return problems
}

const ROLES: readonly string[] = ['voter', 'logger', 'learner'] satisfies MemberRole[]
const PROMOTED: readonly string[] = ['voter', 'logger'] satisfies MemberRole[]
const FORCED: readonly string[] = ['armed', 'degraded', 'none']
const KINDS: readonly string[] = ['add', 'remove', 'role', 'set', 'quorums']

const invalid = (problems: readonly string[]): ReplicaError =>
  new ReplicaError('E_CONFIG_INVALID', problems.join('; '), { problems })

function notAvailable(): ReplicaError {
  const feature = 'membership of basic-paxos'
  return new ReplicaError('E_NOT_AVAILABLE', 'Basic Paxos has no leader to ask', { feature })
}

function changeError(
  outcome: ChangeOutcome,
  change: Change | null,
  membership: Membership | null,
  leader: number,
): ReplicaError | null {
  if (outcome === 'done') return null
  if (outcome === 'not-leader') return notLeader(leader)
  if (outcome === 'unknown') {
    const message = 'leadership ended while the change was under way'
    return new ReplicaError('E_LEADERSHIP_LOST', message, { leader }, 'unknown')
  }
  const step = change && membership ? changed(membership, change) : null
  const told = step !== null && 'problem' in step ? step.problem : PROBLEMS[outcome]
  const problem = outcome === 'invalid' ? told : PROBLEMS[outcome]
  return new ReplicaError('E_CHANGE_REFUSED', problem, { reason: outcome, problem })
}

const PROBLEMS = {
  'not-ready': 'the leader is not established yet, or hands leadership over',
  conflict: 'another change is under way',
  invalid: 'no valid step of the membership',
  lagging: 'the learner is too far behind to vote',
} as const

function transferError(outcome: TransferOutcome, leader: number): ReplicaError | null {
  if (outcome === 'done') return null
  if (outcome === 'not-leader') return notLeader(leader)
  const known = outcome === 'timed-out' ? 'unknown' : 'not-proposed'
  return new ReplicaError('E_TRANSFER_FAILED', REASONS[outcome], { reason: outcome }, known)
}

const REASONS = {
  'not-ready': 'the leader is not established yet, or a change of the membership is open',
  conflict: 'another transfer runs',
  illegal: 'want another member that may lead: a voter of a weight above 0',
  'timed-out': 'the target did not take over; this node may go on leading',
} as const

function statusOf(newest: { readonly index: number; readonly membership: Membership }) {
  const { index, membership } = newest
  const members = membership.members.map(
    ({ id, role, weight, forced = null, source = null, promote = null }) => {
      const from: NodeId | null = source
      return { id, role, weight, forced, source: from, promote }
    },
  )
  return { ...membership, index, members }
}
