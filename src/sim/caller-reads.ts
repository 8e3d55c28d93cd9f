/** How a caller reads: at any node, by every consistency, and by `sync`. Nothing is tried again. */
import { isReplicaError } from '../base/errors.ts'
import type { ReadAnswer, ReadOptions } from '../engine/read-client.ts'
import { type Caller, attempt, createCall, endCall, learnToken } from './caller.ts'
import { type Call, checkRead, record } from './calls.ts'
import { demand } from './invariants.ts'
import { type CallOp, LEADER } from './plan.ts'
import type { StageWorld } from './stage-world.ts'
import type { World } from './world.ts'

const TIMEOUTS = 3

export function startRead<M>(
  world: World<M>,
  stages: StageWorld,
  caller: Caller,
  op: CallOp,
): void {
  const { f, key, boundMs } = op
  const hasToken = caller.token !== null
  const isFree = op.consistency !== 'session' || hasToken
  const consistency = f === 'sync' || !isFree ? 'linearizable' : op.consistency
  const tokenIndex = consistency === 'session' ? caller.token!.index : 0
  const call = createCall(stages, caller, { f, key, boundMs, consistency, tokenIndex })
  const options: ReadOptions = {
    consistency,
    timeoutMs: TIMEOUTS * world.plan.knobs.electionTimeoutMs,
    ...(consistency === 'session' && { token: caller.token! }),
    ...(consistency === 'stale' && { maxStalenessMs: boundMs }),
  }
  const resolve = (answer: ReadAnswer): void => {
    const times = { nowUs: world.nowUs, sinceUs: sinceUs(world, stages, call) }
    const value = checkRead(stages.callers.calls, call, answer, times)
    if (call.isEnded) return
    learnToken(caller, answer.token)
    if (value !== null) caller.known.set(key, value)
    record(stages.callers.calls, call, 'ok', value)
    endCall(stages, caller, call)
  }
  const reject = (error: unknown): void => {
    if (!isReplicaError(error)) throw error
    demand(error.code !== 'E_QUERY_FAILED' && error.code !== 'E_TOKEN', 'I9', error.message)
    if (!call.isEnded) endCall(stages, caller, call)
  }
  const question = f === 'sync' ? null : Uint8Array.of(key & 0xff, key >> 8)
  const place = op.node === LEADER ? caller.guess : op.node
  const ask = attempt<M>
  ask(
    world,
    stages,
    call,
    place,
    (life) => life.reads.ask(question, options, { resolve, reject }),
    reject,
  )
}

/**
 * Whatever was announced by then, a stale read has seen: its bound before it was asked, less the
 * leader's belief in itself (an election timeout), the flight of the message that told, and the
 * ticks by which both ends see time; all as wrong as a clock may run.
 */
function sinceUs<M>({ plan }: World<M>, stages: StageWorld, { node, boundMs, askedAtUs }: Call) {
  const { electionTimeoutMs, tickMs } = plan.knobs
  const slackMs = boundMs + electionTimeoutMs + 4 * tickMs + 20
  return askedAtUs - Math.ceil(1_300 * slackMs) - stages.nodes[node]!.flightUs
}
