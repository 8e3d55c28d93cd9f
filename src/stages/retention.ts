/**
 * How much log stays on disk: part of the decide stage. What a node may let go of depends on what
 * it is, and on what its leader says that others hold (R32, R40; docs/wal.md has the table).
 *
 *     a node with state   nothing while `retainBytes` is 0; else, behind so many bytes, what it
 *                         applied and every member holds; behind `laggardBytesMax` more, what it
 *                         applied; with snapshots never what is above the older one of two
 *     a Logger            what every member holds; behind `laggardBytesMax`, what every voter with
 *                         state holds; behind `loggerBytesMax`, what the leader holds, unless it
 *                         is strict
 *
 * Without snapshots a state machine can only be rebuilt from the whole log, so the default keeps
 * everything; a bound without them is for state that may be lost with the process, as in the
 * benchmarks.
 *
 * Invariant: nothing is trimmed above what this node knows chosen, nor what it has not applied, if
 * it applies at all. Pure; what was cut and written again counts twice, so a bound is met early.
 */
export interface RetentionLimits {
  /** Log that a node with a state machine keeps behind what it applied; 0: all of it. */
  readonly retainBytes: number
  /** Log that is kept for members that lag. */
  readonly laggardBytesMax: number
  /** A Logger's log; never less than what phase 1 needs of it. */
  readonly loggerBytesMax: number
  /** A Logger at its bound stops the cluster from admitting, where it would reduce tolerance. */
  readonly isStrict: boolean
}

/** Only the own bound counts; 0: nothing ever goes. */
export const keepBehind = (retainBytes: number): RetentionLimits => ({
  retainBytes,
  laggardBytesMax: Infinity,
  loggerBytesMax: Infinity,
  isStrict: false,
})

/** Ends of a stretch of log that is on the disk already, and its bytes. */
export interface Stretch {
  readonly through: number
  readonly sizeBytes: number
}

export interface Retention {
  readonly limits: RetentionLimits
  /** Ends of stretches of log, with the bytes appended up to there. */
  readonly marks: { readonly through: number; readonly atBytes: number }[]
  readonly stretchSizeBytes: number
  appendedBytes: number
  markedBytes: number
  trimmedBytes: number
  /** Trimmed up to here although a voter with state lacks it; 0: every one has what was trimmed. */
  reducedThrough: number
  isFull: boolean
}

/** What the node knows when it trims, by the view of its core. */
export interface Known {
  readonly keepsState: boolean
  readonly chosen: number
  readonly applied: number
  /** What the snapshots stand for; Infinity: there are to be none. */
  readonly snapshot: number
  readonly held: number
  readonly heldByData: number
  readonly leaderHolds: number
}

/** For who needs no word of others. */
export const safeThrough = (safe: number): Known => ({
  ...{ keepsState: true, chosen: safe, applied: safe, snapshot: safe },
  ...{ held: safe, heldByData: safe, leaderHolds: safe },
})

export const STRETCH_SIZE_BYTES = 4 * 2 ** 20
/** More stretches than that are made coarser: who keeps all of a long log need not count it all. */
const MARKS_MAX = 8_192
/** A full log is full until so much of its bound is free again, so that admission does not flap. */
const FREE_PART = 1 / 16

export function createRetention(
  limits: RetentionLimits,
  found: readonly Stretch[] = [],
  stretchSizeBytes = STRETCH_SIZE_BYTES,
): Retention {
  const retention: Retention = {
    limits,
    marks: [],
    stretchSizeBytes,
    appendedBytes: 0,
    markedBytes: 0,
    trimmedBytes: 0,
    reducedThrough: 0,
    isFull: false,
  }
  for (const { through, sizeBytes } of found) {
    retention.appendedBytes += sizeBytes
    mark(retention, through)
  }
  return retention
}

export function noteAppended(retention: Retention, through: number, sizeBytes: number): void {
  retention.appendedBytes += sizeBytes
  const { appendedBytes, markedBytes, stretchSizeBytes } = retention
  if (appendedBytes - markedBytes >= stretchSizeBytes) mark(retention, through)
}

function mark(retention: Retention, through: number): void {
  retention.markedBytes = retention.appendedBytes
  const { marks } = retention
  marks.push({ through, atBytes: retention.appendedBytes })
  if (marks.length <= MARKS_MAX) return
  const kept = marks.filter((_, place) => place % 2 === 1)
  marks.splice(0, marks.length, ...kept)
}

/** Whom a look at the log tells what came of it. */
export interface Keeper {
  onTrim(through: number): void
  onEvent(name: 'tolerance-reduced' | 'tolerance-restored', through: number): void
  onFull(isFull: boolean): void
}

/** Lets go of what may go, and says when that costs tolerance, or may not be. */
export function tendLog(retention: Retention, known: Known, keeper: Keeper): void {
  const { reducedThrough: before, isFull: wasFull } = retention
  const through = trimmable(retention, known)
  if (through > 0) keeper.onTrim(through)
  const { reducedThrough, isFull } = retention
  if (reducedThrough > before) keeper.onEvent('tolerance-reduced', reducedThrough)
  if (reducedThrough < before) keeper.onEvent('tolerance-restored', before)
  if (isFull !== wasFull) keeper.onFull(isFull)
}

/** Highest index that may go now, 0 when none. */
export function trimmable(retention: Retention, known: Known): number {
  const { marks } = retention
  const count = known.keepsState ? dataCount(retention, known) : loggerCount(retention, known)
  if (count > 0) {
    const { through, atBytes } = marks[count - 1]!
    marks.splice(0, count)
    retention.trimmedBytes = atBytes
    noteFull(retention, known)
    if (through > known.heldByData) retention.reducedThrough = through
    return through
  }
  noteFull(retention, known)
  if (retention.reducedThrough <= known.heldByData) retention.reducedThrough = 0
  return 0
}

function dataCount(retention: Retention, known: Known): number {
  const { retainBytes, laggardBytesMax } = retention.limits
  if (retainBytes === 0) return 0
  const own = Math.min(known.chosen, known.applied, known.snapshot)
  const forAll = goneBehind(retention, retainBytes, Math.min(own, known.held))
  return Math.max(forAll, goneBehind(retention, retainBytes + laggardBytesMax, own))
}

function loggerCount(retention: Retention, known: Known): number {
  const { retainBytes, laggardBytesMax, loggerBytesMax, isStrict } = retention.limits
  const { chosen, held, heldByData, leaderHolds } = known
  const keepBytes = Math.min(retainBytes, loggerBytesMax)
  const forAll = goneBehind(retention, keepBytes, Math.min(chosen, held))
  const lagBytes = Math.min(keepBytes + laggardBytesMax, loggerBytesMax)
  const forData = goneBehind(retention, lagBytes, Math.min(chosen, heldByData))
  if (isStrict) return Math.max(forAll, forData)
  const safe = Math.min(chosen, Math.max(heldByData, leaderHolds))
  return Math.max(forAll, forData, goneBehind(retention, loggerBytesMax, safe))
}

/** How many stretches lie behind so many newer bytes, and not above `safe`. */
function goneBehind({ marks, appendedBytes }: Retention, keepBytes: number, safe: number): number {
  let count = 0
  while (count < marks.length) {
    const { atBytes, through } = marks[count]!
    if (appendedBytes - atBytes < keepBytes || through > safe) break
    count += 1
  }
  return count
}

function noteFull(retention: Retention, { keepsState }: Known): void {
  const { limits, appendedBytes, trimmedBytes } = retention
  const { loggerBytesMax, isStrict } = limits
  const sizeBytes = appendedBytes - trimmedBytes
  const bound = retention.isFull ? loggerBytesMax * (1 - FREE_PART) : loggerBytesMax
  retention.isFull = !keepsState && isStrict && sizeBytes > bound
}
