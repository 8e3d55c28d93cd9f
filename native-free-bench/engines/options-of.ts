/** From a benchmark's configuration to the options of the engines it opens. Looks at the cores. */
import { availableParallelism } from 'node:os'
import type { CommonOptions, MemberOptions } from '../../src/engine/config.ts'
import type { Member } from '../../src/core/engine.ts'
import { nodeId } from '../../src/core/ids.ts'
import { BATCH_MIN_BYTES } from '../option-checks.ts'
import type { BenchConfig, LoadConfig, RoleName } from '../types.ts'

const RETAIN_BYTES = 64 * 2 ** 20
/** Small segments: a trial must not begin with minutes' worth of zero-filling. */
const SEGMENT_SIZE_MIN_BYTES = 2 ** 24
/** `auto` is inline up to so many in flight: anywhere, and on two cores. */
const INLINE_UP_TO = 16
const CROWDED_INLINE_UP_TO = 4_096
const LEADER_WEIGHT = 9
const UNCOMMITTED_BYTES_MIN = 2 ** 24

const ENGINE_ROLES = {
  leader: 'voter',
  follower: 'voter',
  logger: 'logger',
  learner: 'learner',
} as const satisfies Record<RoleName, Member['role']>

export function membersOf(config: LoadConfig): MemberOptions[] {
  const { roles, weights, forced, sources } = config
  return roles.map((role, place) => {
    const id = place + 1
    const { source } = sources.find(({ node }) => node === id) ?? {}
    return {
      id,
      role: ENGINE_ROLES[role],
      weight: weights?.[place] ?? (role === 'leader' ? LEADER_WEIGHT : 5),
      forced: forced.includes(id),
      ...(source !== undefined && { source }),
    }
  })
}

/** The same as the core has them, for the rules that it checks. */
export const firstMembersOf = (config: LoadConfig): Member[] =>
  membersOf(config).map(({ id, role = 'voter', weight = 0, forced, source }) => ({
    id: nodeId(id),
    role,
    weight,
    ...(forced === true && { forced: 'armed' as const }),
    ...(source !== undefined && { source: nodeId(source) }),
  }))

export function engineOptions(config: BenchConfig): CommonOptions {
  const { batchMaxBytes, batchMaxEntries, windowMaxBytes } = config
  const ringSizeBytes = powerOfTwoFrom(Math.max(2 ** 25, 4 * windowMaxBytes, 8 * batchMaxBytes))
  return {
    clusterId: 'xpaxos-bench',
    durability: config.durability,
    engine: config.engine === 'basic-paxos' ? 'basic-paxos' : 'xpaxos',
    layout: layoutOf(config),
    maxNodes: config.nodes,
    ...(config.quorums && { quorums: config.quorums }),
    tuning: {
      batchBytesMax: Math.max(BATCH_MIN_BYTES, batchMaxBytes),
      batchEntriesMax: batchMaxEntries === 0 ? Number.MAX_SAFE_INTEGER : batchMaxEntries,
      batchLingerUs: config.batchLingerUs,
      pipelineDepth: config.pipelineDepth,
      windowBytes: windowMaxBytes,
      uncommittedBytesMax: Math.max(UNCOMMITTED_BYTES_MIN, 2 * windowMaxBytes),
      ringSizeBytes,
      walSegmentSizeBytes: powerOfTwoFrom(Math.max(SEGMENT_SIZE_MIN_BYTES, 4 * batchMaxBytes)),
      retainBytes: RETAIN_BYTES,
      inflightInstancesMax: Math.min(
        2 ** 20,
        config.inflight === null ? 65_536 : instancesOf(config),
      ),
      proposers: config.proposers,
      seed: config.seed,
    },
    emulation: {
      rttMs: config.rttMs,
      jitterMs: config.jitterMs,
      bandwidthMbps: config.bandwidthMbps,
    },
  }
}

/**
 * With few entries in flight a wake-up costs more than its work, so `auto` puts all stages on the
 * caller's thread; else it is the engine's own choice (docs/decisions/0003). On more than two cores
 * that was not measured: there threads begin to help earlier.
 */
export function layoutOf({ layout, inflight, engine }: BenchConfig): BenchConfig['layout'] {
  if (layout !== 'auto' || typeof inflight !== 'number') return layout
  const isCrowded = availableParallelism() <= 2 && engine !== 'basic-paxos'
  const most = isCrowded ? CROWDED_INLINE_UP_TO : INLINE_UP_TO
  return inflight <= most ? 'inline' : layout
}

const instancesOf = ({ inflight }: BenchConfig): number =>
  typeof inflight === 'number' ? Math.max(1, inflight) : 65_536

const powerOfTwoFrom = (value: number): number => 2 ** Math.ceil(Math.log2(value))
