/**
 * What callers asked and were told, judged against the chronicle: errors are honest (I12), a
 * session's entry takes effect once and is answered the same each time (I10), a read has seen what
 * its consistency promises (I9). At the end the history of all keys must have an order.
 *
 * `floor` is the greatest index that anybody was told of: what begins later must see it.
 */
import { checkHistory } from '../check/check.ts'
import type { Operation } from '../check/operation.ts'
import type { ReplicaError } from '../base/errors.ts'
import type { Proposed } from '../engine/proposals.ts'
import type { ReadAnswer } from '../engine/read-client.ts'
import type { SequenceOutcome } from '../engine/session-client.ts'
import type { Chronicle, Taken } from './chronicle.ts'
import { demand } from './invariants.ts'
import type { CallOp } from './plan.ts'
import { valueAt } from './store.ts'

export interface Call {
  /** Its number: its entry begins with it. */
  readonly operation: number
  readonly caller: number
  readonly f: CallOp['f'] | 'open'
  readonly key: number
  readonly value: number
  /** Of a cas: what it expects. */
  readonly old: number
  readonly consistency: CallOp['consistency']
  readonly boundMs: number
  /** Of a read by a session's token: the index it has. */
  readonly tokenIndex: number
  /** 0: of no session. */
  readonly session: number
  readonly sequence: number
  // The first time that it reached a node.
  askedAt: number
  askedAtUs: number
  floor: number
  // The present attempt.
  attempts: number
  node: number
  isSent: boolean
  /** Some attempt may have had its effect. */
  maybe: boolean
  /** It was promised that it never has one. */
  isDead: boolean
  isEnded: boolean
  /** Ends the present attempt when its node goes down. */
  lose: () => void
}

export interface Calls {
  readonly chronicle: Chronicle
  readonly all: Call[]
  readonly history: Operation[]
  /** When `floor` rose, and to what. */
  readonly rises: { readonly atUs: number; readonly floor: number }[]
  floor: number
  /** Numbers the events of the history. */
  now: number
}

/** Configurations that the checker may expand; beyond that a history counts as undecided. */
const STEPS_MAX = 100_000

export function createCalls(chronicle: Chronicle): Calls {
  const calls: Calls = { chronicle, all: [], history: [], rises: [], floor: 0, now: 0 }
  chronicle.onTaken = (taken) => checkTaken(calls, taken)
  return calls
}

/** An operation has come into the chosen log. */
function checkTaken({ all }: Calls, { operation, session, sequence, index }: Taken): void {
  const call = all[operation - 1]
  demand(call !== undefined, 'I4', `nobody asked for operation ${operation}`)
  const { isDead, session: own, sequence: place } = call!
  demand(!isDead, 'I12', `operation ${operation} failed for good, and is chosen at ${index}`)
  const isOwn = session === own && sequence === place
  demand(isOwn, 'I10', `operation ${operation} is chosen as ${session}.${sequence}`)
}

/** The call reaches a node for the first time. */
export function noteAsked(calls: Calls, call: Call, nowUs: number): void {
  if (call.askedAt > 0) return
  call.askedAt = ++calls.now
  call.askedAtUs = nowUs
  call.floor = calls.floor
}

function rise(calls: Calls, index: number, atUs: number): void {
  if (index <= calls.floor) return
  calls.floor = index
  calls.rises.push({ atUs, floor: index })
}

// ---- Writes ----------------------------------------------------------------------------------

/** The caller of a write is told of its effect. */
export function checkAnswer(calls: Calls, call: Call, told: Proposed, nowUs: number): void {
  const { operation, floor } = call
  const taken = calls.chronicle.byOperation.get(operation)
  demand(taken !== undefined, 'I12', `operation ${operation} is ok, and is not chosen`)
  const { index, result } = taken!
  demand(told.index === index, 'I10', `operation ${operation}: told ${told.index}, is at ${index}`)
  // Of a repeat: its own index.
  const { index: seen } = told.token
  demand(seen >= index && seen <= calls.chronicle.through, 'I9', `${index} has token ${seen}`)
  const isSame = told.result !== null && Buffer.compare(told.result, result) === 0
  demand(isSame, 'I10', `operation ${operation} is answered otherwise than it was`)
  demand(index > floor, 'I9', `chosen at ${index}, asked behind ${floor}`)
  rise(calls, index, nowUs)
}

/** What an error promises. */
export function checkError({ chronicle }: Calls, call: Call, error: ReplicaError): void {
  const { operation } = call
  const isTaken = chronicle.byOperation.has(operation)
  if (error.outcome === 'unknown') call.maybe = true
  if (error.code === 'E_SESSION_FENCED') bury(call, isTaken)
  if (error.code !== 'E_ANSWER_EXPIRED') return
  const { executed } = error.detail as { readonly executed: string }
  demand(executed !== 'yes' || isTaken, 'I12', `operation ${operation} is said to be executed`)
}

export function checkOutcome({ chronicle }: Calls, call: Call, outcome: SequenceOutcome): void {
  const isTaken = chronicle.byOperation.has(call.operation)
  if (outcome === 'committed') {
    demand(isTaken, 'I12', `operation ${call.operation} is said to be committed`)
  } else if (outcome === 'never') bury(call, isTaken)
}

function bury(call: Call, isTaken: boolean): void {
  demand(!isTaken, 'I12', `operation ${call.operation} is said to be never, and is chosen`)
  call.isDead = true
}

// ---- Reads -----------------------------------------------------------------------------------

/** @param sinceUs what was announced by then, a stale read has seen */
export function checkRead(
  calls: Calls,
  call: Call,
  { result, token }: ReadAnswer,
  times: { readonly nowUs: number; readonly sinceUs: number },
): number | null {
  const { chronicle } = calls
  const { key, consistency, floor } = call
  const { index } = token
  demand(index <= chronicle.through, 'I9', `a read has seen ${index}, which is not chosen`)
  const value = call.f === 'sync' ? null : valueOf(result)
  const held = call.f === 'sync' ? null : valueAt(chronicle.store, key, index)
  demand(value === held, 'I9', `key ${key} reads ${value} behind ${index}, and held ${held}`)
  if (consistency === 'session') {
    demand(index >= call.tokenIndex, 'I9', `read ${index}, its token has seen ${call.tokenIndex}`)
  } else if (consistency === 'stale') {
    const seen = floorAt(calls, times.sinceUs)
    demand(index >= seen, 'I9', `a stale read has seen ${index}, and ${seen} is too old to miss`)
  } else {
    demand(index >= floor, 'I9', `a ${consistency} read has seen ${index}, asked behind ${floor}`)
    rise(calls, index, times.nowUs)
  }
  return value
}

/** What the store answers: u8 found, u32 value. */
function valueOf(result: Uint8Array): number | null {
  if (result[0] !== 1) return null
  return (result[1]! | (result[2]! << 8) | (result[3]! << 16) | (result[4]! << 24)) >>> 0
}

function floorAt({ rises }: Calls, atUs: number): number {
  for (let place = rises.length - 1; place >= 0; place--) {
    if (rises[place]!.atUs <= atUs) return rises[place]!.floor
  }
  return 0
}

// ---- The history -----------------------------------------------------------------------------

/** @param result what a read found; of a write, whether it was done */
export function record(
  calls: Calls,
  call: Call,
  outcome: Operation['outcome'],
  result: number | boolean | null,
): void {
  const { f, key, value, old, askedAt } = call
  if (askedAt === 0 || (f !== 'put' && f !== 'delete' && f !== 'cas' && f !== 'get')) return
  const isStrict = call.consistency === 'linearizable' || call.consistency === 'lease'
  if (f === 'get' && !isStrict) return
  const isMissed = f === 'cas' && outcome === 'ok' && result === false
  calls.history.push({
    process: call.operation,
    key: String(key),
    f,
    value: f === 'cas' ? [old, value] : f === 'put' ? value : null,
    result: f === 'get' && outcome === 'ok' ? result : null,
    call: askedAt,
    return: outcome === 'info' ? Infinity : ++calls.now,
    outcome: isMissed ? 'fail' : outcome,
  })
}

/** At the end of a run: what is still open may have happened. */
export function checkCalls(calls: Calls): void {
  const { all, history } = calls
  for (const call of all) {
    if (!call.isEnded && (call.maybe || call.isSent)) record(calls, call, 'info', null)
  }
  const { verdict, key } = checkHistory('kv', history, { stepsMax: STEPS_MAX, wantsWindow: false })
  demand(verdict !== 'not-linearizable', 'I9', `key ${key}: no order explains its history`)
}
