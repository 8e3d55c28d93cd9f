/**
 * Planted faults that need a history which chance seldom plays: seeds meet them late or never, an
 * exploration of the named scope finds each at once. The same shape as mutants.ts, and planted in
 * the same way.
 */
import type { Mutant } from '../mutants.ts'

export interface ExplorerMutant extends Mutant {
  /** As scope.ts writes it: where it must be found. */
  readonly scope: string
}

const X = 'src/core/xpaxos'

export const EXPLORER_MUTANTS: readonly ExplorerMutant[] = [
  {
    name: 'promise-reports-durable-only',
    invariant: 'I6',
    file: `${X}/acceptor.ts`,
    from: 'last: lastOf(state.tail),\n    floor: state.floor',
    to: 'last: state.durable,\n    floor: state.floor',
    scope: 'led',
  },
  {
    name: 'longest-log-adopted',
    invariant: 'I6',
    file: `${X}/phase1.ts`,
    from: 'if (promise.acceptedBallot > best.acceptedBallot || longer) best = promise',
    to: 'if (promise.last > best.last || longer) best = promise',
    scope: 'suffix,ballots=2,stale=0',
  },
  {
    name: 'dead-source-still-counts',
    invariant: 'I6',
    file: `${X}/fetch.ts`,
    from: 'candidacy.promises.delete(candidacy.source!.from)',
    to:
      'const { from } = candidacy.source!\n' +
      '  const none = { acceptedBallot: 0 as never, last: 0 as never, floor: 0 as never }\n' +
      '  candidacy.promises.set(from, { from, floorChain: 0, ...none })',
    scope: 'led,crashes=1',
  },
  {
    name: 'hole-acknowledged',
    invariant: 'I8',
    also: ['no-panic'],
    file: `${X}/acceptor.ts`,
    from: 'if (message.prev > last) return reject(state, effects, from, message)',
    to:
      'const { attempt, through } = message\n' +
      "  const taken = { kind: 'accepted', ballot, attempt, through } as const\n" +
      '  if (message.prev > last) return replyDurably(state, from, taken)',
    scope: 'led,entries=2,ballots=0',
  },
  {
    name: 'own-last-as-sync-point',
    invariant: 'I5',
    also: ['no-panic', 'I6', 'I8'],
    file: `${X}/leader.ts`,
    from: 'same ? Math.min(promise.last, adopted.last) : promise.floor',
    to: 'Math.min(promise.last, adopted.last)',
    scope: 'suffix,ballots=2,stale=0',
  },
  {
    name: 'candidate-keeps-its-suffix',
    invariant: 'I5',
    also: ['no-panic', 'I6'],
    file: `${X}/phase1.ts`,
    from: 'same ? (Math.min(last, best.last) as LogIndex) : state.floor',
    to: '(Math.min(last, best.last) as LogIndex)',
    scope: 'suffix,ballots=2,stale=0',
  },
  {
    name: 'promise-leaves-sync-open',
    invariant: 'I8',
    also: ['no-panic', 'I2'],
    file: `${X}/acceptor.ts`,
    from: '  dropSync(state)\n  state.promised = ballot',
    to: '  state.promised = ballot',
    scope: 'chunks,ballots=2',
  },
  {
    name: 'votes-of-any-ballot-counted',
    invariant: 'I8',
    also: ['no-panic', 'I5'],
    file: `${X}/leader.ts`,
    from: 'message.ballot !== leadership.ballot) return\n' + '  if (from !== state.self.id) {',
    to: 'message.ballot < 0) return\n' + '  if (from !== state.self.id) {',
    scope: 'lives',
  },
  {
    name: 'promised-log-counted-as-accepted',
    invariant: 'I8',
    file: `${X}/leader.ts`,
    from: '    peer.mustSync = true\n  }',
    to: '    peer.mustSync = true\n    onMatched(state, peer, peer.syncPoint, effects)\n  }',
    scope: 'suffix',
  },
  {
    name: 'cut-suffix-counts-as-durable',
    invariant: 'I8',
    file: `${X}/log.ts`,
    from: 'state.durable = Math.min(state.durable, syncPoint) as LogIndex',
    to: 'state.durable = Math.max(state.durable, syncPoint) as LogIndex',
    scope: 'suffix',
  },
]
