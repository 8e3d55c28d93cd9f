/**
 * Whom an ending keeps away for good: as many members as every membership that may still count can
 * do without, forced members, sources of learners and the leader among them. The rest is the core,
 * which must get on as if everybody were there.
 */
import { crash } from './ops.ts'
import { type Rule, mayLead, memberAt } from './rules.ts'
import type { World } from './world.ts'

/** Their processes end and do not come back. */
export function takeAway<M>(world: World<M>): void {
  const rules = world.judge.memberships!.inForce()
  for (const place of world.plan.away) {
    const node = world.nodes[place]!
    if (!node.alive || isFed(world, place)) continue
    world.away.add(place)
    if (rules.every((rule) => canDo(world, rule))) crash(world, node, true)
    else world.away.delete(place)
  }
}

/** A learner whose source may die has to come to the same log all the same (R31): it stays. */
const isFed = <M>({ judge }: World<M>, place: number): boolean =>
  memberAt(judge.memberships!.newest, place)?.source !== undefined

/** Both quorums of the rule are in the core, and somebody who may lead and knows it. */
function canDo<M>({ away, nodes, judge }: World<M>, { membership, voters }: Rule): boolean {
  const isHere = (place: number): boolean => nodes[place]!.alive && !away.has(place)
  const { prepareQuorum, acceptQuorum, members } = membership
  const count = voters.filter(isHere).length
  const leads = members.some((member) => {
    const place = member.id - 1
    return mayLead(member) && isHere(place) && judge.memberships!.mayStand(place)
  })
  return leads && count >= Math.max(prepareQuorum, acceptQuorum)
}
