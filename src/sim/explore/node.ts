/**
 * One node of an exploration: its core's state, its disk, and what the judge knows of it, as one
 * value that is never changed once it is made. An action copies it, carries one input out on the
 * copy, and says what others see: messages, and notes for the judge of the cluster (ghost.ts). What
 * can be judged from one node alone is judged here. Pure.
 *
 * Invariants: effects are carried out in order, and apply answers at once; a restart finds what the
 * fold of production makes of the records that were durable, and the judge's own fold agrees.
 */
import type { Effect, Input } from '../../core/engine.ts'
import { type FrameRef, throughOf } from '../../core/frame-ref.ts'
import { type Ballot, type LogIndex, type Lsn, type NodeId, ballotOwner } from '../../core/ids.ts'
import { step } from '../../core/xpaxos/core.ts'
import type { XPaxosMessage } from '../../core/xpaxos/messages.ts'
import { standForLeader } from '../../core/xpaxos/phase1.ts'
import { BLANK, type State, type XPaxosConfig, createState } from '../../core/xpaxos/state.ts'
import { lastOf } from '../../core/xpaxos/tail.ts'
import { EMPTY_START, type Fold, foldRecord, openFold } from '../../wal/fold.ts'
import { demand } from '../invariants.ts'
import { type Log, type Stored, copyLog, emptyLog, foldInto, framesFrom } from '../log.ts'
import { copyOf } from './copy.ts'
import { type ExploredFrame, type Frames, contentsOf } from './frames.ts'
import type { Note } from './ghost.ts'
import { judgeSent, judgeView } from './local-judge.ts'

export interface Node {
  state: State
  /** What ingest may stamp; null: it does not lead. */
  leading: { readonly ballot: Ballot; readonly next: number } | null
  /** Records that are ordered and not durable. */
  unsynced: Stored[]
  /** The fold of all that is durable: production's, and the judge's own. */
  readonly fold: Fold
  readonly durable: Log
  /** The judge's fold of all that was ordered. */
  written: Log
  /** Reads of the own log that are not answered yet. */
  reads: Read[]
  // What the judge remembers.
  promiseSent: number
  floor: number
  applyNext: number
}

type Read = Effect<XPaxosMessage> & { readonly kind: 'read' }
type XInput = Input<XPaxosMessage>

export interface Sent {
  readonly to: NodeId
  readonly message: XPaxosMessage
  readonly frames: readonly FrameRef[]
}

/** What an action made of a node, and what others see of it. */
export interface Outcome {
  readonly node: Node
  readonly sent: Sent[]
  readonly notes: Note[]
  /** Streams that it started again. */
  resets: number
}

/** On a blank disk, with all links up; what they greet each other with tells nothing. */
export function bootNode(config: XPaxosConfig): Node {
  const node = blankNode(config)
  const others = config.members.filter(({ id }) => id !== config.self)
  return give(
    node,
    others.map(({ id: peer }) => ({ kind: 'link', peer, up: true })),
  ).node
}

function blankNode(config: XPaxosConfig): Node {
  return {
    state: createState(config, BLANK),
    leading: null,
    unsynced: [],
    fold: openFold(EMPTY_START),
    durable: emptyLog(),
    written: emptyLog(),
    reads: [],
    promiseSent: 0,
    floor: 0,
    applyNext: 1,
  }
}

const outcomeOf = (before: Node): Outcome => ({
  node: copyOf(before),
  sent: [],
  notes: [],
  resets: 0,
})

// ---- Actions ---------------------------------------------------------------------------------

export function give(before: Node, inputs: readonly XInput[]): Outcome {
  const outcome = outcomeOf(before)
  for (const input of inputs) stepNode(outcome, input)
  return outcome
}

/** The next frame of a client, stamped by ingest. Only while it leads. */
export function submit(before: Node, frames: Frames): Outcome {
  const outcome = outcomeOf(before)
  const { node } = outcome
  const { ballot, next } = node.leading!
  const frame = frames(ballot, next)
  node.leading = { ballot, next: throughOf(frame) + 1 }
  stepNode(outcome, { kind: 'submitted', ballot, frames: [frame] })
  return outcome
}

/** An election timer ends here and nobody is content: what only liveness would forbid. */
export function stand(before: Node): Outcome {
  const outcome = outcomeOf(before)
  const effects: Effect<XPaxosMessage>[] = []
  standForLeader(outcome.node.state, effects)
  carryOut(outcome, effects, before.state.floor)
  stepNode(outcome, NOTHING)
  return outcome
}
const NOTHING: XInput = { kind: 'clock-jumped' }

/** Everything that was ordered is durable now. */
export function sync(before: Node): Outcome {
  const outcome = outcomeOf(before)
  makeDurable(outcome, before.unsynced.length)
  const lsn = before.state.nextLsn - 1
  stepNode(outcome, { kind: 'durable', lsn: lsn as Lsn })
  return outcome
}

/** The oldest read of the own log is answered. */
export function answerRead(before: Node): Outcome {
  const outcome = outcomeOf(before)
  const { ticket, from, through, sizeBytesMax } = outcome.node.reads.shift()!
  const found = framesFrom(outcome.node.written.frames, from, through, sizeBytesMax)
  const frames = found as ExploredFrame[] // all frames here are
  stepNode(outcome, { kind: 'read-done', ticket, frames })
  return outcome
}

/** A power loss that leaves the first `kept` of the records that were not synced, and a restart. */
export function restart(before: Node, kept: number, peers: readonly NodeId[]): Outcome {
  const outcome = outcomeOf(before)
  const { node } = outcome
  makeDurable(outcome, kept)
  const { fold, durable } = node
  fold.sync = null
  durable.sync = null
  demand(fold.promised >= node.promiseSent, 'I2', 'a promise that left is gone after a restart')
  demand(fold.promised === durable.promised, 'I2', 'recovery finds another promise')
  demand(fold.acceptedBallot === durable.acceptedBallot, 'I8', 'recovery finds another ballot')
  demand(fold.last === durable.last, 'I8', 'recovery finds another last index')
  demand(fold.lastChain === (durable.chains.at(-1) ?? 0), 'I5', 'recovery finds another log')
  const { promised, acceptedBallot, floor, floorChain, floorContinues, marks } = fold
  const chosen = { floor, floorChain, floorContinues }
  const recovered = { promised, acceptedBallot, ...chosen, marks: [...marks] }
  const nextLsn = (fold.lsn + 1) as Lsn
  const found = { ...recovered, firstRetained: BLANK.firstRetained, nextLsn }
  node.state = createState(before.state.config, found)
  node.leading = null
  node.unsynced = []
  node.reads = []
  node.written = copyLog(durable)
  node.floor = 0
  node.applyNext = 1
  for (const peer of peers) stepNode(outcome, { kind: 'link', peer, up: true })
  return outcome
}

// ---- One step --------------------------------------------------------------------------------

function makeDurable({ node, notes }: Outcome, count: number): void {
  for (const stored of node.unsynced.splice(0, count)) {
    const { record, lsn, floor, frames } = stored
    foldInto(node.durable, stored)
    foldRecord(node.fold, record, lsn, floor, frames)
    if (record.kind !== 'entries' && record.kind !== 'sync-commit') continue
    const { frames: held, last } = node.durable
    const from = record.kind === 'entries' ? held.length - frames.length : 0
    notes.push({ kind: 'vote', ballot: record.ballot, frames: held.slice(), last, from })
  }
}

function stepNode(outcome: Outcome, input: XInput): void {
  const { node } = outcome
  const inputs: XInput[] = [input]
  for (let next = inputs.shift(); next !== undefined; next = inputs.shift()) {
    const effects: Effect<XPaxosMessage>[] = []
    const { floor } = node.state
    step(node.state, next, effects)
    inputs.push(...carryOut(outcome, effects, floor))
    judgeView(node)
  }
}

/** @returns what the world answers at once */
function carryOut(
  outcome: Outcome,
  effects: readonly Effect<XPaxosMessage>[],
  floor: LogIndex,
): XInput[] {
  const { node, notes, sent } = outcome
  const answers: XInput[] = []
  for (const effect of effects) {
    switch (effect.kind) {
      case 'append':
        order(outcome, effect, floor)
        break
      case 'send':
        judgeSent(node, effect.message, notes)
        sent.push({ to: effect.to, message: effect.message, frames: effect.frames })
        break
      case 'read':
        node.reads.push(effect)
        break
      case 'apply':
        answers.push(apply(outcome, effect.first, effect.frames))
        break
      case 'chosen':
        notes.push({ kind: 'chosen', through: effect.through, chain: effect.chain })
        break
      case 'lead': {
        const { ballot, next } = effect
        node.leading = { ballot, next }
        demand(ballotOwner(ballot) === node.state.self.id, 'I1', 'a ballot is led by its owner')
        demand(next === lastOf(node.state.tail) + 1, 'I6', 'a leader goes on behind its log')
        notes.push({ kind: 'led', ballot })
        break
      }
      case 'unlead':
        node.leading = null
        break
      case 'event':
        demand(effect.name !== 'chain-mismatch', 'I5', `logs differ at ${effect.value}`)
        if (effect.name === 'peer-reset') outcome.resets += 1
        break
      default:
    }
  }
  return answers
}

function order(
  { node, notes }: Outcome,
  effect: Effect<XPaxosMessage> & { readonly kind: 'append' },
  floor: LogIndex,
): void {
  const { lsn, record } = effect
  const stored = { lsn, record, frames: contentsOf(effect.frames), floor }
  foldInto(node.written, stored)
  node.unsynced.push(stored)
  if (record.kind !== 'sync-commit') return
  notes.push({ kind: 'adopted', ballot: record.ballot, frames: node.written.frames.slice() })
}

function apply({ node, notes }: Outcome, first: LogIndex, refs: readonly FrameRef[]): XInput {
  const frames = contentsOf(refs)
  demand(frames.length > 0 && first === frames[0]!.first, 'I21', 'apply names its first index')
  for (const frame of frames) {
    demand(frame.first === node.applyNext, 'I21', 'applied in order, once')
    node.applyNext = frame.through + 1
  }
  notes.push({ kind: 'applied', frames })
  return { kind: 'applied', through: (node.applyNext - 1) as LogIndex }
}
