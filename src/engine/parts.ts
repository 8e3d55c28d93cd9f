/**
 * What the stages of one thread of one node are made from: the node's shared memory, opened on that
 * thread. Only assemble.ts makes stages of it.
 */
import type { StateMachine } from '../base/state-machine.ts'
import type { InboxMemory } from '../net/inbox.ts'
import { type Bell, openBell } from '../ring/bell.ts'
import { add, openCounters } from '../ring/counters.ts'
import { openLogRing } from '../ring/log-ring.ts'
import type { Stage } from '../stages/stage.ts'
import type { Recovery } from './data-dir.ts'
import type { NodeSpec } from './node-spec.ts'
import {
  type NodeMemory,
  STAGE_COUNTERS,
  type StageName,
  type ThreadMap,
  type ThreadName,
} from './topology.ts'

/** Where this node's messages to a peer of the same process go. */
export interface PeerInbox {
  readonly peer: number
  readonly memory: InboxMemory
  /** Of the peer's receive thread. */
  readonly bell: SharedArrayBuffer
}

export interface AssembleOptions {
  readonly spec: NodeSpec
  readonly memory: NodeMemory
  readonly threads: ThreadMap
  readonly thread: ThreadName
  readonly peerInboxes: readonly PeerInbox[]
  readonly recovery: Recovery | null
  readonly callerStateMachine: StateMachine | null
  readonly onEvent: (name: string, value: number) => void
  /** Wakes the event loop that runs this thread's stages, from a socket's callback. */
  readonly wake: () => void
}

export const nowMs = (): number => performance.now()

/** Handles of this thread, opened once. */
export function partsOf(options: AssembleOptions) {
  const { spec, memory, threads, thread, peerInboxes, onEvent, wake } = options
  const bellOf = (name: StageName): Bell | null => {
    if (threads[name] === thread) return null
    return openBell(memory.bells[threads[name]]!)
  }
  const logRings = [
    openLogRing(memory.ingestLog),
    ...memory.inboxes.map(({ memory: inbox }) => openLogRing(inbox.log)),
    openLogRing(memory.readback),
  ]
  const counters = (name: StageName) => openCounters(STAGE_COUNTERS, memory.stages[name])
  return { spec, memory, threads, thread, peerInboxes, onEvent, wake, bellOf, logRings, counters }
}
export type Parts = ReturnType<typeof partsOf>

/** Counts the time of duty cycles that did something. */
export function timed({ counters }: Parts, name: StageName, stage: Stage): Stage {
  const block = counters(name)
  const doWork = (): number => {
    const since = nowMs()
    const work = stage.doWork()
    if (work > 0) add(block, 'busyMs', nowMs() - since)
    return work
  }
  return { ...stage, doWork }
}
