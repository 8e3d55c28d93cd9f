/**
 * Readers: who reads and watches at a node, as one. What a reader's reads have seen, its watches
 * have told before: the order in which one client of a node learns of things. Caller's thread.
 */
import { ReplicaError } from '../base/errors.ts'
import { createHeldReads } from './held-reads.ts'
import {
  type ReadAnswer,
  type ReadOptions,
  type ReadWiring,
  createReadSide,
} from './read-client.ts'
import type { SessionToken } from './token.ts'
import { type WatchWiring, createWatchSide } from './watch-client.ts'
import type { Watch, WatchOptions } from './watch.ts'

export interface Reader {
  /**
   * Asks the state machine of this node. Resolves when every watch of this reader that waits for
   * events has been given all that the answer has seen.
   * @throws E_READ_REFUSED, E_READ_TIMEOUT, E_TOKEN, E_QUERY_FAILED, E_NOT_AVAILABLE, E_ABORTED,
   *   E_CLOSED
   */
  read(query: Uint8Array, options?: ReadOptions): Promise<ReadAnswer>
  /** Resolves when this node has applied all that was acknowledged anywhere before the call. */
  sync(options?: Pick<ReadOptions, 'signal' | 'timeoutMs'>): Promise<{ token: SessionToken }>
  /**
   * What this node applies, entry by entry, in log order (docs/reads.md).
   * @throws ReplicaError E_CONFIG_INVALID, E_TOKEN, E_NOT_AVAILABLE: a Logger, or Basic Paxos;
   *   E_READ_REFUSED: too many watches; E_ABORTED, E_CLOSED
   */
  watch(options?: WatchOptions): Watch
}

export interface Readers {
  open(): Reader
  /** Handles an ANSWERS or FEED cell; false: it is neither. */
  onCell(words: Float64Array, base: number): boolean
  doWork(): number
  fail(error: ReplicaError): void
}

export function createReaders(wiring: {
  readonly reads: Omit<ReadWiring, 'held'>
  readonly watches: Omit<WatchWiring, 'onMoved'>
}): Readers {
  const held = createHeldReads(wiring.reads.nowMs)
  const reads = createReadSide({ ...wiring.reads, held })
  const watches = createWatchSide({ ...wiring.watches, onMoved: () => held.changed() })
  return {
    open() {
      const scope = watches.scope()
      return {
        read: (query, options) => reads.read(query, options, scope),
        sync: (options) => reads.sync(options, scope),
        watch: (options) => scope.open(options),
      }
    },
    onCell: (words, base) => reads.onAnswers(words, base) || watches.onFeed(words, base),
    doWork() {
      watches.doWork()
      held.doWork()
      return reads.doWork()
    },
    fail(error) {
      reads.fail(error)
      watches.fail(error)
      held.fail(error)
    },
  }
}

/** For nodes that only take writes. */
export function noReaders(feature: string): Reader & { reader(): Reader } {
  const refuse = (): never => {
    throw new ReplicaError('E_NOT_AVAILABLE', `${feature}: not available here`, { feature })
  }
  const read = async (): Promise<never> => refuse()
  const reader = { read, sync: read, watch: refuse }
  return { ...reader, reader: () => reader }
}
