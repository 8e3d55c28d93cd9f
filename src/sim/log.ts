/**
 * What a list of WAL records means (R12), written apart from src/wal/fold.ts so that each can
 * convict the other. The oracle keeps one such log for what a node has written and one for what is
 * durable. Pure data.
 */
import { chainOf } from '../core/frame-ref.ts'
import type { LogIndex, Lsn } from '../core/ids.ts'
import type { WalRecord } from '../core/records.ts'
import type { Frame } from './frames.ts'
import { demand } from './invariants.ts'

export interface Stored {
  readonly lsn: Lsn
  readonly record: WalRecord
  readonly frames: readonly Frame[]
  /** Chosen index as the node knew it before the step that ordered the record (R14). */
  readonly floor: LogIndex
}

export interface Log {
  promised: number
  acceptedBallot: number
  floor: number
  last: number
  readonly frames: Frame[]
  /** chains[i] = chain behind frames[i]. */
  readonly chains: number[]
  /** The config batches among them. */
  readonly configs: Frame[]
  sync: OpenSync | null
}

interface OpenSync {
  readonly ballot: number
  readonly syncPoint: number
  last: number
  readonly frames: Frame[]
}

/** What the newest commit cut away. */
export interface Cut {
  count: number
  conflicting: boolean
}

export const emptyLog = (): Log => ({
  promised: 0,
  acceptedBallot: 0,
  floor: 0,
  last: 0,
  frames: [],
  chains: [],
  configs: [],
  sync: null,
})

export const copyLog = (log: Log): Log => ({
  ...log,
  frames: log.frames.slice(),
  chains: log.chains.slice(),
  configs: log.configs.slice(),
  sync: log.sync === null ? null : { ...log.sync, frames: log.sync.frames.slice() },
})

const check = (condition: boolean, belief: string): void => demand(condition, 'I8', belief)

/** @returns what a commit has cut, null for every other record */
export function foldInto(log: Log, { record, frames, floor }: Stored): Cut | null {
  let cut: Cut | null = null
  switch (record.kind) {
    case 'promised':
      demand(record.ballot > log.promised, 'I2', 'a promise only grows')
      log.promised = record.ballot
      log.sync = null
      break
    case 'entries':
      check(record.prev === log.last, 'entries follow the log')
      if (record.ballot !== 0) {
        demand(record.ballot === log.acceptedBallot, 'I5', 'entries are of the accepted ballot')
        demand(record.ballot === log.promised, 'I2', 'entries are of the promised ballot')
      }
      for (const frame of frames) push(log, frame)
      check(log.last === record.through, 'the frames of a record reach its end')
      break
    case 'sync-begin': {
      const { ballot, syncPoint } = record
      // Ballot 0: a voter turns learner, and cuts to what is chosen (R31).
      demand(ballot === log.promised || ballot === 0, 'I2', 'a sync is of the promised ballot')
      demand(syncPoint >= log.floor, 'I4', 'a sync never cuts below the floor')
      check(placeBehind(log, syncPoint) >= 0, 'a sync point is a boundary')
      log.sync = { ballot, syncPoint, last: syncPoint, frames: [] }
      break
    }
    case 'sync-entries':
      check(log.sync !== null && log.sync.last === record.prev, 'a sync grows without holes')
      for (const frame of frames) log.sync!.frames.push(frame)
      log.sync!.last = record.through
      break
    case 'sync-commit':
      check(log.sync !== null && log.sync.ballot === record.ballot, 'a commit ends its own sync')
      check(log.sync!.syncPoint === record.syncPoint, 'a commit names its sync point')
      check(log.sync!.last === record.through, 'a commit names its last index')
      cut = commit(log, log.sync!)
      break
    default:
  }
  if (floor > log.floor) log.floor = Math.min(floor, log.last)
  return cut
}

function commit(log: Log, sync: OpenSync): Cut {
  demand(sync.syncPoint >= log.floor, 'I4', 'a commit never cuts below the floor')
  const keep = placeBehind(log, sync.syncPoint)
  const old = log.frames[keep]
  const cut = { count: log.frames.length - keep, conflicting: false }
  cut.conflicting = old !== undefined && sync.frames[0] !== undefined && old !== sync.frames[0]
  log.frames.length = keep
  log.chains.length = keep
  const { configs } = log
  while (configs.length > 0 && configs.at(-1)!.first > sync.syncPoint) configs.pop()
  log.last = sync.syncPoint
  for (const frame of sync.frames) push(log, frame)
  check(log.last === sync.last, 'the frames of a sync reach its end')
  log.acceptedBallot = sync.ballot
  log.sync = null
  return cut
}

function push(log: Log, frame: Frame): void {
  check(frame.first === log.last + 1, 'the log has no hole')
  const { chains } = log
  const before = chains.length === 0 ? 0 : chains[chains.length - 1]!
  log.frames.push(frame)
  if (frame.membership !== null) log.configs.push(frame)
  chains.push(chainOf(before, frame.headerCrc))
  log.last = frame.through
}

/** Place of the first frame behind `index`; -1 when a frame lies across it. */
function placeBehind(log: Log, index: number): number {
  const place = placeOf(log.frames, index + 1)
  const before = place === 0 ? 0 : log.frames[place - 1]!.through
  return before === index ? place : -1
}

/** Place of the frame that covers `index`, or the length. */
export function placeOf(frames: readonly Frame[], index: number): number {
  let low = 0
  let high = frames.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (frames[middle]!.through < index) low = middle + 1
    else high = middle
  }
  return low
}

/** Frames from the one that begins at `from`, whole, up to `through` and about `sizeBytesMax`. */
export function framesFrom(
  frames: readonly Frame[],
  from: number,
  through: number,
  sizeBytesMax: number,
): Frame[] {
  const found: Frame[] = []
  let sizeBytes = 0
  for (let i = placeOf(frames, from); i < frames.length; i++) {
    const frame = frames[i]!
    if (frame.through > through || (found.length === 0 && frame.first !== from)) break
    sizeBytes += frame.sizeBytes
    if (found.length > 0 && sizeBytes > sizeBytesMax) break
    found.push(frame)
  }
  return found
}
