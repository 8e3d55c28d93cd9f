/**
 * One node in a process of its own, as a program that embeds the engine would run it: a node that
 * fails ends the process with exit status 1. Driven over IPC (requests.ts).
 */
import { ReplicaError, toRecord } from '../../../src/base/errors.ts'
import { type NodeEvent, type ReplicaNode, openNode } from '../../../src/engine/index.ts'
import { bytesOf, valueOf } from './machine.ts'
import type { Asked, Kind, Requests, Told } from './requests.ts'

const MACHINE = new URL('./machine.ts', import.meta.url)
let node: ReplicaNode | null = null
let isOpening = false
let failedOpening: ReplicaError | null = null

const tell = (told: Told, then = (): void => undefined): void => void process.send!(told, then)

function onEvent(event: NodeEvent): void {
  if (event.kind !== 'failed') return
  if (isOpening) return void (failedOpening = event.error)
  const told = { kind: 'failed', error: toRecord(event.error) } as const
  const end = (): void => tell(told, () => process.exit(1))
  // Behind its last calls to the disk, so that a trace of the process holds them.
  if (node === null) end()
  else node.close().then(end, end)
}

type Handlers = {
  readonly [K in Kind]: (asked: Requests[K]['asked']) => Promise<Requests[K]['answer']>
}

const HANDLERS: Handlers = {
  async open(options) {
    isOpening = true
    failedOpening = null
    node = await openNode({ ...options, stateMachine: MACHINE, onEvent })
    isOpening = false
    refuseIfFailed(failedOpening)
    return { port: node.address!.port }
  },
  async propose(entry) {
    const { index, result } = await opened().propose(bytesOf(entry))
    return { index, value: valueOf(result) }
  },
  session: async () => ({ id: (await opened().openSession()).id }),
  async 'in-session'({ id, sequence, entry }) {
    const session = opened().resumeSession(id, sequence)
    const { index, result } = await session.propose(bytesOf(entry), { sequence })
    return { index, value: valueOf(result) }
  },
  read: async (query) => valueOf((await opened().read(bytesOf(query))).result),
  status: async () => ({ ...opened().status(), leads: opened().leads }),
  async close() {
    await opened().close()
    return null
  },
  async kill() {
    await opened().kill()
    return null
  },
}

function refuseIfFailed(error: ReplicaError | null): void {
  if (error !== null) throw error
}

function opened(): ReplicaNode {
  if (node !== null) return node
  throw new ReplicaError('E_CLOSED', 'no node is open', { what: 'node' })
}

async function carryOut<K extends Kind>({ n, kind, asked }: Asked<K>): Promise<void> {
  try {
    tell({ kind: 'answer', n, answer: await HANDLERS[kind](asked) })
  } catch (error) {
    tell({ kind: 'error', n, error: toRecord(replicaErrorOf(error)) })
  }
}

function replicaErrorOf(error: unknown): ReplicaError {
  if (error instanceof ReplicaError) return error as ReplicaError
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return new ReplicaError('E_STAGE_FAILED', reason, { stage: 'process', reason }, 'unknown')
}

process.on('message', (asked: Asked) => void carryOut(asked))
process.on('SIGINT', () => undefined) // of a terminal: the parent decides
// A parent that is gone leaves no node behind.
process.on('disconnect', () => process.exit(0))
tell({ kind: 'hello', pid: process.pid })
