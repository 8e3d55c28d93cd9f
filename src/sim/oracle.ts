/**
 * The judge of X-Paxos, outside the nodes: it sees every record, effect and view, keeps the map of
 * what is chosen, and throws a Violation as soon as an invariant breaks. It knows what a record
 * means (log.ts) and nothing of the core's state.
 */
import { FRAME_KIND } from '../codec/frame.ts'
import type { Member } from '../core/engine.ts'
import { type Ballot, ballotOwner } from '../core/ids.ts'
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
  claim,
  createChosenLog,
  isHeldChosen,
  noteAdopted,
  noteVote,
} from './chosen-log.ts'

interface Seen {
  promised: number
  floor: number
  promiseSent: number
  applyNext: number
  /** The last frame that it applied continues a group. */
  inGroup: boolean
}

export interface Oracle extends Judge<XPaxosMessage> {
  readonly log: ChosenLog
  /** Fold of all records of each node, and of the durable ones. */
  readonly written: Log[]
  readonly durableLogs: Log[]
}

const newSeen = (): Seen => ({
  ...{ promised: 0, floor: 0, promiseSent: 0, applyNext: 1, inGroup: false },
})

export function createOracle(members: readonly Member[], coverage: Coverage): Oracle {
  const log = createChosenLog(members)
  const written = members.map(emptyLog)
  const durableLogs = members.map(emptyLog)
  const leaders = new Set<Ballot>()
  const seen = members.map(newSeen)
  const role = (node: NodePlace): Member['role'] => members[node]!.role

  return {
    log,
    written,
    durableLogs,
    members,
    get chosenThrough() {
      return log.through
    },
    isChosen: (frame) => isHeldChosen(log, frame),
    read: (node, from, through, max) => framesFrom(written[node]!.frames, from, through, max),
    ordered(node, stored) {
      const cut = foldInto(written[node]!, stored)
      if (cut !== null && cut.count > 0) cover(coverage, 'suffix-truncated')
      if (cut?.conflicting === true) cover(coverage, 'conflicting-suffix-truncated')
      const { record } = stored
      if (record.kind === 'promised') checkPromised(node, record.ballot)
      if (record.kind === 'sync-commit') {
        demand(role(node) !== 'learner', 'I16', 'a learner accepts nothing')
        noteAdopted(log, record.ballot, written[node]!)
      }
    },
    durable(node, stored) {
      foldInto(durableLogs[node]!, stored)
      const { record } = stored
      if (record.kind !== 'entries' && record.kind !== 'sync-commit') return
      const durableLog = durableLogs[node]!
      if (role(node) === 'learner') return checkLearned(durableLog, stored)
      demand(record.ballot !== 0, 'I16', 'a voter learns nothing outside a ballot')
      const from = record.kind === 'entries' ? durableLog.frames.length - stored.frames.length : 0
      noteVote(log, node, record.ballot, durableLog, from)
    },
    sent: (node, _to, message, frames) => checkSent(node, message, frames),
    delivered(_node, from, message, view, overtaken) {
      if (overtaken && message.kind === 'accepted') cover(coverage, 'out-of-order-ack')
      if ('ballot' in message && message.ballot !== 0 && message.ballot < view.promised) {
        if (message.kind !== 'heartbeat') cover(coverage, 'old-ballot-ignored')
      }
      if (message.kind !== 'heartbeat-reply' || message.content !== 1) return
      if (view.role === 'follower' && view.leader === 0 && members[from]!.role !== 'learner') {
        cover(coverage, 'ballot-raise-withheld')
      }
    },
    chosen(node, through, chain) {
      demand(through <= log.through, 'I8', 'reported chosen before a quorum has it')
      demand(log.chains.get(through) === chain, 'I5', 'equal index, other chain')
      if (durableLogs[node]!.last < through) cover(coverage, 'chosen-without-leaders-disk')
    },
    applied(node, first, frames) {
      demand(role(node) !== 'logger', 'I15', 'a Logger applies nothing')
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
      const member = members[node]!
      demand(ballotOwner(ballot) === member.id, 'I1', 'a ballot is led by its owner')
      demand(!leaders.has(ballot), 'I1', `ballot ${ballot} is led twice`)
      leaders.add(ballot)
      demand(member.role !== 'logger', 'I15', 'a Logger leads')
      demand(member.role !== 'learner', 'I16', 'a learner leads')
      demand(member.weight > 0, 'I17', 'weight 0 leads')
      let promises = 0
      members.forEach((other, i) => {
        if (other.role !== 'learner' && durableLogs[i]!.promised >= ballot) promises += 1
      })
      demand(promises >= log.quorum, 'I3', `leads with ${promises} promises on disks`)
      demand(next === written[node]!.last + 1, 'I6', 'a leader goes on behind its log')
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
      if (view.role === 'leader' && members[node]!.role !== 'voter') {
        demand(false, role(node) === 'logger' ? 'I15' : 'I16', 'leads by its view')
      }
      one.promised = view.promised
      one.floor = view.chosen
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
      one.applyNext = 1
      one.inGroup = false
    },
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
    const { id, weight } = members[node]!
    demand(role(node) !== 'learner', 'I16', 'a learner promises')
    if (ballotOwner(ballot) !== id) return
    demand(role(node) !== 'logger', 'I15', 'a Logger raises a ballot')
    demand(weight > 0, 'I17', 'weight 0 stands')
  }

  /** Learners hold chosen entries only (R31). */
  function checkLearned(disk: Log, { frames, record }: Stored): void {
    demand(record.kind === 'entries' && record.ballot === 0, 'I16', 'a learner accepts nothing')
    demand(disk.last <= log.through, 'I16', 'a learner holds what is not chosen')
    for (const frame of frames) checkChosen(log, frame, 'I16')
  }

  /** Before a message leaves: what it claims must be on the disk. */
  function checkSent(node: NodePlace, message: XPaxosMessage, frames: readonly Frame[]): void {
    const disk = durableLogs[node]!
    switch (message.kind) {
      case 'prepare':
      case 'promise': {
        demand(message.ballot <= disk.promised, 'I2', 'a promise leaves before it is durable')
        const one = seen[node]!
        if (message.ballot > one.promiseSent) one.promiseSent = message.ballot
        if (message.kind === 'prepare') return
        demand(role(node) !== 'learner', 'I16', 'a learner promises')
        const { last, acceptedBallot } = message
        if (last > 0) claim(log, node, acceptedBallot, last)
        // A repeated promise of a ballot that was accepted meanwhile may be late, and is harmless.
        const { ballot } = message
        if (ballot !== written[node]!.promised || disk.acceptedBallot >= ballot) return
        const hides = acceptedBallot < disk.acceptedBallot
        demand(!hides, 'I6', 'a promise hides an accepted ballot')
        const cutShort = acceptedBallot === disk.acceptedBallot && last < disk.last
        return demand(!cutShort, 'I6', 'a promise hides accepted entries')
      }
      case 'accepted':
        demand(role(node) !== 'learner', 'I16', 'a learner votes')
        return claim(log, node, message.ballot, message.through)
      case 'learned':
        return demand(message.through <= disk.last, 'I8', 'learned before it is durable')
      case 'accept':
      case 'accept-sync': {
        const { id } = members[node]!
        demand(log.ballots.has(message.ballot), 'I6', 'an accept leaves before the adoption (R7)')
        demand(ballotOwner(message.ballot) === id, 'I1', 'an accept comes from another node')
        const first = frames[0]
        if (first !== undefined && first.ballot < message.ballot) cover(coverage, 'slot-reproposed')
        return
      }
      case 'learn':
        for (const frame of frames) checkChosen(log, frame, 'I16')
        return
      default:
    }
  }
}
