import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { inspectWal, scanLog } from '../../src/wal/inspect.ts'
import { openWal } from '../../src/wal/open.ts'
import { openStorage } from '../../src/wal/storage-fs.ts'
import { closeWal } from '../../src/wal/wal.ts'
import { randomOf } from '../../src/sim/memory-storage.ts'
import { IDENTITY, SEGMENT_SIZE_BYTES, frameAt } from './wal-kill.content.ts'

const ROUNDS = 10
const SEED = Number(process.env['SEED'] ?? 7)
const CACHE = fileURLToPath(new URL('../../.cache', import.meta.url))
const CHILD = fileURLToPath(new URL('./wal-kill.child.ts', import.meta.url))

interface Report {
  readonly lsn: number
  readonly last: number
  readonly promised: number
}

/** On the disk of the checkout: a temporary directory in memory would make the sync a no-op. */
function freshDir(): string {
  mkdirSync(CACHE, { recursive: true })
  const dir = mkdtempSync(`${CACHE}/wal-kill-`)
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Runs the child until it has reported `groups` groups, kills it, and returns its last report. */
async function killAfter(dir: string, round: number, groups: number): Promise<Report> {
  const child: ChildProcess = spawn(process.execPath, [CHILD, dir, String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(child, 'close')
  let text = ''
  child.stdout!.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    if (text.split('\n').length > groups) child.kill('SIGKILL')
  })
  const [, signal] = (await closed) as [number | null, string | null]
  expect(signal, 'it was our signal that ended the child').toBe('SIGKILL')
  const whole = text.slice(0, text.lastIndexOf('\n')).split('\n')
  const [lsn, last, promised] = whole.at(-1)!.split(' ').map(Number)
  return { lsn: lsn!, last: last!, promised: promised! }
}

test('a process killed at any moment finds everything it reported as durable', async () => {
  const dir = freshDir()
  const random = randomOf(SEED)
  const storage = openStorage()
  let segments = 0
  for (let round = 1; round <= ROUNDS; round++) {
    const report = await killAfter(dir, round, 1 + Math.floor(random() * 150))
    const found = new Set<number>()
    inspectWal(storage, dir, ({ lsn, record, payload, segment }) => {
      found.add(lsn)
      segments = segment
      if (record.kind !== 'entries') return
      const want = frameAt(lsn, record.prev + 1)
      expect(Buffer.compare(payload, want), `seed ${SEED}, round ${round}, lsn ${lsn}`).toBe(0)
    })
    const first = Math.min(...found)
    for (let lsn = first; lsn <= report.lsn; lsn++) expect(found).toContain(lsn)
    const scan = scanLog(storage, dir, () => {})
    expect(scan.last).toBeGreaterThanOrEqual(report.last)
    expect(scan.promised).toBeGreaterThanOrEqual(report.promised)
    expect(scan.first).toBeLessThanOrEqual(Math.max(1, report.last - 500))
  }
  expect(segments, 'the run went through recycled segments').toBeGreaterThan(5)
  const { wal } = openWal(storage, {
    dir,
    identity: IDENTITY,
    segmentSizeBytes: SEGMENT_SIZE_BYTES,
  })
  closeWal(wal)
})

test('a directory that a live process holds is refused, and free once it was killed', async () => {
  const dir = freshDir()
  const storage = openStorage()
  const options = { dir, identity: IDENTITY, segmentSizeBytes: SEGMENT_SIZE_BYTES }
  const child = spawn(process.execPath, [CHILD, dir, '1'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  await once(child.stdout, 'data')
  child.stdout.resume()
  expect(() => openWal(storage, options)).toThrow(`in use by process ${child.pid}`)
  child.kill('SIGKILL')
  await closed
  const { wal } = openWal(storage, options)
  expect(() => openWal(storage, options)).toThrow(`in use by process ${process.pid}`)
  closeWal(wal)
})
