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
import {
  type FrameShape,
  type Ingest,
  type IngestClient,
  PLAIN_FRAMES,
  type SessionMark,
} from '../stages/ingest-stage.ts'
import { drain } from '../stages/port.ts'
import type { Durability } from '../wal/identity.ts'
import { checkBytes, checkSignal } from './arguments.ts'
import { type GroupSettle, checkGroup, deferredsOf } from './group-client.ts'
import {
  type Deferred,
  type Proposed,
  NOBODY,
  abortable,
  aborted,
  createProposals,
} from './proposals.ts'
import { writerIdBaseOf } from './node-spec.ts'
import type { Readers } from './reader.ts'
import { promised } from './settle.ts'
import type { History } from './token.ts'

const REPLIES_MAX = 1_024

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
  proposeGroup(
    payloads: readonly Uint8Array[],
    options?: { readonly signal?: AbortSignal },
  ): Promise<readonly Proposed[]>
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
  /**
   * Entries for a lane that take effect together or not at all; `mark` is the first one's.
   * @throws ReplicaError when they are not taken; later failures reach `settle`
   */
  submitGroup(
    lane: Lane,
    settle: GroupSettle,
    payloads: readonly Uint8Array[],
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

/** Proposals without a result: bounds memory where the state machine is slower than the log. */
const PROPOSALS_MAX = 2 ** 20

export function createClientSide(
  ingest: Ingest,
  wiring: {
    readonly replies: CellRing
    readonly replyBytes: LogRing
    readonly durability: Durability
    readonly history: History
    /** Null where nobody reads. */
    readonly readers: Readers | null
    readonly clientIdBase: number
    readonly payloadSizeBytesMax: number
    readonly groupBytesMax: number
    /** Frames complete when applied, not when chosen (Basic Paxos). */
    readonly completesOnApply: boolean
    /** Calls back when this turn of the caller is over: what it wrote shares a frame. */
    readonly later: (call: () => void) => void
  },
): ClientSide {
  const { replies, replyBytes, payloadSizeBytesMax, readers } = wiring
  let nextClientId = wiring.clientIdBase
  let nextWriterId = writerIdBaseOf(wiring.clientIdBase)
  let failure: ReplicaError | null = null
  let sealing = false

  /** One frame for all that is written in this turn of the event loop. */
  const sealSoon = (): void => {
    if (sealing) return
    sealing = true
    wiring.later(() => {
      sealing = false
      ingest.doWork()
    })
  }
  const checkSize = (payload: Uint8Array): void => {
    checkBytes('payload', payload)
    if (payload.length <= payloadSizeBytesMax) return
    const detail = { sizeBytes: payload.length, maxBytes: payloadSizeBytesMax }
    throw new ReplicaError('E_PAYLOAD_SIZE', `at most ${String(payloadSizeBytesMax)} bytes`, detail)
  }
  const proposals = createProposals()
  /** Replies arrive for the proposals of this node; with Basic Paxos for writers' frames, too. */
  const onReplies = (words: Float64Array, base: number): number => {
    if (readers?.onCell(words, base) === true) return 1
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
  /** @throws ReplicaError when nothing may be proposed now */
  const checkOpen = (signal: AbortSignal | undefined): void => {
    if (failure !== null) throw failure
    checkSignal(signal) // now: an entry that is written without its promise shifts all others
    if (signal?.aborted === true) throw aborted('not-proposed')
    if (!ingest.leads) throw notLeader(ingest.leader)
    if (!ingest.admits) throw ingest.closedFor === 'log-full' ? logFull() : transferring()
  }
  const overloaded = (): ReplicaError => {
    const message = 'too much is proposed and not yet answered'
    return new ReplicaError('E_OVERLOADED', message, { limitBytes: ingest.limitBytes })
  }
  const submit: ClientSide['submit'] = (lane, deferred, payload, signal, mark) => {
    checkSize(payload)
    checkOpen(signal)
    const client = clientOf(lane)
    const isTaken = proposals.counts.open < PROPOSALS_MAX && write(client, payload, mark)
    if (!isTaken) throw overloaded()
    const isPlain = signal === undefined
    proposals.add(client, isPlain ? deferred : { ...abortable(deferred, signal), result: null })
    sealSoon()
  }
  const submitGroup: ClientSide['submitGroup'] = (lane, settle, payloads, signal, mark) => {
    payloads.forEach(checkSize)
    checkGroup(payloads, { groupBytesMax: wiring.groupBytesMax, entriesMax: PROPOSALS_MAX })
    checkOpen(signal)
    const client = clientOf(lane)
    const fits = proposals.counts.open + payloads.length <= PROPOSALS_MAX
    if (!fits || !ingest.tryWriteGroup(client, payloads, mark ?? null)) throw overloaded()
    const ending = signal === undefined ? settle : abortable(settle, signal)
    for (const one of deferredsOf(payloads.length, ending)) proposals.add(client, one)
    sealSoon()
  }
  const laneOf = (shape: FrameShape): Lane => ({ shape, client: null })
  const plain = laneOf(PLAIN_FRAMES)
  let made: Deferred = NOBODY
  /** One for all proposals: a closure of its own each would cost as much as the promise. */
  const keep = (resolve: Deferred['resolve'], reject: Deferred['reject']): void => {
    made = { resolve, reject, result: null }
  }
  const propose: ClientSide['propose'] = (payload, { signal } = {}) => {
    const promise = new Promise<Proposed>(keep)
    try {
      submit(plain, made, payload, signal)
    } catch (error) {
      made.reject(error)
    }
    return promise
  }
  const proposeGroup: ClientSide['proposeGroup'] = (payloads, { signal } = {}) =>
    promised((settle) => {
      // Its values may be chosen in another order than they were proposed in.
      if (wiring.completesOnApply) throw notAvailable('groups with basic-paxos')
      submitGroup(plain, settle, payloads, signal)
    })
  const writer = (): Writer => {
    if (failure !== null) throw failure
    if (!ingest.leads) throw notLeader(ingest.leader)
    return openWriter(ingest, nextWriterId++, { checkSize, sealSoon })
  }
  return {
    propose,
    proposeGroup,
    writer,
    lane: laneOf,
    submit,
    submitGroup,
    doWork: () => drain(replies, REPLIES_MAX, onReplies) + (readers?.doWork() ?? 0),
    fail(error) {
      readers?.fail(error)
      failure = error
      ingest.failAll(error)
    },
  }
}

export const notAvailable = (feature: string): ReplicaError =>
  new ReplicaError('E_NOT_AVAILABLE', `${feature}: not available yet`, { feature })

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

const closedWriter = (): ReplicaError =>
  new ReplicaError('E_CLOSED', 'the writer is closed', { what: 'writer' })

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
  let closing: Promise<void> | null = null
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
  const close = async (): Promise<void> => {
    try {
      if (client.submitted > client.chosen) await completedThrough(client.submitted)
    } finally {
      ingest.closeClient(client)
      onProgress() // nobody else wakes who waits for room
    }
  }
  return {
    tryWrite(payload) {
      hooks.checkSize(payload)
      if (closing !== null) throw closedWriter()
      if (client.failure !== null) throw client.failure
      if (!ingest.tryWrite(client, payload)) return false
      hooks.sealSoon()
      return true
    },
    drained() {
      if (client.failure !== null) return Promise.reject(client.failure)
      if (closing !== null) return Promise.reject(closedWriter())
      if (ingest.hasRoom()) return Promise.resolve()
      return new Promise((resolve, reject) => drains.push({ resolve, reject }))
    },
    get submitted() {
      return client.submitted
    },
    get completed() {
      return client.chosen
    },
    completedThrough,
    close: () => (closing ??= close()),
  }
}
