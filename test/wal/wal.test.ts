import { expect, test } from 'vitest'
import { hasCode } from '../../src/base/errors.ts'
import { type Ballot, type LogIndex, type Lsn, ballotOf, nodeId } from '../../src/core/ids.ts'
import type { WalRecord } from '../../src/core/records.ts'
import { inspectWal, scanLog } from '../../src/wal/inspect.ts'
import { type Recovered, openWal } from '../../src/wal/open.ts'
import {
  type Wal,
  append,
  closeWal,
  flush,
  idle,
  mark,
  readFrames,
  retainedFirst,
  trim,
} from '../../src/wal/wal.ts'
import { type MemoryStorage, createMemoryStorage, diskError } from '../../src/sim/memory-storage.ts'
import { frameOf, pack } from '../support/wal-records.ts'
import { DIR, IDENTITY } from '../support/wal-run.ts'

const SEGMENT_SIZE_BYTES = 16 * 1024
const FIRST_RECORD = 4096
const leader = ballotOf(1, nodeId(1))
const NOTHING = 0 as LogIndex

interface Node {
  readonly storage: MemoryStorage
  readonly wal: Wal
  readonly recovered: Recovered
}

function open(storage: MemoryStorage, segmentSizeBytes = SEGMENT_SIZE_BYTES): Node {
  return { storage, ...openWal(storage, { dir: DIR, identity: IDENTITY, segmentSizeBytes }) }
}

const nextLsn = ({ fold }: Wal): Lsn => (fold.lsn + 1) as Lsn
const put = (wal: Wal, record: WalRecord, floor = NOTHING): void =>
  append(wal, record, nextLsn(wal), floor, null, null)
const promise = (wal: Wal, round: number): void =>
  put(wal, { kind: 'promised', ballot: ballotOf(round, nodeId(1)) })

/** One record of one frame of `count` entries behind the last index. */
function extend(wal: Wal, count: number, payloadSizeBytes: number, floor = 0): void {
  const prev = wal.fold.last
  const through = (prev + count) as LogIndex
  const packed = pack([frameOf(leader, prev + 1, count, payloadSizeBytes)])
  const record = { kind: 'entries', ballot: leader, prev, through } as const
  append(wal, record, nextLsn(wal), floor as LogIndex, packed, packed.frames)
}

const errorOf = (call: () => unknown): unknown => {
  try {
    call()
  } catch (error) {
    return error
  }
  return undefined
}

const segmentFile = (number: number): string =>
  `${DIR}/wal-${number.toString(16).padStart(16, '0')}.seg`

function flipByte(storage: MemoryStorage, path: string, offset: number): void {
  storage.poke(path, offset, Uint8Array.of(storage.peek(path)[offset]! ^ 1))
}

/** The disk fails, and with it the process; the page cache stays. */
function endsByDisk(storage: MemoryStorage, call: () => unknown): void {
  expect(errorOf(call)).toMatchObject({ code: 'E_DISK' })
  storage.onOperation = null
  storage.kill()
}

const neverRandom = () => 1 // nothing that is not synced survives

test('recovery that is cut short among torn segments leaves no gap that passes for a trim', () => {
  const storage = createMemoryStorage()
  const { wal } = open(storage)
  for (let i = 0; i < 3; i++) extend(wal, 1, 16)
  flush(wal)
  const unsyncedFrom = wal.disk!.segments[0]!.tail
  while (wal.disk!.segments.length < 3) extend(wal, 1, 1_000, wal.fold.last)
  storage.onOperation = (operation) => {
    if (operation === 'datasync') throw diskError('fdatasync', 'EIO')
  }
  endsByDisk(storage, () => flush(wal))
  flipByte(storage, segmentFile(1), unsyncedFrom + 8) // the log ends here: 2 and 3 are torn
  let unlinks = 0
  storage.onOperation = (operation) => {
    if (operation === 'unlink' && ++unlinks === 2) throw diskError('unlink', 'EIO')
  }
  endsByDisk(storage, () => open(storage))
  const { recovered } = open(storage)
  expect([recovered.retainedFirst, recovered.last]).toEqual([1, 3])
})

test('a first header whose sync failed is written again: the page cache is no proof', () => {
  const storage = createMemoryStorage()
  storage.onOperation = (operation, path) => {
    if (operation !== 'datasync' || path !== segmentFile(1)) return
    const header = storage.peek(path).subarray(0, 128)
    if (header.some((byte) => byte !== 0)) throw diskError('fdatasync', 'EIO')
  }
  endsByDisk(storage, () => open(storage))
  const { wal } = open(storage)
  extend(wal, 1, 16)
  flush(wal)
  storage.crash(neverRandom)
  expect(open(storage).recovered.last).toBe(1)
})

test('a group of records takes one sync', () => {
  const { wal, storage } = open(createMemoryStorage())
  const before = storage.datasyncs
  for (let i = 0; i < 20; i++) extend(wal, 1, 16)
  expect(flush(wal)).toBe(20)
  expect(storage.datasyncs - before).toBe(1)
  expect(flush(wal)).toBe(20)
  expect(storage.datasyncs - before).toBe(1)
})

test('a group that spans segments is synced older file first', () => {
  const { wal, storage } = open(createMemoryStorage())
  while (idle(wal)) continue
  const synced: string[] = []
  for (let i = 0; i < 4; i++) extend(wal, 1, 3_500)
  storage.onOperation = (operation, path) => {
    if (operation === 'datasync') synced.push(path)
  }
  flush(wal)
  expect(synced.slice(0, 2)).toEqual([segmentFile(1), segmentFile(2)])
})

test('a torn tail is cut wherever in the last group it is damaged', () => {
  const { storage, wal } = open(createMemoryStorage())
  extend(wal, 3, 100)
  flush(wal)
  extend(wal, 2, 10) // names the first group as synced
  flush(wal)
  const start = wal.disk!.segments[0]!.tail
  for (let i = 0; i < 4; i++) extend(wal, 2, 100)
  flush(wal)
  const end = wal.disk!.segments[0]!.tail
  const image = storage.peek(segmentFile(1)).slice()
  expect(end - start).toBeGreaterThan(1_000)
  for (let cut = start; cut < end; cut += 64) {
    storage.kill()
    storage.poke(segmentFile(1), 0, image)
    storage.poke(segmentFile(1), cut, new Uint8Array(end - cut))
    const { recovered } = open(storage)
    const recordSize = (end - start) / 4
    expect(recovered.last).toBe(5 + 2 * Math.floor((cut - start) / recordSize))
    expect(recovered.nextLsn).toBe(3 + Math.floor((cut - start) / recordSize))
  }
})

test('damage below a synced-through mark refuses to open and names the place', () => {
  const { storage, wal } = open(createMemoryStorage())
  extend(wal, 3, 100)
  flush(wal)
  extend(wal, 1, 100)
  flush(wal)
  flipByte(storage, segmentFile(1), FIRST_RECORD + 300)
  storage.kill()
  const error = errorOf(() => open(storage))
  expect(hasCode(error, 'E_WAL_CORRUPT') && error.detail).toEqual({
    segment: 'wal-0000000000000001.seg',
    offsetBytes: FIRST_RECORD,
  })
})

test('damage in the last group is rot once the mark is written, and torn without it', () => {
  for (const marked of [true, false]) {
    const { storage, wal } = open(createMemoryStorage())
    extend(wal, 3, 100)
    flush(wal)
    if (marked) expect(mark(wal)).toBe(true)
    flipByte(storage, segmentFile(1), FIRST_RECORD + 300)
    storage.kill()
    if (marked)
      expect(
        hasCode(
          errorOf(() => open(storage)),
          'E_WAL_CORRUPT',
        ),
      ).toBe(true)
    else expect(open(storage).recovered.last).toBe(0)
  }
})

test('every flipped byte of a synced log is refused, or was padding of the header block', () => {
  const { storage, wal } = open(createMemoryStorage())
  promise(wal, 1)
  extend(wal, 3, 100)
  extend(wal, 2, 50)
  flush(wal)
  closeWal(wal)
  const tail = wal.disk!.segments[0]!.tail
  const image = storage.peek(segmentFile(1)).slice()
  for (let offset = 0; offset < tail; offset += 5) {
    if (offset >= 128 && offset < FIRST_RECORD) continue
    storage.kill()
    storage.poke(segmentFile(1), 0, image)
    flipByte(storage, segmentFile(1), offset)
    const error = errorOf(() => open(storage))
    expect(hasCode(error, 'E_WAL_CORRUPT'), `offset ${offset}`).toBe(true)
  }
})

test('records of a recycled file do not come back', () => {
  const { storage, wal } = open(createMemoryStorage())
  for (let i = 0; i < 12; i++) {
    extend(wal, 1, 3_500, wal.fold.last)
    flush(wal)
    trim(wal, wal.fold.floor)
  }
  // Of the open segment only the header is new: behind it lies a whole log of an older number.
  const { number } = wal.disk!.segments.at(-1)!
  const old = storage.peek(segmentFile(number)).slice(FIRST_RECORD + 128)
  expect(number).toBeGreaterThan(3)
  expect(old.some((byte) => byte !== 0)).toBe(true)
  const { last, lsn } = wal.fold
  storage.crash(neverRandom)
  const { recovered } = open(storage)
  expect(recovered).toMatchObject({ last, nextLsn: lsn + 1 })
})

test('a record of a torn group does not come back behind a repeated one', () => {
  const { storage, wal } = open(createMemoryStorage())
  extend(wal, 1, 100)
  flush(wal)
  const first = wal.disk!.segments[0]!.tail
  extend(wal, 1, 200)
  extend(wal, 1, 300)
  flush(wal)
  flipByte(storage, segmentFile(1), first + 200) // the third record stays whole behind a torn one
  storage.kill()
  const second = open(storage)
  expect(second.recovered.last).toBe(1)
  extend(second.wal, 1, 200) // byte for byte what stood there: the third would continue its chain
  flush(second.wal)
  storage.kill()
  expect(open(storage).recovered.last).toBe(2)
})

test('records of a segment whose header was torn do not come back under its next header', () => {
  const { storage, wal } = open(createMemoryStorage())
  for (let i = 0; i < 3; i++) extend(wal, 1, 3_500)
  flush(wal)
  for (let i = 0; i < 3; i++) extend(wal, 1, 3_500) // one group, in segment 2
  flush(wal)
  storage.poke(segmentFile(2), 0, new Uint8Array(512))
  storage.kill()
  const second = open(storage)
  expect(second.recovered.last).toBe(3)
  extend(second.wal, 1, 3_500) // the same bytes again, now as the first record of the new segment 2
  flush(second.wal)
  storage.kill()
  expect(open(storage).recovered.last).toBe(4)
})

test('a trim that a crash interrupts leaves a log that can be opened, wherever it was', () => {
  for (let fuse = 1; fuse < 8; fuse++) {
    const { storage, wal } = open(createMemoryStorage())
    for (let i = 0; i < 12; i++) extend(wal, 1, 3_500)
    const { last } = wal.fold
    const syncPoint = 5 as LogIndex // in the second segment: the third one's header lies above it
    const ballot = ballotOf(2, nodeId(2))
    put(wal, { kind: 'sync-begin', ballot, syncPoint, adoptedLast: syncPoint }, syncPoint)
    put(wal, { kind: 'sync-commit', ballot, syncPoint, through: syncPoint }, syncPoint)
    for (let i = 0; i < 12; i++) extend(wal, 1, 3_400, wal.fold.last)
    flush(wal)
    expect(wal.fold.last).toBeGreaterThan(last)
    const chains = new Map([[0, 0]])
    scanLog(storage, DIR, (_first, through, chain) => chains.set(through, chain))
    let operations = 0
    storage.onOperation = () => {
      if (++operations === fuse) throw diskError('rename', 'EIO')
    }
    const failed = errorOf(() => trim(wal, wal.fold.floor)) !== undefined
    storage.onOperation = null
    storage.crash(() => 0.999) // all names as they were at that moment
    const { recovered } = open(storage)
    const scan = scanLog(storage, DIR, () => {})
    expect(recovered.lastChain).toBe(wal.fold.lastChain)
    expect(scan.firstChain, `fuse ${fuse}`).toBe(chains.get(scan.first - 1))
    if (!failed) expect(scan.first).toBeGreaterThan(9)
  }
})

test('an old segment copied over a newer one is damage, not a log', () => {
  const { storage, wal } = open(createMemoryStorage())
  for (let i = 0; i < 8; i++) {
    extend(wal, 1, 3_500)
    flush(wal)
  }
  const { segments } = wal.disk!
  expect(segments.length).toBeGreaterThan(2)
  storage.poke(segments[1]!.path, 0, storage.peek(segments[0]!.path).slice())
  storage.kill()
  expect(
    hasCode(
      errorOf(() => open(storage)),
      'E_WAL_CORRUPT',
    ),
  ).toBe(true)
})

test('a missing segment in the middle, or at the start above the floor, is damage', () => {
  for (const missing of [0, 1]) {
    const { storage, wal } = open(createMemoryStorage())
    for (let i = 0; i < 8; i++) extend(wal, 1, 3_500)
    closeWal(wal)
    storage.unlink(wal.disk!.segments[missing]!.path)
    expect(
      hasCode(
        errorOf(() => open(storage)),
        'E_WAL_CORRUPT',
      ),
    ).toBe(true)
  }
})

test('promised and acceptedBallot outlive the segment that they were written in', () => {
  const { storage, wal } = open(createMemoryStorage())
  promise(wal, 3)
  const ballot = ballotOf(3, nodeId(1))
  put(wal, { kind: 'sync-begin', ballot, syncPoint: NOTHING, adoptedLast: NOTHING })
  put(wal, { kind: 'sync-commit', ballot, syncPoint: NOTHING, through: NOTHING })
  promise(wal, 5)
  for (let i = 0; i < 20; i++) {
    extend(wal, 1, 3_500, wal.fold.last)
    flush(wal)
  }
  extend(wal, 1, 10, wal.fold.last)
  flush(wal)
  expect(trim(wal, wal.fold.floor)).toBeGreaterThan(2)
  expect(retainedFirst(wal)).toBeGreaterThan(10)
  storage.crash(neverRandom)
  const { recovered } = open(storage)
  const promised = ballotOf(5, nodeId(1))
  expect(recovered).toMatchObject({ promised, acceptedBallot: ballot, last: 21, floor: 20 })
})

test('an unfinished accept-sync is dropped, a finished one cuts behind its sync point', () => {
  const { storage, wal } = open(createMemoryStorage())
  const ballot = ballotOf(2, nodeId(2))
  extend(wal, 2, 10, 0)
  extend(wal, 3, 10, 2)
  const syncPoint = 2 as LogIndex
  put(wal, { kind: 'sync-begin', ballot, syncPoint, adoptedLast: 4 as LogIndex }, syncPoint)
  const packed = pack([frameOf(ballot, 3, 2, 30)])
  const through = 4 as LogIndex
  const pending = { kind: 'sync-entries', ballot, prev: syncPoint, through } as const
  append(wal, pending, nextLsn(wal), syncPoint, packed, packed.frames)
  flush(wal)
  expect(wal.fold.acceptedBallot).toBe(0)
  const image = storage.peek(segmentFile(1)).slice()
  storage.kill()
  const again = open(storage)
  expect(again.recovered).toMatchObject({ last: 5, acceptedBallot: 0, floor: 2 })
  expect(again.wal.fold.sync).toBe(null)

  storage.kill()
  storage.poke(segmentFile(1), 0, image)
  put(wal, { kind: 'sync-commit', ballot, syncPoint, through }, syncPoint)
  expect(wal.fold).toMatchObject({ last: 4, acceptedBallot: ballot })
})

test('nothing is written, synced or acknowledged after a failed sync', () => {
  const { storage, wal } = open(createMemoryStorage())
  extend(wal, 1, 10)
  storage.onOperation = (operation) => {
    if (operation === 'datasync') throw diskError('fdatasync', 'EIO')
  }
  const first = errorOf(() => flush(wal))
  expect(hasCode(first, 'E_DISK') && first.detail).toEqual({ syscall: 'fdatasync', errno: 'EIO' })
  storage.onOperation = (operation) => expect.unreachable(operation)
  for (const call of [() => flush(wal), () => extend(wal, 1, 10), () => idle(wal)]) {
    expect(hasCode(errorOf(call), 'E_DISK')).toBe(true)
  }
  storage.onOperation = null
  closeWal(wal)
  expect(storage.list(DIR)).not.toContain('lock')
})

test.each([
  ['clusterId', 'other', 'belongs to clusterId test, not other'],
  ['nodeId', 2, 'belongs to nodeId 1, not 2'],
  ['engine', 'basic-paxos', 'belongs to engine xpaxos, not basic-paxos'],
  ['durability', 'os', 'belongs to durability fsync, not os'],
])('a directory of another %s is refused untouched', (key, value, problem) => {
  const storage = createMemoryStorage()
  closeWal(open(storage).wal)
  storage.onOperation = (operation) => expect.unreachable(operation)
  const identity = { ...IDENTITY, [key]: value }
  const error = errorOf(() => openWal(storage, { dir: DIR, identity }))
  expect(hasCode(error, 'E_DATA_DIR') && error.detail).toEqual({ problem })
})

test('a directory with foreign files, or in use, or with a damaged identity is refused', () => {
  const foreign = createMemoryStorage()
  foreign.makeDir(DIR)
  foreign.create(`${DIR}/thesis.tex`)
  expect(String(errorOf(() => open(foreign)))).toContain('not empty (thesis.tex)')
  expect(foreign.list(DIR)).toEqual(['thesis.tex'])

  const used = open(createMemoryStorage())
  expect(String(errorOf(() => open(used.storage)))).toContain('in use by process 1')

  closeWal(used.wal)
  flipByte(used.storage, `${DIR}/identity`, 20)
  expect(String(errorOf(() => open(used.storage)))).toContain('identity file is damaged')
})

test('the stored incarnation counts, not that of a later open', () => {
  const storage = createMemoryStorage()
  closeWal(open(storage).wal)
  const { recovered } = openWal(storage, {
    dir: DIR,
    identity: { ...IDENTITY, incarnation: 9 },
    segmentSizeBytes: SEGMENT_SIZE_BYTES,
  })
  expect(recovered.identity.incarnation).toBe(1)
})

test('durability none keeps no files and serves nothing', () => {
  const storage = createMemoryStorage()
  storage.onOperation = (operation) => expect.unreachable(operation)
  const { wal } = openWal(storage, { dir: DIR, identity: { ...IDENTITY, durability: 'none' } })
  extend(wal, 3, 10)
  expect(flush(wal)).toBe(1)
  const { frames } = readFrames(wal, 1 as LogIndex, 3 as LogIndex, 1_000, new Uint8Array(1_000))
  expect(frames).toEqual([])
  expect(retainedFirst(wal)).toBe(4)
  expect(idle(wal) || mark(wal) || trim(wal, 3 as LogIndex) > 0).toBe(false)
  closeWal(wal)
})

test('durability os acknowledges without a sync', () => {
  const storage = createMemoryStorage()
  const identity = { ...IDENTITY, durability: 'os' } as const
  const options = { dir: DIR, identity, segmentSizeBytes: SEGMENT_SIZE_BYTES }
  const { wal } = openWal(storage, options)
  const before = storage.datasyncs
  for (let i = 0; i < 9; i++) extend(wal, 1, 3_500)
  expect(flush(wal)).toBe(9)
  expect(storage.datasyncs).toBe(before)
  storage.kill()
  expect(openWal(storage, options).recovered.last).toBe(9)
})

test('the visitor sees Basic Paxos records with their frame; trim keeps later instances', () => {
  const storage = createMemoryStorage()
  const { wal } = open(storage)
  for (let i = 1; i <= 12; i++) {
    const instance = i as LogIndex
    const packed = pack([frameOf(leader, 0, 1, 3_500)])
    put(wal, { kind: 'instance-promised', instance, ballot: leader })
    const record = { kind: 'instance-accepted', instance, ballot: leader } as const
    append(wal, record, nextLsn(wal), instance, packed, packed.frames)
    put(wal, { kind: 'instance-chosen', instance, ballot: leader }, instance)
    flush(wal)
  }
  trim(wal, 6 as LogIndex)
  closeWal(wal)
  const seen = new Set<number>()
  inspectWal(storage, DIR, ({ record, frames, payload }) => {
    if (record.kind !== 'instance-accepted') return
    seen.add(record.instance)
    expect(Buffer.compare(payload, frameOf(leader, 0, 1, 3_500))).toBe(0)
    expect(frames).toHaveLength(1)
  })
  for (let i = 7; i <= 12; i++) expect(seen).toContain(i)
  expect(seen).not.toContain(1)
})

test('reads go on across records, roll-overs and what is not flushed yet', () => {
  const { wal } = open(createMemoryStorage())
  for (let i = 0; i < 30; i++) extend(wal, 2, 500)
  const into = new Uint8Array(8_192)
  let next = 1 as LogIndex
  while (next <= 60) {
    const { frames, sizeBytes } = readFrames(wal, next, 60 as LogIndex, 2_500, into)
    expect(sizeBytes).toBeLessThanOrEqual(2_500)
    expect(frames.map(({ first }) => first)).toEqual(frames.map((_, i) => next + 2 * i))
    for (const { first, offset, sizeBytes: size } of frames) {
      const want = frameOf(leader, first, 2, 500)
      expect(Buffer.compare(into.subarray(offset, offset + size), want)).toBe(0)
    }
    next = (next + 2 * frames.length) as LogIndex
  }
})

test('a read serves one frame beyond its bound, none above through, none that is trimmed', () => {
  const { wal } = open(createMemoryStorage())
  for (let i = 0; i < 12; i++) {
    extend(wal, 2, 1_500, wal.fold.last)
    flush(wal)
  }
  const into = new Uint8Array(8_192)
  const read = (from: number, through: number) =>
    readFrames(wal, from as LogIndex, through as LogIndex, 64, into).frames.length
  expect(read(3, 24)).toBe(1)
  expect(read(3, 3)).toBe(0)
  expect(read(25, 30)).toBe(0)
  expect(() => read(4, 24)).toThrow('a read begins where a frame begins')
  trim(wal, 20 as LogIndex)
  expect(read(3, 24)).toBe(0)
})

test('damage is not served', () => {
  const { storage, wal } = open(createMemoryStorage())
  extend(wal, 2, 500)
  flush(wal)
  for (const offset of [FIRST_RECORD + 8, FIRST_RECORD + 128 + 20, FIRST_RECORD + 128 + 300]) {
    flipByte(storage, segmentFile(1), offset)
    const into = new Uint8Array(8_192)
    const error = errorOf(() => readFrames(wal, 1 as LogIndex, 2 as LogIndex, 4_096, into))
    expect(hasCode(error, 'E_WAL_CORRUPT'), `offset ${offset}`).toBe(true)
    flipByte(storage, segmentFile(1), offset)
  }
})

test('scanLog yields the log with its chain, and refuses what is no data directory', () => {
  const { storage, wal } = open(createMemoryStorage())
  for (let i = 0; i < 9; i++) extend(wal, 2, 900)
  closeWal(wal)
  const ballots = new Set<Ballot>()
  let lastChain = 0
  const scan = scanLog(storage, DIR, (_first, _through, chain, ballot) => {
    ballots.add(ballot)
    lastChain = chain
  })
  expect(scan).toMatchObject({ first: 1, last: 18, lastChain, firstChain: 0 })
  expect([...ballots]).toEqual([leader])
  expect(
    hasCode(
      errorOf(() => scanLog(storage, '/data/none', () => {})),
      'E_DATA_DIR',
    ),
  ).toBe(true)
})
