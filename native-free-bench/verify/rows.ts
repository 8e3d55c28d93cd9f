/** Every promised figure, in the order of the table of the contract. */
import type { Figure } from './figure.ts'
import { FAULT_ROWS } from './fault-rows.ts'
import type { Lab } from './lab.ts'
import { SPIKE_ROWS } from './spike-rows.ts'
import { THROUGHPUT_ROWS } from './throughput-rows.ts'

export interface Row {
  readonly name: string
  run(lab: Lab): Promise<readonly Figure[]>
}

/** What the contract promises and this version cannot measure yet, with the reason. */
export const MISSING: readonly string[] = [
  'adaptive: not available yet',
  'memory and tcp, absolute: beside limit in the notes only, since they hang on the machine',
  'rtt-30 at its best inflight and within a bandwidth: 65,536 in flight, and no bound',
  'logger, its disk: bounded by a test (test/engine/logger-log), not measured here',
]

export const ROWS: readonly Row[] = [...THROUGHPUT_ROWS, ...FAULT_ROWS, ...SPIKE_ROWS]
