/**
 * A follower of the engine `limit` over sockets: orders what arrives to its WAL, answers when it is
 * synced, applies it then. It trusts the leader: nothing is verified, rejected or asked for again.
 *
 *     link --[accept + bytes]--> follower --[APPEND, TRIM]--> wal --[DURABLE]--> follower
 *     link <--[accepted]-- follower --[APPLY]--> apply --[APPLIED]--> follower
 *
 * Invariant: `accepted` leaves after the sync that covers it. Ring bytes are freed when they are
 * synced and applied. Never blocks; runs on the thread of the socket.
 */
import { xpaxosCodec } from '../../../src/codec/message.ts'
import type { Ballot, LogIndex } from '../../../src/core/ids.ts'
import type { Inbox } from '../../../src/net/inbox.ts'
import {
  AT_PAYLOAD_END,
  AT_PAYLOAD_OFFSET,
  LINK_DOWN,
  LINK_KIND_MIN,
  type PeerLink,
} from '../../../src/net/link.ts'
import { release } from '../../../src/ring/log-ring.ts'
import * as cell from '../../../src/stages/cells.ts'
import { drain } from '../../../src/stages/port.ts'
import {
  type LimitEnd,
  type OwnStages,
  flushOwn,
  orderAppend,
  orderApply,
  orderTrim,
} from './limit-leader.ts'
import { Parts } from './parts.ts'

const EVENTS_MAX = 1_024
/** A follower that is to close waits for what the leader has still on its way. */
const QUIET_MS = 200
/** The leader's inbox follows the node's own log among its rings. */
const RING = 1

export interface FollowerWiring {
  readonly self: number
  readonly ballot: number
  readonly own: OwnStages
  readonly inbox: Inbox
  readonly link: PeerLink
  readonly flushLinks: () => void
}

export function createLimitFollower(wiring: FollowerWiring): LimitEnd {
  const { own, inbox, link, ballot } = wiring
  const parts = new Parts()
  const message = new Float64Array(16)
  let last = 0
  let floor = 0
  let durableLsn = 0
  let durable = 0
  let answered = 0
  let appliedLsn = 0
  let applied = 0
  let isLinked = true
  let heardAtMs = 0

  const onCell = (words: Float64Array, base: number): number => {
    if (words[base]! >= LINK_KIND_MIN) {
      isLinked = words[base] !== LINK_DOWN
      return 1
    }
    const accept = xpaxosCodec.decode(words, base)
    if (accept.kind !== 'accept') return 1
    last = accept.through
    floor = accept.chosen
    const part = {
      lsn: parts.nextLsn,
      first: accept.prev + 1,
      through: accept.through,
      offset: words[base + AT_PAYLOAD_OFFSET]!,
      sizeBytes: words[base + cell.AT_SIZE]!,
      frames: words[base + cell.AT_FRAMES]!,
      end: words[base + AT_PAYLOAD_END]!,
    }
    parts.push(part)
    orderAppend(own, part, RING, ballot, floor)
    return 1
  }
  const answer = (): void => {
    if (answered === durable) return
    const through = durable as LogIndex
    xpaxosCodec.encode(
      { kind: 'accepted', ballot: ballot as Ballot, attempt: 0, through },
      message,
      0,
    )
    message[1] = wiring.self
    message[cell.AT_SIZE] = 0
    message[cell.AT_FRAMES] = 0
    if (!link.send(message, 0, null, 0)) return
    answered = durable
    wiring.flushLinks()
  }
  const hearOwn = (): number => {
    const work = drain(own.fromWal, EVENTS_MAX, (words, base) => {
      if (words[base] !== cell.DURABLE) return 1
      const through = words[base + 1]!
      while (durableLsn < through) orderApply(own, parts.at(++durableLsn), RING)
      durable = parts.at(durableLsn).through
      return 1
    })
    const more = drain(own.fromApply, EVENTS_MAX, (words, base) => {
      applied = words[base + 1]!
      return 1
    })
    if (more > 0) appliedLsn = parts.lsnOf(appliedLsn, applied)
    return work + more
  }
  const doWork = (): number => {
    const heard = hearOwn()
    answer()
    const received = drain(inbox.cells, EVENTS_MAX, onCell)
    const work = heard + received
    if (received > 0) heardAtMs = performance.now()
    if (heard > 0) {
      const part = parts.dropThrough(own.toApply === null ? durableLsn : appliedLsn)
      if (part !== null) release(inbox.log, part.end)
      orderTrim(own, own.toApply === null ? floor : Math.min(applied, floor))
    }
    if (work > 0) flushOwn(own)
    return work
  }
  return {
    doWork,
    order: () => 0,
    get last() {
      return last
    },
    /** It is told of no choice beyond the floor, and applies what it holds. */
    get chosen() {
      return durable
    },
    get durable() {
      return durable
    },
    get parts() {
      return parts.nextLsn - 1
    },
    get isSettled() {
      if (isLinked && performance.now() - heardAtMs < QUIET_MS) return false
      return durable === last && (own.toApply === null || applied === last)
    },
  }
}
