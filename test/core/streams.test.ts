/**
 * The stream to one peer: how much flies, what a silent peer costs, how one that lags catches up,
 * and what never waits for a disk or a state machine. Reordered delivery ends in the same log.
 */
import { expect, test } from 'vitest'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'
import {
  type Cluster,
  type Node,
  ask,
  block,
  connect,
  cut,
  directionOf,
  disconnect,
  isOpen,
  leaderOf,
  mend,
  runFor,
  runUntilDone,
  submit,
} from '../support/cluster.ts'
import {
  type Spec,
  T,
  at,
  awaitLeader,
  ballotsOf,
  converge,
  isolate,
  lab,
  others,
  progressWithin,
  voters,
  watch,
} from '../support/lab.ts'

interface Sent {
  readonly at: number
  readonly kind: XPaxosMessage['kind']
  readonly sizeBytes: number
}

/** What a node sends to another from now on. */
function sentTo(cluster: Cluster, from: Node, to: Node): Sent[] {
  const sent: Sent[] = []
  const before = cluster.onEffect
  cluster.onEffect = (node, effect) => {
    before(node, effect)
    if (node !== from || effect.kind !== 'send' || effect.to !== to.id) return
    const sizeBytes = effect.frames.reduce((sum, frame) => sum + frame.sizeBytes, 0)
    sent.push({ at: cluster.now, kind: effect.message.kind, sizeBytes })
  }
  return sent
}

const bytesOf = (sent: readonly Sent[]): number =>
  sent.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
const isData = ({ sizeBytes }: Sent): boolean => sizeBytes > 0
const many = (count: number): number[] => Array.from({ length: count }, () => 5)

// ---- Window and pipeline ---------------------------------------------------------------------

test('accepts fly in a row; what is unanswered stays within window and depth', () => {
  const windowBytes = 8_192
  const options = { windowBytes, batchBytesMax: 1_024, pipelineDepth: 64 }
  const cluster = lab(voters(9, 1, 1), { ...options, linkDelay: [15, 15] })
  const leader = awaitLeader(cluster, 1)
  const sent = sentTo(cluster, leader, at(cluster, 3))
  for (let i = 0; i < 60; i++) submit(cluster, leader, [5])
  runFor(cluster, 29) // no answer can be back
  const accepts = sent.filter(isData)
  expect(accepts.length).toBeGreaterThan(4)
  expect(bytesOf(accepts)).toBeGreaterThan(windowBytes - 1_024)
  expect(bytesOf(accepts)).toBeLessThanOrEqual(windowBytes + 1_024)
  expect(Math.max(...accepts.map(({ sizeBytes }) => sizeBytes))).toBeLessThanOrEqual(1_024)
  converge(cluster)
})

test.each([1, 3])('never more than %i messages are unanswered, however small', (depth) => {
  const cluster = lab(voters(9, 1, 1), { pipelineDepth: depth, linkDelay: [15, 15] })
  const leader = awaitLeader(cluster, 1)
  const sent = sentTo(cluster, leader, at(cluster, 2))
  for (let i = 0; i < 20; i++) {
    submit(cluster, leader, [1])
    runFor(cluster, 1)
  }
  expect(sent.filter(isData).length).toBeLessThanOrEqual(depth)
  converge(cluster)
})

test('an entry of more than 2 MiB, far above window and batch, goes alone and is chosen', () => {
  const units = 2 ** 21 / 64 + 1_000
  const cluster = lab(voters(9, 1, 1), { windowBytes: 2 ** 16, frameUnits: [units, units] })
  const leader = awaitLeader(cluster, 1)
  const follower = at(cluster, 3)
  const sent = sentTo(cluster, leader, follower)
  submit(cluster, leader, [1, 1, 1])
  runFor(cluster, 1)
  expect(sent.filter(isData).map(({ sizeBytes }) => sizeBytes)).toEqual([64 * units])
  runFor(cluster, 2 * T)
  expect(cluster.oracle.chosenThrough).toBe(3)
  // The same from the WAL, to one that was away, and to the next leader.
  isolate(cluster, follower)
  submit(cluster, leader, [1, 1, 1])
  runFor(cluster, 4 * T)
  converge(cluster)
  expect(follower.core.view.chosen).toBeGreaterThanOrEqual(6)
})

// ---- Silent peers ----------------------------------------------------------------------------

const SPECS: Spec[] = [...voters(9, 1, 1), ['logger', 1], ['learner', 1]]
const CUTS = [
  ['nothing passes', true, true],
  ['it does not hear us', true, false],
  ['we do not hear it', false, true],
] as const

test.each(
  [3, 4, 5].flatMap((id) =>
    CUTS.map(([what, ...ways]) => [SPECS[id - 1]![0], what, id, ways] as const),
  ),
)('a silent %s, %s: one small message a heartbeat, the link being up', (_role, _what, id, ways) => {
  const cluster = lab(SPECS, { batchBytesMax: 1_024 })
  const leader = awaitLeader(cluster, 1)
  const silent = at(cluster, id)
  const [out, back] = ways
  const write = (): void => void submit(cluster, leader, many(8))
  write()
  runFor(cluster, T)
  if (out) block(cluster, leader, silent)
  if (back) block(cluster, silent, leader)
  for (let i = 0; i < 8; i++) {
    write()
    runFor(cluster, T / 4)
  }
  const sent = sentTo(cluster, leader, silent)
  const { heartbeatMs } = cluster.options
  const rounds = 50
  for (let i = 0; i < rounds; i++) {
    write()
    runFor(cluster, heartbeatMs)
  }
  expect(bytesOf(sent)).toBe(0)
  const own = sent.filter(({ kind }) => kind !== 'heartbeat-reply') // those answer what it asks
  expect(new Set(own.map(({ kind }) => kind))).toEqual(new Set(['heartbeat']))
  expect(own.length).toBeLessThanOrEqual(rounds + 1)
  // It is back, in the same session: one round trip behind its first answer the log flows again.
  let answeredAt = 0
  const before = cluster.onEffect
  cluster.onEffect = (node, effect) => {
    before(node, effect)
    const isAnswer = effect.kind === 'send' && effect.message.kind === 'heartbeat-reply'
    if (isAnswer && node === silent && effect.to === leader.id) answeredAt ||= cluster.now
  }
  directionOf(cluster, leader, silent).blocked = false
  directionOf(cluster, silent, leader).blocked = false
  runUntilDone(cluster, T, () => sent.some(isData))
  const oneWay = cluster.options.linkDelay[1]
  const disk = 2 * cluster.options.syncDelay[1] + 1
  expect(answeredAt).toBeGreaterThan(0)
  const resumedAt = sent.find(isData)!.at
  expect(resumedAt - answeredAt).toBeLessThanOrEqual(3 * oneWay + disk)
  converge(cluster)
})

test('a peer whose link is down costs nothing; its next session takes one round trip', () => {
  const cluster = lab(voters(9, 1, 1), { batchBytesMax: 1_024 })
  const leader = awaitLeader(cluster, 1)
  const away = at(cluster, 3)
  isolate(cluster, away)
  runFor(cluster, 10)
  const sent = sentTo(cluster, leader, away)
  submit(cluster, leader, many(8))
  runFor(cluster, 10 * T)
  expect(sent).toEqual([])
  directionOf(cluster, leader, away).blocked = false
  directionOf(cluster, away, leader).blocked = false
  const start = cluster.now
  const resets = watch(cluster, 'peer-reset')
  connect(cluster, leader, away)
  runUntilDone(cluster, T, () => sent.some(isData))
  const { linkDelay, syncDelay } = cluster.options
  // Its hello, our prepare, its promise.
  expect(sent.find(isData)!.at - start).toBeLessThanOrEqual(3 * linkDelay[1] + 2 * syncDelay[1] + 1)
  runFor(cluster, T)
  expect(resets).toEqual([]) // a new session is no silence, however long the old one was
  converge(cluster)
})

test('reads send a silent voter nothing, and are answered by the others', () => {
  const cluster = lab(voters(9, 1, 1))
  const leader = awaitLeader(cluster, 1)
  const silent = at(cluster, 3)
  block(cluster, leader, silent)
  block(cluster, silent, leader)
  runFor(cluster, 2 * T)
  const sent = sentTo(cluster, leader, silent)
  const reads: number[] = []
  for (let i = 0; i < 30; i++) {
    reads.push(ask(cluster, leader))
    runFor(cluster, 10)
  }
  expect(reads.map((id) => isOpen(cluster.reads.get(id)!))).not.toContain(true)
  expect(sent.filter(({ kind }) => kind === 'confirm')).toEqual([])
  converge(cluster)
})

// ---- Catching up -----------------------------------------------------------------------------

test('one that lags gets larger messages, one read at a time; the others notice nothing', () => {
  const batchBytesMax = 1_024
  const options = {
    batchBytesMax,
    catchUpBytesMax: 4 * batchBytesMax,
    readDelay: [20, 20],
  } as const
  const cluster = lab(voters(9, 1, 1), { ...options, linkDelay: [2, 2], syncDelay: [2, 2] })
  const leader = awaitLeader(cluster, 1)
  const lagging = at(cluster, 3)
  const latencyMs = (): number => {
    const goal = leader.leading!.next
    submit(cluster, leader, [1])
    const start = cluster.now
    while (cluster.oracle.chosenThrough < goal) runFor(cluster, 1)
    return cluster.now - start
  }
  const calm = latencyMs()
  isolate(cluster, lagging)
  for (let i = 0; i < 80; i++) {
    submit(cluster, leader, many(4))
    runFor(cluster, 5)
  }
  runFor(cluster, T)
  const sent = sentTo(cluster, leader, lagging)
  let reading = 0
  let readingMost = 0
  let readBytes = 0
  const before = cluster.onEffect
  cluster.onEffect = (node, effect) => {
    before(node, effect)
    if (node !== leader) return
    if (effect.kind === 'read') {
      readingMost = Math.max(readingMost, ++reading)
      readBytes = Math.max(readBytes, effect.sizeBytesMax)
    } else if (effect.kind === 'send' && effect.to === lagging.id && effect.frames.length > 0) {
      reading = 0
    }
  }
  directionOf(cluster, leader, lagging).blocked = false
  directionOf(cluster, lagging, leader).blocked = false
  connect(cluster, leader, lagging)
  const goal = cluster.oracle.chosenThrough
  const worst: number[] = []
  while (lagging.core.view.chosen < goal && worst.length < 500) worst.push(latencyMs())
  expect(lagging.core.view.chosen).toBeGreaterThanOrEqual(goal)
  expect([readingMost, readBytes]).toEqual([1, 4 * batchBytesMax])
  const sizes = sent.filter(isData).map(({ sizeBytes }) => sizeBytes)
  expect(Math.max(...sizes)).toBeGreaterThan(2 * batchBytesMax)
  expect(Math.max(...worst)).toBeLessThanOrEqual(calm + 1)
  converge(cluster)
})

test('one that lags and whose link comes and goes has one read out at a time', () => {
  const cluster = lab(voters(9, 1, 1), { readDelay: [2 * T, 2 * T] })
  const leader = awaitLeader(cluster, 1)
  const lagging = at(cluster, 3)
  isolate(cluster, lagging)
  for (let i = 0; i < 20; i++) {
    submit(cluster, leader, many(4))
    runFor(cluster, T / 10)
  }
  let reads = 0
  const before = cluster.onEffect
  cluster.onEffect = (node, effect) => {
    before(node, effect)
    if (node === leader && effect.kind === 'read') reads += 1
  }
  for (let i = 0; i < 5; i++) {
    mend(cluster, leader, lagging)
    runFor(cluster, T / 4)
    cut(cluster, leader, lagging)
  }
  expect(reads).toBe(1)
  converge(cluster)
})

// ---- What waits for nothing ------------------------------------------------------------------

test.each([
  ['a follower', [2]],
  ['the leader', [1]],
  ['every follower', [2, 3]],
])('a disk that stands still for three election time-outs at %s changes no leader', (_who, ids) => {
  const cluster = lab(voters(9, 1, 1))
  const leader = awaitLeader(cluster, 1)
  const ballots = ballotsOf(cluster)
  const stalled = ids.map((id) => at(cluster, id))
  for (const { disk } of stalled) disk.stalledUntil = cluster.now + 3 * T
  const hasQuorum = ids.length === 1
  const before = cluster.oracle.chosenThrough
  for (let i = 0; i < 12; i++) {
    submit(cluster, leader, [1])
    runFor(cluster, T / 4 - 2)
  }
  expect(cluster.oracle.chosenThrough - before).toBe(hasQuorum ? 12 : 0)
  for (const { core, disk } of stalled) expect(core.view.last).toBeGreaterThan(disk.durable.last)
  runFor(cluster, 10 * T)
  expect([leaderOf(cluster), ballotsOf(cluster)]).toEqual([leader, ballots])
  expect(progressWithin(cluster, T)).toBeGreaterThanOrEqual(0)
  converge(cluster)
})

test('a state machine that takes ten election time-outs costs nobody the lead', () => {
  const cluster = lab(voters(9, 1, 1), { applyDelay: [10 * T, 10 * T] })
  const leader = awaitLeader(cluster, 1)
  const ballots = ballotsOf(cluster)
  for (let i = 0; i < 20; i++) {
    submit(cluster, leader, [2])
    runFor(cluster, T)
  }
  expect(cluster.oracle.chosenThrough).toBe(40)
  expect(leader.applied).toBeLessThan(40)
  expect([leaderOf(cluster), ballotsOf(cluster)]).toEqual([leader, ballots])
  runFor(cluster, 400 * T)
  for (const { applied } of cluster.nodes) expect(applied).toBe(40)
  expect([leaderOf(cluster), ballotsOf(cluster)]).toEqual([leader, ballots])
})

test('with a slow disk at the leader an entry takes the path of the followers', () => {
  const options = { linkDelay: [5, 5], syncDelay: [3, 3] } as const
  const cluster = lab(voters(9, 1, 1), options)
  const leader = awaitLeader(cluster, 1)
  for (const slowMs of [0, 150]) {
    leader.disk.stalledUntil = cluster.now + slowMs
    const start = cluster.now
    const goal = leader.leading!.next
    submit(cluster, leader, [1])
    let chosenAt = 0
    for (; chosenAt === 0; runFor(cluster, 1)) {
      if (leader.core.view.chosen >= goal) chosenAt = cluster.now
    }
    expect(chosenAt - start).toBeLessThanOrEqual(5 + 3 + 5 + 2)
    expect(leader.core.view.durable >= goal).toBe(slowMs === 0)
    runFor(cluster, 2 * T)
    expect(leader.core.view.durable).toBeGreaterThanOrEqual(goal)
  }
})

// ---- Order -----------------------------------------------------------------------------------

test('reordered over sessions: refused, started again, and the same log at the end', () => {
  const cluster = lab(voters(9, 1, 1), { batchBytesMax: 512, linkDelay: [2, 6] })
  const leader = awaitLeader(cluster, 1)
  const events = watch(cluster, 'peer-reset')
  let rejects = 0
  const before = cluster.onEffect
  cluster.onEffect = (node, effect) => {
    before(node, effect)
    if (effect.kind === 'send' && effect.message.kind === 'reject') rejects += 1
  }
  cluster.reorder = true
  for (let i = 0; i < 30; i++) {
    submit(cluster, leader, many(3))
    runFor(cluster, 7)
    if (i % 5 > 0) continue
    for (const other of others(cluster, leader)) {
      disconnect(cluster, leader, other)
      connect(cluster, leader, other)
    }
  }
  expect(rejects).toBeGreaterThan(0)
  expect(events.length).toBeGreaterThan(0)
  converge(cluster)
  const logs = cluster.nodes.map(({ disk }) => disk.durable.contents.map(({ serial }) => serial))
  expect(logs[1]).toEqual(logs[0])
  expect(logs[2]).toEqual(logs[0])
  expect(logs[0]!.length).toBeGreaterThanOrEqual(90)
})
