/**
 * One seed = a cluster whose membership changes under faults: an operator asks whoever leads for
 * drawn changes and hand-overs, good and bad ones. The oracle judges safety; the healed end must
 * make progress and bring every member of the last membership to the same log.
 */
import type { Member, MemberRole } from '../../src/core/engine.ts'
import { nodeId } from '../../src/core/ids.ts'
import { type Change, type Membership, memberOf, votersOf } from '../../src/core/membership.ts'
import { type Cluster, DEFAULTS, after, createCluster, give, leaderOf, runFor } from './cluster.ts'
import { check } from './disk-model.ts'
import { cover } from './oracle.ts'
import { type Random, below, between, chance, createRandom, pick, split } from './random.ts'
import {
  type SeedResult,
  awaitProgress,
  awaitRuler,
  heal,
  ruler,
  startClients,
  startFaults,
  submitOne,
} from './seed-run.ts'

const NODES_MAX = 7
const ROLES: readonly MemberRole[] = ['voter', 'voter', 'logger', 'learner']

export function runMembers(seed: number, trace: string[] | null = null): SeedResult {
  const random = createRandom(seed)
  const heartbeatMs = pick(random, [20, 30])
  const initial = between(random, 1, 4)
  const member = (place: number, role: MemberRole): Member => ({
    id: nodeId(place + 1),
    role,
    weight: between(random, 1, 9),
    ...(role === 'voter' && chance(random, 300) && { forced: 'armed' as const }),
  })
  const members = Array.from({ length: initial }, (_, place) =>
    member(place, place > 1 && chance(random, 300) ? 'logger' : 'voter'),
  )
  const joiners = Array.from({ length: NODES_MAX - initial }, (_, place) => ({
    ...member(initial + place, 'learner'),
  }))
  const cluster = createCluster(
    {
      ...DEFAULTS,
      members,
      joiners,
      seed,
      heartbeatMs,
      electionTimeoutMs: 5 * heartbeatMs,
      windowBytes: pick(random, [2_048, 65_536]),
      pipelineDepth: pick(random, [1, 2, 8]),
      batchBytesMax: pick(random, [1_024, 4_096]),
    },
    trace,
  )
  try {
    startClients(cluster, split(random), between(random, 5, 40))
    const until = cluster.now + between(random, 1_000, 4_000)
    startOperator(cluster, split(random), until)
    if (chance(random, 700)) startFaults(cluster, split(random), until)
    runFor(cluster, until - cluster.now)
    heal(cluster)
    live(cluster)
    return { cluster, error: null }
  } catch (error) {
    return { cluster, error: error as Error }
  }
}

function startOperator(cluster: Cluster, random: Random, until: number): void {
  let nextId = 1
  const again = (): void => {
    if (cluster.now >= until) return
    const leader = leaderOf(cluster)
    if (leader !== undefined) {
      const id = nextId++
      if (chance(random, 200)) {
        const target = nodeId(between(random, 1, NODES_MAX))
        give(cluster, leader, { kind: 'transfer', id, target })
      } else {
        const change = drawChange(random, leader.core.view.membership)
        give(cluster, leader, { kind: 'change', id, change })
      }
      cover(cluster.oracle, `answer-${leader.answers.get(id) ?? 'open'}`)
    }
    after(cluster, between(random, 10, 200), again)
  }
  after(cluster, between(random, 50, 400), again)
}

function drawChange(random: Random, membership: Membership): Change {
  const { id } = pick(random, membership.members)
  const nextId = nodeId(Math.min(NODES_MAX, membership.highestId + 1))
  const source = pick(random, membership.members).id
  switch (below(random, 6)) {
    case 0: {
      const promote = pick(random, ['voter', 'logger', undefined] as const)
      return {
        kind: 'add',
        id: nextId,
        ...(promote && { promote }),
        ...(chance(random, 300) && { source }),
      }
    }
    case 1:
      return { kind: 'remove', id }
    case 2:
    case 3:
      return { kind: 'role', id, role: pick(random, ROLES) }
    case 4: {
      const forced = pick(random, ['armed', 'none', undefined] as const)
      const more = { ...(forced && { forced }), ...(chance(random, 300) && { source }) }
      return { kind: 'set', id, weight: below(random, 10), ...more }
    }
    default: {
      const voters = votersOf(membership).length
      return {
        kind: 'quorums',
        prepare: between(random, 1, voters),
        accept: between(random, 1, voters),
      }
    }
  }
}

/** Healed: a leader, and everything it has reaches all members of its membership. */
function live(cluster: Cluster): void {
  const timeoutMs = cluster.options.electionTimeoutMs
  check(awaitRuler(cluster) >= 0, 'L1: a leader within four election timeouts')
  runFor(cluster, 30 * timeoutMs)
  cluster.clients = false
  const isUp = (): boolean => ruler(cluster) !== undefined
  check(awaitProgress(cluster, isUp), 'L1: a leader is there')
  check(
    awaitProgress(cluster, () => submitOne(cluster)),
    'L3: it takes a proposal',
  )
  const goal = cluster.oracle.chosenThrough
  const converged = (): boolean => {
    const leader = ruler(cluster)
    if (leader === undefined || cluster.oracle.chosenThrough <= goal) return false
    return leader.core.view.membership.members.every(({ id }) => {
      const node = cluster.byId.get(id)!
      const isMember = memberOf(node.core.view.membership, id) !== undefined
      return isMember && node.core.view.chosen > goal
    })
  }
  check(awaitProgress(cluster, converged), 'L5: all members converge')
}
