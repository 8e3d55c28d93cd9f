/**
 * A flipped bit in a block of a stopped node's files: found, or harmless. A sample of the blocks by
 * CHAOS_SEED; all of them: `npm run chaos -- --every-block`.
 */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { codeOf, failing } from '../support/engine.ts'
import { createRoute } from './lab/client.ts'
import { type Cluster, createCluster } from './lab/cluster.ts'
import {
  BLOCK_BYTES,
  type Bit,
  type Ending,
  flipEach,
  filesOf,
  makeLog,
  runFlips,
} from './lab/flips.ts'
import { freshFolder } from './lab/places.ts'
import { createRandom } from './lab/random.ts'

const SEED = Number(process.env['CHAOS_SEED'] ?? 1)
const SAMPLE = 80
const HEADER_BYTES = 128
const TYPED = ['E_WAL_CORRUPT', 'E_DATA_DIR']

async function logOf(ending: Ending): Promise<string> {
  const folder = freshFolder('flips')
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return makeLog(folder, ending)
}

test.each<[ending: Ending]>([['closed'], ['killed']])(
  'one flipped bit in the files of a node that was %s is found or harmless',
  async (ending) => {
    const result = runFlips(await logOf(ending), ending, SAMPLE, createRandom(SEED))
    expect(result.failures, `CHAOS_SEED=${SEED}`).toEqual([])
    expect(result.effects.found).toBeGreaterThan(SAMPLE / 10)
  },
)

test('every byte of the identity, and of the first header, is vouched for', async () => {
  const files = filesOf(await logOf('closed'))
  const bits = [
    ...bytesIn('identity', files.get('identity')!.length),
    ...bytesIn('wal-0000000000000001.seg', HEADER_BYTES),
  ]
  for (const flip of flipEach(files, bits)) expect(flip).toMatchObject({ effect: 'found' })
})

const bytesIn = (file: string, size: number): Bit[] =>
  Array.from({ length: size }, (_, offset) => ({ file, offset, bit: offset % 8 }))

/** The process of a node, on a copy of its files with one bit flipped. */
async function openFlipped(dir: string, file: string, at: number): Promise<Cluster> {
  const folder = freshFolder('flipped')
  const cluster = await createCluster({ folder, members: [{ id: 1 }], seed: 1, layout: 'inline' })
  onTestFinished(async () => {
    await cluster.close()
    rmSync(folder, { recursive: true, force: true })
  })
  cpSync(dir, cluster.dirOf(1), { recursive: true })
  const path = join(cluster.dirOf(1), file)
  const bytes = readFileSync(path)
  bytes[at]! ^= 1
  writeFileSync(path, bytes)
  return cluster
}

test('a node does not start on damaged files, and says which', async () => {
  const dir = await logOf('closed')
  for (const [file, at] of [
    ['identity', 30],
    ['wal-0000000000000001.seg', 20 * BLOCK_BYTES],
    ['wal-0000000000000002.seg', 12 * BLOCK_BYTES],
  ] as const) {
    const cluster = await openFlipped(dir, file, at)
    const refused = await failing(cluster.start(1))
    expect(TYPED).toContain(codeOf(refused))
    expect(String(refused)).toMatch(file === 'identity' ? /identity/ : new RegExp(file))
  }
  const padding = await openFlipped(dir, 'wal-0000000000000001.seg', BLOCK_BYTES)
  await padding.start(1)
  const route = createRoute({ running: () => padding.running() })
  expect(await route.ask('read', { key: 'k1' })).not.toBeNull()
})
