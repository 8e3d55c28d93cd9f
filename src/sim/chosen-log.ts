/**
 * What is chosen, by what lies on disks: per ballot one log and how far each voter holds it
 * durably; from a quorum on it is chosen, for ever. Pure data of the oracle; knows no node state.
 */
import type { Member } from '../core/engine.ts'
import { FRAME_KIND } from '../codec/frame.ts'
import { chainOf } from '../core/frame-ref.ts'
import type { Frame } from './frames.ts'
import { type InvariantId, demand } from './invariants.ts'
import { type Log, placeOf } from './log.ts'

export interface BallotLog {
  readonly ballot: number
  readonly frames: Frame[]
  /** Through which index each node held this log durably under this ballot, ever; 0: not. */
  readonly votes: Float64Array
  chosen: number
}

export interface ChosenLog {
  readonly voters: readonly number[]
  readonly quorum: number
  readonly ballots: Map<number, BallotLog>
  readonly frames: Frame[]
  /** The ballot in which frames[i] was first seen chosen. */
  readonly chosenIn: number[]
  readonly chains: Map<number, number>
  readonly scratch: Float64Array
  /** Per session the last frame that was chosen (I10), and all serials. */
  readonly serials: Set<number>
  readonly sessions: Map<number, Frame>
  through: number
}

export function createChosenLog(members: readonly Member[]): ChosenLog {
  const places = members.map((_, place) => place)
  const voters = places.filter((place) => members[place]!.role !== 'learner')
  return {
    voters,
    quorum: (voters.length >> 1) + 1,
    ballots: new Map(),
    frames: [],
    chosenIn: [],
    chains: new Map([[0, 0]]),
    scratch: new Float64Array(voters.length),
    serials: new Set(),
    sessions: new Map(),
    through: 0,
  }
}

/** The first that shows a ballot's log is its leader, when it orders its adopted log. */
export function noteAdopted(log: ChosenLog, ballot: number, adopted: Log): void {
  if (log.ballots.has(ballot)) return
  const frames = adopted.frames.slice()
  const votes = new Float64Array(Math.max(...log.voters) + 1)
  log.ballots.set(ballot, { ballot, frames, votes, chosen: 0 })
  // A candidate that slept may win a ballot when a higher one has chosen more: it only misses what
  // lower ballots chose if phase 1 is wrong.
  for (let place = 0; place < log.frames.length; place++) {
    if (log.chosenIn[place]! > ballot || frames[place] === log.frames[place]) continue
    demand(false, 'I6', `ballot ${ballot} lost ${log.frames[place]!.first}`)
  }
}

/** One more record of a voter is durable: its log from the place `from` on is new. */
export function noteVote(
  log: ChosenLog,
  node: number,
  ballot: number,
  durable: Log,
  from: number,
): void {
  const ballotLog = log.ballots.get(ballot)
  if (ballotLog === undefined) return demand(false, 'I6', 'accepted before its leader ordered it')
  mirror(ballotLog, durable, from)
  if (durable.last > ballotLog.votes[node]!) ballotLog.votes[node] = durable.last
  count(log, ballotLog)
}

/** Within one ballot there is one log: nodes hold prefixes of it. */
function mirror({ frames }: BallotLog, log: Log, from: number): void {
  for (let i = from; i < log.frames.length; i++) {
    if (i < frames.length) demand(frames[i] === log.frames[i], 'I5', 'one ballot, two logs')
    else frames.push(log.frames[i]!)
  }
}

function count(log: ChosenLog, ballotLog: BallotLog): void {
  const { voters, quorum, scratch } = log
  for (let i = 0; i < voters.length; i++) scratch[i] = ballotLog.votes[voters[i]!]!
  scratch.sort()
  const through = scratch[voters.length - quorum]!
  if (through <= ballotLog.chosen) return
  const place = placeOf(ballotLog.frames, ballotLog.chosen + 1)
  ballotLog.chosen = through
  for (let i = place; i < ballotLog.frames.length; i++) {
    const frame = ballotLog.frames[i]!
    if (frame.through > through) break
    choose(log, ballotLog.ballot, frame, i)
  }
}

function choose(log: ChosenLog, ballot: number, frame: Frame, place: number): void {
  if (place < log.frames.length) {
    if (log.frames[place] !== frame) demand(false, 'I4', `${frame.first} is chosen twice`)
    return
  }
  demand(place === log.frames.length, 'I4', 'the chosen log has a hole')
  checkSession(log, frame)
  checkGroup(log.frames.at(-1), frame)
  log.frames.push(frame)
  log.chosenIn.push(ballot)
  log.chains.set(frame.through, chainOf(log.chains.get(frame.first - 1)!, frame.headerCrc))
  log.through = frame.through
  for (const [other, { frames }] of log.ballots) {
    if (other <= ballot || frames[place] === frame) continue
    demand(false, 'I6', `ballot ${other} lacks ${frame.first}`)
  }
}

/** Once each; and what one session sent through one leader keeps its order. */
function checkSession({ serials, sessions }: ChosenLog, frame: Frame): void {
  demand(!serials.has(frame.serial), 'I10', `request ${frame.serial} is chosen twice`)
  serials.add(frame.serial)
  const before = sessions.get(frame.session)
  if (before?.ballot === frame.ballot) {
    demand(before.serial < frame.serial, 'I10', 'a session is chosen out of order')
  }
  sessions.set(frame.session, frame)
}

/** R38: behind a frame of a group comes its next one, or the abort that makes it void. */
function checkGroup(before: Frame | undefined, frame: Frame): void {
  const isAbort = frame.kind === FRAME_KIND.abort
  if (before?.continues !== true) {
    return demand(!isAbort, 'I22', `${frame.first} aborts what is not open`)
  }
  const isNext = frame.session === before.session && frame.ballot === before.ballot
  demand(isNext || isAbort, 'I22', `${frame.first} slides into an open group`)
}

export function checkChosen(log: ChosenLog, frame: Frame, invariant: InvariantId): void {
  if (isHeldChosen(log, frame)) return
  const known = log.frames[placeOf(log.frames, frame.first)]
  if (known === undefined) demand(false, invariant, `${frame.first} is not chosen`)
  else demand(false, 'I4', `${frame.first} is not what was chosen`)
}

export const isHeldChosen = (log: ChosenLog, frame: Frame): boolean =>
  log.frames[placeOf(log.frames, frame.first)] === frame

/** A node says that it holds the log of `ballot` through here, on its disk. */
export function claim(log: ChosenLog, node: number, ballot: number, through: number): void {
  if (through === 0) return
  const held = log.ballots.get(ballot)?.votes[node] ?? 0
  if (through <= held) return
  demand(false, 'I8', `node ${node + 1} claims ${through} of ballot ${ballot}, has ${held}`)
}
