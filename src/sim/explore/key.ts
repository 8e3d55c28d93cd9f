/**
 * One text for all nodes that behave alike: what the explorer knows a node by. Fields that no rule
 * of safety reads are left out, LSNs count from what is durable, tickets of reads by their order.
 * Time stands still in an exploration, so all fields of time say the same. Pure.
 */
import type { Peer, State } from '../../core/xpaxos/state.ts'
import type { Frame } from '../frames.ts'
import type { Node } from './node.ts'

/** Fields of a core's state that decide nothing in an exploration, each with its reason. */
const IGNORED: Readonly<Record<string, string>> = {
  config: 'the same all along',
  refreshedFor: 'follows configs',
  random: 'jitters timers',
  round: 'numbers heartbeats, whose answers are lost',
  acceptedBatches: 'for people',
  held: 'for trimming',
  announcedLeader: 'for people',
  announcedConfig: 'for people',
  heardBallot: 'for people, and for reads',
  heardAt: 'for people, and for reads',
  readState: 'no reads are asked',
  nextTicket: 'tickets are named by their order',
  nextLsn: 'one above the newest record that waits',
  durableLsn: 'LSNs count from it',
}

/** What a node is called in the text, by id: nodes that may change places change names. */
export type Names = readonly number[]

interface Context {
  readonly durableLsn: number
  readonly tickets: readonly number[]
  readonly names: Names
}

export function keyOfNode(node: Node, names: Names): string {
  const { state, leading, unsynced, fold, durable, reads, promiseSent, applyNext } = node
  const context = { durableLsn: state.durableLsn, tickets: [...state.reads.keys()], names }
  const { sync } = durable
  return [
    stateText(state, context),
    leading === null ? '' : leading.next,
    unsynced.map(({ record, floor, frames }) => textOf([record, floor, frames], context)).join(),
    durable.floor,
    durable.frames.map(serialOf).join(),
    sync === null ? '' : textOf(sync, context),
    [fold.promised, fold.acceptedBallot, fold.floor, fold.marks.length].join(),
    reads.map(({ from, through }) => `${from}-${through}`).join(),
    promiseSent,
    applyNext,
  ].join('|')
}

const serialOf = ({ serial }: Frame): number => serial

function stateText(state: State, context: Context): string {
  const words: string[] = []
  for (const [field, value] of Object.entries(state)) {
    if (field in IGNORED) continue
    if (field === 'peers') words.push(peersText(value as Peer[], context))
    else if (field === 'reads') words.push(textOf([...state.reads.values()], context))
    else words.push(textOf(value, context))
  }
  return words.join()
}

/** In the order of their names. */
function peersText(peers: readonly Peer[], context: Context): string {
  const { names } = context
  return textOf(
    [...peers].sort((a, b) => names[a.id]! - names[b.id]!),
    context,
  )
}

function textOf(value: unknown, context: Context): string {
  if (typeof value !== 'object' || value === null) return String(value)
  if ('serial' in value) return `f${String(value.serial)}`
  if ('membership' in value) return `c${String((value as { index?: number }).index)}`
  const { names } = context
  if (Array.isArray(value)) return `[${value.map((one) => textOf(one, context)).join()}]`
  if (value instanceof Set) {
    const ids = [...(value as Set<number>)].map((id) => names[id]!)
    return `{${ids.sort((a, b) => a - b).join()}}`
  }
  if (value instanceof Map) {
    const pairs = [...(value as Map<number, unknown>)]
    return `{${pairs.map(([id, one]) => `${names[id]!}:${textOf(one, context)}`).join()}}`
  }
  const words: string[] = []
  for (const [field, one] of Object.entries(value)) words.push(fieldText(field, one, context))
  return `(${words.join()})`
}

function fieldText(field: string, value: unknown, context: Context): string {
  switch (field) {
    case 'lsn':
      return String(Math.max(0, Number(value) - context.durableLsn))
    case 'reading':
      return String(context.tickets.indexOf(Number(value)))
    case 'id':
    case 'to':
    case 'from':
    case 'peer':
      return String(context.names[Number(value)])
    default:
      return textOf(value, context)
  }
}
