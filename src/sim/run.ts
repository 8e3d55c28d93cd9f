/**
 * One run: a plan carried out in one loop, judged all along, then its ending. The same plan gives
 * the same trace hash in any process. Pure: it reads no clock and no chance but the plan's.
 */
import type { Input, Member } from '../core/engine.ts'
import { createClock } from './clock.ts'
import { type Coverage, cover, createCoverage } from './coverage.ts'
import { createCoreDriver, tick } from './core-driver.ts'
import { type Engine, basicPaxosEngine, xpaxosEngine } from './engines.ts'
import { end } from './endings.ts'
import { type Frame, createArena } from './frames.ts'
import { type InvariantId, Violation, demand } from './invariants.ts'
import { connect, createNetwork, directionOf, eachPair, reset, sessionOf } from './network.ts'
import { endByDisk } from './disk-failure.ts'
import { carryOutOp } from './ops.ts'
import { type Plan, nodesOf } from './plan.ts'
import { createQueue, headTime, pop } from './queue.ts'
import { createRandom, split } from './random.ts'
import { createRecordDisk } from './record-disk.ts'
import { createRing } from './ring.ts'
import { type TraceLine, createTrace, hashOf, mix } from './trace.ts'
import { createStageDriver } from './stage-driver.ts'
import { endCalls } from './stage-endings.ts'
import { createStageWorld } from './stage-world.ts'
import { DUE, type Due, type Hooks, type SimNode, type World, isAsleep } from './world.ts'
import { createWire, release } from './wire.ts'
import { createWalDisk } from './wal-disk.ts'

export interface RunResult {
  readonly seed: number
  readonly className: string
  readonly traceHash: string
  /** Steps of cores. */
  readonly events: number
  readonly simulatedMs: number
  readonly violation: { readonly invariant: InvariantId; readonly message: string } | null
  readonly coverage: Coverage
  /** Requests by outcome. */
  readonly answered: number
  readonly lines: readonly TraceLine[]
}

export interface RunOptions {
  /** Keep the lines of the trace, for people. */
  readonly withLines?: boolean
  /** End quietly after so many steps, for who only wants to see a shorter run fail. */
  readonly eventsCap?: number
  readonly hooks?: Hooks
}

export function runPlan(plan: Plan, options: RunOptions = {}): RunResult {
  return plan.engine === 'xpaxos'
    ? runWith(plan, xpaxosEngine, options)
    : runWith(plan, basicPaxosEngine, options)
}

/** Thrown to end a run that has used up its steps; no violation. */
class Exhausted extends Error {}

function runWith<M>(plan: Plan, engine: Engine<M>, options: RunOptions): RunResult {
  const { eventsCap = Infinity } = options
  const world = createWorld(plan, engine, options)
  let violation: RunResult['violation'] = null
  try {
    for (const node of world.nodes.slice(0, plan.members.length)) {
      node.alive = true
      node.life = 1
      node.driver.boot()
    }
    eachPair(world, (a, b) => connect(world, a, b))
    const loop = createLoop(world, eventsCap)
    loop(plan.untilUs)
    end(world, loop)
    endCalls(world, loop)
  } catch (error) {
    violation = error instanceof Exhausted ? null : violationOf(error)
  }
  mix(world.trace, world.events)
  return {
    seed: plan.seed,
    className: plan.className,
    traceHash: hashOf(world.trace),
    events: world.events,
    simulatedMs: Math.floor(world.nowUs / 1_000),
    violation,
    coverage: world.coverage,
    answered: world.requests.filter(({ outcome }) => outcome === 'ok').length,
    lines: world.trace.lines ?? [],
  }
}

function violationOf(error: unknown): NonNullable<RunResult['violation']> {
  if (error instanceof Violation) {
    return { invariant: error.invariant, message: error.message }
  }
  const at = error instanceof Error ? (error.stack ?? '').split('\n')[1]?.trim() : ''
  const text = error instanceof Error ? error.message : String(error)
  return { invariant: 'no-panic', message: `no-panic: ${text} (${placeOf(at)})` }
}

/** File and line alone: paths of the machine do not appear. */
const placeOf = (line: string | undefined): string =>
  /([\w-]+\.[tj]s:\d+)/.exec(line ?? '')?.[1] ?? 'unknown place'

function createWorld<M>(plan: Plan, engine: Engine<M>, options: RunOptions): World<M> {
  const random = createRandom(plan.chanceSeed ^ 0x5eed)
  const coverage = createCoverage()
  const world: World<M> = {
    plan,
    hooks: options.hooks ?? null,
    random,
    queue: createQueue<Due>(),
    nodes: [],
    network: createNetwork(nodesOf(plan).length, split(random)),
    wire: createWire(engine.codec),
    judge: engine.judge(plan, coverage),
    arena: createArena(),
    coverage,
    trace: createTrace(options.withLines === true),
    requests: [],
    sessionSequences: [],
    stages: null,
    ambush: null,
    away: new Set(),
    orders: [],
    nowUs: 0,
    events: 0,
    noisy: true,
    refused: 0,
  }
  world.stages = createStageWorld(world)
  nodesOf(plan).forEach((member) => world.nodes.push(createNode(world, engine, member)))
  return world
}

function createNode<M>(world: World<M>, engine: Engine<M>, member: Member): SimNode<M> {
  const { plan, arena } = world
  const place = member.id - 1
  const { offsetMs, driftPpm } = plan.clocks[place]!
  const rings = Array.from({ length: 2 + nodesOf(plan).length }, (_, i) => createRing(i))
  const { stages } = world
  const driver =
    stages === null
      ? createCoreDriver(world, engine, () => node)
      : createStageDriver(world, stages, engine, () => node)
  const node: SimNode<M> = {
    place,
    id: member.id,
    member,
    driver,
    clock: createClock(offsetMs, driftPpm, plan.stages?.wallMs[place]),
    random: split(world.random),
    rings,
    disk:
      plan.realWal && stages === null ? createWalDisk(member.id, plan, arena) : createRecordDisk(),
    stored: [],
    durableCount: 0,
    syncing: false,
    syncFails: false,
    stalledUntilUs: 0,
    life: 0,
    alive: false,
    retired: false,
    pausedUntilUs: 0,
    held: [],
    leading: null,
    handOver: null,
    handOvers: 0,
    pending: [],
    appliedAtUs: 0,
    submittedAtUs: 0,
    steps: 0,
  }
  return node
}

/** Runs until a time. */
export type Loop = (untilUs: number) => void

function createLoop<M>(world: World<M>, eventsCap: number): Loop {
  const { plan, queue } = world
  const { ops, eventsMax } = plan
  let nextOp = 0
  return (untilUs) => {
    for (;;) {
      const opAtUs = nextOp < ops.length ? ops[nextOp]!.atUs : Infinity
      const headUs = headTime(queue)
      const atUs = opAtUs < headUs ? opAtUs : headUs
      if (atUs > untilUs) break
      if (world.events >= eventsMax || world.events >= eventsCap) exhaust(world)
      if (atUs > world.nowUs) world.nowUs = atUs
      if (opAtUs <= headUs) carryOutOp(world, ops[nextOp++]!)
      else carryOut(world, pop(queue))
    }
    world.nowUs = untilUs
  }
}

function exhaust<M>({ plan, events }: World<M>): never {
  const isEndless = events >= plan.eventsMax && plan.className !== 'micro'
  demand(!isEndless, 'L6', 'the run does not come to an end')
  throw new Exhausted()
}

function carryOut<M>(world: World<M>, due: Due): void {
  if (due.kind === DUE.call) return (due.payload as () => void)()
  const node = world.nodes[due.node]!
  if (due.kind === DUE.wake) return wake(world, node)
  if (due.kind === DUE.synced) {
    if (node.alive && due.life === node.life) synced(world, node, due.a)
    return
  }
  if (isAsleep(world, node)) node.held.push(due)
  else handOver(world, node, due)
}

/** What piled up is worked off in its order, at once. */
function wake<M>(world: World<M>, node: SimNode<M>): void {
  if (node.pausedUntilUs > world.nowUs) return
  const held = node.held.splice(0)
  for (const due of held) {
    if (world.events >= world.plan.eventsMax) return
    handOver(world, node, due)
  }
}

function handOver<M>(world: World<M>, node: SimNode<M>, due: Due): void {
  if (due.kind === DUE.deliver) {
    deliver(world, node, due)
    return release(world.wire, due.b)
  }
  if (!node.alive || due.life !== node.life) return
  if (due.kind === DUE.tick) tick(world, node)
  else if (due.kind === DUE.read) node.driver.readDone(due.payload)
  else node.driver.give(due.payload as Input<M>)
}

function deliver<M>(world: World<M>, node: SimNode<M>, due: Due): void {
  const { network, plan } = world
  const crosses = world.noisy && plan.noise.reorder
  if (!node.alive || (sessionOf(network, due.from, due.node) !== due.a && !crosses)) return
  const direction = directionOf(network, due.from, due.node)
  const overtaken = due.life < direction.arrived
  if (!overtaken) direction.arrived = due.life
  if (node.driver.deliver(due.from, due.b, due.payload as readonly Frame[], overtaken)) return
  cover(world.coverage, 'frame-checksum-failure')
  reset(world, node, world.nodes[due.from]!)
}

function synced<M>(world: World<M>, node: SimNode<M>, lsn: number): void {
  const fails = node.syncFails
  node.syncFails = false
  if (node.disk.sync(lsn as never, fails)) return node.driver.synced(lsn)
  endByDisk(world, node)
}
