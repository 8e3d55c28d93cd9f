/**
 * Question: what does it cost to make one batch durable, for batches of 4 KiB, 64 KiB and 1 MiB?
 * Unit:     ms per group: append of one record and flush with its fdatasync.
 * Control:  one fdatasync of the same file after one pwrite of the same size at the same kind of
 *           place (prepared, zero-filled), without envelope, digest or fold.
 * Excludes: what several batches in one group share; the first use of a segment that nobody had
 *           time to prepare, and making the frame (both between the samples, outside of the clock).
 */
import { Bench } from 'tinybench'
import {
  FRAME_HEADER_SIZE_BYTES,
  FRAME_KIND,
  type FrameHeader,
  createFrameHeader,
  entrySizeOf,
  frameSizeOf,
  readFrameHeader,
  stampFrame,
  writeEntry,
  writeFrameHeader,
} from '../../src/codec/frame.ts'
import { type LogIndex, type Lsn, ballotOf, nodeId } from '../../src/core/ids.ts'
import { openWal } from '../../src/wal/open.ts'
import { openStorage } from '../../src/wal/storage-fs.ts'
import { type Wal, append, closeWal, flush, idle, trim } from '../../src/wal/wal.ts'

const KIB = 1024
const BATCHES = [
  { name: '4 KiB', entries: 4 },
  { name: '64 KiB', entries: 64 },
  { name: '1 MiB', entries: 1024 },
]
const PAYLOAD_SIZE_BYTES = KIB - 8
const CONTROL_FILE_SIZE_BYTES = 16 * KIB * KIB
const BATCH_SIZE_MAX_BYTES = 2 * KIB * KIB
const ballot = ballotOf(1, nodeId(1))

/** @param dir a directory on the disk in question, which must be empty or not there */
export function walSuite(dir: string, timeMs: number): Bench {
  const bench = new Bench({
    name: 'wal/append',
    time: timeMs,
    warmupTime: timeMs / 4,
    throws: true,
  })
  const storage = openStorage()
  const identity = {
    clusterId: 'bench',
    nodeId: 1,
    incarnation: 1,
    engine: 'bench',
    durability: 'fsync',
  } as const
  const { wal } = openWal(storage, { dir: `${dir}/wal`, identity })
  const bytes = new Uint8Array(new SharedArrayBuffer(BATCH_SIZE_MAX_BYTES))
  const control = storage.create(`${dir}/control`)
  storage.pwrite(control, new Uint8Array(CONTROL_FILE_SIZE_BYTES), 0)
  storage.datasync(control)
  let at = 0
  for (const { name, entries } of BATCHES) {
    const size = frameSizeOf(entries * entrySizeOf(PAYLOAD_SIZE_BYTES))
    const batch = bytes.subarray(0, size)
    bench.add(`control: pwrite and fdatasync, ${name}`, () => {
      storage.pwrite(control, batch, at)
      storage.datasync(control)
      at = at + 2 * size > CONTROL_FILE_SIZE_BYTES ? 0 : at + size
    })
    let frame = createFrameHeader()
    const beforeEach = (): void => {
      makeReady(wal)
      frame = makeFrame(bytes, entries, wal.fold.last)
    }
    bench.add(`append and flush, ${name}`, () => appendBatch(wal, bytes, frame), { beforeEach })
  }
  bench.addEventListener('complete', () => {
    storage.close(control)
    closeWal(wal)
  })
  return bench
}

/** What the stage does when nothing waits. */
function makeReady(wal: Wal): void {
  trim(wal, wal.fold.floor)
  while (idle(wal)) continue
}

function appendBatch(wal: Wal, bytes: Uint8Array, frame: FrameHeader): void {
  const prev = wal.fold.last
  const through = (prev + frame.count) as LogIndex
  const payload = { bytes, offset: 0, sizeBytes: frame.sizeBytes }
  const record = { kind: 'entries', ballot, prev, through } as const
  append(wal, record, (wal.fold.lsn + 1) as Lsn, prev, payload, [{ ...frame, continues: false }])
  flush(wal)
}

/** A frame behind `last`. Its first index is new each time, so the header is stamped each time. */
function makeFrame(bytes: Uint8Array, count: number, last: LogIndex): FrameHeader {
  const view = new DataView(bytes.buffer)
  const bodySizeBytes = count * entrySizeOf(PAYLOAD_SIZE_BYTES)
  const { entries: kind } = FRAME_KIND
  const fields = { kind, flags: 0, bodySizeBytes, count, clientId: 1, clientSequence: last + 1 }
  writeFrameHeader(view, 0, fields)
  const payload = new Uint8Array(PAYLOAD_SIZE_BYTES)
  let offset = FRAME_HEADER_SIZE_BYTES
  for (let i = 0; i < count; i++) offset = writeEntry(bytes, view, offset, payload)
  stampFrame(bytes, view, 0, ballot, (last + 1) as LogIndex)
  const header = createFrameHeader()
  const check = readFrameHeader(bytes, view, 0, bytes.length, header)
  if (check !== 'ok') throw new Error(`the frame of the bench: ${check}`)
  return header
}
