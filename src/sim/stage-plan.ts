/**
 * Makes a plan for bare cores one for the stages of production: the same members, faults and links,
 * with callers in place of plain requests, and leases, suspended machines and wall clocks that jump
 * for a part of the seeds. Pure.
 */
import type { CallOp, CallerPlan, Knobs, Op, Plan, StagePlan } from './plan.ts'
import { nodesOf } from './plan.ts'
import { LEADER } from './plan.ts'
import { type Random, below, between, chance, pick, split } from './random.ts'

const WALL_OFFSET_MAX_MS = 1_000_000_000
/** So wrong may a clock run where there are leases: what drifts more than that breaks a promise. */
const DRIFT_STEADY_PER_MILLE = 10
const DRIFT_WILD_PER_MILLE = 100
const JUMPS_MAX = 8

export function stagePlanOf(plan: Plan, random: Random): Plan {
  const { knobs, className } = plan
  const isBent = plan.clocks.some(({ driftPpm }) => driftPpm !== 0)
  const isWild = isBent || plan.ops.some(({ kind }) => kind === 'clock') || chance(random, 400)
  const driftPerMille = isWild ? DRIFT_WILD_PER_MILLE : DRIFT_STEADY_PER_MILLE
  // A graph that stays cut must be writable again in time, whoever still holds a lease.
  const hasLeases = plan.graph === null && chance(random, 600)
  const lengthMs = Math.floor(knobs.electionTimeoutMs * pick(random, LEASES))
  const leaseMs = hasLeases ? Math.max(3 * knobs.heartbeatMs, lengthMs) : 0
  const stages: StagePlan = {
    leaseMs,
    driftPerMille,
    sessions: drawLimits(random),
    retention: drawRetention(random),
    snapshotEveryBytes: 0,
    uncommittedBytesMax: className === 'overload' ? 8_192 : pick(random, [16_384, 65_536]),
    lingerMs: pick(random, [0, 0, 2]),
    callers: drawCallers(random, className),
    wallMs: nodesOf(plan).map(() => below(random, WALL_OFFSET_MAX_MS)),
  }
  const calls = plan.ops.filter(({ kind }) => kind === 'submit').length
  const faults = plan.ops.filter(({ kind }) => kind !== 'submit' && kind !== 'pressure')
  const ops: Op[] = hasLeases ? faults.map(withinDrift) : faults
  const clocks = hasLeases && !isBent ? bentClocks(random, plan.clocks, driftPerMille) : plan.clocks
  ops.push(...drawCalls(split(random), plan, stages, calls))
  if (hasLeases && JUMPS.includes(className)) ops.push(...drawJumps(split(random), plan))
  if (hasLeases && JUMPS.includes(className) && chance(random, 300)) {
    const atUs = between(random, 2, 5) * 1_000 * knobs.electionTimeoutMs
    const forUs = 3_000 * knobs.electionTimeoutMs
    ops.push({ kind: 'outlive', atUs, node: LEADER, forUs })
  }
  if (hasLeases) ops.push(...readsBeforeSleep(split(random), stages, ops))
  ops.push(...readsAfterSleep(split(random), stages, ops, 2 * knobs.heartbeatMs))
  ops.sort((a, b) => a.atUs - b.atUs)
  // A lease that outlasts an election timeout holds up the next leader for longer than L1 allows.
  const ending = leaseMs > knobs.electionTimeoutMs ? 'safety' : plan.ending
  const made = withSnapshots(stages, plan.joiners.length === 0, split(random))
  return { ...plan, knobs: smaller(knobs), realWal: true, stages: made, clocks, ops, ending }
}

/**
 * Nodes with state let go of log only where nobody may need it: who is to join, or lags, cannot be
 * given a snapshot yet.
 */
function withSnapshots(stages: StagePlan, mayTrim: boolean, random: Random): StagePlan {
  if (!chance(random, 500)) return stages
  const snapshotEveryBytes = pick(random, [128, 512, 2_048])
  const retainBytes = mayTrim ? pick(random, [0, 512, 4_096]) : 0
  if (retainBytes === 0) return { ...stages, snapshotEveryBytes }
  const retention = { ...stages.retention, retainBytes, laggardBytesMax: 2 ** 40 }
  return { ...stages, snapshotEveryBytes, retention }
}

/** In election timeouts. */
const LEASES = [0.4, 0.9, 1.5, 2]
const JUMPS: readonly string[] = ['pause', 'clock', 'mixed', 'clients']

/** So that a message, and what is read from the disk at once, fits into rings of 256 cells. */
const smaller = (knobs: Knobs): Knobs => ({
  ...knobs,
  batchBytesMax: Math.min(knobs.batchBytesMax, 16_384),
})

/** Without snapshots nodes with state keep all: Loggers alone let go of log. */
const drawRetention = (random: Random): StagePlan['retention'] => ({
  retainBytes: 0,
  laggardBytesMax: pick(random, [0, 2 ** 13, 2 ** 15]),
  loggerBytesMax: pick(random, [2 ** 13, 2 ** 15, 2 ** 20]),
  isStrict: false,
})

const drawLimits = (random: Random): StagePlan['sessions'] => ({
  sessionsMax: pick(random, [3, 16, 64]),
  answersMax: pick(random, [1, 1, 4, 64]),
  answersSizeBytesMax: pick(random, [2, 64, 1_024]),
  gapsMax: pick(random, [1, 8]),
})

function drawCallers(random: Random, className: string): CallerPlan[] {
  const count = className === 'overload' ? 32 : pick(random, [4, 8, 12, 24])
  return Array.from({ length: count }, () => ({
    hasSession: chance(random, 650),
    window: className === 'overload' ? between(random, 4, 16) : pick(random, [1, 1, 2, 6]),
  }))
}

/** Clocks that run wrong, and as far apart as leases allow. */
const bentClocks = (random: Random, clocks: Plan['clocks'], drift: number): Plan['clocks'] =>
  clocks.map(({ offsetMs }) => ({ offsetMs, driftPpm: 1_000 * pick(random, [-drift, 0, drift]) }))

/** A monotonic clock that jumps breaks every lease; that one stands still, or drifts, may not. */
const withinDrift = (op: Op): Op => (op.kind === 'clock' ? { ...op, stepUs: 0 } : op)

function drawCalls(
  random: Random,
  plan: Plan,
  stages: StagePlan,
  count: number,
): Extract<Op, CallOp>[] {
  const { untilUs, className, members, knobs } = plan
  const calls: Extract<Op, CallOp>[] = []
  const keys = pick(random, [2, 8, 32])
  const burstMax = className === 'overload' ? 60 : pick(random, [2, 10, 30])
  const fromUs = Math.floor(untilUs / 25) // before that nobody can lead
  while (calls.length < count) {
    const atUs = fromUs + below(random, untilUs - fromUs)
    for (let left = between(random, 1, burstMax); left > 0 && calls.length < count; left--) {
      const isRead = chance(random, 450)
      calls.push({
        kind: 'call',
        atUs,
        caller: below(random, stages.callers.length),
        f: isRead ? pick(random, READS) : pick(random, WRITES),
        key: below(random, keys),
        node: chance(random, 400) ? LEADER : below(random, members.length),
        consistency: pick(random, stages.leaseMs > 0 ? WITH_LEASE : WITHOUT_LEASE),
        boundMs: pick(random, [0, knobs.heartbeatMs, 4 * knobs.heartbeatMs, 10_000]),
      })
    }
  }
  return calls
}

const READS = ['get', 'get', 'get', 'get', 'get', 'get', 'get', 'sync'] as const
const WRITES = [
  ...(['put', 'put', 'put', 'put', 'put', 'put', 'put', 'put', 'put', 'put', 'put'] as const),
  ...(['cas', 'cas', 'cas', 'cas', 'cas', 'delete', 'delete', 'delete', 'close'] as const),
]
const WITH_LEASE = ['linearizable', 'lease', 'lease', 'session', 'stale'] as const
const WITHOUT_LEASE = ['linearizable', 'linearizable', 'session', 'stale'] as const

/**
 * Machines that sleep, or wall clocks that are set; not both, since a clock that is set back by
 * what its machine has slept hides the sleep.
 */
function drawJumps(random: Random, { members, untilUs, knobs }: Plan): Op[] {
  const sleeps = chance(random, 600)
  const timeoutUs = 1_000 * knobs.electionTimeoutMs
  const ops: Op[] = []
  for (let left = between(random, 1, JUMPS_MAX); left > 0; left--) {
    const node = chance(random, 600) ? LEADER : below(random, members.length)
    const atUs = timeoutUs + below(random, Math.max(1, untilUs - timeoutUs))
    const size = Math.floor((timeoutUs * between(random, 1, 40)) / 10)
    if (sleeps) {
      // Alone, so that nothing which came in its sleep tells it how old what it knows is.
      if (chance(random, 300)) ops.push({ kind: 'isolate', atUs, node })
      const kind = node === LEADER && chance(random, 500) ? 'doze' : 'suspend'
      ops.push({ kind, atUs, node, forUs: size })
      ops.push({ kind: 'mend-all', atUs: atUs + 2 * size })
    } else ops.push({ kind: 'wall', atUs, node, stepUs: chance(random, 500) ? size : -size })
  }
  return ops
}

/** So that a leader that falls asleep has reads by lease in hand. */
function readsBeforeSleep(
  random: Random,
  { callers }: StagePlan,
  ops: readonly Op[],
): Extract<Op, CallOp>[] {
  const calls: Extract<Op, CallOp>[] = []
  for (const op of ops) {
    if (!SLEEPS.includes(op.kind) || !('node' in op) || op.node !== LEADER) continue
    for (let i = 0; i < READS_BEFORE_SLEEP; i++) {
      const awayUs = below(random, SLEEP_SOON_US)
      const atUs = Math.max(0, op.atUs + (op.kind === 'doze' ? awayUs : -awayUs))
      const caller = below(random, callers.length)
      const read = { f: 'get', key: 0, node: LEADER, consistency: 'lease', boundMs: 0 } as const
      calls.push({ kind: 'call', atUs, caller, ...read })
    }
  }
  return calls
}

/** So that a node is asked what it knows before it has heard of anybody again. */
function readsAfterSleep(
  random: Random,
  { callers }: StagePlan,
  ops: readonly Op[],
  boundMs: number,
): Extract<Op, CallOp>[] {
  const calls: Extract<Op, CallOp>[] = []
  for (const op of ops) {
    if (op.kind !== 'suspend' || op.node === LEADER) continue
    for (let i = 0; i < READS_AFTER_SLEEP; i++) {
      const atUs = op.atUs + op.forUs + below(random, SLEEP_SOON_US)
      const caller = below(random, callers.length)
      const read = { f: 'get', key: 0, node: op.node, consistency: 'stale' } as const
      calls.push({ kind: 'call', atUs, caller, boundMs, ...read })
    }
  }
  return calls
}

const SLEEPS: readonly Op['kind'][] = ['pause', 'suspend', 'doze']
const READS_BEFORE_SLEEP = 4
const READS_AFTER_SLEEP = 8
const SLEEP_SOON_US = 4_000
