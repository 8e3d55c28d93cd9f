/**
 * Every knob of a node: unit, range, default and reason; user options in, NodeSpec out. All
 * problems are reported at once. Pure but for the default nonce.
 */
import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import { ReplicaError } from '../base/errors.ts'
import type { StateMachine } from '../base/state-machine.ts'
import { PAYLOAD_SIZE_MAX_BYTES } from '../codec/cell.ts'
import { ENVELOPE_SIZE_BYTES } from '../codec/record.ts'
import type { Member, MemberRole } from '../core/engine.ts'
import type { NodeId } from '../core/ids.ts'
import { isHistoryEpoch, membershipOf, membershipProblem } from '../core/membership.ts'
import type { Durability } from '../wal/identity.ts'
import { SEGMENT_HEADER_SIZE_BYTES } from '../wal/segment.ts'
import type {
  EngineKind,
  LinkEmulation,
  NodeSpec,
  StateMachineSpec,
  TransportSpec,
  Tuning,
} from './node-spec.ts'
import { type LayoutName, autoLayout } from './topology.ts'

interface Knob {
  readonly min: number
  readonly max: number
  readonly default: number
  readonly why: string
}

const UNBOUNDED = Number.MAX_SAFE_INTEGER

export const KNOBS = {
  heartbeatMs: { min: 1, max: 10_000, default: 50, why: 'how often a leader proves it lives' },
  electionTimeoutMs: { min: 10, max: 60_000, default: 500, why: 'must outlast a GC pause' },
  batchBytesMax: { min: 4_096, max: 2 ** 22, default: 2 ** 20, why: 'one frame, one accept' },
  batchEntriesMax: { min: 1, max: UNBOUNDED, default: UNBOUNDED, why: '1 makes Multi-Paxos' },
  batchLingerUs: { min: 0, max: 1_000_000, default: 0, why: 'waiting for company; 0 never waits' },
  pipelineDepth: { min: 1, max: 1_024, default: 8, why: 'batches ordered and not yet chosen' },
  windowBytes: { min: 4_096, max: 2 ** 28, default: 2 ** 23, why: 'bytes in flight to one peer' },
  catchUpRatio: { min: 1, max: 8, default: 4, why: 'batches in one message to who lags far' },
  uncommittedBytesMax: { min: 65_536, max: 2 ** 28, default: 2 ** 24, why: 'early refusals' },
  groupBytesMax: { min: 4_096, max: 2 ** 28, default: 2 ** 26, why: 'memory of an open group' },
  ringSizeBytes: { min: 2 ** 16, max: 2 ** 30, default: 2 ** 25, why: 'how far a stage may lag' },
  walSegmentSizeBytes: { min: 2 ** 20, max: 2 ** 30, default: 2 ** 26, why: 'preallocated file' },
  retainBytes: { min: 0, max: UNBOUNDED, default: 0, why: 'log kept behind applied; 0: all' },
  laggardBytesMax: { min: 0, max: UNBOUNDED, default: 2 ** 30, why: 'log kept for who lags' },
  loggerBytesMax: { min: 2 ** 21, max: UNBOUNDED, default: 2 ** 34, why: 'disk of a Logger' },
  loggerStrict: { min: 0, max: 1, default: 0, why: '1: a full Logger stops writes, trims nothing' },
  snapshotEveryBytes: { min: 0, max: UNBOUNDED, default: 0, why: 'log between snapshots; 0: none' },
  inflightInstancesMax: { min: 1, max: 2 ** 20, default: 65_536, why: 'Basic Paxos instances' },
  proposers: { min: 1, max: 9, default: 1, why: 'Basic Paxos: how many propose at once' },
  leaseMs: { min: 0, max: 60_000, default: 0, why: 'reads without a round; 0: none' },
  driftPerMille: { min: 0, max: 500, default: 10, why: 'how wrong a clock of a member may run' },
  seed: { min: 0, max: 2 ** 31 - 1, default: 1, why: 'chance of elections and emulated links' },
} as const satisfies { readonly [Name in keyof Tuning]: Knob }

export interface MemberOptions {
  readonly id: number
  /** Default voter. A logger votes and keeps the log, and has no state machine. */
  readonly role?: MemberRole
  /** 0..9, default 5: higher stands earlier for leadership; 0 never leads. */
  readonly weight?: number
  /** Nothing is acknowledged before this member has it too, while it is alive. */
  readonly forced?: boolean
  /** Of a learner: the member that feeds it its log. Default: the leader. */
  readonly source?: number
  /** It joins a running cluster, by a change of its membership: not one of the first members. */
  readonly join?: boolean
}

export interface CommonOptions {
  /** Default: `xpaxos`. */
  readonly clusterId?: string
  /** `fsync` (default): acknowledged only when synced on a quorum; `os`; `none`: no files. */
  readonly durability?: Durability
  readonly engine?: EngineKind
  /** Which stages share a thread; default `auto`. */
  readonly layout?: LayoutName | 'auto'
  readonly tuning?: Partial<Tuning>
  readonly emulation?: Partial<LinkEmulation>
  /** Promises that phase 1 needs and acceptances that phase 2 needs. Default: majorities. */
  readonly quorums?: { readonly prepare: number; readonly accept: number }
  /**
   * Of nodes that join after a disaster command: the history epoch that it printed, and that
   * `status()` of the running nodes shows. Default 0: the history was never forked.
   */
  readonly historyEpoch?: number
  /**
   * How many nodes there may be in the life of this process: so many ids, counted from the first
   * members on, have memory to talk to. Default: four more than there are.
   */
  readonly maxNodes?: number
}

/** An object runs on the caller's thread; a URL's module or a built-in runs on the apply thread. */
export type StateMachineOption = StateMachine | URL | 'kv' | 'hash'

export interface NodeOptions extends CommonOptions {
  readonly id: number
  readonly members: readonly MemberOptions[]
  readonly dataDir: string
  readonly stateMachine: StateMachineOption
  /** Peers of lower id dial in, so only those of higher id need an address. */
  readonly transport: {
    readonly host?: string
    readonly port: number
    readonly peers: readonly { readonly id: number; readonly host: string; readonly port: number }[]
  }
}

export interface SpecInput extends CommonOptions {
  readonly id: number
  readonly members: readonly MemberOptions[]
  readonly dataDir: string
  readonly stateMachine: StateMachineOption
  readonly transport: TransportSpec
}

/** @throws ReplicaError E_CONFIG_INVALID listing every problem, not just the first */
export function specOf(input: SpecInput): NodeSpec {
  const problems: string[] = []
  const members = membersOf(input, problems)
  const reserved = reservedIdsOf(input, members, problems)
  const tuning = tuningOf(input.tuning ?? {}, problems)
  const emulation = emulationOf(input.emulation ?? {}, problems)
  for (const [name, allowed] of Object.entries(CHOICES)) {
    const value = input[name as keyof typeof CHOICES]
    if (value === undefined || allowed.some((one) => one === value)) continue
    problems.push(`${name}=${value}: want one of ${allowed.join(', ')}`)
  }
  if (input.clusterId === '') problems.push('clusterId: want a name')
  const { historyEpoch = 0 } = input
  if (!isHistoryEpoch(historyEpoch)) {
    problems.push(`historyEpoch=${historyEpoch}: want 0, or what a disaster command printed`)
  }
  if (input.transport.kind === 'tcp')
    checkAddresses(input.id, members, reserved, input.transport, problems)
  const stateMachine = stateMachineOf(input.stateMachine, problems)
  checkSnapshots(input, tuning, problems)
  if (input.dataDir === '' && input.durability !== 'none') problems.push('dataDir: want a folder')
  if (problems.length > 0) {
    throw new ReplicaError('E_CONFIG_INVALID', problems.join('; '), { problems })
  }
  const layout = input.layout ?? 'auto'
  return Object.freeze({
    engine: input.engine ?? 'xpaxos',
    id: input.id,
    members,
    joins: joins(input),
    quorums: input.quorums ?? null,
    reserved,
    clusterId: input.clusterId ?? 'xpaxos',
    historyEpoch,
    durability: input.durability ?? 'fsync',
    dataDir: resolve(input.dataDir),
    layout: layout === 'auto' ? autoLayout() : layout,
    tuning,
    emulation,
    transport: withAllPeers(input.transport, input.id, [
      ...members.map(({ id }) => id),
      ...reserved,
    ]),
    stateMachine,
    nonce: randomBytes(6).readUIntBE(0, 6),
  })
}

/** Option -> what it may be. */
const CHOICES = {
  engine: ['xpaxos', 'basic-paxos'],
  layout: ['inline', 'joined', 'split', 'dedicated', 'auto'],
  durability: ['fsync', 'os', 'none'],
} as const

export const SPARE_NODES = 4
const NODES_MAX = 32
const ROLES: readonly string[] = ['voter', 'logger', 'learner'] satisfies MemberRole[]

const NO_EMULATION: LinkEmulation = { rttMs: 0, jitterMs: 0, bandwidthMbps: 0 }

function emulationOf(given: Partial<LinkEmulation>, problems: string[]): LinkEmulation {
  for (const [name, value] of Object.entries(given)) {
    if (!(name in NO_EMULATION)) problems.push(`${name}: no such link emulation`)
    else if (!(value >= 0 && value <= 60_000)) problems.push(`${name}=${value}: want 0 to 60000`)
  }
  return { ...NO_EMULATION, ...given }
}

/** The lower id dials the higher one, so it must know where. */
function checkAddresses(
  id: number,
  members: readonly Member[],
  reserved: readonly number[],
  { port, peers }: TransportSpec & { readonly kind: 'tcp' },
  problems: string[],
): void {
  if (!isIntegerIn(port, 0, 65_535)) problems.push(`port=${port}: want 0 to 65535`)
  const known = new Map(peers.map((peer) => [peer.id, peer]))
  if (known.size !== peers.length) problems.push('transport.peers: every id once')
  for (const peer of peers) {
    const isMember = members.some((member) => member.id === peer.id)
    if (peer.id === id || (!isMember && !reserved.includes(peer.id)))
      problems.push(`transport.peers: ${peer.id} is not another member`)
  }
  for (const { id: other } of members) {
    if (other === id) continue
    const port = known.get(other)?.port ?? 0
    if (other < id || isIntegerIn(port, 1, 65_535)) continue
    problems.push(`transport.peers: port ${port} of member ${other}: want 1 to 65535`)
  }
}

/** Every other node is a peer; those that dial in, or come later, need no address. */
function withAllPeers(spec: TransportSpec, self: number, ids: readonly number[]): TransportSpec {
  if (spec.kind === 'memory') return spec
  const missing = ids.filter((id) => id !== self && !spec.peers.some((peer) => peer.id === id))
  const dialIn = missing.map((id) => ({ id, host: '', port: 0 }))
  return { ...spec, peers: [...spec.peers, ...dialIn] }
}

function membersOf({ id, members, quorums }: SpecInput, problems: string[]): Member[] {
  const ids = new Set(members.map((member) => member.id))
  if (ids.size !== members.length) problems.push('members: every id once')
  if (!ids.has(id)) problems.push(`id=${id}: is not one of the members`)
  const first = members.filter((member) => member.join !== true)
  if (first.length > 9) problems.push(`members: ${first.length} of at most 9`)
  const made = first.map((member): Member => {
    const { id: memberId, role = 'voter', weight = 5, forced = false, source } = member
    if (!isIntegerIn(memberId, 1, 65_535)) problems.push(`member id ${memberId}: want 1 to 65535`)
    if (!isIntegerIn(weight, 0, 9)) problems.push(`weight=${weight}: want 0 to 9`)
    if (!ROLES.includes(role)) problems.push(`role=${role}: want one of ${ROLES.join(', ')}`)
    return {
      id: memberId as NodeId,
      role,
      weight: role === 'voter' ? weight : 0,
      ...(forced && { forced: 'armed' as const }),
      ...(source !== undefined && { source: source as NodeId }),
    }
  })
  if (!made.some(({ weight }) => weight > 0)) problems.push('members: no voter that could lead')
  if (problems.length === 0) {
    const problem = membershipProblem(membershipOf(made, quorums))
    if (problem !== null) problems.push(problem)
  }
  if (!ids.has(id) || made.some((member) => member.id === id)) return made
  return [...made, { id: id as NodeId, role: 'learner', weight: 0 }]
}

const joins = ({ id, members }: SpecInput): boolean =>
  members.some((member) => member.id === id && member.join === true)

/** Others that may come later: those that are named already, and the next free ids. */
function reservedIdsOf(
  { id, members, maxNodes, engine }: SpecInput,
  own: readonly Member[],
  problems: string[],
): number[] {
  const highest = Math.max(0, ...members.map((member) => member.id))
  const count = maxNodes ?? members.length + (engine === 'basic-paxos' ? 0 : SPARE_NODES)
  if (!isIntegerIn(count, members.length, NODES_MAX)) {
    problems.push(`maxNodes=${count}: want ${members.length} to ${NODES_MAX}`)
    return []
  }
  const named = members.map((member) => member.id)
  const spare = Array.from({ length: count - members.length }, (_, i) => highest + 1 + i)
  const isOther = (one: number): boolean => one !== id && !own.some((member) => member.id === one)
  return [...named, ...spare].filter((one) => isOther(one) && one <= 65_535)
}

function tuningOf(given: Partial<Tuning>, problems: string[]): Tuning {
  const values: Record<string, number> = {}
  for (const [name, knob] of Object.entries(KNOBS)) {
    const value = given[name as keyof Tuning] ?? knob.default
    values[name] = value
    if (isIntegerIn(value, knob.min, knob.max)) continue
    problems.push(`${name}=${value}: want an integer in [${knob.min}, ${knob.max}] (${knob.why})`)
  }
  for (const name of Object.keys(given))
    if (!(name in KNOBS)) problems.push(`${name}: no such knob`)
  const tuning = values as unknown as Tuning
  if (problems.length === 0) checkTogether(tuning, problems)
  return Object.freeze(tuning)
}

function checkTogether(tuning: Tuning, problems: string[]): void {
  const {
    heartbeatMs,
    electionTimeoutMs,
    ringSizeBytes,
    batchBytesMax,
    walSegmentSizeBytes,
    loggerBytesMax,
    leaseMs,
  } = tuning
  if (electionTimeoutMs < 3 * heartbeatMs) problems.push('electionTimeoutMs: want 3 * heartbeatMs')
  if (leaseMs > 0 && leaseMs < 3 * heartbeatMs) problems.push('leaseMs: want 0 or 3 * heartbeatMs')
  if (!Number.isInteger(Math.log2(ringSizeBytes))) problems.push('ringSizeBytes: a power of two')
  // A ring lets go of bytes at three quarters full (holds.ts). A message, and the gap before
  // the ring's end that it may need, must fit into the rest, or nothing moves any more.
  if (8 * batchBytesMax > ringSizeBytes) problems.push('batchBytesMax: at most ringSizeBytes / 8')
  if (2 * batchBytesMax > walSegmentSizeBytes) {
    problems.push('batchBytesMax: at most walSegmentSizeBytes / 2')
  }
  // A peer may send as much as the ring takes, and it is one record.
  const messageSizeMax = Math.min(PAYLOAD_SIZE_MAX_BYTES, ringSizeBytes / 2)
  const segmentSizeMin = SEGMENT_HEADER_SIZE_BYTES + ENVELOPE_SIZE_BYTES + messageSizeMax
  if (walSegmentSizeBytes < segmentSizeMin) {
    problems.push(`walSegmentSizeBytes: at least ${segmentSizeMin}, for half of ringSizeBytes`)
  }
  // Whole segments go, and the open one stays.
  if (2 * walSegmentSizeBytes > loggerBytesMax) {
    problems.push('loggerBytesMax: at least 2 * walSegmentSizeBytes')
  }
}

function checkSnapshots(
  { engine = 'xpaxos', durability = 'fsync' }: SpecInput,
  { snapshotEveryBytes }: Tuning,
  problems: string[],
): void {
  if (snapshotEveryBytes === 0) return
  if (engine !== 'xpaxos') problems.push('snapshotEveryBytes: only engine xpaxos makes snapshots')
  if (durability === 'none') problems.push('snapshotEveryBytes: durability none keeps no files')
}

function stateMachineOf(option: StateMachineOption, problems: string[]): StateMachineSpec {
  if (option === 'kv' || option === 'hash') return { kind: 'builtin', name: option }
  if (option instanceof URL) return { kind: 'module', url: option.href }
  if (typeof option?.apply === 'function') return { kind: 'caller' }
  problems.push('stateMachine: want an object with apply(), a URL of a module, "kv" or "hash"')
  return { kind: 'caller' }
}

const isIntegerIn = (value: number, min: number, max: number): boolean =>
  Number.isInteger(value) && value >= min && value <= max
