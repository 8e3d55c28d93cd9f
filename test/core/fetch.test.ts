/**
 * How a candidate gets the log that it adopts (R8): a window ahead, from whoever holds it, and
 * never from a log that has become another one meanwhile.
 */
import { expect, test } from 'vitest'
import { type LogIndex, ballotAbove } from '../../src/core/ids.ts'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'
import {
  type Cluster,
  type ClusterOptions,
  type Node,
  connect,
  crash,
  disconnect,
  inject,
  leaderOf,
  mendAll,
  restart,
  runFor,
  runUntilDone,
  submit,
} from '../support/cluster.ts'
import { ballot, hear, ofKind, sentIn, stateOf, sync } from '../support/core-state.ts'
import { T, at, converge, isolate, lab, leaderIn, voters } from '../support/lab.ts'

const FRAMES = 60

/** Node 3 stands next; nodes 1 and 2 hold 60 frames that it lacks, and whoever led is gone. */
function behind(options: Partial<ClusterOptions> = {}): {
  cluster: Cluster
  candidate: Node
  source: Node
  old: Node
} {
  const cluster = lab(voters(1, 1, 9), { batchBytesMax: 512, ...options })
  const candidate = at(cluster, 3)
  leaderIn(cluster)
  isolate(cluster, candidate)
  runFor(cluster, 4 * T)
  const old = leaderOf(cluster)!
  for (let i = 0; i < FRAMES; i++) submit(cluster, old, [5])
  runFor(cluster, 4 * T)
  expect(cluster.oracle.chosenThrough).toBe(5 * FRAMES)
  crash(cluster, old, Infinity)
  const source = cluster.nodes.find((node) => node.alive && node !== candidate)!
  mendAll(cluster)
  return { cluster, candidate, source, old }
}

/** What is sent of a kind, with its time. */
function record<Kind extends XPaxosMessage['kind']>(cluster: Cluster, kind: Kind) {
  const sent: { at: number; message: XPaxosMessage & { kind: Kind }; frames: number }[] = []
  const before = cluster.onEffect
  cluster.onEffect = (node, effect) => {
    before(node, effect)
    if (effect.kind !== 'send' || effect.message.kind !== kind) return
    const message = effect.message as XPaxosMessage & { kind: Kind }
    sent.push({ at: cluster.now, message, frames: effect.frames.length })
  }
  return sent
}

test('a candidate far behind takes two round trips, not one a batch', () => {
  const roundTrip = 60
  const { cluster, candidate } = behind({
    ...{ linkDelay: [30, 30], readDelay: [1, 1] },
    pipelineDepth: 64,
  })
  const fetched = record(cluster, 'fetched')
  const asked = record(cluster, 'fetch')
  runUntilDone(cluster, 20 * T, () => candidate.leading !== null)
  expect(candidate.core.view.last).toBeGreaterThanOrEqual(5 * FRAMES)
  const messages = fetched.filter(({ frames }) => frames > 0)
  expect(messages.length).toBeGreaterThan(20)
  expect(messages.at(-1)!.at + roundTrip / 2 - asked[0]!.at).toBeLessThan(3 * roundTrip)
  converge(cluster)
})

test('what is under way to a candidate is bounded by window and depth', () => {
  const { cluster, candidate } = behind({ windowBytes: 2_048, pipelineDepth: 3 })
  let open = 0
  let most = 0
  cluster.onEffect = (_node, effect) => {
    if (effect.kind !== 'send') return
    if (effect.message.kind === 'fetched' && effect.frames.length > 0) most = Math.max(most, ++open)
    if (effect.message.kind === 'fetch') open = Math.max(0, open - 1)
  }
  runUntilDone(cluster, 20 * T, () => candidate.leading !== null)
  expect(candidate.core.view.last).toBeGreaterThanOrEqual(5 * FRAMES)
  expect(most).toBeGreaterThan(1)
  expect(most).toBeLessThanOrEqual(4) // one fetch may be on its way
  converge(cluster)
})

test('a source that promised a higher ballot in between serves not one frame more', () => {
  const { cluster, candidate, source } = behind({ windowBytes: 1_024, pipelineDepth: 2 })
  const fetched = record(cluster, 'fetched')
  runUntilDone(cluster, 20 * T, () => fetched.length >= 4)
  const { ballot } = fetched.at(-1)!.message
  expect(candidate.core.view.promised).toBe(ballot)
  const higher = ballotAbove(ballot, source.id)
  inject(cluster, at(cluster, 1), source, { kind: 'prepare', ballot: higher }, [])
  const count = fetched.length
  runFor(cluster, T)
  const later = fetched.slice(count).filter(({ message }) => message.ballot === ballot)
  expect(later.filter(({ frames }) => frames > 0)).toEqual([])
  expect(candidate.leading).toBeNull()
  cluster.filter = () => undefined
  expect(runUntilDone(cluster, 40 * T, () => candidate.leading !== null)).toBeGreaterThan(0)
  expect(candidate.leading!.ballot).toBeGreaterThan(higher)
  converge(cluster)
})

test('a link that is reset in between: the fetch goes on in the new session', () => {
  const { cluster, candidate, source } = behind({ windowBytes: 1_024, pipelineDepth: 2 })
  const fetched = record(cluster, 'fetched')
  runUntilDone(cluster, 20 * T, () => fetched.length >= 4)
  const { ballot } = fetched.at(-1)!.message
  disconnect(cluster, candidate, source)
  connect(cluster, candidate, source)
  expect(runUntilDone(cluster, 4 * T, () => candidate.leading !== null)).toBeGreaterThan(0)
  expect(candidate.leading!.ballot).toBe(ballot)
  converge(cluster)
})

test('one message lost: the supplier is given up, another gives the rest', () => {
  const { cluster, candidate, old } = behind({ windowBytes: 1_024, pipelineDepth: 2 })
  restart(cluster, old)
  let fetched = 0
  const suppliers = new Set<number>()
  const ballots = new Set<number>()
  cluster.filter = (from, _to, message) => {
    if (message.kind !== 'fetched') return undefined
    suppliers.add(from)
    ballots.add(message.ballot)
    fetched += 1
    return fetched === 5 ? 'drop' : undefined
  }
  expect(runUntilDone(cluster, 20 * T, () => candidate.leading !== null)).toBeGreaterThan(0)
  expect([...suppliers].sort()).toEqual([1, 2])
  expect([...ballots]).toEqual([candidate.leading!.ballot])
  converge(cluster)
})

test('a supplier serves the log that is asked for, of another one what it knows chosen', () => {
  const ballots = { asked: ballot(2, 3), own: ballot(1, 2), other: ballot(1, 1) }
  const mark = (through: number) => ({
    ...{ through: through as LogIndex, chain: through, continues: false },
  })
  const served = (acceptedBallot: number, through: number): boolean => {
    const recovered = { promised: ballots.own, acceptedBallot: ballots.own }
    const floor = { floor: 2 as LogIndex, floorChain: 2, marks: [3, 4, 5].map(mark) }
    const state = stateOf(1, {}, { ...recovered, ...floor })
    hear(state, 3, { kind: 'prepare', ballot: ballots.asked })
    sync(state)
    const asked = { kind: 'fetch', ballot: ballots.asked, acceptedBallot, from: 1, through }
    const effects = hear(state, 3, asked)
    const isRefused = sentIn(effects, 'fetched').length === 1
    expect(ofKind(effects, 'read')).toHaveLength(isRefused ? 0 : 1)
    return !isRefused
  }
  expect([served(ballots.own, 5), served(ballots.own, 6)]).toEqual([true, false])
  expect([2, 3, 5].map((through) => served(ballots.other, through))).toEqual([true, false, false])
})
