/**
 * What a WAL must remember, written down the simple way: one immutable state per LSN. A recovered
 * WAL must equal the state of some LSN at or above the last durable one.
 */
import { chainOf } from '../../src/core/frame-ref.ts'
import type { Ballot, LogIndex, Lsn } from '../../src/core/ids.ts'
import type { WalRecord } from '../../src/core/records.ts'

export interface ModelFrame {
  readonly first: number
  readonly through: number
  readonly chain: number
  readonly continues: boolean
  readonly ballot: number
  readonly bytes: Uint8Array
  /** What a config frame says; null: it is none. */
  readonly config: Uint8Array | null
}

export interface ModelState {
  readonly lsn: number
  readonly promised: number
  readonly acceptedBallot: number
  /** From index 1 on: the model never trims. */
  readonly log: readonly ModelFrame[]
  readonly floor: number
  readonly floorSaid: number
  readonly sync: {
    readonly ballot: number
    readonly syncPoint: number
    readonly log: readonly ModelFrame[]
  } | null
}

export const EMPTY_MODEL: ModelState = {
  lsn: 0,
  promised: 0,
  acceptedBallot: 0,
  log: [],
  floor: 0,
  floorSaid: 0,
  sync: null,
}

export const lastOf = (log: readonly ModelFrame[]): number => log.at(-1)?.through ?? 0
export const chainOfLog = (log: readonly ModelFrame[]): number => log.at(-1)?.chain ?? 0
export const cutBehind = (log: readonly ModelFrame[], index: number): ModelFrame[] =>
  log.filter(({ through }) => through <= index)

export interface NewFrame {
  readonly first: number
  readonly count: number
  readonly headerCrc: number
  readonly continues: boolean
  readonly ballot: number
  readonly bytes: Uint8Array
  readonly config?: Uint8Array
}

function extended(log: readonly ModelFrame[], frames: readonly NewFrame[]): ModelFrame[] {
  const longer = [...log]
  for (const { first, count, headerCrc, continues, ballot, bytes, config = null } of frames) {
    const chain = chainOf(chainOfLog(longer), headerCrc)
    longer.push({ first, through: first + count - 1, chain, continues, ballot, bytes, config })
  }
  return longer
}

/** The state after one more record. */
export function after(
  state: ModelState,
  record: WalRecord,
  lsn: number,
  floor: number,
  frames: readonly NewFrame[],
): ModelState {
  const changed = { ...state, ...changeOf(state, record, frames), lsn }
  const isLearned =
    (record.kind === 'entries' || record.kind === 'sync-commit') && record.ballot === 0
  const floorSaid = Math.max(state.floorSaid, isLearned ? record.through : floor)
  const reached = changed.log.findLast(({ through }) => through <= floorSaid)?.through ?? 0
  return { ...changed, floorSaid, floor: Math.max(state.floor, reached) }
}

function changeOf(
  state: ModelState,
  record: WalRecord,
  frames: readonly NewFrame[],
): Partial<ModelState> {
  const { sync, log, promised } = state
  switch (record.kind) {
    case 'entries':
      return { log: extended(log, frames) }
    case 'promised':
      return {
        promised: Math.max(promised, record.ballot),
        sync: sync !== null && sync.ballot < record.ballot ? null : sync,
      }
    case 'sync-begin': {
      const { ballot, syncPoint } = record
      return { sync: { ballot, syncPoint, log: cutBehind(log, syncPoint) } }
    }
    case 'sync-entries':
      return { sync: { ...sync!, log: extended(sync!.log, frames) } }
    case 'sync-commit': {
      const { ballot } = record
      const newest = Math.max(promised, ballot)
      return { log: sync!.log, acceptedBallot: ballot, promised: newest, sync: null }
    }
    default:
      return {}
  }
}

/** The newest config batch at or below the floor, and all above it. */
function configsOf({ log, floor }: ModelState): { index: LogIndex; bytes: Uint8Array }[] {
  const all = log.flatMap(({ first, config }) =>
    config === null ? [] : [{ index: first as LogIndex, bytes: config }],
  )
  const below = all.filter(({ index }) => index <= floor)
  return [...below.slice(-1), ...all.slice(below.length)]
}

/** The part of a state that recovery reports. */
export const reportOf = (state: ModelState) => ({
  ...logReportOf(state),
  configs: configsOf(state),
})

const logReportOf = ({ promised, acceptedBallot, log, floor, lsn }: ModelState) => ({
  promised: promised as Ballot,
  acceptedBallot: acceptedBallot as Ballot,
  last: lastOf(log) as LogIndex,
  lastChain: chainOfLog(log),
  floor: floor as LogIndex,
  floorChain: chainOfLog(cutBehind(log, floor)),
  floorContinues: cutBehind(log, floor).at(-1)?.continues ?? false,
  nextLsn: (lsn + 1) as Lsn,
})
