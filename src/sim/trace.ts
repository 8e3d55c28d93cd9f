/**
 * The trace of a run: a running hash over every event, cheap enough to be always on, and on demand
 * the events themselves, for people. Two runs with equal hashes took the same steps.
 *
 * Invariant: nothing is hashed that depends on the machine, the process or the wall clock.
 */
export interface Trace {
  a: number
  b: number
  /** The newest lines, when somebody reads them. */
  readonly lines: TraceLine[] | null
}

/** One line of the sequence chart: an arrow when `to` is not -1, else a note at `from`. */
export interface TraceLine {
  readonly atUs: number
  readonly from: number
  readonly to: number
  readonly text: string
}

const LINES_MAX = 200_000

export const createTrace = (keepLines: boolean): Trace => ({
  a: 0x6a09e667,
  b: 0xbb67ae85 | 0,
  lines: keepLines ? [] : null,
})

/** Folds one uint32 or small integer. */
export function mix(trace: Trace, value: number): void {
  const a = Math.imul(trace.a ^ value, 0x85ebca6b)
  trace.a = (a ^ (a >>> 13)) + trace.b
  trace.b = Math.imul((trace.b << 5) ^ (trace.b >>> 27) ^ value, 0xc2b2ae35)
}

export function hashOf({ a, b }: Trace): string {
  return hex(a ^ (a >>> 16)) + hex(b ^ (b >>> 15))
}

const hex = (value: number): string => (value >>> 0).toString(16).padStart(8, '0')

export function note(trace: Trace, atUs: number, from: number, to: number, text: string): void {
  const { lines } = trace
  if (lines === null) return
  lines.push({ atUs, from, to, text })
  if (lines.length > LINES_MAX) lines.splice(0, LINES_MAX / 2)
}
