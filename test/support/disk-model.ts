/**
 * A node's WAL as a list of records with a durable prefix, and the meaning of such a list (R12),
 * written apart from src/wal/fold.ts so that each can convict the other.
 */
import { chainOf } from '../../src/core/frame-ref.ts'
import type { Ballot, LogIndex, Lsn } from '../../src/core/ids.ts'
import type { Membership } from '../../src/core/membership.ts'
import type { WalRecord } from '../../src/core/records.ts'
import type { Recovered } from '../../src/core/xpaxos/state.ts'

/** What a frame is, apart from where it lies: the same object on every node that holds it. */
export interface Content {
  readonly first: LogIndex
  readonly count: number
  readonly through: LogIndex
  readonly ballot: Ballot
  readonly sizeBytes: number
  /** Counts up over all frames of a test. */
  readonly serial: number
  /** Unique in a test, so it stands for the bytes. */
  readonly headerCrc: number
  readonly config?: Membership
  /** Serial of the first frame of its group. */
  readonly group?: number
  /** It is not the end of its group. */
  readonly continues?: boolean
  /** It ends an open group and makes it void. */
  readonly aborts?: boolean
}

export interface Stored {
  readonly lsn: Lsn
  readonly record: WalRecord
  readonly contents: readonly Content[]
  /** Chosen index as the node knew it when it ordered the record: in the envelope (R14). */
  readonly floor: LogIndex
}

export interface Log {
  promised: number
  acceptedBallot: number
  floor: number
  last: number
  contents: Content[]
  /** chains[i] = chain behind contents[i]. */
  chains: number[]
  sync: OpenSync | null
}

interface OpenSync {
  readonly ballot: number
  readonly syncPoint: number
  last: number
  readonly contents: Content[]
}

export const emptyLog = (): Log => ({
  promised: 0,
  acceptedBallot: 0,
  floor: 0,
  last: 0,
  contents: [],
  chains: [],
  sync: null,
})

export const copyLog = (log: Log): Log => ({
  ...log,
  contents: log.contents.slice(),
  chains: log.chains.slice(),
  sync: log.sync === null ? null : { ...log.sync, contents: log.sync.contents.slice() },
})

export function check(condition: boolean, belief: string): asserts condition {
  if (!condition) throw new Error(`model: ${belief}`)
}

export function foldInto(log: Log, { record, contents, floor }: Stored): void {
  switch (record.kind) {
    case 'promised':
      check(record.ballot > log.promised, 'a promise only grows')
      log.promised = record.ballot
      log.sync = null
      break
    case 'entries':
      check(record.prev === log.last, 'entries follow the log')
      if (record.ballot !== 0) {
        check(record.ballot === log.acceptedBallot, 'entries are of the accepted ballot')
        check(record.ballot === log.promised, 'entries are of the promised ballot')
      }
      for (const content of contents) push(log, content)
      check(log.last === record.through, 'the frames of a record reach its end')
      break
    case 'sync-begin': {
      const { ballot, syncPoint } = record
      check(ballot === log.promised || ballot === 0, 'a sync is of the promised ballot')
      check(syncPoint >= log.floor, 'a sync never cuts below the floor')
      check(placeBehind(log, syncPoint) >= 0, 'a sync point is a boundary')
      log.sync = { ballot, syncPoint, last: syncPoint, contents: [] }
      break
    }
    case 'sync-entries':
      check(log.sync !== null && log.sync.last === record.prev, 'a sync grows without holes')
      for (const content of contents) log.sync.contents.push(content)
      log.sync.last = record.through
      break
    case 'sync-commit':
      check(log.sync !== null && log.sync.ballot === record.ballot, 'a commit ends its own sync')
      check(log.sync.syncPoint === record.syncPoint, 'a commit names its sync point')
      check(log.sync.last === record.through, 'a commit names its last index')
      commit(log, log.sync)
      break
    default:
      check(false, `no record of Basic Paxos: ${record.kind}`)
  }
  const isLearned =
    (record.kind === 'entries' || record.kind === 'sync-commit') && record.ballot === 0
  const known = isLearned ? record.through : floor
  log.floor = Math.max(log.floor, Math.min(known, log.last))
}

function commit(log: Log, sync: OpenSync): void {
  check(sync.syncPoint >= log.floor, 'a commit never cuts below the floor')
  const keep = placeBehind(log, sync.syncPoint)
  log.contents.length = keep
  log.chains.length = keep
  log.last = sync.syncPoint
  for (const content of sync.contents) push(log, content)
  check(log.last === sync.last, 'the frames of a sync reach its end')
  log.acceptedBallot = sync.ballot
  log.sync = null
}

function push(log: Log, content: Content): void {
  check(content.first === log.last + 1, 'the log has no hole')
  log.contents.push(content)
  log.chains.push(chainOf(log.chains.at(-1) ?? 0, content.headerCrc))
  log.last = content.through
}

/** Place of the first frame behind `index`; -1 when a frame lies across it. */
function placeBehind(log: Log, index: number): number {
  const place = placeOf(log.contents, index + 1)
  const before = place === 0 ? 0 : log.contents[place - 1]!.through
  return before === index ? place : -1
}

/** Place of the frame that covers `index`, or contents.length. */
export function placeOf(contents: readonly Content[], index: number): number {
  let low = 0
  let high = contents.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (contents[middle]!.through < index) low = middle + 1
    else high = middle
  }
  return low
}

/** What a restart finds; the floor is clamped to a frame boundary of the log. */
export function recoveredOf(log: Log, nextLsn: Lsn): Recovered {
  const { contents, chains } = log
  let place = placeOf(contents, log.floor)
  if (contents[place]?.through === log.floor) place += 1
  const marks = []
  for (let i = place; i < contents.length; i++) {
    const { through, continues = false } = contents[i]!
    marks.push({ through, chain: chains[i]!, continues })
  }
  return {
    promised: log.promised as Ballot,
    acceptedBallot: log.acceptedBallot as Ballot,
    floor: (contents[place - 1]?.through ?? 0) as LogIndex,
    floorChain: chains[place - 1] ?? 0,
    floorContinues: contents[place - 1]?.continues ?? false,
    marks,
    firstRetained: 1 as LogIndex,
    nextLsn,
    configs: contents.flatMap(({ first, config }) =>
      config === undefined ? [] : [{ index: first, membership: config }],
    ),
  }
}
