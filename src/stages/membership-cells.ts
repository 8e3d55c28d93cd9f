/**
 * Cells about the membership, between the caller's thread and decide: orders and answers of
 * operators, and memberships as bytes, which take several cells of one group.
 *
 *     word           0      1       2       3       4      5       6       7        8
 *     CONFIGURE      280    ballot  size    pieces                   followed by the pieces
 *     MEMBERSHIP     281    index   size    pieces                   followed by the pieces
 *     PIECE          282    15 words of four bytes each
 *     CHANGE         283    id      kind    node    role   weight  forced  source   prepare accept
 *     TRANSFER       284    id      target
 *     CHANGED        285    id      outcome
 *     TRANSFERRED    286    id      outcome
 *
 * In CONFIGURE no bytes at all ask for the empty frame alone. In CHANGE a word that is -1 is not
 * given. Pure; the producer's and the consumer's thread of the ring.
 */
import { unreachable } from '../base/assert.ts'
import { encodeMembership } from '../codec/membership.ts'
import type { ChangeOutcome, Effect, MemberRole, TransferOutcome } from '../core/engine.ts'
import type { NodeId } from '../core/ids.ts'
import type { Change, Membership } from '../core/membership.ts'
import { CELL_WORDS, type CellRing, cellBase } from '../ring/cell-ring.ts'
import { type OutPort, claim } from './port.ts'

export const CONFIGURE = 280
export const MEMBERSHIP = 281
export const PIECE = 282
export const CHANGE = 283
export const TRANSFER = 284
export const CHANGED = 285
export const TRANSFERRED = 286

const PIECE_WORDS = CELL_WORDS - 1
const WORD_SIZE_BYTES = 4
const NOT_GIVEN = -1

/** By code. */
const CHANGE_OUTCOMES: readonly ChangeOutcome[] = [
  'done',
  'not-leader',
  'not-ready',
  'conflict',
  'invalid',
  'lagging',
  'unknown',
]
const TRANSFER_OUTCOMES: readonly TransferOutcome[] = [
  'done',
  'not-leader',
  'not-ready',
  'conflict',
  'illegal',
  'timed-out',
]
const KINDS: readonly Change['kind'][] = ['add', 'remove', 'role', 'set', 'quorums']
const ROLES: readonly MemberRole[] = ['voter', 'logger', 'learner']
const FORCED = ['armed', 'degraded', 'none'] as const

/** Claims the group and fills it. `kind` is CONFIGURE or MEMBERSHIP, `value` its word 1. */
export function writeMembership(
  port: OutPort,
  kind: number,
  value: number,
  membership: Membership | null,
): void {
  const bytes = membership === null ? new Uint8Array(0) : encodeMembership(membership)
  const words = Math.ceil(bytes.length / WORD_SIZE_BYTES)
  const pieces = Math.ceil(words / PIECE_WORDS)
  const head = claim(port, pieces)
  port.words.set([kind, value, bytes.length, pieces], head)
  const view = new DataView(bytes.buffer)
  for (let piece = 0; piece < pieces; piece++) {
    const base = claim(port)
    port.words[base] = PIECE
    for (let i = 0; i < PIECE_WORDS; i++) {
      const at = (piece * PIECE_WORDS + i) * WORD_SIZE_BYTES
      if (at < bytes.length) port.words[base + 1 + i] = view.getUint32(at, true)
    }
  }
}

/** The bytes behind the cell at `place` of a ring that is being drained. */
export function readMembership(cells: CellRing, place: number): Uint8Array {
  const head = cellBase(cells, place)
  const size = cells.words[head + 2]!
  const pieces = cells.words[head + 3]!
  const bytes = new Uint8Array(pieces * PIECE_WORDS * WORD_SIZE_BYTES)
  const view = new DataView(bytes.buffer)
  for (let piece = 0; piece < pieces; piece++) {
    const base = cellBase(cells, place + 1 + piece)
    for (let i = 0; i < PIECE_WORDS; i++) {
      const at = (piece * PIECE_WORDS + i) * WORD_SIZE_BYTES
      view.setUint32(at, cells.words[base + 1 + i]!, true)
    }
  }
  return bytes.subarray(0, size)
}

/** Cells of a group with this head, the head included. */
export const groupCellsOf = (words: Float64Array, base: number): number => 1 + words[base + 3]!

export function writeChange(words: Float64Array, base: number, id: number, change: Change): void {
  words.fill(NOT_GIVEN, base + 3, base + 10)
  words[base] = CHANGE
  words[base + 1] = id
  words[base + 2] = KINDS.indexOf(change.kind)
  if ('id' in change) words[base + 3] = change.id
  if ('weight' in change && change.weight !== undefined) words[base + 5] = change.weight
  if ('source' in change && change.source !== undefined) words[base + 7] = change.source
  if (change.kind === 'add' && change.promote) words[base + 4] = ROLES.indexOf(change.promote)
  if (change.kind === 'role') words[base + 4] = ROLES.indexOf(change.role)
  if (change.kind === 'set' && change.forced) words[base + 6] = FORCED.indexOf(change.forced)
  if (change.kind === 'quorums') words.set([change.prepare, change.accept], base + 8)
}

export function readChange(words: Float64Array, base: number): Change {
  const id = words[base + 3]! as NodeId
  const [role, weight, forced, source] = words.subarray(base + 4, base + 8)
  const weighted = weight === NOT_GIVEN ? {} : { weight: weight! }
  const sourced = source === NOT_GIVEN ? {} : { source: source! as NodeId }
  const kind = KINDS[words[base + 2]!]!
  switch (kind) {
    case 'add': {
      const promote = role === NOT_GIVEN ? {} : { promote: ROLES[role!]! as 'voter' | 'logger' }
      return { kind, id, ...promote, ...weighted, ...sourced }
    }
    case 'remove':
      return { kind, id }
    case 'role':
      return { kind, id, role: ROLES[role!]! }
    case 'set': {
      const state = forced === NOT_GIVEN ? {} : { forced: FORCED[forced!]! }
      return { kind, id, ...weighted, ...state, ...sourced }
    }
    case 'quorums':
      return { kind, prepare: words[base + 8]!, accept: words[base + 9]! }
    default:
      return unreachable(kind)
  }
}

/** How an order ended: CHANGED or TRANSFERRED. */
export function writeOutcome(
  port: OutPort | null,
  { kind, id, outcome }: Extract<Effect<never>, { readonly kind: 'changed' | 'transferred' }>,
): void {
  if (port === null) return
  const isChange = kind === 'changed'
  const outcomes: readonly string[] = isChange ? CHANGE_OUTCOMES : TRANSFER_OUTCOMES
  const words = [isChange ? CHANGED : TRANSFERRED, id, outcomes.indexOf(outcome)]
  port.words.set(words, claim(port))
}

export const changeOutcomeOf = (code: number): ChangeOutcome => CHANGE_OUTCOMES[code]!
export const transferOutcomeOf = (code: number): TransferOutcome => TRANSFER_OUTCOMES[code]!
