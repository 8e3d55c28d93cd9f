/**
 * An ambush: a node is cut off and removed, and at the very moment when its removal is chosen, by
 * what lies on disks, the leader falls, who was the only one to learn it. The removed node comes
 * back to others that know no better, and stands with their help (R30). It takes the judge's eye to
 * hit that moment.
 */
import { cut, mend, mendAll } from './network.ts'
import { crash, restart } from './ops.ts'
import { type Order, ask } from './orders.ts'
import { type SimNode, type World, after } from './world.ts'

const AWAY_TIMEOUTS = 3

export interface Ambush {
  readonly order: Order
  readonly target: number
  /** The leader's machine stops; else its links do. */
  readonly isCrash: boolean
}

export function layAmbush<M>(
  world: World<M>,
  leader: SimNode<M>,
  target: SimNode<M>,
  isCrash: boolean,
): void {
  if (leader === target || !leader.alive) return
  for (const other of world.nodes) cut(world, target, other)
  const change = { kind: 'remove', id: target.id } as const
  const order = ask(world, leader, { change, target: 0, retireUs: -1 })
  world.ambush = { order, target: target.place, isCrash }
}

/** Something became durable somewhere. */
export function springAmbush<M>(world: World<M>, { order, target, isCrash }: Ambush): void {
  const { pair, outcome, node } = order
  if (outcome !== 'open') world.ambush = null
  if (pair === null || !world.judge.isChosen(pair.config!)) return
  world.ambush = null
  if (world.nowUs >= world.plan.untilUs) return
  const leader = world.nodes[node]!
  const removed = world.nodes[target]!
  for (const other of world.nodes) {
    if (other !== leader) mend(world, removed, other)
    if (!isCrash) cut(world, leader, other)
  }
  if (isCrash) crash(world, leader, false)
  after(world, AWAY_TIMEOUTS * world.plan.knobs.electionTimeoutMs * 1_000, () => {
    restart(world, leader)
    mendAll(world)
  })
}
