/**
 * Relations between options, each refusal one line that names every flag it depends on: options.ts
 * drops a line about a flag whose own value was refused already. Pure.
 */
import { PUT_SIZE_MIN_BYTES } from './engines/puts.ts'
import { flagOf } from './option-table.ts'
import type {
  BenchConfig,
  EngineConfig,
  EngineConfigGiven,
  EngineName,
  LoadConfig,
} from './types.ts'

/** What the library keeps free in a batch (src/engine/node.ts). */
const PROPOSAL_MARGIN_BYTES = 1_024
/** A batch has so many at least, whatever is asked for. */
export const BATCH_MIN_BYTES = 4_096

export const ONLY_BASIC = '--proposers: only basic-paxos has more than one proposer'

export function checkLoad(load: LoadConfig, problems: string[]): void {
  checkRoles(load, problems)
  const { inflight, clients, jitterMs, rttMs, keep, durability } = load
  if (typeof inflight === 'number' && inflight < clients)
    problems.push(
      `--inflight: want at least one entry a client (--clients ${clients}), not ${inflight}`,
    )
  if (jitterMs > rttMs) problems.push(`--jitter-ms: want at most --rtt-ms (${rttMs})`)
  if (keep && durability === 'none') problems.push('--keep: --durability none has no files to keep')
  if (load.api === 'propose' && clients > 1)
    problems.push('--clients: with --api propose there is one')
  if (load.stateMachine === 'kv' && load.payload < PUT_SIZE_MIN_BYTES)
    problems.push(`--payload: want at least ${PUT_SIZE_MIN_BYTES} with --state-machine kv, a put`)
  checkTimes(load, problems)
}

function checkRoles({ nodes, roles }: LoadConfig, problems: string[]): void {
  if (roles.length !== nodes)
    problems.push(`--roles: want one role for each node (--nodes ${nodes}), not ${roles.length}`)
  if (roles[0] !== 'leader') problems.push('--roles: the first node is the leader')
  if (roles.slice(1).includes('leader')) problems.push('--roles: only the first node is leader')
  const voters = roles.filter((role) => role !== 'learner')
  if (!voters.some((role) => role !== 'logger'))
    problems.push('--roles: want at least one voter that keeps data (leader or follower)')
  const loggers = roles.filter((role) => role === 'logger').length
  const loggersMax = Math.floor(voters.length / 2)
  if (loggers > loggersMax)
    problems.push(
      `--roles: at most ${loggersMax} loggers of ${voters.length} nodes: never a quorum alone`,
    )
}

function checkTimes(
  { killLeaderAfter, killNode, slowDisk, warmup, duration, nodes }: LoadConfig,
  to: string[],
) {
  const endS = warmup + duration
  const late = `want less than --warmup + --duration (${endS} s), the end of a trial`
  if (killLeaderAfter !== null && killLeaderAfter >= endS) to.push(`--kill-leader-after: ${late}`)
  if (slowDisk !== null && slowDisk.node > nodes)
    to.push(`--slow-disk: there are nodes 1 to ${nodes} (--nodes)`)
  if (killNode === null) return
  if (killNode.atS >= endS) to.push(`--kill-node: ${late}`)
  if (killNode.node > nodes) to.push(`--kill-node: there are nodes 1 to ${nodes} (--nodes)`)
}

export function checkKills(engine: EngineName, load: LoadConfig, problems: string[]): void {
  if (load.killLeaderAfter === null) return
  if (engine === 'basic-paxos' || engine === 'limit')
    problems.push(`--kill-leader-after: ${engine} elects no leader`)
  const heirs = load.roles.slice(1).filter((role) => role === 'follower').length
  const voters = load.roles.filter((role) => role !== 'learner').length
  if (voters < 3 || heirs === 0)
    problems.push('--kill-leader-after: want --nodes 3 or more, and a follower that can lead')
}

/** A single benchmark refuses what its engine would ignore. */
export function checkEngine(
  engine: EngineName,
  load: LoadConfig,
  given: EngineConfigGiven,
  defaults: EngineConfig,
  problems: string[],
): void {
  checkKills(engine, load, problems)
  checkEmulation(engine, load, problems)
  if (engine !== 'basic-paxos' && (given.proposers ?? 1) > 1) problems.push(ONLY_BASIC)
  const { keys, why } = IGNORED[engine]
  for (const key of keys)
    if ((given[key] ?? defaults[key]) !== defaults[key]) problems.push(`${flagOf(key)}: ${why}`)
  if (engine === 'limit' && load.transport === 'memory' && load.layout !== 'auto')
    problems.push('--layout: limit has its own threads with --transport memory')
}

interface Ignored {
  readonly keys: readonly Exclude<keyof EngineConfig, 'proposers'>[]
  readonly why: string
}
const NOTHING: Ignored = { keys: [], why: '' }
const IGNORED: Readonly<Record<EngineName, Ignored>> = {
  xpaxos: NOTHING,
  'multi-paxos': NOTHING,
  'basic-paxos': {
    keys: ['batchMaxBytes', 'batchMaxEntries', 'batchLingerUs', 'pipelineDepth', 'windowMaxBytes'],
    why: 'in basic-paxos every value is an instance of its own',
  },
  limit: {
    keys: ['pipelineDepth', 'windowMaxBytes'],
    why: 'limit sends all that it has at once',
  },
}

export function checkEmulation(engine: EngineName, load: LoadConfig, problems: string[]): void {
  const { rttMs, jitterMs, bandwidthMbps } = load
  if (engine !== 'limit' || rttMs + jitterMs + bandwidthMbps === 0) return
  problems.push('--rtt-ms, --jitter-ms, --bandwidth-mbps: limit emulates no links')
}

export function checkSizes(config: BenchConfig, problems: string[]): void {
  const { payload, batchMaxBytes, windowMaxBytes, proposers, roles } = config
  // A proposal may come back as a command, with its marks.
  const proposalMax = Math.max(BATCH_MIN_BYTES, batchMaxBytes) - PROPOSAL_MARGIN_BYTES
  const payloadMax = config.api === 'propose' ? Math.min(batchMaxBytes, proposalMax) : batchMaxBytes
  if (payload > payloadMax)
    problems.push(`--payload: want at most ${payloadMax} with --batch-max-bytes ${batchMaxBytes}`)
  if (windowMaxBytes < batchMaxBytes)
    problems.push(`--window-max-bytes: want at least --batch-max-bytes (${batchMaxBytes})`)
  const dataNodes = roles.filter((role) => role !== 'logger').length
  if (proposers > dataNodes)
    problems.push(`--proposers: want at most the ${dataNodes} nodes that keep data`)
}
