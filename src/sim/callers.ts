/**
 * Callers: clients of the stages of production, each with calls under way, a session or none, a
 * token, and a guess of who leads. They use the client side of whatever node they reach, as a
 * program would; what they are told is judged at once (calls.ts).
 */
import { startRead } from './caller-reads.ts'
import { startWrite } from './caller-writes.ts'
import type { Caller, Callers } from './caller.ts'
import { createCalls } from './calls.ts'
import type { Chronicle } from './chronicle.ts'
import type { CallOp, CallerPlan } from './plan.ts'
import { createRandom } from './random.ts'
import type { StageWorld } from './stage-world.ts'
import type { World } from './world.ts'

/** Calls that wait for a place; what comes beyond is not asked. */
const QUEUE_MAX = 64

export function createCallers(
  plans: readonly CallerPlan[],
  chronicle: Chronicle,
  seed: number,
): Callers {
  const callerOf = (plan: CallerPlan, place: number): Caller => ({
    ...{ place, plan, random: createRandom(seed + 104_729 * (place + 1)), guess: 0 },
    ...{ session: null, held: null, token: null, known: new Map() },
    ...{ queue: [], open: [], isArmed: false },
  })
  return {
    all: plans.map(callerOf),
    prober: callerOf({ hasSession: false, window: 0 }, plans.length),
    calls: createCalls(chronicle),
    onFree: () => undefined,
  }
}

export function carryOutCall<M>(world: World<M>, stages: StageWorld, op: CallOp): void {
  const caller = stages.callers.all[op.caller]!
  if (caller.queue.length >= QUEUE_MAX) return
  caller.queue.push(op)
  pump(world, stages, caller)
}

/** Starts what there is a place for. */
export function pump<M>(world: World<M>, stages: StageWorld, caller: Caller): void {
  while (caller.queue.length > 0 && caller.open.length < caller.plan.window) {
    const op = caller.queue[0]!
    const isRead = op.f === 'get' || op.f === 'sync'
    if (isRead) startRead(world, stages, caller, op)
    else if (!startWrite(world, stages, caller, op)) return
    caller.queue.shift()
  }
}

/** The node is down: who waits for it will not be answered. */
export function loseCalls({ callers }: StageWorld, place: number): void {
  for (const { open } of [...callers.all, callers.prober]) {
    for (const call of [...open]) if (call.node === place && call.isSent) call.lose()
  }
}

export const areIdle = ({ callers }: StageWorld): boolean =>
  callers.all.every(({ queue, open }) => queue.length + open.length === 0)
