/** The options of both spikes: every option takes a comma list, each combination is one run. */
import * as fs from 'node:fs'
import { parseArgs } from 'node:util'

const OPTIONS = {
  payload: '16',
  inflight: '65536,262144,1048576',
  seconds: '2',
  'batch-bytes': String(256 << 10),
  'ring-bytes': String(32 << 20),
  /** How the generator waits: wait, async (Atomics.waitAsync), spin (setImmediate). */
  wake: 'wait',
  'follower-wake': 'async', // spike-tcp only
  trial: '1',
}
export type Config = Record<keyof typeof OPTIONS, string>

/** Runs every combination of the options in a fresh folder, which goes whatever happens. */
export async function runAll(run: (config: Config, dir: string) => Promise<boolean>) {
  const options = Object.entries(OPTIONS).map(([k, v]) => [k, { type: 'string', default: v }])
  const parse = { options: Object.fromEntries(options) as Record<string, { type: 'string' }> }
  let all = [{}]
  for (const [k, list] of Object.entries(parseArgs(parse).values))
    all = list!.split(',').flatMap((v) => all.map((c) => ({ ...c, [k]: v })))
  const dir = fs.mkdtempSync('xpaxos-bench-spike-')
  process.once('exit', () => fs.rmSync(dir, { recursive: true }))
  for (const config of all) if (!(await run(config as Config, dir))) process.exitCode = 1
}
