/**
 * What operators ask of nodes, and how it ends: changes of the membership and hand-overs, each with
 * an id and at most one answer. Here ingest's part of a change is done as well: the config batch
 * and the empty one behind it get their indexes like the requests of clients.
 *
 * Invariants (I12): `done` is chosen, with its empty batch; `unknown` may be either; after any
 * other answer nothing was proposed, and nobody was ordered to take over.
 */
import type { ChangeOutcome, Input, TransferOutcome } from '../core/engine.ts'
import type { Ballot, NodeId } from '../core/ids.ts'
import type { Change, Membership } from '../core/membership.ts'
import { handToCore } from './clients.ts'
import { cover } from './coverage.ts'
import { demand } from './invariants.ts'
import type { Author, ConfigPair, ForcedEvent } from './member-judge.ts'
import { retire } from './ops.ts'
import { makeProtocolFrame } from './protocol-frames.ts'
import { memberAt } from './rules.ts'
import { DUE, type SimNode, type World, after, later } from './world.ts'

export interface Order {
  readonly id: number
  readonly node: number
  /** Null: a hand-over to `target`. */
  readonly change: Change | null
  readonly target: NodeId | 0
  /** Us after which the machine of a node that it removed is taken away; -1: it stays. */
  readonly retireUs: number
  /** In which it was asked. */
  ballot: Ballot | 0
  pair: ConfigPair | null
  /** A hand-over began for it. */
  started: boolean
  outcome: 'open' | ChangeOutcome | TransferOutcome
}

export type Wish = Pick<Order, 'change' | 'target' | 'retireUs'>

/** The node is alive. */
export function ask<M>(world: World<M>, node: SimNode<M>, wish: Wish): Order {
  const id = world.orders.length + 1
  const fresh = { ballot: 0, pair: null, started: false, outcome: 'open' } as const
  const order: Order = { ...wish, id, node: node.place, ...fresh }
  world.orders.push(order)
  const { change, target } = wish
  const input = change !== null ? { kind: 'change', id, change } : { kind: 'transfer', id, target }
  later(world, 0, DUE.input, node, input)
  return order
}

/** The order of an operator that this input is. */
export function orderOf<M>(
  { orders }: World<M>,
  { leading }: SimNode<M>,
  input: Input<M>,
): Order | null {
  if (input.kind !== 'change' && input.kind !== 'transfer') return null
  const order = orders[input.id - 1]!
  order.ballot = leading?.ballot ?? 0
  return order
}

/** Why a leader wants a config batch. */
export interface Cause {
  readonly order: Order | null
  readonly author: Author
}

export function causeOf<M>(
  { judge }: World<M>,
  node: SimNode<M>,
  { order, events }: { readonly order: Order | null; readonly events: readonly ForcedEvent[] },
): Cause {
  if (order !== null) return { order, author: { of: subjectOf(order) } }
  const announced = judge.memberships?.announcedBy(node.place) ?? 0
  return { order, author: { events: [...events], announced } }
}

/** The batches have indexes. */
export function noteConfigured<M>(
  { judge }: World<M>,
  node: SimNode<M>,
  ballot: Ballot,
  pair: ConfigPair,
  { order, author }: Cause,
): void {
  judge.memberships?.configured(node.place, ballot, pair, author)
  if (order !== null) order.pair = pair
}

/** A leader wants a config batch, or with null only the empty batch that ends a change. */
export function configure<M>(
  world: World<M>,
  node: SimNode<M>,
  wanted: { readonly ballot: Ballot; readonly membership: Membership | null },
  cause: Cause,
): void {
  const { ballot, membership } = wanted
  const { leading } = node
  if (leading?.ballot !== ballot) return
  const { arena } = world
  const config =
    membership === null ? null : makeProtocolFrame(arena, membership, ballot, leading.next++)
  const empty = makeProtocolFrame(arena, null, ballot, leading.next++)
  noteConfigured(world, node, ballot, { config, empty }, cause)
  handToCore(world, node, ballot, config === null ? [empty] : [config, empty])
}

const subjectOf = ({ change }: Order): NodeId | 0 =>
  change !== null && 'id' in change ? change.id : 0

export function answerChange<M>(
  world: World<M>,
  node: SimNode<M>,
  id: number,
  outcome: ChangeOutcome,
): void {
  const order = answered(world, node, id, outcome)
  const { pair, change, retireUs } = order
  const { coverage, judge } = world
  if (outcome === 'done') {
    const isChosen = pair !== null && judge.isChosen(pair.config!) && judge.isChosen(pair.empty)
    demand(isChosen, 'I12', 'a change is done, and it is not chosen')
    cover(coverage, 'change-done')
    if (change?.kind !== 'remove' || retireUs < 0) return
    const gone = world.nodes[change.id - 1]!
    return after(world, retireUs, () => {
      if (world.nowUs < world.plan.untilUs) retire(world, gone)
    })
  }
  if (outcome === 'unknown') return noteInterrupted(world, order)
  demand(pair === null, 'I12', `a change is ${outcome}, and it was proposed`)
  cover(coverage, 'change-refused')
}

export function answerTransfer<M>(
  world: World<M>,
  node: SimNode<M>,
  id: number,
  outcome: TransferOutcome,
): void {
  const { target, ballot, started } = answered(world, node, id, outcome)
  const { coverage, judge } = world
  if (outcome === 'timed-out') return cover(coverage, 'transfer-timed-out')
  if (outcome !== 'done') {
    demand(!started, 'I12', `a hand-over is ${outcome}, and it began`)
    return outcome === 'illegal' ? cover(coverage, 'transfer-refused') : undefined
  }
  const hasStood = judge.memberships!.hasStood(target as NodeId, ballot as Ballot)
  demand(hasStood, 'I12', `the hand-over to ${target} is done, and it never stood`)
  cover(coverage, 'transfer-done')
}

function answered<M>(
  { orders }: World<M>,
  node: SimNode<M>,
  id: number,
  outcome: Order['outcome'],
): Order {
  const order = orders[id - 1]!
  const isOpen = order.node === node.place && order.outcome === 'open'
  demand(isOpen, 'I12', 'an order is answered once, where it was asked')
  order.outcome = outcome
  return order
}

/** Its process ends: nobody will tell how its orders ended. */
export function loseOrders<M>(world: World<M>, node: SimNode<M>): void {
  for (const order of world.orders) {
    if (order.node !== node.place || order.outcome !== 'open') continue
    order.outcome = 'unknown'
    noteInterrupted(world, order)
  }
}

function noteInterrupted<M>({ coverage }: World<M>, { pair }: Order): void {
  if (pair !== null) cover(coverage, 'change-interrupted')
}

/** A leader begins to hand over; nobody asked when it does so by weight, or because it must. */
export function startHandOver<M>(
  { judge }: World<M>,
  node: SimNode<M>,
  target: NodeId,
  order: Order | null,
): void {
  node.handOver = { target, isOwn: order === null }
  if (order === null) node.handOvers += 1
  else order.started = true
  judge.memberships?.handsOver(node.place, target, order !== null)
}

/** A node leads: whoever handed over to it is done. */
export function endHandOvers<M>({ nodes, judge, coverage }: World<M>, led: SimNode<M>): void {
  const rule = judge.memberships?.newest
  if (rule === undefined) return
  const weightOf = ({ place }: SimNode<M>): number => memberAt(rule, place)?.weight ?? 0
  for (const node of nodes) {
    if (node.handOver?.target !== led.id) continue
    const isByWeight = node.handOver.isOwn && weightOf(node) < weightOf(led)
    if (isByWeight) cover(coverage, 'lower-weight-handed-over')
    node.handOver = null
  }
  led.handOver = null
}
