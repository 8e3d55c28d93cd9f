/**
 * Learners and who feeds them (R31): chosen entries only, from a follower, a learner or the leader;
 * sources that die; nodes that change between voter and learner while old messages are under way.
 */
import { expect, test } from 'vitest'
import { nodeId } from '../../src/core/ids.ts'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'
import type { Content } from '../support/disk-model.ts'
import {
  type Cluster,
  type Node,
  crash,
  cut,
  give,
  inject,
  mend,
  mendAll,
  restart,
  runFor,
  runUntilDone,
  submit,
} from '../support/cluster.ts'
import {
  type Spec,
  T,
  answerTo,
  at,
  awaitLeader,
  isolate,
  joiners,
  lab,
  leaderIn,
  membersOf,
  noAccepts,
  order,
  remove,
  role,
  set,
  settle,
  voters,
  watch,
} from '../support/lab.ts'
import type { RingFrame } from '../support/ring-model.ts'

const learner = (source?: number): Spec => [
  'learner',
  5,
  source === undefined ? {} : { source: nodeId(source) },
]

/** Who sends learns to whom, as "from>to". */
function feeds(cluster: Cluster): Set<string> {
  const seen = new Set<string>()
  const before = cluster.onEffect
  cluster.onEffect = (node, effect) => {
    before(node, effect)
    if (effect.kind === 'send' && effect.message.kind === 'learn') {
      seen.add(`${node.id}>${effect.to}`)
    }
  }
  return seen
}

test('a chain of two learners behind a follower: each byte leaves the leader once a voter', () => {
  const cluster = lab([...voters(9, 5, 5), learner(2), learner(4)])
  const seen = feeds(cluster)
  const leader = awaitLeader(cluster, 1)
  for (let i = 0; i < 5; i++) {
    submit(cluster, leader, [5, 5])
    runFor(cluster, T / 2)
  }
  expect([...seen].sort()).toEqual(['2>4', '4>5'])
  expect([4, 5].map((id) => at(cluster, id).applyNext)).toEqual([51, 51])
  settle(cluster)
})

test('a chain goes on over restarts of every link of it, and a long absence', () => {
  const cluster = lab([...voters(9, 5, 5), learner(2), learner(4)], { batchBytesMax: 1_024 })
  for (const id of [5, 4, 2, 1]) {
    const node = at(cluster, id)
    crash(cluster, node)
    runFor(cluster, T)
    const leader = leaderIn(cluster)
    submit(
      cluster,
      leader,
      Array.from({ length: 10 }, () => 5),
    )
    runFor(cluster, T)
    restart(cluster, node)
    settle(cluster)
    expect(at(cluster, 5).core.view.chosen).toBeGreaterThanOrEqual(cluster.oracle.chosenThrough - 1)
  }
})

test('a learner never gets the dead suffix of the follower that feeds it', () => {
  const cluster = lab([...voters(9, 5, 1), learner(1)])
  const learned = at(cluster, 4)
  const stale = awaitLeader(cluster, 1)
  submit(cluster, stale, [3])
  runFor(cluster, T)
  cluster.filter = noAccepts(1)
  submit(cluster, stale, [5])
  runFor(cluster, 20)
  expect(stale.core.view.last).toBe(8)
  expect(learned.core.view.last).toBe(3)
  // 1 falls back to a follower with entries 4..8 that nobody chose, and feeds on.
  crash(cluster, stale, Infinity)
  cluster.filter = (_from, to, { kind }) =>
    to === 1 && kind === 'accept-sync' ? 'drop' : undefined
  const leader = awaitLeader(cluster, 2)
  submit(cluster, leader, [4, 4])
  runFor(cluster, T)
  for (const id of [2, 3]) cut(cluster, learned, at(cluster, id))
  restart(cluster, stale)
  runFor(cluster, T)
  expect(stale.core.view.last).toBe(8)
  expect(learned.core.view.last).toBe(3)
  cluster.filter = () => undefined
  runFor(cluster, 6 * T)
  expect(learned.core.view.chosen).toBe(11)
  settle(cluster)
})

test('a source that dies is replaced by the leader, a dead leader by the next one', () => {
  const cluster = lab([...voters(9, 8, 5), learner(3)])
  const seen = feeds(cluster)
  const events = watch(cluster, 'source-replaced')
  const leader = awaitLeader(cluster, 1)
  submit(cluster, leader, [5])
  runFor(cluster, T)
  expect([...seen]).toEqual(['3>4'])
  crash(cluster, at(cluster, 3))
  submit(cluster, leader, [5])
  runFor(cluster, T)
  expect(events).toEqual([])
  runFor(cluster, 4 * T)
  expect(events.map(({ node, value }) => [node, value])).toEqual([[1, 4]])
  expect(at(cluster, 4).core.view.chosen).toBe(10)
  // The next leader finds out by itself.
  restart(cluster, at(cluster, 3))
  runFor(cluster, 4 * T)
  crash(cluster, leader)
  isolate(cluster, at(cluster, 4))
  const next = awaitLeader(cluster, 2)
  submit(cluster, next, [5])
  mendAll(cluster)
  runFor(cluster, 8 * T)
  expect(at(cluster, 4).core.view.chosen).toBeGreaterThanOrEqual(15)
  settle(cluster)
})

test('in a chain of three a dead middle is bridged', () => {
  const cluster = lab([...voters(9, 5, 5), learner(2), learner(4), learner(5)])
  const leader = awaitLeader(cluster, 1)
  submit(cluster, leader, [5])
  runFor(cluster, T)
  crash(cluster, at(cluster, 4))
  submit(cluster, leader, [5])
  runFor(cluster, 6 * T)
  expect([5, 6].map((id) => at(cluster, id).core.view.chosen)).toEqual([10, 10])
  settle(cluster)
})

test('loops of sources are refused, and a source that leaves is replaced by the leader', () => {
  const cluster = lab([...voters(9, 5, 5), learner(2), learner(4)])
  const leader = awaitLeader(cluster, 1)
  for (const change of [
    set(4, { source: nodeId(5) }),
    set(4, { source: nodeId(4) }),
    set(2, { source: nodeId(4) }),
  ]) {
    expect(order(cluster, leader, change)()).toBe('invalid')
  }
  // A voter that becomes a learner, and is fed by its own learner's learner.
  expect(answerTo(cluster, role(2, 'learner'))).toBe('done')
  expect(order(cluster, leader, set(2, { source: nodeId(5) }))()).toBe('invalid')
  expect(answerTo(cluster, remove(4))).toBe('done')
  const { members } = leader.core.view.membership
  expect(members.find(({ id }) => id === nodeId(5))!.source).toBeUndefined()
  submit(cluster, leader, [5])
  runFor(cluster, T)
  expect(at(cluster, 5).core.view.chosen).toBe(cluster.oracle.chosenThrough)
  settle(cluster)
})

interface Sent {
  readonly from: Node
  readonly to: Node
  readonly message: XPaxosMessage
  readonly contents: readonly Content[]
}

/** Every learn to this node is kept, to be handed over again later. */
function keepLearns(cluster: Cluster, to: number): Sent[] {
  const kept: Sent[] = []
  cluster.onEffect = (from, effect) => {
    if (effect.kind !== 'send' || effect.to !== nodeId(to)) return
    if (effect.message.kind !== 'learn') return
    const contents = effect.frames.map((frame) => (frame as RingFrame).content)
    kept.push({ from, to: at(cluster, to), message: effect.message, contents })
  }
  return kept
}

test('learns of a source that lags behind a promotion cut no votes of the new voter', () => {
  const cluster = lab([...voters(9, 5, 5), learner(2)], { windowBytes: 512, batchBytesMax: 512 })
  const leader = awaitLeader(cluster, 1)
  const node = at(cluster, 4)
  const kept = keepLearns(cluster, 4)
  submit(cluster, leader, [3, 3, 3])
  runFor(cluster, T)
  expect(answerTo(cluster, role(4, 'voter'))).toBe('done')
  // The old source hears nothing any more; the new voter holds what it does not know chosen.
  const untold = ['chosen', 'heartbeat']
  cluster.filter = (_from, to, { kind }) => (to === 4 && untold.includes(kind) ? 'drop' : undefined)
  isolate(cluster, at(cluster, 2))
  submit(cluster, leader, [4])
  runUntilDone(cluster, T, () => leader.core.view.chosen === leader.core.view.last)
  const { last, chosen, acceptedBallot } = node.core.view
  expect(last).toBeGreaterThan(chosen)
  expect(leader.core.view.chosen).toBe(last)
  for (const { from, to, message, contents } of kept) inject(cluster, from, to, message, contents)
  expect(node.core.view).toMatchObject({ last, chosen, acceptedBallot })
  // And one that would fit: behind the floor of the voter, from a source of the old membership.
  const stale = { kind: 'learn', attempt: 1, prev: chosen, prevChain: -1, config: 0 } as const
  const next = node.disk.written.contents.find(({ first }) => first === chosen + 1)!
  const message = { ...stale, through: next.through } as unknown as XPaxosMessage
  inject(cluster, at(cluster, 2), node, message, [next])
  expect(node.core.view).toMatchObject({ last, chosen: next.through, acceptedBallot })
  mendAll(cluster)
  settle(cluster)
})

test('a demoted voter keeps its unchosen tail until chosen entries come, then drops it', () => {
  const cluster = lab(voters(9, 5, 5, 5))
  const stale = awaitLeader(cluster, 1)
  submit(cluster, stale, [3])
  runFor(cluster, T)
  cluster.filter = noAccepts(1)
  submit(cluster, stale, [5])
  runFor(cluster, 10)
  crash(cluster, stale, Infinity)
  cluster.filter = () => undefined
  const leader = leaderIn(cluster)
  submit(cluster, leader, [4])
  runFor(cluster, T)
  expect(answerTo(cluster, role(1, 'learner'))).toBe('done')
  // It comes back as the voter that it was, with entries 4..8 of its own.
  let isFed = false
  cluster.filter = (_from, to, { kind }) => {
    if (to !== 1 || kind !== 'learn') return undefined
    return isFed ? undefined : 'drop'
  }
  restart(cluster, stale)
  runFor(cluster, 4 * T)
  expect(stale.core.view.last).toBe(8)
  expect(stale.core.view.acceptedBallot).toBeGreaterThan(0)
  isFed = true
  runFor(cluster, 6 * T)
  expect(stale.core.view.role).toBe('learner')
  expect(stale.core.view.acceptedBallot).toBe(0)
  expect(stale.core.view.chosen).toBe(cluster.oracle.chosenThrough)
  expect(stale.disk.written.contents).toEqual(cluster.oracle.chosen)
  settle(cluster)
})

test.each([10_000, 1_024])(
  'a voter with a dead change in its log hears of its demotion, in batches of %i bytes',
  (batchBytesMax) => {
    const cluster = lab(voters(9, 8, 5, 5, 5), { batchBytesMax, windowBytes: batchBytesMax })
    const stale = awaitLeader(cluster, 1)
    const node = at(cluster, 5)
    submit(cluster, stale, [3])
    runFor(cluster, T)
    // What the leader orders, a change in the end, reaches 5 alone; then it dies.
    const isAccept = (kind: string): boolean => kind === 'accept' || kind === 'accept-sync'
    cluster.filter = (_from, to, { kind }) => (to !== 5 && isAccept(kind) ? 'drop' : undefined)
    for (let i = 0; i < 4; i++) submit(cluster, stale, [5, 5])
    runFor(cluster, 20)
    order(cluster, stale, set(2, { weight: 7 }))
    runFor(cluster, 20)
    const dead = node.core.view.membershipIndex
    expect(dead).toBeGreaterThan(40)
    crash(cluster, stale, Infinity)
    isolate(cluster, node)
    cluster.filter = () => undefined
    const leader = awaitLeader(cluster, 2)
    expect(answerTo(cluster, role(5, 'learner'))).toBe('done')
    expect(leader.core.view.membershipIndex).toBeLessThan(dead)
    for (const other of [leader, at(cluster, 3), at(cluster, 4)]) mend(cluster, node, other)
    runFor(cluster, 6 * T)
    expect(node.core.view.role).toBe('learner')
    expect(node.core.view.chosen).toBe(cluster.oracle.chosenThrough)
    settle(cluster)
  },
)

test('a voter that missed its demotion and its promotion votes again', () => {
  const cluster = lab(voters(9, 5, 5, 5))
  const leader = awaitLeader(cluster, 1)
  const node = at(cluster, 4)
  isolate(cluster, node)
  expect(answerTo(cluster, role(4, 'learner'))).toBe('done')
  submit(cluster, leader, [5])
  mendAll(cluster)
  expect(runUntilDone(cluster, 4 * T, () => node.core.view.role === 'learner')).toBeGreaterThan(-1)
  runFor(cluster, T)
  expect(answerTo(cluster, role(4, 'logger'))).toBe('done')
  runFor(cluster, T)
  expect(membersOf(node)).toContain('4:logger')
  submit(cluster, leader, [5])
  runFor(cluster, T)
  expect(node.core.view.chosen).toBe(cluster.oracle.chosenThrough)
  expect(node.core.view.acceptedBallot).toBe(leader.core.view.promised)
  settle(cluster)
})

test('a learner with a hole below what it is sent says where it stands, and gets it', () => {
  const cluster = lab([...voters(9, 5), learner()], { batchBytesMax: 512 })
  const leader = awaitLeader(cluster, 1)
  let dropped = 0
  cluster.filter = (_from, to, { kind }) => {
    if (to !== 3 || kind !== 'learn' || dropped >= 3) return undefined
    dropped += 1
    return 'drop'
  }
  for (let i = 0; i < 6; i++) submit(cluster, leader, [5])
  runFor(cluster, 6 * T)
  expect(dropped).toBe(3)
  expect(at(cluster, 3).core.view.chosen).toBe(30)
  // One that slept under pressure is fed from the WAL.
  isolate(cluster, at(cluster, 3))
  for (let i = 0; i < 6; i++) submit(cluster, leader, [5])
  runFor(cluster, T)
  for (const ring of leader.rings.keys()) give(cluster, leader, { kind: 'pressure', ring })
  mendAll(cluster)
  runFor(cluster, 2 * T)
  expect(at(cluster, 3).core.view.chosen).toBe(60)
  settle(cluster)
})

test('a leader keeps nothing in its rings for a learner that another node feeds', () => {
  const cluster = lab([...voters(9, 5, 5), ['learner', 5]])
  const leader = awaitLeader(cluster, 1)
  submit(cluster, leader, [5])
  runFor(cluster, T)
  expect(answerTo(cluster, set(4, { source: nodeId(2) }))).toBe('done')
  for (let i = 0; i < 30; i++) {
    submit(cluster, leader, [5])
    runFor(cluster, T / 10)
  }
  runFor(cluster, T)
  const kept = leader.rings.flatMap(({ frames }) => frames.filter((frame) => frame.kept))
  expect(kept.length).toBeLessThan(4)
  settle(cluster)
})

test('a learner that joins with a source is fed by it from the first entry on', () => {
  const cluster = lab(voters(9, 5, 5), { joiners: joiners(4) })
  const leader = awaitLeader(cluster, 1)
  submit(cluster, leader, [5])
  runFor(cluster, 4 * T)
  const replaced = watch(cluster, 'source-replaced')
  const seen = feeds(cluster)
  expect(answerTo(cluster, { kind: 'add', id: nodeId(4), source: nodeId(2) })).toBe('done')
  runFor(cluster, 4 * T)
  expect([[...seen], replaced]).toEqual([['2>4'], []])
  settle(cluster)
})

test('a leader that fed a learner in place of its source leaves it to the next source', () => {
  const cluster = lab([...voters(9, 5, 5), learner(3)])
  const leader = awaitLeader(cluster, 1)
  crash(cluster, at(cluster, 3), Infinity)
  submit(cluster, leader, [5])
  runFor(cluster, 6 * T)
  expect(at(cluster, 4).core.view.chosen).toBe(5)
  expect(answerTo(cluster, set(4, { source: nodeId(2) }))).toBe('done')
  runFor(cluster, T)
  const seen = feeds(cluster)
  for (let i = 0; i < 10; i++) {
    submit(cluster, leader, [5])
    runFor(cluster, T / 2)
  }
  expect([...seen]).toEqual(['2>4'])
  settle(cluster)
})

test('a voter that turns learner loses nothing chosen before it holds proof of its turn', () => {
  const cluster = lab(voters(9, 5, 5), { batchBytesMax: 512, pipelineDepth: 64 })
  const leader = awaitLeader(cluster, 1)
  const [, , turned] = cluster.nodes as [Node, Node, Node]
  const proof = 31
  // 2 has all but the config batch, which 1 and 3 choose; 3 is fed as a learner, but not that far.
  cluster.filter = (_from, to, message) => {
    const { kind } = message
    const isFar = 'through' in message && message.through >= proof
    if (to === 2 && kind === 'accept' && isFar) return 'drop'
    return to === 3 && (kind === 'heartbeat' || (kind === 'learn' && isFar)) ? 'drop' : undefined
  }
  for (let i = 0; i < 10; i++) submit(cluster, leader, [3])
  order(cluster, leader, role(3, 'learner'))
  const { view } = turned.core
  runUntilDone(cluster, T / 2, () => view.acceptedBallot === 0)
  runFor(cluster, T / 10)
  expect(cluster.oracle.chosenThrough).toBe(proof)
  crash(cluster, leader, Infinity)
  cluster.filter = () => undefined
  runFor(cluster, 20 * T)
  // 2 knows no newer membership than the old one, in which 2 and 3 are a quorum.
  restart(cluster, leader)
  settle(cluster)
  expect(membersOf(leaderIn(cluster))).toBe('1:voter 2:voter 3:learner')
})
