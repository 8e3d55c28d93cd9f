/**
 * Handing leadership over (R24, R25): under load, to targets that die, lag or may not lead, with
 * orders that are lost, late or forged. The oracle judges every step.
 */
import { expect, test } from 'vitest'
import { nodeId } from '../../src/core/ids.ts'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'
import {
  type Cluster,
  type Node,
  crash,
  cut,
  inject,
  leaderOf,
  mendAll,
  runFor,
  runUntilDone,
  submit,
} from '../support/cluster.ts'
import {
  T,
  add,
  at,
  awaitLeader,
  ballotsOf,
  converge,
  isolate,
  joiners,
  lab,
  leaderIn,
  order,
  progressWithin,
  settle,
  transfer,
  voters,
  watch,
} from '../support/lab.ts'

/** Submits now and then at whoever admits; what a node took and how often clients were refused. */
function load(cluster: Cluster, ms: number): { refused: number; gapMs: number } {
  const end = cluster.now + ms
  let refused = 0
  let gapMs = 0
  let lastAt = cluster.now
  while (cluster.now < end) {
    const leader = leaderOf(cluster)
    if (leader !== undefined && submit(cluster, leader, [1, 2])) lastAt = cluster.now
    else refused += 1
    gapMs = Math.max(gapMs, cluster.now - lastAt)
    runFor(cluster, 5)
  }
  return { refused, gapMs }
}

/** Everything submitted so far is chosen, once. */
function expectAllChosen(cluster: Cluster): void {
  const serials = cluster.oracle.chosen.map(({ serial }) => serial)
  expect(new Set(serials).size).toBe(serials.length)
  expect(serials.length).toBe(cluster.nextSerial - 1)
}

test('20 hand-overs under load: nothing is lost, clients are refused shortly and told so', () => {
  const cluster = lab(voters(5, 5, 5))
  leaderIn(cluster)
  for (let turn = 0; turn < 20; turn++) {
    load(cluster, T / 2)
    const leader = leaderOf(cluster)!
    const target = at(cluster, (leader.id % 3) + 1)
    const answer = transfer(cluster, leader, target.id)
    expect(leader.admits).toBe(false)
    expect(submit(cluster, leader, [1])).toBe(false)
    const { gapMs } = load(cluster, T)
    expect(gapMs).toBeLessThan(T / 2)
    expect(answer()).toBe('done')
    expect(leaderOf(cluster)).toBe(target)
  }
  // A gap of nothing: in a calm network what was taken before the hand-over is chosen before it.
  runFor(cluster, T)
  expectAllChosen(cluster)
  converge(cluster)
})

test('an order leaves only when the target holds all and all of it is chosen', () => {
  const cluster = lab(voters(9, 5, 5), { pipelineDepth: 1, linkDelay: [8, 8] })
  const leader = awaitLeader(cluster, 1)
  let orders = 0
  cluster.onEffect = (node, effect) => {
    if (effect.kind !== 'send' || effect.message.kind !== 'take-over') return
    orders += 1
    const { last, chosen } = node.core.view
    expect(last).toBe(node.leading!.next - 1)
    expect(chosen).toBe(last)
    expect(at(cluster, effect.to).disk.durable.last).toBe(last)
  }
  // Node 3 is as quick as ever: all is chosen long before the target has it.
  cluster.filter = (_from, to, { kind }) => (to === 2 && kind === 'accept' ? 40 : undefined)
  for (let i = 0; i < 6; i++) submit(cluster, leader, [3])
  const answer = transfer(cluster, leader, 2)
  runFor(cluster, 3 * T)
  expect(answer()).toBe('done')
  expect(orders).toBeGreaterThan(0)
  expectAllChosen(cluster)
})

test('a hand-over waits for the entries that only the target holds, too', () => {
  const cluster = lab(voters(9, 5, 5, 5, 5))
  const leader = awaitLeader(cluster, 1)
  cluster.filter = (_from, to, { kind }) => (to > 2 && kind === 'accept' ? 60 : undefined)
  submit(cluster, leader, [3])
  const started = cluster.now
  let orderAt = 0
  cluster.onEffect = (_node, effect) => {
    if (effect.kind === 'send' && effect.message.kind === 'take-over') orderAt ||= cluster.now
  }
  const answer = transfer(cluster, leader, 2)
  runFor(cluster, 2 * T)
  expect(answer()).toBe('done')
  expect(orderAt - started).toBeGreaterThanOrEqual(60)
})

test('the target dies at every step: the old leader resumes, or another leads', () => {
  for (const kept of [0, Infinity]) {
    for (let step = 1, isDone = false; !isDone; step++) {
      const cluster = lab(voters(9, 5, 5), { seed: step })
      const leader = awaitLeader(cluster, 1)
      const target = at(cluster, 2)
      submit(cluster, leader, [3, 3])
      const answer = transfer(cluster, leader, 2)
      let effects = 0
      cluster.onEffect = (node, { kind }) => {
        if (node !== target || (kind !== 'send' && kind !== 'append')) return
        if (++effects === step) crash(cluster, target, kept)
      }
      runUntilDone(cluster, T, () => target.leading !== null || !target.alive)
      isDone = target.alive
      cluster.onEffect = () => undefined
      expect(progressWithin(cluster, 6 * T)).toBeGreaterThanOrEqual(0)
      runFor(cluster, 2 * T)
      expect(answer()).toMatch(/^(done|timed-out)$/)
      settle(cluster)
    }
  }
})

test('the old leader dies right behind its order, at any moment of the hand-over', () => {
  for (let step = 1, isDone = false; !isDone; step++) {
    const cluster = lab(voters(9, 5, 5), { seed: step })
    const leader = awaitLeader(cluster, 1)
    submit(cluster, leader, [3, 3])
    transfer(cluster, leader, 2)
    let effects = 0
    cluster.onEffect = (node, { kind }) => {
      if (node === leader && kind === 'send' && ++effects === step) crash(cluster, leader, 0)
    }
    runUntilDone(cluster, T, () => at(cluster, 2).leading !== null || !leader.alive)
    isDone = leader.alive
    cluster.onEffect = () => undefined
    expect(progressWithin(cluster, 6 * T)).toBeGreaterThanOrEqual(0)
    settle(cluster)
  }
})

// ---- Targets and orders -----------------------------------------------------------------------

test.each([
  ['itself', 1],
  ['a Logger', 3],
  ['a learner', 4],
  ['a node of weight 0', 5],
  ['nobody', 6],
])('leadership does not go to %s', (_name, target) => {
  const cluster = lab([...voters(9, 5), ['logger', 9], ['learner', 9], ['voter', 0]])
  const leader = awaitLeader(cluster, 1)
  expect(transfer(cluster, leader, target)()).toBe('illegal')
  expect(leader.admits).toBe(true)
})

test('only the leader hands over, one at a time', () => {
  const cluster = lab(voters(9, 5, 5), { joiners: joiners(4) })
  const leader = awaitLeader(cluster, 1)
  expect(transfer(cluster, at(cluster, 2), 3)()).toBe('not-leader')
  isolate(cluster, at(cluster, 2))
  const first = transfer(cluster, leader, 2)
  expect(transfer(cluster, leader, 3)()).toBe('conflict')
  runFor(cluster, T / 2)
  expect(first()).toBe('open')
  runFor(cluster, 3 * T)
  expect(first()).toBe('timed-out')
  const change = order(cluster, leader, add(4))
  expect(transfer(cluster, leader, 3)()).toBe('not-ready')
  runFor(cluster, T)
  expect(change()).toBe('done')
})

test('a target that lags is given up after an election timeout, and no order leaves', () => {
  const cluster = lab(voters(9, 5, 5))
  const leader = awaitLeader(cluster, 1)
  const ballots = ballotsOf(cluster)
  const events = watch(cluster, 'transfer-failed', 'prepare-started')
  let orders = 0
  cluster.filter = (_from, to, { kind }) => {
    if (kind === 'take-over') orders += 1
    return to === 2 && kind === 'accept' ? 'drop' : undefined
  }
  submit(cluster, leader, [5])
  const answer = transfer(cluster, leader, 2)
  const took = runUntilDone(cluster, 3 * T, () => answer() !== 'open')
  expect(answer()).toBe('timed-out')
  expect(took).toBeLessThan(T + 30)
  expect(orders).toBe(0)
  expect(events.map(({ name, value }) => [name, value])).toEqual([['transfer-failed', 2]])
  expect(submit(cluster, leader, [1])).toBe(true)
  expect(ballotsOf(cluster)).toBe(ballots)
  converge(cluster)
})

/** All orders are kept back; the leader gives up. */
function withoutOrders(): { cluster: Cluster; leader: Node; kept: XPaxosMessage[] } {
  const cluster = lab(voters(9, 5, 5))
  const leader = awaitLeader(cluster, 1)
  const kept: XPaxosMessage[] = []
  cluster.filter = (_from, _to, message) => {
    if (message.kind !== 'take-over') return undefined
    kept.push(message)
    return 'drop'
  }
  const answer = transfer(cluster, leader, 2)
  runUntilDone(cluster, 6 * T, () => answer() !== 'open')
  expect(answer()).toBe('timed-out')
  return { cluster, leader, kept }
}

test('five orders without an answer, and the old leader goes on in its ballot', () => {
  const { cluster, leader, kept } = withoutOrders()
  expect(kept.length).toBe(5)
  expect(leaderOf(cluster)).toBe(leader)
  expect(submit(cluster, leader, [1])).toBe(true)
  runFor(cluster, 10 * T)
  expect(kept.length).toBe(5)
  expect(leaderOf(cluster)).toBe(leader)
  expectAllChosen(cluster)
  converge(cluster)
})

test('an order that fires late moves leadership once, and harms nothing', () => {
  const { cluster, leader, kept } = withoutOrders()
  submit(cluster, leader, [2, 2])
  inject(cluster, leader, at(cluster, 2), kept[0]!, [])
  submit(cluster, leader, [2])
  expect(awaitLeader(cluster, 2).id).toBe(2)
  const ballots = ballotsOf(cluster)
  // In the next ballot the same order is waste paper.
  for (const order of kept) inject(cluster, leader, at(cluster, 3), order, [])
  for (const order of kept) inject(cluster, leader, at(cluster, 2), order, [])
  runFor(cluster, 3 * T)
  expect(ballotsOf(cluster)).toBe(ballots)
  converge(cluster)
})

test('an order from somebody else, or to one who may not lead, moves nothing', () => {
  const cluster = lab([...voters(9, 5, 0), ['logger', 5], ['learner', 5]])
  const leader = awaitLeader(cluster, 1)
  const ballot = leader.core.view.promised
  const ballots = ballotsOf(cluster)
  const order = { kind: 'take-over', ballot } as const
  inject(cluster, at(cluster, 3), at(cluster, 2), order, [])
  for (const id of [3, 4, 5]) inject(cluster, leader, at(cluster, id), order, [])
  runFor(cluster, 3 * T)
  expect(ballotsOf(cluster)).toBe(ballots)
})

test('a hand-over that is asked while entries wait takes them all along', () => {
  const cluster = lab(voters(9, 5, 5), { pipelineDepth: 1, batchEntriesMax: 5 })
  const leader = awaitLeader(cluster, 1)
  for (let i = 0; i < 8; i++) submit(cluster, leader, [5])
  const answer = transfer(cluster, leader, 3)
  runFor(cluster, 3 * T)
  expect(answer()).toBe('done')
  expect(leaderOf(cluster)).toBe(at(cluster, nodeId(3)))
  expectAllChosen(cluster)
})

test('a leader that loses its quorum while it drains resigns, and nobody is stuck', () => {
  const cluster = lab(voters(9, 5, 5))
  const leader = awaitLeader(cluster, 1)
  submit(cluster, leader, [5])
  const answer = transfer(cluster, leader, 2)
  for (const id of [2, 3]) cut(cluster, leader, at(cluster, id))
  expect(progressWithin(cluster, 8 * T)).toBeGreaterThanOrEqual(0)
  runFor(cluster, 4 * T)
  expect(answer()).toMatch(/^(done|timed-out)$/)
  mendAll(cluster)
  converge(cluster)
})
