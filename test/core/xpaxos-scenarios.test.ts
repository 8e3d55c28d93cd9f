/**
 * Named histories that once broke a protocol of this family, each played on real cores by the
 * cluster of test/support: the oracle judges every step, the end must converge.
 */
import { expect, test } from 'vitest'
import { ballotOf, ballotRound } from '../../src/core/ids.ts'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'
import type { Content } from '../support/disk-model.ts'
import {
  type Cluster,
  type Node,
  after,
  block,
  crash,
  cut,
  disconnect,
  give,
  inject,
  leaderOf,
  mendAll,
  restart,
  runFor,
  runUntilDone,
  submit,
} from '../support/cluster.ts'
import {
  T,
  at,
  awaitLeader,
  ballotsOf,
  converge,
  crashAll,
  isolate,
  lab,
  leaderIn,
  noAccepts,
  others,
  progressWithin,
  voters,
} from '../support/lab.ts'
import type { RingFrame } from '../support/ring-model.ts'
import { live } from '../support/seed-run.ts'

// ---- Partial connectivity (OmniPaxos, section 2) ----------------------------------------------

function stillRules(cluster: Cluster): void {
  expect(progressWithin(cluster, 4 * T)).toBeGreaterThanOrEqual(0)
  runFor(cluster, 4 * T)
  const ballots = ballotsOf(cluster)
  const leader = leaderOf(cluster)
  runFor(cluster, 30 * T)
  expect(ballotsOf(cluster)).toBe(ballots)
  expect(leaderOf(cluster)).toBe(leader)
  expect(progressWithin(cluster, T)).toBeGreaterThanOrEqual(0)
  mendAll(cluster)
  live(cluster)
}

test.each([3, 5])('quorum loss, %i nodes: only one node sees a quorum, and it leads', (n) => {
  const cluster = lab(voters(...[9, 1, 1, 1, 1].slice(0, n)))
  const leader = awaitLeader(cluster, 1)
  const hub = at(cluster, 2)
  // In the group of three the old leader is left alone, or it would still have its quorum.
  if (n === 3) cut(cluster, leader, hub)
  for (const a of cluster.nodes)
    for (const b of cluster.nodes) if (a.id < b.id && a !== hub && b !== hub) cut(cluster, a, b)
  stillRules(cluster)
})

test.each([3, 5])('constrained election, %i nodes: the only candidate has an old log', (n) => {
  const cluster = lab(voters(...[9, 1, 1, 1, 1].slice(0, n)))
  const leader = awaitLeader(cluster, 1)
  const hub = at(cluster, 2)
  cut(cluster, leader, hub)
  submit(cluster, leader, [5, 5, 5])
  runFor(cluster, T)
  expect(hub.core.view.last).toBeLessThan(cluster.oracle.chosenThrough)
  isolate(cluster, leader)
  for (const a of cluster.nodes)
    for (const b of cluster.nodes) if (a.id < b.id && a !== hub && b !== hub) cut(cluster, a, b)
  expect(progressWithin(cluster, 4 * T)).toBeGreaterThanOrEqual(0)
  stillRules(cluster)
})

test.each([3, 5])('chained, %i nodes: a node that does not see the leader deposes nobody', (n) => {
  // In a line of three the end leads on; in a line of five only the middle sees a quorum.
  const cluster = lab(voters(...[9, 1, 1, 1, 1].slice(0, n)))
  const leader = awaitLeader(cluster, 1)
  const ballots = ballotsOf(cluster)
  for (const a of cluster.nodes)
    for (const b of cluster.nodes) if (a.id + 1 < b.id) cut(cluster, a, b)
  expect(progressWithin(cluster, 4 * T)).toBeGreaterThanOrEqual(0)
  if (n === 3) {
    expect(leaderOf(cluster)).toBe(leader)
    expect(ballotsOf(cluster)).toBe(ballots)
  }
  stillRules(cluster)
})

test('a partitioned node that comes back changes no leader', () => {
  const cluster = lab(voters(5, 9, 9))
  awaitLeader(cluster, leaderIn(cluster).id)
  const leader = leaderIn(cluster)
  const away = others(cluster, leader)[0]!
  const ballots = ballotsOf(cluster)
  isolate(cluster, away)
  submit(cluster, leader, [10, 10])
  runFor(cluster, 20 * T)
  mendAll(cluster)
  runFor(cluster, 20 * T)
  expect(leaderOf(cluster)).toBe(leader)
  expect(ballotsOf(cluster)).toBe(ballots)
  expect(away.core.view.chosen).toBe(cluster.oracle.chosenThrough)
})

// ---- Logs -------------------------------------------------------------------------------------

test('figure 8: an entry re-accepted in a new ballot by a quorum is never lost', () => {
  const cluster = lab(voters(9, 1, 1, 1, 5))
  // (a) 1 leads; its entry reaches only 2.
  const first = awaitLeader(cluster, 1)
  cluster.filter = (from, to, { kind }) =>
    from === 1 && to > 2 && kind === 'accept' ? 'drop' : undefined
  submit(cluster, first, [1])
  runFor(cluster, 20)
  const content = first.disk.durable.contents[0]!
  expect(at(cluster, 2).disk.durable.contents).toEqual([content])
  // (b) 5 leads with the promises of 3 and 4; its entry stays with it.
  crashAll(cluster, 1, 2)
  cluster.filter = noAccepts(5)
  submit(cluster, awaitLeader(cluster, 5), [1])
  runFor(cluster, 20)
  // (c) 1 leads again with 2 and 3, and its old entry is chosen in the new ballot.
  crashAll(cluster, 5, 4)
  cluster.filter = () => undefined
  restart(cluster, at(cluster, 1))
  restart(cluster, at(cluster, 2))
  awaitLeader(cluster, 1)
  expect(cluster.oracle.chosen[0]).toBe(content)
  // (d) 5 comes back and leads: with that entry, not with its own.
  crashAll(cluster, 1)
  restart(cluster, at(cluster, 5))
  restart(cluster, at(cluster, 4))
  const last = awaitLeader(cluster, 5)
  expect(last.disk.written.contents[0]).toBe(content)
  converge(cluster)
})

/** A follower (node 3) that missed three chunks, with a new leader (node 1) about to sync it. */
function beforeLongSync(): { cluster: Cluster; follower: Node; syncs: () => number } {
  const cluster = lab(voters(9, 5, 1), { batchBytesMax: 1_024 })
  const old = awaitLeader(cluster, 1)
  submit(cluster, old, [3])
  runFor(cluster, 20)
  const follower = at(cluster, 3)
  isolate(cluster, follower)
  submit(
    cluster,
    old,
    Array.from({ length: 12 }, () => 5),
  )
  runFor(cluster, T)
  crash(cluster, old)
  restart(cluster, old)
  awaitLeader(cluster, 1)
  let syncs = 0
  cluster.filter = (_from, to, { kind }) => {
    if (kind !== 'accept-sync' || to !== 3) return undefined
    syncs += 1
    return syncs > 1 ? 'drop' : undefined
  }
  mendAll(cluster)
  runUntilDone(cluster, 2 * T, () => syncs > 1)
  runFor(cluster, 10)
  return { cluster, follower, syncs: () => syncs }
}

test('the leader dies after chunk 1 of an accept-sync: the follower stays what it was', () => {
  const { cluster, follower, syncs } = beforeLongSync()
  expect(syncs()).toBeGreaterThan(1)
  crash(cluster, at(cluster, 1))
  const { acceptedBallot, promised, last } = follower.core.view
  expect(acceptedBallot).toBeLessThan(promised)
  expect(last).toBe(3)
  expect(follower.disk.durable.sync).not.toBeNull()
  cluster.filter = () => undefined
  awaitLeader(cluster, 2)
  expect(follower.core.view.chosen).toBe(cluster.oracle.chosenThrough)
  converge(cluster)
})

test('a follower that crashes within an accept-sync comes back with its old log', () => {
  const { cluster, follower } = beforeLongSync()
  crash(cluster, follower, Infinity)
  expect(follower.disk.durable.sync).not.toBeNull()
  cluster.filter = noAccepts(1)
  restart(cluster, follower)
  runFor(cluster, 2 * T)
  expect(follower.core.view.last).toBe(3)
  expect(follower.core.view.acceptedBallot).toBeLessThan(follower.core.view.promised)
  converge(cluster)
})

/** Node 1 holds entries 4..8 of ballot 1 alone; node 2 leads since, with other entries 4..8. */
function deadSuffix(): { cluster: Cluster; stale: Node; leader: Node } {
  const cluster = lab(voters(9, 5, 1))
  const stale = awaitLeader(cluster, 1)
  submit(cluster, stale, [3])
  runFor(cluster, T)
  cluster.filter = noAccepts(1)
  submit(cluster, stale, [5])
  runFor(cluster, 10)
  crash(cluster, stale, Infinity)
  cluster.filter = () => undefined
  const leader = awaitLeader(cluster, 2)
  submit(cluster, leader, [5, 5])
  runFor(cluster, T)
  expect(cluster.oracle.chosenThrough).toBe(13)
  expect(stale.disk.durable.last).toBe(8)
  return { cluster, stale, leader }
}

test('a heartbeat that overtakes the accept-sync makes no dead suffix chosen', () => {
  const { cluster, stale } = deadSuffix()
  cluster.filter = (_from, to, { kind }) => (to === 1 && kind === 'accept-sync' ? 2 * T : undefined)
  restart(cluster, stale)
  runUntilDone(cluster, 4 * T, () => stale.core.view.promised === at(cluster, 2).core.view.promised)
  runFor(cluster, T)
  expect(stale.core.view.chosen).toBeLessThanOrEqual(3)
  runFor(cluster, 4 * T)
  expect(stale.core.view.chosen).toBe(13)
  converge(cluster)
})

test('a late promiser with a longer tail of the adopted ballot loses exactly that tail', () => {
  const { cluster, stale, leader } = deadSuffix()
  const cutAt: number[] = []
  cluster.onEffect = (node, effect) => {
    if (node === stale && effect.kind === 'event' && effect.name === 'suffix-cut')
      cutAt.push(effect.value)
  }
  restart(cluster, stale)
  runFor(cluster, 2 * T)
  expect(cutAt).toEqual([4])
  expect(stale.disk.written.contents).toEqual(leader.disk.written.contents)
  converge(cluster)
})

test('a tail of an older ballot than the adopted one is replaced from the floor on', () => {
  const { cluster, stale, leader } = deadSuffix()
  // A third ballot adopts what the second chose; node 1 still holds the tail of the first.
  crash(cluster, leader)
  restart(cluster, leader)
  leaderIn(cluster)
  restart(cluster, stale)
  runFor(cluster, 4 * T)
  expect(stale.disk.written.contents).toEqual(cluster.oracle.chosen)
  converge(cluster)
})

/** Node 2 holds, node 1 made and node 3 lacks entries that are chosen; 3 will stand next. */
function fetchAhead(): { cluster: Cluster; candidate: Node } {
  const cluster = lab(voters(1, 1, 9), { batchBytesMax: 1_024 })
  const candidate = at(cluster, 3)
  leaderIn(cluster) // a first formation needs all three
  isolate(cluster, candidate)
  runFor(cluster, 4 * T)
  const old = [at(cluster, 1), at(cluster, 2)].find(({ leading }) => leading !== null)!
  submit(
    cluster,
    old,
    Array.from({ length: 12 }, () => 5),
  )
  runFor(cluster, T)
  expect(cluster.oracle.chosenThrough).toBe(60)
  crash(cluster, old, Infinity)
  mendAll(cluster)
  return { cluster, candidate }
}

test('the source dies in the middle of the fetch: the candidate gets the log elsewhere', () => {
  const { cluster, candidate } = fetchAhead()
  const source = cluster.nodes.find((node) => node.alive && node !== candidate)!
  const old = cluster.nodes.find((node) => !node.alive)!
  let fetched = 0
  cluster.filter = (_from, _to, { kind }) =>
    kind === 'fetched' && ++fetched > 1 ? 'drop' : undefined
  runUntilDone(cluster, 10 * T, () => fetched > 1)
  expect(candidate.core.view.role).toBe('candidate')
  crash(cluster, source)
  cluster.filter = () => undefined
  restart(cluster, old)
  expect(runUntilDone(cluster, 10 * T, () => leaderOf(cluster) !== undefined)).toBeGreaterThan(0)
  expect(leaderOf(cluster)!.core.view.last).toBeGreaterThanOrEqual(60)
  converge(cluster)
})

test('the source dies after the first accept of the new ballot: its log is final', () => {
  const { cluster, candidate } = fetchAhead()
  const source = cluster.nodes.find((node) => node.alive && node !== candidate)!
  runUntilDone(cluster, 10 * T, () => candidate.leading !== null)
  crash(cluster, source)
  for (const node of cluster.nodes) restart(cluster, node)
  expect(progressWithin(cluster, 4 * T)).toBeGreaterThanOrEqual(0)
  expect(cluster.oracle.chosenThrough).toBeGreaterThan(60)
  converge(cluster)
})

test('a Logger that alone holds the newest log supplies it, and never leads', () => {
  const cluster = lab([...voters(9, 5), ['logger', 9]])
  const first = awaitLeader(cluster, 1)
  const second = at(cluster, 2)
  isolate(cluster, second)
  submit(cluster, first, [7, 7])
  runFor(cluster, T)
  const sources: number[] = []
  cluster.onEffect = (_node, effect) => {
    if (effect.kind === 'event' && effect.name === 'suffix-fetched') sources.push(effect.value)
  }
  crash(cluster, first)
  mendAll(cluster)
  const leader = awaitLeader(cluster, 2)
  expect(sources).toEqual([3])
  expect(leader.core.view.chosen).toBe(14)
  expect(at(cluster, 3).core.view.role).toBe('logger')
  converge(cluster)
})

test('what was accepted in an older ballot of the same leader counts for nothing', () => {
  const cluster = lab([...voters(9), ['logger', 1], ['logger', 1]])
  const leader = awaitLeader(cluster, 1)
  const [, second, third] = cluster.nodes as [Node, Node, Node]
  const late: XPaxosMessage[] = []
  cluster.filter = (from, to, message) => {
    if (from === 1 && to === 2 && message.kind === 'accept') return 'drop'
    if (message.kind !== 'accepted') return undefined
    if (from === 3) late.push(message)
    return 'drop'
  }
  submit(cluster, leader, [5])
  runFor(cluster, 20)
  expect(third.core.view.last).toBe(5)
  const { promised } = leader.core.view
  // The leader loses its followers for a while, and comes back in a new ballot.
  crash(cluster, third, 0)
  cut(cluster, leader, second)
  expect(runUntilDone(cluster, 8 * T, () => leader.leading === null)).toBeGreaterThan(0)
  cluster.filter = (from, _to, { kind }) =>
    from === 1 && (kind === 'accept-sync' || kind === 'accept') ? 'drop' : undefined
  mendAll(cluster)
  restart(cluster, third)
  expect(runUntilDone(cluster, 8 * T, () => leader.leading !== null)).toBeGreaterThan(0)
  expect(leader.leading!.ballot).toBeGreaterThan(promised)
  expect(late.length).toBeGreaterThan(0)
  for (const message of late) inject(cluster, third, leader, message, [])
  expect(leader.core.view.chosen).toBe(0)
  converge(cluster)
})

// ---- Liveness ---------------------------------------------------------------------------------

test('a candidate that gets no promises backs off, another leads, ballots stand still', () => {
  const cluster = lab(voters(9, 5, 5))
  cluster.filter = (_from, to, { kind }) => (to === 1 && kind === 'promise' ? 'drop' : undefined)
  expect(progressWithin(cluster, 8 * T)).toBeGreaterThanOrEqual(0)
  expect(leaderOf(cluster)!.id).not.toBe(1)
  // It is the heaviest and looks fit to lead: it is offered leadership again, more and more rarely.
  runFor(cluster, 200 * T)
  expect(cluster.oracle.leaders.size).toBeLessThan(10)
  expect(progressWithin(cluster, 8 * T)).toBeGreaterThanOrEqual(0)
})

test('a leader whose disk stands still is replaced', () => {
  const cluster = lab(voters(9, 5, 5))
  const leader = awaitLeader(cluster, 1)
  leader.disk.stalledUntil = cluster.now + 30 * T
  submit(cluster, leader, [1])
  runFor(cluster, 10)
  // The quorum goes on without the leader's disk: that alone is no reason to change.
  expect(cluster.oracle.chosenThrough).toBe(1)
  expect(runUntilDone(cluster, 8 * T, () => leaderOf(cluster)?.id !== 1)).toBeGreaterThanOrEqual(0)
  expect(progressWithin(cluster, 4 * T)).toBeGreaterThanOrEqual(0)
  expect(leaderOf(cluster)!.id).not.toBe(1)
  converge(cluster)
})

test('a lone node leads, chooses, and finds all of it after a power loss', () => {
  const cluster = lab(voters(1))
  const node = awaitLeader(cluster, 1)
  submit(cluster, node, [3, 4])
  runFor(cluster, 20)
  expect(node.core.view.chosen).toBe(7)
  crash(cluster, node)
  restart(cluster, node)
  awaitLeader(cluster, 1)
  expect(node.core.view.chosen).toBe(7)
  expect(node.applyNext).toBe(8)
  live(cluster)
})

test('what a dead session brings late changes nothing', () => {
  const cluster = lab(voters(9, 5, 1))
  const leader = awaitLeader(cluster, 1)
  const follower = at(cluster, 3)
  const heard: { message: XPaxosMessage; contents: Content[] }[] = []
  cluster.onEffect = (node, effect) => {
    if (node !== leader || effect.kind !== 'send' || effect.to !== follower.id) return
    const contents = effect.frames.map((frame) => (frame as RingFrame).content)
    heard.push({ message: effect.message, contents })
  }
  submit(cluster, leader, [5, 5, 5])
  runFor(cluster, T)
  cluster.onEffect = () => undefined
  disconnect(cluster, leader, follower)
  mendAll(cluster)
  runFor(cluster, T)
  const replay = (): void => {
    const before = { ...follower.disk.written, ...pickView(follower) }
    for (const { message, contents } of heard) inject(cluster, leader, follower, message, contents)
    expect({ ...follower.disk.written, ...pickView(follower) }).toEqual(before)
  }
  expect(heard.some(({ message }) => message.kind === 'accept')).toBe(true)
  replay()
  // And the same bytes once more under another leader.
  crash(cluster, leader)
  awaitLeader(cluster, 2)
  restart(cluster, leader)
  runFor(cluster, T)
  replay()
  converge(cluster)
})

const pickView = ({ core: { view } }: Node) => ({
  promised: view.promised,
  acceptedBallot: view.acceptedBallot,
  last: view.last,
  chosen: view.chosen,
})

test('a learner follows, says nothing that counts, and catches up after a cut', () => {
  const cluster = lab([...voters(9, 5, 5), ['learner', 9]])
  const learner = at(cluster, 4)
  const said = new Set<string>()
  cluster.onEffect = (node, effect) => {
    if (node === learner && effect.kind === 'send') said.add(effect.message.kind)
  }
  const leader = awaitLeader(cluster, 1)
  submit(cluster, leader, [5, 5])
  runFor(cluster, T)
  isolate(cluster, learner)
  submit(cluster, leader, [5, 5])
  runFor(cluster, T)
  mendAll(cluster)
  runFor(cluster, T)
  expect(learner.core.view.chosen).toBe(20)
  expect(learner.applyNext).toBe(21)
  expect([...said].sort()).toEqual(['heartbeat', 'heartbeat-reply', 'hello', 'learned'])
  live(cluster)
})

test('an accept-sync longer than the rings goes on under pressure', () => {
  const cluster = lab(voters(9, 5, 1), { batchBytesMax: 1_024, windowBytes: 2_048 })
  const leader = awaitLeader(cluster, 1)
  const follower = at(cluster, 3)
  isolate(cluster, follower)
  submit(
    cluster,
    leader,
    Array.from({ length: 60 }, () => 5),
  )
  runFor(cluster, T)
  crash(cluster, leader)
  restart(cluster, leader)
  awaitLeader(cluster, 1)
  let kept = 0
  cluster.onEffect = (node, { kind }) => {
    if (node !== follower || kind !== 'append') return
    after(cluster, 0, () => {
      for (const ring of follower.rings.keys()) give(cluster, follower, { kind: 'pressure', ring })
    })
    kept = Math.max(
      kept,
      follower.rings.reduce((sum, { frames }) => sum + frames.length, 0),
    )
  }
  mendAll(cluster)
  runFor(cluster, 4 * T)
  expect(follower.core.view.chosen).toBe(300)
  expect(kept).toBeGreaterThan(0)
  expect(kept).toBeLessThan(60)
  converge(cluster)
})

test('one deaf direction of a link neither storms nor stops the group', () => {
  const cluster = lab(voters(9, 5, 5))
  const leader = awaitLeader(cluster, 1)
  block(cluster, leader, at(cluster, 2))
  expect(progressWithin(cluster, 8 * T)).toBeGreaterThanOrEqual(0)
  stillRules(cluster)
})

test('a first formation waits for every initial voter, a later one for a quorum', () => {
  const cluster = lab(voters(9, 1, 1))
  isolate(cluster, at(cluster, 3))
  runFor(cluster, 20 * T)
  expect(leaderOf(cluster)).toBeUndefined()
  mendAll(cluster)
  const leader = leaderIn(cluster)
  crash(cluster, leader, Infinity)
  expect(leaderIn(cluster)).not.toBe(leader)
})

test('a voter that strayed to a ballot nobody leads is brought back', () => {
  const cluster = lab(voters(9, 1, 1))
  const leader = awaitLeader(cluster, 1)
  const [, second, third] = cluster.nodes as [Node, Node, Node]
  // What a candidate left behind that gave up: node 3 promised, and refuses the leader from now on.
  const ballot = ballotOf(ballotRound(leader.core.view.promised) + 5, second.id)
  inject(cluster, second, third, { kind: 'prepare', ballot }, [])
  runFor(cluster, 10)
  expect(third.core.view.promised).toBe(ballot)
  expect(progressWithin(cluster, T)).toBeGreaterThanOrEqual(0)
  runFor(cluster, 10 * T)
  expect(third.core.view.chosen).toBe(cluster.oracle.chosenThrough)
  expect(third.core.view.promised).toBe(leaderOf(cluster)!.core.view.promised)
  stillRules(cluster)
})

test('apply goes on from the WAL behind a restart while new entries arrive in the rings', () => {
  const cluster = lab(voters(9, 1, 1), { batchBytesMax: 1_024, readDelay: [30, 30] })
  const first = awaitLeader(cluster, 1)
  const node = at(cluster, 3)
  submit(
    cluster,
    first,
    Array.from({ length: 40 }, () => 5),
  )
  runFor(cluster, 2 * T)
  // The records of a new ballot bring the floor of everything to the disk.
  crash(cluster, first)
  restart(cluster, first)
  const leader = leaderIn(cluster)
  runFor(cluster, 2 * T)
  crash(cluster, node, Infinity)
  restart(cluster, node)
  expect(node.core.view.chosen).toBe(200)
  runFor(cluster, 20)
  submit(cluster, leader, [5, 5, 5])
  runFor(cluster, 10 * T)
  expect(node.applyNext).toBe(216)
  converge(cluster)
})

test('two laggards with a long suffix to fetch do not interrupt each other for ever', () => {
  const each = { batchBytesMax: 512, catchUpBytesMax: 512, pipelineDepth: 1 } // a round trip each
  const slow = { ...each, linkDelay: [5, 8] as const }
  const cluster = lab([...voters(9, 8, 7), ['logger', 1], ['logger', 1]], slow)
  const leader = awaitLeader(cluster, 1)
  for (const id of [2, 3]) isolate(cluster, at(cluster, id))
  for (let i = 0; i < 150; i++) submit(cluster, leader, [2])
  expect(runUntilDone(cluster, 60 * T, () => cluster.oracle.chosenThrough === 300)).toBeGreaterThan(
    0,
  )
  // Only Loggers have it now: who leads next has to fetch for longer than others are content.
  crash(cluster, leader, Infinity)
  mendAll(cluster)
  for (const id of [2, 3]) cut(cluster, at(cluster, id), leader)
  const led = (): boolean => leaderOf(cluster) !== undefined
  expect(runUntilDone(cluster, 100 * T, led)).toBeGreaterThan(4 * T)
  converge(cluster)
})
