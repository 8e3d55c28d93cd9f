/**
 * Operators: what people may ask of a cluster at any time, of whoever leads or of any other node,
 * sensible or not. A plan knows no membership, so an operation carries two numbers, and what they
 * mean is decided by the membership that the asked node has by then. Any subset of a plan stays a
 * plan.
 */
import type { Member, MemberRole } from '../core/engine.ts'
import type { NodeId } from '../core/ids.ts'
import { type Change, type Membership, isElectable, votersOf } from '../core/membership.ts'
import { layAmbush } from './ambush.ts'
import { ask } from './orders.ts'
import { restart } from './ops.ts'
import type { Op } from './plan.ts'
import { type SimNode, type World, after } from './world.ts'

export const OPERATORS = [
  'add',
  'add-voter',
  'add-logger',
  'promote',
  'demote',
  'convert',
  'remove',
  'remove-leader',
  'remove-node',
  'remove-ambush',
  'weight',
  'force',
  'force-node',
  'source',
  'quorums',
  'reuse-id',
  'nonsense',
  'transfer',
  'transfer-to',
  'transfer-illegal',
] as const
export type Operator = (typeof OPERATORS)[number]

type OperatorOp = Extract<Op, { readonly kind: 'operator' }>

const NO_WEIGHT = 12

export function carryOutOperator<M>(world: World<M>, op: OperatorOp, node: SimNode<M>): void {
  if (!node.alive) return
  const { membership } = node.driver.view
  const { name } = op
  if (name === 'transfer' || name === 'transfer-to' || name === 'transfer-illegal') {
    const target = targetOf(membership, node.id, op, world.nodes.length)
    if (target !== 0) ask(world, node, { change: null, target, retireUs: -1 })
    return
  }
  if (name === 'remove-ambush') {
    return layAmbush(world, node, world.nodes[op.a % world.nodes.length]!, op.b % 2 === 0)
  }
  const change = changeOf(membership, node.id, op, world.nodes.length)
  if (change === null) return
  const timeoutUs = world.plan.knobs.electionTimeoutMs * 1_000
  const retireUs = op.b % 3 === 0 ? op.b % timeoutUs : -1
  if (change.kind === 'add') start(world, world.nodes[change.id - 1], op.b % (2 * timeoutUs))
  ask(world, node, { change, target: 0, retireUs })
}

/** The machine of a new member is switched on, now or a little later. */
function start<M>(world: World<M>, node: SimNode<M> | undefined, inUs: number): void {
  if (node === undefined || node.life > 0) return
  after(world, inUs, () => {
    if (node.life === 0) restart(world, node)
  })
}

function targetOf(
  { members }: Membership,
  self: NodeId,
  { name, a }: OperatorOp,
  nodeCount: number,
): NodeId | 0 {
  if (name === 'transfer-to') return ((a % nodeCount) + 1) as NodeId
  const isLegal = (id: NodeId): boolean =>
    id !== self && members.some((member) => member.id === id && isElectable(member))
  const others = members.map(({ id }) => id).filter((id) => isLegal(id) === (name === 'transfer'))
  return others.length === 0 ? 0 : others[a % others.length]!
}

const ROLES: readonly MemberRole[] = ['voter', 'voter', 'voter', 'logger']
const FORCED = ['armed', 'armed', 'none', 'degraded'] as const

function changeOf(
  membership: Membership,
  self: NodeId,
  { name, a, b }: OperatorOp,
  nodeCount: number,
): Change | null {
  const { members, highestId } = membership
  const oneOf = (role: (role: MemberRole) => boolean): NodeId | 0 => {
    const fit = members.filter((member) => role(member.role))
    return fit.length === 0 ? 0 : fit[a % fit.length]!.id
  }
  const anybody = members[a % members.length]!.id
  const learner = oneOf((role) => role === 'learner')
  const voter = oneOf((role) => role !== 'learner')
  switch (name) {
    case 'add':
    case 'add-voter':
    case 'add-logger':
      return highestId < nodeCount ? addition(membership, name, a, b) : null
    case 'promote':
      return learner === 0 ? null : { kind: 'role', id: learner, role: ROLES[b % ROLES.length]! }
    case 'demote':
      return voter === 0 ? null : { kind: 'role', id: voter, role: 'learner' }
    case 'convert': {
      const isLogger = members.some(({ id, role }) => id === voter && role === 'logger')
      return voter === 0 ? null : { kind: 'role', id: voter, role: isLogger ? 'voter' : 'logger' }
    }
    case 'remove':
      return { kind: 'remove', id: anybody }
    case 'remove-leader':
      return { kind: 'remove', id: self }
    case 'remove-node':
      return { kind: 'remove', id: ((a % nodeCount) + 1) as NodeId }
    case 'weight':
      return { kind: 'set', id: anybody, weight: b % 10 }
    case 'force':
      return { kind: 'set', id: voter as NodeId, forced: FORCED[b % FORCED.length]! }
    case 'force-node':
      return { kind: 'set', id: ((a % nodeCount) + 1) as NodeId, forced: 'armed' }
    case 'source':
      return { kind: 'set', id: learner as NodeId, source: sourceOf(membership, b) }
    case 'quorums':
      return sizes(votersOf(membership).length, a, b)
    case 'reuse-id':
      return { kind: 'add', id: usedId(membership, a), promote: 'voter' }
    case 'nonsense':
      return nonsense(membership, a, b)
    default:
      return null
  }
}

function addition(
  membership: Membership,
  name: 'add' | 'add-voter' | 'add-logger',
  a: number,
  b: number,
): Change {
  const promote = name === 'add' ? null : name === 'add-voter' ? 'voter' : 'logger'
  const source = a % 3 === 0 ? sourceOf(membership, a >> 2) : 0
  return {
    kind: 'add',
    id: (membership.highestId + 1) as NodeId,
    weight: b % 10,
    ...(promote && { promote }),
    ...(source && { source }),
  }
}

/** Rather one that is gone than one that is there. */
function usedId({ members, highestId }: Membership, number: number): NodeId {
  const isGone = (id: number): boolean => members.every((member) => member.id !== id)
  const gone = Array.from({ length: highestId }, (_, i) => i + 1).filter(isGone)
  return (gone.length === 0 ? (number % highestId) + 1 : gone[number % gone.length]!) as NodeId
}

/** Any member; 0, the leader, is as likely as one of them. */
function sourceOf({ members }: Membership, number: number): NodeId | 0 {
  const place = number % (members.length + 1)
  return place === members.length ? 0 : members[place]!.id
}

/** Mostly sizes that meet; one in four has one too few. */
function sizes(voters: number, a: number, b: number): Change {
  const prepare = (a % voters) + 1
  const more = b % prepare
  const accept = voters - prepare + (b % 4 === 0 ? 0 : 1 + more)
  return { kind: 'quorums', prepare, accept: Math.min(accept, voters) }
}

/** Nobody could want it, and every node must refuse it. */
function nonsense({ members, highestId }: Membership, a: number, b: number): Change {
  const { id } = members[a % members.length]!
  const stranger = (highestId + 1 + (b % 7)) as NodeId
  switch (b % 5) {
    case 0:
      return { kind: 'remove', id: stranger }
    case 1:
      return { kind: 'set', id, weight: NO_WEIGHT }
    case 2:
      return { kind: 'set', ...loopOf(members, id) }
    case 3:
      return { kind: 'role', id: stranger, role: 'voter' }
    default:
      return { kind: 'quorums', prepare: 1, accept: 0 }
  }
}

/** Two learners that feed each other, where one feeds another; else one that feeds itself. */
function loopOf(members: readonly Member[], id: NodeId): { id: NodeId; source: NodeId } {
  const feeders = members.filter(({ role }) => role === 'learner').map((member) => member.id)
  const fed = members.find(({ source }) => source !== undefined && feeders.includes(source))
  return fed === undefined ? { id, source: id } : { id: fed.source!, source: fed.id }
}
