/**
 * Makes and ends the threads of one node: the only place that does. Starts the thread of the WAL
 * first, since what it recovers is what decide starts from; a failure of one thread halts them all.
 */
import { Worker } from 'node:worker_threads'
import { ReplicaError, fromRecord, isReplicaError } from '../base/errors.ts'
import type { StateMachine } from '../base/state-machine.ts'
import { openBell, ring as ringBell } from '../ring/bell.ts'
import { openFlag, raise } from '../ring/counters.ts'
import type { ApplyReport } from './apply-report.ts'
import { type Assembled, type PeerInbox, assemble } from './assemble.ts'
import type { CallerLoop } from './caller-loop.ts'
import { cycleOf } from './cycle.ts'
import { type Recovery, abandonDataDir } from './data-dir.ts'
import type { NodeSpec, PeerAddress } from './node-spec.ts'
import type { ThreadData, ThreadMessage } from './thread.worker.ts'
import { type NodeMemory, type ThreadMap, type ThreadName, threadsOf } from './topology.ts'

export interface HostOptions {
  readonly spec: NodeSpec
  readonly memory: NodeMemory
  readonly threads: ThreadMap
  readonly peerInboxes: readonly PeerInbox[]
  readonly stateMachine: StateMachine | null
  readonly callerLoop: CallerLoop
  /** One pass of the client side: ingest, and who waits for it. */
  readonly clientWork: () => number
  readonly onEvent: (name: string, value: number) => void
  /** A stage failed; the node has been halted. */
  readonly onFailure: (error: ReplicaError) => void
}

export interface Host {
  readonly address: { readonly host: string; readonly port: number } | null
  readonly historyEpoch: number
  /** Where a peer is that came later. */
  addPeer(peer: PeerAddress): void
  /** Flushes, closes files and sockets, ends the threads. */
  close(): Promise<ApplyReport | null>
  /** Ends the threads where they stand, as a crash would. */
  kill(): Promise<void>
}

/** By source when run from source, by the compiled file in the published package. */
const WORKER_URL = new URL(
  import.meta.url.endsWith('.ts') ? './thread.worker.ts' : './thread.worker.js',
  import.meta.url,
)

interface HostState {
  closing: boolean
  failed: ReplicaError | null
  /** Set once: by close, kill or a failure, whichever came first. */
  stopped: Promise<ApplyReport | null> | null
}

interface Thread {
  readonly worker: Worker
  readonly name: ThreadName
  readonly ready: Promise<ThreadMessage & { readonly kind: 'ready' }>
  readonly ended: Promise<ApplyReport | null>
  readonly exited: Promise<void>
}

/** @throws ReplicaError what any stage failed with while it opened; nothing is left running */
export async function startHost(options: HostOptions): Promise<Host> {
  const { threads, memory, callerLoop, spec } = options
  const state: HostState = { closing: false, failed: null, stopped: null }
  const started: Thread[] = []
  let caller: Assembled | null = null
  let cycle = cycleOf([], memory, options.clientWork)
  const onError = (error: unknown): void => fail(failureOf(error, 'caller'))
  const removeCaller = callerLoop.add(() => cycle(), onError)

  const halt = (): void => {
    raise(openFlag(memory.halt))
    for (const sab of Object.values(memory.bells)) ringBell(openBell(sab))
  }
  /** A node that is half alive is worse than one that is down: all of it ends. */
  const fail = (error: ReplicaError): void => {
    if (state.closing || state.failed !== null) return
    state.failed = error
    options.onFailure(error)
    stop().catch(() => null) // whoever closes the node gets the same promise
  }
  const open = async (name: ThreadName, recovery: Recovery | null) => {
    const { peerInboxes } = options
    if (name !== 'caller') {
      const data = { spec, memory, threads, thread: name, peerInboxes, recovery }
      const thread = startThread(data, options.onEvent, fail)
      started.push(thread)
      return thread.ready
    }
    caller = await assemble({
      ...{ spec, memory, threads, thread: name, peerInboxes, recovery },
      callerStateMachine: options.stateMachine,
      onEvent: options.onEvent,
      wake: () => callerLoop.wake(),
    })
    cycle = cycleOf(caller.stages, memory, options.clientWork)
    return caller
  }
  const stop = (): Promise<ApplyReport | null> => (state.stopped ??= end())
  const end = async (): Promise<ApplyReport | null> => {
    state.closing = true
    halt()
    const reports = await Promise.all(started.map(({ ended }) => ended.catch(() => null)))
    await Promise.all(started.map(({ exited }) => exited))
    removeCaller()
    const own = caller?.applyReport() ?? null
    await caller?.close()
    return own ?? reports.find((report) => report !== null) ?? null
  }
  /** Nothing is flushed; what a dead process leaves to the system is let go of here. */
  const kill = async (): Promise<null> => {
    state.closing = true
    removeCaller()
    await Promise.all(started.map(({ worker }) => worker.terminate()))
    await caller?.kill()
    if (threads.wal !== 'caller') abandonDataDir(spec)
    return null
  }
  try {
    const first = await open(threads.wal, null)
    const rest = threadsOf(threads).filter((name) => name !== threads.wal)
    const opened = await Promise.all(rest.map((name) => open(name, first.recovery)))
    const address = [first, ...opened].find((one) => one.address !== null)?.address ?? null
    return {
      address,
      historyEpoch: first.recovery?.historyEpoch ?? 0,
      addPeer(peer) {
        if (threads.fanout === 'caller') return caller?.addPeer(peer)
        started.find(({ name }) => name === threads.fanout)?.worker.postMessage(peer)
      },
      close: stop,
      kill: async () => void (await (state.stopped ??= kill())),
    }
  } catch (error) {
    await stop().catch(() => null)
    throw error
  }
}

function startThread(
  data: ThreadData,
  onEvent: (name: string, value: number) => void,
  fail: (error: ReplicaError) => void,
): Thread {
  const worker = new Worker(WORKER_URL, {
    workerData: data,
    name: `${data.spec.id}-${data.thread}`,
  })
  const ready = Promise.withResolvers<ThreadMessage & { readonly kind: 'ready' }>()
  const ended = Promise.withResolvers<ApplyReport | null>()
  ready.promise.catch(() => undefined)
  ended.promise.catch(() => undefined)
  const onError = (error: ReplicaError): void => {
    ready.reject(error)
    ended.reject(error)
    fail(error)
  }
  worker.on('message', (message: ThreadMessage) => {
    if (message.kind === 'ready') ready.resolve(message)
    else if (message.kind === 'event') onEvent(message.name, message.value)
    else if (message.kind === 'ended') ended.resolve(message.report)
    else onError(fromRecord(message.error))
  })
  const exited = Promise.withResolvers<void>()
  worker.on('error', (error) => onError(failureOf(error, data.thread)))
  worker.on('exit', (code) => {
    exited.resolve()
    const reason = `thread ${data.thread} ended with code ${code}`
    onError(new ReplicaError('E_STAGE_FAILED', reason, { stage: data.thread, reason }, 'unknown'))
  })
  const { promise } = ended
  return { worker, name: data.thread, ready: ready.promise, ended: promise, exited: exited.promise }
}

function failureOf(error: unknown, stage: ThreadName): ReplicaError {
  if (isReplicaError(error)) return error
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error)
  const detail = { stage, reason }
  return new ReplicaError('E_STAGE_FAILED', reason, detail, 'unknown', { cause: error })
}
