/**
 * Question: what does the decision loop pay for one batch, from submitted to chosen, on a leader of
 *           3, 5 and 7 voters?
 * Unit:     ns per batch: one submitted input, one durable, one accepted from each follower.
 * Control:  a tick that changes nothing.
 * Excludes: cells, rings and threads (suites/ring-hop.bench.ts), payload bytes (the core sees
 * none).
 */
import { Bench } from 'tinybench'
import type { Core, Effect, Input, Member } from '../../src/core/engine.ts'
import type { FrameRef } from '../../src/core/frame-ref.ts'
import { type Ballot, type LogIndex, type NodeId, nodeId } from '../../src/core/ids.ts'
import { createXPaxos } from '../../src/core/xpaxos/core.ts'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'

const BATCHES = 256
const ENTRIES = 1_000
const VOTER_COUNTS = [3, 5, 7]

type Step = (input: Input<XPaxosMessage>) => readonly Effect<XPaxosMessage>[]

interface Leader {
  readonly step: Step
  readonly core: Core<XPaxosMessage>
  readonly ballot: Ballot
  readonly followers: readonly NodeId[]
  next: number
}

export function coreSuite(timeMs: number): Bench {
  const bench = new Bench({ name: 'core/step', time: timeMs, warmupTime: timeMs, throws: true })
  const idle = electedLeader(3)
  let now = 1_000_000
  bench.add('control: tick', () => {
    for (let i = 0; i < BATCHES; i++) idle.step({ kind: 'tick', now: (now += 0) })
  })
  for (const voters of VOTER_COUNTS) {
    const leader = electedLeader(voters)
    bench.add(`submitted to chosen: ${voters} voters`, () => {
      for (let i = 0; i < BATCHES; i++) chooseOne(leader)
    })
  }
  return bench
}

/** One iteration is BATCHES batches. */
export const nsPerBatch = (latencyMs: number): number => (latencyMs * 1e6) / BATCHES

function electedLeader(voters: number): Leader {
  const members: Member[] = Array.from({ length: voters }, (_, place) => ({
    id: nodeId(place + 1),
    role: 'voter',
    weight: 5,
  }))
  const self = nodeId(1)
  const core = createXPaxos({
    ...{ self, members, heartbeatMs: 50, electionTimeoutMs: 500, seed: 1 },
    ...{ requestBase: 0, leaseMs: 0, driftPerMille: 0 },
    ...{ windowBytes: 2 ** 23, batchBytesMax: 2 ** 20, pipelineDepth: 8 },
    ...{ catchUpBytesMax: 2 ** 22 },
    batchEntriesMax: Number.MAX_SAFE_INTEGER,
  })
  const followers = members.slice(1).map(({ id }) => id)
  const effects: Effect<XPaxosMessage>[] = []
  const step: Step = (input) => {
    effects.length = 0
    core.step(input, effects)
    return effects
  }
  for (const peer of followers) step({ kind: 'link', peer, up: true })
  for (let now = 0; core.view.role !== 'leader'; now += 10) elect(step, followers, now)
  return { step, core, ballot: core.view.promised, followers, next: 1 }
}

/** Answers whatever the candidate asks, as followers with empty logs would. */
function elect(step: Step, followers: readonly NodeId[], now: number): void {
  const inbox: { readonly from: NodeId; readonly message: XPaxosMessage }[] = []
  let lsn = 0
  const look = (effects: readonly Effect<XPaxosMessage>[]): void => {
    for (const effect of effects) {
      if (effect.kind === 'append') lsn = effect.lsn
      if (effect.kind !== 'send' || !followers.includes(effect.to)) continue
      const answer = answerTo(effect.message)
      if (answer !== null) inbox.push({ from: effect.to, message: answer })
    }
  }
  look(step({ kind: 'tick', now }))
  if (lsn > 0) look(step({ kind: 'durable', lsn: lsn as never }))
  while (inbox.length > 0) {
    look(step({ kind: 'message', ...inbox.shift()!, frames: [] }))
    if (lsn > 0) look(step({ kind: 'durable', lsn: lsn as never }))
  }
}

function answerTo(message: XPaxosMessage): XPaxosMessage | null {
  const none = { last: 0 as LogIndex, floor: 0 as LogIndex, floorChain: 0 }
  if (message.kind === 'heartbeat') {
    const { round } = message
    const { last } = none
    const standing = { promised: 0 as Ballot, content: 0, connected: 1, last }
    const log = { firstRetained: 1 as LogIndex, full: 0 }
    return { kind: 'heartbeat-reply', round, ...standing, ...log }
  }
  if (message.kind !== 'prepare') return null
  const { ballot } = message
  const acceptedBallot = 0 as Ballot
  return { kind: 'promise', ballot, acceptedBallot, ...none, firstRetained: 1 as LogIndex }
}

function chooseOne(leader: Leader): void {
  const { step, ballot, followers } = leader
  const first = leader.next as LogIndex
  const frame: FrameRef = {
    ...{ first, count: ENTRIES, ballot, sizeBytes: 20_096, headerCrc: leader.next >>> 0 },
    ...{ continues: false, ring: 0, offset: 0, end: 0, kept: false, holds: 0 },
  }
  leader.next += ENTRIES
  const through = (first + ENTRIES - 1) as LogIndex
  let lsn = 0
  for (const effect of step({ kind: 'submitted', ballot, frames: [frame] })) {
    if (effect.kind === 'append') lsn = effect.lsn
  }
  step({ kind: 'durable', lsn: lsn as never })
  for (const from of followers) {
    const accepted = { kind: 'accepted', ballot, attempt: 0, through } as const
    step({ kind: 'message', from, message: accepted, frames: [] })
  }
  step({ kind: 'applied', through })
  if (leader.core.view.chosen !== through) throw new Error('the batch was not chosen')
}
