/**
 * The judge outside the nodes: it sees every durable record, effect and view, keeps the map of what
 * is chosen, and throws as soon as an invariant of reliability.md section 4 breaks.
 */
import type { CoreView } from '../../src/core/engine.ts'
import { chainOf } from '../../src/core/frame-ref.ts'
import { type Ballot, type NodeId, ballotOwner } from '../../src/core/ids.ts'
import { type Membership, votersOf } from '../../src/core/membership.ts'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'
import { type Content, type Log, type Stored, check, foldInto, placeOf } from './disk-model.ts'

interface BallotLog {
  readonly contents: Content[]
  /** Through which index each voter held this log durably under this ballot, ever. */
  readonly votes: Map<NodeId, number>
  chosen: number
}

interface Seen {
  promised: number
  floor: number
  promiseSent: number
}

export interface Oracle {
  /** What the cluster was started with. */
  readonly initial: Membership
  readonly leaders: Map<Ballot, string>
  readonly logs: Map<number, BallotLog>
  readonly chosen: Content[]
  /** The ballot in which chosen[i] was first seen chosen. */
  readonly chosenIn: number[]
  readonly chosenChains: Map<number, number>
  chosenThrough: number
  readonly seen: Map<NodeId, Seen>
  readonly coverage: Map<string, number>
}

export function createOracle(initial: Membership, all: readonly NodeId[]): Oracle {
  return {
    initial,
    leaders: new Map(),
    logs: new Map(),
    chosen: [],
    chosenIn: [],
    chosenChains: new Map([[0, 0]]),
    chosenThrough: 0,
    seen: new Map(all.map((id) => [id, { promised: 0, floor: 0, promiseSent: 0 }])),
    coverage: new Map(),
  }
}

/** One more record of `node` is durable: `log` is its durable log, which takes the record here. */
export function noteStored(oracle: Oracle, node: NodeId, log: Log, stored: Stored): void {
  foldInto(log, stored)
  const { record } = stored
  if (record.kind !== 'entries' && record.kind !== 'sync-commit') return
  if (record.ballot === 0) return noteLearned(oracle, log, stored)
  const ballotLog = ballotLogOf(oracle, record.ballot)
  const from = record.kind === 'entries' ? log.contents.length - stored.contents.length : 0
  mirror(ballotLog, log, from)
  ballotLog.votes.set(node, Math.max(ballotLog.votes.get(node) ?? 0, log.last))
  count(oracle, record.ballot, ballotLog)
}

/** Learners hold chosen entries only (R31, I16). */
function noteLearned(oracle: Oracle, log: Log, { contents, record }: Stored): void {
  if (record.kind === 'sync-commit') return check(contents.length === 0, 'a turn only cuts')
  check(log.last <= oracle.chosenThrough, 'a learner holds only what is chosen')
  for (const content of contents) checkChosen(oracle, content)
}

/** The first that shows a ballot's log is its leader, when it orders its adopted log. */
export function noteAdopted(oracle: Oracle, ballot: number, log: Log): void {
  if (oracle.logs.has(ballot)) return
  const adopted = { contents: log.contents.slice(), votes: new Map<NodeId, number>(), chosen: 0 }
  oracle.logs.set(ballot, adopted)
  // I6. A candidate that slept may win a ballot when a higher one has chosen more: it only misses
  // what lower ballots chose if phase 1 is wrong.
  for (const [place, content] of oracle.chosen.entries()) {
    if (oracle.chosenIn[place]! > ballot) continue
    check(adopted.contents[place] === content, `I6: ballot ${ballot} lost ${content.first}`)
  }
}

function ballotLogOf(oracle: Oracle, ballot: number): BallotLog {
  const found = oracle.logs.get(ballot)
  check(found !== undefined, 'a log is accepted only after its leader ordered it')
  return found
}

/** Within one ballot there is one log: nodes hold prefixes of it (I5). */
function mirror(ballotLog: BallotLog, log: Log, from: number): void {
  const { contents } = ballotLog
  for (let i = from; i < log.contents.length; i++) {
    if (i < contents.length) check(contents[i] === log.contents[i], 'I5: one ballot, two logs')
    else contents.push(log.contents[i]!)
  }
}

/**
 * Index i is governed by the last config batch below it in this log (R27); one with anything behind
 * it must have been chosen before that was ordered.
 */
function count(oracle: Oracle, ballot: number, ballotLog: BallotLog): void {
  const { contents, votes } = ballotLog
  let membership = oracle.initial
  let from = 0
  for (let i = 0; i <= contents.length; i++) {
    const content = contents[i]
    const ends = content === undefined || content.config !== undefined
    if (!ends) continue
    const end = content === undefined ? contents.length : i + 1
    if (content !== undefined && end < contents.length) {
      const isChosen = content.through <= oracle.chosenThrough
      check(isChosen, `R26: something follows ${content.first} before it is chosen`)
    }
    countPart(oracle, ballot, ballotLog, { membership, votes, from, end })
    membership = content?.config ?? membership
    from = end
  }
}

function countPart(
  oracle: Oracle,
  ballot: number,
  ballotLog: BallotLog,
  part: {
    readonly membership: Membership
    readonly votes: ReadonlyMap<NodeId, number>
    readonly from: number
    readonly end: number
  },
): void {
  const { membership, votes, from, end } = part
  const voters = votersOf(membership).map(({ id }) => votes.get(id) ?? 0)
  const through = voters.sort((a, b) => b - a)[membership.acceptQuorum - 1] ?? 0
  for (let i = from; i < end; i++) {
    const content = ballotLog.contents[i]!
    if (content.through > through) return
    if (content.through <= ballotLog.chosen) continue
    ballotLog.chosen = content.through
    choose(oracle, ballot, content, i)
  }
}

function choose(oracle: Oracle, ballot: number, content: Content, place: number): void {
  if (place < oracle.chosen.length) {
    return check(oracle.chosen[place] === content, `I4: ${content.first} chosen twice`)
  }
  check(place === oracle.chosen.length, 'the chosen log has no hole')
  checkGroup(oracle, content)
  oracle.chosen.push(content)
  oracle.chosenIn.push(ballot)
  const previous = oracle.chosenChains.get(content.first - 1)!
  oracle.chosenChains.set(content.through, chainOf(previous, content.headerCrc))
  oracle.chosenThrough = content.through
  for (const [other, log] of oracle.logs) {
    if (other <= ballot) continue
    check(log.contents[place] === content, `I6: ballot ${other} lacks ${content.first}`)
  }
}

/** R38: behind a frame of a group comes its next one, or the abort that makes it void. */
function checkGroup(oracle: Oracle, content: Content): void {
  const before = oracle.chosen.at(-1)
  if (before?.continues !== true) {
    return check(content.aborts !== true, `R38: ${content.first} aborts what is not open`)
  }
  const isNext = content.group === before.group && content.aborts !== true
  check(isNext || content.aborts === true, `R38: ${content.first} slides into an open group`)
  if (content.aborts === true) cover(oracle, 'group-void')
  else if (content.continues === false) cover(oracle, 'group-whole')
}

export function checkChosen(oracle: Oracle, content: Content): void {
  const known = oracle.chosen[placeOf(oracle.chosen, content.first)]
  check(known === content, `I4: ${content.first} is not what was chosen`)
}

/** A node reports a chosen index (I4, I8: a quorum has it on disk). */
export function noteChosen(oracle: Oracle, through: number, chain: number): void {
  check(through <= oracle.chosenThrough, `I8: ${through} reported chosen before a quorum has it`)
  check(oracle.chosenChains.get(through) === chain, 'I5: equal index, other chain')
}

export function noteLead(oracle: Oracle, node: NodeId, generation: number, ballot: Ballot): void {
  const name = `${node}/${generation}`
  check(ballotOwner(ballot) === node, 'I1: a ballot is led by its owner')
  check(!oracle.leaders.has(ballot), `I1: ballot ${ballot} led twice`)
  oracle.leaders.set(ballot, name)
}

/** Before a message leaves: what it claims must be on disk (I2, I8). */
export function checkSent(
  oracle: Oracle,
  node: NodeId,
  durable: Log,
  message: XPaxosMessage,
): void {
  switch (message.kind) {
    case 'prepare':
    case 'promise': {
      check(message.ballot <= durable.promised, 'I2: a promise is durable before it leaves')
      const seen = oracle.seen.get(node)!
      seen.promiseSent = Math.max(seen.promiseSent, message.ballot)
      if (message.kind === 'promise' && message.acceptedBallot === 0) {
        check(message.last <= durable.last, 'I8: a learner promises what it has on disk')
      } else if (message.kind === 'promise' && message.last > 0) {
        checkVoted(oracle, node, message.acceptedBallot, message.last)
      }
      break
    }
    case 'accepted':
      checkVoted(oracle, node, message.ballot, message.through)
      break
    case 'learned':
      check(message.through <= durable.last, 'I8: learned before it is durable')
      break
    case 'accept':
    case 'accept-sync':
      check(oracle.logs.has(message.ballot), 'R7: accepts follow the adoption')
      check(ballotOwner(message.ballot) === node, 'I1: accepts come from the owner')
      break
    default:
  }
}

function checkVoted(oracle: Oracle, node: NodeId, ballot: number, through: number): void {
  if (through === 0) return
  const voted = oracle.logs.get(ballot)?.votes.get(node) ?? 0
  check(through <= voted, `I8: node ${node} claims ${through} of ${ballot}, has ${voted}`)
}

/** After every step. */
export function checkView(oracle: Oracle, node: NodeId, view: CoreView): void {
  const seen = oracle.seen.get(node)!
  check(view.promised >= seen.promised, 'I2: promised never falls')
  check(view.acceptedBallot <= view.promised, 'acceptedBallot <= promised')
  check(view.chosen >= seen.floor, 'I19: chosen never falls')
  check(view.chosen <= view.last, 'chosen <= last')
  check(view.durable <= view.last, 'R2: what was cut is not durable')
  seen.promised = view.promised
  seen.floor = view.chosen
}

/** A restart may lose what never was durable, but not what was told to others. */
export function noteRestart(oracle: Oracle, node: NodeId, log: Log): void {
  const seen = oracle.seen.get(node)!
  check(log.promised >= seen.promiseSent, 'I2: a promise that left survives restarts')
  seen.promised = log.promised
  seen.floor = 0
}

export function cover(oracle: Oracle, what: string): void {
  oracle.coverage.set(what, (oracle.coverage.get(what) ?? 0) + 1)
}
