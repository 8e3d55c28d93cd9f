/**
 * A core as the decide stage drives it, watched from outside: each input is counted, hashed and
 * noted, each effect is shown to the judge before the stage carries it out. What it orders to leave
 * is told to the links, which know it again when it does.
 *
 * Invariant: it changes nothing that passes.
 */
import { FRAME_KIND } from '../codec/frame.ts'
import type { Core, Effect, Input } from '../core/engine.ts'
import { throughOf } from '../core/frame-ref.ts'
import type { Ballot } from '../core/ids.ts'
import type { LogRing } from '../ring/log-ring.ts'
import { tell } from './chronicle.ts'
import { INPUT_CODES } from './core-driver.ts'
import { newStep, noteEvent, noteLead, noteUnlead } from './core-events.ts'
import { cover } from './coverage.ts'
import { describeInput, describeMessage } from './describe.ts'
import { enterFrame, framesOf } from './frame-book.ts'
import type { Frame } from './frames.ts'
import { demand } from './invariants.ts'
import {
  type Cause,
  answerChange,
  answerTransfer,
  causeOf,
  noteConfigured,
  orderOf,
} from './orders.ts'
import type { Stored } from './log.ts'
import { checkLeases, noteReads } from './lease-watch.ts'
import type { StageLink } from './stage-link.ts'
import type { StageWorld } from './stage-world.ts'
import { mix, note } from './trace.ts'
import type { SimNode, World } from './world.ts'

const BATCH_ENTRIES = 100

export interface CoreWatch {
  /** The links of this life, by node id. */
  readonly links: ReadonlyMap<number, Pick<StageLink, 'order'>>
  readonly logRings: () => readonly LogRing[]
}

export function watchCore<M>(
  world: World<M>,
  stages: StageWorld,
  node: SimNode<M>,
  core: Core<M>,
  { links, logRings }: CoreWatch,
): Core<M> {
  const { judge, coverage, trace, nodes } = world
  const { book } = stages
  const { view } = core
  let floor = view.chosen
  const current = newStep()
  /** Config batches that the core asked for, and ingest has not published. */
  const wanted: (Cause & { readonly ballot: Ballot })[] = []
  let config: Frame | null = null

  const before = (input: Input<M>): void => {
    world.events += 1
    node.steps += 1
    mix(trace, (world.nowUs << 6) ^ (node.place << 4) ^ INPUT_CODES[input.kind])
    if (trace.lines !== null) noteInput(input)
    floor = view.chosen
    if (input.kind === 'submitted') {
      const rings = logRings()
      for (const ref of input.frames) noteProtocol(enterFrame(book, ref, rings[ref.ring]!))
      if (node.leading?.ballot === input.ballot) {
        node.leading.next = throughOf(input.frames.at(-1)!) + 1
      }
    } else if (input.kind === 'message') {
      judge.delivered(node.place, input.from - 1, input.message, view, false)
    } else if (input.kind === 'applied') {
      const isEnd = stages.chronicle.ends.has(input.through)
      demand(isEnd, 'I19', `told applied through ${input.through}, where no frame ends`)
    } else if (input.kind === 'retained') {
      cover(coverage, 'log-trimmed')
    } else if (input.kind === 'pressure') {
      cover(coverage, 'ring-pressure')
    } else if (input.kind === 'durable') {
      const synced = node.stored[node.durableCount - 1]?.lsn ?? 0
      demand(input.lsn <= synced, 'I8', `told durable through ${input.lsn}, synced ${synced}`)
    }
  }
  /** Ingest gives indexes to what the core asked for, in the order in which it asked. */
  const noteProtocol = (frame: Frame): void => {
    if (frame.kind === FRAME_KIND.config) config = frame
    if (frame.kind !== FRAME_KIND.empty || frame.ballot !== node.leading?.ballot) return
    const cause = wanted.shift()
    demand(cause?.ballot === frame.ballot, 'I11', 'an empty batch that nobody asked for')
    noteConfigured(world, node, frame.ballot, { config, empty: frame }, cause!)
    config = null
  }
  const noteInput = (input: Input<M>): void => {
    if (input.kind === 'message') {
      const text = describeMessage(input.message, framesOf(book, input.frames))
      return note(trace, world.nowUs, input.from - 1, node.place, text)
    }
    const text = describeInput(input)
    if (text !== '') note(trace, world.nowUs, node.place, -1, text)
  }
  const onEffect = (effect: Effect<M>): void => {
    switch (effect.kind) {
      case 'append':
        return onAppend(effect)
      case 'send': {
        const to = nodes[effect.to - 1]!
        demand(to !== node, 'I13', 'nobody sends to itself')
        const frames = framesOf(book, effect.frames)
        judge.sent(node.place, to.place, effect.message, frames)
        return links.get(effect.to)?.order(effect.message, frames, null)
      }
      case 'send-by-lease':
        return links.get(effect.to)?.order(effect.message, [], effect.otherwise)
      case 'read':
        demand(effect.from <= effect.through, 'I21', 'a read has a range')
        return cover(coverage, 'read-from-disk')
      case 'apply': {
        const frames = framesOf(book, effect.frames)
        judge.applied(node.place, effect.first, frames)
        return tell(stages.chronicle, frames)
      }
      case 'chosen':
        return judge.chosen(node.place, effect.through, effect.chain)
      case 'lead':
        node.leading = { ballot: effect.ballot, next: effect.next, admits: true }
        noteLead(world, node, view, [effect.ballot, effect.next])
        return checkLeases(world, stages, node)
      case 'unlead':
        noteUnlead(world, node, view)
        wanted.length = 0
        node.leading = null
        return
      case 'admit':
        if (node.leading !== null) node.leading.admits = effect.open
        return
      case 'configure':
        return onConfigure(effect.ballot)
      case 'changed':
        return answerChange(world, node, effect.id, effect.outcome)
      case 'transferred':
        return answerTransfer(world, node, effect.id, effect.outcome)
      case 'event':
        return noteEvent(world, node, view, current, effect)
      default:
    }
  }
  const onConfigure = (ballot: Ballot): void => {
    wanted.push({ ballot, ...causeOf(world, node, current) })
  }
  const onAppend = (effect: Effect<M> & { readonly kind: 'append' }): void => {
    const { lsn, record } = effect
    const frames = framesOf(book, effect.frames)
    const stored: Stored = { lsn, record, frames, floor }
    node.stored.push(stored)
    judge.ordered(node.place, stored)
    mix(trace, lsn)
    if (frames.length > 0 && frames.at(-1)!.through - frames[0]!.first >= BATCH_ENTRIES - 1) {
      cover(coverage, 'batch-of-100')
    }
  }
  return {
    step(input, effects) {
      before(input)
      current.order = orderOf(world, node, input)
      current.events.length = 0
      core.step(input, effects)
      for (const effect of effects) onEffect(effect)
      noteReads(world, stages.nodes[node.place]!, node, input, effects)
      judge.viewed(node.place, view)
    },
    view,
  }
}
