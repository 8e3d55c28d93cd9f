/**
 * `compare --ladder`: from Basic Paxos to the whole engine, one change a rung, so that the table
 * says what each idea buys. Every rung runs at its own best number of entries in flight, but the
 * first, which is one value at a time. Pure: a configuration in, the rungs' configurations out.
 */
import { rowsOf } from './options.ts'
import type { BenchConfig, CompareConfig } from './types.ts'

export interface Rung {
  readonly label: string
  readonly config: BenchConfig
}

/** One value at a time, one round at a time. */
const PLAIN = { batchMaxEntries: 1, pipelineDepth: 1 } as const
const ONE_THREAD = { layout: 'inline' } as const
/** Rounds of one value each need many of them to fill a pipeline. */
const DEPTH_OF_VALUES = 64

export function ladderOf(config: CompareConfig): Rung[] {
  const [basic, engine] = rowsOf({ ...config, engines: ['basic-paxos', 'xpaxos'] })
  const baseline = { ...basic!, ...ONE_THREAD }
  const leader = { ...engine!, ...PLAIN, ...ONE_THREAD }
  const pipelined = { ...leader, pipelineDepth: DEPTH_OF_VALUES }
  const { batchMaxEntries, pipelineDepth } = engine!
  const batched = { ...pipelined, batchMaxEntries, pipelineDepth }
  return [
    { label: 'basic-paxos, one at a time', config: { ...baseline, inflight: 1 } },
    { label: 'basic-paxos', config: baseline },
    { label: '+ unique proposer', config: leader },
    { label: '+ pipelining', config: pipelined },
    { label: '+ batching', config: batched },
    { label: '+ worker threads', config: { ...batched, layout: engine!.layout } },
  ]
}
