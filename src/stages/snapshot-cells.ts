/**
 * The cells about snapshots, and what goes between apply and the snapshot stage.
 *
 *     word           0    1       2      3      4        5       6
 *     SNAP_BEGIN     300  index   chain
 *     SNAP_PIECE     301  section size   end    offset
 *     SNAP_END       302
 *     SNAP_MADE      303  index                                    to decide: written and synced
 *     SNAP_KEEP      304  index                                    of decide: the log reaches it
 *     SNAP_KEPT      305  index   older                            to decide: has its name for good
 *
 * `end` is a sequence of the ring of pieces (int32). `older` is the index of the older one of the
 * two that are kept, 0 when there is one.
 */
export const SNAP_BEGIN = 300
export const SNAP_PIECE = 301
export const SNAP_END = 302
export const SNAP_MADE = 303
export const SNAP_KEEP = 304
export const SNAP_KEPT = 305
