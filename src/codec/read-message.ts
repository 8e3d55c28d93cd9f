/**
 * Rows of the messages by which reads get their index (core/xpaxos/reads.ts): part of the table of
 * codec/message.ts, whose invariants hold here. Pure.
 */
import type { Ballot, LogIndex } from '../core/ids.ts'
import type {
  Confirm,
  Confirmed,
  LeaseHeld,
  LeaseIndex,
  LeaseIndexReply,
  LeaseReleased,
  ReadIndex,
  ReadIndexReply,
} from '../core/xpaxos/messages.ts'
import { BALLOT, NUMBER, type Rows } from './message-codec.ts'

type ReadMessage =
  | Confirm
  | Confirmed
  | LeaseHeld
  | LeaseReleased
  | ReadIndex
  | ReadIndexReply
  | LeaseIndex
  | LeaseIndexReply

export const READ_ROWS: Rows<ReadMessage> = {
  confirm: {
    code: 24,
    fields: [
      ['ballot', BALLOT],
      ['round', NUMBER],
      ['lease', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.ballot
      words[at + 1] = message.round
      words[at + 2] = message.lease
    },
    decode: (words, at) => ({
      kind: 'confirm',
      ballot: words[at]! as Ballot,
      round: words[at + 1]!,
      lease: words[at + 2]!,
    }),
  },
  confirmed: {
    code: 25,
    fields: [
      ['ballot', BALLOT],
      ['round', NUMBER],
      ['promised', BALLOT],
      ['granted', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.ballot
      words[at + 1] = message.round
      words[at + 2] = message.promised
      words[at + 3] = message.granted
    },
    decode: (words, at) => ({
      kind: 'confirmed',
      ballot: words[at]! as Ballot,
      round: words[at + 1]!,
      promised: words[at + 2]! as Ballot,
      granted: words[at + 3]!,
    }),
  },
  'read-index': {
    code: 26,
    fields: [['request', NUMBER]],
    encode: (message, words, at) => {
      words[at] = message.request
    },
    decode: (words, at) => ({ kind: 'read-index', request: words[at]! }),
  },
  'read-index-reply': {
    code: 27,
    fields: [
      ['request', NUMBER],
      ['index', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.request
      words[at + 1] = message.index
    },
    decode: (words, at) => ({
      kind: 'read-index-reply',
      request: words[at]!,
      index: words[at + 1]! as LogIndex,
    }),
  },
  'lease-held': {
    code: 28,
    fields: [
      ['ballot', BALLOT],
      ['leftMs', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.ballot
      words[at + 1] = message.leftMs
    },
    decode: (words, at) => ({
      kind: 'lease-held',
      ballot: words[at]! as Ballot,
      leftMs: words[at + 1]!,
    }),
  },
  'lease-released': {
    code: 29,
    fields: [['ballot', BALLOT]],
    encode: (message, words, at) => {
      words[at] = message.ballot
    },
    decode: (words, at) => ({ kind: 'lease-released', ballot: words[at]! as Ballot }),
  },
  'lease-index': {
    code: 30,
    fields: [['request', NUMBER]],
    encode: (message, words, at) => {
      words[at] = message.request
    },
    decode: (words, at) => ({ kind: 'lease-index', request: words[at]! }),
  },
  'lease-index-reply': {
    code: 31,
    fields: [
      ['request', NUMBER],
      ['index', NUMBER],
      ['valid', NUMBER],
    ],
    encode: (message, words, at) => {
      words[at] = message.request
      words[at + 1] = message.index
      words[at + 2] = message.valid
    },
    decode: (words, at) => ({
      kind: 'lease-index-reply',
      request: words[at]!,
      index: words[at + 1]! as LogIndex,
      valid: words[at + 2]!,
    }),
  },
}
