/**
 * X-Paxos messages as cells: one row per kind, its code, its fields in the order of words 7 to 15,
 * and both directions side by side. The codes are part of the protocol: docs/wire.md lists them.
 *
 * Invariants: a code never changes its meaning; encode and decode are inverse to each other.
 * Pure; runs in the threads that own links and in the decide stage. Frames travel beside the cell:
 * their count and size are words of the cell that the link owns, not of this table.
 */
import type { Ballot, LogIndex } from '../core/ids.ts'
import type { XPaxosMessage } from '../core/xpaxos/messages.ts'
import { FIELDS_MAX, WORD_FIELDS } from './cell.ts'
import { MEMBER_ROWS } from './member-message.ts'
import {
  BALLOT,
  CHAIN,
  CHAIN_OR_NONE,
  type CellShape,
  type MessageCodec,
  NUMBER,
  type Rows,
  rowTable,
} from './message-codec.ts'
import { READ_ROWS } from './read-message.ts'

export const MESSAGE_SHAPE: CellShape = {
  codeBase: 0,
  fieldsAt: WORD_FIELDS,
  fieldsMax: FIELDS_MAX,
}

const ROWS: Rows<XPaxosMessage> = {
  hello: {
    code: 1,
    fields: [
      ['promised', BALLOT],
      ['acceptedBallot', BALLOT],
      ['last', NUMBER],
      ['floor', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.promised
      words[at + 1] = message.acceptedBallot
      words[at + 2] = message.last
      words[at + 3] = message.floor
    },
    decode: (words, at) => ({
      kind: 'hello',
      promised: words[at]! as Ballot,
      acceptedBallot: words[at + 1]! as Ballot,
      last: words[at + 2]! as LogIndex,
      floor: words[at + 3]! as LogIndex,
    }),
  },
  heartbeat: {
    code: 2,
    fields: [
      ['round', NUMBER],
      ['ballot', BALLOT],
      ['chosen', NUMBER],
      ['chosenChain', CHAIN],
      ['knows', NUMBER],
      ['held', NUMBER],
      ['heldByData', NUMBER],
      ['leaderHolds', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.round
      words[at + 1] = message.ballot
      words[at + 2] = message.chosen
      words[at + 3] = message.chosenChain
      words[at + 4] = message.knows
      words[at + 5] = message.held
      words[at + 6] = message.heldByData
      words[at + 7] = message.leaderHolds
    },
    decode: (words, at) => ({
      kind: 'heartbeat',
      round: words[at]!,
      ballot: words[at + 1]! as Ballot,
      chosen: words[at + 2]! as LogIndex,
      chosenChain: words[at + 3]!,
      knows: words[at + 4]!,
      held: words[at + 5]! as LogIndex,
      heldByData: words[at + 6]! as LogIndex,
      leaderHolds: words[at + 7]! as LogIndex,
    }),
  },
  'heartbeat-reply': {
    code: 3,
    fields: [
      ['round', NUMBER],
      ['promised', BALLOT],
      ['content', NUMBER],
      ['connected', NUMBER],
      ['last', NUMBER],
      ['firstRetained', NUMBER],
      ['full', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.round
      words[at + 1] = message.promised
      words[at + 2] = message.content
      words[at + 3] = message.connected
      words[at + 4] = message.last
      words[at + 5] = message.firstRetained
      words[at + 6] = message.full
    },
    decode: (words, at) => ({
      kind: 'heartbeat-reply',
      round: words[at]!,
      promised: words[at + 1]! as Ballot,
      content: words[at + 2]!,
      connected: words[at + 3]!,
      last: words[at + 4]! as LogIndex,
      firstRetained: words[at + 5]! as LogIndex,
      full: words[at + 6]!,
    }),
  },
  prepare: {
    code: 4,
    fields: [['ballot', BALLOT]],
    encode: (message, words, at) => {
      words[at] = message.ballot
    },
    decode: (words, at) => ({
      kind: 'prepare',
      ballot: words[at]! as Ballot,
    }),
  },
  promise: {
    code: 5,
    fields: [
      ['ballot', BALLOT],
      ['acceptedBallot', BALLOT],
      ['last', NUMBER],
      ['floor', NUMBER],
      ['floorChain', CHAIN],
      ['firstRetained', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.ballot
      words[at + 1] = message.acceptedBallot
      words[at + 2] = message.last
      words[at + 3] = message.floor
      words[at + 4] = message.floorChain
      words[at + 5] = message.firstRetained
    },
    decode: (words, at) => ({
      kind: 'promise',
      ballot: words[at]! as Ballot,
      acceptedBallot: words[at + 1]! as Ballot,
      last: words[at + 2]! as LogIndex,
      floor: words[at + 3]! as LogIndex,
      floorChain: words[at + 4]!,
      firstRetained: words[at + 5]! as LogIndex,
    }),
  },
  fetch: {
    code: 6,
    fields: [
      ['ballot', BALLOT],
      ['acceptedBallot', BALLOT],
      ['from', NUMBER],
      ['through', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.ballot
      words[at + 1] = message.acceptedBallot
      words[at + 2] = message.from
      words[at + 3] = message.through
    },
    decode: (words, at) => ({
      kind: 'fetch',
      ballot: words[at]! as Ballot,
      acceptedBallot: words[at + 1]! as Ballot,
      from: words[at + 2]! as LogIndex,
      through: words[at + 3]! as LogIndex,
    }),
  },
  fetched: {
    code: 7,
    fields: [
      ['ballot', BALLOT],
      ['acceptedBallot', BALLOT],
      ['prev', NUMBER],
      ['through', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.ballot
      words[at + 1] = message.acceptedBallot
      words[at + 2] = message.prev
      words[at + 3] = message.through
    },
    decode: (words, at) => ({
      kind: 'fetched',
      ballot: words[at]! as Ballot,
      acceptedBallot: words[at + 1]! as Ballot,
      prev: words[at + 2]! as LogIndex,
      through: words[at + 3]! as LogIndex,
    }),
  },
  'accept-sync': {
    code: 8,
    fields: [
      ['ballot', BALLOT],
      ['attempt', NUMBER],
      ['syncPoint', NUMBER],
      ['syncChain', CHAIN_OR_NONE],
      ['adoptedLast', NUMBER],
      ['prev', NUMBER],
      ['through', NUMBER],
      ['chosen', NUMBER],
      ['chosenChain', CHAIN],
    ],
    encode: (message, words, at) => {
      words[at] = message.ballot
      words[at + 1] = message.attempt
      words[at + 2] = message.syncPoint
      words[at + 3] = message.syncChain
      words[at + 4] = message.adoptedLast
      words[at + 5] = message.prev
      words[at + 6] = message.through
      words[at + 7] = message.chosen
      words[at + 8] = message.chosenChain
    },
    decode: (words, at) => ({
      kind: 'accept-sync',
      ballot: words[at]! as Ballot,
      attempt: words[at + 1]!,
      syncPoint: words[at + 2]! as LogIndex,
      syncChain: words[at + 3]!,
      adoptedLast: words[at + 4]! as LogIndex,
      prev: words[at + 5]! as LogIndex,
      through: words[at + 6]! as LogIndex,
      chosen: words[at + 7]! as LogIndex,
      chosenChain: words[at + 8]!,
    }),
  },
  accept: {
    code: 9,
    fields: [
      ['ballot', BALLOT],
      ['attempt', NUMBER],
      ['prev', NUMBER],
      ['through', NUMBER],
      ['chosen', NUMBER],
      ['chosenChain', CHAIN],
    ],
    encode: (message, words, at) => {
      words[at] = message.ballot
      words[at + 1] = message.attempt
      words[at + 2] = message.prev
      words[at + 3] = message.through
      words[at + 4] = message.chosen
      words[at + 5] = message.chosenChain
    },
    decode: (words, at) => ({
      kind: 'accept',
      ballot: words[at]! as Ballot,
      attempt: words[at + 1]!,
      prev: words[at + 2]! as LogIndex,
      through: words[at + 3]! as LogIndex,
      chosen: words[at + 4]! as LogIndex,
      chosenChain: words[at + 5]!,
    }),
  },
  accepted: {
    code: 10,
    fields: [
      ['ballot', BALLOT],
      ['attempt', NUMBER],
      ['through', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.ballot
      words[at + 1] = message.attempt
      words[at + 2] = message.through
    },
    decode: (words, at) => ({
      kind: 'accepted',
      ballot: words[at]! as Ballot,
      attempt: words[at + 1]!,
      through: words[at + 2]! as LogIndex,
    }),
  },
  'sync-taken': {
    code: 11,
    fields: [
      ['ballot', BALLOT],
      ['attempt', NUMBER],
      ['through', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.ballot
      words[at + 1] = message.attempt
      words[at + 2] = message.through
    },
    decode: (words, at) => ({
      kind: 'sync-taken',
      ballot: words[at]! as Ballot,
      attempt: words[at + 1]!,
      through: words[at + 2]! as LogIndex,
    }),
  },
  reject: {
    code: 12,
    fields: [
      ['ballot', BALLOT],
      ['attempt', NUMBER],
      ['promised', BALLOT],
      ['last', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.ballot
      words[at + 1] = message.attempt
      words[at + 2] = message.promised
      words[at + 3] = message.last
    },
    decode: (words, at) => ({
      kind: 'reject',
      ballot: words[at]! as Ballot,
      attempt: words[at + 1]!,
      promised: words[at + 2]! as Ballot,
      last: words[at + 3]! as LogIndex,
    }),
  },
  chosen: {
    code: 13,
    fields: [
      ['ballot', BALLOT],
      ['chosen', NUMBER],
      ['chosenChain', CHAIN],
    ],
    encode: (message, words, at) => {
      words[at] = message.ballot
      words[at + 1] = message.chosen
      words[at + 2] = message.chosenChain
    },
    decode: (words, at) => ({
      kind: 'chosen',
      ballot: words[at]! as Ballot,
      chosen: words[at + 1]! as LogIndex,
      chosenChain: words[at + 2]!,
    }),
  },
  learn: {
    code: 14,
    fields: [
      ['attempt', NUMBER],
      ['prev', NUMBER],
      ['prevChain', CHAIN_OR_NONE],
      ['through', NUMBER],
      ['config', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.attempt
      words[at + 1] = message.prev
      words[at + 2] = message.prevChain
      words[at + 3] = message.through
      words[at + 4] = message.config
    },
    decode: (words, at) => ({
      kind: 'learn',
      attempt: words[at]!,
      prev: words[at + 1]! as LogIndex,
      prevChain: words[at + 2]!,
      through: words[at + 3]! as LogIndex,
      config: words[at + 4]! as LogIndex,
    }),
  },
  learned: {
    code: 15,
    fields: [
      ['attempt', NUMBER],
      ['through', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.attempt
      words[at + 1] = message.through
    },
    decode: (words, at) => ({
      kind: 'learned',
      attempt: words[at]!,
      through: words[at + 1]! as LogIndex,
    }),
  },
  ...MEMBER_ROWS,
  ...READ_ROWS,
}

const probeOf = (message: XPaxosMessage): number => {
  if (message.kind === 'heartbeat') return message.round
  return message.kind === 'heartbeat-reply' ? -message.round : 0
}

export const xpaxosCodec: MessageCodec<XPaxosMessage> = {
  ...rowTable(ROWS, MESSAGE_SHAPE),
  probeOf,
}
