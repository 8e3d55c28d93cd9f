/**
 * The judge of Basic Paxos: one value an instance, for ever; what is told is on the disk; what is
 * applied is chosen. It knows records, messages and applied values, nothing of the core's state.
 */
import type { BasicPaxosMessage } from '../core/basic-paxos/messages.ts'
import type { Member } from '../core/engine.ts'
import { type Coverage, cover } from './coverage.ts'
import type { Found } from './disk.ts'
import type { Frame } from './frames.ts'
import { demand } from './invariants.ts'
import type { Judge, NodePlace } from './judge.ts'
import type { Stored } from './log.ts'

interface Acceptor {
  promised: number
  acceptedBallot: number
  frame: Frame | null
}
/** What a disk says, by instance. */
type Book = Map<number, Acceptor>

interface Vote {
  readonly frame: Frame
  readonly holders: Set<NodePlace>
}

const NO_ACCEPTOR: Readonly<Acceptor> = { promised: 0, acceptedBallot: 0, frame: null }

export function createBasicOracle(
  members: readonly Member[],
  coverage: Coverage,
): Judge<BasicPaxosMessage> {
  const voters = members.filter(({ role }) => role !== 'learner').length
  const written = members.map((): Book => new Map())
  const durable = members.map((): Book => new Map())
  const applyNext = members.map(() => 1)
  const votes = new Map<string, Vote>()
  const proposed = new Map<string, Frame>()
  const chosen = new Map<number, Frame>()
  const places = new Map<Frame, number>()
  const seen = members.map(() => 0)
  let through = 0

  const fold = (book: Book, { record, frames }: Stored): void => {
    if (!('instance' in record)) return
    const { instance, ballot } = record
    let own = book.get(instance)
    if (own === undefined) book.set(instance, (own = { ...NO_ACCEPTOR }))
    if (record.kind !== 'instance-chosen') {
      demand(ballot >= own.promised, 'I2', `${record.kind} below its promise`)
      own.promised = ballot
    }
    if (record.kind === 'instance-accepted') own.acceptedBallot = ballot
    if (frames[0] !== undefined) own.frame = frames[0]
  }
  const choose = (instance: number, frame: Frame): void => {
    const known = chosen.get(instance)
    if (known !== undefined) return demand(known === frame, 'I4', `${instance} is chosen twice`)
    chosen.set(instance, frame)
    demand(!places.has(frame), 'I10', `request ${frame.serial} is chosen twice`)
    places.set(frame, instance)
    cover(coverage, 'basic-value-chosen')
    while (chosen.has(through + 1)) through += 1
  }
  const vote = (node: NodePlace, { record, frames }: Stored): void => {
    if (record.kind !== 'instance-accepted') return
    demand(members[node]!.role !== 'learner', 'I16', 'a learner accepts')
    const key = `${record.instance}/${record.ballot}`
    const frame = frames[0]!
    let held = votes.get(key)
    if (held === undefined) votes.set(key, (held = { frame, holders: new Set() }))
    demand(held.frame === frame, 'I4', `two values in ${key}`)
    held.holders.add(node)
    if (held.holders.size > voters / 2) choose(record.instance, frame)
  }
  const checkSent = (
    node: NodePlace,
    message: BasicPaxosMessage,
    frame: Frame | undefined,
  ): void => {
    switch (message.kind) {
      case 'basic-promise': {
        const held = durable[node]!.get(message.instance) ?? NO_ACCEPTOR
        demand(held.promised >= message.ballot, 'I2', 'a promise leaves before it is durable')
        if (held.acceptedBallot >= message.ballot) return
        const honest = held.acceptedBallot === message.acceptedBallot
        demand(honest, 'I6', 'a promise hides what was accepted')
        if (held.acceptedBallot > 0) {
          demand(held.frame === frame, 'I6', 'a promise carries another value')
        }
        return
      }
      case 'basic-accepted': {
        const held = votes.get(`${message.instance}/${message.ballot}`)
        return demand(held?.holders.has(node) === true, 'I8', 'accepted before it is durable')
      }
      case 'basic-accept': {
        const key = `${message.instance}/${message.ballot}`
        const known = proposed.get(key)
        if (known === undefined) proposed.set(key, frame!)
        else demand(known === frame, 'I4', `two values are proposed in ${key}`)
        return
      }
      case 'basic-learned': {
        const told = chosen.get(message.instance) === frame
        return demand(told, 'I4', `tells another value of ${message.instance}`)
      }
      default:
    }
  }

  return {
    memberships: null,
    get chosenThrough() {
      return through
    },
    isChosen: (frame) => places.has(frame),
    ordered: (node, stored) => fold(written[node]!, stored),
    durable(node, stored) {
      fold(durable[node]!, stored)
      vote(node, stored)
    },
    sent: (node, _to, message, frames) => checkSent(node, message, frames[0]),
    delivered(_node, _from, message) {
      if (message.kind === 'basic-reject') cover(coverage, 'basic-reject')
    },
    chosen: (_node, index) => demand(index <= through, 'I8', `${index} is reported chosen early`),
    applied(node, first, frames) {
      demand(members[node]!.role !== 'logger', 'I15', 'a Logger applies nothing')
      demand(first === applyNext[node], 'I21', 'applied in order, once')
      frames.forEach((frame, i) => {
        demand(chosen.get(first + i) === frame, 'I19', `applies another value at ${first + i}`)
      })
      applyNext[node] = first + frames.length
    },
    led: (node) => demand(members[node]!.role === 'voter', 'I16', 'only a voter proposes'),
    viewed(node, view) {
      demand(view.chosen >= seen[node]!, 'I19', 'chosen falls')
      demand(view.chosen >= applyNext[node]! - 1, 'I19', 'applied before it is chosen')
      seen[node] = view.chosen
    },
    restarted(node: NodePlace, _found: Found) {
      const copy: Book = new Map()
      for (const [instance, own] of durable[node]!) copy.set(instance, { ...own })
      written[node] = copy
      applyNext[node] = 1
      seen[node] = 0
    },
    read(node, from, to, sizeBytesMax) {
      const found: Frame[] = []
      let sizeBytes = 0
      for (let i = from; i <= to; i++) {
        const frame = written[node]!.get(i)?.frame ?? null
        demand(frame !== null, 'I8', 'reads an instance that its disk lacks')
        sizeBytes += frame!.sizeBytes
        if (found.length > 0 && sizeBytes > sizeBytesMax) break
        found.push(frame!)
      }
      return found
    },
  }
}
