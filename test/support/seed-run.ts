/**
 * One seed = one drawn cluster, one drawn mix of faults, then a healed part that must make
 * progress. The oracle judges safety all along; the end judges liveness: a leader within four
 * election timeouts, everything submitted afterwards chosen and applied everywhere, equal logs,
 * ballots still.
 */
import type { Member, MemberRole } from '../../src/core/engine.ts'
import { nodeId } from '../../src/core/ids.ts'
import { votersOf } from '../../src/core/membership.ts'
import {
  type Cluster,
  type ClusterOptions,
  type Node,
  DEFAULTS,
  after,
  ask,
  block,
  connect,
  crash,
  createCluster,
  cut,
  disconnect,
  give,
  leaderOf,
  mend,
  mendAll,
  pause,
  restart,
  runFor,
  runUntil,
  runUntilDone,
  setClockRate,
  submit,
  submitGroup,
} from './cluster.ts'
import { type Random, below, between, chance, createRandom, pick, split } from './random.ts'
import { check } from './disk-model.ts'

export interface SeedResult {
  readonly cluster: Cluster
  readonly error: Error | null
}

const VOTER_COUNTS = [1, 2, 3, 3, 3, 4, 5, 5, 7]
const LEADER_TIMEOUTS = 4
/** Long enough for a hand-over by weight. */
const SETTLE_TIMEOUTS = 30
const STALL_SLACK_MS = 20
const BACKLOG_MAX = 500
const FRAMES_MAX = 400
const FAULTS = [
  'crash',
  'power',
  'cut',
  'one-way',
  'reset',
  'isolate',
  'pause',
  'stall',
  'pressure',
  'partial',
] as const
type Fault = (typeof FAULTS)[number]

export function drawMembers(random: Random): Member[] {
  const voterCount = pick(random, VOTER_COUNTS)
  const loggerCount = Math.min(below(random, 3), Math.max(0, voterCount - 1))
  const learnerCount = chance(random, 500) ? 0 : between(random, 1, 2)
  const roles: MemberRole[] = []
  for (let i = 0; i < voterCount; i++) roles.push(i < voterCount - loggerCount ? 'voter' : 'logger')
  for (let i = 0; i < learnerCount; i++) roles.push('learner')
  for (let i = roles.length - 1; i > 0; i--) {
    const other = below(random, i + 1)
    const role = roles[i]!
    roles[i] = roles[other]!
    roles[other] = role
  }
  return roles.map((role, i) => ({ id: nodeId(i + 1), role, weight: between(random, 1, 9) }))
}

export interface SeedOptions {
  /** Clients read at every node, all along; drawn apart, so that the rest of the run is as ever. */
  readonly reads?: boolean
  /** Clients submit groups of frames as well; drawn apart, too. */
  readonly groups?: boolean
  /** And by lease, while every clock runs wrong by as much as it may. */
  readonly leases?: boolean
  /** Logs are trimmed, by bounds small enough to matter. */
  readonly trims?: boolean
}

const LEASE_DRIFT_PER_MILLE = 100

export function runSeed(
  seed: number,
  trace: string[] | null = null,
  { reads = false, leases = false, groups = false, trims = false }: SeedOptions = {},
): SeedResult {
  const random = createRandom(seed)
  const heartbeatMs = pick(random, [20, 30, 40])
  const calm = chance(random, 300)
  const catchUpRatio = 1 + 3 * (seed % 2)
  const cluster = createCluster(
    {
      ...DEFAULTS,
      members: drawMembers(random),
      seed,
      heartbeatMs,
      electionTimeoutMs: 5 * heartbeatMs,
      leaseMs: leases ? 4 * heartbeatMs : 0,
      ...(trims && drawRetention(createRandom(seed + 2_000_000))),
      driftPerMille: LEASE_DRIFT_PER_MILLE,
      windowBytes: pick(random, [2_048, 4_096, 65_536]),
      ...batchesOf(pick(random, [1_024, 4_096, 16_384]), catchUpRatio),
      batchEntriesMax: pick(random, [10, 100, 1_000]),
      pipelineDepth: pick(random, [1, 2, 8, 64]),
      linkDelay: pick(random, [
        [0, 1],
        [1, 3],
        [1, 8],
      ] as const),
      syncDelay: pick(random, [
        [1, 1],
        [1, 4],
        [2, 8],
      ] as const),
      readDelay: pick(random, [
        [1, 2],
        [1, 10],
      ] as const),
      applyDelay: pick(random, [
        [0, 1],
        [1, 10],
      ] as const),
    },
    trace,
  )
  try {
    if (chance(random, 250)) {
      cluster.loss = between(random, 1, 60)
      cluster.duplicates = between(random, 0, 60)
      cluster.reorder = chance(random, 500)
    }
    cluster.gaps = pick(random, [0, 50, 500])
    startClients(cluster, split(random), between(random, 2, 30))
    if (groups) startGroups(cluster, createRandom(seed + 2_000_000))
    const readers = createRandom(seed + 1_000_000)
    if (leases)
      for (const node of cluster.nodes) setClockRate(cluster, node, pick(readers, [0.9, 1, 1.1]))
    if (reads || leases) startReaders(cluster, readers, leases ? 600 : 0)
    const until = cluster.now + between(random, 300, calm ? 800 : 2_000)
    if (!calm) startFaults(cluster, split(random), until)
    runFor(cluster, until - cluster.now)
    heal(cluster)
    live(cluster)
    return { cluster, error: null }
  } catch (error) {
    return { cluster, error: error as Error }
  }
}

/** Nodes with state keep all: who lost his memory could build no state again. */
function drawRetention(random: Random): Pick<ClusterOptions, 'retention' | 'stretchSizeBytes'> {
  const stretchSizeBytes = pick(random, [1, 512, 2_048])
  // Whole stretches go: a bound below a few of them would be reached for ever.
  const loggerBytesMax = Math.max(pick(random, [1_024, 8_192, 65_536]), 4 * stretchSizeBytes)
  const laggardBytesMax = pick(random, [0, 2_048, 65_536])
  const isStrict = chance(random, 200)
  const retention = { retainBytes: 0, laggardBytesMax, loggerBytesMax, isStrict }
  return { retention, stretchSizeBytes }
}

const batchesOf = (batchBytesMax: number, ratio: number) => ({
  batchBytesMax,
  catchUpBytesMax: ratio * batchBytesMax,
})

export function startClients(cluster: Cluster, random: Random, everyMs: number): void {
  const again = (): void => {
    if (!cluster.clients) return
    for (const node of cluster.nodes) {
      if (node.leading === null) continue
      if (node.leading.next - node.core.view.chosen > BACKLOG_MAX) continue
      if (cluster.nextSerial > FRAMES_MAX) continue
      const frameCount = between(random, 1, 4)
      const counts = Array.from({ length: frameCount }, () => between(random, 1, 50))
      submit(cluster, node, counts)
    }
    after(cluster, between(random, 1, everyMs), again)
  }
  again()
}

const GROUP_SERIALS_MAX = 2 * FRAMES_MAX

function startGroups(cluster: Cluster, random: Random): void {
  const again = (): void => {
    if (!cluster.clients) return
    const isLate = cluster.nextSerial > GROUP_SERIALS_MAX
    for (const node of cluster.nodes) {
      const { leading } = node
      if (leading === null) continue
      const { openGroup, next } = leading
      const isFull = isLate || next - node.core.view.chosen > BACKLOG_MAX
      if (openGroup === null && isFull) continue
      const counts = Array.from({ length: between(random, 1, 4) }, () => between(random, 1, 20))
      const isOpen = !isLate && chance(random, 500)
      const part = openGroup === null ? { isOpen } : { group: openGroup, isOpen }
      submitGroup(cluster, node, counts, part)
    }
    after(cluster, between(random, 1, 20), again)
  }
  again()
}

const READS_MAX = 2_000

function startReaders(cluster: Cluster, random: Random, leasePerMille: number): void {
  const again = (): void => {
    if (!cluster.clients || cluster.reads.size > READS_MAX) return
    const node = pick(random, cluster.nodes)
    const isStale = chance(random, 100)
    if (node.alive && isStale) ask(cluster, node, 'stale', below(random, 400))
    else if (node.alive) {
      const mode = chance(random, leasePerMille) ? 'lease' : 'linearizable'
      for (let i = between(random, 1, 3); i > 0; i--) ask(cluster, node, mode)
    }
    after(cluster, between(random, 1, 20), again)
  }
  again()
}

export function startFaults(cluster: Cluster, random: Random, until: number): void {
  const enabled = FAULTS.filter(() => chance(random, 400))
  const everyMs = pick(random, [30, 100, 300])
  if (enabled.length === 0) return
  const again = (): void => {
    if (cluster.now >= until) return
    inject(cluster, random, pick(random, enabled), until)
    after(cluster, between(random, 1, everyMs), again)
  }
  again()
}

function inject(cluster: Cluster, random: Random, fault: Fault, until: number): void {
  const { nodes } = cluster
  const timeoutMs = cluster.options.electionTimeoutMs
  const node = pick(random, nodes)
  const other = pick(random, nodes)
  const laterMs = between(random, 1, 4 * timeoutMs)
  const later = (call: () => void): void =>
    after(cluster, laterMs, () => {
      if (cluster.now < until) call()
    })
  switch (fault) {
    case 'crash':
      crash(cluster, node)
      return later(() => restart(cluster, node))
    case 'power':
      for (const each of nodes) crash(cluster, each)
      for (const each of nodes) {
        after(cluster, between(random, 1, timeoutMs), () => restart(cluster, each))
      }
      return
    case 'cut':
      if (node === other) return
      cut(cluster, node, other)
      return later(() => mend(cluster, node, other))
    case 'one-way':
      if (node === other) return
      block(cluster, node, other)
      return later(() => mend(cluster, node, other))
    case 'reset':
      if (node === other) return
      disconnect(cluster, node, other)
      return after(cluster, below(random, 20), () => connect(cluster, node, other))
    case 'isolate':
      for (const each of nodes) if (each !== node) cut(cluster, node, each)
      return later(() => {
        for (const each of nodes) if (each !== node) mend(cluster, node, each)
      })
    case 'pause':
      return pause(cluster, node, between(random, 1, 3 * timeoutMs))
    case 'stall':
      node.disk.stalledUntil = cluster.now + laterMs
      return
    case 'pressure':
      return give(cluster, node, { kind: 'pressure', ring: below(random, node.rings.length) })
    case 'partial':
      // One node in the middle: the others see it, not each other.
      for (const a of nodes) {
        for (const b of nodes) if (a.id < b.id && a !== node && b !== node) cut(cluster, a, b)
      }
      return later(() => mendAll(cluster))
  }
}

export function heal(cluster: Cluster): void {
  cluster.loss = cluster.duplicates = 0
  cluster.reorder = false
  // A paused node works off its input in order and a stalled sync returns: neither is cut short.
  const busyUntil = cluster.nodes.map(({ pausedUntil, disk }) =>
    Math.max(pausedUntil, disk.stalledUntil + STALL_SLACK_MS),
  )
  runUntil(cluster, Math.max(cluster.now, ...busyUntil))
  for (const node of cluster.nodes) {
    if (!node.alive) restart(cluster, node)
  }
  mendAll(cluster)
}

/** A leader that a quorum follows, seen from outside. */
export function ruler(cluster: Cluster): Node | undefined {
  const leader = leaderOf(cluster)
  if (leader === undefined) return undefined
  const { ballot } = leader.leading!
  const { membership } = leader.core.view
  let count = 0
  for (const { id } of votersOf(membership)) {
    const { alive, core } = cluster.byId.get(id)!
    const { promised, acceptedBallot } = core.view
    if (alive && promised === ballot && acceptedBallot === ballot) count += 1
  }
  return count >= membership.acceptQuorum ? leader : undefined
}

/** Ms until a leader rules; the bound starts again while a candidate still fetches its log. */
export function awaitRuler(cluster: Cluster): number {
  const { coverage } = cluster.oracle
  // A lease that is out is waited for first, and once more for the one of a leader that failed.
  const { electionTimeoutMs, leaseMs } = cluster.options
  const boundMs = LEADER_TIMEOUTS * electionTimeoutMs + 3 * leaseMs
  const start = cluster.now
  for (let fetched = -1; fetched !== (coverage.get('fetched') ?? 0);) {
    fetched = coverage.get('fetched') ?? 0
    if (runUntilDone(cluster, boundMs, () => ruler(cluster) !== undefined) >= 0) {
      return cluster.now - start
    }
  }
  return -1
}

export function live(cluster: Cluster): void {
  const timeoutMs = cluster.options.electionTimeoutMs
  check(awaitRuler(cluster) >= 0, 'L1: a leader within four election timeouts')
  runFor(cluster, SETTLE_TIMEOUTS * timeoutMs)
  cluster.clients = false // so that the smallest windows catch up
  const ballots = cluster.nodes.map((node) => node.core.view.promised)
  const goal = cluster.oracle.chosenThrough
  const { weight } = leaderOf(cluster)!.member
  // At once, unless leadership is being handed over at this moment.
  const tookMs = runUntilDone(cluster, LEADER_TIMEOUTS * timeoutMs, () => submitOne(cluster))
  check(tookMs >= 0, 'L1: the leader stays')
  const caughtUp = (): boolean =>
    cluster.oracle.chosenThrough > goal &&
    cluster.nodes.every((node) => {
      const applied = node.member.role === 'logger' || node.applyNext > goal
      return node.core.view.chosen > goal && applied
    })
  check(awaitProgress(cluster, caughtUp), 'L5: all nodes converge')
  const now = cluster.nodes.map((node) => node.core.view.promised)
  const isStill = String(now) === String(ballots) || leaderOf(cluster)!.member.weight > weight
  check(isStill, `L2: ballots stop growing: ${ballots.join()} ${now.join()}`)
}

/** True when `done` comes true; the bound starts again while any log grows (small windows). */
export function awaitProgress(cluster: Cluster, done: () => boolean): boolean {
  const boundMs = 10 * cluster.options.electionTimeoutMs
  for (let before = -1; before !== growthOf(cluster);) {
    before = growthOf(cluster)
    if (runUntilDone(cluster, boundMs, done) >= 0) return true
  }
  return false
}

const growthOf = ({ nodes }: Cluster): number =>
  nodes.reduce((sum, node) => sum + node.core.view.chosen + node.applyNext, 0)

export function submitOne(cluster: Cluster): boolean {
  const leader = ruler(cluster)
  if (leader === undefined) return false
  const group = leader.leading!.openGroup
  if (group !== null) submitGroup(cluster, leader, [1], { group }) // what was begun is ended
  return submit(cluster, leader, [1, 2, 3])
}
