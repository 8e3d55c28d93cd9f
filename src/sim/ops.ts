/**
 * Carries out the operations of a plan: faults, repairs, requests. Whatever its target is by then,
 * an operation is harmless when it makes no sense (a crash of a dead node), so that any subset of a
 * plan is a run.
 */
import { bend } from './clock.ts'
import { carryOutOperator } from './operators.ts'
import { loseOrders } from './orders.ts'
import { loseRequests, submit } from './clients.ts'
import { cover } from './coverage.ts'
import { block, connect, cut, directionOf, disconnect, eachPair, mend } from './network.ts'
import { mendAll, reset, sessionOf } from './network.ts'
import { LEADER, type Op } from './plan.ts'
import { below } from './random.ts'
import { type StageOp, carryOutStageOp, isStageOp } from './stage-ops.ts'
import { note } from './trace.ts'
import { release } from './wire.ts'
import { DUE, type SimNode, type World, after, later, leaderOf } from './world.ts'

export function carryOutOp<M>(world: World<M>, op: Op): void {
  if (op.kind === 'submit') return void submit(world, op)
  if (op.kind === 'call') return carryOutStageOp(world, op)
  if (world.trace.lines !== null) note(world.trace, world.nowUs, -1, -1, opText(op))
  if (op.kind === 'power') {
    for (const node of world.nodes) crash(world, node, false)
    return
  }
  if (op.kind === 'mend-all') return mendAll(world)
  if (op.kind === 'chain') return chain(world)
  if (isStageOp(op)) return carryOutStageOp(world, op)
  const node = op.node === LEADER ? leaderOf(world) : world.nodes[op.node]
  if (node === undefined) return
  if ('other' in op) return onLink(world, op, node, world.nodes[op.other]!)
  onNode(world, op, node)
}

type LinkOp = Extract<Op, { readonly other: number }>
type NodeOp = Exclude<
  Op,
  LinkOp | StageOp | { readonly kind: 'submit' | 'power' | 'mend-all' | 'chain' }
>

const opText = (op: Op): string =>
  Object.entries(op)
    .filter(([name]) => name !== 'atUs')
    .map(([name, value]) => (name === 'kind' ? `** ${value}` : `${name} ${value}`))
    .join(' ')

function onLink<M>(world: World<M>, op: LinkOp, node: SimNode<M>, other: SimNode<M>): void {
  if (node === other) return
  switch (op.kind) {
    case 'cut':
      return cut(world, node, other)
    case 'one-way':
      return block(world, node, other)
    case 'mend':
      return mend(world, node, other)
    case 'reset':
      return reset(world, node, other)
    case 'clog': {
      const direction = directionOf(world.network, node.place, other.place)
      direction.cloggedUntilUs = Math.max(direction.cloggedUntilUs, world.nowUs + op.forUs)
    }
  }
}

function onNode<M>(world: World<M>, op: NodeOp, node: SimNode<M>): void {
  switch (op.kind) {
    case 'crash':
      return crash(world, node, false)
    case 'kill':
      return crash(world, node, true)
    case 'restart':
      return restart(world, node)
    case 'isolate':
      for (const other of world.nodes) cut(world, node, other)
      return
    case 'hub':
      return hub(world, node)
    case 'pause':
      return pause(world, node, op.forUs)
    case 'stall':
      node.stalledUntilUs = Math.max(node.stalledUntilUs, world.nowUs + op.forUs)
      return
    case 'fail-sync':
      node.syncFails = true
      return
    case 'clock':
      return bend(node.clock, world.nowUs, op.driftPpm, op.stepUs)
    case 'pressure':
      if (!node.alive) return
      cover(world.coverage, 'ring-pressure')
      return node.driver.give({ kind: 'pressure', ring: op.ring % node.rings.length })
    case 'operator':
      return carryOutOperator(world, op, node)
  }
}

/** Only the links of the hub stay. */
function hub<M>(world: World<M>, node: SimNode<M>): void {
  eachPair(world, (a, b) => {
    if (a !== node && b !== node) cut(world, a, b)
  })
}

/** Each node sees its two neighbours. */
function chain<M>(world: World<M>): void {
  eachPair(world, (a, b) => {
    if (b.place !== a.place + 1) cut(world, a, b)
  })
}

export function pause<M>(world: World<M>, node: SimNode<M>, forUs: number): void {
  const until = world.nowUs + forUs
  if (node.alive && until > node.pausedUntilUs) {
    node.pausedUntilUs = until
    if (world.stages !== null) world.stages.nodes[node.place]!.sleeps += 1
    later(world, forUs, DUE.wake, node, null)
  }
  const led = node.leading?.ballot ?? 0
  if (led === 0) return
  after(world, forUs + 1_000, () => {
    const leader = leaderOf(world)
    if (leader !== undefined && leader !== node && leader.leading!.ballot > led) {
      cover(world.coverage, 'pause-outlived-election')
    }
  })
}

/** Power loss, or with `keepCache` the end of the process alone. */
export function crash<M>(world: World<M>, node: SimNode<M>, keepCache: boolean): void {
  if (!node.alive) return
  note(world.trace, world.nowUs, node.place, -1, 'CRASHES')
  node.alive = false
  node.leading = null
  node.handOver = null
  node.handOvers = 0
  node.syncing = false
  node.pausedUntilUs = 0
  for (const due of node.held.splice(0)) if (due.kind === DUE.deliver) release(world.wire, due.b)
  loseRequests(world, node)
  loseOrders(world, node)
  node.driver.stop(keepCache)
  const timeoutUs = world.plan.knobs.electionTimeoutMs * 1_000
  for (const other of world.nodes) {
    const session = sessionOf(world.network, node.place, other.place)
    if (other === node || session === 0) continue
    // A process that ends is noticed at once; a machine that ends later, or by the next session.
    const inUs = keepCache ? 0 : below(node.random, 2 * timeoutUs)
    after(world, inUs, () => {
      if (sessionOf(world.network, node.place, other.place) === session) {
        disconnect(world, node, other)
      }
    })
  }
}

/** The machine of a removed node is taken away for good. */
export function retire<M>(world: World<M>, node: SimNode<M>): void {
  crash(world, node, true)
  node.retired = true
}

export function restart<M>(world: World<M>, node: SimNode<M>): void {
  if (node.alive || node.retired || world.away.has(node.place)) return
  note(world.trace, world.nowUs, node.place, -1, 'RESTARTS')
  for (const other of world.nodes) disconnect(world, node, other)
  node.life += 1
  node.alive = true
  node.driver.boot()
  for (const other of world.nodes) connect(world, node, other)
}
