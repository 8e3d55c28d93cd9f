/**
 * The cells that stages of one node hand each other: 16 doubles each, word 0 says which. Kinds
 * below 240 are messages of a core (codec/message.ts), so that an inbox cell needs no translation;
 * 240 and 241 are the links' own (net/link.ts); from 250 on they are the stages'.
 *
 *     word           0        1       2     3      4     5       6       7       8      9..15
 *     message        kind     from    size  frames ring  offset  ticket  fields ..............
 *     FRAME          251      first   size  count  ring  offset  ballot  crc     end     kind *
 *     APPEND         record   lsn     size  frames ring  floor   offset  lazy    -      fields
 *     READ           252      ticket  from  through sizeMax within
 *     READ_DONE      253      ticket  frames retained            followed by that many FRAME cells
 *     DURABLE        254      lsn
 *     APPLY          255      first   size  frames ring  offset  all     through
 *     APPLIED        256      taken   through
 *     SENT           257      peer    ticket
 *     LEAD           258      ballot  next  abort
 *     UNLEAD         259      leader
 *     CHOSEN         260      through
 *     REPLIES        261      client  size  count  -     offset  through end     first   sequence
 *     TRIM           262      through
 *     RESET_LINK     263      peer
 *     ADMIT          264      open    reason
 *     TRIMMED        265      first
 *     DROPPED        266      from    size  ends  ring  offset  -       -       end
 *
 * FRAME has in word 10 whether the frame continues a group.
 * Cells about reads (read-cells.ts, from 270), the membership (membership-cells.ts, from 280) and
 * watches (watch-cells.ts, from 290) have their own files.
 * In REPLIES `through` is a sequence of the client, 0 while more pieces of the frame follow.
 * READ with `within` 1 begins with the frame that holds `from`; `retained` is the first index that
 * is still on the disk.
 * DROPPED is a message that nobody will use: its bytes are free; with `ends` 1 its session ends.
 * A FRAME cell follows the message that brought the frame. `end` is a ring sequence (int32).
 */
import { FRAME_KIND, type FrameKind } from '../codec/frame.ts'
import type { AdmitReason } from '../core/engine.ts'
import type { FrameRef } from '../core/frame-ref.ts'
import type { Ballot, LogIndex } from '../core/ids.ts'

export const FRAME = 251
export const READ = 252
export const READ_DONE = 253
export const DURABLE = 254
export const APPLY = 255
export const APPLIED = 256
export const SENT = 257
export const LEAD = 258
export const UNLEAD = 259
export const CHOSEN = 260
export const REPLIES = 261
export const TRIM = 262
export const RESET_LINK = 263
export const ADMIT = 264
export const TRIMMED = 265
export const DROPPED = 266

/** Reasons of an ADMIT cell by the number that stands for them; null: it admits again. */
const ADMIT_REASONS: readonly (AdmitReason | null)[] = [null, 'transfer', 'log-full']
export const admitCode = (reason: AdmitReason | null): number => ADMIT_REASONS.indexOf(reason)
export const admitReasonAt = (words: Float64Array, base: number): AdmitReason | null =>
  words[base + 1] === 1 ? null : (ADMIT_REASONS[words[base + 2]!] ?? 'transfer')

export const AT_SIZE = 2
export const AT_FRAMES = 3
export const AT_RING = 4
export const AT_OFFSET = 5
export const AT_TICKET = 6
/** Of a FRAME cell. */
export const AT_FRAME_KIND = 9
export const AT_FRAME_CONTINUES = 10
/** APPEND is an envelope in the making (codec/record.ts), so its offset stands elsewhere. */
export const AT_APPEND_OFFSET = 6
export const AT_APPEND_LAZY = 7

export interface FrameCell {
  readonly first: number
  readonly count: number
  readonly ballot: number
  readonly sizeBytes: number
  readonly headerCrc: number
  /** Default: entries. */
  readonly kind?: FrameKind
  /** Default: false. */
  readonly continues?: boolean
}

export interface FramePlace {
  readonly ring: number
  readonly offset: number
  readonly end: number
}

export function writeFrameCell(
  words: Float64Array,
  base: number,
  frame: FrameCell,
  place: FramePlace,
): void {
  words[base] = FRAME
  words[base + 1] = frame.first
  words[base + AT_SIZE] = frame.sizeBytes
  words[base + AT_FRAMES] = frame.count
  words[base + AT_RING] = place.ring
  words[base + AT_OFFSET] = place.offset
  words[base + 6] = frame.ballot
  words[base + 7] = frame.headerCrc
  words[base + 8] = place.end
  words[base + AT_FRAME_KIND] = frame.kind ?? FRAME_KIND.entries
  words[base + AT_FRAME_CONTINUES] = frame.continues === true ? 1 : 0
}

export function readFrameCell(words: Float64Array, base: number): FrameRef {
  return {
    first: words[base + 1]! as LogIndex,
    count: words[base + AT_FRAMES]!,
    ballot: words[base + 6]! as Ballot,
    sizeBytes: words[base + AT_SIZE]!,
    headerCrc: words[base + 7]!,
    continues: words[base + AT_FRAME_CONTINUES] === 1,
    ring: words[base + AT_RING]!,
    offset: words[base + AT_OFFSET]!,
    end: words[base + 8]!,
    kept: false,
    holds: 0,
  }
}
