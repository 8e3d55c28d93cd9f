/**
 * Groups of frames that take effect together or not at all (R38): a leader that dies at every frame
 * of one, whoever comes after it, and drawn clusters whose clients submit groups under faults. The
 * oracle knows what may stand behind a frame of a group.
 */
import { expect, test } from 'vitest'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'
import {
  type Cluster,
  type Node,
  crash,
  give,
  restart,
  runFor,
  runUntilDone,
  submit,
  submitGroup,
} from '../support/cluster.ts'
import type { Content } from '../support/disk-model.ts'
import {
  T,
  at,
  awaitLeader,
  converge,
  crashAll,
  isolate,
  lab,
  leaderIn,
  order,
  set,
  settle,
  transfer,
  voters,
} from '../support/lab.ts'
import { runSeed } from '../support/seed-run.ts'

const COUNTS = [2, 3, 1, 4, 2]
const FRAMES = COUNTS.map((_, place) => place)
/** One frame an accept, all of a group on their way at once. */
const ONE_BY_ONE = { batchEntriesMax: 1, pipelineDepth: 16 }
const BEFORE = 3

/** Node 1 leads, and everybody holds a few entries. */
function begin(withLearner = false): { cluster: Cluster; leader: Node } {
  const specs = [...voters(9, 5, 1), ...(withLearner ? [['learner', 5] as const] : [])]
  const cluster = lab(specs, ONE_BY_ONE)
  const leader = awaitLeader(cluster, 1)
  submit(cluster, leader, [BEFORE])
  runFor(cluster, T)
  return { cluster, leader }
}

/** Index behind so many frames of the group. */
const endOf = (frames: number): number =>
  COUNTS.slice(0, frames).reduce((sum, count) => sum + count, BEFORE)

/** What of the group was chosen, and what stands behind it. */
function fate({ oracle }: Cluster): string {
  const show = ({ aborts, group, count }: Content): string =>
    aborts === true ? 'abort' : group === undefined ? '.' : String(count)
  return oracle.chosen.slice(1).map(show).join(' ')
}

const wanted = (frames: number): string => {
  const part = COUNTS.slice(0, frames)
  return [...part, ...(frames > 0 && frames < COUNTS.length ? ['abort'] : []), '.'].join(' ')
}

/** Accepts of node 1 that reach beyond this index are lost. */
const only = (through: number) => (from: number, _to: number, message: XPaxosMessage) =>
  from === 1 && message.kind === 'accept' && message.through > through ? 'drop' : undefined

const some = (frames: number): string => `${frames} of ${COUNTS.length}`
const everyFrame = [...FRAMES, COUNTS.length].map((frames) => [some(frames), frames] as const)

test.each(everyFrame)('the leader dies when %s frames of a group are chosen', (_name, frames) => {
  const { cluster, leader } = begin(true)
  cluster.filter = only(endOf(frames))
  submitGroup(cluster, leader, COUNTS)
  runFor(cluster, T / 2)
  expect(cluster.oracle.chosenThrough).toBe(endOf(frames))
  crash(cluster, leader, Infinity)
  cluster.filter = () => undefined
  submit(cluster, awaitLeader(cluster, 2), [7])
  runFor(cluster, T)
  expect(fate(cluster)).toBe(wanted(frames))
  // It still has all frames of the group on its disk, and lets go of those behind the abort.
  restart(cluster, leader)
  converge(cluster)
  expect(leader.disk.written.contents).toEqual(cluster.oracle.chosen)
})

test.each(everyFrame)('all lose power when %s frames are chosen', (_name, frames) => {
  const { cluster, leader } = begin()
  cluster.filter = only(endOf(frames))
  submitGroup(cluster, leader, COUNTS)
  runFor(cluster, T / 2)
  crashAll(cluster, 1, 2, 3)
  cluster.filter = () => undefined
  restart(cluster, at(cluster, 2))
  restart(cluster, at(cluster, 3))
  submit(cluster, awaitLeader(cluster, 2), [7])
  runFor(cluster, T)
  expect(fate(cluster)).toBe(wanted(frames))
  restart(cluster, leader)
  converge(cluster)
})

test.each(everyFrame)('%s frames are on the disk of a leader that comes back', (_name, frames) => {
  const { cluster, leader } = begin()
  cluster.filter = only(BEFORE)
  submitGroup(cluster, leader, COUNTS)
  crash(cluster, leader, frames)
  cluster.filter = () => undefined
  restart(cluster, leader)
  submit(cluster, awaitLeader(cluster, 1), [7])
  runFor(cluster, T)
  expect(fate(cluster)).toBe(wanted(frames))
  converge(cluster)
})

test('a leader that dies before its abort is chosen leaves the group to the next one', () => {
  const { cluster, leader } = begin()
  cluster.filter = only(endOf(2))
  submitGroup(cluster, leader, COUNTS)
  runFor(cluster, T / 2)
  crash(cluster, leader, Infinity)
  cluster.filter = (from, _to, { kind }) => (from === 2 && kind === 'accept' ? 'drop' : undefined)
  const second = awaitLeader(cluster, 2)
  expect(second.disk.durable.contents.at(-1)).toMatchObject({ aborts: true })
  crash(cluster, second, Infinity)
  cluster.filter = () => undefined
  restart(cluster, leader) // has the rest of the group: node 3 has not, and promised last
  submit(cluster, leaderIn(cluster), [7])
  runFor(cluster, T)
  expect(fate(cluster)).toMatch(/^2 3 (abort \.|1 4 2 \.)$/)
  converge(cluster)
})

test('an end of a group that nobody but the old leader has is not chosen after the abort', () => {
  const { cluster, leader } = begin()
  cluster.filter = only(endOf(4))
  submitGroup(cluster, leader, COUNTS)
  runFor(cluster, T / 2)
  isolate(cluster, leader)
  submit(cluster, awaitLeader(cluster, 2), [7])
  runFor(cluster, T)
  expect(leader.disk.durable.last).toBe(endOf(5))
  converge(cluster)
  expect(fate(cluster)).toMatch(/^2 3 1 4 abort \./)
})

test('a leader that stands again within a group aborts its own', () => {
  const { cluster, leader } = begin()
  submitGroup(cluster, leader, [1, 1], { isOpen: true })
  runFor(cluster, T)
  expect(cluster.oracle.chosen.at(-1)).toMatchObject({ continues: true })
  isolate(cluster, leader)
  runUntilDone(cluster, 20 * T, () => leader.leading === null)
  converge(cluster)
  expect(fate(cluster)).toMatch(/^1 1 abort/)
})

test('leadership is not handed over within a group', () => {
  const { cluster, leader } = begin()
  const group = cluster.nextSerial
  submitGroup(cluster, leader, [1, 1], { isOpen: true })
  runFor(cluster, T / 4)
  const answer = transfer(cluster, leader, 2)
  runFor(cluster, T / 4)
  expect([answer(), leader.leading?.ballot]).toEqual(['open', leader.core.view.promised])
  submitGroup(cluster, leader, [1], { group })
  runUntilDone(cluster, 2 * T, () => answer() !== 'open')
  expect([answer(), fate(cluster)]).toEqual(['done', '1 1 1'])
  converge(cluster)
})

test('a learner that is made a voter within a group aborts it like any other', () => {
  const { cluster, leader } = begin(true)
  const change = order(cluster, leader, { kind: 'role', id: at(cluster, 4).id, role: 'voter' })
  runUntilDone(cluster, 4 * T, () => change() !== 'open')
  const weight = order(cluster, leader, set(4, { weight: 9 }))
  runUntilDone(cluster, 4 * T, () => weight() !== 'open')
  expect([change(), weight()]).toEqual(['done', 'done'])
  submitGroup(cluster, leader, [1, 1], { isOpen: true })
  runFor(cluster, T)
  crash(cluster, leader, Infinity)
  awaitLeader(cluster, 4)
  runFor(cluster, T)
  expect(fate(cluster)).toMatch(/ 1 1 abort$/)
  settle(cluster)
})

test('a change of the membership waits for the end of the group, and the group for nothing', () => {
  const { cluster, leader } = begin()
  submitGroup(cluster, leader, COUNTS)
  const answer = order(cluster, leader, set(3, { weight: 2 }))
  submitGroup(cluster, leader, COUNTS)
  runUntilDone(cluster, 2 * T, () => answer() !== 'open')
  expect(answer()).toBe('done')
  expect(cluster.oracle.coverage.get('group-whole')).toBe(2)
  converge(cluster)
})

test('ring pressure within a group loses nothing of it', () => {
  const { cluster, leader } = begin()
  cluster.filter = only(endOf(3))
  submitGroup(cluster, leader, COUNTS)
  runFor(cluster, T / 4)
  for (const node of cluster.nodes) {
    for (let ring = 0; ring < node.rings.length; ring++)
      give(cluster, node, { kind: 'pressure', ring })
  }
  crash(cluster, leader, Infinity)
  cluster.filter = () => undefined
  submit(cluster, awaitLeader(cluster, 2), [7])
  runFor(cluster, T)
  expect(fate(cluster)).toBe(wanted(3))
  restart(cluster, leader)
  converge(cluster)
})

const [first = 1, last = 200] = (process.env['XPAXOS_SEEDS'] ?? '1..200').split('..').map(Number)
const SEEDS_A_TEST = 50
const seedGroups: [number, number][] = []
for (let from = first; from <= last; from += SEEDS_A_TEST) {
  seedGroups.push([from, Math.min(last, from + SEEDS_A_TEST - 1)])
}

test.each(seedGroups)('seeds %i to %i: groups are whole or void under faults', (from, through) => {
  const failed: string[] = []
  let [whole, empty] = [0, 0]
  for (let seed = from; seed <= through; seed++) {
    const { error, cluster } = runSeed(seed, null, { groups: true })
    whole += cluster.oracle.coverage.get('group-whole') ?? 0
    empty += cluster.oracle.coverage.get('group-void') ?? 0
    if (error !== null) failed.push(`XPAXOS_SEEDS=${seed}..${seed}: ${error.message}`)
  }
  if (failed.length > 0) throw new Error(failed.join('\n'))
  if (through - from + 1 < SEEDS_A_TEST) return
  expect(whole).toBeGreaterThan(0)
  expect(empty).toBeGreaterThan(0)
})
