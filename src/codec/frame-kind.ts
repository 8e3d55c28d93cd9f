/** What a frame can be: its kind and its flags (docs/wire.md). Part of codec/frame.ts. */

export const FRAME_KIND = {
  entries: 1,
  config: 2,
  session: 3,
  empty: 4,
  /** Ends an open group, which is void (R38). */
  abort: 5,
  /** What a disaster command did, as text: takes an index, and says nothing to state machines. */
  audit: 6,
} as const
export type FrameKind = (typeof FRAME_KIND)[keyof typeof FRAME_KIND]

/** Each entry is preceded by its own client id and sequence. */
export const FRAME_FLAG_SESSIONS = 1
/** Of entries: takes effect with the next frame, or not at all if that is an `abort` (R38). */
export const FRAME_FLAG_CONTINUES = 2
export const FLAGS_KNOWN = FRAME_FLAG_SESSIONS | FRAME_FLAG_CONTINUES

export const isSessions = (flags: number): boolean => (flags & FRAME_FLAG_SESSIONS) !== 0
/** The group of a frame with these flags goes on behind it. */
export const isContinued = (flags: number): boolean => (flags & FRAME_FLAG_CONTINUES) !== 0
