/**
 * The state of one core in a test's hands: made as createXPaxos makes it, stepped as it steps it,
 * with frames of any size and place.
 */
import type { Effect, Input, Member, MemberRole } from '../../src/core/engine.ts'
import type { FrameRef } from '../../src/core/frame-ref.ts'
import { type Ballot, type Lsn, type NodeId, ballotOf } from '../../src/core/ids.ts'
import { step } from '../../src/core/xpaxos/core.ts'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'
import {
  BLANK,
  type Recovered,
  type State,
  type XPaxosConfig,
  createState,
} from '../../src/core/xpaxos/state.ts'

export type CoreEffect = Effect<XPaxosMessage>
export type Sent = XPaxosMessage & { readonly to: number; readonly frames: readonly FrameRef[] }

export const CONFIG: Omit<XPaxosConfig, 'self' | 'members'> = {
  heartbeatMs: 20,
  electionTimeoutMs: 100,
  windowBytes: 2 ** 16,
  batchBytesMax: 4_096,
  batchEntriesMax: 100,
  catchUpBytesMax: 4_096,
  pipelineDepth: 4,
  seed: 1,
  requestBase: 0,
  leaseMs: 0,
  driftPerMille: 0,
}

export const ballot = (round: number, node: number): Ballot => ballotOf(round, node as NodeId)

export const membersOf = (roles: readonly MemberRole[]): Member[] =>
  roles.map((role, i) => ({ id: (i + 1) as NodeId, role, weight: 5 }))

export const VOTERS = membersOf(['voter', 'voter', 'voter'])

export function stateOf(
  self: number,
  config: Partial<XPaxosConfig> = {},
  recovered: Partial<Recovered> = {},
): State {
  const whole = { ...CONFIG, members: VOTERS, ...config, self: self as NodeId }
  return createState(whole, { ...BLANK, ...recovered })
}

export interface FrameSpec {
  readonly count?: number
  readonly sizeBytes?: number
  readonly born?: Ballot
  readonly ring?: number
  /** Where it lies; by default behind the last one that was made for the same ring. */
  readonly offset?: number
}

/** Makes frames that adjoin each other, ring by ring, unless told otherwise. */
export function createMaker(): (first: number, spec?: FrameSpec) => FrameRef {
  const ends = new Map<number, number>()
  return (first, { count = 1, sizeBytes = 128, born = ballot(1, 1), ring = 0, offset } = {}) => {
    const at = offset ?? ends.get(ring) ?? 0
    ends.set(ring, at + sizeBytes)
    const headerCrc = Math.imul(born + first * 131 + count, 0x9e3779b1) >>> 0
    const place = {
      ring,
      offset: at,
      end: ((at + sizeBytes) / 64) | 0,
      kept: false,
      holds: 0,
      continues: false,
    }
    return { first: first as never, count, ballot: born, sizeBytes, headerCrc, ...place }
  }
}

export function give(state: State, input: Input<XPaxosMessage>): CoreEffect[] {
  const effects: CoreEffect[] = []
  step(state, input, effects)
  return effects
}

/** A message from a node, with what a test leaves out as a healthy sender would say it. */
export function hear(
  state: State,
  from: number,
  message: object,
  frames: readonly FrameRef[] = [],
): CoreEffect[] {
  const whole = { attempt: 1, chosen: 0, chosenChain: -1, syncChain: -1, floorChain: 0, ...message }
  return give(state, {
    kind: 'message',
    from: from as NodeId,
    message: whole as unknown as XPaxosMessage,
    frames,
  })
}

/** Everything that was ordered is durable. */
export const sync = (state: State): CoreEffect[] =>
  give(state, { kind: 'durable', lsn: (state.nextLsn - 1) as Lsn })

export const sentIn = (effects: readonly CoreEffect[], kind?: XPaxosMessage['kind']): Sent[] =>
  effects.flatMap((effect) =>
    effect.kind === 'send' && (kind === undefined || effect.message.kind === kind)
      ? [{ ...effect.message, to: effect.to, frames: effect.frames }]
      : [],
  )

export const ofKind = <Kind extends CoreEffect['kind']>(
  effects: readonly CoreEffect[],
  kind: Kind,
): (CoreEffect & { readonly kind: Kind })[] =>
  effects.filter((effect): effect is CoreEffect & { readonly kind: Kind } => effect.kind === kind)

/**
 * Leads with an empty adopted log in its first ballot; nobody but itself has promised or accepted.
 */
export function leaderOf(self: number, config: Partial<XPaxosConfig> = {}): State {
  const state = stateOf(self, config)
  const others = state.config.members.map(({ id }) => id).filter((id) => id !== self)
  for (const peer of others) give(state, { kind: 'link', peer, up: true })
  give(state, { kind: 'tick', now: 1 })
  for (const from of others) hear(state, from, { kind: 'heartbeat-reply', ...DISCONTENT })
  for (let now = 2; state.candidacy === null && now < 1_000; now += 10) {
    for (const from of others) {
      hear(state, from, { kind: 'heartbeat-reply', ...DISCONTENT, round: state.round })
    }
    give(state, { kind: 'tick', now })
  }
  sync(state)
  const own = state.promised
  for (const { id, role } of state.config.members) {
    if (id === self || role === 'learner' || state.leadership !== null) continue
    const told = { acceptedBallot: 0, last: 0, floor: 0, firstRetained: 1 }
    hear(state, id, { kind: 'promise', ballot: own, ...told })
  }
  sync(state)
  return state
}
const DISCONTENT = { round: 1, promised: 0, content: 0, connected: 1, last: 0 }
