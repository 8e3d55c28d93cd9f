/**
 * What a core says of itself as it runs, for whoever drives it: terms that begin and end,
 * hand-overs, forced members. Told to the judge of memberships and counted. Pure.
 */
import type { CoreView } from '../core/engine.ts'
import type { NodeId } from '../core/ids.ts'
import { cover } from './coverage.ts'
import { demand } from './invariants.ts'
import type { ForcedEvent } from './member-judge.ts'
import { type Order, endHandOvers, startHandOver } from './orders.ts'
import { note } from './trace.ts'
import type { SimNode, World } from './world.ts'

export interface Step {
  /** The order of an operator that this step answers to. */
  order: Order | null
  /** What it said of forced members. */
  readonly events: ForcedEvent[]
}

export const newStep = (): Step => ({ order: null, events: [] })

export function noteEvent<M>(
  world: World<M>,
  node: SimNode<M>,
  view: CoreView,
  step: Step,
  { name, value }: { readonly name: string; readonly value: number },
): void {
  const { coverage } = world
  demand(name !== 'chain-mismatch', 'I5', `node ${node.id}: logs differ at ${value}`)
  switch (name) {
    case 'suffix-fetched': {
      cover(coverage, 'log-adopted-from-another')
      const role = view.membership.members.find(({ id }) => id === value)?.role
      if (role === 'logger') cover(coverage, 'suffix-from-logger')
      return
    }
    case 'source-replaced':
      return cover(coverage, 'source-replaced')
    case 'forced-degraded':
    case 'forced-armed':
      return void step.events.push({ name, id: value })
    case 'transfer-started':
      return startHandOver(world, node, value as NodeId, step.order)
    case 'transfer-failed':
      node.handOver = null
      return
    case 'prepare-started':
      if (world.nodes.some((one) => one !== node && isCandidate(one))) {
        cover(coverage, 'election-tied')
      }
      return
    default:
  }
}

const isCandidate = <M>(node: SimNode<M>): boolean =>
  node.alive && node.driver.view.role === 'candidate'

type Lead = Parameters<World<unknown>['judge']['led']>

/** `node.leading` is set. */
export function noteLead<M>(
  world: World<M>,
  node: SimNode<M>,
  view: CoreView,
  [ballot, next]: [Lead[2], Lead[3]],
): void {
  const { judge, coverage } = world
  judge.led(node.place, node.life, ballot, next)
  note(world.trace, world.nowUs, node.place, -1, `LEADS ballot ${ballot}`)
  cover(coverage, 'election-won')
  endHandOvers(world, node)
  const { members } = view.membership
  const own = members.find(({ id }) => id === node.id)?.weight ?? 0
  const isLighter = members.some(({ role, weight }) => role === 'voter' && weight > own)
  if (isLighter) cover(coverage, 'election-won-by-lower-weight')
}

/** `node.leading` is what it was. */
export function noteUnlead<M>(world: World<M>, node: SimNode<M>, view: CoreView): void {
  note(world.trace, world.nowUs, node.place, -1, 'leads no more')
  const { coverage } = world
  const higher = node.leading !== null && view.promised > node.leading.ballot
  if (higher) cover(coverage, 'leader-down-by-higher-ballot')
  else if (node.stalledUntilUs > world.nowUs) cover(coverage, 'leader-down-by-disk')
  else cover(coverage, 'leader-down-by-lost-quorum')
}
