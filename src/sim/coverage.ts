/**
 * Coverage counters: things that must happen sometimes, or the campaign has tested nothing. Each is
 * counted by the simulator from outside the nodes. A campaign over all classes fails when one that
 * is not pending stays 0. Pending ones wait for the feature that they count.
 */
export const COUNTERS = [
  'election-won',
  'election-won-by-lower-weight',
  'election-tied',
  'ballot-raise-withheld',
  'leader-down-by-lost-quorum',
  'leader-down-by-disk',
  'leader-down-by-higher-ballot',
  'old-ballot-ignored',
  'slot-reproposed',
  'suffix-from-logger',
  'log-adopted-from-another',
  'suffix-truncated',
  'conflicting-suffix-truncated',
  'chosen-without-leaders-disk',
  'window-full',
  'out-of-order-ack',
  'batch-of-100',
  'group-commit-of-10',
  'torn-tail-found',
  'sync-failure-handled',
  'unknown-outcome',
  'request-refused',
  'request-refused-by-limit',
  'frame-checksum-failure',
  'partial-quorum-loss-solved',
  'partial-constrained-solved',
  'partial-chained-solved',
  'learner-caught-up',
  'read-from-disk',
  'restart-with-log',
  'pause-outlived-election',
  'group-chosen',
  'group-aborted',
  'lower-weight-handed-over',
  'force-sync-delayed',
  'force-sync-degraded-and-rearmed',
  'learner-promoted',
  'logger-converted',
  'voter-demoted',
  'member-removed',
  'leader-removed',
  'removed-node-campaigned',
  'change-done',
  'change-refused',
  'change-interrupted',
  'source-replaced',
  'transfer-done',
  'transfer-timed-out',
  'transfer-refused',
  'basic-reject',
  'basic-value-chosen',
  'lease-read',
  'lease-read-expired',
  'lease-read-after-pause',
  'clock-jump-noticed',
  'read-index-batch',
  'follower-read-waited',
  'stale-read-refused',
  'duplicate-answered',
  'session-expired',
  'session-fenced',
  'answer-expired',
  'ring-pressure',
  'log-trimmed',
  'tolerance-reduced',
  'snapshot-taken',
  'restart-from-snapshot',
] as const

export type Counter = (typeof COUNTERS)[number]

export const PENDING_COUNTERS: Readonly<Record<string, string>> = {
  'stickiness-refusal': 'the core withholds (ballot-raise-withheld) and refuses no votes',
  'empty-batch-of-new-leader': 'the core needs none (R9): the sync re-accepts old entries',
  'synced-record-corrupt': 'storage issue',
  'repaired-from-peer': 'storage issue',
  'meta-copy-a-bad': 'storage issue',
  'meta-copy-b-bad': 'storage issue',
  'helical-repaired': 'storage issue',
  'disk-full-entered-and-left': 'storage issue',
  'snapshot-sent': 'storage issue',
  'snapshot-resumed': 'storage issue',
  'snapshot-superseded': 'storage issue',
  'snapshot-refused-as-old': 'storage issue',
  'trim-during-catch-up': 'storage issue',
  'feed-compacted': 'storage issue',
  'rollback-fenced': 'storage issue',
  'clone-fenced': 'storage issue',
  'version-refused': 'storage issue: class upgrade',
}

const PLACES = new Map<string, number>(COUNTERS.map((name, place) => [name, place]))

/** One number a counter, in the order of COUNTERS. */
export type Coverage = number[]

export const createCoverage = (): Coverage => COUNTERS.map(() => 0)

export function cover(coverage: Coverage, name: Counter): void {
  const place = PLACES.get(name)!
  coverage[place] = coverage[place]! + 1
}

export function addCoverage(into: Coverage, from: Readonly<Coverage>): void {
  for (let i = 0; i < from.length; i++) into[i] = into[i]! + from[i]!
}

export function coverageRecord(coverage: Readonly<Coverage>): Record<string, number> {
  return Object.fromEntries(COUNTERS.map((name, place) => [name, coverage[place]!]))
}
