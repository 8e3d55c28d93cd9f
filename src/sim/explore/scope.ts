/**
 * What an exploration is bounded by: who is there, where it begins, and how often each thing may
 * happen. Every order of what a scope allows is tried; what it leaves out is not. Plain data.
 *
 * A scope is written `name`, or with other bounds than the named one's: `led,entries=2,crashes=1`.
 */
import type { Member, MemberRole } from '../../core/engine.ts'
import type { NodeId } from '../../core/ids.ts'

export interface Scope {
  readonly what: string
  readonly members: readonly Member[]
  /** Places of nodes that may stand for leader. */
  readonly standers: readonly number[]
  readonly bounds: Bounds
}

/** Numbers, so that the command line can set each. */
export interface Bounds {
  /** 1: begins with the first node as the leader of all, and nothing under way; 0: blank. */
  readonly led: number
  /** Frames that this leader alone has, on its disk: what it sent of them is lost. */
  readonly suffix: number
  /** How often anybody stands, after that. */
  readonly ballots: number
  /** Frames that clients submit, to whoever leads. */
  readonly entries: number
  /** Entries in a frame. */
  readonly frame: number
  /** Power losses: the node is back at once, with any prefix of what was not synced. */
  readonly crashes: number
  /** Rounds of a leader or candidate: it asks again whoever is silent, and tells what is chosen. */
  readonly rounds: number
  /** Streams that a leader starts again because a peer refused something. */
  readonly resets: number
  /** Messages that are delivered, and stay under way. */
  readonly repeats: number
  /** 1: messages of one sender to one receiver keep their order, or are lost; 0: they overtake. */
  readonly ordered: number
  /** 0: messages of a ballot that their receiver is past are lost; 1: they may come at any time. */
  readonly stale: number
}

const member = (id: number, role: MemberRole = 'voter'): Member => ({
  id: id as NodeId,
  role,
  weight: 5,
})
const PAIR: readonly Member[] = [member(1), member(2)]
const THREE: readonly Member[] = [...PAIR, member(3)]
const WITH_LOGGER: readonly Member[] = [...PAIR, member(3, 'logger')]
const WITH_LEARNER: readonly Member[] = [...PAIR, member(3, 'learner')]

const BLANK: Bounds = {
  led: 0,
  suffix: 0,
  ballots: 2,
  entries: 0,
  frame: 1,
  crashes: 0,
  rounds: 0,
  resets: 0,
  repeats: 0,
  ordered: 1,
  stale: 0,
}
const LED: Bounds = { ...BLANK, led: 1, ballots: 1, stale: 1 }

function scopeOf(
  what: string,
  members: readonly Member[],
  standers: readonly number[],
  bounds: Bounds,
): Scope {
  return { what, members, standers, bounds }
}

export const SCOPES: Readonly<Record<string, Scope>> = {
  pair: scopeOf('2 blank nodes, 2 ballots, a crash', PAIR, [0, 1], {
    ...BLANK,
    entries: 1,
    crashes: 1,
  }),
  blank: scopeOf('3 blank nodes, 2 ballots', THREE, [0, 1], BLANK),
  led: scopeOf('a leader of 3, another ballot, a frame', THREE, [0, 1], { ...LED, entries: 1 }),
  crossing: scopeOf('the same, and messages overtake', THREE, [0, 1], {
    ...LED,
    entries: 1,
    ordered: 0,
  }),
  ballots: scopeOf('a leader of 3, 2 more ballots', THREE, [0, 1], { ...LED, ballots: 2 }),
  suffix: scopeOf('a leader with a frame of its own, another ballot and frame', THREE, [0, 1], {
    ...LED,
    suffix: 1,
    entries: 1,
  }),
  rounds: scopeOf('the same, and a round that tells what is chosen', THREE, [0, 1], {
    ...LED,
    suffix: 1,
    entries: 1,
    rounds: 1,
  }),
  chunks: scopeOf('a leader with 2 frames of its own, another ballot', THREE, [0, 1], {
    ...LED,
    suffix: 2,
  }),
  crash: scopeOf('a leader with a frame of its own, another ballot, a crash', THREE, [0, 1], {
    ...LED,
    suffix: 1,
    crashes: 1,
  }),
  logger: scopeOf('a leader of 2 and a Logger, another ballot, a frame', WITH_LOGGER, [0, 1], {
    ...LED,
    entries: 1,
  }),
  learner: scopeOf('a leader of 2 and a learner, another ballot, a frame', WITH_LEARNER, [0, 1], {
    ...LED,
    entries: 1,
  }),
  lives: scopeOf('a leader of 3, the same again, a crash and a frame', THREE, [0], {
    ...LED,
    entries: 1,
    crashes: 1,
  }),
}

/** The scope that a text means; a text that means none: what is wrong with it. */
export function scopeIn(text: string): Scope | { readonly problem: string } {
  const [name = '', ...settings] = text.split(',')
  const scope = Object.hasOwn(SCOPES, name) ? SCOPES[name] : undefined
  if (scope === undefined) return { problem: `want one of ${Object.keys(SCOPES).join(', ')}` }
  const bounds: Record<string, number> = { ...scope.bounds }
  for (const setting of settings) {
    const [, bound = '', count] = /^([a-z]+)=(\d)$/.exec(setting) ?? []
    if (!Object.hasOwn(bounds, bound)) {
      return { problem: `${setting}: want ${Object.keys(bounds).join('|')}=0..9` }
    }
    bounds[bound] = Number(count)
  }
  return { ...scope, bounds: bounds as unknown as Bounds }
}
