/** A node process as its parent sees it: started with or without strace around it, asked, ended. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import {
  type ErrorRecord,
  type Outcome,
  ReplicaError,
  fromRecord,
} from '../../../src/base/errors.ts'
import type { Kind, Requests, Told } from './requests.ts'

const CHILD = fileURLToPath(new URL('./node.child.ts', import.meta.url))
const PRELOAD = new URL('../../support/strip-once.mjs', import.meta.url).href
const ANSWER_MS = 120_000 // only ends what hangs

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface NodeProcess {
  /** Of the node itself, whatever is around it. */
  readonly pid: number
  readonly isAlive: boolean
  /** Why its node ended by itself. */
  readonly failure: ErrorRecord | null
  readonly exited: Promise<Exit>
  /** What it wrote to stderr. */
  readonly complaints: string
  /** @throws ReplicaError as the node; E_CLOSED, unknown: the process ended before it answered */
  ask<K extends Kind>(kind: K, asked: Requests[K]['asked']): Promise<Requests[K]['answer']>
  signal(signal: NodeJS.Signals): void
}

interface Waiting {
  readonly resolve: (answer: never) => void
  readonly reject: (error: ReplicaError) => void
}

/**
 * Resolves when the process can be asked; rejects when it ends before.
 * @param around a command that runs the one behind it, such as strace with its options
 */
export async function startProcess(around: readonly string[] = []): Promise<NodeProcess> {
  const [command, ...args] = [...around, process.execPath, CHILD]
  const child = spawn(command, args, {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, UV_USE_IO_URING: '0', NODE_OPTIONS: optionsOf() },
  })
  const waiting = new Map<number, Waiting>()
  const hello = Promise.withResolvers<number>()
  const exited = Promise.withResolvers<Exit>()
  let isAlive = true
  let failure: ErrorRecord | null = null
  let complaints = ''
  let asked = 0
  child.stderr?.on('data', (chunk: Buffer) => (complaints += chunk.toString('latin1')))
  child.on('message', (told: Told) => {
    if (told.kind === 'hello') return hello.resolve(told.pid)
    if (told.kind === 'failed') return void (failure = told.error)
    const wait = waiting.get(told.n)
    waiting.delete(told.n)
    if (told.kind === 'answer') wait?.resolve(told.answer as never)
    else wait?.reject(fromRecord(told.error))
  })
  child.on('error', (error) => hello.reject(error)) // the command is not there
  child.on('close', (code, signal) => {
    isAlive = false
    exited.resolve({ code, signal })
    hello.reject(new Error(`the process ended before it began: ${complaints}`))
    for (const { reject } of waiting.values()) reject(gone())
    waiting.clear()
  })
  const pid = await hello.promise
  return {
    pid,
    get isAlive() {
      return isAlive
    },
    get failure() {
      return failure
    },
    get complaints() {
      return complaints
    },
    exited: exited.promise,
    ask(kind, what) {
      const n = ++asked
      if (!isAlive || !child.connected) return Promise.reject(gone('process', 'not-proposed'))
      const { promise, resolve, reject } = Promise.withResolvers<never>()
      const late = setTimeout(() => reject(gone('answer')), ANSWER_MS)
      waiting.set(n, { resolve, reject })
      child.send({ n, kind, asked: what }, (error) => {
        if (error !== null) reject(gone())
      })
      return promise.finally(() => clearTimeout(late))
    },
    signal(signal) {
      if (isAlive) kill(pid, signal)
    },
  }
}

/** A process that is gone already is what was wanted. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

const gone = (what = 'process', outcome: Outcome = 'unknown'): ReplicaError =>
  new ReplicaError('E_CLOSED', `the ${what} is gone`, { what }, outcome)

/** Types are stripped once, and not in every process. */
const optionsOf = (): string => `--import ${PRELOAD} --disable-warning=ExperimentalWarning`
