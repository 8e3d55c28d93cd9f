/**
 * The body of `wal`: reads a stopped node's directory and changes nothing. `inspect` shows what is
 * in it, `verify` reads every byte of log and snapshots against their checksums. Exit status 0
 * whole, 1 damaged, 2 bad usage or no data directory.
 */
import { resolve } from 'node:path'
import { type Ballot, ballotOwner, ballotRound } from '../core/ids.ts'
import type { WalRecord } from '../core/records.ts'
import { type LogScan, inspectWal, scanLog } from '../wal/inspect.ts'
import { type SnapshotInfo, verifySnapshots } from '../wal/snapshot-read.ts'
import type { FoundRecord } from '../wal/scan.ts'
import { openStorage } from '../wal/storage-fs.ts'
import { type Exit, EXIT, UsageError } from './exit.ts'

const ACTIONS = ['inspect', 'verify'] as const

export interface WalFlags {
  readonly records?: unknown
}

interface SegmentUse {
  readonly segment: number
  records: number
  sizeBytes: number
  readonly firstLsn: number
  lastLsn: number
}

/**
 * @throws UsageError with every problem at once; ReplicaError E_DATA_DIR, E_WAL_CORRUPT,
 *   E_SNAPSHOT_CORRUPT
 */
export function runWal(
  flags: WalFlags,
  names: readonly string[],
  unknown: readonly string[],
): Exit {
  const [given, dir, ...more] = names
  const action = ACTIONS.find((one) => one === given)
  const problems = [...unknown, ...more.map((one) => `${one}: unexpected argument`)]
  if (action === undefined) problems.push(`ACTION: want one of ${ACTIONS.join(', ')}`)
  if (dir === undefined) problems.push('DIR: missing: the data directory of a stopped node')
  if (action === 'verify' && flags.records === true) problems.push('--records: only of inspect')
  if (problems.length > 0) throw new UsageError(problems)
  return action === 'inspect'
    ? inspect(resolve(dir!), flags.records === true)
    : verify(resolve(dir!))
}

/** What lies before damage is shown, then the damage is told. */
function inspect(dir: string, withRecords: boolean): Exit {
  const storage = openStorage()
  const segments: SegmentUse[] = []
  try {
    inspectWal(storage, dir, (found) => {
      count(segments, found)
      if (withRecords) print(recordText(found))
    })
    print(logText(scanLog(storage, dir, () => undefined)))
    for (const info of verifySnapshots(storage, dir)) print(snapshotText(info))
  } finally {
    for (const segment of segments) print(segmentText(segment))
  }
  return EXIT.done
}

function verify(dir: string): Exit {
  const storage = openStorage()
  const segments: SegmentUse[] = []
  let frames = 0
  let sizeBytes = 0
  inspectWal(storage, dir, (found) => count(segments, found))
  const log = scanLog(storage, dir, (_first, _through, _chain, _ballot, _kind, bytes) => {
    frames += 1
    sizeBytes += bytes.length
  })
  const records = segments.reduce((sum, segment) => sum + segment.records, 0)
  const read = `${records} records, ${frames} frames of the log, ${sizeBytes} bytes of it`
  const snapshots = verifySnapshots(storage, dir).map((info) => `${snapshotText(info)}\n`)
  print(`${logText(log)}\n${snapshots.join('')}whole: ${read}`)
  return EXIT.done
}

function count(segments: SegmentUse[], { segment, lsn, sizeBytes }: FoundRecord): void {
  if (segments.at(-1)?.segment !== segment)
    segments.push({ segment, records: 0, sizeBytes: 0, firstLsn: lsn, lastLsn: lsn })
  const use = segments.at(-1)!
  use.records += 1
  use.sizeBytes += sizeBytes
  use.lastLsn = lsn
}

function logText({ identity, first, last, floor, promised, acceptedBallot, lsn }: LogScan): string {
  const { clusterId, nodeId, incarnation, engine, durability } = identity
  const owner = `${clusterId}, node ${nodeId}, incarnation ${incarnation}, ${engine}, ${durability}`
  const log = first > last ? `log empty behind ${last}` : `log ${first}..${last}`
  const ballots = `promised ${ballotText(promised)}, accepted ${ballotText(acceptedBallot)}`
  return `${owner}\n${log}, known chosen through ${floor}, ${ballots}, LSN ${lsn}`
}

const segmentText = ({ segment, records, sizeBytes, firstLsn, lastLsn }: SegmentUse): string =>
  `segment ${segment}: ${records} records, ${sizeBytes} bytes, LSN ${firstLsn}..${lastLsn}`

const snapshotText = ({ index, sizeBytes, unpackedBytes, chunks }: SnapshotInfo): string =>
  `snapshot ${index}: ${sizeBytes} bytes, ${unpackedBytes} unpacked, ${chunks} chunks`

function recordText({ lsn, segment, offset, record, frames, sizeBytes }: FoundRecord): string {
  const what = `${record.kind} ${ballotText(record.ballot)}${rangeText(record)}`
  return `${lsn}  ${segment}@${offset}  ${what}  ${frames.length} frames, ${sizeBytes} bytes`
}

function rangeText(record: WalRecord): string {
  if ('instance' in record) return ` instance ${record.instance}`
  if ('prev' in record) return ` ${record.prev + 1}..${record.through}`
  if (record.kind === 'sync-begin') return ` behind ${record.syncPoint} to ${record.adoptedLast}`
  if (record.kind === 'sync-commit') return ` behind ${record.syncPoint} to ${record.through}`
  return ''
}

const ballotText = (ballot: Ballot): string => `${ballotRound(ballot)}.${ballotOwner(ballot)}`

const print = (line: string): void => void process.stdout.write(`${line}\n`)
