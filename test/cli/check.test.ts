import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const LOGS = fileURLToPath(new URL('../data/jepsen-etcd/', import.meta.url))
let folder = ''

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'xpaxos-check-'))
  writeFileSync(join(folder, 'cut.jsonl'), '{"process":1,"type":"invoke","f":"read"}\n{"proc')
})
afterAll(() => rmSync(folder, { recursive: true }))

const run = (...args: string[]) =>
  spawnSync(process.execPath, [MAIN, 'check', ...args], { cwd: folder, encoding: 'utf8' })

test.each([
  ['etcd_002.log', 'linearizable', 0],
  ['etcd_000.log', 'not-linearizable', 1],
])('%s: the first word is %s, the exit status %i', (name, verdict, exit) => {
  const { status, stdout, stderr } = run('--model', 'register', '--format', 'jepsen', LOGS + name)
  expect({ status, stderr, word: stdout.split(/\s/)[0] }).toEqual({
    ...{ status: exit, stderr: '', word: verdict },
  })
})

test('a time-out is unknown, and exit status 1', () => {
  const { status, stdout } = run('--model=register', '--timeout=0.000001', `${LOGS}etcd_000.log`)
  expect({ status, word: stdout.split(/\s/)[0] }).toEqual({ status: 1, word: 'unknown' })
})

test.each<[args: string[], lines: string[]]>([
  [[], ['--model: want one of register, kv, append', 'FILE: missing']],
  [
    ['--model', 'queue', '--format', 'xml', '--timeout', '-1', 'none', 'more'],
    [
      '--model: want one of register, kv, append',
      '--format: want one of jepsen, jsonl',
      '--timeout: want seconds in (0, 86400]',
      'more: unexpected argument',
    ],
  ],
  [
    ['--model', 'kv', '--fast', 'none'],
    ['--fast: no such option', 'FILE: cannot read none'],
  ],
  [
    ['--model', 'register', 'cut.jsonl'],
    ['E_HISTORY_INVALID: line 2: line: not JSON, or cut short'],
  ],
])('%o is bad usage: one line a problem, nothing on stdout', (args, lines) => {
  const { status, stdout, stderr } = run(...args)
  expect({ status, stdout, stderr }).toEqual({
    status: 2,
    stdout: '',
    stderr: lines.map((line) => `${line}\n`).join(''),
  })
})
