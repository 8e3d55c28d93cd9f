/**
 * How a caller writes: plain proposals, which are tried again only while none can have had an
 * effect; and entries of a session, which are tried again under their sequence, wherever somebody
 * leads, until they are answered or given up by asking for their outcome.
 */
import { isReplicaError, type ReplicaError } from '../base/errors.ts'
import type { Proposed } from '../engine/proposals.ts'
import type { SequenceOutcome, SessionCall } from '../engine/session-client.ts'
import { VERDICT } from '../stages/session-table.ts'
import { encodeCas, encodeDelete, encodePut } from '../state-machines/key-value.ts'
import { type Caller, attempt, createCall, endCall, learnToken } from './caller.ts'
import { type Call, checkAnswer, checkError, checkOutcome, record } from './calls.ts'
import { type Counter, cover } from './coverage.ts'
import { demand } from './invariants.ts'
import type { CallOp, Op } from './plan.ts'
import { below, between, chance } from './random.ts'
import type { StageLife } from './stage-life.ts'
import type { StageWorld } from './stage-world.ts'
import { DUE, type Request, type SimNode, type World, after, later } from './world.ts'

const ATTEMPTS_MAX = 12
/** Of those that ask for an outcome. */
const ASKS_MAX = 6
const TIMEOUTS = 2
const ABORTED_PER_MILLE = 60
const HASTY_PER_MILLE = 200
/** What may have had its effect is asked for, and not tried again. */
const CURIOUS_PER_MILLE = 150
const RETRY_MIN_US = 5_000
const RETRY_MAX_US = 60_000

/** @returns false while it waits for a session */
export function startWrite<M>(
  world: World<M>,
  stages: StageWorld,
  caller: Caller,
  op: CallOp,
): boolean {
  if (op.f === 'close') {
    if (caller.session !== null && caller.open.length === 0) closeSession(world, stages, caller)
    return true
  }
  if (caller.plan.hasSession && caller.session === null) {
    if (caller.open.length === 0) openSession(world, stages, caller)
    return false
  }
  const { f, key } = op
  const { session } = caller
  const old = caller.known.get(key) ?? 0
  const place = session === null ? {} : { session: session.id, sequence: session.next++ }
  send(world, stages, caller, createCall(stages, caller, { f, key, old, ...place }))
  return true
}

function send<M>(world: World<M>, stages: StageWorld, caller: Caller, call: Call): void {
  const { random, guess } = caller
  const number = call.attempts + 1
  const controller = chance(random, ABORTED_PER_MILLE) ? new AbortController() : null
  const options = controller === null ? {} : { signal: controller.signal }
  const resolve = (told: Proposed): void => onAnswer(world, stages, caller, call, told)
  const reject = (error: unknown): void => {
    if (!isReplicaError(error)) throw error
    checkError(stages.callers.calls, call, error)
    if (call.isSent && call.attempts === number) onError(world, stages, caller, call, error)
  }
  const settle = { resolve, reject, result: null }
  const ask = (life: StageLife): void => {
    const { sequence } = call
    if (call.session === 0) life.client.submit(life.plain, settle, entryOf(call), options.signal)
    else sessionAt(caller, call, life).propose(entryOf(call), { ...options, sequence }, settle)
  }
  attempt(world, stages, call, guess, ask, reject)
  const timeoutUs = TIMEOUTS * 1_000 * world.plan.knobs.electionTimeoutMs
  after(world, timeoutUs, () => {
    if (!call.isSent || call.attempts !== number) return
    const node = world.nodes[guess]!
    const run = (): void => controller!.abort()
    if (controller !== null && node.alive) later(world, 0, DUE.input, node, { kind: 'turn', run })
    else call.lose()
  })
}

/** The session as this node has it; elsewhere than before it begins with what is still open. */
function sessionAt(caller: Caller, call: Call, life: StageLife): SessionCall {
  if (caller.held?.life === life) return caller.held.call
  const own = caller.open.filter(({ session }) => session === call.session)
  // Now and then out of order, as a client may whose threads retry by themselves.
  const isHasty = chance(caller.random, HASTY_PER_MILLE)
  const first = isHasty ? call.sequence : Math.min(...own.map(({ sequence }) => sequence))
  caller.held = { life, call: life.sessions.resume(call.session, first) }
  return caller.held.call
}

const NUMBER_SIZE_BYTES = 4

function entryOf({ operation, f, key, value, old }: Call): Uint8Array {
  const name = Uint8Array.of(key & 0xff, key >> 8)
  const command =
    f === 'put'
      ? encodePut(name, bytesOf(value))
      : f === 'delete'
        ? encodeDelete(name)
        : encodeCas(name, bytesOf(old), bytesOf(value))
  const entry = new Uint8Array(NUMBER_SIZE_BYTES + command.length)
  entry.set(bytesOf(operation))
  entry.set(command, NUMBER_SIZE_BYTES)
  return entry
}

const bytesOf = (value: number): Uint8Array =>
  Uint8Array.of(value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24)

// ---- What came of it -------------------------------------------------------------------------

function onAnswer<M>(
  world: World<M>,
  stages: StageWorld,
  caller: Caller,
  call: Call,
  told: Proposed,
): void {
  const { calls } = stages.callers
  checkAnswer(calls, call, told, world.nowUs)
  const isRepeated = call.attempts > 1 && calls.chronicle.repeats.has(call.operation)
  if (isRepeated) cover(world.coverage, 'duplicate-answered')
  if (call.isEnded) return
  learnToken(caller, told.token)
  const isDone = told.result![0] === 1
  if (isDone && call.f !== 'delete') caller.known.set(call.key, call.value)
  record(calls, call, 'ok', isDone)
  endCall(stages, caller, call)
}

const COUNTED: Readonly<Partial<Record<ReplicaError['code'], Counter>>> = {
  E_OVERLOADED: 'request-refused-by-limit',
  E_NOT_LEADER: 'request-refused',
  E_SESSION_FENCED: 'session-fenced',
  E_ANSWER_EXPIRED: 'answer-expired',
  E_SESSION_UNKNOWN: 'session-expired',
}

function onError<M>(
  world: World<M>,
  stages: StageWorld,
  caller: Caller,
  call: Call,
  error: ReplicaError,
): void {
  const counter = COUNTED[error.code]
  if (counter !== undefined) cover(world.coverage, counter)
  call.isSent = false
  lookElsewhere(world, caller, error)
  if (call.session === 0) {
    if (call.maybe) return giveUp(world, stages, caller, call)
    if (call.attempts >= ATTEMPTS_MAX) return refuse(stages, caller, call)
    return retrySoon(world, stages, caller)
  }
  switch (error.code) {
    case 'E_SESSION_UNKNOWN':
      return abandon(world, stages, caller, call.session)
    case 'E_SESSION_FENCED':
      return endCall(stages, caller, call)
    case 'E_ANSWER_EXPIRED':
      return (error.detail as { readonly executed: string }).executed === 'yes'
        ? endDone(stages, caller, call)
        : giveUp(world, stages, caller, call)
    default:
      return retrySoon(world, stages, caller)
  }
}

/** Where the error says that the leader is, or anywhere. */
function lookElsewhere<M>(
  { nodes }: World<M>,
  caller: Caller,
  { code, detail }: ReplicaError,
): void {
  if (code === 'E_OUT_OF_ORDER' || code === 'E_OVERLOADED' || code === 'E_SESSION_FENCED') return
  const { leader = 0 } = detail as { readonly leader?: number }
  caller.guess = leader > 0 ? leader - 1 : below(caller.random, nodes.length)
}

/** Nobody will say what became of it. */
function giveUp<M>(world: World<M>, stages: StageWorld, caller: Caller, call: Call): void {
  cover(world.coverage, 'unknown-outcome')
  record(stages.callers.calls, call, 'info', null)
  endCall(stages, caller, call)
}

/** No attempt was taken: it never has an effect. */
function refuse(stages: StageWorld, caller: Caller, call: Call): void {
  demand(!stages.callers.calls.chronicle.byOperation.has(call.operation), 'I12', 'refused, chosen')
  call.isDead = true
  endCall(stages, caller, call)
}

/** It took effect, and what it was answered is not known any more. */
function endDone(stages: StageWorld, caller: Caller, call: Call): void {
  record(stages.callers.calls, call, call.f === 'cas' ? 'info' : 'ok', null)
  endCall(stages, caller, call)
}

function retrySoon<M>(world: World<M>, stages: StageWorld, caller: Caller): void {
  if (caller.isArmed) return
  caller.isArmed = true
  after(world, between(caller.random, RETRY_MIN_US, RETRY_MAX_US), () => {
    caller.isArmed = false
    const waiting = caller.open.filter(({ isSent }) => !isSent)
    if (chance(caller.random, HASTY_PER_MILLE)) waiting.reverse()
    for (const call of waiting) {
      if (call.isSent || call.isEnded) continue
      const isCurious = call.session > 0 && call.maybe && chance(caller.random, CURIOUS_PER_MILLE)
      if (call.f === 'open') sendOpen(world, stages, caller, call)
      else if (isCurious) askOutcome(world, stages, caller, call)
      else if (call.attempts < ATTEMPTS_MAX) send(world, stages, caller, call)
      else if (call.attempts < ATTEMPTS_MAX + ASKS_MAX) askOutcome(world, stages, caller, call)
      else abandon(world, stages, caller, call.session)
    }
  })
}

// ---- Sessions --------------------------------------------------------------------------------

function openSession<M>(world: World<M>, stages: StageWorld, caller: Caller): void {
  sendOpen(world, stages, caller, createCall(stages, caller, { f: 'open', key: 0 }))
}

function sendOpen<M>(world: World<M>, stages: StageWorld, caller: Caller, call: Call): void {
  const number = call.attempts + 1
  const isCurrent = (): boolean => call.isSent && call.attempts === number
  const reject = (error: unknown): void => {
    if (!isReplicaError(error)) throw error
    if (!isCurrent()) return
    call.isSent = false
    lookElsewhere(world, caller, error)
    retrySoon(world, stages, caller)
  }
  const ask = (life: StageLife): void => {
    const resolve = (session: SessionCall): void => {
      const said = stages.chronicle.said.get(session.id)
      demand(said?.verdict === VERDICT.done, 'I10', `session ${session.id} was not opened`)
      if (!isCurrent()) return
      caller.session = { id: session.id, next: session.next }
      caller.held = { life, call: session }
      endCall(stages, caller, call)
    }
    life.sessions.open({ resolve, reject })
  }
  attempt(world, stages, call, caller.guess, ask, reject)
}

function leave(caller: Caller): void {
  caller.session = null
  caller.held = null
}

/** Whatever comes of it: the caller goes on with another one. */
function closeSession<M>(world: World<M>, stages: StageWorld, caller: Caller): void {
  const { id, next } = caller.session!
  const held = caller.held
  leave(caller)
  const call = createCall(stages, caller, { f: 'close', key: 0, session: id, sequence: next })
  const end = (): void => {
    if (call.isEnded) return
    endCall(stages, caller, call)
  }
  const reject = (error: unknown): void => {
    if (!isReplicaError(error)) throw error
    if (error.code === 'E_SESSION_UNKNOWN') cover(world.coverage, 'session-expired')
    end()
  }
  const ask = (life: StageLife): void => {
    const session = held?.life === life ? held.call : life.sessions.resume(id, next)
    session.close({ resolve: end, reject })
  }
  attempt(world, stages, call, caller.guess, ask, reject)
}

function askOutcome<M>(world: World<M>, stages: StageWorld, caller: Caller, call: Call): void {
  const number = call.attempts + 1
  const isCurrent = (): boolean => call.isSent && call.attempts === number
  const reject = (error: unknown): void => {
    if (!isReplicaError(error)) throw error
    if (isCurrent()) onError(world, stages, caller, call, error)
  }
  const ask = (life: StageLife): void => {
    const session = sessionAt(caller, call, life)
    const resolve = (outcome: SequenceOutcome): void => {
      checkOutcome(stages.callers.calls, call, outcome)
      if (caller.session?.id === call.session) {
        caller.session.next = Math.max(caller.session.next, session.next)
      }
      if (!isCurrent()) return
      call.isSent = false
      if (outcome === 'committed') return endDone(stages, caller, call)
      if (outcome === 'unknown') return retrySoon(world, stages, caller)
      cover(world.coverage, 'session-fenced')
      endCall(stages, caller, call)
    }
    session.outcome(call.sequence, { resolve, reject })
  }
  attempt(world, stages, call, caller.guess, ask, reject)
}

/** It is gone, or too long without an answer: what it has under way is left as it may be. */
function abandon<M>(world: World<M>, stages: StageWorld, caller: Caller, id: number): void {
  if (caller.session?.id === id) leave(caller)
  for (const call of [...caller.open]) {
    if (call.session === id) giveUp(world, stages, caller, call)
  }
}

// ---- Endings ---------------------------------------------------------------------------------

/** For endings: entries at this node, and one outcome for all of them. */
export function proposeAt<M>(
  world: World<M>,
  stages: StageWorld,
  node: SimNode<M>,
  op: Op & { readonly kind: 'submit' },
): boolean {
  const { prober, calls } = stages.callers
  const request: Request = { node: node.place, atUs: world.nowUs, outcome: 'pending' }
  world.requests.push(request)
  let left = op.count
  for (let i = 0; i < op.count; i++) {
    const call = createCall(stages, prober, { f: 'put', key: i })
    const reject = (error: unknown): void => {
      if (!isReplicaError(error)) throw error
      checkError(calls, call, error)
      if (!call.isEnded) request.outcome = call.maybe ? 'unknown' : 'refused'
      if (call.maybe && !call.isEnded) giveUp(world, stages, prober, call)
      else if (!call.isEnded) refuse(stages, prober, call)
    }
    const resolve = (told: Proposed): void => {
      left -= 1
      if (left === 0 && request.outcome === 'pending') request.outcome = 'ok'
      onAnswer(world, stages, prober, call, told)
    }
    const settle = { resolve, reject, result: null }
    const ask = (life: StageLife): void =>
      life.client.submit(life.plain, settle, entryOf(call), undefined)
    attempt(world, stages, call, node.place, ask, reject)
  }
  return true
}
