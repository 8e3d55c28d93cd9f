/**
 * How a run on the stages of production ends beside the endings of every run: in a healed cluster
 * callers come to an answer, and rings are empty; whatever the ending, what callers were told must
 * have an order.
 */
import { occupancyBytes } from '../ring/log-ring.ts'
import { areIdle } from './callers.ts'
import { checkCalls } from './calls.ts'
import { demand } from './invariants.ts'
import type { Loop } from './run.ts'
import type { StageWorld } from './stage-world.ts'
import type { World } from './world.ts'

/**
 * Retries of what was lost before the heal, an outcome asked for, and a fresh session take time.
 */
const IDLE_TIMEOUTS = 60
/** Of a log ring, where nobody needs anything. */
const OCCUPIED_MAX_BYTES = 8_192

export function endCalls<M>(world: World<M>, loop: Loop): void {
  const { stages, plan } = world
  if (stages === null) return
  if (plan.ending !== 'safety') {
    awaitIdle(world, stages, loop)
    checkRings(stages)
  }
  checkCalls(stages.callers.calls)
}

function awaitIdle<M>(world: World<M>, stages: StageWorld, loop: Loop): void {
  const stepUs = 1_000 * world.plan.knobs.electionTimeoutMs
  for (let step = 0; step < IDLE_TIMEOUTS && !areIdle(stages); step++) loop(world.nowUs + stepUs)
  const open = stages.callers.all.flatMap((caller) => caller.open)
  const text = open.map(({ operation, f, attempts }) => `${f} ${operation} (${attempts})`).join()
  demand(areIdle(stages), 'L3', `calls are not answered: ${text}`)
}

function checkRings({ nodes }: StageWorld): void {
  for (const [place, { life }] of nodes.entries()) {
    const most = Math.max(...(life?.logRings ?? []).map(occupancyBytes), 0)
    demand(most <= OCCUPIED_MAX_BYTES, 'L6', `node ${place + 1} keeps ${most} bytes in a ring`)
  }
}
