/**
 * What the X-Paxos core starts from after a restart: the fold of the WAL, without its bytes. Pure
 * data.
 */
import { type Ballot, type LogIndex, type Lsn, NO_BALLOT, NO_INDEX } from '../ids.ts'
import type { ConfigAt } from '../membership.ts'
import type { TailMark } from './tail.ts'

/** What recovery found on disk (wal/fold.ts); all zero on a blank disk. */
export interface Recovered {
  readonly promised: Ballot
  readonly acceptedBallot: Ballot
  readonly floor: LogIndex
  readonly floorChain: number
  /** The floor lies within a group. */
  readonly floorContinues: boolean
  /** Frame boundaries above the floor, ascending. */
  readonly marks: readonly TailMark[]
  readonly firstRetained: LogIndex
  readonly nextLsn: Lsn
  /** What the state machine has from a snapshot, at or below the floor; default: nothing. */
  readonly applied?: LogIndex
  /** Config batches of the log, ascending; the oldest may stand for all that was trimmed. */
  readonly configs?: readonly ConfigAt[]
}

export const BLANK: Recovered = {
  promised: NO_BALLOT,
  acceptedBallot: NO_BALLOT,
  floor: NO_INDEX,
  floorChain: 0,
  floorContinues: false,
  marks: [],
  firstRetained: 1 as LogIndex,
  nextLsn: 1 as Lsn,
}
