/**
 * Well-formed messages that no honest core would send (T18, S3), in any order, to a node in any
 * role: the fields are in range, and mean nothing. The node does not throw, and nothing that it has
 * said stops being true: its promises, and what it knows chosen.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FrameRef } from '../../src/core/frame-ref.ts'
import type { LogIndex } from '../../src/core/ids.ts'
import { standForLeader } from '../../src/core/xpaxos/phase1.ts'
import type { State } from '../../src/core/xpaxos/state.ts'
import { chainAt, lastOf } from '../../src/core/xpaxos/tail.ts'
import {
  ballot,
  createMaker,
  give,
  hear,
  leaderOf,
  membersOf,
  stateOf,
  sync,
} from '../support/core-state.ts'

const SELF = 1
const index = fc.integer({ min: 0, max: 9 })
const flag = fc.integer({ min: 0, max: 1 })
/** In place of a ballot: the one that the node has promised, or accepted its log in. */
const [PROMISED, ACCEPTED] = [-1, -2]
const anyBallot = fc.oneof(
  fc.constantFrom(0, PROMISED, PROMISED, ACCEPTED),
  fc
    .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 5 }))
    .map(([r, n]) => ballot(r, n)),
)
const chain = fc.oneof(fc.constant(-1), fc.constant(0), fc.integer({ min: 1, max: 3 }))
const attempt = fc.integer({ min: 0, max: 3 })

/** Every field of every kind of message, under its own name. */
const FIELDS = {
  ...{ ballot: anyBallot, acceptedBallot: anyBallot, promised: anyBallot },
  ...{ round: index, request: index, attempt, firstRetained: index, leftMs: index },
  ...{ last: index, floor: index, prev: index, through: index, from: index, index },
  ...{ syncPoint: index, adoptedLast: index, chosen: index, held: index, heldByData: index },
  ...{ leaderHolds: index, config: index },
  ...{ floorChain: chain, chosenChain: chain, syncChain: chain, prevChain: chain },
  ...{ knows: flag, content: flag, connected: flag, full: flag, lease: flag, granted: flag },
  valid: flag,
}
const KINDS = [
  ...['hello', 'heartbeat', 'heartbeat-reply', 'prepare', 'promise', 'fetch', 'fetched'],
  ...['accept-sync', 'accept', 'accepted', 'sync-taken', 'reject', 'chosen', 'learn', 'learned'],
  ...['take-over', 'removed', 'confirm', 'confirmed', 'lease-held', 'lease-released'],
  ...['read-index', 'read-index-reply', 'lease-index', 'lease-index-reply'],
]
/** Those that come with frames, which then cover (prev .. through], or lie beside it. */
const WITH_FRAMES = ['accept-sync', 'accept', 'learn', 'fetched']

const action = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      what: fc.constant('hear' as const),
      from: fc.constantFrom(2, 3, 4, 9),
      message: fc.tuple(fc.constantFrom(...KINDS), fc.record(FIELDS)),
      beside: fc.constantFrom(0, 0, 0, 0, 1, -1),
    }),
  },
  { weight: 3, arbitrary: fc.record({ what: fc.constant('tick' as const), ms: fc.nat(150) }) },
  { weight: 3, arbitrary: fc.record({ what: fc.constant('sync' as const) }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('submit' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      what: fc.constant('link' as const),
      peer: fc.constantFrom(2, 3, 4),
      up: fc.boolean(),
    }),
  },
)

const MEMBERS = membersOf(['voter', 'voter', 'voter', 'learner'])
/** Five entries, two of them known chosen. */
const LOG = {
  ...{ promised: ballot(1, 2), acceptedBallot: ballot(1, 2), floorChain: 12 },
  floor: 2 as LogIndex,
  marks: [3, 4, 5].map((at) => ({ through: at as LogIndex, chain: 10 + at, continues: false })),
}
const roles: Record<string, () => State> = {
  leader: () => leaderOf(SELF, { members: MEMBERS }),
  'blank voter': () => stateOf(SELF, { members: MEMBERS }),
  voter: () => stateOf(SELF, { members: MEMBERS }, LOG),
  candidate: () => {
    const state = stateOf(SELF, { members: MEMBERS }, LOG)
    standForLeader(state, [])
    sync(state)
    return state
  },
  learner: () => stateOf(4, { members: MEMBERS }),
}

function play(state: State, one: typeof action extends fc.Arbitrary<infer T> ? T : never): void {
  const make = createMaker()
  switch (one.what) {
    case 'tick':
      return void give(state, { kind: 'tick', now: state.now + one.ms })
    case 'sync':
      return void sync(state)
    case 'link':
      if ((one.peer as number) === state.self.id) return
      return void give(state, { kind: 'link', peer: one.peer as never, up: one.up })
    case 'hear': {
      const [kind, fields] = one.message
      if ((one.from as number) === state.self.id) return
      const { prev, through } = fields
      const isLong = WITH_FRAMES.includes(kind) && through > prev
      const frames: FrameRef[] = []
      const from = Math.max(1, prev + 1 + one.beside)
      for (let at = from; isLong && at <= through; at++) frames.push(make(at))
      const meant: Record<string, unknown> = { ...fields, kind }
      for (const name of ['ballot', 'acceptedBallot', 'promised'] as const) {
        if (fields[name] === PROMISED) meant[name] = state.promised
        if (fields[name] === ACCEPTED) meant[name] = state.acceptedBallot
      }
      return void hear(state, one.from, meant, frames)
    }
    case 'submit': {
      const { leadership } = state
      if (leadership === null) return
      const frames = [make(leadership.queueLast + 1, { born: leadership.ballot })]
      return void give(state, { kind: 'submitted', ballot: leadership.ballot, frames })
    }
  }
}

test.each(Object.keys(roles))('a %s bears what no core would send, in any order', (role) => {
  fc.assert(
    fc.property(fc.array(action, { minLength: 1, maxLength: 40 }), (actions) => {
      const state = roles[role]!()
      give(state, { kind: 'tick', now: state.now + 1 })
      for (const one of actions) {
        const { promised, floor, floorChain } = state
        play(state, one)
        expect(state.promised).toBeGreaterThanOrEqual(promised)
        expect(state.floor).toBeGreaterThanOrEqual(floor)
        expect(state.acceptedBallot).toBeLessThanOrEqual(state.promised)
        expect(lastOf(state.tail)).toBeGreaterThanOrEqual(state.floor)
        const now = chainAt(state.tail, floor)
        if (now >= 0) expect(now).toBe(floorChain)
      }
    }),
    { seed: 7, numRuns: 2_000 },
  )
})
