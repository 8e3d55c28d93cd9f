/**
 * Memberships as the judge counts by them: which nodes vote, how many are needed, who may stand,
 * and what one change may do. Written apart from core/membership.ts so that each can convict the
 * other. Nodes are named by their place: id - 1. Pure.
 */
import type { Member } from '../core/engine.ts'
import type { Membership } from '../core/membership.ts'
import type { Frame } from './frames.ts'
import { demand } from './invariants.ts'

export interface Rule {
  /** Of its config batch: it governs what lies above; 0: what the cluster was started with. */
  readonly index: number
  readonly membership: Membership
  /** Places of voters and Loggers. */
  readonly voters: readonly number[]
  /** Places of armed forced members. */
  readonly armed: readonly number[]
  /** One number a voter; used within one call only. */
  readonly scratch: Float64Array
}

export function createRule(index: number, membership: Membership): Rule {
  const placesOf = (members: readonly Member[]): number[] => members.map(({ id }) => id - 1)
  const voters = placesOf(membership.members.filter(({ role }) => role !== 'learner'))
  const armed = placesOf(membership.members.filter(({ forced }) => forced === 'armed'))
  return { index, membership, voters, armed, scratch: new Float64Array(voters.length) }
}

/** One rule a config batch. */
export type Rules = Map<Frame, Rule>

export function ruleOf(rules: Rules, frame: Frame): Rule {
  let rule = rules.get(frame)
  if (rule === undefined) {
    rule = createRule(frame.first, frame.membership!)
    rules.set(frame, rule)
  }
  return rule
}

export const memberAt = ({ membership }: Rule, place: number): Member | undefined =>
  membership.members.find(({ id }) => id === place + 1)

export const mayLead = (member: Member | undefined): boolean =>
  member?.role === 'voter' && member.weight > 0

/** The greatest index that an accept quorum of the rule holds. */
export function quorumThrough({ voters, membership, scratch }: Rule, votes: Float64Array): number {
  for (let i = 0; i < voters.length; i++) scratch[i] = votes[voters[i]!]!
  scratch.sort()
  return scratch[voters.length - membership.acceptQuorum] ?? 0
}

export function hasPromises({ voters, membership }: Rule, by: ReadonlySet<number>): boolean {
  let count = 0
  for (const place of voters) if (by.has(place)) count += 1
  return count >= membership.prepareQuorum
}

/** What every membership must be, however it came about (I3, I11). */
export function checkMembership({ membership, voters }: Rule): void {
  const { members, prepareQuorum, acceptQuorum, highestId } = membership
  const fits = (size: number): boolean => size >= 1 && size <= voters.length
  demand(fits(prepareQuorum) && fits(acceptQuorum), 'I3', 'a quorum is a number of voters')
  demand(prepareQuorum + acceptQuorum > voters.length, 'I3', 'quorums of one membership meet')
  demand(members.some(mayLead), 'I17', 'a membership without anybody who could lead')
  demand(new Set(members.map(({ id }) => id)).size === members.length, 'I11', 'an id twice')
  for (const { id, role, source, forced } of members) {
    demand(id <= highestId, 'I11', `${id} is above the highest id ${highestId}`)
    demand(source === undefined || role === 'learner', 'I16', 'only a learner has a source')
    demand(forced === undefined || role !== 'learner', 'I18', 'a learner is a forced member')
    demand(!feedsItself(members, id), 'I16', `${id} is its own source`)
  }
}

function feedsItself(members: readonly Member[], id: number): boolean {
  let at: number | undefined = id
  for (let steps = 0; steps <= members.length; steps++) {
    at = members.find((member) => member.id === at)?.source
    if (at === undefined) return false
    demand(
      members.some((member) => member.id === at),
      'I16',
      `source ${at} is no member`,
    )
    if (at === id) return true
  }
  return true
}

/** One change: one member joins, leaves or changes its role, and ids only grow (I11, R26, R30). */
export function checkStep({ membership: before }: Rule, { membership: after }: Rule): void {
  demand(after.highestId >= before.highestId, 'I11', 'the highest id falls')
  let steps = 0
  for (const { id, role } of after.members) {
    const old = before.members.find((member) => member.id === id)
    if (old === undefined) demand(id > before.highestId, 'I11', `${id} is used again`)
    if (old === undefined) demand(role === 'learner', 'I11', `${id} joins as a ${role}`)
    if (old?.role !== role) steps += 1
  }
  for (const { id } of before.members) {
    if (!after.members.some((member) => member.id === id)) steps += 1
  }
  demand(steps <= 1, 'I11', `${steps} changes at once`)
}
