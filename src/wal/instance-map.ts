/**
 * Where the values of Basic Paxos lie on disk: for each instance the last frame that was written
 * for it. Folded from the records by log-map.ts, at run time and in recovery alike. Pure: no I/O.
 *
 * Invariants: a place lies in a retained segment; an older frame of an instance is never served
 * (an acceptor writes none behind the chosen one, so the last one is the value). A log of another
 * engine has no instances, and its map stays empty.
 *
 * Cost: one object an instance that is on the disk. There is no bound but the disk's own: this
 * engine keeps all of its log, since it has no snapshots.
 */
import type { LogIndex } from '../core/ids.ts'
import type { WalRecord } from '../core/records.ts'

export interface InstancePlace {
  readonly segment: number
  /** Of the record's envelope; the frame lies behind it. */
  readonly offset: number
  /** Of the frame alone. */
  readonly frameSizeBytes: number
}

export type InstanceMap = Map<LogIndex, InstancePlace>

export const createInstanceMap = (): InstanceMap => new Map()

type InstanceRecord = Extract<WalRecord, { readonly instance: LogIndex }>

/** Folds a record whose envelope lies at `offset`; one without a frame changes nothing. */
export function noteInstance(
  instances: InstanceMap,
  { instance }: InstanceRecord,
  segment: number,
  offset: number,
  frameSizeBytes: number,
): void {
  if (frameSizeBytes > 0) instances.set(instance, { segment, offset, frameSizeBytes })
}

/** Forgets what lies before `segment`, which is trimmed. */
export function forgetInstances(instances: InstanceMap, segment: number): void {
  for (const [instance, place] of instances) {
    if (place.segment < segment) instances.delete(instance)
  }
}
