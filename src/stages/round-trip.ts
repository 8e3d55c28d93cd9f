/**
 * Measures the round trip to the peers from the heartbeats that go to and fro anyway: from ordering
 * one to taking its reply, so links, their emulation and the peer's decision loop
 * are in it, its disk is not. Belongs to the decide stage; one number a peer and round in flight.
 */
import type { NodeId } from '../core/ids.ts'

export interface RoundTrip {
  /** @param probe above 0: a question of that number leaves for the peer; else nothing */
  sent(peer: NodeId, probe: number, nowMs: number): void
  /** @param probe below 0: the answer to the question of that number */
  taken(peer: NodeId, probe: number, nowMs: number): void
  /** Smoothed over rounds and peers, in microseconds; 0 before the first answer. */
  readonly meanUs: number
}

/** As TCP smooths its round trip (RFC 6298): an eighth of the new, seven of the old. */
const SMOOTHING = 8

export function createRoundTrip(): RoundTrip {
  const asked = new Map<NodeId, { probe: number; at: number }>()
  let meanUs = 0
  return {
    sent(peer, probe, nowMs) {
      if (probe <= 0) return
      const last = asked.get(peer)
      if (last === undefined) asked.set(peer, { probe, at: nowMs })
      else Object.assign(last, { probe, at: nowMs })
    },
    taken(peer, probe, nowMs) {
      const last = asked.get(peer)
      if (probe >= 0 || last === undefined || last.probe !== -probe) return
      const tookUs = 1_000 * (nowMs - last.at)
      meanUs = meanUs === 0 ? tookUs : meanUs + (tookUs - meanUs) / SMOOTHING
    },
    get meanUs() {
      return meanUs
    },
  }
}
