/**
 * Threads of a node of the engine `limit`: the stage threads of src/engine, without those that a
 * consensus needs. Ends them in order, or where they stand.
 */
import { Worker } from 'node:worker_threads'
import { ReplicaError, fromRecord } from '../../../src/base/errors.ts'
import type { ApplyReport } from '../../../src/engine/assemble.ts'
import type { ThreadData, ThreadMessage } from '../../../src/engine/thread.worker.ts'
import type { NodeMemory, ThreadName } from '../../../src/engine/topology.ts'
import { openBell, ring as ringBell } from '../../../src/ring/bell.ts'
import { openFlag, raise } from '../../../src/ring/counters.ts'

/** By source when run from source, by the compiled file in the published package. */
const WORKER_URL = new URL(
  import.meta.url.endsWith('.ts')
    ? '../../../src/engine/thread.worker.ts'
    : '../../../src/engine/thread.worker.js',
  import.meta.url,
)

export interface StageThread {
  readonly ready: Promise<ThreadMessage & { readonly kind: 'ready' }>
  readonly ended: Promise<ApplyReport | null>
  kill(): Promise<void>
}

/** `onFailure` is called at most once, and not after `kill`. */
export function startThread(
  data: ThreadData & { readonly thread: ThreadName },
  onFailure: (error: ReplicaError) => void,
): StageThread {
  const name = `${data.spec.id}-${data.thread}`
  const worker = new Worker(WORKER_URL, { workerData: data, name })
  const ready = Promise.withResolvers<ThreadMessage & { readonly kind: 'ready' }>()
  const ended = Promise.withResolvers<ApplyReport | null>()
  ready.promise.catch(() => undefined)
  ended.promise.catch(() => undefined)
  let isOver = false
  const fail = (error: ReplicaError): void => {
    ready.reject(error)
    ended.reject(error)
    if (!isOver) onFailure(error)
    isOver = true
  }
  worker.on('message', (message: ThreadMessage) => {
    if (message.kind === 'ready') ready.resolve(message)
    else if (message.kind === 'failed') fail(fromRecord(message.error))
    else if (message.kind === 'ended') {
      isOver = true
      ended.resolve(message.report)
    }
  })
  worker.on('error', (error) => fail(failureOf(name, error)))
  worker.on('exit', (code) => fail(failureOf(name, new Error(`it ended with code ${code}`))))
  return {
    ready: ready.promise,
    ended: ended.promise,
    async kill() {
      isOver = true
      await worker.terminate()
    },
  }
}

export function failureOf(stage: string, error: unknown): ReplicaError {
  if (error instanceof ReplicaError) return error
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return new ReplicaError('E_STAGE_FAILED', reason, { stage, reason }, 'unknown')
}

/** Raises the node's halt and wakes whoever sleeps. */
export function halt(memory: NodeMemory): void {
  raise(openFlag(memory.halt))
  for (const bell of Object.values(memory.bells)) ringBell(openBell(bell))
}
