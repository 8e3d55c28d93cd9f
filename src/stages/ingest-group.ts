/**
 * Groups of entries on their way into the log ring (R38): part of the ingest stage, which publishes
 * their frames one behind the other and nothing in between. Caller's thread.
 *
 *     frames    | continues | continues | last |
 *     payloads  | 0 1 2     | 3 4       | 5    |
 *
 * Invariant: one group is under way at a time, so that one at most is open in the log.
 */
import { FRAME_HEADER_SIZE_BYTES, entrySizeOf } from '../codec/frame.ts'
import { writeEntry, writeSessionEntry } from '../codec/frame.ts'
import type { LogRing } from '../ring/log-ring.ts'
import type { IngestClient, SessionMark } from './ingest-client.ts'

export interface Group {
  readonly client: IngestClient
  payloads: readonly Uint8Array[]
  /** Of the first entry; the others have the sequences behind it. Null: frames have no sessions. */
  readonly mark: SessionMark | null
  /** The first payload that is not published yet. */
  at: number
}

export interface FrameLimits {
  readonly batchBytesMax: number
  readonly batchEntriesMax: number
}

/** How many payloads go into the next frame of the group, at least one, and its body. */
export function nextFrameOf(
  { payloads, mark, at }: Group,
  { batchBytesMax, batchEntriesMax }: FrameLimits,
): { readonly count: number; readonly bodySizeBytes: number } {
  const bodyMax = batchBytesMax - FRAME_HEADER_SIZE_BYTES
  let bodySizeBytes = 0
  let count = 0
  while (at + count < payloads.length && count < batchEntriesMax) {
    const more = entrySizeOf(payloads[at + count]!.length, mark !== null)
    if (count > 0 && bodySizeBytes + more > bodyMax) break
    bodySizeBytes += more
    count += 1
  }
  return { count, bodySizeBytes }
}

/**
 * Writes the next `count` entries from byte `from` of the ring on.
 * @returns the offset behind them
 */
export function writeFrameOf(
  { payloads, mark, at }: Group,
  count: number,
  { bytes, view }: Pick<LogRing, 'bytes' | 'view'>,
  from: number,
): number {
  let end = from
  for (let i = at; i < at + count; i++) {
    const payload = payloads[i]!
    if (mark === null) end = writeEntry(bytes, view, end, payload)
    else end = writeSessionEntry(bytes, view, end, mark.session, mark.sequence + i, payload)
  }
  return end
}

export const isStarted = (group: Group | null): boolean => group !== null && group.at > 0

/** What has to wait for room is copied: the caller may use its memory again. */
export function keepRest(group: Group): void {
  const { payloads, at } = group
  group.payloads = payloads.map((payload, i) => (i < at ? NOTHING : payload.slice()))
}
const NOTHING = new Uint8Array(0)
