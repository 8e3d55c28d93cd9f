/**
 * Where the log lies on disk: a list of runs, each a stretch of consecutive records of one segment,
 * in the order of the log. Folded from the records by the same function at run time and in
 * recovery, beside fold.ts. Pure: no I/O.
 *
 *     segment 7:  | header | E 1-40 | E 41-90 | promised | E 91-95 |  ...
 *                           '------ run ------'           '- run -'
 *
 * Invariants: valid runs are consecutive in index and ascend in (segment, offset); a run holds
 * records of its own kind only (none of an aborted transaction), so that a walk over its records,
 * stopped at `through`, yields exactly the frames `first .. through`. A cut shortens `through` and
 * seals the run.
 */
import { assert } from '../base/assert.ts'
import { ENVELOPE_SIZE_BYTES } from '../codec/record.ts'
import type { LogIndex } from '../core/ids.ts'
import type { WalRecord } from '../core/records.ts'
import {
  type InstanceMap,
  createInstanceMap,
  forgetInstances,
  noteInstance,
} from './instance-map.ts'

export const RUN_SIZE_MAX_BYTES = 2 ** 20

export interface Run {
  readonly segment: number
  /** Of the envelope of its first record. */
  readonly offset: number
  /** Behind its last record; -1 once it was cut. */
  end: number
  readonly first: LogIndex
  through: LogIndex
}

/** What trimming must know of a segment. */
interface SegmentSpan {
  readonly segment: number
  /** Last index of the log when the segment was begun. */
  readonly lastAtStart: LogIndex
  /** The log may begin here: no transaction was open, and no later one goes below the start. */
  clean: boolean
  /** Greatest Basic Paxos instance that the segment names; 0: none. */
  instanceMax: number
}

export interface LogMap {
  valid: Run[]
  pending: Run[]
  readonly segments: SegmentSpan[]
  /** The values of Basic Paxos, which has no runs. */
  readonly instances: InstanceMap
}

export const createLogMap = (): LogMap => ({
  valid: [],
  pending: [],
  segments: [],
  instances: createInstanceMap(),
})

export function beginSegment(
  map: LogMap,
  segment: number,
  lastAtStart: LogIndex,
  inSync: boolean,
): void {
  const previous = map.segments.at(-1)
  assert(previous === undefined || previous.segment < segment, 'segment numbers only grow')
  map.segments.push({ segment, lastAtStart, clean: !inSync, instanceMax: 0 })
}

/** Folds one record that lies at `offset` of the newest segment, envelope and frames together. */
export function mapRecord(map: LogMap, record: WalRecord, offset: number, sizeBytes: number): void {
  const span = map.segments.at(-1)
  assert(span !== undefined, 'a record lies in a segment')
  switch (record.kind) {
    case 'entries':
      return extend(map.valid, span.segment, record.prev, record.through, offset, sizeBytes)
    case 'sync-begin':
      map.pending = []
      return taint(map, record.syncPoint)
    case 'sync-entries':
      return extend(map.pending, span.segment, record.prev, record.through, offset, sizeBytes)
    case 'sync-commit':
      return commit(map, record.syncPoint)
    case 'instance-promised':
    case 'instance-accepted':
    case 'instance-chosen': {
      const frameSizeBytes = sizeBytes - ENVELOPE_SIZE_BYTES
      noteInstance(map.instances, record, span.segment, offset, frameSizeBytes)
      span.instanceMax = Math.max(span.instanceMax, record.instance)
      return
    }
    case 'promised':
  }
}

/** Their headers know the chain at their start only, not at a sync point before it. */
function taint({ segments }: LogMap, syncPoint: LogIndex): void {
  for (const span of segments) if (span.lastAtStart > syncPoint) span.clean = false
}

/** Drops the runs of a transaction that a higher promise, or a restart, has voided. */
export function settlePending(map: LogMap, fold: { readonly sync: object | null }): void {
  if (fold.sync === null && map.pending.length > 0) map.pending = []
}

function extend(
  runs: Run[],
  segment: number,
  prev: LogIndex,
  through: LogIndex,
  offset: number,
  sizeBytes: number,
): void {
  const run = runs.at(-1)
  const end = offset + sizeBytes
  assert(run === undefined || run.through === prev, 'runs are consecutive')
  if (run?.segment === segment && run.end === offset && end - run.offset <= RUN_SIZE_MAX_BYTES) {
    run.end = end
    run.through = through
  } else {
    runs.push({ segment, offset, end, first: (prev + 1) as LogIndex, through })
  }
}

function commit(map: LogMap, syncPoint: LogIndex): void {
  const { valid, pending } = map
  while (valid.length > 0 && valid.at(-1)!.first > syncPoint) valid.pop()
  const cut = valid.at(-1)
  if (cut !== undefined && cut.through > syncPoint) {
    cut.through = syncPoint
    cut.end = -1
  }
  for (const run of pending) valid.push(run)
  map.pending = []
}

/** Position in `valid` of the run that holds `index`; -1: trimmed, or not there yet. */
export function find({ valid }: LogMap, index: LogIndex): number {
  const at = firstReaching(valid, index)
  return at < valid.length && valid[at]!.first <= index ? at : -1
}

/** Position of the first run whose `through` is at least `index`; the length when there is none. */
function firstReaching(runs: readonly Run[], index: number): number {
  let low = 0
  let high = runs.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (runs[middle]!.through < index) low = middle + 1
    else high = middle
  }
  return low
}

/** First index that is still on the disk; null: none is. */
export const firstOf = ({ valid }: LogMap): LogIndex | null => valid[0]?.first ?? null

/**
 * The segment at which the log may begin when everything through `through` can go. Segments before
 * it hold nothing else: no later index, no pending frame, no later instance.
 */
export function keepFrom(map: LogMap, through: LogIndex): number {
  const { valid, pending, segments } = map
  const needed = valid[firstReaching(valid, through + 1)]?.segment ?? Infinity
  const limit = Math.min(needed, pending[0]?.segment ?? Infinity)
  let keep = segments[0]!.segment
  for (const { segment, clean, instanceMax } of segments) {
    if (segment > limit) break
    if (clean) keep = segment
    if (instanceMax > through) break
  }
  return keep
}

/** Forgets the segments before `segment`, as keepFrom named it. */
export function forget(map: LogMap, segment: number): void {
  const { valid, segments } = map
  const keptRuns = valid.findIndex((run) => run.segment >= segment)
  valid.splice(0, keptRuns < 0 ? valid.length : keptRuns)
  segments.splice(
    0,
    segments.findIndex((span) => span.segment === segment),
  )
  forgetInstances(map.instances, segment)
}
