/**
 * How much log stays on disk: part of the decide stage. Without snapshots a state machine can only
 * be rebuilt from the whole log, so the default keeps everything; a bound is for state that may be
 * lost with the process, as in the benchmarks, and for Loggers.
 *
 * Invariant: nothing is trimmed above `safe`, what this node has chosen and applied.
 */
export interface Retention {
  readonly retainBytes: number
  /** Ends of stretches of log, with the bytes appended up to there. */
  readonly marks: { readonly through: number; readonly atBytes: number }[]
  appendedBytes: number
  markedBytes: number
}

const STRETCH_SIZE_BYTES = 4 * 2 ** 20

export const createRetention = (retainBytes: number): Retention => ({
  retainBytes,
  marks: [],
  appendedBytes: 0,
  markedBytes: 0,
})

export function noteAppended(retention: Retention, through: number, sizeBytes: number): void {
  if (retention.retainBytes === 0) return
  retention.appendedBytes += sizeBytes
  if (retention.appendedBytes - retention.markedBytes < STRETCH_SIZE_BYTES) return
  retention.markedBytes = retention.appendedBytes
  retention.marks.push({ through, atBytes: retention.appendedBytes })
}

/** Highest index that may go now, 0 when none: behind the bound, and not above `safe`. */
export function trimmable({ retainBytes, marks, appendedBytes }: Retention, safe: number): number {
  let count = 0
  while (count < marks.length) {
    const { atBytes, through } = marks[count]!
    if (appendedBytes - atBytes < retainBytes || through > safe) break
    count += 1
  }
  if (count === 0) return 0
  const { through } = marks[count - 1]!
  marks.splice(0, count)
  return through
}
