/**
 * The judge of X-Paxos, outside the nodes: it sees every record, effect and view, keeps the map of
 * what is chosen, and throws a Violation as soon as an invariant breaks. It knows what a record
 * means (log.ts) and which memberships a log holds (rules.ts), and nothing of the core's state.
 */
import { FRAME_KIND } from '../codec/frame.ts'
import type { CoreView, Member } from '../core/engine.ts'
import { type Ballot, ballotOwner } from '../core/ids.ts'
import { type Membership, membershipOf } from '../core/membership.ts'
import type { XPaxosMessage } from '../core/xpaxos/messages.ts'
import { type Coverage, cover } from './coverage.ts'
import type { Found } from './disk.ts'
import type { Frame } from './frames.ts'
import { demand } from './invariants.ts'
import type { Judge, NodePlace } from './judge.ts'
import { type Log, type Stored, copyLog, emptyLog, foldInto, framesFrom } from './log.ts'
import {
  type ChosenLog,
  checkChosen,
  checkFollowed,
  claim,
  createChosenLog,
  isHeldChosen,
  noteAdopted,
  noteVote,
} from './chosen-log.ts'
import {
  checkAnnounced,
  checkStands,
  checkTurned,
  liveRules,
  neededRules,
  newestRule,
} from './live-rules.ts'
import { type Announced, createMemberJudge } from './member-judge.ts'
import type { Plan } from './plan.ts'
import { type Rule, createRule, hasPromises, memberAt } from './rules.ts'

interface Seen {
  promised: number
  floor: number
  promiseSent: number
  applyNext: number
  /** The last frame that it applied continues a group. */
  inGroup: boolean
  /** Who votes in a membership that it ever wrote. */
  readonly voters: Set<NodePlace>
  /** It was told that it is removed, in this life (R30). */
  told: boolean
  /** The config batch and membership that its view had last. */
  config: Frame | undefined
  membership: Membership | null
}

export interface Oracle extends Judge<XPaxosMessage> {
  readonly log: ChosenLog
  /** Fold of all records of each node, and of the durable ones. */
  readonly written: Log[]
  readonly durableLogs: Log[]
}

type Started = Pick<Plan, 'members' | 'joiners' | 'quorums'>

export function createOracle(plan: Started, coverage: Coverage): Oracle {
  const { members, joiners, quorums } = plan
  const nodes = [...members, ...joiners]
  const log = createChosenLog(membershipOf(members, quorums ?? {}), nodes.length, coverage)
  const written = nodes.map(emptyLog)
  const durableLogs = nodes.map(emptyLog)
  const leaders = new Set<Ballot>()
  /** Who has a promise for a ballot on its disk. */
  const promises = new Map<Ballot, Set<NodePlace>>()
  let announced = 0
  const said: Announced = new Float64Array(nodes.length)
  const seen = nodes.map((): Seen => ({
    promised: 0,
    floor: 0,
    promiseSent: 0,
    applyNext: 1,
    inGroup: false,
    voters: new Set(),
    told: false,
    config: undefined,
    membership: null,
  }))
  const alone = joiners.map((member) => createRule(0, membershipOf([member])))
  const firstRule = (node: NodePlace): Rule => alone[node - members.length] ?? log.history[0]!
  const roleOf = (node: NodePlace): Member['role'] | undefined =>
    memberAt(newestRule(log, written[node]!, firstRule(node)), node)?.role
  const rulesAt = (node: NodePlace): readonly Rule[] =>
    liveRules(log, written[node]!, firstRule(node), seen[node]!.floor)

  const memberships = createMemberJudge({ log, written, durableLogs, firstRule, announced: said })

  return {
    log,
    written,
    durableLogs,
    memberships,
    get chosenThrough() {
      return log.through
    },
    isChosen: (frame) => isHeldChosen(log, frame),
    read: (node, from, through, max) => framesFrom(written[node]!.frames, from, through, max),
    ordered(node, stored) {
      const { record } = stored
      const own = written[node]!
      if (record.kind === 'promised') checkPromised(node, record.ballot)
      const cut = foldInto(own, stored)
      if (cut !== null && cut.count > 0) cover(coverage, 'suffix-truncated')
      if (cut?.conflicting === true) cover(coverage, 'conflicting-suffix-truncated')
      for (const { membership } of stored.frames) if (membership !== null) meet(node, membership)
      if (record.kind === 'entries') checkFollowed(log, own, record.prev)
      if (record.kind === 'sync-commit' && record.ballot !== 0) {
        noteAdopted(log, record.ballot, own)
      }
    },
    durable(node, stored) {
      const { record } = stored
      const disk = durableLogs[node]!
      const isTurn = record.kind === 'sync-commit' && record.ballot === 0
      const before = isTurn ? disk.frames.slice() : null
      foldInto(disk, stored)
      if (before !== null) {
        checkTurned(log, node, before.slice(disk.frames.length))
      }
      if (record.kind === 'promised') return notePromise(node, record.ballot)
      if (record.kind !== 'entries' && record.kind !== 'sync-commit') return
      if (record.ballot === 0) return checkLearned(disk, stored)
      const from = record.kind === 'entries' ? disk.frames.length - stored.frames.length : 0
      noteVote(log, node, record.ballot, disk, from)
    },
    sent: (node, to, message, frames) => checkSent(node, to, message, frames),
    delivered(node, from, message, view, overtaken) {
      if (overtaken && message.kind === 'accepted') cover(coverage, 'out-of-order-ack')
      if (message.kind === 'removed' && message.index > view.membershipIndex) {
        seen[node]!.told = true
      }
      if ('ballot' in message && message.ballot !== 0 && message.ballot < view.promised) {
        if (message.kind !== 'heartbeat') cover(coverage, 'old-ballot-ignored')
      }
      if (message.kind !== 'heartbeat-reply' || message.content !== 1) return
      if (view.role !== 'follower' || view.leader !== 0) return
      const role = memberAt(rulesAt(node)[0]!, from)?.role
      if (role !== undefined && role !== 'learner') cover(coverage, 'ballot-raise-withheld')
    },
    chosen(node, through, chain) {
      demand(through <= log.through, 'I8', 'reported chosen before a quorum has it')
      demand(log.chains.get(through) === chain, 'I5', 'equal index, other chain')
      if (durableLogs[node]!.last < through) cover(coverage, 'chosen-without-leaders-disk')
      if (through <= announced) return
      announced = through
      checkAnnounced(log, durableLogs, through)
    },
    applied(node, first, frames) {
      demand(roleOf(node) !== 'logger', 'I15', 'a Logger applies nothing')
      demand(frames.length > 0 && first === frames[0]!.first, 'I21', 'apply names its first index')
      const one = seen[node]!
      for (const frame of frames) {
        demand(frame.first === one.applyNext, 'I21', 'applied in order, once')
        checkChosen(log, frame, 'I19')
        one.applyNext = frame.through + 1
        if (one.inGroup && !frame.continues) {
          cover(coverage, frame.kind === FRAME_KIND.abort ? 'group-aborted' : 'group-chosen')
        }
        one.inGroup = frame.continues
      }
    },
    led(node, _life, ballot, next) {
      const own = written[node]!
      demand(ballotOwner(ballot) === node + 1, 'I1', 'a ballot is led by its owner')
      demand(!leaders.has(ballot), 'I1', `ballot ${ballot} is led twice`)
      leaders.add(ballot)
      checkStands(rulesAt(node), node, 'leads')
      for (const rule of neededRules(log, own, firstRule(node))) {
        const has = hasPromises(rule, promises.get(ballot) ?? NOBODY)
        demand(has, 'I3', `leads without a quorum of the membership at ${rule.index}`)
      }
      demand(next === own.last + 1, 'I6', 'a leader goes on behind its log')
    },
    viewed(node, view) {
      const one = seen[node]!
      const own = written[node]!
      demand(view.promised >= one.promised, 'I2', 'promised falls')
      demand(view.acceptedBallot <= view.promised, 'I2', 'accepted above the promise')
      demand(view.chosen >= one.floor, 'I19', 'chosen falls')
      demand(view.chosen <= view.last, 'I19', 'chosen beyond the log')
      demand(view.chosen >= one.applyNext - 1, 'I19', 'applied before it is chosen')
      demand(view.durable <= view.last, 'I8', 'what was cut counts as durable (R2)')
      demand(view.promised === own.promised, 'I2', 'the promise is not the one that was ordered')
      demand(view.acceptedBallot === own.acceptedBallot, 'I8', 'accepted, and not ordered')
      demand(view.last === own.last, 'I8', 'the log is not the one that was ordered')
      one.promised = view.promised
      one.floor = view.chosen
      checkMembershipOf(node, view, own.configs.at(-1))
    },
    restarted(node, found) {
      const one = seen[node]!
      const disk = durableLogs[node]!
      demand(found.promised >= one.promiseSent, 'I2', 'a promise that left is gone after a restart')
      checkFound(disk, found)
      written[node] = copyLog(disk)
      written[node].sync = null
      disk.sync = null
      one.promised = disk.promised
      one.floor = 0
      one.applyNext = (found.applied ?? 0) + 1
      demand(one.applyNext - 1 <= log.through, 'I20', 'a snapshot of what is not chosen')
      one.inGroup = false
      one.told = false
    },
  }

  /** A node goes by the newest membership in its log, and by no other (I11). */
  function checkMembershipOf(node: NodePlace, view: CoreView, config: Frame | undefined): void {
    const one = seen[node]!
    const { membership, membershipIndex } = view
    if (config === one.config && membership === one.membership) return
    const wanted = config?.membership ?? firstRule(node).membership
    demand(membershipIndex === (config?.first ?? 0), 'I11', 'goes by another membership')
    const isSame =
      JSON.stringify(membership.members) === JSON.stringify(wanted.members) &&
      membership.prepareQuorum === wanted.prepareQuorum &&
      membership.acceptQuorum === wanted.acceptQuorum
    demand(isSame, 'I11', `node ${node + 1} misreads the membership at ${membershipIndex}`)
    one.config = config
    one.membership = membership
  }

  /** The durable image gives back what was made durable, by two folds. */
  function checkFound(disk: Log, found: Found): void {
    demand(found.promised === disk.promised, 'I2', 'recovery finds another promise')
    demand(found.acceptedBallot === disk.acceptedBallot, 'I8', 'recovery finds another ballot')
    demand(found.last === disk.last, 'I8', `recovery finds ${found.last}, durable ${disk.last}`)
    const chain = found.marks.length > 0 ? found.marks.at(-1)!.chain : found.floorChain
    demand(chain === (disk.chains.at(-1) ?? 0), 'I5', 'recovery finds another log')
  }

  function checkPromised(node: NodePlace, ballot: Ballot): void {
    if (ballotOwner(ballot) !== node + 1) return
    checkStands(rulesAt(node), node, 'stands')
    demand(!seen[node]!.told, 'I11', `${node + 1} was told that it is removed, and stands`)
    memberships.stood(node, ballot)
    if (log.gone.has(node + 1)) cover(coverage, 'removed-node-campaigned')
  }

  function notePromise(node: NodePlace, ballot: Ballot): void {
    const by = promises.get(ballot)
    if (by === undefined) promises.set(ballot, new Set([node]))
    else by.add(node)
  }

  /** What is held outside a ballot is chosen (R31). */
  function checkLearned(disk: Log, { frames }: Stored): void {
    demand(disk.last <= log.through, 'I16', 'a learner holds what is not chosen')
    for (const frame of frames) checkChosen(log, frame, 'I16')
  }

  /** Before a message leaves: what it claims must be on the disk. */
  function checkSent(
    node: NodePlace,
    to: NodePlace,
    message: XPaxosMessage,
    frames: readonly Frame[],
  ): void {
    const disk = durableLogs[node]!
    switch (message.kind) {
      case 'prepare':
      case 'promise': {
        demand(message.ballot <= disk.promised, 'I2', 'a promise leaves before it is durable')
        const one = seen[node]!
        if (message.ballot > one.promiseSent) one.promiseSent = message.ballot
        if (message.kind === 'prepare') return checkAsked(node, to)
        const { ballot, last, acceptedBallot } = message
        if (acceptedBallot === 0) demand(last <= disk.last, 'I8', 'promises what it has not')
        else claim(log, node, acceptedBallot, last)
        // A repeated promise of a ballot that was accepted meanwhile may be late, and is harmless.
        if (ballot !== written[node]!.promised || disk.acceptedBallot >= ballot) return
        const hides = acceptedBallot < disk.acceptedBallot
        demand(!hides, 'I6', 'a promise hides an accepted ballot')
        // What was learnt since is chosen: others tell of it.
        if (acceptedBallot === 0) return
        const cutShort = acceptedBallot === disk.acceptedBallot && last < disk.last
        return demand(!cutShort, 'I6', 'a promise hides accepted entries')
      }
      case 'accepted':
        return claim(log, node, message.ballot, message.through)
      case 'learned':
        return demand(message.through <= disk.last, 'I8', 'learned before it is durable')
      case 'accept':
      case 'accept-sync': {
        demand(log.ballots.has(message.ballot), 'I6', 'an accept leaves before the adoption (R7)')
        demand(ballotOwner(message.ballot) === node + 1, 'I1', 'an accept comes from another node')
        const first = frames[0]
        if (first !== undefined && first.ballot < message.ballot) cover(coverage, 'slot-reproposed')
        return
      }
      case 'learn':
        for (const frame of frames) checkChosen(log, frame, 'I16')
        return
      case 'heartbeat':
        said[node] = message.chosen
        return
      case 'take-over':
        return memberships.tookOver(node, to, message.ballot)
      default:
    }
  }

  /** It learns of a membership; voters of what it fetches are asked too (R28). */
  function meet(node: NodePlace, membership: Membership): void {
    for (const place of createRule(0, membership).voters) seen[node]!.voters.add(place)
  }

  /** Only who votes is asked: in a membership that the candidate knows. */
  function checkAsked(node: NodePlace, to: NodePlace): void {
    const isVoter = seen[node]!.voters.has(to) || firstRule(node).voters.includes(to)
    demand(isVoter, 'I16', `${to + 1} is asked for a promise and votes nowhere`)
  }
}

const NOBODY: ReadonlySet<NodePlace> = new Set()
