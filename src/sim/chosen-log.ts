/**
 * What is chosen, by what lies on disks: per ballot one log and how far each node holds it durably;
 * from a quorum of the membership that governs an index on it is chosen, for ever (R13). Which
 * membership that is says the log itself: the last config batch below (R27). Pure data of the
 * oracle; knows no node state.
 */
import { FRAME_KIND } from '../codec/frame.ts'
import { ballotOwner } from '../core/ids.ts'
import { chainOf } from '../core/frame-ref.ts'
import type { Membership } from '../core/membership.ts'
import { type Coverage, cover } from './coverage.ts'
import type { Frame } from './frames.ts'
import { type InvariantId, demand } from './invariants.ts'
import { type Log, placeOf } from './log.ts'
import {
  type Rule,
  type Rules,
  checkMembership,
  checkStep,
  createRule,
  memberAt,
  quorumThrough,
  ruleOf,
} from './rules.ts'

export interface BallotLog {
  readonly ballot: number
  readonly frames: Frame[]
  /** Through which index each node held this log durably under this ballot, ever; 0: not. */
  readonly votes: Float64Array
  readonly adoptedLast: number
  /** It adopted a trailing config batch that nobody knew chosen: that change has to end first. */
  readonly adoptedOpen: boolean
  /** The empty batch that ends the newest change of this ballot (R26). */
  concluded: Frame | null
  chosen: number
  /** Governs what lies behind `chosen`. */
  rule: Rule
  /** Config batches above `chosen`, ascending. */
  readonly ahead: Frame[]
}

export interface ChosenLog {
  readonly coverage: Coverage
  readonly nodeCount: number
  readonly rules: Rules
  /** Memberships as they were chosen, the first one first. */
  readonly history: Rule[]
  /** Ids that a chosen membership had and a later one has not. */
  readonly gone: Set<number>
  readonly ballots: Map<number, BallotLog>
  readonly frames: Frame[]
  /** The ballot in which frames[i] was first seen chosen. */
  readonly chosenIn: number[]
  readonly chains: Map<number, number>
  /** Per session the last frame that was chosen (I10), and all serials. */
  readonly serials: Set<number>
  readonly sessions: Map<number, Frame>
  through: number
}

export function createChosenLog(
  initial: Membership,
  nodeCount: number,
  coverage: Coverage,
): ChosenLog {
  return {
    coverage,
    nodeCount,
    rules: new Map(),
    history: [createRule(0, initial)],
    gone: new Set(),
    ballots: new Map(),
    frames: [],
    chosenIn: [],
    chains: new Map([[0, 0]]),
    serials: new Set(),
    sessions: new Map(),
    through: 0,
  }
}

/** The first that shows a ballot's log is its leader, when it orders its adopted log. */
export function noteAdopted(log: ChosenLog, ballot: number, adopted: Log): void {
  if (log.ballots.has(ballot)) return
  const frames = adopted.frames.slice()
  const votes = new Float64Array(log.nodeCount)
  const ahead = adopted.configs.slice()
  const trailing = frames.at(-1)
  const ballotLog: BallotLog = {
    ballot,
    frames,
    votes,
    adoptedLast: adopted.last,
    adoptedOpen:
      trailing !== undefined && trailing.membership !== null && !isHeldChosen(log, trailing),
    concluded: null,
    chosen: 0,
    rule: log.history[0]!,
    ahead,
  }
  // What is chosen already needs no quorum of this ballot, nor of memberships that are gone.
  while (ahead.length > 0 && isHeldChosen(log, ahead[0]!)) enterRule(log, ballotLog)
  log.ballots.set(ballot, ballotLog)
  // A candidate that slept may win a ballot when a higher one has chosen more: it only misses what
  // lower ballots chose if phase 1 is wrong.
  for (let place = 0; place < log.frames.length; place++) {
    if (log.chosenIn[place]! > ballot || frames[place] === log.frames[place]) continue
    demand(false, 'I6', `ballot ${ballot} lost ${log.frames[place]!.first}`)
  }
  checkFollowed(log, adopted, 0)
}

/** Passes the next config batch: from it on its own membership counts. */
function enterRule({ rules }: ChosenLog, ballotLog: BallotLog): void {
  const config = ballotLog.ahead.shift()!
  ballotLog.rule = ruleOf(rules, config)
  ballotLog.chosen = Math.max(ballotLog.chosen, config.first)
}

/** Nothing lies behind a config batch that is not chosen (R26, R27): those from `from` on. */
export function checkFollowed(log: ChosenLog, { frames, configs }: Log, from: number): void {
  for (let i = configs.length - 1; i >= 0 && configs[i]!.first >= from; i--) {
    const config = configs[i]!
    if (config === frames.at(-1) || isHeldChosen(log, config)) continue
    demand(false, 'I11', `something follows the config batch ${config.first}, which is not chosen`)
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
function mirror({ frames, ahead }: BallotLog, log: Log, from: number): void {
  for (let i = from; i < log.frames.length; i++) {
    const frame = log.frames[i]!
    if (i < frames.length) demand(frames[i] === frame, 'I5', 'one ballot, two logs')
    else {
      frames.push(frame)
      if (frame.membership !== null) ahead.push(frame)
    }
  }
}

/** A config batch is still counted by the membership before it. */
function count(log: ChosenLog, ballotLog: BallotLog): void {
  for (;;) {
    const { rule, ahead } = ballotLog
    const through = quorumThrough(rule, ballotLog.votes)
    const config = ahead[0]
    const isPassed = config !== undefined && through >= config.first
    advance(log, ballotLog, isPassed ? config.first : through)
    if (!isPassed) return
    enterRule(log, ballotLog)
  }
}

function advance(log: ChosenLog, ballotLog: BallotLog, through: number): void {
  if (through <= ballotLog.chosen) return
  const place = placeOf(ballotLog.frames, ballotLog.chosen + 1)
  ballotLog.chosen = through
  for (let i = place; i < ballotLog.frames.length; i++) {
    const frame = ballotLog.frames[i]!
    if (frame.through > through) break
    choose(log, ballotLog.ballot, frame, i)
  }
  noteDelayed(log, ballotLog)
}

/** A quorum has it and an armed member has not: it may not be announced yet. */
function noteDelayed({ coverage }: ChosenLog, { rule, votes, chosen }: BallotLog): void {
  for (const place of rule.armed) {
    if (votes[place]! < chosen) return cover(coverage, 'force-sync-delayed')
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
  if (frame.membership !== null) chooseConfig(log, frame)
}

function chooseConfig(log: ChosenLog, frame: Frame): void {
  const { history, gone, rules } = log
  const before = history.at(-1)!
  const after = ruleOf(rules, frame)
  checkMembership(after)
  checkStep(before, after)
  for (const { id } of after.membership.members) {
    demand(!gone.has(id), 'I11', `${id} was removed and is a member again`)
  }
  for (const { id } of before.membership.members) {
    if (memberAt(after, id - 1) === undefined) gone.add(id)
  }
  history.push(after)
  noteChange(log, frame, before, after)
}

function noteChange(
  { coverage, history }: ChosenLog,
  frame: Frame,
  before: Rule,
  after: Rule,
): void {
  for (const { id, role, forced } of before.membership.members) {
    const now = memberAt(after, id - 1)
    if (now === undefined) {
      cover(coverage, 'member-removed')
      if (ballotOwner(frame.ballot) === id) cover(coverage, 'leader-removed')
      continue
    }
    if (role === 'learner' && now.role !== 'learner') cover(coverage, 'learner-promoted')
    if (role !== 'learner' && now.role === 'learner') cover(coverage, 'voter-demoted')
    const isConverted = (role === 'logger') !== (now.role === 'logger')
    if (isConverted && role !== 'learner' && now.role !== 'learner') {
      cover(coverage, 'logger-converted')
    }
    const isRearmed = forced === 'degraded' && now.forced === 'armed'
    const wasArmed = history.some((rule) => memberAt(rule, id - 1)?.forced === 'armed')
    if (isRearmed && wasArmed) cover(coverage, 'force-sync-degraded-and-rearmed')
  }
}

/** Once each; and what one session sent through one leader keeps its order. */
function checkSession({ serials, sessions }: ChosenLog, frame: Frame): void {
  demand(!serials.has(frame.serial), 'I10', `request ${frame.serial} is chosen twice`)
  serials.add(frame.serial)
  if (frame.session === 0) return // the protocol's own
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
