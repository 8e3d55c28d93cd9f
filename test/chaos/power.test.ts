/**
 * Power cuts on a real file system: the node runs on ext4 in a file, dies by SIGKILL while it
 * writes, and starts again on a copy of that file, which holds what had reached the disk and no
 * page of memory. With a disk that syncs, nothing acknowledged is lost. With one that only says so
 * (fdatasync and fsync answer 0 and do nothing) it is, and the checks see it.
 */
import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createRoute, runSteps } from './lab/client.ts'
import { type Cluster, createCluster } from './lab/cluster.ts'
import { createHistory, judge } from './lab/history.ts'
import { freshFolder, makeImage, mountImage, mountMissing } from './lab/places.ts'
import { startProcess } from './lab/process.ts'
import { lying, straceMissing } from './lab/strace.ts'
import { scriptOf } from './lab/script.ts'
import { lastWhole, readAll } from './lab/trial.ts'

const IMAGE_BYTES = 24 * 2 ** 20
const CUT_AFTER = 60 // acknowledged entries
const LIES_FROM = 20 // syncs: the files are made, and something is written
const missing = mountMissing('loop')
const title = (text: string, why: string | null): string =>
  why === null ? text : `${text} (skipped: ${why})`

const openLone = async (folder: string): Promise<Cluster> => {
  const cluster = await createCluster({ folder, members: [{ id: 1 }], seed: 1, layout: 'inline' })
  onTestFinished(() => cluster.close())
  return cluster
}

/** Writes on ext4 until the power goes; what is left then, and what was promised before. */
async function cutPower(around: (folder: string) => string[]) {
  const folder = freshFolder('power')
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const image = join(folder, 'image')
  makeImage(image, IMAGE_BYTES)
  const disk = mountImage(image, join(folder, 'before'))
  const history = createHistory()
  let acknowledged = 0
  let last = 0
  try {
    const cluster = await openLone(disk.dir)
    const process = await startProcess(around(folder))
    await cluster.start(1, process)
    const isOver = (): boolean => !process.isAlive
    const route = createRoute({ running: () => cluster.running(), isOver })
    const onAcknowledged = (index: number): void => {
      last = Math.max(last, index)
      if (++acknowledged === CUT_AFTER) process.signal('SIGKILL')
    }
    const clients = scriptOf().map((steps) => runSteps({ history, route, onAcknowledged }, steps))
    await Promise.all(clients)
    await process.exited
    copyFileSync(image, join(folder, 'cut'))
  } finally {
    disk.unmount()
  }
  const after = mountImage(join(folder, 'cut'), join(folder, 'after'))
  onTestFinished(() => after.unmount())
  return { dir: after.dir, history, last }
}

test.skipIf(missing !== null)(
  title('a power cut costs nothing that was acknowledged', missing),
  async () => {
    const { dir, history, last } = await cutPower(() => [])
    expect(lastWhole(join(dir, 'node-1'))).toBeGreaterThanOrEqual(last)
    const cluster = await openLone(dir)
    await cluster.start(1)
    await readAll(history, createRoute({ running: () => cluster.running() }))
    expect(judge(history)).toBeNull()
    expect(last).toBeGreaterThanOrEqual(CUT_AFTER)
    await cluster.close()
  },
)

const liar = missing ?? straceMissing()
test.skipIf(liar !== null)(
  title('a disk that lies about its syncs loses what was acknowledged, and it is seen', liar),
  async () => {
    const { dir, history, last } = await cutPower((folder) =>
      lying(join(folder, 'trace'), LIES_FROM),
    )
    expect(last).toBeGreaterThanOrEqual(CUT_AFTER)
    const found = lastWhole(join(dir, 'node-1'))
    if (typeof found === 'string') return expect(found).toContain('E_WAL_CORRUPT')
    expect(found).toBeLessThan(last)
    const cluster = await openLone(dir)
    await cluster.start(1)
    await readAll(history, createRoute({ running: () => cluster.running() }))
    expect(judge(history)).toContain('not-linearizable')
    await cluster.close()
  },
)
