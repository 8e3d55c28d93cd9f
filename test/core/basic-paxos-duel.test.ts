/**
 * Dueling proposers: what two proposers on the same instances cost, and the schedule under which
 * they never decide anything. Basic Paxos is safe in both; only time (a random back-off) or a
 * unique proposer ends the duel.
 */
import { expect, test } from 'vitest'
import { createBasicPaxos } from '../../src/core/basic-paxos/core.ts'
import type { BasicPaxosMessage } from '../../src/core/basic-paxos/messages.ts'
import { blankBasicPaxos } from '../../src/core/basic-paxos/recovered.ts'
import type { Core, Effect, Input, Member } from '../../src/core/engine.ts'
import type { FrameRef } from '../../src/core/frame-ref.ts'
import { type LogIndex, type NodeId, NO_BALLOT } from '../../src/core/ids.ts'
import { type Cluster, openCluster, runFor, submit } from '../support/basic-paxos-cluster.ts'

/** Prepare messages for each chosen value; two in peace. */
const preparesPerValue = (cluster: Cluster): number =>
  (cluster.counts.get('basic-prepare') ?? 0) / cluster.chosen.size

function contend(proposers: number, retryMs: number): Cluster {
  const roles = ['voter', 'voter', 'voter'] as const
  const cluster = openCluster({ seed: 11, roles, proposers, retryMs, inflight: 1 })
  for (let round = 0; round < 200; round++) {
    for (const node of cluster.nodes) submit(cluster, node)
    runFor(cluster, 60)
  }
  runFor(cluster, 20_000)
  return cluster
}

test('two proposers without back-off need far more prepares a value, and stay safe', () => {
  const [single, dueling] = [contend(1, 0), contend(2, 0)]
  expect(preparesPerValue(single)).toBe(2)
  expect(preparesPerValue(dueling)).toBeGreaterThan(2 * 2)
  expect(dueling.counts.get('basic-reject')).toBeGreaterThan(dueling.chosen.size)
  // Safe: the cluster's oracle watched each step; and each value chosen is chosen once.
  expect(new Set(dueling.chosen.values()).size).toBe(dueling.chosen.size)
})

test('a random back-off makes the duel cheaper, and decides every value', () => {
  const [dueling, patient] = [contend(2, 0), contend(2, 40)]
  expect(preparesPerValue(patient)).toBeLessThan(preparesPerValue(dueling))
  expect(patient.chosen.size).toBe(patient.submitted.size)
})

// ---- A schedule by hand ------------------------------------------------------------------------

interface Letter {
  readonly from: NodeId
  readonly to: NodeId
  readonly message: BasicPaxosMessage
  readonly frames: readonly FrameRef[]
}

interface Duel {
  readonly cores: readonly Core<BasicPaxosMessage>[]
  /** Sent and not delivered. */
  letters: Letter[]
  readonly chosen: Set<number>
}

const ALL = [1, 2, 3] as NodeId[]

function openDuel(): Duel {
  const members: Member[] = ALL.map((id) => ({ id, role: 'voter', weight: 5 }))
  const config = { members, proposers: 2, inflightInstancesMax: 1, retryMs: 0, seed: 1 }
  const cores = ALL.map((self) => createBasicPaxos({ ...config, self }, blankBasicPaxos()))
  const duel: Duel = { cores, letters: [], chosen: new Set() }
  for (const id of ALL) step(duel, id, { kind: 'tick', now: 0 })
  for (const id of ALL)
    for (const peer of ALL) if (peer !== id) step(duel, id, { kind: 'link', peer, up: true })
  duel.letters = []
  return duel
}

/** Disks are instant here: it is the order of messages that matters. */
function step(duel: Duel, id: NodeId, input: Input<BasicPaxosMessage>): void {
  const effects: Effect<BasicPaxosMessage>[] = []
  duel.cores[id - 1]!.step(input, effects)
  let lsn = null
  for (const effect of effects) {
    if (effect.kind === 'append') lsn = effect.lsn
    if (effect.kind === 'send') duel.letters.push({ from: id, ...effect })
    if (effect.kind === 'chosen') duel.chosen.add(effect.through)
  }
  if (lsn !== null) step(duel, id, { kind: 'durable', lsn })
}

/** Delivers the letters of one kind that `from` sent or, for answers, that are meant for it. */
function deliver(duel: Duel, kind: string, of: number): number {
  const isPicked = (letter: Letter): boolean =>
    letter.message.kind === `basic-${kind}` &&
    (kind === 'prepare' || kind === 'accept' ? letter.from === of : letter.to === of)
  const picked = duel.letters.filter(isPicked)
  duel.letters = duel.letters.filter((letter) => !isPicked(letter))
  for (const { from, to, message, frames } of picked) {
    const copies = frames.map((frame) => ({ ...frame, kept: false }))
    step(duel, to, { kind: 'message', from, message, frames: copies })
  }
  return picked.length
}

function propose(duel: Duel, id: number, value: number): void {
  const frame: FrameRef = {
    first: 0 as LogIndex,
    count: 1,
    ballot: NO_BALLOT,
    sizeBytes: 128,
    headerCrc: value,
    continues: false,
    ring: 0,
    offset: 0,
    end: 0,
    kept: false,
    holds: 0,
  }
  step(duel, id as NodeId, { kind: 'submitted', ballot: NO_BALLOT, frames: [frame] })
}

/** `id` gets its promises, while the accepts of the other one come too late everywhere. */
function prepareJustInTime(duel: Duel, id: number): void {
  const other = 3 - id
  expect(deliver(duel, 'prepare', id), `prepares of ${id}`).toBe(2)
  deliver(duel, 'accept', other)
  deliver(duel, 'reject', other)
  deliver(duel, 'promise', id)
}

test('two proposers that always prepare just in time never decide: the livelock', () => {
  const duel = openDuel()
  propose(duel, 1, 101)
  propose(duel, 2, 202)
  const rounds = 50
  for (let round = 0; round < rounds; round++) {
    prepareJustInTime(duel, 1)
    prepareJustInTime(duel, 2)
    expect(duel.chosen.size, `nothing is chosen in round ${round}`).toBe(0)
  }
  expect(duel.cores[2]!.view.promised / 65_536).toBeGreaterThan(rounds)

  // One accept that comes in time ends it.
  deliver(duel, 'accept', 2)
  deliver(duel, 'accepted', 2)
  expect(duel.chosen.size).toBe(1)
})
