/**
 * What the decision loop knows of a frame: where it lies and what it covers, never its bytes.
 * One object a frame (a batch), none an entry.
 */
import type { Ballot, LogIndex } from './ids.ts'
import type { Membership } from './membership.ts'

export interface FrameRef {
  /** First log index; 0 in a Basic Paxos value, whose instance is told beside it. */
  readonly first: LogIndex
  /** Entries in the frame, at least 1 (an `empty` frame has one entry of no bytes). */
  readonly count: number
  /** The ballot in the frame's header: the ballot of birth, not the one it is accepted under. */
  readonly ballot: Ballot
  /** Header and body and padding: a multiple of 64. */
  readonly sizeBytes: number
  /** The header's own checksum; it covers the body's checksum, hence names the content. */
  readonly headerCrc: number
  /** It takes effect with the frame behind it, or not at all (R38). */
  readonly continues: boolean
  /** What a config batch says; absent in all other frames. */
  readonly config?: Membership
  /** Which log ring of this node holds the bytes (topology's ring number), and where. */
  readonly ring: number
  /** Byte offset in the ring's data area, a multiple of 64. */
  readonly offset: number
  /** Ring sequence (64-byte units, int32, wraps) just behind the frame. */
  readonly end: number
  /** True while the core may still ask for the bytes; cleared by the core, read by the stage. */
  kept: boolean
  /** How many stages work with the bytes now (WAL, apply, sends); owned by the decide stage. */
  holds: number
}

export const throughOf = (frame: FrameRef): LogIndex => (frame.first + frame.count - 1) as LogIndex

/** True when `next` lies just behind `frame` in the same ring, so that one range covers both. */
export const adjoins = (frame: FrameRef, next: FrameRef): boolean =>
  frame.ring === next.ring && frame.offset + frame.sizeBytes === next.offset

/**
 * Chain value behind a frame: a function of the chain before it and of its header checksum, hence
 * of the ballots of birth and the bytes of the whole prefix (R41). Uint32, 0 before the log.
 */
export function chainOf(previous: number, headerCrc: number): number {
  let h = Math.imul(previous ^ 0x9e3779b9, 0x85ebca6b)
  h = (h ^ (h >>> 13)) + headerCrc
  h = Math.imul(h ^ (h >>> 16), 0xc2b2ae35)
  h = Math.imul(h ^ (h >>> 15), 0x27d4eb2f)
  return (h ^ (h >>> 16)) >>> 0
}

export function sizeOf(frames: readonly FrameRef[]): number {
  let sizeBytes = 0
  for (const frame of frames) sizeBytes += frame.sizeBytes
  return sizeBytes
}
