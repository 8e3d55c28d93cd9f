/**
 * Numbers that no longer fit 32 bits, signed or not (R4): clusters whose indexes, ballots and LSNs
 * pass 2^31 and 2^32 while leaders die, suffixes are cut and laggards catch up, and a cluster near
 * the last round that there is. The oracle judges each step as in any other test.
 */
import { expect, test } from 'vitest'
import { NODE_ID_LIMIT, ballotOf, ballotRound, nodeId } from '../../src/core/ids.ts'
import {
  type Cluster,
  ask,
  crash,
  inject,
  mendAll,
  restart,
  runFor,
  submit,
} from '../support/cluster.ts'
import {
  T,
  add,
  answerTo,
  at,
  converge,
  isolate,
  joiners,
  lab,
  leaderIn,
  noAccepts,
  others,
  voters,
} from '../support/lab.ts'

const ROUND_MAX = Math.floor(Number.MAX_SAFE_INTEGER / NODE_ID_LIMIT) - 1

interface Start {
  readonly index?: number
  readonly round?: number
  readonly lsn?: number
}

/** Three voters, a Logger and a learner; the log begins with one frame up to the index. */
function clusterAt({ index = 0, round = 0, lsn = 0 }: Start): Cluster {
  const specs = [...voters(9, 5, 5), ['logger', 0] as const, ['learner', 5] as const]
  const cluster = lab(specs, { lsnBase: lsn, joiners: joiners(6), batchBytesMax: 1_024 })
  const leader = leaderIn(cluster)
  if (round > 0) {
    const ballot = ballotOf(round, nodeId(3))
    inject(cluster, at(cluster, 3), leader, { kind: 'prepare', ballot }, [])
  }
  const next = leaderIn(cluster)
  if (index > 0) submit(cluster, next, [index])
  runFor(cluster, 2 * T)
  expect(cluster.oracle.chosenThrough).toBeGreaterThanOrEqual(index)
  return cluster
}

/** Leaders die with unchosen suffixes, which are cut; who was away fetches, or is caught up. */
function goThrough(cluster: Cluster): void {
  for (let life = 0; life < 3; life++) {
    const leader = leaderIn(cluster)
    const away = others(cluster, leader).find(({ member }) => member.role === 'voter')!
    isolate(cluster, away)
    for (let i = 0; i < 4; i++) submit(cluster, leader, [3, 2])
    runFor(cluster, T)
    cluster.filter = noAccepts(leader.id)
    submit(cluster, leader, [7])
    runFor(cluster, 20)
    crash(cluster, leader, Infinity)
    cluster.filter = () => undefined
    mendAll(cluster)
    const next = leaderIn(cluster)
    expect(next).not.toBe(leader)
    submit(cluster, next, [4, 4, 4])
    runFor(cluster, T)
    restart(cluster, leader)
    runFor(cluster, 2 * T)
    const read = ask(cluster, away)
    runFor(cluster, T)
    expect(cluster.reads.get(read)!.index).toBeGreaterThanOrEqual(0)
  }
  expect(answerTo(cluster, add(6))).toBe('done')
  converge(cluster)
}

test.each([
  ['2^31', 2 ** 31 - 10],
  ['2^32', 2 ** 32 - 10],
  ['2^53, far enough', 2 ** 53 - 2 ** 20],
])('indexes pass %s', (_name, index) => {
  const cluster = clusterAt({ index })
  goThrough(cluster)
  expect(cluster.oracle.chosenThrough).toBeGreaterThan(index + 100)
})

test.each([
  ['a ballot of 2^31', 2 ** 15 - 2],
  ['a ballot of 2^32', 2 ** 16 - 2],
  ['a round of 2^31', 2 ** 31 - 2],
  ['a round of 2^32', 2 ** 32 - 2],
  ['nearly the last round', ROUND_MAX - 100],
])('ballots pass %s', (_name, round) => {
  const cluster = clusterAt({ round })
  const before = ballotRound(leaderIn(cluster).core.view.promised)
  expect(before).toBeGreaterThan(round)
  goThrough(cluster)
  const { view } = leaderIn(cluster).core
  expect(ballotRound(view.promised)).toBeGreaterThanOrEqual(before + 3)
})

test.each([
  ['2^31', 2 ** 31 - 10],
  ['2^32', 2 ** 32 - 10],
])('LSNs pass %s', (_name, lsn) => {
  const cluster = clusterAt({ lsn })
  goThrough(cluster)
  for (const { disk } of cluster.nodes) expect(disk.records.at(-1)!.lsn).toBeGreaterThan(lsn + 10)
})

test('a ballot beyond the last round is a bug, not another ballot', () => {
  expect(ballotOf(ROUND_MAX, nodeId(NODE_ID_LIMIT - 1))).toBeLessThan(Number.MAX_SAFE_INTEGER)
  expect(() => ballotOf(ROUND_MAX + 1, nodeId(1))).toThrow('fits a double')
})
