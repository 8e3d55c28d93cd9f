import { expect, test } from 'vitest'
import { benchCommand, compareCommand } from '../../native-free-bench/command-of.ts'
import { parseBench, parseCompare } from '../../native-free-bench/options.ts'
import { compareOf, benchOf } from './report-fixtures.ts'

/** '--a-b 1 --c' -> { aB: '1', c: true }: what the parser of the command line makes of it. */
function flagsOf(command: string): Record<string, string | true> {
  const flags: Record<string, string | true> = {}
  let last = ''
  for (const word of command.split(' ').slice(2)) {
    if (word.startsWith('--')) {
      last = word.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
      flags[last] = true
    } else flags[last] = word
  }
  return flags
}

test.each([
  [{}, 'xpaxos bench --engine xpaxos --durability os'],
  [{ nodes: '5' }, 'xpaxos bench --engine xpaxos --nodes 5 --durability os'],
  [{ durability: 'fsync' }, 'xpaxos bench --engine xpaxos'],
  [
    { rate: '5000', trials: '3' },
    'xpaxos bench --engine xpaxos --durability os --rate 5000 --trials 3',
  ],
  [{ engine: 'multi-paxos', batchMaxBytes: '4096' }, null],
  [{ engine: 'multi-paxos', batchMaxBytes: '4096', batchMaxEntries: '1' }, null],
  [{ engine: 'basic-paxos', proposers: '2', inflight: 'best' }, null],
  [{ roles: 'leader,follower,logger', weights: '9,5,5', forced: 'n2', quorums: '2,2' }, null],
  [{ nodes: '4', roles: 'leader,follower,follower,learner', sources: 'n4=n2' }, null],
  [{ killLeaderAfter: '2.5', slowDisk: '2:100', keep: true, seed: '7' }, null],
  [{ killNode: '2@3', transport: 'tcp', layout: 'split', rttMs: '30' }, null],
])('the command of %o measures the same configuration', (flags, want) => {
  const config = benchOf(flags)
  const command = benchCommand(config)
  if (want !== null) expect(command).toBe(want)
  expect(parseBench({ flags: flagsOf(command) }).config).toEqual(config)
})

test.each([[{}], [{ engines: 'xpaxos,limit', inflight: '64' }], [{ batchMaxBytes: '4096' }]])(
  'the command of a comparison %o measures the same configuration',
  (flags) => {
    const config = compareOf(flags)
    expect(parseCompare({ flags: flagsOf(compareCommand(config)) }).config).toEqual(config)
  },
)

test('a ladder has its own rows, so its command names no engines', () => {
  const command = compareCommand(compareOf({ ladder: true, trials: '3', durability: 'fsync' }))
  expect(command).toBe('xpaxos compare --ladder --trials 3')
})

test('a configuration of an older version, without the newer keys, has a command', () => {
  expect(benchCommand({ engine: 'limit', payload: 64 })).toBe(
    'xpaxos bench --engine limit --payload 64',
  )
})

test('a path of the machine is not in a command', () => {
  const config = benchOf({ dataDir: '/some/where' })
  expect(benchCommand(config)).not.toContain('where')
})
