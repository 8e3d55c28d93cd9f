/**
 * Draws the faults of a plan: which kinds are on, how often they strike, whom, and for how long.
 * Pure. What operators do is drawn in member-plan.ts.
 */
import { type Knobs, LEADER, type Op } from './plan.ts'
import { type Random, below, between, chance, pick } from './random.ts'

export const FAULTS = [
  'crash',
  'kill',
  'power',
  'fail-sync',
  'stall',
  'cut',
  'one-way',
  'isolate',
  'reset',
  'clog',
  'hub',
  'chain',
  'pause',
  'clock',
  'pressure',
] as const
export type Fault = (typeof FAULTS)[number]

const FAULTS_MAX = 60

/** Swarm: each allowed kind is on by chance; now and then none, now and then one alone. */
function enabledOf(random: Random, allowed: readonly Fault[]): Fault[] {
  if (allowed.length === 0 || chance(random, 80)) return []
  if (chance(random, 150)) return [pick(random, allowed)]
  const enabled = allowed.filter(() => chance(random, 500))
  return enabled.length > 0 ? enabled : [pick(random, allowed)]
}

export function drawFaults(
  random: Random,
  allowed: readonly Fault[],
  nodeCount: number,
  knobs: Knobs,
  untilUs: number,
): Op[] {
  const enabled = enabledOf(random, allowed)
  const ops: Op[] = []
  if (enabled.length === 0) return ops
  const timeoutUs = 1_000 * knobs.electionTimeoutMs
  const everyUs = Math.floor(timeoutUs * pick(random, [0.2, 0.6, 2, 2]))
  const startUs = timeoutUs
  for (let atUs = startUs; atUs < untilUs && ops.length < FAULTS_MAX;) {
    const fault = pick(random, enabled)
    draw(random, ops, fault, atUs, nodeCount, timeoutUs)
    atUs += between(random, 1, 2 * everyUs)
  }
  return ops
}

function draw(
  random: Random,
  ops: Op[],
  fault: Fault,
  atUs: number,
  nodeCount: number,
  timeoutUs: number,
): void {
  const node = chance(random, 400) ? LEADER : below(random, nodeCount)
  const fixed = below(random, nodeCount)
  const other = (fixed + between(random, 1, Math.max(1, nodeCount - 1))) % nodeCount
  const forUs = Math.floor((timeoutUs * between(random, 1, 40)) / 10)
  const endUs = atUs + forUs
  switch (fault) {
    case 'crash':
    case 'kill':
      // Whoever led is not known by then: restarts of all others are no operations.
      ops.push({ kind: fault, atUs, node })
      return restartAll(random, ops, node, endUs, nodeCount)
    case 'power':
      ops.push({ kind: 'power', atUs })
      return restartAll(random, ops, LEADER, atUs + below(random, timeoutUs), nodeCount)
    case 'fail-sync':
      return void ops.push({ kind: fault, atUs, node })
    case 'stall':
      return void ops.push({ kind: fault, atUs, node, forUs })
    case 'cut':
    case 'one-way':
      ops.push({ kind: fault, atUs, node: fixed, other })
      return void ops.push({ kind: 'mend', atUs: endUs, node: fixed, other })
    case 'reset':
      return void ops.push({ kind: fault, atUs, node: fixed, other })
    case 'clog':
      return void ops.push({ kind: fault, atUs, node: fixed, other, forUs: forUs >> 1 })
    case 'isolate':
    case 'hub':
      ops.push({ kind: fault, atUs, node })
      return void ops.push({ kind: 'mend-all', atUs: endUs })
    case 'chain':
      ops.push({ kind: fault, atUs })
      return void ops.push({ kind: 'mend-all', atUs: endUs })
    case 'pause':
      return void ops.push({ kind: fault, atUs, node, forUs })
    case 'clock': {
      const driftPpm = between(random, -100_000, 100_000)
      const stepUs = chance(random, 500) ? 0 : below(random, 10 * timeoutUs)
      return void ops.push({ kind: fault, atUs, node, driftPpm, stepUs })
    }
    case 'pressure':
      return void ops.push({ kind: fault, atUs, node, ring: below(random, nodeCount + 2) })
  }
}

function restartAll(
  random: Random,
  ops: Op[],
  node: number,
  atUs: number,
  nodeCount: number,
): void {
  if (node !== LEADER) return void ops.push({ kind: 'restart', atUs, node })
  for (let i = 0; i < nodeCount; i++) {
    ops.push({ kind: 'restart', atUs: atUs + below(random, 20_000), node: i })
  }
}

/** The three graphs of partial connectivity (OmniPaxos), cut when a leader is in place. */
export function partialOps(
  graph: 'quorum-loss' | 'constrained' | 'chained',
  nodeCount: number,
  untilUs: number,
): Op[] {
  const last = untilUs - 1
  switch (graph) {
    case 'quorum-loss': {
      // Only node 1 sees a quorum; in a group of three the old leader is left alone.
      const ops: Op[] = [{ kind: 'hub', atUs: last, node: 1 }]
      if (nodeCount === 3) ops.unshift({ kind: 'cut', atUs: last, node: 0, other: 1 })
      return ops
    }
    case 'constrained': {
      // The hub, alone in reach of a quorum, lags: it lost the leader before everybody else.
      const early = Math.floor(untilUs * 0.9)
      return [
        { kind: 'cut', atUs: early, node: 0, other: 1 },
        { kind: 'isolate', atUs: last, node: 0 },
        { kind: 'hub', atUs: last, node: 1 },
      ]
    }
    case 'chained':
      return [{ kind: 'chain', atUs: last }]
  }
}
