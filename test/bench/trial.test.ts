/** Whole trials, short: what a benchmark says must be true of real threads, files and processes. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { parseBench } from '../../native-free-bench/options.ts'
import { killedLoad } from '../../native-free-bench/engines/engine.ts'
import { failoverOf, levelOf, runTrial } from '../../native-free-bench/run-trial.ts'
import type { BenchConfig, TrialResult } from '../../native-free-bench/types.ts'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

async function run(flags: Record<string, string>): Promise<TrialResult> {
  const folder = mkdtempSync(join(tmpdir(), 'xpaxos-trial-'))
  folders.push(folder)
  const load: Record<string, string> = 'rate' in flags ? {} : { inflight: '1024' }
  const common = { ...load, duration: '1', warmup: '0.2', dataDir: join(folder, 'data') }
  const { config, problems } = parseBench({ flags: { ...common, ...flags } })
  expect(problems).toEqual([])
  const hooks = { progress: () => undefined, signal: new AbortController().signal }
  return runTrial(config as BenchConfig, hooks)
}

function expectSafe(trial: TrialResult): void {
  expect(trial.safety.violationDetails).toEqual([])
  // How many fell into the measured second is the machine's business; the load ran to its end.
  expect(trial.nodes[1]!.applied).toBeGreaterThan(0)
  expect(trial.safety.checkedEntries).toBe(trial.entries)
}

test('memory links: a Logger accepts batches, applies nothing, and all is safe', async () => {
  const trial = await run({ roles: 'leader,follower,logger' })
  expectSafe(trial)
  const logger = trial.nodes[2]!
  expect([logger.applied, logger.stateHash]).toEqual([0, null])
  expect(logger.acceptedBatches).toBeGreaterThan(0)
  expect(trial.nodes[1]!.applied).toBe(trial.nodes[0]!.applied)
  expect(trial.nodes.every(({ syncs }) => syncs > 0)).toBe(true)
})

test.each(['memory', 'tcp'])(
  '%s: the load goes on after its leader was killed',
  async (transport) => {
    const trial = await run({ transport, killLeaderAfter: '0.5', duration: '5' })
    expectSafe(trial)
    expect(trial.failover).toHaveLength(1)
    expect(trial.failover[0]!.toNode).not.toBe(trial.failover[0]!.fromNode)
  },
)

const CHAIN = { nodes: '5', roles: 'leader,follower,follower,learner,learner' }

test.each(['memory', 'tcp'])('%s: weights, a forced node and quorum sizes', async (transport) => {
  const trial = await run({ transport, weights: '9,5,1', forced: 'n3', quorums: '2,2' })
  expectSafe(trial)
})

test.each(['memory', 'tcp'])('%s: a chain of learners applies all', async (transport) => {
  const trial = await run({ ...CHAIN, transport, sources: 'n4=n2,n5=n4' })
  expectSafe(trial)
  const [leader, , , , end] = trial.nodes
  expect([end!.role, end!.applied, end!.stateHash]).toEqual([
    'learner',
    leader!.applied,
    leader!.stateHash,
  ])
})

test('a learner chain goes on when a link of it dies', async () => {
  const trial = await run({ ...CHAIN, sources: 'n4=n2,n5=n4', killNode: '4@0.5', duration: '3' })
  expectSafe(trial)
})

test('the load goes on without its forced node, which is degraded', async () => {
  const trial = await run({ forced: 'n3', killNode: '3@0.4', duration: '4' })
  expectSafe(trial)
})

test('duelling proposers choose fewer values, safely', async () => {
  expectSafe(await run({ engine: 'basic-paxos', proposers: '2', inflight: '16' }))
})

test.each(['multi-paxos', 'basic-paxos', 'limit'])('%s over tcp is safe', async (engine) => {
  expectSafe(await run({ engine, transport: 'tcp', inflight: '64' }))
})

test('one promise an entry, and an open loop', async () => {
  expectSafe(await run({ api: 'propose' }))
  const trial = await run({ rate: '20000' })
  expectSafe(trial)
  expect(trial.offeredPerS).toBeGreaterThan(0)
})

test('no native addon is loaded', async () => {
  expectSafe(await run({}))
  const report = process.report.getReport() as unknown as { sharedObjects: string[] }
  expect(report.sharedObjects.filter((name) => name.endsWith('.node'))).toEqual([])
})

const at = (last: number, chosen: number, applied: number) => ({ last, chosen, applied })

test.each([
  ['all is chosen and applied', [at(9, 9, 9), at(9, 9, 9)], true, 9],
  ['the leader goes on with what was in flight', [at(10, 9, 9), at(9, 9, 9)], true, null],
  [
    'a follower has it, and has not heard that it is chosen',
    [at(9, 9, 9), at(9, 8, 8)],
    true,
    null,
  ],
  ['one has still to apply it', [at(9, 9, 9), at(9, 9, 8)], true, null],
  ['without one log the last index says nothing', [at(12, 9, 9), at(11, 9, 9)], false, 9],
])('when nodes may be compared: %s', (_, statuses, hasLog, level) => {
  const views = statuses.map((status) => ({ role: 'follower' as const, status }))
  const logger = { role: 'logger' as const, status: at(9, statuses[0]!.chosen, 0) }
  expect(levelOf(views, hasLog)).toBe(level)
  expect(levelOf([...views, logger], hasLog)).toBe(level)
  expect(levelOf([...views, { role: 'follower', status: undefined }], hasLog)).toBeNull()
})

test('a gap is between two acknowledgements: a leader without one has none', () => {
  const load = (node: number, firstAckMs: number, lastAckMs: number) => ({
    node,
    result: { ...killedLoad([], lastAckMs), firstAckMs },
  })
  const next = load(2, 10_600, 20_000)
  expect(failoverOf(load(1, 9_000, 10_000), next, 8_000)).toEqual({
    ...{ atS: 2, gapMs: 600, fromNode: 1, toNode: 2 },
  })
  expect(failoverOf(load(1, 0, 0), next, 8_000)).toBeNull()
  expect(failoverOf(load(1, 9_000, 10_000), load(2, 0, 0), 8_000)).toBeNull()
  expect(failoverOf(undefined, next, 8_000)).toBeNull()
})
