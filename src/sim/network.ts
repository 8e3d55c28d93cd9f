/**
 * Links: one session at a time between two nodes, two directions with their own chance. A session
 * keeps order and loses nothing until it breaks, as TCP does, unless the plan's noise says
 * otherwise; bytes that the codec refuses reset it, as a real link does.
 *
 * Invariants: nothing arrives from an older session, unless reordering is on; both ends are told of
 * a session's start and end in the order of these events.
 */
import { DUE, type SimNode, type World, after, later } from './world.ts'
import { drawUs } from './laws.ts'
import type { Frame } from './frames.ts'
import { flipFrame } from './frames.ts'
import { push } from './queue.ts'
import { type Random, below, chance, createRandom, next, split } from './random.ts'
import { crcAt, encode, encodeCell, flipBit } from './wire.ts'
import { mix, note } from './trace.ts'

interface Direction {
  blocked: boolean
  cloggedUntilUs: number
  lastAtUs: number
  sent: number
  /** Greatest number of a message that has arrived: a smaller one was overtaken. */
  arrived: number
  readonly random: Random
}

export interface Network {
  readonly count: number
  readonly directions: Direction[]
  /** Present session of each pair; 0: down. */
  readonly sessions: Int32Array
  nextSession: number
}

const RECONNECT_US = 4_000

export function createNetwork(count: number, random: Random): Network {
  const directions: Direction[] = []
  const base = next(split(random))
  for (let i = 0; i < count * count; i++) {
    directions.push({
      blocked: false,
      cloggedUntilUs: 0,
      lastAtUs: 0,
      sent: 0,
      arrived: 0,
      random: createRandom(base + 7_919 * i),
    })
  }
  return { count, directions, sessions: new Int32Array(count * count), nextSession: 1 }
}

const pairOf = ({ count }: Network, a: number, b: number): number =>
  a < b ? a * count + b : b * count + a

export const directionOf = ({ directions, count }: Network, from: number, to: number): Direction =>
  directions[from * count + to]!

export const sessionOf = (network: Network, a: number, b: number): number =>
  network.sessions[pairOf(network, a, b)]!

/** A new session, when both ends live and both directions pass. */
export function connect<M>(world: World<M>, a: SimNode<M>, b: SimNode<M>): void {
  const { network } = world
  if (a === b || !a.alive || !b.alive || sessionOf(network, a.place, b.place) !== 0) return
  const there = directionOf(network, a.place, b.place)
  const back = directionOf(network, b.place, a.place)
  if (there.blocked || back.blocked) return
  network.sessions[pairOf(network, a.place, b.place)] = network.nextSession++
  there.lastAtUs = back.lastAtUs = 0
  tell(world, a, b, true)
}

export function disconnect<M>(world: World<M>, a: SimNode<M>, b: SimNode<M>): void {
  const { network } = world
  if (a === b || sessionOf(network, a.place, b.place) === 0) return
  network.sessions[pairOf(network, a.place, b.place)] = 0
  tell(world, a, b, false)
}

function tell<M>(world: World<M>, a: SimNode<M>, b: SimNode<M>, up: boolean): void {
  if (a.alive) later(world, 0, DUE.input, a, { kind: 'link', peer: b.id, up })
  if (b.alive) later(world, 0, DUE.input, b, { kind: 'link', peer: a.id, up })
}

/** The session breaks and the ends dial again. */
export function reset<M>(world: World<M>, a: SimNode<M>, b: SimNode<M>): void {
  disconnect(world, a, b)
  const { random } = directionOf(world.network, a.place, b.place)
  after(world, RECONNECT_US + below(random, 4 * RECONNECT_US), () => connect(world, a, b))
}

/** Nothing passes from `from` to `to` any more; the session stays until somebody resets it. */
export function block<M>({ network }: World<M>, from: SimNode<M>, to: SimNode<M>): void {
  directionOf(network, from.place, to.place).blocked = true
}

/** Both directions are cut and both ends know it. */
export function cut<M>(world: World<M>, a: SimNode<M>, b: SimNode<M>): void {
  if (a === b) return
  block(world, a, b)
  block(world, b, a)
  disconnect(world, a, b)
}

export function mend<M>(world: World<M>, a: SimNode<M>, b: SimNode<M>): void {
  if (a === b) return
  const there = directionOf(world.network, a.place, b.place)
  const back = directionOf(world.network, b.place, a.place)
  const wasBlocked = there.blocked || back.blocked
  there.blocked = back.blocked = false
  if (wasBlocked) disconnect(world, a, b) // what was lost inside it is known lost
  connect(world, a, b)
}

export function eachPair<M>(
  { nodes }: World<M>,
  call: (a: SimNode<M>, b: SimNode<M>) => void,
): void {
  for (const a of nodes) for (const b of nodes) if (a.place < b.place) call(a, b)
}

export function mendAll<M>(world: World<M>): void {
  eachPair(world, (a, b) => mend(world, a, b))
}

/** Puts a message on its way, as bytes. */
export function transmit<M>(
  world: World<M>,
  from: SimNode<M>,
  to: SimNode<M>,
  message: M,
  frames: readonly Frame[],
): void {
  const { wire } = world
  launch(world, from, to, frames, (session) => {
    const payload = { sizeBytes: sizeOf(frames), frameCount: frames.length }
    return encode(wire, from.id, message, payload, session)
  })
}

/** The same for a cell that a stage made. */
export function transmitCell<M>(
  world: World<M>,
  from: SimNode<M>,
  to: SimNode<M>,
  words: Float64Array,
  base: number,
  frames: readonly Frame[],
): void {
  const { wire, nowUs } = world
  launch(world, from, to, frames, (session) => encodeCell(wire, words, base, session, nowUs))
}

function sizeOf(frames: readonly Frame[]): number {
  let sizeBytes = 0
  for (const frame of frames) sizeBytes += frame.sizeBytes
  return sizeBytes
}

/** @param placeOf writes a packet of its own into the wire */
function launch<M>(
  world: World<M>,
  from: SimNode<M>,
  to: SimNode<M>,
  frames: readonly Frame[],
  placeOf: (session: number) => number,
): void {
  const { network, plan, noisy } = world
  const session = sessionOf(network, from.place, to.place)
  const direction = directionOf(network, from.place, to.place)
  if (session === 0 || direction.blocked) return
  const { random } = direction
  const { noise } = plan
  const copies = noisy && chance(random, noise.duplicates) ? 2 : 1
  for (let i = 0; i < copies; i++) {
    if (noisy && chance(random, noise.loss)) continue
    const place = placeOf(session)
    mix(world.trace, crcAt(world.wire, place))
    let atUs = world.nowUs + drawUs(plan.laws.link, random)
    if (direction.cloggedUntilUs > atUs) atUs = direction.cloggedUntilUs
    if (noisy && noise.reorder) atUs += below(random, 4 * plan.laws.link.highUs + 1)
    else direction.lastAtUs = atUs = Math.max(atUs, direction.lastAtUs)
    let content = frames
    if (noisy && chance(random, noise.flips)) content = flip(world, random, place, frames)
    push(world.queue, atUs, {
      kind: DUE.deliver,
      node: to.place,
      life: direction.sent++,
      from: from.place,
      a: session,
      b: place,
      payload: content,
    })
  }
}

/** One bit of the header or of a frame turns. */
function flip<M>(
  world: World<M>,
  random: Random,
  place: number,
  frames: readonly Frame[],
): readonly Frame[] {
  const bit = next(random)
  if (frames.length === 0 || chance(random, 300)) {
    flipBit(world.wire, place, bit)
    return frames
  }
  const at = below(random, frames.length)
  note(world.trace, world.nowUs, -1, -1, `a bit of a frame turns (${frames[at]!.first})`)
  return frames.map((frame, i) => (i === at ? flipFrame(frame, bit) : frame))
}
