/**
 * One node in its own OS process, driven over the IPC channel of its parent (process-engine.ts).
 * The load runs here, beside the leader, as a program that embeds the engine would.
 */
import { openSync } from 'node:fs'
import { type ReplicaNode, openNode } from '../../src/engine/node.ts'
import type { NodeEvent } from '../../src/engine/node.ts'
import { ReplicaError, toRecord } from '../../src/base/errors.ts'
import { openLimitNode } from './limit/limit-node.ts'
import { runLoad } from './load.ts'
import { lookAt } from './local-engine.ts'
import type { Answer, Command, OpenCommand } from './process-messages.ts'

let node: ReplicaNode | null = null
let journal: number | null = null

const tell = (answer: Answer): void => void process.send!(answer)

const onEvent = (event: NodeEvent): void => {
  if (event.kind === 'failed') {
    tell({ kind: 'event', event: { ...event, error: toRecord(event.error) } })
  } else tell({ kind: 'event', event })
}

async function open(command: OpenCommand): Promise<Answer> {
  const { options, isLimit } = command
  journal = command.journal === null ? null : openSync(command.journal, 'w')
  const opened = await (isLimit ? openLimitNode : openNode)({ ...options, onEvent })
  node = opened
  return { kind: 'opened', address: opened.address! }
}

async function carryOut(command: Command): Promise<Answer> {
  if (command.kind === 'open') return open(command)
  if (node === null) throw new Error('the node is not open')
  switch (command.kind) {
    case 'load':
      return { kind: 'loaded', result: await runLoad(node, { ...command.spec, journal }) }
    case 'look':
      return { kind: 'looked', look: lookAt(node) }
    case 'slow-disk':
      node.slowDisk(command.factor)
      return { kind: 'slowed' }
    case 'close':
      return { kind: 'closed', report: await node.close() }
  }
}

process.on('message', ({ id, command }: { id: number; command: Command }) => {
  carryOut(command).then(
    (answer) => {
      process.send!({ id, answer })
      if (command.kind === 'close') process.disconnect()
    },
    (error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error)
      const unexpected = new ReplicaError('E_STAGE_FAILED', reason, { stage: 'process', reason })
      const record = toRecord(error instanceof ReplicaError ? (error as ReplicaError) : unexpected)
      process.send!({ id, answer: { kind: 'failed', error: record } })
    },
  )
})
// A parent that is gone leaves no node behind.
process.on('disconnect', () => process.exit(0))
