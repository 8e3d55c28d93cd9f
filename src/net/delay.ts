/**
 * Emulated distance: when does a message that was delivered at `stampMs` count as arrived. Pure:
 * no clock, and chance comes from the seed, so that a run replays. The receive stage asks once per
 * message, in order, and leaves the cell in the inbox until that time.
 *
 *     stamp      wire free again      due
 *       |--wait--|--size/bandwidth--|--rtt/2 +- jitter--|
 *
 * Invariants: times never fall from one message to the next (a link is FIFO); a message is never
 * early for its bandwidth. Because order is kept, a message behind a late one is late too: with
 * messages denser than the jitter the mean delay lies above rtt / 2, by at most `jitterMs`.
 */
import { assert } from '../base/assert.ts'

export interface DelayOptions {
  readonly rttMs: number
  /** Each message's one-way delay is uniform in rtt / 2 +- this, and not below 0. */
  readonly jitterMs: number
  /** Megabits a second, one way; 0: no limit. */
  readonly bandwidthMbps: number
  readonly seed: number
}

export interface Delay {
  readonly oneWayMs: number
  readonly jitterMs: number
  /** 0: no limit. */
  readonly bytesPerMs: number
  /** True when every message is due at once, so that a caller can skip the asking. */
  readonly isNone: boolean
  random: number
  wireFreeMs: number
  lastDueMs: number
}

const BYTES_PER_MS_OF_MBPS = 125 // 1e6 bits a second = 125 bytes a millisecond

export function createDelay(options: DelayOptions): Delay {
  const { rttMs, jitterMs, bandwidthMbps, seed } = options
  assert(rttMs >= 0 && jitterMs >= 0 && bandwidthMbps >= 0, 'a delay has no negative part')
  assert(Number.isFinite(rttMs + jitterMs + bandwidthMbps), 'a delay is finite')
  return {
    oneWayMs: rttMs / 2,
    jitterMs,
    bytesPerMs: bandwidthMbps * BYTES_PER_MS_OF_MBPS,
    isNone: rttMs === 0 && jitterMs === 0 && bandwidthMbps === 0,
    random: seed | 0,
    wireFreeMs: -Infinity,
    lastDueMs: -Infinity,
  }
}

/** Due time of the next message, on the clock of `stampMs`. Moves the state: ask once a message. */
export function dueAt(delay: Delay, stampMs: number, sizeBytes: number): number {
  let leftMs = stampMs
  if (delay.bytesPerMs > 0) {
    leftMs = Math.max(stampMs, delay.wireFreeMs) + sizeBytes / delay.bytesPerMs
    delay.wireFreeMs = leftMs
  }
  const swing = delay.jitterMs === 0 ? 0 : delay.jitterMs * (2 * nextRandom(delay) - 1)
  const due = Math.max(delay.lastDueMs, leftMs + Math.max(0, delay.oneWayMs + swing))
  delay.lastDueMs = due
  return due
}

/** mulberry32: small, seeded, good enough for jitter and back-off. In [0, 1). */
export function nextRandom(state: { random: number }): number {
  state.random = (state.random + 0x6d2b79f5) | 0
  let t = Math.imul(state.random ^ (state.random >>> 15), state.random | 1)
  t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}
