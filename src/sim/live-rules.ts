/**
 * Which memberships count at one node, by what lies in its own log: the newest, and the one before
 * it while that batch is the last of the log and the node does not know it chosen. From it follow
 * who may stand, promise, apply (I15, I16, I17) and what may be announced (I18). Pure.
 */
import type { Member } from '../core/engine.ts'
import type { ChosenLog } from './chosen-log.ts'
import { isHeldChosen } from './chosen-log.ts'
import type { Frame } from './frames.ts'
import { demand } from './invariants.ts'
import { type Log, placeOf } from './log.ts'
import { type Rule, memberAt, mayLead, ruleOf } from './rules.ts'

/** What a node was started with: all know the first membership, who joins later knows itself. */
export type FirstRule = (node: number) => Rule

export const newestRule = (log: ChosenLog, { configs }: Log, first: Rule): Rule =>
  configs.length === 0 ? first : ruleOf(log.rules, configs.at(-1)!)

const ruleBefore = (log: ChosenLog, { configs }: Log, first: Rule): Rule =>
  configs.length < 2 ? first : ruleOf(log.rules, configs.at(-2)!)

/** Newest first. */
export function liveRules(log: ChosenLog, own: Log, first: Rule, floor: number): readonly Rule[] {
  const newest = newestRule(log, own, first)
  const isOpen = newest.index > 0 && newest.index === own.last && newest.index > floor
  return isOpen ? [newest, ruleBefore(log, own, first)] : [newest]
}

/** Prepare quorums that a new leader needs (R28); what is chosen needs none of the old one. */
export function neededRules(log: ChosenLog, own: Log, first: Rule): readonly Rule[] {
  const newest = own.configs.at(-1)
  const isProven = newest === undefined || isHeldChosen(log, newest)
  return liveRules(log, own, first, isProven ? own.last : 0)
}

/** Standing, or leading: somebody who is a follower of some weight where it counts. */
export function checkStands(rules: readonly Rule[], node: number, what: string): void {
  if (rules.some((rule) => mayLead(memberAt(rule, node)))) return
  const member: Member | undefined = memberAt(rules[0]!, node)
  const id = node + 1
  if (member === undefined) return demand(false, 'I11', `${id} was removed and ${what}`)
  if (member.role === 'logger') return demand(false, 'I15', `Logger ${id} ${what}`)
  if (member.role === 'learner') return demand(false, 'I16', `learner ${id} ${what}`)
  demand(false, 'I17', `${id} of weight 0 ${what}`)
}

/**
 * A voter turned learner and cut what it had accepted (R31): nothing chosen, whoever knows that. A
 * candidate that knows the old membership alone could lead with its help, and without the entry.
 */
export function checkTurned(log: ChosenLog, node: number, cut: readonly Frame[]): void {
  for (const frame of cut) {
    const isChosen = isHeldChosen(log, frame)
    demand(!isChosen, 'I16', `${node + 1} turns learner and cuts ${frame.first}, which is chosen`)
  }
}

/** The announced index is held by whoever is armed in the membership in force there (I18, R21). */
export function checkAnnounced(log: ChosenLog, durable: readonly Log[], through: number): void {
  const { history, frames } = log
  let at = history.length - 1
  while (at > 0 && history[at]!.index > through) at -= 1
  const rule = history[at]!
  for (const place of rule.armed) {
    const held = durable[place]!
    const frame = held.frames[placeOf(held.frames, through)]
    const isHeld = frame !== undefined && frame === frames[placeOf(frames, through)]
    demand(isHeld, 'I18', `${through} is announced, forced member ${place + 1} has it not`)
  }
}
