/**
 * Sessions as a client has them: entries that take effect exactly once and in order, at whatever
 * node leads (docs/sessions.md). The log decides all of that; here is only who asks, and what the
 * log's verdict means to him.
 *
 * Invariants: nothing is retried; a sequence is handed out by being written, so that a refused
 * proposal leaves no hole. Runs on the caller's thread.
 */
import { AssertionError, assert, unreachable } from '../base/assert.ts'
import { ReplicaError, isReplicaError } from '../base/errors.ts'
import {
  COMMAND_FRAMES,
  type Ingest,
  SESSION_FRAMES,
  type SessionMark,
} from '../stages/ingest-stage.ts'
import { COMMAND, type SessionAnswer, commandBytes, decodeAnswer } from '../stages/session-bytes.ts'
import { VERDICT } from '../stages/session-table.ts'
import { type ClientSide, notLeader } from './client.ts'
import type { Proposed } from './proposals.ts'
import { type Settle, promised } from './settle.ts'

/** What became of a sequence, for ever; `unknown`: not decided, or not known any more. */
export type SequenceOutcome = 'committed' | 'never' | 'unknown'

export interface Session {
  /** Log index of the entry that opened it: keep it to go on at another node. */
  readonly id: number
  /** What `propose` without a sequence takes. */
  readonly next: number
  /**
   * One entry, executed at most once however often this sequence is proposed, and after all lower
   * sequences of the session. A sequence below `next` is a retry: same payload, same answer.
   * @throws ReplicaError; E_OUT_OF_ORDER, E_SESSION_FENCED: it had no effect; E_ANSWER_EXPIRED:
   *   it had, some time ago; E_SESSION_UNKNOWN; and what a node's `propose` throws
   */
  propose(
    payload: Uint8Array,
    options?: { readonly signal?: AbortSignal; readonly sequence?: number },
  ): Promise<Proposed>
  /**
   * Decides what became of a sequence. `never` is a promise: what the session proposed from this
   * sequence on, anywhere, has no effect from now on, and new entries start at the new `next`.
   * @throws ReplicaError with outcome `not-proposed` when the log was not asked
   */
  outcome(sequence: number): Promise<SequenceOutcome>
  /** Forgets the session, in the log. @throws ReplicaError as `propose`; then it may be repeated */
  close(): Promise<void>
}

export interface SessionSide {
  /** @throws ReplicaError E_NOT_LEADER, E_NOT_AVAILABLE with Basic Paxos, and as `propose` */
  open(): Promise<Session>
  /** @throws ReplicaError E_NOT_LEADER, E_CONFIG_INVALID */
  resume(id: number, nextSequence: number): Session
}

type ProposeOptions = { readonly signal?: AbortSignal; readonly sequence?: number }

/** `Session` without promises: a call settles, or throws at once. */
export interface SessionCall {
  readonly id: number
  readonly next: number
  propose(payload: Uint8Array, options: ProposeOptions, settle: Settle<Proposed>): void
  outcome(sequence: number, settle: Settle<SequenceOutcome>): void
  close(settle: Settle<void>): void
}

/** `SessionSide` without promises. */
export interface SessionCalls {
  open(settle: Settle<SessionCall>): void
  resume(id: number, nextSequence: number): SessionCall
}

export function createSessionSide(
  ingest: Pick<Ingest, 'leads' | 'leader'>,
  client: Pick<ClientSide, 'lane' | 'submit'>,
  engine: 'xpaxos' | 'basic-paxos',
): SessionSide {
  const calls = createSessionCalls(ingest, client, engine)
  const sessionOf = (call: SessionCall): Session => ({
    id: call.id,
    get next() {
      return call.next
    },
    propose: (payload, options = {}) =>
      promised((settle) => call.propose(payload, options, settle)),
    outcome: (sequence) => promised((settle) => call.outcome(sequence, settle)),
    close: () => promised((settle) => call.close(settle)),
  })
  return {
    open: async () => sessionOf(await promised<SessionCall>((settle) => calls.open(settle))),
    resume: (id, nextSequence) => sessionOf(calls.resume(id, nextSequence)),
  }
}

type Answered = SessionAnswer & Pick<Proposed, 'durability' | 'token'>

export function createSessionCalls(
  ingest: Pick<Ingest, 'leads' | 'leader'>,
  client: Pick<ClientSide, 'lane' | 'submit'>,
  engine: 'xpaxos' | 'basic-paxos',
): SessionCalls {
  const entries = client.lane(SESSION_FRAMES)
  const commands = client.lane(COMMAND_FRAMES)
  const checkEngine = (): void => {
    if (engine === 'xpaxos') return
    // Its values may be chosen in another order than they were proposed in.
    const feature = 'sessions with basic-paxos'
    throw new ReplicaError('E_NOT_AVAILABLE', `${feature}: not available yet`, { feature })
  }
  /** What the log answers, as a value or an error of `meaningOf`; returns once it is taken. */
  const ask = <Value>(
    lane: typeof entries,
    mark: SessionMark,
    payload: Uint8Array,
    meaningOf: (answer: Answered) => Value,
    { resolve, reject }: Settle<Value>,
    signal?: AbortSignal,
  ): void => {
    const onAnswer = ({ result, durability, token }: Proposed): void => {
      assert(result !== null, 'an own entry of a session is answered')
      const answer = { ...decodeAnswer(result), durability, token }
      let value: Value
      try {
        value = meaningOf(answer)
      } catch (error) {
        return reject(error)
      }
      resolve(value)
    }
    client.submit(lane, { resolve: onAnswer, reject, result: null }, payload, signal, mark)
  }

  const sessionOf = (id: number, first: number): SessionCall => {
    let next = first
    let closed = false
    return {
      id,
      get next() {
        return next
      },
      propose(payload, { signal, sequence = next }, settle) {
        if (closed) throw new ReplicaError('E_CLOSED', 'closed', { what: 'session' })
        checkNumbers({ sequence })
        if (sequence > next) throw outOfOrder(sequence, next)
        const mark = { session: id, sequence }
        ask(entries, mark, payload, (answer) => proposedOf(answer, mark), settle, signal)
        next = Math.max(next, sequence + 1)
      },
      outcome(sequence, { resolve, reject }) {
        checkNumbers({ sequence })
        const mark = { session: id, sequence }
        const onError = (error: unknown): void => {
          if (isReplicaError(error) && error.outcome === 'unknown') resolve('unknown')
          else reject(error)
        }
        const meaningOf = (answer: Answered): SequenceOutcome => {
          next = Math.max(next, answer.next)
          return outcomeOf(answer)
        }
        const settle = { resolve, reject: onError }
        try {
          ask(commands, mark, commandBytes(COMMAND.decide), meaningOf, settle)
        } catch (error) {
          onError(error)
        }
      },
      close(settle) {
        closed = true
        const mark = { session: id, sequence: 0 }
        ask(commands, mark, commandBytes(COMMAND.close), () => undefined, settle)
      },
    }
  }
  return {
    open(settle) {
      checkEngine()
      const mark = { session: 0, sequence: 0 }
      const meaningOf = ({ verdict, index, next }: Answered): SessionCall => {
        assert(verdict === VERDICT.done, 'a session is always opened')
        return sessionOf(index, next)
      }
      ask(commands, mark, commandBytes(COMMAND.open), meaningOf, settle)
    },
    resume(id, nextSequence) {
      checkEngine()
      checkNumbers({ id, nextSequence })
      if (!ingest.leads) throw notLeader(ingest.leader)
      return sessionOf(id, nextSequence)
    },
  }
}

/** @throws ReplicaError what the verdict means, if it is not an answer */
function proposedOf(answer: Answered, { session, sequence }: SessionMark): Proposed {
  const { verdict, index, next, result, durability, token } = answer
  switch (verdict) {
    case VERDICT.applied:
    case VERDICT.repeated:
      return { index, result, durability, token } // of a retry: its own index, past the first
    case VERDICT.answerExpired:
      throw answerExpired('executed, and its answer is not kept any more', sequence, 'yes')
    case VERDICT.forgotten:
      throw answerExpired('too old to know what became of it', sequence, 'unknown')
    case VERDICT.outOfOrder:
      throw outOfOrder(sequence, next)
    case VERDICT.fenced: {
      const message = `sequence ${sequence} was given up; new ones start at ${next}`
      throw new ReplicaError('E_SESSION_FENCED', message, { sequence, next })
    }
    case VERDICT.sessionUnknown: {
      const message = `session ${session} was never opened, is closed or has expired`
      throw new ReplicaError('E_SESSION_UNKNOWN', message, { session }, 'unknown')
    }
    case VERDICT.done:
      throw new AssertionError('an entry is not a command')
    default:
      return unreachable(verdict)
  }
}

function outcomeOf({ verdict }: SessionAnswer): SequenceOutcome {
  if (verdict === VERDICT.repeated || verdict === VERDICT.answerExpired) return 'committed'
  return verdict === VERDICT.fenced ? 'never' : 'unknown'
}

function outOfOrder(sequence: number, next: number): ReplicaError {
  const message = `sequence ${sequence} before ${next}`
  return new ReplicaError('E_OUT_OF_ORDER', message, { sequence, next })
}

const answerExpired = (
  message: string,
  sequence: number,
  executed: 'yes' | 'unknown',
): ReplicaError => new ReplicaError('E_ANSWER_EXPIRED', message, { sequence, executed }, 'unknown')

function checkNumbers(numbers: Readonly<Record<string, number>>): void {
  const problems = Object.entries(numbers)
    .filter(([, value]) => !Number.isSafeInteger(value) || value < 1)
    .map(([name, value]) => `${name}=${value}: want an integer from 1`)
  if (problems.length > 0) {
    throw new ReplicaError('E_CONFIG_INVALID', problems.join('; '), { problems })
  }
}
