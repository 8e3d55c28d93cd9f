/**
 * Clients: sessions that submit through whichever node leads, and know of each request one of three
 * outcomes. Refused: never proposed. Ok: the leader that took it reported it chosen, a group up to
 * its last frame. All else is unknown. Values are serial numbers.
 *
 * Invariants (I12): what is ok is chosen by what lies on disks; what is refused never is.
 */
import { FRAME_KIND } from '../codec/frame.ts'
import type { Ballot } from '../core/ids.ts'
import { cover } from './coverage.ts'
import { type Frame, makeFrame } from './frames.ts'
import { demand } from './invariants.ts'
import { drawUs } from './laws.ts'
import { LEADER, type Op } from './plan.ts'
import { chance } from './random.ts'
import { place, skip } from './ring.ts'
import { INGEST_RING } from './core-driver.ts'
import { DUE, type SimNode, type World, later, leaderOf } from './world.ts'

/** @returns false when it was refused */
export function submit<M>(world: World<M>, op: Op & { readonly kind: 'submit' }): boolean {
  const node = op.node === LEADER ? servedBy(world, op.session) : world.nodes[op.node]
  if (node === undefined || !node.alive || node.leading?.admits !== true) return refuse(world)
  const { leading, driver } = node
  if (driver.submit !== null) return driver.submit(op)
  const isBasic = world.plan.engine === 'basic-paxos'
  const backlog = isBasic ? node.pending.length : leading.next - 1 - driver.view.chosen
  if (backlog > world.plan.knobs.backlogEntriesMax) {
    cover(world.coverage, 'request-refused-by-limit')
    return refuse(world)
  }
  const frameCount = op.groupFrames ?? 1
  for (let left = frameCount; left > 0; left--) {
    const frame = frameFor(world, node, op, left > 1)
    handToCore(world, node, leading.ballot, [frame])
    if (left > 1) continue
    const request = { frame, node: node.place, atUs: world.nowUs, outcome: 'pending' as const }
    world.requests.push(request)
    node.pending.push(request)
  }
  return true
}

function frameFor<M>(
  world: World<M>,
  node: SimNode<M>,
  op: Op & { readonly kind: 'submit' },
  continues: boolean,
): Frame {
  const leading = node.leading!
  const isBasic = world.plan.engine === 'basic-paxos'
  if (chance(node.random, world.plan.noise.gaps)) skip(node.rings[INGEST_RING]!)
  const sequence = (world.sessionSequences[op.session] ?? 0) + 1
  world.sessionSequences[op.session] = sequence + op.count - 1
  const { hooks } = world
  const frame = makeFrame(world.arena, {
    first: isBasic ? 0 : leading.next,
    count: isBasic ? 1 : op.count,
    ballot: leading.ballot,
    payloadSizeBytes: op.payloadSizeBytes,
    payloadOf: hooks === null ? null : () => hooks.payload(),
    session: op.session + 1,
    sessionSequence: sequence,
    continues,
  })
  if (!isBasic) leading.next += op.count
  return frame
}

/** Ingest's way: stamped frames reach the core a little later, in the order of their stamps. */
export function handToCore<M>(
  world: World<M>,
  node: SimNode<M>,
  ballot: Ballot,
  contents: readonly Frame[],
): void {
  const frames = contents.map((content) => place(node.rings[INGEST_RING]!, content))
  for (const frame of frames) frame.kept = true // ingest holds it until the core has seen it
  const atUs = world.nowUs + drawUs(world.plan.laws.submit, node.random)
  const input = { kind: 'submitted', ballot, frames }
  node.submittedAtUs = Math.max(node.submittedAtUs, atUs)
  later(world, node.submittedAtUs - world.nowUs, DUE.input, node, input)
}

/** The log of a new leader ends within a group: an abort goes before anything else (R38). */
export function abortGroup<M>(world: World<M>, node: SimNode<M>): void {
  const leading = node.leading!
  const frame = makeFrame(world.arena, {
    ...{ first: leading.next, count: 1, ballot: leading.ballot, kind: FRAME_KIND.abort },
    ...{ payloadSizeBytes: 0, payloadOf: null, session: 0, sessionSequence: 0 },
  })
  leading.next += 1
  handToCore(world, node, leading.ballot, [frame])
}

/** Sessions stick to different leaders while there are several: one of them is an old one. */
function servedBy<M>(world: World<M>, session: number): SimNode<M> | undefined {
  let count = 0
  for (const node of world.nodes) if (node.alive && node.leading !== null) count += 1
  if (count <= 1) return leaderOf(world)
  let left = session % count
  for (const node of world.nodes) {
    if (node.alive && node.leading !== null && left-- === 0) return node
  }
  return undefined
}

function refuse<M>(world: World<M>): boolean {
  world.refused += 1
  cover(world.coverage, 'request-refused')
  return false
}

/** Everything through `through` is chosen: the clients of this leader are told so. */
export function settleRequests<M>(world: World<M>, node: SimNode<M>, through: number): void {
  if (node.leading === null || world.plan.engine === 'basic-paxos') return
  const { pending } = node
  let count = 0
  while (count < pending.length && pending[count]!.frame.through <= through) {
    const request = pending[count++]!
    request.outcome = 'ok'
    demand(world.judge.isChosen(request.frame), 'I12', 'ok, and it is not chosen')
  }
  if (count > 0) pending.splice(0, count)
}

/** The node leads no more, or is gone: nobody will ever tell its clients. */
export function loseRequests<M>(world: World<M>, node: SimNode<M>): void {
  const { pending } = node
  if (pending.length === 0) return
  for (const request of pending) request.outcome = 'unknown'
  pending.length = 0
  cover(world.coverage, 'unknown-outcome')
}

/** Basic Paxos answers for every value that its own apply saw. */
export function settleApplied<M>(
  world: World<M>,
  { pending }: SimNode<M>,
  frames: readonly Frame[],
): void {
  for (const frame of frames) {
    const at = pending.findIndex((request) => request.frame === frame)
    if (at < 0) continue
    pending[at]!.outcome = 'ok'
    demand(world.judge.isChosen(frame), 'I12', 'ok, and it is not chosen')
    pending.splice(at, 1)
  }
}
