/** The tuner as a command: real trials, short; shape and safety only, never how fast it was. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { BenchResult, TuneResult } from '../../native-free-bench/types.ts'
import { schemaProblems } from '../../src/cli/schemas.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
/** Not synced: a temporary folder may be in memory. */
const LOAD = ['--durability', 'os', '--inflight', '64', '--payload', '32']
/** Long enough for a busy machine to acknowledge something. */
const SHORT = ['--duration', '0.5', '--warmup', '0.1']
const MS_MAX = 180_000
let folder = ''

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'xpaxos-tune-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const run = (...args: string[]) =>
  spawnSync(process.execPath, [MAIN, ...args], { cwd: folder, encoding: 'utf8' })

const at = (name: string): string => join(folder, name)

/** What fell into the measured time is the machine's business: no entry, no best. */
const expectFile = (name: string, { best }: TuneResult): void => {
  expect(existsSync(at(name))).toBe(best !== null)
  if (best === null) return
  const { batchMaxBytes, pipelineDepth } = best
  const file: unknown = JSON.parse(readFileSync(at(name), 'utf8'))
  expect(file).toEqual({ schema: 'xpaxos-config/1', batchMaxBytes, pipelineDepth })
}

test(
  'tune writes a result that fits its schema, and a file of its best',
  () => {
    const tune = ['tune', ...LOAD, ...SHORT, '--budget', '8', '--trials', '1']
    const { status, stdout, stderr } = run(...tune, '--out', 'sizes.json', '--json', '-')
    expect(stderr).toBe('')
    const result = JSON.parse(stdout) as TuneResult
    expect(status).toBe(result.best === null ? 1 : 0)
    expect(schemaProblems(result)).toEqual([])
    expect(result).toMatchObject({ violations: [], partial: false, adaptive: null })
    expect(result.config).toMatchObject({ payload: 32, inflight: 64, budget: 8, grid: false })
    expect(result.points.length).toBeGreaterThan(0)
    expect(result.rationale.length).toBeGreaterThan(0)
    expectFile('sizes.json', result)
  },
  MS_MAX,
)

test(
  'bench takes a file of sizes, and a flag outranks it',
  () => {
    const sizes = { schema: 'xpaxos-config/1', batchMaxBytes: 65_536, pipelineDepth: 4 }
    writeFileSync(at('given.json'), JSON.stringify(sizes))
    const flags = ['--config', 'given.json', '--pipeline-depth', '2', '--json', '-']
    const { status, stdout } = run('bench', ...LOAD, ...SHORT, ...flags)
    expect(status).toBe(0)
    const { config, violations } = JSON.parse(stdout) as BenchResult
    expect(config).toMatchObject({ batchMaxBytes: 65_536, pipelineDepth: 2, payload: 32 })
    expect(violations).toEqual([])
  },
  MS_MAX,
)

test(
  'a bound that no sizes keep: exit 1, said in words, no file',
  () => {
    const args = ['--budget', '3', '--slo-p99-ms', '0.001', '--out', 'none.json']
    const { status, stdout } = run('tune', ...LOAD, ...SHORT, ...args)
    expect(status).toBe(1)
    expect(stdout).toMatch(/measured none keeps p99 <= 1\.00 us|Nothing was acknowledged/)
    expect(existsSync(at('none.json'))).toBe(false)
  },
  MS_MAX,
)

test(
  'an interrupt ends with 130, and keeps what was measured',
  async () => {
    const files = ['--out', 'part.json', '--json', 'result.json', '--progress']
    const args = ['tune', ...LOAD, ...SHORT, '--budget', '600', ...files]
    const child = spawn(process.execPath, [MAIN, ...args], { cwd: folder })
    let progress = ''
    child.stdout.resume()
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      const before = progress.split('\n').length
      progress += text
      // The second point is under way: the first was measured.
      if (before <= 2 && progress.split('\n').length > 2) child.kill('SIGINT')
    })
    const status = await new Promise((resolve) => child.on('close', resolve))
    expect(status).toBe(130)
    const result = JSON.parse(readFileSync(at('result.json'), 'utf8')) as TuneResult
    expect(result.partial).toBe(true)
    expect(result.points.length).toBeGreaterThan(0)
    expect(schemaProblems(result)).toEqual([])
    expectFile('part.json', result)
  },
  MS_MAX,
)

test('options that are bad are refused all at once, and no file is touched', () => {
  writeFileSync(at('bad.json'), '{"schema":"xpaxos-config/1","budget":"x","killNode":"2@1"}')
  const args = ['--grid', 'now', '--slo-p99-ms', '-1', '--out', 'out.json', '--engine', 'limit']
  const { status, stdout, stderr } = run('tune', ...args, '--config', 'bad.json')
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
  expect(stderr.trim().split('\n').sort()).toEqual(
    [
      '--config: budget: want a number in [1, 86400] s, not "x" (no trial begins that would ' +
        'end later; 60 by default, with --grid no bound)',
      '--config: killNode: not a key of tune',
      '--engine: no such option',
      '--slo-p99-ms: want a number in [0.001, 60000] ms, not -1 (the best throughput whose p99 ' +
        'is not above it)',
      'now: unexpected argument',
    ].sort(),
  )
  expect(existsSync(at('out.json'))).toBe(false)
})
