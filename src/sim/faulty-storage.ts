/**
 * The simulated disk of a node with its mishaps: power that fails inside any call, also while the
 * node recovers, and syncs that fail. Under the real src/wal, in wal-disk.ts and wal-lane.ts.
 */
import type { Storage } from '../base/storage.ts'
import {
  type MemoryStorage,
  type Operation,
  createMemoryStorage,
  diskError,
} from './memory-storage.ts'
import { type Random, below, chance, createRandom, next } from './random.ts'

class PowerLoss extends Error {}

const FUSE_MAX = 12

export interface FaultyStorage {
  readonly storage: Storage
  /** Syncs fail from now on. */
  failing: boolean
  /** Opens what is there; power may fail on the way, and the next try finds what that one left. */
  openAtLast<Opened>(open: () => Opened): Opened
  /**
   * Power loss, in the middle of `flush` now and then (null: there is nothing to flush). `keepAll`:
   * the end of the process alone, the page cache survives.
   */
  crash(random: Random, keepAll: boolean, flush: (() => void) | null): void
}

export function createFaultyStorage(seed: number): FaultyStorage {
  const storage: MemoryStorage = createMemoryStorage()
  const chanceOfOpen = createRandom(seed)
  let fuse = Infinity
  let isBorn = false

  storage.onOperation = (operation: Operation) => {
    if (--fuse < 0) throw new PowerLoss(operation)
    if (faulty.failing && operation === 'datasync') throw diskError('fdatasync', 'EIO')
  }
  const lose = (random: Random): void => {
    fuse = Infinity
    storage.crash(() => next(random) / 2 ** 32)
  }
  /** Runs `call` until power fails. */
  const cutShort = (random: Random, call: () => void): boolean => {
    fuse = below(random, FUSE_MAX)
    try {
      call()
      return false
    } catch (error) {
      if (error instanceof PowerLoss) return true
      throw error
    } finally {
      fuse = Infinity
    }
  }
  const faulty: FaultyStorage = {
    storage,
    failing: false,
    openAtLast<Opened>(open: () => Opened): Opened {
      let opened: Opened | undefined
      const call = (): void => void (opened = open())
      if (isBorn && chance(chanceOfOpen, 200) && cutShort(chanceOfOpen, call)) lose(chanceOfOpen)
      else if (opened !== undefined) return opened
      isBorn = true
      return open()
    },
    crash(random, keepAll, flush) {
      if (keepAll) return storage.kill()
      if (flush !== null && chance(random, 600)) cutShort(random, flush)
      lose(random)
    },
  }
  return faulty
}
