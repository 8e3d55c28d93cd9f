/**
 * Who belongs to a cluster, in which role, and how many make a quorum: plain data that travels in
 * config batches, the rules that every node checks when it meets one, and the one-step changes of
 * it. Pure; runs anywhere.
 *
 * Invariants of a valid membership: ids are unique and at most `highestId`, which never falls, so
 * that an id is never used twice (R30); prepareQuorum + acceptQuorum > voters (R23); somebody can
 * lead (R20); learners' sources form no loop (R31).
 */
import type { Member, MemberRole } from './engine.ts'
import type { NodeId } from './ids.ts'

export interface Membership {
  readonly members: readonly Member[]
  /** Promises that phase 1 needs, of the voters and Loggers. */
  readonly prepareQuorum: number
  /** Acceptances that make an index chosen. */
  readonly acceptQuorum: number
  /** The highest id that was ever a member. */
  readonly highestId: NodeId
  /**
   * Which history of the cluster this is, once a disaster command has forked it: the count of such
   * commands times 65536, and the survivor's id, so that no two of them make the same. Absent: 0.
   */
  readonly historyEpoch?: number
}

/** A config batch in the log; index 0 is what the node was started with. */
export interface ConfigAt {
  readonly index: number
  readonly membership: Membership
}

export const MEMBERS_MAX = 32
export const WEIGHT_MAX = 9

export const isVoter = (role: MemberRole): boolean => role !== 'learner'
export const isElectable = (member: Member): boolean => member.role === 'voter' && member.weight > 0
export const keepsState = (role: MemberRole): boolean => role !== 'logger'

export const votersOf = ({ members }: Pick<Membership, 'members'>): readonly Member[] =>
  members.filter(({ role }) => isVoter(role))

export const memberOf = (membership: Membership, id: NodeId): Member | undefined =>
  membership.members.find((member) => member.id === id)

/** Majorities, unless quorum sizes are given. */
export function membershipOf(
  members: readonly Member[],
  quorums: { readonly prepare?: number; readonly accept?: number } = {},
): Membership {
  const majority = (votersOf({ members }).length >> 1) + 1
  const highestId = members.reduce((highest, { id }) => Math.max(highest, id), 0) as NodeId
  const { prepare = majority, accept = majority } = quorums
  return { members, prepareQuorum: prepare, acceptQuorum: accept, highestId }
}

export const historyEpochOf = ({ historyEpoch = 0 }: Membership): number => historyEpoch

/** The survivor alone, in a history of its own (docs/disaster.md). */
export function forcedMembership(before: Membership, survivor: NodeId, weight: number): Membership {
  const forks = Math.floor(historyEpochOf(before) / HISTORY_FORK)
  return {
    members: [{ id: survivor, role: 'voter', weight }],
    prepareQuorum: 1,
    acceptQuorum: 1,
    highestId: Math.max(before.highestId, survivor) as NodeId,
    historyEpoch: (forks + 1) * HISTORY_FORK + survivor,
  }
}
const HISTORY_FORK = 65_536

/** A history epoch that some command can have made; 0: none has. */
export const isHistoryEpoch = (value: number): boolean =>
  value === 0 ||
  (Number.isInteger(value) && value > HISTORY_FORK && value < 2 ** 32 && value % HISTORY_FORK !== 0)

/** What is wrong with a membership, the first thing found; null when it is valid. */
export function membershipProblem(membership: Membership): string | null {
  const { members, prepareQuorum, acceptQuorum, highestId } = membership
  if (members.length === 0 || members.length > MEMBERS_MAX) {
    return `members: want 1 to ${String(MEMBERS_MAX)}`
  }
  if (!isHistoryEpoch(historyEpochOf(membership))) return 'historyEpoch: no command made it'
  const ids = new Set(members.map(({ id }) => id))
  if (ids.size !== members.length) return 'members: an id is there twice'
  for (const member of members) {
    const problem = memberProblem(member, ids, highestId)
    if (problem !== null) return `member ${String(member.id)}: ${problem}`
  }
  if (hasLoop(members)) return 'source: learners feed each other in a loop'
  const voters = votersOf(membership).length
  if (!members.some(isElectable)) return 'members: want one follower of a weight above 0'
  for (const [name, size] of [
    ['prepareQuorum', prepareQuorum],
    ['acceptQuorum', acceptQuorum],
  ] as const) {
    const fits = Number.isInteger(size) && size >= 1 && size <= voters
    if (!fits) return `${name}: want 1 to ${String(voters)}`
  }
  if (prepareQuorum + acceptQuorum > voters) return null
  const sizes = `${String(prepareQuorum)} and ${String(acceptQuorum)}`
  return `quorums: ${sizes} of ${String(voters)} need not meet`
}

function memberProblem(member: Member, ids: ReadonlySet<number>, highest: number): string | null {
  const { id, role, weight, forced, source = 0, promote } = member
  if (!Number.isInteger(id) || id < 1 || id > highest) return 'id: want 1 to the highest id'
  const weightFits = Number.isInteger(weight) && weight >= 0 && weight <= WEIGHT_MAX
  if (!weightFits) return `weight: want 0 to ${String(WEIGHT_MAX)}`
  if (forced !== undefined && !isVoter(role)) return 'forced: a learner does not vote'
  if (promote !== undefined && role !== 'learner') return 'promote: only a learner is promoted'
  if (source === 0) return null
  if (role !== 'learner') return 'source: only a learner has one'
  return source !== id && ids.has(source) ? null : 'source: want another member'
}

function hasLoop(members: readonly Member[]): boolean {
  const sourceOf = new Map<number, number>()
  for (const { id, source = 0 } of members) sourceOf.set(id, source)
  for (const { id } of members) {
    let at: number = id
    for (let steps = 0; at !== 0; steps++) {
      if (steps > members.length) return true
      at = sourceOf.get(at) ?? 0
    }
  }
  return false
}

/** One step from a membership to the next; several at once would need joint quorums (R26). */
export type Change =
  /** A new id joins as a learner; with `promote` it becomes that when it has caught up. */
  | {
      readonly kind: 'add'
      readonly id: NodeId
      readonly promote?: 'voter' | 'logger'
      readonly weight?: number
      readonly source?: NodeId
    }
  | { readonly kind: 'remove'; readonly id: NodeId }
  /** learner -> voter or Logger, voter <-> Logger, either -> learner. */
  | { readonly kind: 'role'; readonly id: NodeId; readonly role: MemberRole }
  | {
      readonly kind: 'set'
      readonly id: NodeId
      readonly weight?: number
      /** 'none' takes the member out of the rule. */
      readonly forced?: 'armed' | 'degraded' | 'none'
      /** 0: the leader. */
      readonly source?: NodeId | 0
    }
  | { readonly kind: 'quorums'; readonly prepare: number; readonly accept: number }

/**
 * The membership after a change, or why it cannot be. Quorum sizes go back to majorities when the
 * number of voters changes, unless the change is about them.
 */
export function changed(
  before: Membership,
  change: Change,
): { readonly membership: Membership } | { readonly problem: string } {
  if (change.kind === 'quorums') {
    const { prepare: prepareQuorum, accept: acceptQuorum } = change
    return checked({ ...before, prepareQuorum, acceptQuorum })
  }
  const member = memberOf(before, change.id)
  if (change.kind === 'add') {
    if (member !== undefined) return { problem: 'id: is a member already' }
    if (change.id <= before.highestId) return { problem: 'id: was used before, and never is again' }
    const { id, promote, weight = 5, source } = change
    const optional = { ...(promote && { promote }), ...(source && { source }) }
    const added: Member = { id, role: 'learner', weight, ...optional }
    return resized({ ...before, highestId: id }, [...before.members, added])
  }
  if (member === undefined) return { problem: 'id: is no member' }
  if (change.kind === 'remove') {
    const rest = before.members.filter(({ id }) => id !== change.id)
    return resized(before, rest.map(withoutSource(change.id)))
  }
  const next = change.kind === 'role' ? inRole(member, change.role) : withSettings(member, change)
  return resized(
    before,
    before.members.map((one) => (one === member ? next : one)),
  )
}

/** Whoever was fed by a member that leaves is fed by the leader again. */
const withoutSource =
  (gone: NodeId) =>
  (member: Member): Member =>
    member.source === gone ? bare(member, {}) : member

function inRole(member: Member, role: MemberRole): Member {
  const forced = isVoter(role) ? member.forced : undefined
  return bare(member, { role, ...(forced && { forced }) })
}

function withSettings(member: Member, change: Change & { readonly kind: 'set' }): Member {
  const forced = change.forced ?? member.forced
  const source = change.source ?? member.source
  return bare(member, {
    weight: change.weight ?? member.weight,
    ...(forced && forced !== 'none' && { forced }),
    ...(source && { source }),
    ...(member.promote && { promote: member.promote }),
  })
}

const bare = ({ id, role, weight }: Member, more: Partial<Member>): Member => ({
  id,
  role,
  weight,
  ...more,
})

function resized(before: Membership, members: readonly Member[]) {
  const count = votersOf({ members }).length
  if (count === votersOf(before).length) return checked({ ...before, members })
  const majority = (count >> 1) + 1
  return checked({ ...before, members, prepareQuorum: majority, acceptQuorum: majority })
}

function checked(membership: Membership) {
  const problem = membershipProblem(membership)
  return problem === null ? { membership } : { problem }
}
