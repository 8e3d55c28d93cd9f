/**
 * What a node of Basic Paxos knows after a restart: the fold of its WAL records, in LSN order.
 * Pure, so that recovery, the tools and the tests cannot disagree.
 *
 * Three meanings of a record carry the log:
 * - the last frame written for an instance is its value here: an acceptor writes none behind one
 *   that is known to be chosen;
 * - instance-chosen with a frame: a learned value;
 * - instance-chosen without a frame, ballot 0: every instance through it is chosen, each with the
 *   last frame written for it. One such mark stands for thousands of instances.
 */
import { assert } from '../../base/assert.ts'
import { type FrameRef, chainOf } from '../frame-ref.ts'
import {
  type Ballot,
  type LogIndex,
  type Lsn,
  NO_BALLOT,
  NO_INDEX,
  NO_LSN,
  ballotRound,
} from '../ids.ts'
import type { WalRecord } from '../records.ts'

export interface BasicPaxosRecord {
  readonly lsn: Lsn
  readonly record: WalRecord
  /** The frame behind the record; only its headerCrc is read here. */
  readonly frame: Pick<FrameRef, 'headerCrc'> | null
}

/** One instance above the chosen prefix. Its bytes are on the disk alone; `read` fetches them. */
export interface RecoveredInstance {
  promised: Ballot
  acceptedBallot: Ballot
  /** Of the last frame written, if there is one. */
  headerCrc: number
  /** A learned value: chosen, whatever was accepted. */
  chosen: boolean
}

export interface BasicPaxosRecovered {
  readonly instances: ReadonlyMap<LogIndex, RecoveredInstance>
  readonly chosenThrough: LogIndex
  readonly chosenChain: number
  /** Highest round in any record: ballots of the next life are above it (R4). */
  readonly roundMax: number
  readonly nextLsn: Lsn
}

export const blankBasicPaxos = (): BasicPaxosRecovered => foldBasicPaxos([])

/** Cost: O(records); memory O(instances above the last mark). */
export function foldBasicPaxos(records: Iterable<BasicPaxosRecord>): BasicPaxosRecovered {
  const instances = new Map<LogIndex, RecoveredInstance>()
  const prefix = { through: NO_INDEX, chain: 0 }
  let roundMax = 0
  let last = NO_LSN
  for (const { lsn, record, frame } of records) {
    assert(lsn > last, 'records are folded in LSN order')
    last = lsn
    if (!isOfInstance(record)) continue
    roundMax = Math.max(roundMax, ballotRound(record.ballot))
    if (record.kind === 'instance-chosen' && frame === null) {
      raisePrefix(instances, prefix, record.instance)
    } else if (record.instance > prefix.through) {
      foldInstance(instanceAt(instances, record.instance), record, frame)
    }
  }
  return {
    instances,
    chosenThrough: prefix.through,
    chosenChain: prefix.chain,
    roundMax,
    nextLsn: (last + 1) as Lsn,
  }
}

export const hasValue = (at: {
  readonly acceptedBallot: Ballot
  readonly chosen: boolean
}): boolean => at.acceptedBallot > NO_BALLOT || at.chosen

type InstanceRecord = Extract<WalRecord, { readonly instance: LogIndex }>

const isOfInstance = (record: WalRecord): record is InstanceRecord => 'instance' in record

function instanceAt(
  instances: Map<LogIndex, RecoveredInstance>,
  instance: LogIndex,
): RecoveredInstance {
  const known = instances.get(instance)
  if (known !== undefined) return known
  const fresh = { promised: NO_BALLOT, acceptedBallot: NO_BALLOT, headerCrc: 0, chosen: false }
  instances.set(instance, fresh)
  return fresh
}

function foldInstance(
  at: RecoveredInstance,
  { kind, ballot }: InstanceRecord,
  frame: Pick<FrameRef, 'headerCrc'> | null,
): void {
  if (kind !== 'instance-promised') {
    assert(frame !== null, 'an accepted or learned value has a frame')
    at.headerCrc = frame.headerCrc
  }
  if (kind === 'instance-chosen') {
    at.chosen = true
    return
  }
  assert(ballot >= at.promised, 'a promised ballot never falls')
  at.promised = ballot
  if (kind === 'instance-accepted') at.acceptedBallot = ballot
}

function raisePrefix(
  instances: Map<LogIndex, RecoveredInstance>,
  prefix: { through: LogIndex; chain: number },
  through: LogIndex,
): void {
  for (let i = prefix.through + 1; i <= through; i++) {
    const value = instances.get(i as LogIndex)
    assert(value !== undefined && hasValue(value), 'a mark covers values on this disk')
    prefix.chain = chainOf(prefix.chain, value.headerCrc)
    instances.delete(i as LogIndex)
  }
  if (through > prefix.through) prefix.through = through
}
