/**
 * The state of a node as the fold of its WAL records. The running WAL and recovery call the same
 * functions, so that a restart cannot see another state than the one that ran. Pure: no I/O.
 *
 * Invariants: `promised` and `floor` never fall; the floor is never above the log, and only on a
 * frame's end whose chain is known; an accept-sync transaction changes nothing before its commit
 * (R12); only its commit cuts the log.
 *
 * Entries of ballot 0 are learned, hence chosen: they raise the floor themselves (R31). A
 * transaction of ballot 0 is how a voter turns learner. Config batches are kept as bytes, the
 * newest at or below the floor and all above it, so that trimming never loses the membership (R40).
 *
 * Basic Paxos records (instance-*) change nothing here: whoever opens the WAL folds his own.
 */
import { assert, unreachable } from '../base/assert.ts'
import { chainOf } from '../core/frame-ref.ts'
import { type Ballot, type LogIndex, type Lsn, NO_BALLOT, NO_INDEX, NO_LSN } from '../core/ids.ts'
import type { SyncBeginRecord, WalRecord } from '../core/records.ts'

/** What the fold needs of a frame; a FrameRef has it too. */
export interface FrameMark {
  readonly headerCrc: number
  readonly first: LogIndex
  readonly count: number
  readonly sizeBytes: number
  /** The frame is not the end of its group (R38). */
  readonly continues: boolean
  /** What a config frame says (codec/membership.ts), its own copy; absent in all others. */
  readonly config?: Uint8Array
}

/** A config batch of the log, undecoded. */
export interface ConfigMark {
  readonly index: LogIndex
  readonly bytes: Uint8Array
}

/** Chain value behind a frame that ends at `through`. */
export interface ChainMark {
  readonly through: LogIndex
  readonly chain: number
  readonly continues: boolean
}

/** An accept-sync transaction without its commit. */
export interface OpenSync {
  readonly ballot: Ballot
  readonly syncPoint: LogIndex
  readonly adoptedLast: LogIndex
  last: LogIndex
  lastChain: number
  /** Behind syncPoint, ascending. */
  readonly marks: ChainMark[]
  readonly configs: ConfigMark[]
}

/** What one segment header repeats, so that older segments can go. */
export interface FoldStart {
  readonly promised: Ballot
  readonly acceptedBallot: Ballot
  readonly last: LogIndex
  readonly lastChain: number
  /** The log ends within a group (R38). */
  readonly lastContinues: boolean
  /** Known chosen index as this disk knows it; never above `last`. */
  readonly floor: LogIndex
  readonly floorChain: number
  readonly floorContinues: boolean
  readonly lsn: Lsn
  /** LSN of the newest record that is not `entries`; 0: none. */
  readonly metadataLsn: Lsn
  /** The newest config batch in the log; null: none is. */
  readonly config: ConfigMark | null
}

export interface Fold {
  promised: Ballot
  acceptedBallot: Ballot
  last: LogIndex
  lastChain: number
  floor: LogIndex
  floorChain: number
  /** Of the frame that ends at the floor. */
  floorContinues: boolean
  lsn: Lsn
  metadataLsn: Lsn
  /** Frame ends above the floor, ascending; the last one is (last, lastChain). */
  readonly marks: ChainMark[]
  /** Config batches, ascending: at most one of them at or below the floor. */
  readonly configs: ConfigMark[]
  sync: OpenSync | null
}

export const EMPTY_START: FoldStart = {
  promised: NO_BALLOT,
  acceptedBallot: NO_BALLOT,
  last: NO_INDEX,
  lastChain: 0,
  lastContinues: false,
  floor: NO_INDEX,
  floorChain: 0,
  floorContinues: false,
  lsn: NO_LSN,
  metadataLsn: NO_LSN,
  config: null,
}

export function openFold(start: FoldStart): Fold {
  const { config, lastContinues, ...known } = start
  const { last, lastChain, floor } = known
  assert(floor <= last, 'the floor is within the log')
  const mark = { through: last, chain: lastChain, continues: lastContinues }
  const marks = last > floor ? [mark] : []
  return { ...known, marks, configs: config === null ? [] : [config], sync: null }
}

export function startOf(fold: Fold): FoldStart {
  const { marks, configs, sync: _sync, ...known } = fold
  const lastContinues = marks.at(-1)?.continues ?? fold.floorContinues
  return { ...known, lastContinues, config: configs.at(-1) ?? null }
}

/** All but plain entries: what envelopes name as the newest metadata. */
export const isMetadata = ({ kind }: WalRecord): boolean => kind !== 'entries'

/**
 * Folds one record and the floor that its envelope carries; `frames` are empty where none follow.
 */
export function foldRecord(
  fold: Fold,
  record: WalRecord,
  lsn: Lsn,
  floor: LogIndex,
  frames: readonly FrameMark[],
): void {
  assert(lsn > fold.lsn, 'LSNs only grow')
  fold.lsn = lsn
  if (isMetadata(record)) fold.metadataLsn = lsn
  change(fold, record, frames)
  raiseFloor(fold, isLearned(record) ? record.through : floor)
}

/**
 * Ends at what was known chosen, whatever its envelope says: what is learned, and the commit by
 * which a voter turns learner. Its acceptedBallot 0 gives up its votes, so this floor must outlast
 * them even where nothing behind it reaches the disk (R31).
 */
const isLearned = (
  record: WalRecord,
): record is Extract<WalRecord, { readonly kind: 'entries' | 'sync-commit' }> =>
  (record.kind === 'entries' || record.kind === 'sync-commit') && record.ballot === NO_BALLOT

function change(fold: Fold, record: WalRecord, frames: readonly FrameMark[]): void {
  switch (record.kind) {
    case 'entries':
      assert(record.prev === fold.last, 'entries follow the last index')
      assert(
        record.ballot !== NO_BALLOT || fold.acceptedBallot === NO_BALLOT,
        'who learns holds nothing that it accepted',
      )
      extend(fold, frames)
      return assert(fold.last === record.through, 'the frames reach through')
    case 'promised':
      return promise(fold, record.ballot)
    case 'sync-begin':
      return void (fold.sync = begin(fold, record))
    case 'sync-entries': {
      const { sync } = fold
      assert(sync?.ballot === record.ballot, 'sync-entries belong to the open transaction')
      assert(record.prev === sync.last, 'sync-entries follow the pending ones')
      extend(sync, frames)
      return assert(sync.last === record.through, 'the frames reach through')
    }
    case 'sync-commit':
      assert(record.syncPoint === fold.sync?.syncPoint, 'a commit ends the open transaction')
      assert(record.ballot === fold.sync.ballot, 'a commit has the ballot of its transaction')
      assert(record.through === fold.sync.last, 'a commit names the last pending index')
      return commit(fold, fold.sync)
    case 'instance-promised':
    case 'instance-accepted':
    case 'instance-chosen':
      return
    default:
      return unreachable(record)
  }
}

type Tail = Pick<OpenSync, 'last' | 'lastChain' | 'marks' | 'configs'>

function extend(tail: Tail, frames: readonly FrameMark[]): void {
  for (const { first, count, headerCrc, continues, config } of frames) {
    assert(first === tail.last + 1, 'frames are consecutive')
    tail.last = (first + count - 1) as LogIndex
    tail.lastChain = chainOf(tail.lastChain, headerCrc)
    tail.marks.push({ through: tail.last, chain: tail.lastChain, continues })
    if (config !== undefined) tail.configs.push({ index: first, bytes: config })
  }
}

/**
 * A higher promise voids a transaction of a lower ballot: its leader can not finish it any more.
 */
function promise(fold: Fold, ballot: Ballot): void {
  if (ballot > fold.promised) fold.promised = ballot
  if (fold.sync !== null && fold.sync.ballot < ballot) fold.sync = null
}

function begin(fold: Fold, record: SyncBeginRecord): OpenSync {
  const { ballot, syncPoint, adoptedLast } = record
  assert(syncPoint >= fold.floor, 'an accept-sync never cuts below the floor')
  assert(syncPoint <= fold.last, 'the sync point is in the log')
  return {
    ballot,
    syncPoint,
    adoptedLast,
    last: syncPoint,
    lastChain: chainAt(fold, syncPoint),
    marks: [],
    configs: [],
  }
}

function commit(fold: Fold, sync: OpenSync): void {
  assert(sync.syncPoint >= fold.floor, 'a commit never cuts below the floor')
  const { marks, configs } = fold
  while (marks.length > 0 && marks[marks.length - 1]!.through > sync.syncPoint) marks.pop()
  while (configs.length > 0 && configs.at(-1)!.index > sync.syncPoint) configs.pop()
  configs.push(...sync.configs)
  for (const mark of sync.marks) marks.push(mark)
  fold.last = sync.last
  fold.lastChain = sync.lastChain
  fold.acceptedBallot = sync.ballot
  if (sync.ballot > fold.promised) fold.promised = sync.ballot
  fold.sync = null
}

/** Chain behind the frame that ends at `index`, which lies between the floor and the last index. */
export function chainAt(fold: Fold, index: LogIndex): number {
  if (index === fold.floor) return fold.floorChain
  const mark = fold.marks.findLast(({ through }) => through === index)
  assert(mark !== undefined, 'a frame ends at this index')
  return mark.chain
}

/** Clamped to the log (R14), and to the end of a frame, so that its chain is known. */
function raiseFloor(fold: Fold, floor: LogIndex): void {
  const { marks, configs } = fold
  let passed = 0
  while (passed < marks.length && marks[passed]!.through <= floor) passed++
  if (passed === 0) return
  const { through, chain, continues } = marks[passed - 1]!
  fold.floor = through
  fold.floorChain = chain
  fold.floorContinues = continues
  marks.splice(0, passed)
  while (configs.length > 1 && configs[1]!.index <= through) configs.shift()
}
