/**
 * What clients did, as src/check judges it. A call takes its number before it is made and its
 * return another, so that numbers order events as the recording process saw them.
 *
 * What is refused with outcome `not-proposed` never happened, and is left out: if it shows up all
 * the same, then somebody reads what nobody wrote. What is `unknown` ends in `info`.
 */
import type { FunctionName, Operation, Value } from '../../../src/check/operation.ts'
import { checkHistory } from '../../../src/check/check.ts'
import { checkText } from '../../../src/check/text.ts'
import { ReplicaError } from '../../../src/base/errors.ts'

const CHECK_MS = 60_000

export interface Asking {
  readonly f: FunctionName
  readonly key: string
  readonly value: Value
}

export interface History {
  readonly operations: readonly Operation[]
  /** A client that was not told what became of its call goes on under a new name. */
  newProcess(): number
  /** @returns what `call` resolves with @throws what it rejects with */
  record(process: number, asking: Asking, call: () => Promise<Value>): Promise<Value>
}

export function createHistory(): History {
  const operations: Operation[] = []
  let clock = 0
  let processes = 0
  const add = (operation: Omit<Operation, 'return'>, end: number): void =>
    void operations.push({ ...operation, return: end })
  return {
    operations,
    newProcess: () => ++processes,
    async record(process, { f, key, value }, call) {
      const called = ++clock
      const asked = { process, key, f, value: f === 'get' ? null : value, call: called }
      try {
        const answer = await call()
        const isMiss = f === 'cas' && answer === false
        const result = f === 'get' || f === 'incr' ? answer : null
        add({ ...asked, result, outcome: isMiss ? 'fail' : 'ok' }, ++clock)
        return answer
      } catch (error) {
        const isOpen = isUnknown(error) && f !== 'get'
        if (isOpen) add({ ...asked, result: null, outcome: 'info' }, Infinity)
        throw error
      }
    },
  }
}

export const isUnknown = (error: unknown): boolean =>
  !(error instanceof ReplicaError) || error.outcome === 'unknown'

/** Null: linearizable, so nothing acknowledged is lost and nothing was read wrong. */
export function judge({ operations }: History): string | null {
  const now = (): number => performance.now()
  const result = checkHistory('kv', operations, { timeoutMs: CHECK_MS, now })
  return result.verdict === 'linearizable' ? null : checkText(result)
}
