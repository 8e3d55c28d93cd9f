/**
 * One seeded life of a WAL on the simulated disk: random records, flushes, trims and reads; power
 * losses, kills and failed syncs between and inside the calls. Every recovery is compared with the
 * model. Throws at the first difference; a failure is repeated by its seed.
 */
import { expect } from 'vitest'
import { hasCode } from '../../src/base/errors.ts'
import { type Ballot, type LogIndex, type Lsn, ballotAbove, nodeId } from '../../src/core/ids.ts'
import type { WalRecord } from '../../src/core/records.ts'
import { scanLog } from '../../src/wal/inspect.ts'
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
import {
  type MemoryStorage,
  type Operation,
  createMemoryStorage,
  diskError,
  randomOf,
} from '../../src/sim/memory-storage.ts'
import {
  EMPTY_MODEL,
  type ModelState,
  type NewFrame,
  after,
  chainOfLog,
  cutBehind,
  lastOf,
  reportOf,
} from './wal-model.ts'
import { configFrameOf, frameOf, framesOf, pack } from './wal-records.ts'

export const DIR = '/data/n1'
const SEGMENT_SIZE_BYTES = 16 * 1024
export const IDENTITY = {
  clusterId: 'test',
  nodeId: 1,
  incarnation: 1,
  engine: 'xpaxos',
  durability: 'fsync',
} as const

/** Thrown by the simulated disk at the moment of a power loss. */
class PowerLoss extends Error {}

export interface RunCounts {
  crashes: number
  kills: number
  failedSyncs: number
  /** Records that a crash has cut. */
  torn: number
  trimmed: number
  segments: number
  commits: number
  configs: number
  /** Recoveries whose newest config batch was trimmed with its segment. */
  configsFromHeads: number
  turns: number
}

interface Run {
  readonly random: () => number
  readonly storage: MemoryStorage
  readonly counts: RunCounts
  /** states[i] is the state after the i-th record of the present history. */
  states: ModelState[]
  durable: number
  trimAsked: number
  wal: Wal
  /** Operations of the disk until the power goes. */
  fuse: number
  failSync: boolean
}

const now = ({ states }: Run): ModelState => states.at(-1)!
const under = (run: Run, limit: number): number => Math.floor(run.random() * limit)

/** Lives through `steps` steps of chance; every fault class is in it. */
export function liveOf(seed: number, steps: number): RunCounts {
  const storage = createMemoryStorage()
  const run: Run = {
    random: randomOf(seed),
    storage,
    counts: {
      crashes: 0,
      kills: 0,
      failedSyncs: 0,
      torn: 0,
      trimmed: 0,
      segments: 0,
      commits: 0,
      configs: 0,
      configsFromHeads: 0,
      turns: 0,
    },
    states: [EMPTY_MODEL],
    durable: 0,
    trimAsked: 0,
    wal: open(storage).wal,
    fuse: Infinity,
    failSync: false,
  }
  storage.onOperation = (operation, path) => onOperation(run, operation, path)
  for (let step = 0; step < steps; step++) {
    try {
      oneStep(run)
    } catch (error) {
      onFault(run, error)
    }
  }
  run.fuse = Infinity
  run.failSync = false
  closeWal(run.wal)
  run.durable = now(run).lsn
  run.counts.segments = run.wal.disk!.segments.at(-1)!.number
  storage.crash(run.random)
  reopen(run)
  return run.counts
}

const open = (storage: MemoryStorage) =>
  openWal(storage, { dir: DIR, identity: IDENTITY, segmentSizeBytes: SEGMENT_SIZE_BYTES })

function onOperation(run: Run, operation: Operation, path: string): void {
  if (--run.fuse <= 0) throw new PowerLoss(`${operation} ${path}`)
  if (operation === 'datasync' && run.failSync) throw diskError('fdatasync', 'EIO')
}

function oneStep(run: Run): void {
  const chance = run.random()
  if (chance < 0.45) appendEntries(run)
  else if (chance < 0.52) appendPromise(run)
  else if (chance < 0.62) appendSync(run)
  else if (chance < 0.77) flushNow(run)
  else if (chance < 0.81) return void idle(run.wal)
  else if (chance < 0.83) return void mark(run.wal)
  else if (chance < 0.89) trimSome(run)
  else if (chance < 0.95) readSome(run)
  else if (chance < 0.97) run.fuse = 1 + under(run, 30)
  else if (chance < 0.98) killNow(run)
  else if (chance < 0.985) run.failSync = true
  else throw new PowerLoss('between two calls')
}

function appendRecord(run: Run, record: WalRecord, frames: readonly Uint8Array[]): void {
  const state = now(run)
  const lsn = state.lsn + 1 + (run.random() < 0.1 ? 3 : 0)
  const packed = pack(frames)
  const fresh: NewFrame[] = packed.frames.map((frame, i) => ({ ...frame, bytes: frames[i]! }))
  const floor = record.kind === 'sync-begin' ? state.floorSaid : floorOf(run, state)
  const payload = frames.length === 0 ? null : packed
  append(run.wal, record, lsn as Lsn, floor as LogIndex, payload, packed.frames)
  run.states.push(after(state, record, lsn, floor, fresh))
}

/** Some frame's end that the old log and the log to come have in common. */
function floorOf(run: Run, { log, sync, floorSaid }: ModelState): number {
  const limit = Math.min(lastOf(log), sync?.syncPoint ?? Infinity)
  if (run.random() < 0.6 || limit <= floorSaid) return floorSaid
  const ends = log.filter(({ through }) => through > floorSaid && through <= limit)
  return ends[under(run, ends.length)]?.through ?? floorSaid
}

function framesFrom(run: Run, ballot: number, last: number): Uint8Array[] {
  const frames: Uint8Array[] = []
  let first = last + 1
  for (let left = 1 + under(run, 3); left > 0; left--) {
    if (run.random() < 0.03) {
      frames.push(configFrameOf(ballot, first, new Uint8Array(16 + under(run, 200)).fill(first)))
      run.counts.configs++
      first += 1
      continue
    }
    const count = 1 + under(run, 4)
    frames.push(frameOf(ballot, first, count, under(run, 200), first % 3 === 0))
    first += count
  }
  return frames
}

const throughOf = (frames: readonly Uint8Array[]): LogIndex => {
  const { first, count } = framesOf(frames.at(-1)!)[0]!
  return (first + count - 1) as LogIndex
}

function appendEntries(run: Run): void {
  // Who learns has no transaction open: it would cut what is chosen.
  if (now(run).acceptedBallot === 0 && now(run).sync !== null) return appendSync(run)
  const { acceptedBallot, log } = now(run)
  const prev = lastOf(log) as LogIndex
  const frames = framesFrom(run, acceptedBallot || 65_537, prev)
  const ballot = acceptedBallot as Ballot
  appendRecord(run, { kind: 'entries', ballot, prev, through: throughOf(frames) }, frames)
}

function appendPromise(run: Run): void {
  const ballot = ballotAbove(now(run).promised as Ballot, nodeId(1 + under(run, 5)))
  appendRecord(run, { kind: 'promised', ballot }, [])
}

/** The next record of an accept-sync, or the first of a new one. */
function appendSync(run: Run): void {
  const { sync, log, floorSaid, promised } = now(run)
  if (run.random() < 0.07) return turnLearner(run)
  if (sync === null) {
    const ballot = ballotAbove(promised as Ballot, nodeId(1 + under(run, 5)))
    const ends = [floorSaid, ...log.map(({ through }) => through).filter((end) => end > floorSaid)]
    const syncPoint = ends[under(run, ends.length)]! as LogIndex
    appendRecord(run, { kind: 'sync-begin', ballot, syncPoint, adoptedLast: syncPoint }, [])
  } else if (run.random() < 0.6) {
    const prev = lastOf(sync.log) as LogIndex
    const ballot = sync.ballot as Ballot
    const frames = framesFrom(run, sync.ballot, prev)
    appendRecord(run, { kind: 'sync-entries', ballot, prev, through: throughOf(frames) }, frames)
  } else {
    const { ballot, syncPoint } = sync
    const through = lastOf(sync.log)
    // prettier-ignore
    const range = { syncPoint: syncPoint as LogIndex, through: through as LogIndex }
    appendRecord(run, { kind: 'sync-commit', ballot: ballot as Ballot, ...range }, [])
    run.counts.commits++
  }
}

/** A voter goes on as a learner: a transaction of ballot 0 at its floor (R31). */
function turnLearner(run: Run): void {
  const syncPoint = now(run).floor as LogIndex
  const turn = { ballot: 0 as Ballot, syncPoint }
  appendRecord(run, { kind: 'sync-begin', ...turn, adoptedLast: syncPoint }, [])
  appendRecord(run, { kind: 'sync-commit', ...turn, through: syncPoint }, [])
  run.counts.turns++
}

function flushNow(run: Run): void {
  const lsn = flush(run.wal)
  expect(lsn).toBe(now(run).lsn)
  run.durable = lsn
}

function trimSome(run: Run): void {
  const through = under(run, now(run).floor + 1)
  run.trimAsked = Math.max(run.trimAsked, through)
  run.counts.trimmed += trim(run.wal, through as LogIndex)
  expect(retainedFirst(run.wal)).toBeLessThanOrEqual(run.trimAsked + 1)
}

function readSome(run: Run): void {
  const { log } = now(run)
  const kept = log.filter(({ first }) => first >= retainedFirst(run.wal))
  if (kept.length === 0) return
  const start = under(run, kept.length)
  const end = start + under(run, kept.length - start)
  const into = new Uint8Array(64 * 1024)
  const sizeMax = 64 + under(run, 8_192)
  let at = start
  while (at <= end) {
    const through = kept[end]!.through as LogIndex
    const { frames, sizeBytes } = readFrames(
      run.wal,
      kept[at]!.first as LogIndex,
      through,
      sizeMax,
      into,
    )
    expect(frames.length).toBeGreaterThan(0)
    if (frames.length > 1) expect(sizeBytes).toBeLessThanOrEqual(sizeMax)
    for (const { offset, sizeBytes: size } of frames) {
      expect(Buffer.compare(into.subarray(offset, offset + size), kept[at]!.bytes)).toBe(0)
      at++
    }
  }
}

function killNow(run: Run): void {
  run.counts.kills++
  run.storage.kill()
  reopen(run)
}

function onFault(run: Run, error: unknown): void {
  if (run.failSync && hasCode(error, 'E_DISK')) {
    // What a process does that obeys R43: it ends, and its pages are still to be read.
    run.counts.failedSyncs++
    run.failSync = false
    run.fuse = Infinity
    if (run.wal.state === 'failed') expect(() => flush(run.wal)).toThrow(/E_DISK/)
    run.storage.kill()
    reopen(run)
    return
  }
  if (!(error instanceof PowerLoss)) throw error
  run.counts.crashes++
  losePower(run)
}

function losePower(run: Run): void {
  run.fuse = Infinity
  run.failSync = false
  run.storage.crash(run.random)
  if (run.random() < 0.3) run.fuse = 1 + under(run, 20) // and once more while it starts
  try {
    reopen(run)
  } catch (error) {
    if (!(error instanceof PowerLoss)) throw error
    losePower(run)
  }
}

function reopen(run: Run): void {
  const { wal, recovered } = open(run.storage)
  run.wal = wal
  const reached = run.states.findIndex(({ lsn }) => lsn === recovered.nextLsn - 1)
  expect(reached, 'recovered an LSN that was appended').toBeGreaterThanOrEqual(0)
  expect(recovered.nextLsn - 1, 'everything durable is there').toBeGreaterThanOrEqual(run.durable)
  run.counts.torn += run.states.length - 1 - reached
  const state = { ...run.states[reached]!, sync: null }
  run.states = [...run.states.slice(0, reached), state]
  run.durable = state.lsn // a node that has started answers with this: it must last
  expect(recovered).toMatchObject(reportOf(state))
  const newest = recovered.configs.at(-1)?.index ?? 0
  if (newest > 0 && newest < recovered.retainedFirst) run.counts.configsFromHeads++
  compareMarks(state, recovered)
  compareLog(run, state)
}

function compareMarks({ log, floor }: ModelState, { marks }: Recovered): void {
  const above = log.filter(({ through }) => through > floor)
  const wanted = above.map(({ through, chain, continues }) => ({ through, chain, continues }))
  // Ends of frames that were trimmed with their segment are not known any more.
  expect(wanted.slice(wanted.length - marks.length)).toEqual(marks)
}

function compareLog(run: Run, { log }: ModelState): void {
  const found: unknown[] = []
  const { first, firstChain } = scanLog(run.storage, DIR, (from, through, chain, ballot) =>
    found.push({ first: from, through, chain, ballot }),
  )
  expect(first).toBeLessThanOrEqual(run.trimAsked + 1)
  expect(firstChain).toBe(chainOfLog(cutBehind(log, first - 1)))
  const wanted = log.filter((frame) => frame.first >= first)
  expect(found).toEqual(wanted.map(({ bytes: _, config: __, continues: ___, ...frame }) => frame))
}
