/**
 * Whether this process lives, is ready, and can serve: for orchestrators and load balancers, which
 * learn nothing else. Caller's thread.
 */
import type { Hosted } from './hosted.ts'

/** Chosen and not yet applied here: beyond, a node is behind. */
export const LAG_ENTRIES_MAX = 100_000
const HEALTH_TIMEOUT_MS = 1_000
const HEALTH_AGE_MS = 500

export interface Health {
  /** Null: every node here follows a leader and keeps up. */
  unreadyReason(): string | null
  /** A round of the quorum, at most one in half a second. */
  isHealthy(): Promise<boolean>
  /** From now on not ready. */
  leave(): void
}

export function createHealth(hosted: Hosted, nowMs: () => number): Health {
  let isLeaving = false
  let last: { readonly at: number; readonly answer: Promise<boolean> } | null = null
  return {
    unreadyReason() {
      if (isLeaving) return 'the node is stopping'
      for (const { node } of hosted.nodes) {
        const { leader, chosen, applied, role } = node.status()
        if (leader === 0) return 'no leader is known'
        if (role !== 'logger' && chosen - applied > LAG_ENTRIES_MAX) return 'the node lags behind'
      }
      return null
    },
    isHealthy() {
      if (isLeaving) return Promise.resolve(false)
      if (last !== null && nowMs() - last.at < HEALTH_AGE_MS) return last.answer
      const { node } = hosted.serving()
      const answer = node.sync({ timeoutMs: HEALTH_TIMEOUT_MS }).then(
        () => true,
        () => false,
      )
      last = { at: nowMs(), answer }
      return answer
    },
    leave() {
      isLeaving = true
    },
  }
}
