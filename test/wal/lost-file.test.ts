/** A segment file that is gone, empty or cut off, as a whole: no flipped bit, no torn write. */
import { expect, test } from 'vitest'
import { hasCode } from '../../src/base/errors.ts'
import { type LogIndex, type Lsn, ballotOf, nodeId } from '../../src/core/ids.ts'
import { type MemoryStorage, createMemoryStorage } from '../../src/sim/memory-storage.ts'
import { openWal } from '../../src/wal/open.ts'
import { segmentPath } from '../../src/wal/segment.ts'
import { type Wal, append, flush, idle } from '../../src/wal/wal.ts'
import { frameOf, pack } from '../support/wal-records.ts'
import { DIR, IDENTITY } from '../support/wal-run.ts'

const SEGMENT_SIZE_BYTES = 16 * 1024
const ZEROS = new Uint8Array(SEGMENT_SIZE_BYTES)
const ENTRY_BYTES = 3_500 // three of them fill a segment
const ballot = ballotOf(1, nodeId(1))

const open = (storage: MemoryStorage) =>
  openWal(storage, { dir: DIR, identity: IDENTITY, segmentSizeBytes: SEGMENT_SIZE_BYTES })

function write(wal: Wal): void {
  const prev = wal.fold.last
  const through = (prev + 1) as LogIndex
  const packed = pack([frameOf(ballot, through, 1, ENTRY_BYTES)])
  const record = { kind: 'entries', ballot, prev, through } as const
  append(wal, record, (wal.fold.lsn + 1) as Lsn, 0 as LogIndex, packed, packed.frames)
}

/** A log of so many entries, a group each, the next file ready; its process is gone. */
function logOf(entries: number): MemoryStorage {
  const storage = createMemoryStorage()
  const { wal } = open(storage)
  for (let i = 0; i < entries; i++) {
    write(wal)
    flush(wal)
    while (idle(wal)) continue
  }
  storage.kill()
  return storage
}

/** The first `size` bytes of a file are all of it. */
function cutOff(storage: MemoryStorage, number: number, size: number): void {
  const path = segmentPath(DIR, number)
  const kept = storage.peek(path).slice(0, size)
  storage.unlink(path)
  const file = storage.create(path)
  storage.pwrite(file, kept, 0)
  storage.datasync(file)
}

const opening = (storage: MemoryStorage): unknown => {
  try {
    return open(storage).recovered.last
  } catch (error) {
    return hasCode(error, 'E_WAL_CORRUPT') ? error.detail.segment : error
  }
}

const LOSSES: [what: string, lose: (storage: MemoryStorage, number: number) => void][] = [
  ['gone', (storage, number) => storage.unlink(segmentPath(DIR, number))],
  ['of no bytes', (storage, number) => cutOff(storage, number, 0)],
  ['cut off within its header', (storage, number) => cutOff(storage, number, 100)],
  ['cut off behind its header', (storage, number) => cutOff(storage, number, 128)],
  ['cut off within its records', (storage, number) => cutOff(storage, number, 8_000)],
  ['full of zeros', (storage, number) => storage.poke(segmentPath(DIR, number), 0, ZEROS)],
]

test.each(LOSSES)('the newest segment is missed when it is %s', (_what, lose) => {
  const storage = logOf(4) // the last entry lies in segment 2
  expect(storage.peek(segmentPath(DIR, 3)).length).toBe(SEGMENT_SIZE_BYTES)
  lose(storage, 2)
  expect(opening(storage)).toMatch(/^wal-000000000000000[12]\.seg$/)
})

test.each(LOSSES)('the only segment is missed when it is %s: no blank log', (_what, lose) => {
  const storage = logOf(1)
  lose(storage, 1)
  expect(opening(storage)).toMatch(/^wal-000000000000000[12]\.seg$/)
})

test('a file that was made ready and never begun may be lost', () => {
  for (const size of [0, 100, 8_000]) {
    const storage = logOf(4)
    cutOff(storage, 3, size)
    expect(opening(storage)).toBe(4)
    storage.kill()
    expect(opening(storage)).toBe(4)
  }
})

test('a ready file is no proof against a segment that was begun and not synced', () => {
  for (const kept of [0, 0.3, 0.6, 1]) {
    const storage = logOf(3)
    const { wal } = open(storage)
    for (let i = 0; i < 8; i++) write(wal) // one group, which makes the files ready that it needs
    expect(() => {
      storage.onOperation = (operation) => {
        if (operation === 'datasync') throw new Error('power')
      }
      flush(wal)
    }).toThrow()
    storage.onOperation = null
    storage.crash(() => kept)
    expect(opening(storage)).toBeGreaterThanOrEqual(3)
  }
})
