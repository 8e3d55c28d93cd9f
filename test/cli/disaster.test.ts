/** `xpaxos disaster` as a program: what it prints, refuses and leaves alone. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { imageOf, openCluster, stoppedCluster, temporaryFolder, text } from '../support/engine.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const MEMBERS = '1:voter:9,2,3:logger'
const NODES = [{ id: 1, weight: 9 }, { id: 2 }, { id: 3, role: 'logger' as const }]

const run = (...args: string[]) =>
  spawnSync(process.execPath, [MAIN, 'disaster', ...args], { encoding: 'utf8' })

const stopped = () => stoppedCluster({ nodes: NODES, clusterId: 'orders' })

test('bad usage: one line a problem, nothing on stdout', () => {
  expect(run('reset', 'now', '--force')).toMatchObject({
    status: 2,
    stdout: '',
    stderr: [
      '--force: no such option',
      'now: unexpected argument',
      'ACTION: want one of show, force-single-leader, force-promote',
      '--data-dir: missing',
      '--by: missing: who orders this, when and why',
      '',
    ].join('\n'),
  })
  const wrong = ['--data-dir', 'x', '--members', '1:boss', '--weight', '12', '--dry-run']
  const { status, stderr } = run('force-promote', ...wrong)
  expect([status, stderr]).toEqual([
    2,
    '--members: 1:boss: want ID[:voter|logger|learner[:WEIGHT]]\n--weight: want 1 to 9\n',
  ])
})

test('a directory that is none is refused', () => {
  const { status, stderr } = run('show', '--data-dir', temporaryFolder())
  expect([status, stderr]).toEqual([2, expect.stringContaining('no data directory')])
})

test('it shows, refuses by default, does what was accepted, and leaves the audit', async () => {
  const dataDir = await stopped()
  const dir = join(dataDir, 'node-1')
  const before = imageOf(dir)
  const shown = run('show', '--data-dir', dir)
  expect(shown.status).toBe(0)
  for (const line of [/^cluster +orders$/m, /^log +entries 1 to 3, known chosen/m, /^history +0$/m])
    expect(shown.stdout).toMatch(line)

  const order = ['force-single-leader', '--data-dir', dir]
  const unknown = run(...order, '--dry-run')
  expect([unknown.status, unknown.stdout]).toEqual([2, ''])
  expect(unknown.stderr).toMatch(/^E_DISASTER_REFUSED: .*--members/)

  const dry = run(...order, '--members', MEMBERS, '--dry-run')
  expect(dry.status).toBe(0)
  expect(dry.stdout).toContain('force-single-leader: node 1 becomes the only member')
  expect(dry.stdout).toContain('- whatever nodes 2, 3 acknowledged above index 3: nothing of it')
  expect(dry.stdout).toContain('nothing was written')

  const by = ['--members', MEMBERS, '--by', 'ops, ticket 7']
  for (const more of [[], ['--i-accept-data-loss'], ['--i-accept-data-loss', 'order']]) {
    const refused = run(...order, ...by, ...more)
    expect(refused.status).toBe(2)
    expect(refused.stderr).toMatch(/^--i-accept-data-loss: want orders, .* nothing was written\n$/)
    expect(refused.stdout).toContain('What may be lost, or change, for ever:')
  }
  expect(imageOf(dir)).toBe(before)

  const done = run(...order, ...by, '--i-accept-data-loss', 'orders')
  expect([done.status, done.stderr]).toEqual([0, ''])
  expect(done.stdout).toContain('historyEpoch 65537')
  const after = run('show', '--data-dir', dir).stdout
  expect(after).toMatch(/^members +1 voter of weight 9$/m)
  expect(after).toMatch(/^history +65537$/m)
  expect(after).toMatch(/^audit at 5 +\{"schema":"xpaxos-audit\/1".*"by":"ops, ticket 7"/m)
  const promote = [
    'force-promote',
    '--data-dir',
    dir,
    '--by',
    'x',
    '--i-accept-data-loss',
    'orders',
  ]
  const again = run(...promote)
  expect([again.status, again.stderr]).toEqual([2, expect.stringContaining('can lead')])
})

test('a node that runs is left alone', async () => {
  const dataDir = await stopped()
  const options = { nodes: NODES, clusterId: 'orders', stateMachine: 'hash', dataDir } as const
  const cluster = await openCluster(options)
  const dir = join(dataDir, 'node-1')
  const order = ['force-single-leader', '--data-dir', dir, '--members', MEMBERS, '--by', 'ops']
  const { status, stderr } = run(...order, '--i-accept-data-loss', 'orders')
  expect([status, stderr]).toEqual([2, expect.stringContaining('in use by process')])
  await cluster.propose(text('d'))
  expect(cluster.nodes[0]!.status().historyEpoch).toBe(0)
})
