/**
 * Clients of a cluster: each has one call open at a time, goes to whoever leads, and writes down
 * what it was told. What was refused for sure is tried again elsewhere; what is unknown is not, but
 * in a session, where a second attempt has no second effect.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type ErrorCode, ReplicaError, hasCode, isReplicaError } from '../../../src/base/errors.ts'
import type { Value } from '../../../src/check/operation.ts'
import { type Asking, type History, isUnknown } from './history.ts'
import type { Entry } from './machine.ts'
import type { NodeProcess } from './process.ts'
import type { Answered, Kind, Requests } from './requests.ts'
import type { Step } from './script.ts'

const PAUSE_MS = 10
const PATIENCE_MS = 120_000 // only ends what hangs

/** Finds the node to ask. */
export interface Route {
  /**
   * Asks until a node has taken it.
   * @throws ReplicaError unknown: it may have been done; Error: nobody leads, for too long
   */
  ask<K extends Kind>(kind: K, asked: Requests[K]['asked']): Promise<Requests[K]['answer']>
}

export interface RouteOptions {
  readonly running: () => readonly NodeProcess[]
  /** Nobody need be found any more. */
  readonly isOver?: () => boolean
}

export function createRoute({ running, isOver = () => false }: RouteOptions): Route {
  let turn = 0
  return {
    async ask(kind, asked) {
      const until = performance.now() + PATIENCE_MS
      for (;;) {
        const processes = running()
        const process = processes[turn % Math.max(1, processes.length)]
        try {
          if (process !== undefined) return await process.ask(kind, asked)
        } catch (error) {
          if (isUnknown(error)) throw error
          if (!hasCode(error, 'E_OVERLOADED')) turn++
        }
        if (isOver()) throw over()
        if (performance.now() > until) throw new Error(`nobody took a ${kind} for too long`)
        await sleep(PAUSE_MS)
      }
    },
  }
}

const over = (): ReplicaError => new ReplicaError('E_ABORTED', 'over', { reason: 'over' })

export const entryOf = ({ f, key, value }: Asking, padBytes = 0): Entry => ({
  ...{ f: f as Entry['f'], key, value },
  ...(padBytes > 0 && { pad: 'x'.repeat(padBytes) }),
})

export interface ClientOptions {
  readonly history: History
  readonly route: Route
  /** Between two steps; default none. */
  readonly pauseMs?: number
  /** Told of each entry that was acknowledged. */
  readonly onAcknowledged?: (index: number) => void
}

/** Carries out steps one by one until they are done or `isOver`. @throws Error nobody leads */
export async function runSteps(
  { history, route, pauseMs, onAcknowledged }: ClientOptions,
  steps: Iterable<Step>,
): Promise<void> {
  let process = history.newProcess()
  for (const step of steps) {
    const call = async (): Promise<Value> => {
      if (step.f === 'get') return route.ask('read', { key: step.key })
      const { index, value } = await route.ask('propose', entryOf(step, step.padBytes))
      onAcknowledged?.(index)
      return value
    }
    try {
      await history.record(process, step, call)
    } catch (error) {
      if (hasCode(error, 'E_ABORTED')) return
      if (!(error instanceof ReplicaError)) throw error
      process = history.newProcess()
    }
    if (pauseMs !== undefined) await sleep(pauseMs)
  }
}

/**
 * Counts a key up in a session, each step tried until it is answered: exactly once, whoever dies.
 * @returns how many steps were answered
 */
export async function countInSession(
  { history, route, pauseMs, onAcknowledged }: ClientOptions,
  key: string,
  isOver: () => boolean,
): Promise<number> {
  const process = history.newProcess()
  const { id } = await again(() => route.ask('session', null))
  for (let sequence = 1; ; sequence++) {
    if (isOver()) return sequence - 1
    const asking = { f: 'incr', key, value: 1 } as const
    const asked = { id, sequence, entry: entryOf(asking) }
    const answer = await history.record(process, asking, async () => {
      const { index, value }: Answered = await again(() => route.ask('in-session', asked))
      onAcknowledged?.(index)
      return value
    })
    if (answer !== sequence)
      throw new Error(`${key}: step ${sequence} made it ${JSON.stringify(answer)}`)
    if (pauseMs !== undefined) await sleep(pauseMs)
  }
}

/** Also what may have happened: in a session that does no harm. */
async function again<Answer>(call: () => Promise<Answer>): Promise<Answer> {
  const until = performance.now() + PATIENCE_MS
  for (;;) {
    try {
      return await call()
    } catch (error) {
      const isPassing = isReplicaError(error) && PASSING.includes(error.code)
      if (!isPassing || performance.now() > until) throw error
      await sleep(PAUSE_MS)
    }
  }
}

const PASSING: readonly ErrorCode[] = [
  'E_CLOSED',
  'E_NOT_LEADER',
  'E_LEADERSHIP_LOST',
  'E_OVERLOADED',
  'E_STAGE_FAILED',
  'E_DISK',
]
