/**
 * Draws what concerns the membership of a plan: forced members, quorum sizes and sources of the
 * first one, the nodes that may join later, and the operations of operators. Pure.
 */
import type { Member } from '../core/engine.ts'
import type { NodeId } from '../core/ids.ts'
import { OPERATORS, type Operator } from './operators.ts'
import { type Knobs, LEADER, type Op, type Plan } from './plan.ts'
import { type Random, below, between, chance, pick } from './random.ts'

const NUMBER_LIMIT = 1_000_000
const OPERATIONS_MAX = 40

type Sizes = Plan['quorums']

/** Any sizes that meet: a quorum of promises as small as one of five, or as large as all. */
export function drawQuorums(random: Random, members: readonly Member[]): Sizes {
  if (!chance(random, 250)) return null
  const voters = members.filter(({ role }) => role !== 'learner').length
  const prepare = between(random, 1, voters)
  return { prepare, accept: between(random, voters - prepare + 1, voters) }
}

export function drawForced(random: Random, members: readonly Member[]): Member[] {
  if (!chance(random, 250)) return [...members]
  const share = pick(random, [200, 500])
  return members.map((member) =>
    member.role !== 'learner' && chance(random, share) ? { ...member, forced: 'armed' } : member,
  )
}

/** Learners that are fed by a voter, a Logger or an earlier learner: chains, and no loops. */
export function drawSources(random: Random, members: readonly Member[]): Member[] {
  const learners = members.filter(({ role }) => role === 'learner')
  return members.map((member) => {
    if (member.role !== 'learner' || !chance(random, 600)) return member
    const earlier = learners.slice(0, learners.indexOf(member))
    const isChain = earlier.length > 0 && chance(random, 500)
    const feeders = isChain ? earlier : members.filter(({ role }) => role !== 'learner')
    return { ...member, source: pick(random, feeders).id }
  })
}

export function drawJoiners(random: Random, memberCount: number): Member[] {
  const count = between(random, 1, 4)
  return Array.from({ length: count }, (_, i) => ({
    id: (memberCount + i + 1) as NodeId,
    role: 'learner',
    weight: between(random, 0, 9),
  }))
}

/** What the parts of a drawing share. */
interface Drawing {
  readonly random: Random
  readonly ops: Op[]
  readonly members: readonly Member[]
  readonly nodeCount: number
  readonly timeoutUs: number
}

/** Changes and hand-overs: alone, in pairs that collide, with the faults that matter to them. */
export function drawOperators(
  random: Random,
  { members, joiners }: Pick<Plan, 'members' | 'joiners'>,
  { electionTimeoutMs }: Knobs,
  untilUs: number,
): Op[] {
  const enabled = OPERATORS.filter(() => chance(random, 600))
  const ops: Op[] = []
  const timeoutUs = 1_000 * electionTimeoutMs
  const nodeCount = members.length + joiners.length
  const drawing = { random, ops, members, nodeCount, timeoutUs }
  const everyUs = Math.floor(timeoutUs * pick(random, [0.3, 0.7, 1.5]))
  for (let atUs = timeoutUs; atUs < untilUs && ops.length < OPERATIONS_MAX;) {
    const dice = below(random, 12)
    if (dice === 0) removeAway(drawing, atUs)
    else if (dice === 1) transferHampered(drawing, atUs)
    else if (dice === 2) forcedAway(drawing, atUs)
    else if (dice === 3) ops.push(operation(random, 'transfer', atUs))
    else if (enabled.length > 0) {
      ops.push(operation(random, pick(random, enabled), atUs))
      if (chance(random, 150)) ops.push(operation(random, pick(random, enabled), atUs + 1))
    }
    atUs += between(random, 1, 2 * everyUs)
  }
  return ops.filter(({ kind, atUs }) => atUs < untilUs || isRepair(kind))
}

const isRepair = (kind: Op['kind']): boolean => kind === 'restart' || kind === 'mend-all'

function operation(random: Random, name: Operator, atUs: number): Op {
  return {
    kind: 'operator',
    atUs,
    name,
    node: chance(random, 120) ? below(random, 5) : LEADER,
    a: below(random, NUMBER_LIMIT),
    b: below(random, NUMBER_LIMIT),
  }
}

const about = (random: Random, name: Operator, atUs: number, place: number): Op => ({
  ...{ kind: 'operator', atUs, name, node: LEADER },
  ...{ a: place, b: below(random, NUMBER_LIMIT) },
})

/** Mostly who may lead from the start, but for the one who does. */
function placeOf({ random, members, nodeCount }: Drawing): number {
  if (chance(random, 250)) return below(random, nodeCount)
  const electable = members.filter(({ role, weight }) => role === 'voter' && weight > 0)
  const [, second] = electable.toSorted((a, b) => b.weight - a.weight)
  if (second === undefined) return below(random, nodeCount)
  return (chance(random, 600) ? second : pick(random, electable)).id - 1
}

/** A node is removed behind its back, and returns when the leader has gone (R30). */
function removeAway(drawing: Drawing, atUs: number): void {
  const { random, ops, nodeCount, timeoutUs } = drawing
  const place = placeOf(drawing)
  const awayUs = between(random, 2, 4) * timeoutUs
  ops.push({ kind: 'mend-all', atUs: atUs + awayUs })
  if (chance(random, 600)) return void ops.push(about(random, 'remove-ambush', atUs, place))
  const backUs = atUs + below(random, 2 * timeoutUs)
  ops.push({ kind: 'isolate', atUs, node: place })
  ops.push(about(random, 'remove-node', atUs + 1, place))
  ops.push({ kind: 'mend-all', atUs: backUs })
  if (chance(random, 500)) ops.push({ kind: 'isolate', atUs: backUs + 1, node: LEADER })
  else ops.push({ kind: 'power', atUs: backUs })
  for (let node = 0; node < nodeCount; node++) {
    const inUs = chance(random, 700) ? below(random, 20_000) : awayUs
    ops.push({ kind: 'restart', atUs: backUs + 1 + inUs, node })
  }
}

/** A forced member is away for longer than it is waited for, and comes back. */
function forcedAway(drawing: Drawing, atUs: number): void {
  const { random, ops, timeoutUs } = drawing
  const place = placeOf(drawing)
  const fromUs = atUs + below(random, timeoutUs)
  ops.push(about(random, 'force-node', atUs, place))
  ops.push({ kind: 'isolate', atUs: fromUs, node: place })
  ops.push({ kind: 'mend-all', atUs: fromUs + between(random, 1, 4) * timeoutUs })
}

/** The target of a hand-over is dead, dies meanwhile, or lags behind a slow link. */
function transferHampered(drawing: Drawing, atUs: number): void {
  const { random, ops, timeoutUs } = drawing
  const place = placeOf(drawing)
  ops.push(about(random, 'transfer-to', atUs, place))
  const hamperedUs = atUs + (chance(random, 500) ? 0 : below(random, 20_000))
  if (chance(random, 400)) {
    ops.push({ kind: 'clog', atUs: hamperedUs, node: LEADER, other: place, forUs: 2 * timeoutUs })
    return
  }
  ops.push({ kind: 'crash', atUs: hamperedUs, node: place })
  ops.push({ kind: 'restart', atUs: hamperedUs + 3 * timeoutUs, node: place })
}
