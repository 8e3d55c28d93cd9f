/**
 * Cells by which watches travel (see cells.ts for the others): what a caller wants to be told, the
 * frames of the log that tell it.
 *
 *     word           0    1      2     3       4      5       6    7        8         9     10
 *     WATCH          290  id     from
 *     UNWATCH        291
 *     WATCH_READ     292  id     from  through sizeMax
 *     WATCH_FRAMES   293  first  size  frames  ring   offset  id   through  retained
 *     WATCH_DONE     294  id
 *     FEED           295  id     size  frames  voids  offset  end  first    through   code  replies
 *
 * WATCH wants the entries from index `from` on, once; 0: none, only where the log stands. FEED says
 * so for `id`, or brings what was just applied (id 0). Its bytes lie in the ring `watchBytes`: so
 * many bytes of `frames`, as they lie in the log; `voids` times two f64, first and through index of
 * entries without effect; `replies` bytes of what the state machine replied, -1 when that is not
 * known, an item each: u32 size, u32 0, f64 index, bytes padded to 8.
 */
export const WATCH = 290
export const UNWATCH = 291
export const WATCH_READ = 292
export const WATCH_FRAMES = 293
export const WATCH_DONE = 294
export const FEED = 295

export const AT_FEED_FRAMES = 3
export const AT_FEED_VOIDS = 4
export const AT_FEED_END = 6
export const AT_FEED_FIRST = 7
export const AT_FEED_THROUGH = 8
export const AT_FEED_CODE = 9
export const AT_FEED_REPLIES = 10

export const FEED_CODE = {
  /** Frames `first` to `through`. */
  frames: 0,
  /** Everything through `through` is applied, and all behind it is fed from now on. */
  head: 1,
  /** Something behind what was fed was not: nothing is fed until somebody is told `head`. */
  gap: 2,
  /** There was no room: ask again. */
  again: 3,
  /** What was wanted is gone; `first` is the first index that is there. */
  compacted: 4,
} as const
export type FeedCode = (typeof FEED_CODE)[keyof typeof FEED_CODE]

/** Of one void range. */
export const VOID_SIZE_BYTES = 16
/** Of one reply, before its bytes. */
export const REPLY_HEADER_SIZE_BYTES = 16
