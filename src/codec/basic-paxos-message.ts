/**
 * Basic Paxos messages as cells: one row per kind, as in codec/message.ts. The codes do not overlap
 * with those of X-Paxos, so that a node that runs the other engine is refused by its first message.
 *
 * Invariants: a code never changes its meaning; encode and decode are inverse to each other.
 * Pure; runs in the threads that own links and in the decide stage.
 */
import type { BasicPaxosMessage } from '../core/basic-paxos/messages.ts'
import type { Ballot, LogIndex } from '../core/ids.ts'
import { MESSAGE_SHAPE } from './message.ts'
import { BALLOT, type MessageCodec, NUMBER, type Rows, rowTable } from './message-codec.ts'

const ROWS: Rows<BasicPaxosMessage> = {
  'basic-prepare': {
    code: 33,
    fields: [
      ['instance', NUMBER],
      ['ballot', BALLOT],
      ['known', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.instance
      words[at + 1] = message.ballot
      words[at + 2] = message.known
    },
    decode: (words, at) => ({
      kind: 'basic-prepare',
      instance: words[at]! as LogIndex,
      ballot: words[at + 1]! as Ballot,
      known: words[at + 2]! as LogIndex,
    }),
  },
  'basic-promise': {
    code: 34,
    fields: [
      ['instance', NUMBER],
      ['ballot', BALLOT],
      ['acceptedBallot', BALLOT],
      ['known', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.instance
      words[at + 1] = message.ballot
      words[at + 2] = message.acceptedBallot
      words[at + 3] = message.known
    },
    decode: (words, at) => ({
      kind: 'basic-promise',
      instance: words[at]! as LogIndex,
      ballot: words[at + 1]! as Ballot,
      acceptedBallot: words[at + 2]! as Ballot,
      known: words[at + 3]! as LogIndex,
    }),
  },
  'basic-accept': {
    code: 35,
    fields: [
      ['instance', NUMBER],
      ['ballot', BALLOT],
      ['known', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.instance
      words[at + 1] = message.ballot
      words[at + 2] = message.known
    },
    decode: (words, at) => ({
      kind: 'basic-accept',
      instance: words[at]! as LogIndex,
      ballot: words[at + 1]! as Ballot,
      known: words[at + 2]! as LogIndex,
    }),
  },
  'basic-accepted': {
    code: 36,
    fields: [
      ['instance', NUMBER],
      ['ballot', BALLOT],
      ['known', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.instance
      words[at + 1] = message.ballot
      words[at + 2] = message.known
    },
    decode: (words, at) => ({
      kind: 'basic-accepted',
      instance: words[at]! as LogIndex,
      ballot: words[at + 1]! as Ballot,
      known: words[at + 2]! as LogIndex,
    }),
  },
  'basic-reject': {
    code: 37,
    fields: [
      ['instance', NUMBER],
      ['ballot', BALLOT],
      ['promised', BALLOT],
      ['known', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.instance
      words[at + 1] = message.ballot
      words[at + 2] = message.promised
      words[at + 3] = message.known
    },
    decode: (words, at) => ({
      kind: 'basic-reject',
      instance: words[at]! as LogIndex,
      ballot: words[at + 1]! as Ballot,
      promised: words[at + 2]! as Ballot,
      known: words[at + 3]! as LogIndex,
    }),
  },
  'basic-chosen': {
    code: 38,
    fields: [
      ['first', NUMBER],
      ['through', NUMBER],
      ['ballot', BALLOT],
      ['known', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.first
      words[at + 1] = message.through
      words[at + 2] = message.ballot
      words[at + 3] = message.known
    },
    decode: (words, at) => ({
      kind: 'basic-chosen',
      first: words[at]! as LogIndex,
      through: words[at + 1]! as LogIndex,
      ballot: words[at + 2]! as Ballot,
      known: words[at + 3]! as LogIndex,
    }),
  },
  'basic-learn': {
    code: 39,
    fields: [
      ['from', NUMBER],
      ['through', NUMBER],
      ['known', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.from
      words[at + 1] = message.through
      words[at + 2] = message.known
    },
    decode: (words, at) => ({
      kind: 'basic-learn',
      from: words[at]! as LogIndex,
      through: words[at + 1]! as LogIndex,
      known: words[at + 2]! as LogIndex,
    }),
  },
  'basic-learned': {
    code: 40,
    fields: [
      ['instance', NUMBER],
      ['ballot', BALLOT],
      ['known', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.instance
      words[at + 1] = message.ballot
      words[at + 2] = message.known
    },
    decode: (words, at) => ({
      kind: 'basic-learned',
      instance: words[at]! as LogIndex,
      ballot: words[at + 1]! as Ballot,
      known: words[at + 2]! as LogIndex,
    }),
  },
  'basic-status': {
    code: 41,
    fields: [['known', NUMBER]],
    encode: (message, words, at) => {
      words[at] = message.known
    },
    decode: (words, at) => ({
      kind: 'basic-status',
      known: words[at]! as LogIndex,
    }),
  },
}

/** Basic Paxos has no heartbeats: all its answers wait for a disk. */
export const basicPaxosCodec: MessageCodec<BasicPaxosMessage> = {
  ...rowTable(ROWS, MESSAGE_SHAPE),
  probeOf: () => 0,
}
