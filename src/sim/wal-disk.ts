/** Placeholder: grows into the real WAL over the simulated file system. */
import type { Disk } from './disk.ts'
import type { FrameArena } from './frames.ts'
import { createRecordDisk } from './record-disk.ts'

export const createWalDisk = (_id: number, _engine: string, _arena: FrameArena): Disk =>
  createRecordDisk()
