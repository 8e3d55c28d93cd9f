/**
 * A world of an exploration: which node each place holds, what the judge knows, which messages are
 * under way, and how often what may still happen; all by the numbers of a lab. Its actions are
 * listed in one order, so a path is a list of places in these lists. Pure.
 *
 *     deliver / repeat   a message is taken; repeat: and stays under way
 *     sync               all that a node ordered is durable
 *     read               the oldest read of the own log is answered
 *     submit             a client's frame reaches a leader
 *     stand              a node starts phase 1
 *     round              a leader or candidate asks again, and tells what is chosen
 *     crash              power loss and restart; a prefix of what was not synced survives
 *
 * A message that is never delivered is lost, so an action that changes nothing is not taken.
 */
import type { NodeId } from '../../core/ids.ts'
import type { XPaxosMessage } from '../../core/xpaxos/messages.ts'
import { isElectable } from '../../core/membership.ts'
import { copyOf } from './copy.ts'
import type { Names } from './key.ts'
import {
  type Broken,
  type Lab,
  type Packet,
  type Result,
  bootLab,
  judgedOf,
  numberOfNode,
  resultOf,
} from './lab.ts'
import { type Node, type Outcome, answerRead, give, restart, stand, submit, sync } from './node.ts'

export interface World {
  readonly nodes: readonly number[]
  readonly ghost: number
  /** Messages under way: by number; where links keep the order, by link, each in its order. */
  readonly packets: readonly number[]
  readonly left: Left
}

export const isOrdered = ({ scope }: Lab): boolean => scope.bounds.ordered === 1

/** How often each may still happen, in the order of LEFT. */
export type Left = readonly number[]
const LEFT = { ballots: 0, entries: 1, crashes: 2, rounds: 3, repeats: 4, resets: 5 } as const

export type Action =
  | { readonly kind: 'deliver' | 'repeat'; readonly at: number; readonly node: number }
  | {
      readonly kind: 'sync' | 'read' | 'submit' | 'stand' | 'round'
      readonly node: number
    }
  | { readonly kind: 'crash'; readonly node: number; readonly kept: number }

export type Step =
  | { readonly kind: 'world'; readonly world: World }
  | { readonly kind: 'same' }
  | { readonly kind: 'broken'; readonly broken: Broken }

/** Where the scope begins; or what broke on the way there. */
export function firstWorld(lab: Lab): Step {
  const { ballots, entries, crashes, rounds, repeats, resets, led, suffix } = lab.scope.bounds
  const left = [ballots, entries, crashes, rounds, repeats, resets]
  const blank: World = { ...bootLab(lab), packets: [], left: [1, suffix, 0, 0, 0, 0] }
  if (led === 0) return { kind: 'world', world: { ...blank, left } }
  let step = settled(lab, take(lab, blank, { kind: 'stand', node: 0 }))
  for (let i = 0; i < suffix && step.kind === 'world'; i++) {
    step = take(lab, step.world, { kind: 'submit', node: 0 })
    if (step.kind === 'world') step = { kind: 'world', world: { ...step.world, packets: [] } }
    step = settled(lab, step)
  }
  if (step.kind !== 'world') return step
  const nodes = step.world.nodes.map((number) => withoutAttempts(lab, number))
  return { kind: 'world', world: { ...step.world, nodes, packets: [], left } }
}

/** Nothing is under way that names an attempt: they count anew, the same for nodes of a kind. */
function withoutAttempts(lab: Lab, number: number): number {
  const node = copyOf(lab.nodes.values[number]!)
  for (const peer of node.state.peers) peer.attempt = 0
  return numberOfNode(lab, node)
}

/** Whatever is under way happens, in order, until nothing is left that happens by itself. */
function settled(lab: Lab, first: Step): Step {
  let step = first
  while (step.kind === 'world') {
    const { world } = step
    const all = actionsOf(lab, world).filter(({ kind }) => kind !== 'submit')
    const steps = all.map((action) => take(lab, world, action))
    const next = steps.find(({ kind }) => kind !== 'same')
    if (next === undefined) return step
    step = next
  }
  return step
}

// ---- What can happen -------------------------------------------------------------------------

export function actionsOf(lab: Lab, { nodes, packets, left }: World): Action[] {
  const actions: Action[] = []
  packets.forEach((packet, at) => {
    const node = lab.packets.values[packet]!.to
    actions.push({ kind: 'deliver', at, node })
    if (left[LEFT.repeats]! > 0) actions.push({ kind: 'repeat', at, node })
  })
  nodes.forEach((number, node) => {
    const { state, unsynced, reads, leading } = lab.nodes.values[number]!
    if (unsynced.length > 0) actions.push({ kind: 'sync', node })
    if (reads.length > 0) actions.push({ kind: 'read', node })
    if (leading !== null && left[LEFT.entries]! > 0) actions.push({ kind: 'submit', node })
    const mayStand = lab.scope.standers.includes(node) && isElectable(state.self)
    if (mayStand && state.candidacy === null && left[LEFT.ballots]! > 0) {
      actions.push({ kind: 'stand', node })
    }
    const asks = leading !== null || state.candidacy?.selfPromised === true
    if (asks && left[LEFT.rounds]! > 0) actions.push({ kind: 'round', node })
    if (left[LEFT.crashes]! === 0) return
    for (let kept = 0; kept <= unsynced.length; kept++) actions.push({ kind: 'crash', node, kept })
  })
  return actions
}

/** Numbers the links; `names` are those of the nodes. */
export const linkOf = ({ from, to }: Packet, names?: Names): number =>
  names === undefined ? 16 * from + to : 16 * names[from + 1]! + names[to + 1]!

// ---- What becomes of it ----------------------------------------------------------------------

export function take(lab: Lab, world: World, action: Action): Step {
  switch (action.kind) {
    case 'deliver':
      return deliver(lab, world, action.at, true)
    case 'repeat':
      return deliver(lab, spend(world, 'repeats'), action.at, false)
    case 'sync':
      return change(lab, world, action.node, 0, sync)
    case 'read':
      return change(lab, world, action.node, 1, answerRead)
    case 'submit':
      return change(lab, spend(world, 'entries'), action.node, 2, (node) =>
        submit(node, lab.frames),
      )
    case 'stand':
      return change(lab, spend(world, 'ballots'), action.node, 3, stand)
    case 'round':
      return change(lab, spend(world, 'rounds'), action.node, 4, (node) =>
        give(node, [{ kind: 'tick', now: 0 }]),
      )
    case 'crash':
      return crash(lab, spend(world, 'crashes'), action.node, action.kept)
  }
}

function spend(world: World, what: keyof typeof LEFT): World {
  return { ...world, left: world.left.map((count, i) => (i === LEFT[what] ? count - 1 : count)) }
}

/** Actions have numbers of their own: those of a crash, of a link, and of a delivery from here. */
const RESETS = 8
const CRASHES = 32
const DELIVERIES = 64

function deliver(lab: Lab, world: World, at: number, isTaken: boolean): Step {
  const packet = world.packets[at]!
  const { from, to, message, frames } = lab.packets.values[packet]!
  const input = { kind: 'message', from: (from + 1) as NodeId, message, frames } as const
  const packets = isTaken ? without(lab, world.packets, at) : world.packets
  const before = world.nodes[to]!
  const result = resultOf(lab, to, before, DELIVERIES + packet, (node) => give(node, [input]))
  if ('invariant' in result) return { kind: 'broken', broken: result }
  if (result.node === before && result.sent.length === 0) return { kind: 'same' }
  if (result.resets > world.left[LEFT.resets]!) return { kind: 'same' } // lost
  const rest = result.resets > 0 ? spend(world, 'resets') : world
  return settle(lab, { ...rest, packets }, to, result)
}

/** Where links keep the order, what was sent before a message that arrives is lost. */
function without(lab: Lab, packets: readonly number[], at: number): number[] {
  if (!isOrdered(lab)) return packets.filter((_, i) => i !== at)
  const { from, to } = lab.packets.values[packets[at]!]!
  return packets.filter((number, i) => {
    const other = lab.packets.values[number]!
    return i > at || other.from !== from || other.to !== to
  })
}

function change(
  lab: Lab,
  world: World,
  place: number,
  action: number,
  act: (node: Node) => Outcome,
): Step {
  const result = resultOf(lab, place, world.nodes[place]!, action, act)
  if ('invariant' in result) return { kind: 'broken', broken: result }
  return settle(lab, world, place, result)
}

/** All links of the node go down with it and come up again. */
function crash(lab: Lab, world: World, place: number, kept: number): Step {
  const { members } = lab.scope
  const others = members.map(({ id }) => id).filter((id) => id !== place + 1)
  let step = change(lab, dropSessions(lab, world, place), place, CRASHES + kept, (node) =>
    restart(node, kept, others),
  )
  const peer = (place + 1) as NodeId
  for (const id of others) {
    if (step.kind !== 'world') return step
    step = change(lab, step.world, id - 1, RESETS + place, (node) =>
      give(node, [
        { kind: 'link', peer, up: false },
        { kind: 'link', peer, up: true },
      ]),
    )
  }
  return step
}

/** Nothing of an old session arrives where links keep the order; elsewhere it may. */
function dropSessions(lab: Lab, world: World, place: number): World {
  if (!isOrdered(lab)) return world
  const packets = world.packets.filter((number) => {
    const { from, to } = lab.packets.values[number]!
    return from !== place && to !== place
  })
  return { ...world, packets }
}

/** The node has changed: the judge hears of it, and its messages are under way. */
function settle(lab: Lab, world: World, place: number, result: Result): Step {
  const ghost = judgedOf(lab, world.ghost, place, result.notes)
  if (typeof ghost !== 'number') return { kind: 'broken', broken: ghost }
  const nodes = world.nodes.map((number, i) => (i === place ? result.node : number))
  if (result.led !== 0 && !isElected(lab, nodes, result.led)) {
    const message = 'I3: leads without a quorum of promises on disks'
    return { kind: 'broken', broken: { invariant: 'I3', message } }
  }
  const all = [...world.packets, ...result.sent]
  const keepsAll = lab.scope.bounds.stale === 1
  const packets = all.filter((number) => {
    const { to, message } = lab.packets.values[number]!
    return keepsAll || !isDead(lab.nodes.values[nodes[to]!]!, message)
  })
  const { values } = lab.packets
  if (isOrdered(lab)) packets.sort((a, b) => linkOf(values[a]!) - linkOf(values[b]!))
  else packets.sort((a, b) => a - b)
  return { kind: 'world', world: { ...world, nodes, ghost, packets } }
}

function isElected(lab: Lab, nodes: readonly number[], ballot: number): boolean {
  const { members } = lab.scope
  const voters = members.filter(({ role }) => role !== 'learner')
  const promised = voters.filter(
    ({ id }) => lab.nodes.values[nodes[id - 1]!]!.durable.promised >= ballot,
  )
  return promised.length >= (voters.length >> 1) + 1
}

/**
 * By the protocol's own rules the node will never answer it with more than a refusal: a ballot that
 * it gave up is not resumed, and one below its durable promise not taken. Where `stale` is 0 these
 * are lost; who doubts just these rules explores with 1.
 */
function isDead({ state, durable }: Node, message: XPaxosMessage): boolean {
  const { candidacy, leadership } = state
  switch (message.kind) {
    case 'heartbeat':
    case 'chosen':
    case 'prepare':
    case 'accept':
    case 'accept-sync':
      return message.ballot < durable.promised
    case 'promise':
    case 'accepted':
    case 'sync-taken':
    case 'fetched':
    case 'reject': {
      const own = candidacy?.ballot ?? leadership?.ballot
      return message.ballot !== 0 && message.ballot !== own
    }
    case 'hello':
      return leadership === null && candidacy?.selfPromised !== true
    default:
      return false
  }
}
