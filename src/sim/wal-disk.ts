/**
 * The real src/wal over the simulated file system: torn groups, lost unsynced sectors, failed
 * syncs, power losses inside a flush and inside recovery. For a part of the seeds, because it costs
 * more than record-disk.ts.
 *
 * Invariant: after `crash` nothing of the old WAL object is used; `recover` opens the files anew.
 */
import type { LogIndex, Lsn, NodeId } from '../core/ids.ts'
import type { WalRecord } from '../core/records.ts'
import { type WalOptions, openWal } from '../wal/open.ts'
import { type Wal, append, flush, idle, mark, readFrames } from '../wal/wal.ts'
import type { Disk, Found } from './disk.ts'
import type { Frame, FrameArena } from './frames.ts'
import { demand } from './invariants.ts'
import { createFaultyStorage } from './faulty-storage.ts'
import type { Plan } from './plan.ts'
import type { Random } from './random.ts'

const SEGMENT_SIZE_BYTES = 2 ** 18
const IDLE_EVERY = 8
const MARK_EVERY = 5

export function createWalDisk(id: NodeId, plan: Plan, arena: FrameArena): Disk {
  const faulty = createFaultyStorage(plan.chanceSeed + 31 * id)
  const options: WalOptions = {
    dir: '/data/node',
    identity: {
      clusterId: 'sim',
      nodeId: id,
      incarnation: 1,
      engine: plan.engine,
      durability: 'fsync',
    },
    segmentSizeBytes: SEGMENT_SIZE_BYTES,
    onRecord: ({ lsn, record, frames }) => {
      records.push({ lsn, record, frames: frames.map(({ headerCrc }) => frameOf(headerCrc)) })
    },
  }
  let wal = null as unknown as Wal
  let records: Found['records'][number][] = []
  let into: Uint8Array | null = null
  let flushes = 0

  const frameOf = (headerCrc: number): Frame => {
    const frame = arena.byCrc.get(headerCrc)
    demand(frame !== undefined, 'I13', 'a frame on the disk is one that was made')
    return frame!
  }
  const open = (): ReturnType<typeof openWal>['recovered'] => {
    records = []
    const opened = openWal(faulty.storage, options)
    wal = opened.wal
    return opened.recovered
  }
  const disk = {
    lsn: 0 as Lsn,
    durableLsn: 0 as Lsn,
    append(lsn: Lsn, record: WalRecord, floor: LogIndex, frames: readonly Frame[]): void {
      let sizeBytes = 0
      for (const frame of frames) sizeBytes += frame.sizeBytes
      const bytes = new Uint8Array(sizeBytes)
      let at = 0
      for (const frame of frames) {
        bytes.set(frame.bytes.subarray(frame.offset, frame.offset + frame.sizeBytes), at)
        at += frame.sizeBytes
      }
      const payload = frames.length === 0 ? null : { bytes, offset: 0, sizeBytes }
      append(wal, record, lsn, floor, payload, frames.length === 0 ? null : frames)
      disk.lsn = lsn
    },
    sync(lsn: Lsn, fails: boolean): boolean {
      faulty.failing = fails
      try {
        flush(wal)
      } catch (error) {
        if (fails) return false
        throw error
      } finally {
        faulty.failing = false
      }
      if (lsn > disk.durableLsn) disk.durableLsn = lsn
      flushes += 1
      if (flushes % IDLE_EVERY === 0) idle(wal)
      if (flushes % MARK_EVERY === 0) mark(wal)
      return true
    },
    read(from: number, through: number, sizeBytesMax: number): Frame[] {
      into ??= new Uint8Array(SEGMENT_SIZE_BYTES)
      const max = Math.min(sizeBytesMax, into.length)
      const { frames } = readFrames(wal, from as LogIndex, through as LogIndex, max, into)
      return frames.map(({ headerCrc }) => frameOf(headerCrc))
    },
    crash(random: Random, keepAll: boolean): void {
      faulty.crash(random, keepAll, wal.state === 'open' ? () => void flush(wal) : null)
    },
    recover(): Found {
      const recovered = faulty.openAtLast(open)
      const { promised, acceptedBallot, last, floor, floorChain, floorContinues } = recovered
      const { marks, configs } = recovered
      disk.lsn = (recovered.nextLsn - 1) as Lsn
      disk.durableLsn = disk.lsn
      const chosen = { floor, floorChain, floorContinues }
      const found = { promised, acceptedBallot, last, ...chosen, marks, configs, records }
      return { ...found, firstRetained: 1 as LogIndex, lsn: disk.lsn }
    },
  }
  return disk
}
