import { expect, test } from 'vitest'
import { createMemoryStorage } from '../../src/sim/memory-storage.ts'
import { slowDown } from '../../src/wal/slow-storage.ts'

test('writes and syncs take the factor, reads do not', () => {
  let now = 0
  const slept: number[] = []
  const behind = createMemoryStorage()
  const timed = {
    ...behind,
    pwrite: (...args: Parameters<typeof behind.pwrite>) => {
      now += 2
      behind.pwrite(...args)
    },
    datasync: (...args: Parameters<typeof behind.datasync>) => {
      now += 3
      behind.datasync(...args)
    },
  }
  let factor = 100
  const sleepMs = (ms: number): void => void slept.push(ms)
  const disk = slowDown(timed, { factorOf: () => factor, nowMs: () => now, sleepMs })
  disk.makeDir('d')
  const file = disk.create('d/f')
  disk.pwrite(file, Uint8Array.of(1, 2, 3), 0)
  disk.datasync(file)
  const into = new Uint8Array(3)
  expect(disk.pread(file, into, 0)).toBe(3)
  expect([...into]).toEqual([1, 2, 3])
  factor = 2
  disk.datasync(file)
  factor = 1
  disk.datasync(file)
  expect(slept).toEqual([198, 297, 3])
})
