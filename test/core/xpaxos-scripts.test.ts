/**
 * Conversations with one X-Paxos node, message by message: testdata/xpaxos-*.txt. A script starts
 * with `node`; ballots are written round.node, frames first+count. Each command prints the effects
 * and, where something moved, the new view.
 */
import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { Core, Effect, Member } from '../../src/core/engine.ts'
import type { FrameRef } from '../../src/core/frame-ref.ts'
import { type Ballot, type NodeId, ballotOf, ballotOwner, ballotRound } from '../../src/core/ids.ts'
import { createXPaxos } from '../../src/core/xpaxos/core.ts'
import type { XPaxosMessage } from '../../src/core/xpaxos/messages.ts'
import { type Command, runScript } from '../support/datadriven.ts'
import { CONFIG } from '../support/core-state.ts'
import { type Ring, createRing, place } from '../support/ring-model.ts'

const FOLDER = new URL('./testdata/', import.meta.url)
const BALLOTS = new Set(['ballot', 'acceptedBallot', 'promised'])
/** Fields that a script may leave out. */
const UNSAID = {
  attempt: 1,
  syncChain: -1,
  chosenChain: -1,
  prevChain: -1,
  floorChain: 0,
  chosen: 0,
  held: 0,
  heldByData: 0,
  leaderHolds: 0,
  firstRetained: 1,
  full: 0,
}

interface Session {
  core: Core<XPaxosMessage> | null
  now: number
  lastLsn: number
  view: string
  readonly ring: Ring
}

for (const name of readdirSync(FOLDER).filter((file) => /^xpaxos-.*\.txt$/.test(file))) {
  test(`a node alone: testdata/${name}`, () => {
    const ring = createRing(0)
    const session: Session = { core: null, now: 0, lastLsn: 0, view: '', ring }
    runScript(new URL(name, FOLDER), (command) => handle(session, command))
    expect(session.core).not.toBeNull()
  })
}

function handle(session: Session, command: Command): string {
  const { args } = command
  const effects: Effect<XPaxosMessage>[] = []
  if (command.name === 'node') return start(session, args)
  const core = session.core!
  switch (command.name) {
    case 'tick':
      session.now += Number(args.get('ms') ?? 10)
      core.step({ kind: 'tick', now: session.now }, effects)
      break
    case 'durable': {
      const lsn = Number(args.get('lsn') ?? session.lastLsn)
      core.step({ kind: 'durable', lsn: lsn as never }, effects)
      break
    }
    case 'link':
      core.step({ kind: 'link', peer: idOf(args), up: args.get('up') !== '0' }, effects)
      break
    case 'submit': {
      const frames = framesOf(session, args.get('frames') ?? '', ballotIn(args.get('ballot')!))
      core.step({ kind: 'submitted', ballot: ballotIn(args.get('ballot')!), frames }, effects)
      break
    }
    case 'view':
      return session.view
    default:
      core.step(messageOf(session, command), effects)
  }
  for (const effect of effects) if (effect.kind === 'append') session.lastLsn = effect.lsn
  const before = session.view
  session.view = viewOf(core)
  const moved = before === session.view ? [] : [session.view]
  return [...effects.filter(isShown).map(showEffect), ...moved].join('\n')
}

/** Heartbeats are the noise of every tick. */
const isShown = (effect: Effect<XPaxosMessage>): boolean =>
  effect.kind !== 'send' || effect.message.kind !== 'heartbeat'

function start(session: Session, args: Command['args']): string {
  const roles = (args.get('members') ?? 'voter,voter,voter').split(',')
  const members = roles.map((role, i) => ({ id: i + 1, role, weight: 5 }) as unknown as Member)
  session.core = createXPaxos({
    ...CONFIG,
    self: Number(args.get('self') ?? 2) as NodeId,
    members,
  })
  session.view = viewOf(session.core)
  return session.view
}

const idOf = (args: Command['args']): NodeId =>
  Number(args.get('peer') ?? args.get('from')) as NodeId

function messageOf(session: Session, { name, args }: Command) {
  const message: Record<string, unknown> = { kind: name, ...UNSAID }
  for (const [key, value] of args) {
    if (key === 'from' || key === 'frames' || key === 'born') continue
    message[key] = BALLOTS.has(key) ? ballotIn(value) : Number(value)
  }
  const born = ballotIn(args.get('born') ?? args.get('ballot') ?? '0')
  const frames = framesOf(session, args.get('frames') ?? '', born)
  const from = idOf(args)
  return { kind: 'message', from, message: message as unknown as XPaxosMessage, frames } as const
}

/** Content is named by place and ballot of birth, so that the same frame has the same checksum. */
function framesOf(session: Session, text: string, ballot: Ballot): FrameRef[] {
  if (text === '') return []
  return text.split(',').map((word) => {
    const [first = 0, count = 0] = word.split('+').map(Number)
    const headerCrc = Math.imul(ballot + first * 131 + count, 0x9e3779b1) >>> 0
    const through = (first + count - 1) as never
    const content = { first, count, through, ballot, sizeBytes: 128, serial: 0, headerCrc }
    return place(session.ring, content as never)
  })
}

function ballotIn(text: string): Ballot {
  const [round = 0, node = 0] = text.split('.').map(Number)
  return round === 0 ? (0 as Ballot) : ballotOf(round, node as NodeId)
}

const showBallot = (ballot: Ballot): string =>
  ballot === 0 ? '0' : `${ballotRound(ballot)}.${ballotOwner(ballot)}`

function showEffect(effect: Effect<XPaxosMessage>): string {
  switch (effect.kind) {
    case 'append':
      return `append ${effect.lsn} ${fieldsOf(effect.record)}${showFrames(effect.frames)}`
    case 'send':
      return `send ${effect.to} ${fieldsOf(effect.message)}${showFrames(effect.frames)}`
    case 'send-by-lease':
      return `send-by-lease ${effect.to} ${fieldsOf(effect.message)}`
    case 'read':
      return `read ${effect.from}..${effect.through}`
    case 'apply':
      return `apply${showFrames(effect.frames)}`
    case 'chosen':
      return `chosen ${effect.through}`
    case 'configure':
      return `configure ${effect.membership?.members.length ?? 'empty'}`
    case 'admit':
      return `admit ${effect.open}`
    case 'changed':
    case 'transferred':
      return `${effect.kind} ${effect.id} ${effect.outcome}`
    case 'lead':
      return `lead ${showBallot(effect.ballot)} next=${effect.next}`
    case 'unlead':
      return `unlead leader=${effect.leader}`
    case 'read-ready':
      return `read-ready ${effect.id} index=${effect.index}`
    case 'lease':
      return `lease until=${effect.until}`
    case 'read-refused':
      return `read-refused ${effect.id} ${effect.reason}`
    case 'event':
      return `event ${effect.name} ${effect.value}`
  }
}

const showFrames = (frames: readonly FrameRef[]): string =>
  frames.map(({ first, count }) => ` ${first}+${count}`).join('')

function fieldsOf(record: { readonly kind: string }): string {
  const words = Object.entries(record)
    .filter(([key]) => key !== 'kind' && !key.endsWith('Chain') && key !== 'attempt')
    .map(
      ([key, value]) =>
        `${key}=${BALLOTS.has(key) ? showBallot(Number(value) as Ballot) : String(value)}`,
    )
  return [record.kind, ...words].join(' ')
}

function viewOf({ view }: Core<XPaxosMessage>): string {
  const { role, promised, acceptedBallot, last, chosen, durable } = view
  const ballots = `promised=${showBallot(promised)} accepted=${showBallot(acceptedBallot)}`
  return `[${role} ${ballots} last=${last} durable=${durable} chosen=${chosen}]`
}
