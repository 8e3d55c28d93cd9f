/**
 * One duty cycle of a thread: each of its stages once, in an order that lets nobody wait for what
 * can come later. Runs on the thread whose stages it cycles.
 *
 * - What leaves for others goes before the WAL, which blocks for a whole sync.
 * - A leader applies before that: its clients wait for the answers. Nobody waits for what another
 *   node applies, but a quorum may wait for its sync: there the WAL goes first.
 * - A snapshot comes last: nobody waits for it.
 * - Clients hear what is chosen before anything else is done about it; what they write then leaves
 *   with the same cycle, and the chosen index rides on it.
 */
import { openCounters } from '../ring/counters.ts'
import type { Stage } from '../stages/stage.ts'
import { type NodeMemory, VIEW_COUNTERS } from './topology.ts'
import { ROLE_CODES } from './view.ts'

const NOTHING = (): number => 0
const LEADER = ROLE_CODES.indexOf('leader')

/** `clients`: the work of ingest and of what waits for it, on the caller's thread. */
export function cycleOf(
  stages: readonly Stage[],
  memory: NodeMemory,
  clients: () => number = NOTHING,
): () => number {
  const doWorkOf = (name: Stage['name']): (() => number) =>
    stages.find((stage) => stage.name === name)?.doWork ?? NOTHING
  const [receive, decide, fanout] = [doWorkOf('receive'), doWorkOf('decide'), doWorkOf('fanout')]
  const [wal, apply, snapshot] = [doWorkOf('wal'), doWorkOf('apply'), doWorkOf('snapshot')]
  const view = openCounters(VIEW_COUNTERS, memory.view)
  return () => {
    let work = receive() + decide()
    const written = clients()
    if (written > 0) work += written + decide()
    work += fanout()
    const leads = view.words[view.at.role] === LEADER
    work += leads ? apply() + wal() : wal() + apply()
    return work + snapshot()
  }
}
