/** The parent of node processes, when it comes late to read what they say. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openProcessEngine } from '../../native-free-bench/engines/process-engine.ts'
import { parseBench } from '../../native-free-bench/options.ts'
import type { BenchConfig } from '../../native-free-bench/types.ts'

test('a leader that is elected before the parent reads its first answer is known', async () => {
  const { config } = parseBench({ flags: { transport: 'tcp', inflight: '64' } })
  const folder = mkdtempSync(join(tmpdir(), 'xpaxos-process-'))
  const nap = new Int32Array(new SharedArrayBuffer(4))
  // Longer than an election takes, so that the answer and the event lie in one read.
  const busy = setInterval(() => Atomics.wait(nap, 0, 0, 400), 5)
  const engine = await openProcessEngine(config as BenchConfig, folder)
  try {
    await expect.poll(() => engine.nodes.some(({ leads }) => leads), { timeout: 20_000 }).toBe(true)
  } finally {
    clearInterval(busy)
    await engine.release()
    rmSync(folder, { recursive: true, force: true })
  }
})
