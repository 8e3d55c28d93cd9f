/**
 * A file system that really is full. What the engine does today: the failed write is the last call
 * to the disk, the node ends with E_DISK, nothing acknowledged is lost, and it starts again once
 * there is room.
 */
import { rmSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { codeOf, failing } from '../support/engine.ts'
import { createRoute, entryOf, runSteps } from './lab/client.ts'
import { createCluster } from './lab/cluster.ts'
import { createHistory, judge } from './lab/history.ts'
import { freshFolder, mountMissing, mountSmall } from './lab/places.ts'
import { startProcess } from './lab/process.ts'
import { readAll } from './lab/trial.ts'

const SMALL_BYTES = 4 * 2 ** 20
const LARGE_BYTES = 2 * SMALL_BYTES
const PAD_BYTES = 50_000
const missing = mountMissing('memory')

test.skipIf(missing !== null)(
  `a node on a full file system ends, and has everything once there is room ${missing ?? ''}`,
  async () => {
    const folder = freshFolder('full')
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const disk = mountSmall(folder, SMALL_BYTES)
    onTestFinished(() => disk.unmount())
    const cluster = await createCluster({ folder: disk.dir, members: [{ id: 1 }], seed: 1 })
    onTestFinished(() => cluster.close())
    const history = createHistory()
    const process = await cluster.start(1)
    const route = createRoute({ running: () => cluster.running(), isOver: () => !process.isAlive })
    const steps = Array.from({ length: 2 * (SMALL_BYTES / PAD_BYTES) }, (_, i) => ({
      ...{ f: 'put', key: `k${String(i % 5)}`, value: i, padBytes: PAD_BYTES },
    })) as Parameters<typeof runSteps>[1]
    let acknowledged = 0
    const onAcknowledged = (): void => void acknowledged++
    await runSteps({ history, route, onAcknowledged }, steps)
    expect(await process.exited).toEqual({ code: 1, signal: null })
    expect(process.failure).toMatchObject({ code: 'E_DISK', detail: { errno: 'ENOSPC' } })
    expect(acknowledged).toBeGreaterThan(10)

    // Without room it says why, and changes nothing that would lose anything.
    const refused = await failing(cluster.start(1))
    if (codeOf(refused) !== 'it did not fail') expect(codeOf(refused)).toBe('E_DISK')
    await cluster.kill(1)
    disk.grow(LARGE_BYTES)
    await cluster.start(1, await startProcess())
    const again = createRoute({ running: () => cluster.running() })
    await again.ask('propose', entryOf({ f: 'put', key: 'afterwards', value: 1 }, PAD_BYTES))
    await readAll(history, again)
    expect(judge(history)).toBeNull()
    await cluster.close()
  },
)
