/**
 * Single proposals that wait for their results: one queue a client of ingest, in order of sequence.
 * Runs on the caller's thread.
 *
 * Invariant: a proposal ends once; what was published when its leadership ended is `unknown`, what
 * was not is `not-proposed`.
 */
import { ReplicaError } from '../base/errors.ts'
import {
  type Fifo,
  createFifo,
  dropFirst,
  peekAt,
  pushTo,
  replaceAt,
  sizeOfFifo,
} from '../base/fifo.ts'
import type { IngestClient } from '../stages/ingest-stage.ts'
import type { Durability } from '../wal/identity.ts'
import { type SessionToken, tokenOf } from './token.ts'

export interface Proposed {
  /** Log index of the entry. */
  readonly index: number
  /** What the state machine replied, null when it did not. */
  readonly result: Uint8Array | null
  readonly durability: Durability
  /** For reads of the same session: they see this entry, on any node. */
  readonly token: SessionToken
}

export interface Deferred {
  readonly resolve: (value: Proposed) => void
  readonly reject: (error: ReplicaError) => void
  result: Uint8Array | null
}

export const NOBODY: Deferred = { resolve: () => undefined, reject: () => undefined, result: null }

/** A class for its prototype: the token is made for who asks, not for every entry. */
class ProposedEntry implements Proposed {
  readonly index: number
  readonly result: Uint8Array | null
  readonly durability: Durability
  readonly #cluster: string

  constructor(index: number, result: Uint8Array | null, durability: Durability, cluster: string) {
    this.index = index
    this.result = result
    this.durability = durability
    this.#cluster = cluster
  }

  get token(): SessionToken {
    return tokenOf(this.#cluster, this.index)
  }
}

interface Proposals {
  /** Sequence of the head of `queue`. */
  next: number
  /** In order of sequence; null: ended already, while one before it has not. */
  readonly queue: Fifo<Deferred | null>
}

/** Promises of single proposals, by client and sequence. */
export function createProposals() {
  const waiting = new Map<number, Proposals>()
  const counts = { open: 0 }
  const settle = (entry: Proposals, place: number): Deferred | null => {
    const deferred = peekAt(entry.queue, place) ?? null
    if (deferred === null) return null
    replaceAt(entry.queue, place, null)
    counts.open -= 1
    return deferred
  }
  const forgetEnded = (entry: Proposals): void => {
    while (peekAt(entry.queue) === null) {
      dropFirst(entry.queue, 1)
      entry.next += 1
    }
  }
  return {
    counts,
    add: (client: IngestClient, deferred: Deferred): void => {
      let entry = waiting.get(client.id)
      if (entry === undefined) waiting.set(client.id, (entry = { next: 1, queue: createFifo() }))
      pushTo(entry.queue, deferred)
      counts.open += 1
    },
    reply: (id: number, sequence: number, result: Uint8Array): void => {
      const entry = waiting.get(id)
      const deferred = entry && peekAt(entry.queue, sequence - entry.next)
      if (deferred) deferred.result = result
    },
    /** Entries `from` to `through` are applied, the last one at log index `index`. */
    complete: (
      id: number,
      range: { readonly from: number; readonly through: number; readonly index: number },
      { durability, clusterId }: { readonly durability: Durability; readonly clusterId: string },
    ): void => {
      const entry = waiting.get(id)
      if (entry === undefined) return
      const { from, through, index } = range
      for (let sequence = from; sequence <= through; sequence++) {
        const deferred = settle(entry, sequence - entry.next)
        const result = deferred?.result ?? null
        if (deferred === null) continue
        const at = index - through + sequence
        deferred.resolve(new ProposedEntry(at, result, durability, clusterId))
      }
      forgetEnded(entry)
    },
    fail: (client: IngestClient, error: ReplicaError): void => {
      const entry = waiting.get(client.id)
      if (entry === undefined) return
      waiting.delete(client.id)
      const notProposed = withOutcome(error, 'not-proposed')
      const unknown = withOutcome(error, 'unknown')
      for (let place = 0; place < sizeOfFifo(entry.queue); place++) {
        const isPublished = entry.next + place <= client.publishedThrough
        settle(entry, place)?.reject(isPublished ? unknown : notProposed)
      }
    },
  }
}

const withOutcome = (error: ReplicaError, outcome: ReplicaError['outcome']): ReplicaError =>
  new ReplicaError(error.code, error.message.replace(`${error.code}: `, ''), error.detail, outcome)

/** The signal ends the waiting, not the proposal; nothing listens to it afterwards. */
export function abortable(deferred: Deferred, signal: AbortSignal): Deferred {
  const onAbort = (): void => deferred.reject(aborted('unknown'))
  const forget = (): void => signal.removeEventListener('abort', onAbort)
  signal.addEventListener('abort', onAbort, { once: true })
  return {
    resolve: (value) => {
      forget()
      deferred.resolve(value)
    },
    reject: (error) => {
      forget()
      deferred.reject(error)
    },
    result: null,
  }
}

export const aborted = (outcome: ReplicaError['outcome']): ReplicaError =>
  new ReplicaError('E_ABORTED', 'the signal was aborted', { reason: 'signal' }, outcome)
