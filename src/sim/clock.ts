/**
 * A node's own clock: offset, drift in parts per million, forward steps. It is the core's only
 * time; it never goes back, because production reads a monotonic one. Pure.
 */
export interface Clock {
  readonly offsetMs: number
  /** Simulated and own time at the last change of the law. */
  sinceUs: number
  baseUs: number
  driftPpm: number
}

export const createClock = (offsetMs: number, driftPpm: number): Clock => ({
  offsetMs,
  sinceUs: 0,
  baseUs: 0,
  driftPpm,
})

const ownUs = ({ sinceUs, baseUs, driftPpm }: Clock, nowUs: number): number =>
  baseUs + Math.floor(((nowUs - sinceUs) * (1_000_000 + driftPpm)) / 1_000_000)

export const clockMs = (clock: Clock, nowUs: number): number =>
  clock.offsetMs + Math.floor(ownUs(clock, nowUs) / 1_000)

/** From now on the clock runs at another pace, `stepUs` ahead of where it stood. */
export function bend(clock: Clock, nowUs: number, driftPpm: number, stepUs: number): void {
  clock.baseUs = ownUs(clock, nowUs) + stepUs
  clock.sinceUs = nowUs
  clock.driftPpm = driftPpm
}
