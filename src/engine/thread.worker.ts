/**
 * Entry of a stage thread. Tells its host `ready`, then `ended` or `failed`; a failure of any stage
 * ends the whole node, because a node that is half alive is worse than one that is down.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { ReplicaError, isReplicaError, toRecord } from '../base/errors.ts'
import type { ErrorRecord } from '../base/errors.ts'
import type { ApplyReport } from './apply-report.ts'
import type { AssembleOptions } from './assemble.ts'
import type { Recovery } from './data-dir.ts'
import type { PeerAddress } from './node-spec.ts'
import { runThread } from './thread.ts'

export type ThreadData = Omit<AssembleOptions, 'onEvent' | 'wake' | 'callerStateMachine'>

export type ThreadMessage =
  | {
      readonly kind: 'ready'
      readonly recovery: Recovery | null
      readonly address: { readonly host: string; readonly port: number } | null
    }
  | { readonly kind: 'event'; readonly name: string; readonly value: number }
  | { readonly kind: 'ended'; readonly report: ApplyReport | null }
  | { readonly kind: 'failed'; readonly error: ErrorRecord }

const data = workerData as ThreadData
/** The thread of the sockets hears of peers that come later; it has an event loop. */
const hasSockets = data.spec.transport.kind === 'tcp' && data.threads.fanout === data.thread
const tell = (message: ThreadMessage): void => parentPort?.postMessage(message)

try {
  const onEvent = (name: string, value: number): void => tell({ kind: 'event', name, value })
  const assembled = await runThread(
    { ...data, onEvent, callerStateMachine: null },
    ({ recovery, address, addPeer }) => {
      if (hasSockets) parentPort?.on('message', (peer: PeerAddress) => addPeer(peer))
      parentPort?.unref() // hearing of peers keeps no thread alive
      tell({ kind: 'ready', recovery, address })
    },
  )
  tell({ kind: 'ended', report: assembled.applyReport() })
} catch (error) {
  tell({ kind: 'failed', error: toRecord(failureOf(error)) })
}

function failureOf(error: unknown): ReplicaError {
  if (isReplicaError(error)) return error
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error)
  const stage = data.thread
  return new ReplicaError('E_STAGE_FAILED', `thread ${stage}: ${reason}`, { stage, reason })
}
