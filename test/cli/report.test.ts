/** `xpaxos report`: what it reads, what it names as unreadable, what it writes, and how it ends. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { readFolder } from '../../src/cli/report-files.ts'
import { resultsOfEveryKind, writeFolder } from '../bench/report-folder.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const OLD = fileURLToPath(new URL('../../results/2026-11-24-9e71f6c', import.meta.url))
const top = mkdtempSync(join(tmpdir(), 'xpaxos-report-'))
let dir = ''

beforeEach(() => {
  dir = mkdtempSync(join(top, 'folder-'))
})
afterAll(() => rmSync(top, { recursive: true }))

const run = (...args: string[]) =>
  spawnSync(process.execPath, [MAIN, 'report', ...args], { cwd: top, encoding: 'utf8' })
const put = (name: string, text: string): void => writeFileSync(join(dir, name), text)
const reasons = (): string[] =>
  readFolder(dir).unread.map(({ file, reason }) => `${file}: ${reason}`)

test('summary.md, report.html and charts are written beside the results', async () => {
  writeFolder(dir, await resultsOfEveryKind())
  const { status, stdout, stderr } = run(dir)
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const written = ['summary.md', 'report.html', 'chart.svg', 'ladder.svg']
  expect(stdout).toBe(written.map((name) => `written: ${join(dir, name)}\n`).join(''))
  expect(readFileSync(join(dir, 'report.html'), 'utf8')).toContain('<h1>Results of 2026-01-02</h1>')
})

test('the same folder makes the same report, also when it holds one already', async () => {
  writeFolder(dir, await resultsOfEveryKind())
  run(dir)
  const before = readFileSync(join(dir, 'report.html'), 'utf8')
  run(dir)
  expect(readFileSync(join(dir, 'report.html'), 'utf8')).toBe(before)
})

test('results of an older version are read, and told the command that makes them again', () => {
  cpSync(OLD, dir, { recursive: true })
  const { stored, unread } = readFolder(dir)
  expect(unread).toEqual([])
  expect(stored.map(({ kind, origin }) => `${kind}: ${origin.command}`)).toEqual([
    'compare: xpaxos compare --duration 1 --trials 3',
    'suites: xpaxos suite',
  ])
  expect(stored[1]!.origin.environment!.filesystem).toBe('ext4') // of the folder
})

test.each([
  ['{', 'damaged: not JSON'],
  ['[]', 'damaged: not a JSON object'],
  ['{}', 'has no schema: not a result'],
  ['{"schema":"etcd/3"}', 'schema etcd/3: nothing that a report shows'],
  ['{"schema":"__proto__"}', 'schema __proto__: nothing that a report shows'],
  ['{"schema":"xpaxos-tune/1","points":5}', /^x.json: damaged: points: .*array/],
  ['{"schema":"xpaxos-bench/1","config":{"engine":"raft"}}', /^x.json: damaged: config.engine: /],
])('a file %s is named and not shown', (text, want) => {
  put('x.json', text)
  const [reason] = reasons()
  if (typeof want === 'string') expect(reason).toBe(`x.json: ${want}`)
  else expect(reason).toMatch(want)
})

test('each single damage of a bench result is found, or does not matter', async () => {
  const { 'single.json': whole } = await resultsOfEveryKind()
  const text = JSON.stringify(whole)
  for (const damage of ['"throughputPerS":"x"', '"entries":-1', '"safety":null', '"trials":{}']) {
    const key = damage.split(':')[0]!
    put(
      'x.json',
      text.replace(new RegExp(`${key}:("[^"]*"|[\\d.]+|\\{|\\[)`), (found) =>
        /[{[]$/.test(found) ? `${damage},"was":${found.at(-1)!}` : damage,
      ),
    )
    expect(reasons()).toEqual([expect.stringMatching(/^x.json: damaged/)])
  }
})

test('what can be read is shown, and the rest named in the report and on stderr', async () => {
  const { 'single.json': whole } = await resultsOfEveryKind()
  writeFolder(dir, { 'single.json': whole! })
  put('bad.json', '{')
  const { status, stderr } = run(dir)
  expect({ status, stderr }).toEqual({ status: 0, stderr: 'bad.json: damaged: not JSON\n' })
  expect(readFileSync(join(dir, 'report.html'), 'utf8')).toContain('bad.json: damaged: not JSON')
})

test('a folder of which nothing can be read is a failure, and nothing is written', () => {
  put('bad.json', '{')
  const { status, stdout, stderr } = run(dir)
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toBe(`bad.json: damaged: not JSON\n${dir}: nothing that a report shows\n`)
  expect(readdirSync(dir)).toEqual(['bad.json'])
})

test.each([
  [['none'], 'RESULTS_DIR: cannot read none (ENOENT): want a folder\n'],
  [['file.txt'], 'RESULTS_DIR: cannot read file.txt (ENOTDIR): want a folder\n'],
  [[], 'RESULTS_DIR: want a folder of results\n'],
  [['a', 'b', '--fast'], '--fast: no such option\nb: unexpected argument\n'],
])('report %o is bad usage', (args, stderr) => {
  writeFileSync(join(top, 'file.txt'), '')
  expect(run(...args)).toMatchObject({ status: 2, stdout: '', stderr })
})

test('a folder among the results is not a result', () => {
  mkdirSync(join(dir, 'deeper.json'))
  expect(reasons()).toEqual(['deeper.json: cannot be read'])
})
