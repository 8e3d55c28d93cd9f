/**
 * What is published works where it is installed: packs the project, installs the pack into a fresh
 * folder, and uses it as a stranger would. Needs the package registry for the runtime dependencies.
 */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

const ROOT = new URL('../../', import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'xpaxos-pack-'))
const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}` }

const run = (command: string, args: readonly string[], cwd = folder): string =>
  execFileSync(command, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

beforeAll(() => {
  const packed = run('npm', ['pack', '--silent', '--pack-destination', folder], ROOT)
  const archive = packed.trim().split('\n').at(-1)!
  writeFileSync(join(folder, 'package.json'), '{"type":"module","private":true}')
  run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', join(folder, archive)])
}, 240_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the installed command says its version', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    version: string
  }
  expect(run('npx', ['--no-install', 'xpaxos', '--version']).trim()).toBe(version)
})

test('the installed command runs a benchmark of a second, safely', () => {
  const args = ['--no-install', 'xpaxos', 'bench', '--duration', '1', '--warmup', '0.2']
  const result = JSON.parse(run('npx', [...args, '--json', '-'])) as {
    violations: string[]
    trials: { entries: number; safety: { checkedEntries: number } }[]
  }
  expect(result.violations).toEqual([])
  expect(result.trials[0]!.entries).toBeGreaterThan(0)
  expect(result.trials[0]!.safety.checkedEntries).toBe(result.trials[0]!.entries)
}, 120_000)

test('the example of the README runs against the installed package', () => {
  const example = readFileSync(join(ROOT, 'examples/counter.ts'), 'utf8')
  writeFileSync(join(folder, 'counter.ts'), example)
  const output = run(process.execPath, ['counter.ts', join(folder, 'data')])
  expect(output).toBe('entry 1: the counter is 42\n')
}, 120_000)

test('the installed command serves a cluster, and the installed client talks to it', async () => {
  const free = ['client-urls', 'monitoring-url'].flatMap((name) => [
    ...[`--listen-${name}`, 'http://127.0.0.1:0'],
  ])
  const args = ['xpaxos', 'serve', '--embedded', '3', '--data-dir', 'served']
  const served = spawn(
    'npx',
    ['--no-install', ...args, '--listen-resp', 'tcp://127.0.0.1:0', ...free],
    {
      ...{ cwd: folder, env, stdio: ['ignore', 'pipe', 'ignore'], detached: true },
    },
  )
  let text = ''
  served.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await expect.poll(() => text, { timeout: 60_000 }).toMatch(/^ {2}data /m)
  const url = /^ {2}clients +(\S+)$/m.exec(text)![1]!
  writeFileSync(
    join(folder, 'client.ts'),
    `import { type Client, ClientError, openClient } from 'xpaxos/client'
const client: Client = openClient({ endpoints: ['${url}'] })
await client.put('hello', 'world')
console.log((await client.get('hello'))!.text, typeof ClientError)
`,
  )
  expect(run(process.execPath, ['client.ts'])).toBe('world function\n')
  const exited = new Promise((resolve) => served.on('exit', resolve))
  process.kill(-served.pid!, 'SIGTERM')
  await exited
}, 120_000)

test('the README shows the example as it is', () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const lines = readFileSync(join(ROOT, 'examples/counter.ts'), 'utf8').trimEnd().split('\n')
  expect(readme).toContain(lines.map((line) => `    ${line}`.trimEnd()).join('\n'))
})
