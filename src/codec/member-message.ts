/**
 * Rows of the X-Paxos messages about who belongs to the cluster and who is to lead it. Part of the
 * table in message.ts, which explains it.
 */
import type { Ballot, LogIndex } from '../core/ids.ts'
import type { Removed, TakeOver } from '../core/xpaxos/messages.ts'
import { BALLOT, NUMBER, type Rows } from './message-codec.ts'

export const MEMBER_ROWS: Rows<TakeOver | Removed> = {
  'take-over': {
    code: 16,
    fields: [['ballot', BALLOT]],
    encode: (message, words, at) => {
      words[at] = message.ballot
    },
    decode: (words, at) => ({
      kind: 'take-over',
      ballot: words[at]! as Ballot,
    }),
  },
  removed: {
    code: 17,
    fields: [['index', NUMBER]],
    encode: (message, words, at) => {
      words[at] = message.index
    },
    decode: (words, at) => ({
      kind: 'removed',
      index: words[at]! as LogIndex,
    }),
  },
}
