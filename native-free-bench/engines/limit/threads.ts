/**
 * Threads of a node of the engine `limit`: the stage threads of src/engine, without those that a
 * consensus needs. Ends them in order, or where they stand.
 */
import { Worker } from 'node:worker_threads'
import { ReplicaError, fromRecord } from '../../../src/base/errors.ts'
import type { StateMachine } from '../../../src/base/state-machine.ts'
import type { ApplyReport } from '../../../src/engine/apply-report.ts'
import { type Assembled, assemble } from '../../../src/engine/assemble.ts'
import type { CallerLoop } from '../../../src/engine/caller-loop.ts'
import type { NodeSpec } from '../../../src/engine/node-spec.ts'
import type { ThreadData, ThreadMessage } from '../../../src/engine/thread.worker.ts'
import type { NodeMemory, ThreadMap, ThreadName } from '../../../src/engine/topology.ts'
import { openBell, ring as ringBell } from '../../../src/ring/bell.ts'
import { openFlag, raise } from '../../../src/ring/counters.ts'
import type { Stage } from '../../../src/stages/stage.ts'

/** By source when run from source, by the compiled file in the published package. */
const WORKER_URL = new URL(
  import.meta.url.endsWith('.ts')
    ? '../../../src/engine/thread.worker.ts'
    : '../../../src/engine/thread.worker.js',
  import.meta.url,
)

interface StageThread {
  readonly ready: Promise<ThreadMessage & { readonly kind: 'ready' }>
  readonly ended: Promise<ApplyReport | null>
  readonly kill: () => Promise<void>
}

/** `onFailure` is called at most once, and not after `kill`. */
function startThread(
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
  if (error instanceof ReplicaError) return error as ReplicaError
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return new ReplicaError('E_STAGE_FAILED', reason, { stage, reason }, 'unknown')
}

/** Raises the node's halt and wakes whoever sleeps. */
function halt(memory: NodeMemory): void {
  raise(openFlag(memory.halt))
  for (const bell of Object.values(memory.bells)) ringBell(openBell(bell))
}

export interface StagesOptions {
  readonly spec: NodeSpec
  readonly memory: NodeMemory
  /** Where `wal` and `apply` run: a thread of their own or `caller`. The rest is not started. */
  readonly threads: ThreadMap
  readonly machine: StateMachine | null
  readonly callerLoop: CallerLoop
  readonly onFailure: (error: ReplicaError) => void
}

export interface Stages {
  /** Of the caller's thread; whoever opened them calls their doWork. */
  readonly inCaller: readonly Stage[]
  /** In order: files are flushed and closed. */
  stop(): Promise<ApplyReport | null>
  /** Where they stand, as a crash would. */
  kill(): Promise<void>
}

/** @throws ReplicaError E_DATA_DIR when the folder holds a log already, and what stages throw */
export async function startStages(options: StagesOptions): Promise<Stages> {
  const { spec, memory, threads, machine, callerLoop, onFailure } = options
  const isLogger = spec.members.find(({ id }) => id === spec.id)?.role === 'logger'
  const wanted = new Set([threads.wal, ...(isLogger ? [] : [threads.apply])])
  const common = { spec, memory, threads, peerInboxes: [], recovery: null }
  const started: StageThread[] = []
  let caller: Assembled | null = null
  const stop = async (): Promise<ApplyReport | null> => {
    halt(memory)
    const reports = await Promise.all(started.map(({ ended }) => ended.catch(() => null)))
    const own = caller?.applyReport() ?? null
    await caller?.close()
    return own ?? reports.find((report) => report !== null) ?? null
  }
  const open = async (thread: ThreadName) => {
    if (thread !== 'caller') {
      const made = startThread({ ...common, thread }, onFailure)
      started.push(made)
      return made.ready
    }
    const places = { ...common, thread, callerStateMachine: machine }
    const wake = (): void => callerLoop.wake()
    return (caller = await assemble({ ...places, wake, onEvent: () => undefined }))
  }
  try {
    const opened = await Promise.all([...wanted].map(open))
    const last = Math.max(...opened.map(({ recovery }) => recovery?.wal.last ?? 0))
    if (last > 0) {
      const problem = `holds ${last} entries; the engine limit starts from an empty folder`
      throw new ReplicaError('E_DATA_DIR', `${spec.dataDir}: ${problem}`, { problem })
    }
  } catch (error) {
    await stop()
    throw error
  }
  const inCaller = (caller as Assembled | null)?.stages ?? []
  const kill = async (): Promise<void> => {
    await Promise.all(started.map((thread) => thread.kill()))
  }
  return { inCaller, stop, kill }
}
