/**
 * Appends to a WAL on real files until it is killed. Says on stdout what is durable, a line a
 * group, only after `flush` has returned: `lsn last promised`. What it writes follows from the LSN
 * alone.
 */
import { writeSync } from 'node:fs'
import { type LogIndex, type Lsn, ballotOf, nodeId } from '../../src/core/ids.ts'
import { openWal } from '../../src/wal/open.ts'
import { openStorage } from '../../src/wal/storage-fs.ts'
import { append, flush, idle, trim } from '../../src/wal/wal.ts'
import { pack } from '../support/wal-records.ts'
import { IDENTITY, SEGMENT_SIZE_BYTES, frameAt } from './wal-kill.content.ts'

const [dir = '', round = '1'] = process.argv.slice(2)
const options = { dir, identity: IDENTITY, segmentSizeBytes: SEGMENT_SIZE_BYTES }
const { wal, recovered } = openWal(openStorage(), options)

let lsn: number = recovered.nextLsn
let last: number = recovered.last
const ballot = ballotOf(Number(round), nodeId(1))
append(wal, { kind: 'promised', ballot }, lsn++ as Lsn, recovered.floor, null, null)

for (;;) {
  for (let records = 1 + (lsn % 5); records > 0; records--) {
    const packed = pack([frameAt(lsn, last + 1)])
    const prev = last as LogIndex
    last += packed.frames[0]!.count
    const record = { kind: 'entries', ballot, prev, through: last as LogIndex } as const
    append(wal, record, lsn++ as Lsn, prev, packed, packed.frames)
  }
  const durable = flush(wal)
  writeSync(1, `${durable} ${last} ${ballot}\n`)
  if (lsn % 7 === 0) trim(wal, (last - 500) as LogIndex)
  if (lsn % 3 === 0) idle(wal)
}
