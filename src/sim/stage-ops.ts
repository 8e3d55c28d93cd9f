/** Operations that only the stages of production know: calls, machines that sleep, wall clocks. */
import { carryOutCall } from './callers.ts'
import { freeze, thaw } from './clock.ts'
import { crash, pause, restart } from './ops.ts'
import { LEADER, type Op } from './plan.ts'
import { below } from './random.ts'
import { DUE, type SimNode, type World, after, later, leaderOf } from './world.ts'

export type StageOp = Extract<Op, { readonly kind: (typeof STAGE_OPS)[number] }>

const RESTART_MAX_US = 10_000
const STAGE_OPS = ['call', 'suspend', 'doze', 'outlive', 'wall'] as const

export const isStageOp = (op: Op): op is StageOp =>
  (STAGE_OPS as readonly Op['kind'][]).includes(op.kind)

export function carryOutStageOp<M>(world: World<M>, op: StageOp): void {
  const { stages } = world
  if (stages === null) return
  if (op.kind === 'call') return carryOutCall(world, stages, op)
  const node = op.node === LEADER ? leaderOf(world) : world.nodes[op.node]
  if (node === undefined || !node.alive) return
  if (op.kind === 'suspend') return suspend(world, node, op.forUs)
  if (op.kind === 'doze') return void (stages.nodes[node.place]!.dozeUs = op.forUs)
  if (op.kind === 'outlive') return outlive(world, node, op.forUs)
  // A machine that sleeps has nobody who sets its clock.
  if (node.clock.frozenAtUs < 0) node.clock.wallUs += op.stepUs
}

export function suspend<M>(world: World<M>, node: SimNode<M>, forUs: number): void {
  const own = world.stages!.nodes[node.place]!
  const untilUs = world.nowUs + forUs
  if (untilUs <= own.suspendedUntilUs) return
  own.sleeps += 1
  own.suspendedUntilUs = untilUs
  node.pausedUntilUs = Math.max(node.pausedUntilUs, untilUs)
  freeze(node.clock, world.nowUs)
  // Its process may be paused for longer; the clock is the machine's.
  after(world, forUs, () => {
    if (own.suspendedUntilUs <= world.nowUs) thaw(node.clock, world.nowUs)
  })
  later(world, forUs, DUE.wake, node, null)
}

/** What the others have granted is forgotten; what the paused one was granted is not over. */
function outlive<M>(world: World<M>, paused: SimNode<M>, forUs: number): void {
  pause(world, paused, forUs)
  for (const node of world.nodes) {
    if (node === paused || !node.alive) continue
    crash(world, node, true)
    after(world, below(node.random, RESTART_MAX_US), () => restart(world, node))
  }
}
