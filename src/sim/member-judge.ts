/**
 * The judge's view of changes and hand-overs while they are made (I11, I15 to I18): what a leader
 * proposes, to whom it hands over, what its answers to operators claim. What becomes of a config
 * batch once it is chosen is judged with the log (chosen-log.ts).
 */
import { type Ballot, type NodeId, ballotOwner } from '../core/ids.ts'
import { type ChosenLog, isHeldChosen } from './chosen-log.ts'
import type { Frame } from './frames.ts'
import { type FirstRule, newestRule } from './live-rules.ts'
import { demand } from './invariants.ts'
import type { NodePlace } from './judge.ts'
import type { Log } from './log.ts'
import { type Rule, checkMembership, checkStep, mayLead, memberAt, ruleOf } from './rules.ts'

/** A forced member went out of the rule or came back, as the leader said in the same step. */
export interface ForcedEvent {
  readonly name: 'forced-degraded' | 'forced-armed'
  readonly id: number
}

/** Who changes the membership: an operator, one member of it, or the leader by its own rules. */
export type Author =
  | { readonly of: NodeId | 0 }
  /** `announced`: what it had said that it announced when it decided so. */
  | { readonly events: readonly ForcedEvent[]; readonly announced: number }

/** What each node said in its last round of heartbeats that it had announced. */
export type Announced = Float64Array

export interface MemberJudge {
  /** The newest membership that is chosen. */
  readonly newest: Rule
  /** Every membership whose quorums somebody may still need. */
  inForce(): readonly Rule[]
  /**
   * This node knows the newest membership, and that it may lead in it. Who lags behind it looks for
   * quorums that may be gone; who was promoted a moment ago does not stand.
   */
  mayStand(node: NodePlace): boolean
  /** Whether a chosen membership had this id and a later one has not. */
  isGone(id: number): boolean
  /** A leader gave indexes to a config batch, or null, and to the empty batch behind it. */
  configured(node: NodePlace, ballot: Ballot, pair: ConfigPair, author: Author): void
  /** A node ordered its own promise. */
  stood(node: NodePlace, ballot: Ballot): void
  hasStood(id: NodeId, above: Ballot): boolean
  /** What a node said in its last round of heartbeats that it had announced. */
  announcedBy(node: NodePlace): number
  handsOver(node: NodePlace, target: NodeId, isAsked: boolean): void
  tookOver(node: NodePlace, to: NodePlace, ballot: Ballot): void
}

export interface ConfigPair {
  readonly config: Frame | null
  readonly empty: Frame
}

export interface MemberScene {
  readonly log: ChosenLog
  readonly written: readonly Log[]
  readonly durableLogs: readonly Log[]
  readonly firstRule: FirstRule
  readonly announced: Announced
}

export function createMemberJudge(scene: MemberScene): MemberJudge {
  const { log, written, firstRule, announced } = scene
  /** The highest ballot of its own that each node ordered. */
  const stood = written.map(() => 0 as Ballot)
  /** Leaders that started a hand-over whose first order has not left yet. */
  const draining = new Set<NodePlace>()
  const newestAt = (node: NodePlace): Rule => newestRule(log, written[node]!, firstRule(node))

  return {
    get newest() {
      return log.history.at(-1)!
    },
    inForce() {
      const newest = log.history.at(-1)!
      const isTrailing = newest.index > 0 && log.through === newest.index
      const open = written.flatMap(({ configs }) => configs.filter((c) => c.first > newest.index))
      const rules = [newest, ...open.map((config) => ruleOf(log.rules, config))]
      return isTrailing ? [log.history.at(-2)!, ...rules] : rules
    },
    mayStand(node) {
      const rule = newestAt(node)
      return rule.index >= log.history.at(-1)!.index && mayLead(memberAt(rule, node))
    },
    isGone: (id) => log.gone.has(id),
    configured(node, ballot, { config, empty }, author) {
      const ballotLog = log.ballots.get(ballot)
      if (ballotLog === undefined) return demand(false, 'I11', 'a change without leadership')
      const { concluded, adoptedLast, adoptedOpen, chosen } = ballotLog
      const isFree = concluded === null || isHeldChosen(log, concluded)
      demand(isFree, 'I11', 'a change begins while another is open')
      ballotLog.concluded = empty
      if (config === null) return
      demand(chosen >= adoptedLast, 'I11', 'a change begins before all that was adopted is chosen')
      const isOwed = adoptedOpen && concluded === null
      demand(!isOwed, 'I11', 'a change begins, and the one that was adopted has no end')
      const before = newestAt(node)
      const after = ruleOf(log.rules, config)
      checkMembership(after)
      checkStep(before, after)
      for (const { id } of before.membership.members) {
        checkForced(scene, before, after, id, author)
      }
    },
    stood(node, ballot) {
      stood[node] = ballot
      draining.delete(node)
    },
    announcedBy: (node) => announced[node]!,
    hasStood: (id, above) => (stood[id - 1] ?? 0) > above,
    handsOver(node, target, isAsked) {
      draining.add(node)
      const rule = newestAt(node)
      const own = memberAt(rule, node)
      const member = memberAt(rule, target - 1)
      demand(target !== node + 1, 'I17', 'hands over to itself')
      demand(member !== undefined, 'I11', `hands over to ${target}, which is no member`)
      demand(member?.role !== 'logger', 'I15', `hands over to Logger ${target}`)
      demand(member?.role !== 'learner', 'I16', `hands over to learner ${target}`)
      demand(mayLead(member), 'I17', `hands over to ${target} of weight 0`)
      if (isAsked || !mayLead(own)) return
      const isHeavier = (member?.weight ?? 0) > (own?.weight ?? 0)
      demand(isHeavier, 'I17', `hands over to ${target}, which is no heavier`)
    },
    tookOver(node, to, ballot) {
      // What was on its way from clients may come behind the first order, and is lost with it.
      if (!draining.delete(node)) return
      const { last } = written[node]!
      demand(ballotOwner(ballot) === node + 1, 'I1', 'orders in the name of another')
      demand(log.through >= last, 'I6', 'hands over what is not chosen')
      const held = log.ballots.get(ballot)?.votes[to] ?? 0
      demand(held >= last, 'I6', `hands over to ${to + 1}, which holds ${held} of ${last}`)
    },
  }
}

/** A forced state moves by an operator's wish, or by the rule and with the event (I18, R22). */
function checkForced(
  { durableLogs }: MemberScene,
  before: Rule,
  after: Rule,
  id: NodeId,
  author: Author,
): void {
  const was = memberAt(before, id - 1)!.forced
  const member = memberAt(after, id - 1)
  if (member === undefined || member.role === 'learner' || member.forced === was) return
  if ('of' in author) return demand(author.of === id, 'I18', `${id} changes unasked`)
  const isKnown = was !== undefined && member.forced !== undefined
  demand(isKnown, 'I18', `forced member ${id}: ${was ?? 'none'} by itself`)
  const name = member.forced === 'armed' ? 'forced-armed' : 'forced-degraded'
  const isSaid = author.events.some((event) => event.name === name && event.id === id)
  demand(isSaid, 'I18', `${id} is ${member.forced} and nobody is told`)
  if (name === 'forced-degraded') return
  // Armed again it must have come back: it holds what its leader announced a round ago.
  const { last } = durableLogs[id - 1]!
  const wanted = author.announced
  demand(last >= wanted, 'I18', `${id} is armed with ${last} of ${wanted}`)
}
