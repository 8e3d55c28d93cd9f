/**
 * Conversations with one Basic Paxos core, as scripts: what it orders, what it answers and when.
 * The node is 1 of members 1..3 unless `open` says otherwise; `b=2.3` is round 2 of node 3.
 */
import { test } from 'vitest'
import { createBasicPaxos } from '../../src/core/basic-paxos/core.ts'
import type { BasicPaxosMessage } from '../../src/core/basic-paxos/messages.ts'
import { type BasicPaxosRecord, foldBasicPaxos } from '../../src/core/basic-paxos/recovered.ts'
import type { Core, Effect, Input, Member } from '../../src/core/engine.ts'
import type { FrameRef } from '../../src/core/frame-ref.ts'
import {
  type Ballot,
  type LogIndex,
  type Lsn,
  type NodeId,
  NO_BALLOT,
  ballotOf,
  ballotOwner,
  ballotRound,
} from '../../src/core/ids.ts'
import { type Command, numberOf, runScript } from '../support/datadriven.ts'

interface Bench {
  core: Core<BasicPaxosMessage>
  open: Command
  records: BasicPaxosRecord[]
  durable: number
  readonly frames: Map<number, FrameRef>
}

for (const name of ['acceptor', 'proposer', 'learner']) {
  test(`basic-paxos ${name}: testdata/basic-paxos-${name}.txt`, () => {
    const bench: { now: Bench | null } = { now: null }
    const file = new URL(`./testdata/basic-paxos-${name}.txt`, import.meta.url)
    runScript(file, (command) => {
      if (command.name === 'open') {
        bench.now = openBench(command)
        return ''
      }
      if (bench.now === null) throw new Error('open comes first')
      return run(bench.now, command)
    })
  })
}

function openBench(open: Command): Bench {
  return { core: coreOf(open, []), open, records: [], durable: 0, frames: new Map() }
}

function coreOf(open: Command, records: readonly BasicPaxosRecord[]): Core<BasicPaxosMessage> {
  const count = numberOf(open, 'members', 3)
  const members: Member[] = []
  for (let id = 1; id <= count; id++) members.push({ id: id as NodeId, role: 'voter', weight: 5 })
  const config = {
    self: numberOf(open, 'self', 1) as NodeId,
    members,
    proposers: numberOf(open, 'proposers', 1),
    inflightInstancesMax: numberOf(open, 'inflight', 4),
    retryMs: numberOf(open, 'retryMs', 20),
    seed: 1,
  }
  return createBasicPaxos(config, foldBasicPaxos(records))
}

function run(bench: Bench, command: Command): string {
  switch (command.name) {
    case 'restart':
      // What was not durable is gone.
      bench.records = bench.records.filter(({ lsn }) => lsn <= bench.durable)
      bench.core = coreOf(bench.open, bench.records)
      return ''
    case 'view': {
      const { role, leader, last, chosen } = bench.core.view
      return `${role} leader=${leader} last=${last} chosen=${chosen}`
    }
    case 'kept': {
      const kept = [...bench.frames].filter(([, frame]) => frame.kept).map(([value]) => value)
      return `kept ${kept.join(' ')}`
    }
    default:
      return step(bench, inputOf(bench, command))
  }
}

function inputOf(bench: Bench, command: Command): Input<BasicPaxosMessage> {
  const value = numberOf(command, 'value', 0)
  const frames = value === 0 ? [] : [frameOf(bench, value)]
  switch (command.name) {
    case 'tick':
      return { kind: 'tick', now: numberOf(command, 'now') }
    case 'durable':
      bench.durable = numberOf(command, 'lsn')
      return { kind: 'durable', lsn: bench.durable as Lsn }
    case 'link':
      return {
        kind: 'link',
        peer: numberOf(command, 'peer') as NodeId,
        up: command.words.includes('up'),
      }
    case 'submit':
      return { kind: 'submitted', ballot: NO_BALLOT, frames }
    case 'applied':
      return { kind: 'applied', through: numberOf(command, 'through') as LogIndex }
    case 'pressure':
      return { kind: 'pressure', ring: 1 }
    case 'read-done':
      return { kind: 'read-done', ticket: numberOf(command, 'ticket'), frames }
    default: {
      const from = numberOf(command, 'from') as NodeId
      return { kind: 'message', from, message: messageOf(command), frames }
    }
  }
}

function messageOf(command: Command): BasicPaxosMessage {
  const message: Record<string, unknown> = { kind: `basic-${command.name}`, known: 0 }
  for (const [key, text] of command.args) {
    if (key === 'i') message['instance'] = Number(text)
    else if (key === 'b') message['ballot'] = ballotFrom(text)
    else if (key === 'acceptedBallot' || key === 'promised') message[key] = ballotFrom(text)
    else if (key === 'asked') message['from'] = Number(text)
    else message[key] = key === 'from' ? message['from'] : Number(text)
  }
  if (command.name === 'promise') message['acceptedBallot'] ??= NO_BALLOT
  return message as unknown as BasicPaxosMessage
}

function ballotFrom(text: string): Ballot {
  const [round = '0', node = '0'] = text.split('.')
  return node === '0' ? NO_BALLOT : ballotOf(Number(round), Number(node) as NodeId)
}

function frameOf(bench: Bench, value: number): FrameRef {
  const frame: FrameRef = {
    first: 0 as LogIndex,
    count: 1,
    ballot: NO_BALLOT,
    sizeBytes: 128,
    headerCrc: value,
    continues: false,
    ring: 1,
    offset: 0,
    end: 0,
    kept: false,
    holds: 0,
  }
  bench.frames.set(value, frame)
  return frame
}

function step(bench: Bench, input: Input<BasicPaxosMessage>): string {
  const effects: Effect<BasicPaxosMessage>[] = []
  bench.core.step(input, effects)
  for (const effect of effects) {
    if (effect.kind !== 'append') continue
    const { lsn, record, frames } = effect
    bench.records.push({ lsn, record, frame: frames[0] ?? null })
  }
  return effects.map(lineOf).join('\n')
}

function lineOf(effect: Effect<BasicPaxosMessage>): string {
  switch (effect.kind) {
    case 'append': {
      const { kind, ...fields } = effect.record
      const lazy = effect.lazy ? ' lazy' : ''
      return `append ${effect.lsn} ${kind}${textOf(fields)}${valuesOf(effect.frames)}${lazy}`
    }
    case 'send': {
      const { kind, ...fields } = effect.message
      const name = kind.slice('basic-'.length)
      return `send ${effect.to} ${name}${textOf(fields)}${valuesOf(effect.frames)}`
    }
    case 'apply':
      return `apply ${effect.first}${valuesOf(effect.frames)}`
    case 'chosen':
      return `chosen ${effect.through}`
    case 'read':
      return `read ticket=${effect.ticket} ${effect.from}..${effect.through}`
    case 'lead':
      return `lead next=${effect.next}`
    case 'event':
      return `event ${effect.name} ${effect.value}`
    default:
      return effect.kind
  }
}

/** The fields that say something: ballots as round.node; `known` only when there is some. */
function textOf(fields: object): string {
  let text = ''
  for (const [key, value] of Object.entries(fields) as [string, number][]) {
    if (key === 'known' && value === 0) continue
    const isBallot = key === 'ballot' || key === 'promised' || key === 'acceptedBallot'
    const shown = isBallot && value > 0 ? ballotText(value as Ballot) : String(value)
    text += ` ${key === 'instance' ? 'i' : key === 'ballot' ? 'b' : key}=${shown}`
  }
  return text
}

const ballotText = (ballot: Ballot): string => `${ballotRound(ballot)}.${ballotOwner(ballot)}`

const valuesOf = (frames: readonly FrameRef[]): string =>
  frames.length === 0 ? '' : ` value=${frames.map((frame) => frame.headerCrc).join(',')}`
