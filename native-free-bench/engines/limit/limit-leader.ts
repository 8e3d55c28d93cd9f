/**
 * The leader of the engine `limit` over sockets: sends every part to all followers, then orders its
 * own WAL; what a quorum has synced is chosen. There is no election and no catching up: it leads
 * when all followers are linked, and a follower whose link breaks is left behind.
 *
 *     ingest --[FRAME]--> leader --[accept + bytes]--> links --> followers
 *                         leader --[APPEND, TRIM]--> wal --[DURABLE]--> leader
 *     ingest <--[CHOSEN]-- leader <--[accepted]-- links
 *                         leader --[APPLY]--> apply --[APPLIED]--> leader
 *
 * Invariant: ring bytes are freed when this node has synced and applied them and every live
 * follower has answered for them. Never blocks; runs on the thread of the sockets.
 */
import { xpaxosCodec } from '../../../src/codec/message.ts'
import { writeRecord } from '../../../src/codec/record.ts'
import type { Ballot, LogIndex } from '../../../src/core/ids.ts'
import type { Inbox } from '../../../src/net/inbox.ts'
import { LINK_DOWN, LINK_UP, type PeerLink } from '../../../src/net/link.ts'
import { type CellRing, available } from '../../../src/ring/cell-ring.ts'
import { type LogRing, release } from '../../../src/ring/log-ring.ts'
import * as cell from '../../../src/stages/cells.ts'
import { type OutPort, claim, drain, flush } from '../../../src/stages/port.ts'
import {
  type Retention,
  noteAppended,
  safeThrough,
  trimmable,
} from '../../../src/stages/retention.ts'
import { Gather, type Part, Parts, quorumOf } from './parts.ts'

const EVENTS_MAX = 1_024

/** The WAL and the applier of this node, as orders and events. */
export interface OwnStages {
  readonly toWal: OutPort
  readonly fromWal: CellRing
  /** Null: keeps no state. */
  readonly toApply: OutPort | null
  readonly fromApply: CellRing
  readonly retention: Retention
}

export interface Follower {
  readonly id: number
  readonly votes: boolean
  readonly link: PeerLink
  readonly inbox: Inbox
  state: 'awaited' | 'up' | 'gone'
  sentLsn: number
  durableLsn: number
  durable: number
}

export interface LeaderWiring {
  readonly self: number
  readonly ballot: number
  readonly own: OwnStages
  readonly followers: readonly Follower[]
  readonly log: LogRing
  readonly submitted: CellRing
  readonly toIngest: OutPort
  readonly partBytesMax: number
  readonly flushLinks: () => void
  readonly onLead: () => void
  readonly onLost: (live: number) => void
  readonly onRoom: () => void
}

/** What both ends of a link have: a duty cycle and where they stand. */
export interface LimitEnd {
  doWork(): number
  /** What was submitted since leaves at once, for between two frames. */
  order(): number
  readonly last: number
  readonly chosen: number
  readonly durable: number
  readonly parts: number
  readonly isSettled: boolean
}

/** One APPEND cell. */
export function orderAppend(
  own: OwnStages,
  part: Part,
  ring: number,
  ballot: number,
  floor: number,
) {
  const base = claim(own.toWal)
  const { words } = own.toWal
  const prev = (part.first - 1) as LogIndex
  const through = part.through as LogIndex
  writeRecord({ kind: 'entries', ballot: ballot as Ballot, prev, through }, words, base)
  words[base + 1] = part.lsn
  words[base + cell.AT_SIZE] = part.sizeBytes
  words[base + cell.AT_FRAMES] = part.frames
  words[base + cell.AT_RING] = ring
  words[base + 5] = floor
  words[base + cell.AT_APPEND_OFFSET] = part.offset
  noteAppended(own.retention, part.through, part.sizeBytes)
}

/** One APPLY cell, where there is an applier. */
export function orderApply({ toApply }: OwnStages, part: Part, ring: number): void {
  if (toApply === null) return
  const base = claim(toApply)
  const { words } = toApply
  words[base] = cell.APPLY
  words[base + 1] = part.first
  words[base + cell.AT_SIZE] = part.sizeBytes
  words[base + cell.AT_FRAMES] = part.frames
  words[base + cell.AT_RING] = ring
  words[base + cell.AT_OFFSET] = part.offset
  words[base + 7] = part.through
}

export function orderTrim({ retention, toWal }: OwnStages, safe: number): void {
  const through = trimmable(retention, safeThrough(safe))
  if (through === 0) return
  const base = claim(toWal)
  toWal.words[base] = cell.TRIM
  toWal.words[base + 1] = through
}

export function flushOwn({ toWal, toApply }: OwnStages): void {
  flush(toWal)
  if (toApply !== null) flush(toApply)
}

export function createLimitLeader(wiring: LeaderWiring): LimitEnd {
  const { own, followers, log, submitted, toIngest, ballot } = wiring
  const parts = new Parts()
  const gather = new Gather(wiring.partBytesMax)
  const message = new Float64Array(16)
  const marks: number[] = []
  const scratch: number[] = []
  let hasLed = false
  let last = 0
  let chosen = 0
  let chosenLsn = 0
  let durableLsn = 0
  let durable = 0
  let appliedLsn = 0
  let applied = 0

  const onSubmitted = (words: Float64Array, base: number): number => {
    const part = gather.add(words, base, parts.nextLsn)
    if (part !== null) append(part)
    return 1
  }
  const append = (part: Part): void => {
    parts.push(part)
    last = part.through
    orderAppend(own, part, 0, ballot, chosen)
  }
  const send = (follower: Follower): boolean => {
    let isSent = false
    while (follower.state === 'up' && follower.sentLsn + 1 < parts.nextLsn) {
      const part = parts.at(follower.sentLsn + 1)
      const { first, through, sizeBytes, offset, frames, lsn } = part
      xpaxosCodec.encode(
        {
          kind: 'accept',
          ballot: ballot as Ballot,
          attempt: 0,
          prev: (first - 1) as LogIndex,
          through: through as LogIndex,
          chosen: chosen as LogIndex,
          chosenChain: 0,
        },
        message,
        0,
      )
      message[1] = wiring.self
      message[cell.AT_SIZE] = sizeBytes
      message[cell.AT_FRAMES] = frames
      const payload = log.bytes.subarray(offset, offset + sizeBytes)
      if (!follower.link.send(message, 0, payload, lsn)) break
      follower.sentLsn = lsn
      isSent = true
    }
    return isSent
  }
  /** To the sockets first: followers work while this node's own disk does. */
  const order = (): number => {
    let work = 0
    if (available(submitted) > 0) {
      work = drain(submitted, EVENTS_MAX, onSubmitted)
      const part = gather.take()
      if (part !== null) append(part)
    }
    let isSent = false
    for (const follower of followers) isSent = send(follower) || isSent
    if (isSent) wiring.flushLinks()
    if (work > 0) flush(own.toWal)
    return work
  }
  const hear = (follower: Follower): number => {
    const onCell = (words: Float64Array, base: number): number => {
      const kind = words[base]!
      if (kind === LINK_UP && follower.state === 'awaited') follower.state = 'up'
      else if (kind === LINK_UP || kind === LINK_DOWN) lose(follower)
      else {
        const answer = xpaxosCodec.decode(words, base)
        if (answer.kind === 'accepted') follower.durable = answer.through
      }
      return 1
    }
    const work = drain(follower.inbox.cells, EVENTS_MAX, onCell)
    if (work > 0) follower.durableLsn = parts.lsnOf(follower.durableLsn, follower.durable)
    return work
  }
  const lose = (follower: Follower): void => {
    if (follower.state === 'gone') return
    follower.state = 'gone'
    wiring.onLost(1 + followers.filter(({ votes, state }) => votes && state !== 'gone').length)
  }
  const hearOwn = (): number => {
    const work = drain(own.fromWal, EVENTS_MAX, (words, base) => {
      if (words[base] === cell.DURABLE) durableLsn = words[base + 1]!
      return 1
    })
    if (work > 0 && durableLsn > 0) durable = parts.at(durableLsn).through
    const more = drain(own.fromApply, EVENTS_MAX, (words, base) => {
      applied = words[base + 1]!
      return 1
    })
    if (more > 0) appliedLsn = parts.lsnOf(appliedLsn, applied)
    return work + more
  }
  const choose = (): void => {
    marks.length = 0
    marks.push(durableLsn)
    for (const follower of followers) if (follower.votes) marks.push(follower.durableLsn)
    const through = quorumOf(marks, scratch)
    if (through === chosenLsn) return
    while (chosenLsn < through) orderApply(own, parts.at(++chosenLsn), 0)
    chosen = parts.at(chosenLsn).through
    const base = claim(toIngest)
    toIngest.words[base] = cell.CHOSEN
    toIngest.words[base + 1] = chosen
  }
  const free = (): void => {
    let lsn = Math.min(chosenLsn, durableLsn, own.toApply === null ? durableLsn : appliedLsn)
    for (const { state, durableLsn: theirs } of followers) {
      if (state !== 'gone') lsn = Math.min(lsn, theirs)
    }
    const part = parts.dropThrough(lsn)
    if (part === null) return
    release(log, part.end)
    wiring.onRoom()
  }
  const lead = (): void => {
    if (hasLed || followers.some(({ state }) => state === 'awaited')) return
    hasLed = true
    wiring.onLead()
  }
  const doWork = (): number => {
    let work = hearOwn()
    for (const follower of followers) work += hear(follower)
    lead()
    if (work > 0) {
      choose()
      free()
      orderTrim(own, own.toApply === null ? chosen : Math.min(applied, chosen))
      flush(toIngest)
    }
    work += order()
    flushOwn(own)
    return work
  }
  return {
    doWork,
    order,
    get last() {
      return last
    },
    get chosen() {
      return chosen
    },
    get durable() {
      return durable
    },
    get parts() {
      return parts.nextLsn - 1
    },
    get isSettled() {
      const isOwn = durable === last && (own.toApply === null || applied === last)
      return isOwn && followers.every((one) => one.state === 'gone' || one.durable === last)
    },
  }
}
