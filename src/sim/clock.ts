/**
 * A node's own clocks: offset, drift in parts per million, forward steps. The monotonic one is the
 * core's only time; it never goes back. The wall clock runs beside it, and may be set. While the
 * machine is suspended the monotonic clock stands still, the wall clock does not. Pure.
 */
export interface Clock {
  readonly offsetMs: number
  /** Simulated and own time at the last change of the law. */
  sinceUs: number
  baseUs: number
  driftPpm: number
  /** The wall clock less the monotonic one. */
  wallUs: number
  /** Since when it stands still; -1: it runs. */
  frozenAtUs: number
}

export const createClock = (offsetMs: number, driftPpm: number, wallMs = 0): Clock => ({
  offsetMs,
  sinceUs: 0,
  baseUs: 0,
  driftPpm,
  wallUs: 1_000 * wallMs,
  frozenAtUs: -1,
})

function ownUs({ sinceUs, baseUs, driftPpm, frozenAtUs }: Clock, nowUs: number): number {
  const atUs = frozenAtUs < 0 ? nowUs : frozenAtUs
  return baseUs + Math.floor(((atUs - sinceUs) * (1_000_000 + driftPpm)) / 1_000_000)
}

export const clockMs = (clock: Clock, nowUs: number): number =>
  clock.offsetMs + Math.floor(ownUs(clock, nowUs) / 1_000)

/** With a fraction, as a stage reads it. */
export const nowMsOf = (clock: Clock, nowUs: number): number =>
  clock.offsetMs + ownUs(clock, nowUs) / 1_000

export function wallMsOf(clock: Clock, nowUs: number): number {
  const sleptUs = clock.frozenAtUs < 0 ? 0 : nowUs - clock.frozenAtUs
  return nowMsOf(clock, nowUs) + (clock.wallUs + sleptUs) / 1_000
}

/** From now on the clock runs at another pace, `stepUs` ahead of where it stood. */
export function bend(clock: Clock, nowUs: number, driftPpm: number, stepUs: number): void {
  // One that stands still goes on from where it stands, when it does.
  const isFrozen = clock.frozenAtUs >= 0
  clock.baseUs = ownUs(clock, nowUs) + (isFrozen ? 0 : stepUs)
  clock.sinceUs = isFrozen ? clock.frozenAtUs : nowUs
  clock.driftPpm = driftPpm
}

export function freeze(clock: Clock, nowUs: number): void {
  if (clock.frozenAtUs < 0) clock.frozenAtUs = nowUs
}

/** The machine wakes, and its monotonic clock knows nothing of the time between. */
export function thaw(clock: Clock, nowUs: number): void {
  const { frozenAtUs } = clock
  if (frozenAtUs < 0) return
  clock.baseUs = ownUs(clock, nowUs)
  clock.sinceUs = nowUs
  clock.wallUs += nowUs - frozenAtUs
  clock.frozenAtUs = -1
}
