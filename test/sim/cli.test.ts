/** `xpaxos sim` as a process: results, replay, lists, refusals. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import type { SimResult } from '../../src/sim/campaign.ts'
import { CLASS_NAMES } from '../../src/sim/classes.ts'
import { EXPLORER_MUTANTS } from '../../src/sim/explore/mutants.ts'
import { MUTANTS } from '../../src/sim/mutants.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'xpaxos-sim-'))
afterAll(() => rmSync(folder, { recursive: true }))

const run = (...args: string[]) =>
  spawnSync(process.execPath, [MAIN, 'sim', ...args], { cwd: folder, encoding: 'utf8' })

const json = (...args: string[]): SimResult =>
  JSON.parse(run(...args, '--json', '-').stdout) as SimResult

test('the same seeds give the same result in any process, with one worker or two', () => {
  const one = json('--seeds', '1..8', '--workers', '1')
  const two = json('--seeds', '1..8', '--workers', '2')
  expect(one.schema).toBe('xpaxos-sim/1')
  expect(one.schedules).toBe(8)
  expect(one.violations).toBe(0)
  expect(two.traceHash).toBe(one.traceHash)
  expect(two.coverage).toEqual(one.coverage)
  expect(two.events).toBe(one.events)
})

test('--replay prints the trace hash last, the same each time; --trace draws a chart', () => {
  const plain = run('--replay', '3', '--class', 'crash')
  const traced = run('--replay', '3', '--class', 'crash', '--trace')
  expect(plain.status).toBe(0)
  expect(plain.stdout).toMatch(/no violation\ntrace [0-9a-f]{16}\n$/)
  expect(traced.stdout.trim().split('\n').at(-1)).toBe(plain.stdout.trim().split('\n').at(-1))
  expect(traced.stdout).toMatch(/n1 .*n2/)
  expect(traced.stdout).toMatch(/\|-+>/)
})

test('a caught mutant prints one line a failing seed, which replays with and without it', () => {
  const caught = run('--seeds', '1..30', '--class', 'micro', '--mutant', 'chosen-by-one-too-few')
  expect(caught.status).toBe(1)
  const line = caught.stdout.split('\n')[0]!
  expect(line).toMatch(
    /^seed \d+ class micro I8: .*; replay: xpaxos sim --replay \d+ --class micro/,
  )
  expect(line).toContain('--mutant chosen-by-one-too-few')
  const replay = line.split('xpaxos sim ')[1]!.split(' ')
  const again = run(...replay)
  expect(again.status).toBe(1)
  expect(again.stdout).toMatch(/\nI8: .*\ntrace [0-9a-f]{16}\n$/)
  expect(run(...replay.slice(0, 4)).status).toBe(0)
})

test('--explore prints what it visited, and a path as a chart that replays', () => {
  const clean = run('--explore', 'learner')
  expect(clean.status).toBe(0)
  expect(clean.stdout).toMatch(
    /^learner: \d+ states, \d+ transitions, depth \d+ \(nothing is left\)/,
  )
  const found = run('--explore', 'led', '--mutant', 'adopt-own-log-always')
  expect(found.status).toBe(1)
  expect(found.stdout).toMatch(/n1 .*n2/)
  const [line = ''] = /^replay: .*$/m.exec(found.stdout) ?? []
  expect(line).toMatch(
    /^replay: xpaxos sim --explore led --path [\d.]+ --mutant adopt-own-log-always$/,
  )
  const replay = line.split('xpaxos sim ')[1]!.split(' ')
  expect(run(...replay).status).toBe(1)
  expect(run(...replay.slice(0, 4)).stdout).toMatch(/no violation\n$/)
  const [result] = JSON.parse(run('--explore', 'learner', '--json', '-').stdout) as unknown[]
  expect(result).toMatchObject({ schema: 'xpaxos-explore/1', isComplete: true, violation: null })
})

test('--json FILE writes the result and keeps the text on stdout', () => {
  const file = join(folder, 'sim.json')
  const { status, stdout } = run('--seeds', '1..40', '--class', 'micro', '--json', file)
  expect(status).toBe(0)
  expect(stdout).toContain('40 schedules')
  expect((JSON.parse(readFileSync(file, 'utf8')) as SimResult).failures).toEqual([])
})

test('lists: classes, mutants with their invariant, counters', () => {
  const classes = run('--list-classes').stdout
  for (const name of CLASS_NAMES) expect(classes).toMatch(new RegExp(`^${name} `, 'm'))
  const mutants = run('--list-mutants').stdout.trim().split('\n')
  const all = [...MUTANTS, ...EXPLORER_MUTANTS]
  expect(mutants).toEqual(all.map(({ name, invariant }) => `${name} ${invariant}`))
  expect(run('--list-scopes').stdout).toMatch(/^led +a leader of 3.*\n +led=1 .* entries=1 /m)
  expect(run('--coverage').stdout).toMatch(/^election-won$/m)
})

test.each<[args: string[], lines: (string | RegExp)[]]>([
  [
    [],
    [
      '--seeds: missing (or --replay, --explore, --list-classes, --list-mutants, ' +
        '--list-scopes, --coverage)',
    ],
  ],
  [['--explore', 'led,speed=1'], [/^--explore: speed=1: want led\|/]],
  [['--explore', '--path', '1.2'], ['--path: only in one scope']],
  [['--explore', 'led', '--path', '1,2'], ['--path: want places of actions, as 0.2.1']],
  [['--seeds', '1..2', '--depth', '3'], ['--depth: only with --explore']],
  [['--explore', 'led', '--states', '0'], ['--states: want an integer in [1, 50000000]']],
  [['--explore', '--seeds', '1..2'], ['--explore: not together with --seeds']],
  [['--seeds', '9..1'], ['--seeds: want A..B with A <= B']],
  [['--seeds', '1..2', '--class', 'storm'], [`--class: want one of ${CLASS_NAMES.join(', ')}`]],
  [['--seeds', '1..2', '--mutant', 'none'], ['--mutant: none is none of --list-mutants']],
  [['--seeds', '1..2', '--workers', '0'], ['--workers: want an integer in [1, 64]']],
  [['--seeds', '1..2', '--budget', 'x'], ['--budget: want an integer in [1, 86400]']],
  [['--seeds', '1..2', '--trace'], ['--trace: only with --replay']],
  [['--replay', '1', '--seeds', '1..2'], ['--replay: not together with --seeds']],
  [['--seeds', '1..2', '--json', 'none/x.json'], ['--json: cannot write none/x.json']],
  [
    ['--speed', '--seeds', 'x'],
    ['--speed: no such option', '--seeds: want A..B with A <= B'],
  ],
])('%o is bad usage: one line a problem, nothing on stdout', (args, lines) => {
  const { status, stdout, stderr } = run(...args)
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
  const said = stderr.trimEnd().split('\n')
  expect(said).toEqual(
    lines.map((line): unknown => (line instanceof RegExp ? expect.stringMatching(line) : line)),
  )
})
