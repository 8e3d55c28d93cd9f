/**
 * Leases and reads, seen from outside the nodes: that nobody leads while another may read by lease
 * (I9), and how often what happened.
 */
import type { Effect, Input } from '../core/engine.ts'
import { isLeaseValid, leaseLifeOf } from '../ring/lease.ts'
import * as cell from '../stages/read-cells.ts'
import { wallMsOf, nowMsOf } from './clock.ts'
import { cover } from './coverage.ts'
import { demand } from './invariants.ts'
import { suspend } from './stage-ops.ts'
import type { StageNode, StageWorld } from './stage-world.ts'
import { type SimNode, type World, after } from './world.ts'

/**
 * The node has just come to lead: a quorum has promised its ballot. One that slept may find that it
 * has a lower ballot than who leads by now.
 */
export function checkLeases<M>(world: World<M>, stages: StageWorld, leader: SimNode<M>): void {
  if (stages.plan.leaseMs === 0) return
  for (const node of world.nodes) {
    const life = stages.nodes[node.place]!.life
    const isAbove = leader.leading!.ballot > (node.leading?.ballot ?? 0)
    if (node === leader || life === null || !isAbove) continue
    const { nowUs } = world
    const [now, wall] = [nowMsOf(node.clock, nowUs), wallMsOf(node.clock, nowUs)]
    const isHeld = isLeaseValid(life.lease, leaseLifeOf(life.lease), now, wall)
    demand(!isHeld, 'I9', `node ${leader.id} leads while node ${node.id} has a lease`)
  }
}

/** After a step of the core. */
export function noteReads<M>(
  world: World<M>,
  own: StageNode,
  node: SimNode<M>,
  input: Input<M>,
  effects: readonly Effect<M>[],
): void {
  const { coverage } = world
  if (input.kind === 'applied') own.applied = input.through
  if (input.kind === 'clock-jumped') cover(coverage, 'clock-jump-noticed')
  let shared = 0
  let isLeased = false
  for (const effect of effects) {
    if (effect.kind === 'send') shared += isIndexReply(effect.message) ? 1 : 0
    if (effect.kind === 'read-refused' && effect.reason === 'too-stale') {
      cover(coverage, 'stale-read-refused')
    }
    if (effect.kind !== 'read-ready') continue
    if (effect.lease) {
      isLeased = true
      own.leaseReads.set(effect.id, own.sleeps)
      doze(world, own, node)
    } else {
      shared += 1
      if (node.leading === null && effect.index > own.applied)
        cover(coverage, 'follower-read-waited')
    }
  }
  if (shared > 1) cover(coverage, 'read-index-batch')
  const isAsked = input.kind === 'read-asked' && input.mode === 'lease'
  if (isAsked && !isLeased && node.leading !== null) cover(coverage, 'lease-read-expired')
}

/** Between a read's index and its answer. */
function doze<M>(world: World<M>, own: StageNode, node: SimNode<M>): void {
  const forUs = own.dozeUs
  if (forUs === 0) return
  own.dozeUs = 0
  after(world, 1, () => node.alive && suspend(world, node, forUs))
}

const isIndexReply = (message: unknown): boolean =>
  (message as { readonly kind: string }).kind === 'read-index-reply'

/** A cell of the desk on its way to who asked: how a read by lease ended. */
export function noteAnswers<M>(
  { coverage }: World<M>,
  own: StageNode,
  words: Float64Array,
  base: number,
): void {
  if (words[base] !== cell.ANSWERS) return
  const sleeps = own.leaseReads.get(words[base + 1]!)
  if (sleeps === undefined) return
  own.leaseReads.delete(words[base + 1]!)
  const failure = cell.failureOfCode(words[base + 8]!)
  if (failure === null) cover(coverage, 'lease-read')
  else if (failure === 'lease-lost') {
    cover(coverage, own.sleeps > sleeps ? 'lease-read-after-pause' : 'lease-read-expired')
  }
}
