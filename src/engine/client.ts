/**
 * The client side of a node on the caller's thread: batch writers and single proposals, over the
 * ingest stage. Completion of a writer is a watermark (its entries are chosen); completion of a
 * proposal is its result (its entry is applied here).
 *
 * Invariants: every call ends in a result or in a ReplicaError whose outcome is `not-proposed` or
 * `unknown`; nothing is retried here.
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
import type { CellRing } from '../ring/cell-ring.ts'
import { type LogRing, release } from '../ring/log-ring.ts'
import { REPLY_HEADER_SIZE_BYTES, replySizeOf } from '../stages/apply-stage.ts'
import * as cell from '../stages/cells.ts'
import {
  type FrameShape,
  type Ingest,
  type IngestClient,
  PLAIN_FRAMES,
  type SessionMark,
} from '../stages/ingest-stage.ts'
import { drain } from '../stages/port.ts'
import type { Durability } from '../wal/identity.ts'
import type { ReadSide } from './read-client.ts'
import { type SessionToken, tokenOf } from './token.ts'

const REPLIES_MAX = 1_024

export interface Proposed {
  /** Log index of the entry. */
  readonly index: number
  /** What the state machine replied, null when it did not. */
  readonly result: Uint8Array | null
  readonly durability: Durability
  /** For reads of the same session: they see this entry, on any node. */
  readonly token: SessionToken
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
  /** For proposals of frames of another shape; plain ones share one lane. */
  lane(shape: FrameShape): Lane
  /**
   * One entry for a lane; `mark` exactly if its frames have sessions.
   * @throws ReplicaError when it is not taken; later failures reach `deferred`
   */
  submit(
    lane: Lane,
    deferred: Deferred,
    payload: Uint8Array,
    signal?: AbortSignal,
    mark?: SessionMark,
  ): void
  /** One duty cycle of what reaches clients. */
  doWork(): number
  /** Ends every open call. */
  fail(error: ReplicaError): void
}

/** A sequence of proposals that share frames; a new client when leadership broke the old one. */
export interface Lane {
  readonly shape: FrameShape
  client: IngestClient | null
}

export interface Deferred {
  readonly resolve: (value: Proposed) => void
  readonly reject: (error: ReplicaError) => void
  result: Uint8Array | null
}

/** Proposals without a result: bounds memory where the state machine is slower than the log. */
const PROPOSALS_MAX = 2 ** 20

export function createClientSide(
  ingest: Ingest,
  wiring: {
    readonly replies: CellRing
    readonly replyBytes: LogRing
    readonly durability: Durability
    readonly clusterId: string
    /** Null where nobody reads. */
    readonly readSide: ReadSide | null
    readonly clientIdBase: number
    readonly payloadSizeBytesMax: number
    /** Frames complete when applied, not when chosen (Basic Paxos). */
    readonly completesOnApply: boolean
  },
): ClientSide {
  const { replies, replyBytes, payloadSizeBytesMax, readSide } = wiring
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
    if (readSide?.onAnswers(words, base) === true) return 1
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
    const index = first + through - sequence
    proposals.complete(clientId, { from: sequence, through, index }, wiring)
    if (wiring.completesOnApply) ingest.complete(clientId, through, index)
    return 1
  }
  const clientOf = (lane: Lane): IngestClient => {
    const { client: old, shape } = lane
    if (old !== null && old.failure === null) return old
    if (old !== null) ingest.closeClient(old)
    const onProgress = (): void => {
      if (client.failure !== null) proposals.fail(client, client.failure)
    }
    const client = ingest.openClient(nextClientId++, onProgress, shape)
    return (lane.client = client)
  }
  const write = (client: IngestClient, payload: Uint8Array, mark?: SessionMark): boolean =>
    mark === undefined
      ? ingest.tryWrite(client, payload)
      : ingest.tryWriteMarked(client, mark, payload)
  const submit: ClientSide['submit'] = (lane, deferred, payload, signal, mark) => {
    checkSize(payload)
    if (failure !== null) throw failure
    if (signal?.aborted === true) throw aborted('not-proposed')
    if (!ingest.leads) throw notLeader(ingest.leader)
    if (!ingest.admits) throw ingest.closedFor === 'log-full' ? logFull() : transferring()
    const client = clientOf(lane)
    if (proposals.counts.open >= PROPOSALS_MAX || !write(client, payload, mark)) {
      const message = 'too much is proposed and not yet answered'
      throw new ReplicaError('E_OVERLOADED', message, { limitBytes: ingest.limitBytes })
    }
    proposals.add(client, signal === undefined ? deferred : abortable(deferred, signal))
    sealSoon()
  }
  const laneOf = (shape: FrameShape): Lane => ({ shape, client: null })
  const plain = laneOf(PLAIN_FRAMES)
  const propose: ClientSide['propose'] = (payload, { signal } = {}) =>
    new Promise<Proposed>((resolve, reject) => {
      submit(plain, { resolve, reject, result: null }, payload, signal)
    })
  const writer = (): Writer => {
    if (failure !== null) throw failure
    if (!ingest.leads) throw notLeader(ingest.leader)
    return openWriter(ingest, nextClientId++, { checkSize, sealSoon })
  }
  return {
    propose,
    writer,
    lane: laneOf,
    submit,
    doWork: () => drain(replies, REPLIES_MAX, onReplies) + (readSide?.doWork() ?? 0),
    fail(error) {
      readSide?.fail(error)
      failure = error
      ingest.failAll(error)
    },
  }
}

interface Proposals {
  /** Sequence of the head of `queue`. */
  next: number
  /** In order of sequence; null: ended already, while one before it has not. */
  readonly queue: Fifo<Deferred | null>
}

/** Promises of single proposals, by client and sequence. */
function createProposals() {
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
        deferred.resolve({ index: at, result, durability, token: tokenOf(clusterId, at) })
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
function abortable(deferred: Deferred, signal: AbortSignal): Deferred {
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

const aborted = (outcome: ReplicaError['outcome']): ReplicaError =>
  new ReplicaError('E_ABORTED', 'the signal was aborted', { reason: 'signal' }, outcome)

const transferring = (): ReplicaError =>
  new ReplicaError('E_TRANSFERRING', 'leadership is being handed over', { reason: 'transfer' })

const logFull = (): ReplicaError =>
  new ReplicaError('E_LOG_FULL', "a Logger's log is full, and is not to be trimmed", {
    reason: 'log-full',
  })

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
      if (closed) throw new ReplicaError('E_CLOSED', 'the writer is closed', { what: 'writer' })
      if (client.failure !== null) throw client.failure
      if (!ingest.tryWrite(client, payload)) return false
      hooks.sealSoon()
      return true
    },
    drained() {
      if (client.failure !== null) return Promise.reject(client.failure)
      if (ingest.hasRoom) return Promise.resolve()
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
