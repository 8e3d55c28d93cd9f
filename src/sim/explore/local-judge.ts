/**
 * What can be judged from one node alone: its view against the records that it ordered, and what a
 * message says against what is on its disk. The rules are those of oracle.ts; what needs the other
 * nodes becomes a note. Pure.
 */
import { ballotOwner } from '../../core/ids.ts'
import type { XPaxosMessage } from '../../core/xpaxos/messages.ts'
import { lastOf } from '../../core/xpaxos/tail.ts'
import { demand } from '../invariants.ts'
import type { Note } from './ghost.ts'
import type { Node } from './node.ts'

/** After every step. */
export function judgeView(node: Node): void {
  const { state, written } = node
  const last = lastOf(state.tail)
  demand(state.acceptedBallot <= state.promised, 'I2', 'accepted above the promise')
  demand(state.promised === written.promised, 'I2', 'the promise is not the one that was ordered')
  demand(state.acceptedBallot === written.acceptedBallot, 'I8', 'accepted, and not ordered')
  demand(last === written.last, 'I8', 'the log is not the one that was ordered')
  demand(state.durable <= last, 'I8', 'what was cut counts as durable (R2)')
  demand(state.floor >= node.floor, 'I19', 'chosen falls')
  demand(state.floor <= last, 'I19', 'chosen beyond the log')
  demand(state.floor >= node.applyNext - 1, 'I19', 'applied before it is chosen')
  node.floor = state.floor
}

/** Before a message leaves. */
export function judgeSent(node: Node, message: XPaxosMessage, notes: Note[]): void {
  const { state, durable, written } = node
  const isLearner = state.self.role === 'learner'
  switch (message.kind) {
    case 'prepare':
    case 'promise': {
      demand(message.ballot <= durable.promised, 'I2', 'a promise leaves before it is durable')
      node.promiseSent = Math.max(node.promiseSent, message.ballot)
      if (message.kind === 'prepare') return
      demand(!isLearner, 'I16', 'a learner promises')
      const { ballot, acceptedBallot, last } = message
      notes.push({ kind: 'claim', ballot: acceptedBallot, through: last })
      // A repeated promise of a ballot that was accepted meanwhile may be late, and is harmless.
      if (ballot !== written.promised || durable.acceptedBallot >= ballot) return
      const hidesBallot = acceptedBallot < durable.acceptedBallot
      demand(!hidesBallot, 'I6', 'a promise hides an accepted ballot')
      const cutShort = acceptedBallot === durable.acceptedBallot && last < durable.last
      return demand(!cutShort, 'I6', 'a promise hides accepted entries')
    }
    case 'accepted':
      demand(!isLearner, 'I16', 'a learner votes')
      return void notes.push({ kind: 'claim', ballot: message.ballot, through: message.through })
    case 'learned':
      return demand(message.through <= durable.last, 'I8', 'learned before it is durable')
    case 'accept':
    case 'accept-sync': {
      const isOwn = ballotOwner(message.ballot) === state.self.id
      demand(isOwn, 'I1', 'an accept comes from another node')
      return void notes.push({ kind: 'accepts', ballot: message.ballot })
    }
    default:
  }
}
