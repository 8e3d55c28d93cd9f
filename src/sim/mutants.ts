/**
 * Planted faults: each is one replacement in the text of one source file, put in by a module load
 * hook before the file is loaded (plant.ts). Production code has no switches. A mutant names the
 * invariant whose break must betray it.
 *
 * Invariant: `from` occurs exactly once in its file (tested).
 */
import type { InvariantId } from './invariants.ts'
import type { ClassName } from './classes.ts'

export interface Mutant {
  readonly name: string
  /** What must break; any of these counts as caught. */
  readonly invariant: InvariantId
  readonly also?: readonly InvariantId[]
  readonly file: string
  readonly from: string
  readonly to: string
  /** Classes that are likely to meet it; default: those of X-Paxos. */
  readonly classes?: readonly ClassName[]
}

const X = 'src/core/xpaxos'

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'reply-before-durable',
    invariant: 'I2',
    also: ['I8'],
    file: `${X}/core.ts`,
    from: 'waiting[count]!.lsn <= durableLsn) count += 1',
    to: 'waiting[count]!.lsn <= durableLsn + 1) count += 1',
  },
  {
    name: 'quorum-one-too-few',
    invariant: 'I8',
    also: ['I3'],
    file: `${X}/leader.ts`,
    from: 'scratch[count - state.quorum]!',
    to: 'scratch[count - state.quorum + 1]!',
  },
  {
    name: 'lower-prepare-promised',
    invariant: 'I2',
    file: `${X}/acceptor.ts`,
    from: 'if (ballot < state.promised) return reject(',
    to: 'if (ballot < 0) return reject(',
  },
  {
    name: 'own-ballot-resumed',
    invariant: 'I1',
    also: ['I2', 'I5', 'no-panic'],
    file: `${X}/phase1.ts`,
    from: 'const ballot = ballotAbove(above, state.self.id)',
    to:
      'const ballot = above % 65536 === state.self.id ? above : ' +
      'ballotAbove(above, state.self.id)',
  },
]
