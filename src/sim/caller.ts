/**
 * One caller: what it has under way, and how a call reaches a node. caller-writes.ts and
 * caller-reads.ts say what is asked there, callers.ts what is asked next.
 *
 * Invariants: a node that is down or asleep is not called, only its queue; a call ends once; chance
 * is each caller's own.
 */
import { ReplicaError } from '../base/errors.ts'
import type { SessionCall } from '../engine/session-client.ts'
import type { SessionToken } from '../engine/token.ts'
import { type Call, type Calls, noteAsked } from './calls.ts'
import type { CallOp, CallerPlan } from './plan.ts'
import type { Random } from './random.ts'
import type { StageLife } from './stage-life.ts'
import type { StageWorld } from './stage-world.ts'
import { DUE, type World, later } from './world.ts'

export interface Caller {
  readonly place: number
  readonly plan: CallerPlan
  readonly random: Random
  /** Place of the node that it takes for the leader. */
  guess: number
  session: { readonly id: number; next: number } | null
  /** The session at the node where it was opened or resumed last. */
  held: { readonly life: StageLife; readonly call: SessionCall } | null
  token: SessionToken | null
  /** Newest value that it knows of, by key. */
  readonly known: Map<number, number>
  readonly queue: CallOp[]
  /** Under way, in the order in which they began. */
  readonly open: Call[]
  /** A retry is due. */
  isArmed: boolean
}

export interface Callers {
  readonly all: readonly Caller[]
  /** Of the endings: proposes at the node it is told. */
  readonly prober: Caller
  readonly calls: Calls
  /** A call of the caller has ended. */
  onFree: (caller: Caller) => void
}

type Fresh = Pick<Call, 'f' | 'key'> & Partial<Call>

export function createCall({ callers }: StageWorld, caller: Caller, fields: Fresh): Call {
  const { all } = callers.calls
  const operation = all.length + 1
  const call: Call = {
    ...{ operation, caller: caller.place, value: operation, old: 0, boundMs: 0, tokenIndex: 0 },
    consistency: 'linearizable',
    ...{ session: 0, sequence: 0, askedAt: 0, askedAtUs: 0, floor: 0, attempts: 0, node: 0 },
    ...{ isSent: false, maybe: false, isDead: false, isEnded: false, lose: () => undefined },
    ...fields,
  }
  all.push(call)
  caller.open.push(call)
  return call
}

const HOP_US = 100
const UNREACHABLE_US = 2_000

/**
 * One attempt: `ask` runs at the node as a turn of its own, and `fail` takes what it throws. Nobody
 * there is noticed a little later, a node that goes down when it does.
 */
export function attempt<M>(
  world: World<M>,
  stages: StageWorld,
  call: Call,
  place: number,
  ask: (life: StageLife) => void,
  fail: (error: unknown) => void,
): void {
  const node = world.nodes[place]!
  call.attempts += 1
  call.node = place
  call.isSent = true
  const number = call.attempts
  const isCurrent = (): boolean => call.isSent && call.attempts === number
  call.lose = () => fail(gone('unknown'))
  if (!node.alive) {
    const notice = (): void => {
      if (isCurrent()) fail(gone('not-proposed'))
    }
    return later(world, UNREACHABLE_US, DUE.call, null, notice)
  }
  const run = (): void => {
    if (!isCurrent()) return
    noteAsked(stages.callers.calls, call, world.nowUs)
    try {
      ask(stages.nodes[place]!.life!)
    } catch (error) {
      fail(error)
    }
  }
  later(world, HOP_US, DUE.input, node, { kind: 'turn', run })
}

const gone = (outcome: ReplicaError['outcome']): ReplicaError =>
  new ReplicaError('E_CLOSED', 'nobody is there', { what: 'node' }, outcome)

export function endCall({ callers }: StageWorld, caller: Caller, call: Call): void {
  call.isEnded = true
  call.isSent = false
  caller.open.splice(caller.open.indexOf(call), 1)
  callers.onFree(caller)
}

export function learnToken(caller: Caller, token: SessionToken): void {
  if (caller.token === null || token.index > caller.token.index) caller.token = token
}
