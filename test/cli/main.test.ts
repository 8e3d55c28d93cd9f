import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ReplicaError } from '../../src/base/errors.ts'
import { EXIT, exitOf } from '../../src/cli/exit.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
let folder = ''

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'xpaxos-cli-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const run = (...args: string[]) =>
  spawnSync(process.execPath, [MAIN, ...args], { cwd: folder, encoding: 'utf8' })

test('--version is the version of the package', () => {
  expect(run('--version')).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as string,
  })
})

test('--help names the commands and what is missing, on stdout', () => {
  const { status, stdout } = run('--help')
  expect(status).toBe(0)
  for (const word of ['bench', 'sim', 'serve', 'tune', 'report', 'Not available yet: top'])
    expect(stdout).toContain(word)
})

test('bench --help names flags with ranges and defaults', () => {
  const { status, stdout } = run('bench', '--help')
  expect(status).toBe(0)
  expect(stdout).toMatch(/--payload \[bytes\]\s+an integer in \[1, 1048576\] bytes/)
  expect(stdout).not.toContain('--adaptive')
})

test.each<[args: string[], lines: string[]]>([
  [['tune', '--out', '.'], ['--out: . is a folder']],
  [['top', '--help'], ['xpaxos top: not available yet']],
  [['serve'], ['--data-dir: missing']],
  [
    ['serve', '--speed=9', 'now', '--data-dir', ''],
    ['--speed=9: no such option', 'now: unexpected argument', '--data-dir: want a file'],
  ],
  [
    ['serve', '--data-dir', 'd', '--listen-resp', 'tcp://0.0.0.0:7481'],
    [
      '--listen-resp: 0.0.0.0 is not loopback, and RESP has no TLS: protect it, or say ' +
        '--insecure-client-network',
    ],
  ],
  [['put', 'k'], ['VALUE: missing']],
  [
    ['get', 'k', 'more', '--endpoints', 'x', '-w', 'xml', '--timeout', '0'],
    [
      'more: unexpected argument',
      '--timeout: want seconds in (0, 600]',
      '-w: want table or json',
      '--endpoints: x: want http://HOST:PORT',
    ],
  ],
  [['member', 'remove', 'n1'], ['ID: want 1 to 65535']],
  [['member', 'set', '1'], ['--weight, --forced, --source: want one of them']],
  [['cas', 'k', 'a'], ['VALUE: missing']],
  [['watch', 'k', '--from', 'now'], ['--from: want a whole number from 1']],
  [['bench', '--slow-disk', '4:9'], ['--slow-disk: there are nodes 1 to 3 (--nodes)']],
  [['bench', '--adaptive'], ['--adaptive: not available yet']],
  [['bench', '--speed', '9'], ['--speed: no such option']],
  [
    ['bench', '--speed=9', 'extra', 'more'],
    ['--speed: no such option', 'more: unexpected argument'],
  ],
  [['bench', 'now'], ['now: unexpected argument']],
  [['bench', '--json', 'none/x.json'], ['--json: cannot write none/x.json']],
  [['bench', '--json', '.'], ['--json: . is a folder']],
  [
    ['bench', '--data-dir', '/proc/xpaxos'],
    ["E_DATA_DIR: --data-dir: ENOENT: no such file or directory, mkdir '/proc/xpaxos'"],
  ],
  [['bench', '--config', 'none.json'], ['--config: cannot read none.json']],
])('%o is bad usage: one line a problem, nothing on stdout', (args, lines) => {
  const { status, stdout, stderr } = run(...args)
  expect({ status, stdout, stderr }).toEqual({
    status: 2,
    stdout: '',
    stderr: lines.map((line) => `${line}\n`).join(''),
  })
})

test('all problems of a command line come at once, and nothing is written', () => {
  writeFileSync(join(folder, 'bad.json'), '{"schema":"xpaxos-config/1","nope":1}')
  const before = readdirSync(folder)
  const { status, stdout, stderr } = run(
    ...['bench', '--payload', '-5', '--nodes', '99', '--json', '--config', 'bad.json', '--wat'],
  )
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
  const flags = stderr
    .trim()
    .split('\n')
    .map((line) => line.split(':')[0])
  expect(flags.sort()).toEqual(['--config', '--json', '--nodes', '--payload', '--wat'])
  expect(readdirSync(folder)).toEqual(before)
})

test.each([[['fly']], [[]], [['--fly']]])('%o is bad usage', (args) => {
  expect(run(...args)).toMatchObject({ status: 2, stdout: '' })
})

test.each<[error: unknown, exit: number, lines: string[]]>([
  [
    new ReplicaError('E_CONFIG_INVALID', 'a; b', { problems: ['a', 'b'] }),
    EXIT.badUsage,
    ['a', 'b'],
  ],
  [
    new ReplicaError('E_DATA_DIR', 'of another\ncluster', { problem: 'foreign' }),
    EXIT.badUsage,
    ['E_DATA_DIR: of another cluster'],
  ],
  [
    new ReplicaError('E_NOT_AVAILABLE', 'x', { feature: 'x' }),
    EXIT.badUsage,
    ['E_NOT_AVAILABLE: x'],
  ],
  [
    new ReplicaError('E_DISK', 'no space', { syscall: 'write', errno: 'ENOSPC' }),
    EXIT.failed,
    ['E_DISK: no space'],
  ],
])('%s ends with its own exit status', (error, exit, want) => {
  const lines: string[] = []
  expect(exitOf(error, (line) => lines.push(line))).toBe(exit)
  expect(lines).toEqual(want)
})
