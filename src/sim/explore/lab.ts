/**
 * What an exploration has met so far: each node, judge, message and list of notes once, by number,
 * and what each action made of a node. So the core runs once for a (node, input), however many
 * worlds have that node; a world is a handful of numbers (world.ts). Grows only; one owner.
 */
import type { NodeId } from '../../core/ids.ts'
import type { XPaxosMessage } from '../../core/xpaxos/messages.ts'
import type { XPaxosConfig } from '../../core/xpaxos/state.ts'
import { type InvariantId, Violation } from '../invariants.ts'
import { type ExploredFrame, type Frames, createFrames } from './frames.ts'
import { type Ghost, type Note, createGhost, judge, keyOfGhost } from './ghost.ts'
import { type Names, keyOfNode } from './key.ts'
import { type Node, type Outcome, bootNode } from './node.ts'
import type { Scope } from './scope.ts'

/** A message under way. */
export interface Packet {
  readonly from: number
  readonly to: number
  readonly message: XPaxosMessage
  readonly frames: readonly ExploredFrame[]
}

export interface Broken {
  readonly invariant: InvariantId
  readonly message: string
}

/** What an action made of a node: numbers of this lab. */
export interface Result {
  readonly node: number
  readonly sent: readonly number[]
  readonly notes: number
  /** The ballot that it began to lead; 0: none. */
  readonly led: number
  /** Streams that it started again. */
  readonly resets: number
}

/** Values by their text, each with a number; one name a permutation of the nodes. */
interface Book<T> {
  readonly values: T[]
  readonly numbers: Map<string, number>
  /** names[permutation][number] */
  readonly names: number[][]
}

export interface Lab {
  readonly scope: Scope
  /** Names of the nodes, by id, for each exchange of nodes that changes nothing. */
  readonly permutations: readonly Names[]
  readonly frames: Frames
  readonly nodes: Book<Node>
  readonly ghosts: Book<Ghost>
  readonly packets: Book<Packet>
  readonly notes: Book<readonly Note[]>
  readonly texts: Map<string, number>
  readonly results: Map<number, Result | Broken>
  readonly judged: Map<number, number | Broken>
  /** How often a core ran. */
  steps: number
}

const bookOf = <T>(permutations: readonly Names[]): Book<T> => ({
  values: [],
  numbers: new Map(),
  names: permutations.map(() => []),
})

export function createLab(scope: Scope): Lab {
  const permutations = permutationsOf(scope)
  return {
    scope,
    permutations,
    frames: createFrames(scope.bounds.frame),
    nodes: bookOf(permutations),
    ghosts: bookOf(permutations),
    packets: bookOf(permutations),
    notes: bookOf([]),
    texts: new Map(),
    results: new Map(),
    judged: new Map(),
    steps: 0,
  }
}

const NUMBERS = 2 ** 24

/** Every node starts from a blank disk, with all links up. */
export function bootLab(lab: Lab): { readonly nodes: number[]; readonly ghost: number } {
  const { scope } = lab
  const nodes = scope.members.map(({ id }) => numberOfNode(lab, bootNode(configOf(scope, id))))
  return { nodes, ghost: numberOfGhost(lab, createGhost(scope.members)) }
}

const configOf = ({ members }: Scope, self: NodeId): XPaxosConfig => ({
  self,
  members,
  heartbeatMs: 0, // every tick is a round
  electionTimeoutMs: 1_000_000,
  windowBytes: 2 ** 20,
  batchBytesMax: 64, // one frame a message
  batchEntriesMax: 1,
  catchUpBytesMax: 64,
  pipelineDepth: 2,
  seed: 1,
  requestBase: 0,
  leaseMs: 0,
  driftPerMille: 0,
})

/** Who never stands owns no ballot, so two of a kind may change places: their order is no rule. */
function permutationsOf({ members, standers }: Scope): Names[] {
  const identity = [0, ...members.map(({ id }) => id)]
  const all: Names[] = [identity]
  const idle = members.filter((_, place) => !standers.includes(place))
  for (const a of idle) {
    for (const b of idle) {
      if (a.id >= b.id || a.role !== b.role) continue
      const names: number[] = [...identity]
      names[a.id] = b.id
      names[b.id] = a.id
      all.push(names)
    }
  }
  return all
}

// ---- Numbers ---------------------------------------------------------------------------------

export const numberOfNode = (lab: Lab, node: Node): number =>
  numberOf(lab, lab.nodes, node, (names) => keyOfNode(node, names))

const numberOfGhost = (lab: Lab, ghost: Ghost): number =>
  numberOf(lab, lab.ghosts, ghost, (names) => keyOfGhost(ghost, names))

export const numberOfPacket = (lab: Lab, packet: Packet): number =>
  numberOf(lab, lab.packets, packet, (names) => {
    const { from, to, message, frames } = packet
    const fields: readonly unknown[] = Object.values(message)
    const words = [names[from + 1], names[to + 1], ...fields]
    return `${words.join()} ${frames.map(({ serial }) => serial).join()}`
  })

function numberOf<T>(lab: Lab, book: Book<T>, value: T, textOf: (names: Names) => string): number {
  const { values, numbers, names } = book
  const text = textOf(lab.permutations[0]!)
  const known = numbers.get(text)
  if (known !== undefined) return known
  const number = values.length
  values.push(value)
  numbers.set(text, number)
  for (const [i, all] of names.entries()) {
    all.push(nameOf(lab, i === 0 ? text : textOf(lab.permutations[i]!)))
  }
  return number
}

function nameOf({ texts }: Lab, text: string): number {
  const name = texts.get(text) ?? texts.size
  texts.set(text, name)
  return name
}

// ---- Actions, once each ----------------------------------------------------------------------

/** `action` numbers what is done to the node; equal numbers are equal actions. */
export function resultOf(
  lab: Lab,
  place: number,
  node: number,
  action: number,
  act: (before: Node) => Outcome,
): Result | Broken {
  const name = node * NUMBERS + action
  let result = lab.results.get(name)
  if (result === undefined) {
    lab.steps += 1
    result = guarded(() => noteOutcome(lab, place, act(lab.nodes.values[node]!)))
    lab.results.set(name, result)
  }
  return result
}

function noteOutcome(lab: Lab, place: number, { node, sent, notes, resets }: Outcome): Result {
  const packets: number[] = []
  for (const { to, message, frames } of sent) {
    if (isLost(message)) continue
    const packet = {
      from: place,
      to: to - 1,
      message: timeless(message),
      frames: frames as ExploredFrame[],
    }
    packets.push(numberOfPacket(lab, packet))
  }
  const led = notes.find(({ kind }) => kind === 'led') as { readonly ballot: number } | undefined
  const text = JSON.stringify(notes, (key, value: unknown) =>
    key === 'frames' ? (value as ExploredFrame[]).map(({ serial }) => serial) : value,
  )
  return {
    node: numberOfNode(lab, node),
    sent: packets,
    notes: numberOf(lab, lab.notes, notes, () => text),
    led: led?.ballot ?? 0,
    resets,
  }
}

/** What tells only who is alive is not delivered: who stands is the explorer's choice. */
const isLost = (message: XPaxosMessage): boolean =>
  message.kind === 'heartbeat-reply' || (message.kind === 'heartbeat' && message.ballot === 0)

const timeless = (message: XPaxosMessage): XPaxosMessage =>
  message.kind === 'heartbeat' ? { ...message, round: 0, held: 0 as never } : message

/** The judge of the cluster after the notes of one action. */
export function judgedOf(lab: Lab, ghost: number, place: number, notes: number): number | Broken {
  const list = lab.notes.values[notes]!
  if (list.length === 0) return ghost
  const name = (ghost * NUMBERS + notes) * 8 + place
  let judged = lab.judged.get(name)
  if (judged === undefined) {
    const before = lab.ghosts.values[ghost]!
    judged = guarded(() => numberOfGhost(lab, judge(before, place, list)))
    lab.judged.set(name, judged)
  }
  return judged
}

function guarded<T>(call: () => T): T | Broken {
  try {
    return call()
  } catch (error) {
    if (error instanceof Violation) return { invariant: error.invariant, message: error.message }
    const text = error instanceof Error ? error.message : String(error)
    return { invariant: 'no-panic', message: `no-panic: ${text}` }
  }
}
