/**
 * The client side of a node on the caller's thread: batch writers and single proposals, over the
 * ingest stage. Completion of a writer is a watermark (its entries are chosen); completion of a
 * proposal is its result (its entry is applied here).
 *
 * Invariants: every call ends in a result or in a ReplicaError whose outcome is `not-proposed` or
 * `unknown`; nothing is retried here.
 */
import { ReplicaError } from '../base/errors.ts'
import type { CellRing } from '../ring/cell-ring.ts'
import { type LogRing, release } from '../ring/log-ring.ts'
import { REPLY_HEADER_SIZE_BYTES, replySizeOf } from '../stages/apply-stage.ts'
import * as cell from '../stages/cells.ts'
import type { Ingest, IngestClient } from '../stages/ingest-stage.ts'
import { drain } from '../stages/port.ts'
import type { Durability } from '../wal/identity.ts'

const REPLIES_MAX = 1_024

export interface Proposed {
  /** Log index of the entry. */
  readonly index: number
  /** What the state machine replied, null when it did not. */
  readonly result: Uint8Array | null
  readonly durability: Durability
}

export interface Writer {
  /** Takes one entry; false: no room now, wait for `drained()`. @throws the writer's failure */
  tryWrite(payload: Uint8Array): boolean
  /** Resolves when there may be room again, rejects when the writer has failed. */
  drained(): Promise<void>
  /** Entries taken. */
  readonly submitted: number
  /** Entries chosen: a prefix of those taken. */
  readonly completed: number
  /** Resolves when the n-th entry (from 1) is chosen, with its log index. */
  completedThrough(n: number): Promise<{ readonly index: number }>
  /** Waits for everything taken, then ends the writer. */
  close(): Promise<void>
}

export interface ClientSide {
  propose(payload: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<Proposed>
  writer(): Writer
  /** One duty cycle of what reaches clients. */
  doWork(): number
  /** Ends every open call. */
  fail(error: ReplicaError): void
}

interface Deferred {
  readonly resolve: (value: Proposed) => void
  readonly reject: (error: ReplicaError) => void
  result: Uint8Array | null
}

export function createClientSide(
  ingest: Ingest,
  wiring: {
    readonly replies: CellRing
    readonly replyBytes: LogRing
    readonly durability: Durability
    readonly clientIdBase: number
    readonly payloadSizeBytesMax: number
    /** Frames complete when applied, not when chosen (Basic Paxos). */
    readonly completesOnApply: boolean
  },
): ClientSide {
  const { replies, replyBytes, durability, payloadSizeBytesMax } = wiring
  let nextClientId = wiring.clientIdBase
  let failure: ReplicaError | null = null
  let sealing = false

  /** One frame for all that is written in this turn of the event loop. */
  const sealSoon = (): void => {
    if (sealing) return
    sealing = true
    queueMicrotask(() => {
      sealing = false
      ingest.doWork()
    })
  }
  const checkSize = (payload: Uint8Array): void => {
    if (payload.length <= payloadSizeBytesMax) return
    const detail = { sizeBytes: payload.length, maxBytes: payloadSizeBytesMax }
    throw new ReplicaError('E_PAYLOAD_SIZE', `at most ${String(payloadSizeBytesMax)} bytes`, detail)
  }
  const proposals = createProposals()
  /** Replies arrive for this node's own frames, writers' included; those have no one waiting. */
  const onReplies = (words: Float64Array, base: number): number => {
    const clientId = words[base + 1]!
    const sizeBytes = words[base + cell.AT_SIZE]!
    const first = words[base + 8]!
    const sequence = words[base + 9]!
    const through = words[base + 6]!
    let at = words[base + cell.AT_OFFSET]!
    for (let i = 0; i < words[base + cell.AT_FRAMES]!; i++) {
      const size = replyBytes.view.getUint32(at, true)
      const place = replyBytes.view.getFloat64(at + 8, true)
      const bytesAt = at + REPLY_HEADER_SIZE_BYTES
      const result = replyBytes.bytes.slice(bytesAt, bytesAt + size)
      proposals.reply(clientId, sequence + place - first, result)
      at += replySizeOf(size)
    }
    if (sizeBytes > 0) release(replyBytes, words[base + 7]!)
    if (through === 0) return 1
    proposals.complete(clientId, through, first + through - sequence, durability)
    if (wiring.completesOnApply) ingest.complete(clientId, through, first + through - sequence)
    return 1
  }
  const openProposer = (): IngestClient => {
    const client = ingest.openClient(nextClientId++, () => {
      if (client.failure !== null) proposals.fail(client, client.failure)
    })
    return client
  }
  let proposer: IngestClient | null = null

  const propose = (payload: Uint8Array, options: { readonly signal?: AbortSignal } = {}) =>
    new Promise<Proposed>((resolve, reject) => {
      checkSize(payload)
      const { signal } = options
      if (failure !== null) throw failure
      if (signal?.aborted === true) throw aborted('not-proposed')
      if (!ingest.leads) throw notLeader(ingest.leader)
      if (proposer === null || proposer.failure !== null) {
        if (proposer !== null) ingest.closeClient(proposer)
        proposer = openProposer()
      }
      if (!ingest.tryWrite(proposer, payload)) {
        const message = 'too many bytes are proposed and not yet chosen'
        throw new ReplicaError('E_OVERLOADED', message, { limitBytes: 0 })
      }
      proposals.add(proposer, { resolve, reject, result: null })
      if (signal !== undefined) {
        signal.addEventListener('abort', () => reject(aborted('unknown')), { once: true })
      }
      sealSoon()
    })
  const writer = (): Writer => {
    if (failure !== null) throw failure
    if (!ingest.leads) throw notLeader(ingest.leader)
    return openWriter(ingest, nextClientId++, { checkSize, sealSoon })
  }
  return {
    propose,
    writer,
    doWork: () => drain(replies, REPLIES_MAX, onReplies),
    fail(error) {
      failure = error
      ingest.failAll(error)
    },
  }
}

/** Promises of single proposals, by client and sequence; resolved in order. */
function createProposals() {
  const waiting = new Map<number, { next: number; readonly queue: Deferred[] }>()
  const queueOf = (id: number) => {
    let entry = waiting.get(id)
    if (entry === undefined) waiting.set(id, (entry = { next: 1, queue: [] }))
    return entry
  }
  return {
    add: (client: IngestClient, deferred: Deferred): void => {
      queueOf(client.id).queue.push(deferred)
    },
    reply: (id: number, sequence: number, result: Uint8Array): void => {
      const entry = waiting.get(id)
      const deferred = entry?.queue[sequence - entry.next]
      if (deferred !== undefined) deferred.result = result
    },
    complete: (id: number, through: number, index: number, durability: Durability): void => {
      const entry = waiting.get(id)
      if (entry === undefined) return
      const count = through - entry.next + 1
      for (let i = 0; i < count; i++) {
        const { resolve, result } = entry.queue[i]!
        resolve({ index: index - count + 1 + i, result, durability })
      }
      entry.queue.splice(0, count)
      entry.next = through + 1
    },
    fail: (client: IngestClient, error: ReplicaError): void => {
      const entry = waiting.get(client.id)
      if (entry === undefined) return
      waiting.delete(client.id)
      for (const [place, { reject }] of entry.queue.entries()) {
        const published = entry.next + place <= client.publishedThrough
        reject(published ? withOutcome(error, 'unknown') : withOutcome(error, 'not-proposed'))
      }
    },
  }
}

const withOutcome = (error: ReplicaError, outcome: ReplicaError['outcome']): ReplicaError =>
  new ReplicaError(error.code, error.message.replace(`${error.code}: `, ''), error.detail, outcome)

const aborted = (outcome: ReplicaError['outcome']): ReplicaError =>
  new ReplicaError('E_ABORTED', 'the signal was aborted', { reason: 'signal' }, outcome)

export function notLeader(leader: number): ReplicaError {
  const hint = leader === 0 ? 'no leader is known' : `node ${String(leader)} leads`
  return new ReplicaError('E_NOT_LEADER', hint, { leader })
}

function openWriter(
  ingest: Ingest,
  id: number,
  hooks: { readonly checkSize: (payload: Uint8Array) => void; readonly sealSoon: () => void },
): Writer {
  let drains: { resolve: () => void; reject: (error: ReplicaError) => void }[] = []
  let waiters: {
    readonly n: number
    readonly resolve: (value: { index: number }) => void
    readonly reject: (error: ReplicaError) => void
  }[] = []
  let closed = false
  const onProgress = (): void => {
    const woken = drains
    drains = []
    for (const { resolve, reject } of woken) {
      if (client.failure === null) resolve()
      else reject(client.failure)
    }
    if (client.failure === null) return
    const failed = waiters
    waiters = []
    for (const { reject } of failed) reject(client.failure)
  }
  const client = ingest.openClient(id, onProgress)
  client.onSettled = (through, index) => {
    if (waiters.length === 0) return
    const ready = waiters.filter(({ n }) => n <= through)
    waiters = waiters.filter(({ n }) => n > through)
    for (const { n, resolve } of ready) resolve({ index: index - (through - n) })
  }
  const completedThrough = (n: number): Promise<{ index: number }> => {
    if (n < 1 || n > client.submitted) {
      const problems = [`n=${String(n)}: want 1 to ${String(client.submitted)}`]
      return Promise.reject(new ReplicaError('E_CONFIG_INVALID', problems[0]!, { problems }))
    }
    if (n === client.chosen) return Promise.resolve({ index: client.chosenIndex })
    if (n < client.chosen) return Promise.resolve({ index: client.chosenIndex - client.chosen + n })
    if (client.failure !== null) return Promise.reject(client.failure)
    return new Promise((resolve, reject) => waiters.push({ n, resolve, reject }))
  }
  return {
    tryWrite(payload) {
      hooks.checkSize(payload)
      if (client.failure !== null) throw client.failure
      if (closed) throw new ReplicaError('E_CLOSED', 'the writer is closed', { what: 'writer' })
      if (!ingest.tryWrite(client, payload)) return false
      hooks.sealSoon()
      return true
    },
    drained() {
      if (client.failure !== null) return Promise.reject(client.failure)
      return new Promise((resolve, reject) => drains.push({ resolve, reject }))
    },
    get submitted() {
      return client.submitted
    },
    get completed() {
      return client.chosen
    },
    completedThrough,
    async close() {
      if (closed) return
      closed = true
      try {
        if (client.submitted > client.chosen) await completedThrough(client.submitted)
      } finally {
        ingest.closeClient(client)
      }
    },
  }
}
