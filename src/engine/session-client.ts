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
import {
  COMMAND,
  type Command,
  type SessionAnswer,
  commandBytes,
  decodeAnswer,
} from '../stages/session-bytes.ts'
import { VERDICT } from '../stages/session-table.ts'
import { type ClientSide, type Proposed, notAvailable, notLeader } from './client.ts'

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
   * Entries with consecutive sequences that take effect together or not at all, also when they are
   * proposed again; in order of `payloads`.
   * @throws ReplicaError E_GROUP_SIZE, and as `propose`
   */
  proposeGroup(
    payloads: readonly Uint8Array[],
    options?: { readonly signal?: AbortSignal; readonly sequence?: number },
  ): Promise<readonly Proposed[]>
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

export function createSessionSide(
  ingest: Pick<Ingest, 'leads' | 'leader'>,
  client: Pick<ClientSide, 'lane' | 'submit' | 'submitGroup'>,
  engine: 'xpaxos' | 'basic-paxos',
): SessionSide {
  const entries = client.lane(SESSION_FRAMES)
  const commands = client.lane(COMMAND_FRAMES)
  const checkEngine = (): void => {
    if (engine === 'xpaxos') return
    // Its values may be chosen in another order than they were proposed in.
    throw notAvailable('sessions with basic-paxos')
  }
  /** What the log answers; `onTaken` is called at once if the entry is taken. */
  const ask = (
    lane: typeof entries,
    mark: SessionMark,
    payload: Uint8Array,
    options: { readonly signal?: AbortSignal | undefined; readonly onTaken?: () => void } = {},
  ): Promise<Answered> =>
    new Promise((resolve, reject) => {
      const onAnswer = (value: Proposed): void => resolve(answeredOf(value))
      const deferred = { resolve: onAnswer, reject, result: null }
      client.submit(lane, deferred, payload, options.signal, mark)
      options.onTaken?.()
    })
  const command = (code: Command, session: number, sequence: number) =>
    ask(commands, { session, sequence }, commandBytes(code))

  const sessionOf = (id: number, first: number): Session => {
    let next = first
    let closed = false
    return {
      id,
      get next() {
        return next
      },
      async propose(payload, { signal, sequence = next } = {}) {
        if (closed) throw new ReplicaError('E_CLOSED', 'closed', { what: 'session' })
        checkNumbers({ sequence })
        if (sequence > next) throw outOfOrder(sequence, next)
        const onTaken = (): void => void (next = Math.max(next, sequence + 1))
        const mark = { session: id, sequence }
        return proposedOf(await ask(entries, mark, payload, { signal, onTaken }), mark)
      },
      async proposeGroup(payloads, { signal, sequence = next } = {}) {
        if (closed) throw new ReplicaError('E_CLOSED', 'closed', { what: 'session' })
        checkNumbers({ sequence })
        if (sequence > next) throw outOfOrder(sequence, next)
        const values = await new Promise<readonly Proposed[]>((resolve, reject) => {
          const mark = { session: id, sequence }
          client.submitGroup(entries, { resolve, reject }, payloads, signal, mark)
          next = Math.max(next, sequence + payloads.length)
        })
        return values.map((value, i) =>
          proposedOf(answeredOf(value), { session: id, sequence: sequence + i }),
        )
      },
      async outcome(sequence) {
        checkNumbers({ sequence })
        try {
          const answer = await command(COMMAND.decide, id, sequence)
          next = Math.max(next, answer.next)
          return outcomeOf(answer)
        } catch (error) {
          if (isReplicaError(error) && error.outcome === 'unknown') return 'unknown'
          throw error
        }
      },
      async close() {
        closed = true
        await command(COMMAND.close, id, 0)
      },
    }
  }
  return {
    async open() {
      checkEngine()
      const { verdict, index, next } = await command(COMMAND.open, 0, 0)
      assert(verdict === VERDICT.done, 'a session is always opened')
      return sessionOf(index, next)
    },
    resume(id, nextSequence) {
      checkEngine()
      checkNumbers({ id, nextSequence })
      if (!ingest.leads) throw notLeader(ingest.leader)
      return sessionOf(id, nextSequence)
    },
  }
}

type Answered = SessionAnswer & Pick<Proposed, 'durability' | 'token'>

function answeredOf({ result, durability, token }: Proposed): Answered {
  assert(result !== null, 'an own entry of a session is answered')
  return { ...decodeAnswer(result), durability, token }
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
