/** What the killed child writes, so that the parent can say what must be there. */
import { frameOf } from '../support/wal-records.ts'

export const SEGMENT_SIZE_BYTES = 2 ** 20
export const IDENTITY = {
  clusterId: 'kill',
  nodeId: 1,
  incarnation: 1,
  engine: 'xpaxos',
  durability: 'fsync',
} as const

/** The frame of the record with this LSN: sizes from 128 bytes to about 60 KiB. */
export const frameAt = (lsn: number, first: number): Uint8Array =>
  frameOf(65_537, first, 1 + (lsn % 4), lsn % 11 === 0 ? 15_000 : (lsn * 37) % 900)
