/**
 * Drives one bare core: inputs in, effects carried out on the simulated disk, links and apply.
 * Everything passes the codec on its way: messages as cells on the wire, records as WAL envelopes,
 * frames as checked bytes.
 *
 * Invariants: effects are carried out in order, before the next input; a frame of an effect still
 * has its bytes (its ring space is poisoned as soon as the core lets go of it); the judge sees each
 * effect before anybody else.
 */
import type { Core, Effect, Input } from '../core/engine.ts'
import type { NodeId } from '../core/ids.ts'
import { throughOf } from '../core/frame-ref.ts'
import { clockMs } from './clock.ts'
import { springAmbush } from './ambush.ts'
import { cover } from './coverage.ts'
import { answerChange, answerTransfer, causeOf, configure, orderOf } from './orders.ts'
import { newStep, noteEvent, noteLead, noteUnlead } from './core-events.ts'
import type { Engine } from './engines.ts'
import { type Frame, createFrameChecker } from './frames.ts'
import { demand } from './invariants.ts'
import type { Stored } from './log.ts'
import { drawUs } from './laws.ts'
import { transmit } from './network.ts'
import { below, between, chance } from './random.ts'
import { type RingFrame, place, skip, sweep } from './ring.ts'
import { DUE, type Driver, type SimNode, type World, later } from './world.ts'
import { abortGroup, loseRequests, settleApplied, settleRequests } from './clients.ts'
import { decode } from './wire.ts'
import { describeInput, describeMessage } from './describe.ts'
import { mix, note } from './trace.ts'

export const READ_RING = 0
export const INGEST_RING = 1
const GROUP_COUNT = 10
const BATCH_ENTRIES = 100
export const INPUT_CODES: Readonly<Record<Input<unknown>['kind'], number>> = {
  tick: 1,
  durable: 2,
  link: 3,
  message: 4,
  submitted: 5,
  'read-done': 6,
  applied: 7,
  pressure: 8,
  change: 9,
  transfer: 10,
  'read-asked': 11,
  'clock-jumped': 12,
  retained: 13,
}

export function createCoreDriver<M>(
  world: World<M>,
  engine: Engine<M>,
  nodeOf: () => SimNode<M>,
): Driver<M> {
  let core = undefined as unknown as Core<M>
  let effects: Effect<M>[] = []
  let floor = 0 as Core<M>['view']['chosen']
  const current = newStep()
  const { plan, judge, coverage, trace } = world
  const checkFrame = createFrameChecker()

  const boot = (): void => {
    const node = nodeOf()
    const found = node.disk.recover()
    const { stored } = node
    while (node.durableCount < found.lsn) {
      judge.durable(node.place, stored[node.durableCount++]!)
    }
    if (stored.length > found.lsn) cover(coverage, 'torn-tail-found')
    if (found.last > 0 && node.life > 1) cover(coverage, 'restart-with-log')
    stored.length = found.lsn
    judge.restarted(node.place, found)
    world.hooks?.restarted(node.place)
    core = engine.core(plan, node.member, node.life, found)
    later(world, below(node.random, plan.knobs.tickMs * 1_000), DUE.tick, node, null)
  }

  const give = (input: Input<M>): void => {
    const node = nodeOf()
    if (!node.alive) return
    world.events += 1
    node.steps += 1
    mix(trace, (world.nowUs << 6) ^ (node.place << 4) ^ INPUT_CODES[input.kind])
    if (trace.lines !== null) {
      const text = describeInput(input)
      if (text !== '') note(trace, world.nowUs, node.place, -1, text)
    }
    const { view } = core
    floor = view.chosen
    effects.length = 0
    if (input.kind === 'submitted') release(input.frames)
    current.order = orderOf(world, node, input)
    current.events.length = 0
    core.step(input, effects)
    const ordered = effects
    for (let i = 0; i < ordered.length; i++) carryOut(node, ordered[i]!)
    judge.viewed(node.place, view)
    const everything = (node.steps & 15) === 0
    for (const ring of node.rings) if (ring.frames.length > 0) sweep(ring, everything)
    const { leading } = node
    if (leading !== null && leading.next - 1 > view.last) cover(coverage, 'window-full')
  }

  const carryOut = (node: SimNode<M>, effect: Effect<M>): void => {
    switch (effect.kind) {
      case 'append':
        return append(node, effect)
      case 'send':
        return send(node, effect.to, effect.message, effect.frames)
      case 'read':
        demand(effect.from <= effect.through, 'I21', 'a read has a range')
        cover(coverage, 'read-from-disk')
        return later(world, drawUs(plan.laws.read, node.random), DUE.read, node, effect)
      case 'apply':
        return apply(node, effect)
      case 'chosen':
        judge.chosen(node.place, effect.through, effect.chain)
        return settleRequests(world, node, effect.through)
      case 'lead':
        node.leading = { ballot: effect.ballot, next: effect.next, admits: true }
        noteLead(world, node, core.view, [effect.ballot, effect.next])
        if (effect.abort) abortGroup(world, node)
        return
      case 'unlead':
        noteUnlead(world, node, core.view)
        node.leading = null
        return loseRequests(world, node)
      case 'admit':
        if (node.leading !== null) node.leading.admits = effect.open
        return
      case 'configure':
        return configure(world, node, effect, causeOf(world, node, current))
      case 'changed':
        return answerChange(world, node, effect.id, effect.outcome)
      case 'transferred':
        return answerTransfer(world, node, effect.id, effect.outcome)
      case 'event':
        return noteEvent(world, node, core.view, current, effect)
      default:
    }
  }

  const append = (node: SimNode<M>, effect: Effect<M> & { readonly kind: 'append' }): void => {
    const { lsn, record } = effect
    const frames = contentsOf(effect.frames, true)
    node.disk.append(lsn, record, floor, frames)
    const stored: Stored = { lsn, record, frames, floor }
    node.stored.push(stored)
    judge.ordered(node.place, stored)
    mix(trace, lsn)
    if (frames.length > 0 && frames.at(-1)!.through - frames[0]!.first >= BATCH_ENTRIES - 1) {
      cover(coverage, 'batch-of-100')
    }
    startSync(node)
  }

  const startSync = (node: SimNode<M>): void => {
    if (node.syncing || node.stored.length === node.durableCount) return
    node.syncing = true
    const stallUs = Math.max(0, node.stalledUntilUs - world.nowUs)
    const inUs = drawUs(plan.laws.sync, node.random) + stallUs
    later(world, inUs, DUE.synced, node, null, node.disk.lsn)
  }

  const synced = (lsn: number): void => {
    const node = nodeOf()
    node.syncing = false
    if (lsn - node.durableCount >= GROUP_COUNT) cover(coverage, 'group-commit-of-10')
    while (node.durableCount < lsn) judge.durable(node.place, node.stored[node.durableCount++]!)
    if (world.ambush !== null) springAmbush(world, world.ambush)
    if (!node.alive) return
    const input = { kind: 'durable', lsn }
    later(world, below(node.random, 1_000), DUE.input, node, input)
    startSync(node)
  }

  const send = (node: SimNode<M>, id: NodeId, message: M, refs: readonly unknown[]): void => {
    const to = world.nodes[id - 1]!
    demand(to !== node, 'I13', 'nobody sends to itself')
    const frames = refs.length === 0 ? NO_FRAMES : contentsOf(refs, true)
    judge.sent(node.place, to.place, message, frames)
    transmit(world, node, to, message, frames)
  }

  const deliver = (
    from: number,
    at: number,
    frames: readonly Frame[],
    overtaken: boolean,
  ): boolean => {
    const node = nodeOf()
    const message = decode(world.wire, at)
    if (message === null) return false
    for (const frame of frames) if (checkFrame(frame) !== 'ok') return false
    const sender = world.nodes[from]!
    if (trace.lines !== null) {
      note(trace, world.nowUs, from, node.place, describeMessage(message, frames))
    }
    judge.delivered(node.place, from, message, core.view, overtaken)
    const ring = node.rings[2 + from]!
    if (chance(node.random, plan.noise.gaps)) skip(ring)
    const placed: RingFrame[] = []
    for (const frame of frames) placed.push(place(ring, frame))
    give({ kind: 'message', from: sender.id, message, frames: placed })
    return true
  }

  const readDone = (payload: unknown): void => {
    const node = nodeOf()
    const effect = payload as Effect<M> & { readonly kind: 'read' }
    const { from, through, ticket, sizeBytesMax } = effect
    const own = node.disk.read(from, through, sizeBytesMax)
    const contents = own ?? judge.read(node.place, from, through, sizeBytesMax)
    const ring = node.rings[READ_RING]!
    skip(ring)
    const frames: RingFrame[] = []
    for (const content of contents) frames.push(place(ring, content))
    give({ kind: 'read-done', ticket, frames })
  }

  const apply = (node: SimNode<M>, effect: Effect<M> & { readonly kind: 'apply' }): void => {
    const frames = contentsOf(effect.frames, false)
    judge.applied(node.place, effect.first, frames)
    world.hooks?.applied(node.place, frames)
    if (!engine.indexed) settleApplied(world, node, frames)
    const count = engine.indexed ? 0 : frames.length
    const last = effect.frames.at(-1)!
    const through = engine.indexed ? throughOf(last) : effect.first + count - 1
    node.appliedAtUs = Math.max(
      node.appliedAtUs,
      world.nowUs + drawUs(plan.laws.apply, node.random),
    )
    const inUs = node.appliedAtUs - world.nowUs
    later(world, inUs, DUE.input, node, { kind: 'applied', through })
  }

  return {
    boot,
    give,
    deliver,
    readDone,
    synced,
    stop(keepAll) {
      const node = nodeOf()
      node.disk.crash(node.random, keepAll)
      for (const ring of node.rings) ring.frames.length = 0
      effects = [] // a step that was cut short leaves nothing behind
    },
    submit: null,
    get view() {
      return core.view
    },
  }
}

/** The core has them now: what it does not keep is free. */
function release(frames: readonly { kept: boolean }[]): void {
  for (const frame of frames) frame.kept = false
}

const NO_FRAMES: readonly Frame[] = []

/** The frames of an effect, whose bytes must still be theirs; in one range where asked. */
function contentsOf(refs: readonly unknown[], oneRange: boolean): readonly Frame[] {
  if (refs.length === 0) return NO_FRAMES
  const contents: Frame[] = []
  for (let i = 0; i < refs.length; i++) {
    const ref = refs[i] as RingFrame
    demand(!ref.gone, 'I8', 'a frame is used after its ring space was free')
    contents.push(ref.content)
    if (i === 0 || !oneRange) continue
    const before = refs[i - 1] as RingFrame
    const adjoins = before.ring === ref.ring && before.offset + before.sizeBytes === ref.offset
    demand(adjoins, 'I13', 'frames of an effect lie in one range')
  }
  return contents
}

/** The tick of a node, on its own clock, with a little jitter. */
export function tick<M>(world: World<M>, node: SimNode<M>): void {
  const { tickMs } = world.plan.knobs
  const inUs = tickMs * 1_000 + between(node.random, 0, 300 * tickMs)
  later(world, inUs, DUE.tick, node, null)
  node.driver.give({ kind: 'tick', now: clockMs(node.clock, world.nowUs) })
}
