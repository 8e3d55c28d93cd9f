import { expect, test } from 'vitest'
import { optionsOf } from '../../native-free-bench/option-table.ts'
import { parseBench, parseCompare, parseTune, rowsOf } from '../../native-free-bench/options.ts'
import { benchOf, compareOf } from './report-fixtures.ts'

type Flags = Readonly<Record<string, unknown>>

const KEYS_OF_THE_COMMAND_LINE = ['config', 'json', 'progress']

test('defaults are those of the contract', () => {
  const { config } = parseBench({ flags: {} })
  expect(config).toEqual({
    engine: 'xpaxos',
    nodes: 3,
    roles: ['leader', 'follower', 'follower'],
    weights: null,
    forced: [],
    sources: [],
    quorums: null,
    transport: 'memory',
    durability: 'fsync',
    payload: 16,
    inflight: 65_536,
    rate: null,
    clients: 1,
    api: 'writer',
    duration: 5,
    warmup: 1,
    trials: 1,
    batchMaxBytes: 1_048_576,
    batchMaxEntries: 0,
    batchLingerUs: 0,
    pipelineDepth: 8,
    windowMaxBytes: 8_388_608,
    proposers: 1,
    layout: 'auto',
    rttMs: 0,
    jitterMs: 0,
    bandwidthMbps: 0,
    stateMachine: 'hash',
    killLeaderAfter: null,
    killNode: null,
    slowDisk: null,
    seed: 1,
    dataDir: null,
    keep: false,
    allowTmpfs: false,
  })
})

test('every available option of bench is a field of its configuration', () => {
  const { config } = parseBench({ flags: {} })
  const keys = optionsOf('bench')
    .filter(([key, option]) => !option.isMissing && !KEYS_OF_THE_COMMAND_LINE.includes(key))
    .map(([key]) => key)
  expect(Object.keys(config!).sort()).toEqual(keys.sort())
})

test.each<[name: string, flags: Flags, want: Flags]>([
  ['multi-paxos', { engine: 'multi-paxos' }, { batchMaxEntries: 1, pipelineDepth: 1 }],
  [
    'multi-paxos asked for batches of bytes',
    { engine: 'multi-paxos', batchMaxBytes: '4096' },
    { batchMaxEntries: 0, batchMaxBytes: 4096, pipelineDepth: 1 },
  ],
  ['basic-paxos', { engine: 'basic-paxos' }, { batchMaxEntries: 1, pipelineDepth: 1 }],
  ['limit', { engine: 'limit' }, { batchMaxEntries: 0, pipelineDepth: 8 }],
  ['an open loop', { rate: '1e6' }, { rate: 1_000_000, inflight: null }],
  ['the best inflight', { inflight: 'best' }, { inflight: 'best' }],
  ['a slow disk', { slowDisk: 'n2:100' }, { slowDisk: { node: 2, factor: 100 } }],
  ['a kill by name', { killNode: 'n2@3.5' }, { killNode: { node: 2, atS: 3.5 } }],
  ['weights', { weights: '9,5,5' }, { weights: [9, 5, 5] }],
  ['forced', { forced: 'n2,3' }, { forced: [2, 3] }],
  ['quorums', { quorums: '3,1' }, { quorums: { prepare: 3, accept: 1 } }],
  [
    'a learner chain',
    { nodes: '5', roles: 'leader,follower,follower,learner,learner', sources: 'n4=n2,n5=n4' },
    {
      sources: [
        { node: 4, source: 2 },
        { node: 5, source: 4 },
      ],
    },
  ],
  ['roles', { roles: 'leader,follower,logger' }, { roles: ['leader', 'follower', 'logger'] }],
])('resolves %s', (_name, flags, want) => {
  expect(parseBench({ flags }).config).toMatchObject(want)
})

test.each<[flags: Flags, want: string]>([
  [{ engine: 'raft' }, '--engine: want one of xpaxos, multi-paxos, basic-paxos, limit, not raft'],
  [{ nodes: '10' }, '--nodes: want an integer in [1, 9], not 10'],
  [{ nodes: '2.5' }, '--nodes: want an integer in [1, 9], not 2.5'],
  [{ payload: '0' }, '--payload: want an integer in [1, 1048576] bytes, not 0'],
  [{ payload: '0x10' }, '--payload: want an integer in [1, 1048576] bytes, not 0x10'],
  [{ payload: '' }, '--payload: want an integer in [1, 1048576] bytes, not ""'],
  [{ payload: true }, '--payload: want an integer in [1, 1048576] bytes, not nothing'],
  [{ duration: '0' }, '--duration: want a number in [0.05, 604800] s, not 0'],
  [{ duration: 'Infinity' }, '--duration: want a number in [0.05, 604800] s, not Infinity'],
  [{ inflight: 'most' }, '--inflight: want an integer in [1, 4194304] entries, or best, not most'],
  [{ roles: 'leader,king,follower' }, '--roles: want a list like leader,follower of leader'],
  [{ roles: 'leader,follower' }, '--roles: want one role for each node (--nodes 3), not 2'],
  [{ roles: 'follower,follower,follower' }, '--roles: the first node is the leader'],
  [{ roles: 'leader,leader,follower' }, '--roles: only the first node is leader'],
  [{ roles: 'leader,logger,logger' }, '--roles: at most 1 loggers of 3 nodes'],
  [{ killNode: '2' }, '--kill-node: want ID@S: a node number and seconds, like 2@3, not 2'],
  [
    { slowDisk: '2:0.5' },
    '--slow-disk: want ID:FACTOR: a node number and 1 to 10000, like 2:100, not 2:0.5',
  ],
  [{ slowDisk: '4:9' }, '--slow-disk: there are nodes 1 to 3 (--nodes)'],
  [{ killNode: '4@1' }, '--kill-node: there are nodes 1 to 3 (--nodes)'],
  [{ killNode: '2@6' }, '--kill-node: want less than --warmup + --duration (6 s)'],
  [{ killLeaderAfter: '9' }, '--kill-leader-after: want less than --warmup + --duration (6 s)'],
  [{ killLeaderAfter: '1', engine: 'limit' }, '--kill-leader-after: limit elects no leader'],
  [
    { killLeaderAfter: '1', nodes: '2' },
    '--kill-leader-after: want --nodes 3 or more, and a follower that can lead',
  ],
  [{ inflight: '1', rate: '5' }, '--inflight and --rate: one or the other'],
  [{ inflight: '1', clients: '2' }, '--inflight: want at least one entry a client (--clients 2)'],
  [{ jitterMs: '1' }, '--jitter-ms: want at most --rtt-ms (0)'],
  [{ keep: true, durability: 'none' }, '--keep: --durability none has no files to keep'],
  [{ proposers: '2' }, '--proposers: only basic-paxos has more than one proposer'],
  [{ proposers: '4', engine: 'basic-paxos' }, '--proposers: want at most the 3 nodes that keep'],
  [{ pipelineDepth: '2', engine: 'basic-paxos' }, '--pipeline-depth: in basic-paxos every value'],
  [{ payload: '100', batchMaxBytes: '64' }, '--payload: want at most 64 with --batch-max-bytes 64'],
  [
    { payload: '4096', batchMaxBytes: '4096', api: 'propose' },
    '--payload: want at most 3072 with --batch-max-bytes 4096',
  ],
  [{ api: 'propose', clients: '2' }, '--clients: with --api propose there is one'],
  [{ stateMachine: 'kv', payload: '7' }, '--payload: want at least 8 with --state-machine kv'],
  [{ windowMaxBytes: '2097152', engine: 'basic-paxos' }, '--window-max-bytes: in basic-paxos'],
  [{ pipelineDepth: '2', engine: 'limit' }, '--pipeline-depth: limit sends all that it has'],
  [{ layout: 'inline', engine: 'limit' }, '--layout: limit has its own threads'],
  [
    { rttMs: '30', engine: 'limit' },
    '--rtt-ms, --jitter-ms, --bandwidth-mbps: limit emulates no links',
  ],
  [{ windowMaxBytes: '64' }, '--window-max-bytes: want at least --batch-max-bytes (1048576)'],
  [{ adaptive: true }, '--adaptive: not available yet'],
  [{ weights: '9,5' }, '--weights: want one for each node (--nodes 3), not 2'],
  [{ weights: '9,5,x' }, '--weights: want a list of 0 to 9 by node, like 9,5,5'],
  [{ weights: '5,9,5' }, '--weights: node 1 leads (--roles): want no weight above its own'],
  [{ weights: '0,0,0' }, '--weights: members: want one follower of a weight above 0'],
  [{ forced: 'n4' }, '--forced: n4 is no voter'],
  [{ forced: 'leader' }, '--forced: want a list of nodes, like n2,n3'],
  [{ sources: 'n3=n2' }, '--sources: n3 is no learner'],
  [{ sources: 'n3' }, '--sources: want a list of LEARNER=SOURCE, like n4=n2,n5=n4'],
  [
    { nodes: '5', roles: 'leader,follower,follower,learner,learner', sources: 'n4=n5,n5=n4' },
    '--sources: source: learners feed each other in a loop',
  ],
  [{ quorums: '1,2' }, '--quorums: quorums: 1 and 2 of 3 need not meet'],
  [{ quorums: '2' }, '--quorums: want PREPARE,ACCEPT: two sizes, like 2,2'],
  [{ quorums: '4,1' }, '--quorums: prepareQuorum: want 1 to 3'],
  [{ weights: '9,5,5', engine: 'basic-paxos' }, '--weights: basic-paxos elects no leader'],
  [{ forced: 'n2', engine: 'limit' }, '--forced: limit has no forced members'],
  [{ roles: 'leader,follower,learner', engine: 'basic-paxos' }, '--roles: basic-paxos is measured'],
  [
    { roles: 'leader,follower,learner', killLeaderAfter: '1' },
    '--kill-leader-after: want --nodes 3 or more',
  ],
  [{ stateMachine: './mine.ts' }, '--state-machine: ./mine.ts: a MODULE is not available yet'],
  [{ engines: 'xpaxos' }, '--engines: no such option'],
])('refuses %o in one line', (flags, want) => {
  const { config, problems } = parseBench({ flags })
  expect(config).toBeUndefined()
  expect(problems).toEqual([expect.stringContaining(want)])
})

test('reports all problems at once, values and relations', () => {
  const flags = { payload: 'x', weights: '9', roles: 'leader,follower', jitterMs: '5', rate: '-1' }
  const { problems } = parseBench({ flags })
  expect(problems.map((line) => line.split(':')[0]).sort()).toEqual(
    ['--jitter-ms', '--payload', '--rate', '--roles', '--weights'].sort(),
  )
})

test('a relation to a refused value is not a second problem', () => {
  const { problems } = parseBench({ flags: { nodes: 'five', roles: 'leader,follower' } })
  expect(problems).toHaveLength(1)
})

test('a flag outranks the config file, and the file outranks the default', () => {
  const file = { schema: 'xpaxos-config/1', payload: 64, clients: 2, dataDir: 'here' }
  const { config } = parseBench({ flags: { payload: '32' }, file })
  expect(config).toMatchObject({ payload: 32, clients: 2, nodes: 3, dataDir: 'here' })
})

test('an inflight flag outranks the rate of a config file, and the other way round', () => {
  const withRate = { schema: 'xpaxos-config/1', rate: 5 }
  const closed = parseBench({ flags: { inflight: '7' }, file: withRate }).config
  expect(closed).toMatchObject({ inflight: 7, rate: null })
  const withInflight = { schema: 'xpaxos-config/1', inflight: 7 }
  const open = parseBench({ flags: { rate: '5' }, file: withInflight }).config
  expect(open).toMatchObject({ inflight: null, rate: 5 })
})

test.each<[name: string, file: unknown, want: string]>([
  ['an array', [], '--config: want a JSON object'],
  ['another schema', { schema: 'x/1' }, '--config: schema: want "xpaxos-config/1", not "x/1"'],
  ['no schema', { nodes: 3 }, '--config: schema: want "xpaxos-config/1", not none'],
  ['an unknown key', { schema: 'xpaxos-config/1', speed: 1 }, '--config: speed: no such key'],
  [
    'a key of another command',
    { schema: 'xpaxos-config/1', engines: ['limit'] },
    '--config: engines: not a key of bench',
  ],
  ['a key of no result', { schema: 'xpaxos-config/1', json: 'x' }, '--config: json: not a key'],
  [
    'a value out of its range',
    { schema: 'xpaxos-config/1', nodes: 10 },
    '--config: nodes: want an integer in [1, 9], not 10 (members of the cluster)',
  ],
  [
    'a number in quotes',
    { schema: 'xpaxos-config/1', payload: '64' },
    '--config: payload: want an integer in [1, 1048576] bytes, not "64"',
  ],
  [
    'a fraction for a whole number',
    { schema: 'xpaxos-config/1', pipelineDepth: 1.5 },
    '--config: pipelineDepth: want an integer in [1, 1024] rounds, not 1.5',
  ],
  [
    'a text for a switch',
    { schema: 'xpaxos-config/1', keep: 'yes' },
    '--config: keep: want true or false, not "yes"',
  ],
  [
    'an object for a list',
    { schema: 'xpaxos-config/1', roles: {} },
    '--config: roles: want a list like leader,follower of leader, follower, logger, learner',
  ],
  ['a name of every object', { schema: 'xpaxos-config/1', toString: 1 }, 'toString: no such key'],
  [
    'what is not built',
    { schema: 'xpaxos-config/1', adaptive: true },
    '--config: adaptive: not available yet',
  ],
])('a config file with %s is refused', (_name, file, want) => {
  expect(parseBench({ flags: {}, file }).problems).toEqual([expect.stringContaining(want)])
})

test('all problems of a config file come at once, with those of the flags', () => {
  const file = { schema: 'xpaxos-config/2', speed: 1, nodes: 0, clients: '2' }
  const { problems } = parseBench({ flags: { payload: 'x' }, file })
  expect(problems.map((line) => line.split(':').slice(0, 2).join(':')).sort()).toEqual(
    [
      '--config: clients',
      '--config: nodes',
      '--config: schema',
      '--config: speed',
      '--payload: want an integer in [1, 1048576] bytes, not x (size of an entry)',
    ].sort(),
  )
})

test('a flag replaces a bad value of a config file, which is not looked at', () => {
  const file = { schema: 'xpaxos-config/1', nodes: 99 }
  expect(parseBench({ flags: { nodes: '5' }, file }).config).toMatchObject({ nodes: 5 })
})

test.each(['xpaxos', 'multi-paxos', 'basic-paxos', 'limit'])(
  '%s: a result is a config',
  (engine) => {
    const { dataDir: _dataDir, ...config } = benchOf({ engine, killNode: '2@1', rate: '1000' })
    const again = parseBench({ flags: {}, file: { schema: 'xpaxos-config/1', ...config } })
    expect(again.problems).toEqual([])
    expect(again.config).toEqual({ ...config, dataDir: null })
  },
)

test('compare sweeps by default and resolves each engine by its own defaults', () => {
  const config = compareOf({ pipelineDepth: '4', proposers: '2' })
  expect(config).toMatchObject({ inflight: 'best', trials: 5, pipelineDepth: 4, proposers: 2 })
  const rows = rowsOf(config).map(({ engine, pipelineDepth, batchMaxEntries, proposers }) => [
    engine,
    pipelineDepth,
    batchMaxEntries,
    proposers,
  ])
  expect(rows).toEqual([
    ['basic-paxos', 1, 1, 2],
    ['multi-paxos', 4, 1, 1],
    ['xpaxos', 4, 0, 1],
    ['limit', 4, 0, 1],
  ])
})

test.each<[flags: Flags, want: string]>([
  [{ engines: 'xpaxos,xpaxos' }, '--engines: each engine once'],
  [{ engines: 'xpaxos,raft' }, '--engines: want a list like xpaxos,multi-paxos of xpaxos'],
  [{ engines: 'xpaxos', proposers: '2' }, '--proposers: only basic-paxos has more than one'],
  [{ engine: 'xpaxos' }, '--engine: no such option'],
])('compare refuses %o in one line', (flags, want) => {
  expect(parseCompare({ flags }).problems).toEqual([expect.stringContaining(want)])
})

test('compare, suite and tune read the file that bench reads, each its own keys', () => {
  const file = { schema: 'xpaxos-config/1', batchMaxBytes: 65_536, pipelineDepth: 4 }
  const want = { batchMaxBytes: 65_536, pipelineDepth: 4 }
  expect(parseBench({ flags: {}, file }).config).toMatchObject(want)
  expect(parseCompare({ flags: {}, file }).config).toMatchObject(want)
  expect(parseCompare({ flags: {}, file }, 'suite').config).toMatchObject(want)
  expect(parseTune({ flags: {}, file }).config).toMatchObject(want)
  const withLoad = { ...file, payload: 64, budget: 5 }
  expect(parseCompare({ flags: {}, file: withLoad }, 'suite').problems).toEqual([
    '--config: payload: not a key of suite',
    '--config: budget: not a key of suite',
  ])
  const bad = { ...file, payload: 'x' }
  expect(parseCompare({ flags: {}, file: bad }, 'suite').problems).toHaveLength(1)
  expect(parseTune({ flags: {}, file: withLoad }).config).toMatchObject({ payload: 64, budget: 5 })
})

test('tune: a minute of short trials, and no bound for a whole grid', () => {
  expect(parseTune({ flags: {} }).config).toMatchObject({
    ...{ engine: 'xpaxos', budget: 60, grid: false, sloP99Ms: null, inflight: 65_536 },
    ...{ duration: 0.5, warmup: 0.7, trials: 5, killNode: null, keep: false },
  })
  expect(parseTune({ flags: { grid: true } }).config).toMatchObject({ grid: true, budget: null })
  expect(parseTune({ flags: { grid: true, budget: '9' } }).config).toMatchObject({ budget: 9 })
  expect(parseTune({ flags: { sloP99Ms: '2.5' } }).config).toMatchObject({ sloP99Ms: 2.5 })
})

test.each<[flags: Flags, want: string]>([
  [{ budget: '0' }, '--budget: want a number in [1, 86400] s, not 0'],
  [{ budget: '2', duration: '5' }, '--budget: want more than --warmup + --duration (5.7 s)'],
  [{ budget: '20', inflight: 'best' }, '--budget: want at least 40 with --inflight best'],
  [{ sloP99Ms: '0' }, '--slo-p99-ms: want a number in [0.001, 60000] ms, not 0'],
  [{ engine: 'limit' }, '--engine: no such option'],
  [{ killNode: '2@1' }, '--kill-node: no such option'],
  [{ keep: true }, '--keep: no such option'],
  [{ jitterMs: '5' }, '--jitter-ms: want at most --rtt-ms (0)'],
])('tune refuses %o in one line', (flags, want) => {
  expect(parseTune({ flags }).problems).toEqual([expect.stringContaining(want)])
})

test('the suite takes no load options and runs short interleaved trials', () => {
  expect(parseCompare({ flags: { payload: '4' } }, 'suite').problems).toEqual([
    '--payload: no such option',
  ])
  const { config } = parseCompare({ flags: { seed: '7' } }, 'suite')
  expect(config).toMatchObject({ seed: 7, duration: 1, inflight: 'best', durability: 'fsync' })
})
