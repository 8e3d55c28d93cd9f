/**
 * The reading side of a node on the caller's thread: batches queries by turn of the event loop,
 * sends them to the state machine and asks decide for the index they wait for.
 *
 *     caller --[QUERIES, bytes]--> apply      caller --[READ_ASKED]--> decide
 *     caller <--[ANSWERS, bytes]-- apply
 *
 * Invariants: queries leave before their index is asked for; every read ends in an answer or in a
 * ReplicaError; what is late is given up here, whatever the others still do with it. Nothing is
 * retried, but for one thing: a read by lease that lost its lease takes a round instead.
 */
import { ReplicaError } from '../base/errors.ts'
import { type LogRing, publish, release, tryClaim } from '../ring/log-ring.ts'
import * as cell from '../stages/cells.ts'
import { type OutPort, claim, flush, isFull } from '../stages/port.ts'
import * as reads from '../stages/read-cells.ts'
import { checkBytes, checkSignal } from './arguments.ts'
import type { HeldReads, ReadScope } from './held-reads.ts'
import { type Settle, promised } from './settle.ts'
import { type History, type SessionToken, checkToken, tokenOf } from './token.ts'

export type Consistency = 'linearizable' | 'lease' | 'session' | 'stale'

export interface ReadOptions {
  /** Default `linearizable`. */
  readonly consistency?: Consistency
  /** For `session`: the read sees at least what this token has seen. */
  readonly token?: SessionToken
  /** For `stale`: how long ago a leader that was content may have been heard. */
  readonly maxStalenessMs?: number
  readonly signal?: AbortSignal
  /** Default 5000. */
  readonly timeoutMs?: number
}

export interface ReadAnswer {
  readonly result: Uint8Array
  /** What this answer has seen: take it to the next read of the session, on any node. */
  readonly token: SessionToken
}

export interface ReadSide {
  read(query: Uint8Array, options: ReadOptions | undefined, scope: ReadScope): Promise<ReadAnswer>
  sync(
    options: Pick<ReadOptions, 'signal' | 'timeoutMs'> | undefined,
    scope: ReadScope,
  ): Promise<{ token: SessionToken }>
  /** Both without a promise; null asks nothing and waits alone. @throws ReplicaError at once */
  ask(
    question: Uint8Array | null,
    options: ReadOptions,
    scope: ReadScope,
    settle: Settle<ReadAnswer>,
  ): void
  /** Handles an ANSWERS cell; false: it is none. */
  onAnswers(words: Float64Array, base: number): boolean
  doWork(): number
  fail(error: ReplicaError): void
}

/** The stages forget a question without an answer after this. */
export const READ_TIMEOUT_MAX_MS = 600_000
const TIMEOUT_MS = 5_000
const OPEN_MAX = 65_536
const BATCH_MAX = 4_096
const SWEEP_MS = 10
const NOTHING = new Uint8Array(0)

interface Open {
  readonly question: Uint8Array | null
  readonly options: ReadOptions
  readonly deadline: number
  readonly settle: Settle<ReadAnswer>
  isEnded: boolean
}

interface Batch {
  readonly key: string
  readonly mode: number // of READ_MODES; -1: a session, which waits for its own index
  readonly value: number // the index of a session, the bound of a stale read
  readonly reads: Open[]
  sizeBytes: number
}

export interface ReadWiring {
  readonly queries: OutPort
  readonly queryBytes: LogRing
  readonly asked: OutPort
  readonly answerBytes: LogRing
  readonly history: History
  /** What this node cannot do for readers; null: it reads. */
  readonly missing: () => string | null
  readonly hasLeases: boolean
  /** Where an answer waits for the watches of its reader. */
  readonly held: HeldReads
  readonly nowMs: () => number
  /** Calls back when this turn of the caller is over: what it asked shares a batch. */
  readonly later: (call: () => void) => void
}

export function createReadSide(wiring: ReadWiring): ReadSide {
  const { queries, queryBytes, asked, answerBytes, history, nowMs } = wiring
  /** Not sent yet, by what they have in common; oldest first. */
  const unsent = new Map<string, Batch>()
  const sent = new Map<number, Batch>()
  let nextId = 1
  let openCount = 0
  let failure: ReplicaError | null = null
  let isSending = false
  let sweepAt = 0

  const end = (open: Open): boolean => {
    if (open.isEnded) return false
    open.isEnded = true
    openCount -= 1
    open.options.signal?.removeEventListener('abort', abortOf.get(open)!)
    return true
  }
  const abortOf = new WeakMap<Open, () => void>()
  const reject = (open: Open, error: ReplicaError): void => {
    if (end(open)) open.settle.reject(error)
  }
  const enter = (open: Open): void => {
    const { mode, value } = placeOf(open.options)
    const size = reads.itemSizeOf(open.question?.length ?? 0)
    let key = `${mode}:${value}`
    for (let full = unsent.get(key); full !== undefined; full = unsent.get((key += '+'))) {
      const fits = full.sizeBytes + size <= reads.PIECE_SIZE_MAX_BYTES
      if (!fits || full.reads.length >= BATCH_MAX) continue
      full.reads.push(open)
      full.sizeBytes += size
      return
    }
    unsent.set(key, { key, mode, value, reads: [open], sizeBytes: size })
    sendSoon()
  }
  /** One batch for all that is read in this turn of the event loop. */
  const sendSoon = (): void => {
    if (isSending) return
    isSending = true
    wiring.later(() => {
      isSending = false
      sendAll()
    })
  }
  const sendAll = (): number => {
    let count = 0
    for (const batch of unsent.values()) {
      if (!trySend(batch)) break
      unsent.delete(batch.key)
      count += 1
    }
    return count
  }
  const trySend = (batch: Batch): boolean => {
    // Both rings must have room: a question that waits here must not be behind its index.
    if (!flush(queries) || !flush(asked) || isFull(queries) || isFull(asked)) return false
    const sizeBytes = Math.ceil(batch.sizeBytes / 64) * 64
    const offset = tryClaim(queryBytes, sizeBytes)
    if (offset < 0) return false
    let at = offset
    for (const [place, { question }] of batch.reads.entries()) {
      at = reads.writeItem(queryBytes, at, { place, code: 0, bytes: question })
    }
    const ending = publish(queryBytes, sizeBytes)
    const id = nextId++
    sent.set(id, batch)
    const base = claim(queries)
    queries.words[base] = reads.QUERIES
    queries.words[base + 1] = id
    queries.words[base + cell.AT_SIZE] = sizeBytes
    queries.words[base + cell.AT_FRAMES] = batch.reads.length
    queries.words[base + cell.AT_OFFSET] = offset
    queries.words[base + 6] = ending
    queries.words[base + 7] = batch.mode < 0 ? batch.value : -1
    flush(queries)
    if (batch.mode < 0) return true
    const to = claim(asked)
    asked.words[to] = reads.READ_ASKED
    asked.words[to + 1] = id
    asked.words[to + 2] = batch.mode
    asked.words[to + 3] = batch.value
    flush(asked)
    return true
  }
  const onAnswers = (words: Float64Array, base: number): boolean => {
    if (words[base] !== reads.ANSWERS) return false
    const id = words[base + 1]!
    const batch = sent.get(id)
    const token = tokenOf(history, words[base + 7]!)
    const code = words[base + 8]!
    let last = -1
    reads.readItems(
      answerBytes,
      words[base + cell.AT_OFFSET]!,
      words[base + cell.AT_FRAMES]!,
      (place, itemCode, bytes) => {
        last = place
        const open = batch?.reads[place]
        if (open === undefined) return
        if (itemCode !== 0) reject(open, errorOf(reads.failureOfCode(itemCode)!, bytes))
        else if (end(open)) open.settle.resolve({ result: bytes ?? NOTHING, token })
      },
    )
    if (words[base + cell.AT_SIZE]! > 0) release(answerBytes, words[base + 6]!)
    if (batch === undefined) return true
    if (code !== 0) refuseAll(batch, reads.failureOfCode(code)!)
    if (code !== 0 || last === batch.reads.length - 1) sent.delete(id)
    return true
  }
  const refuseAll = (batch: Batch, reason: reads.ReadFailure): void => {
    for (const open of batch.reads) {
      if (open.isEnded) continue
      if (reason !== 'lease-lost') reject(open, errorOf(reason, null))
      else enterAgain(open)
    }
  }
  const enterAgain = (open: Open): void => {
    const again = { ...open, options: { ...open.options, consistency: 'linearizable' } as const }
    open.isEnded = true
    open.options.signal?.removeEventListener('abort', abortOf.get(open)!)
    listen(again)
    enter(again)
  }
  const listen = (open: Open): void => {
    const { signal } = open.options
    if (signal === undefined) return
    const onAbort = (): void => reject(open, abortedError())
    abortOf.set(open, onAbort)
    signal.addEventListener('abort', onAbort, { once: true })
  }
  /** An answer waits for the watches of its reader, if there are any. */
  const behindWatches = (
    { signal, timeoutMs = TIMEOUT_MS }: ReadOptions,
    deadline: number,
    scope: ReadScope,
    { resolve, reject }: Settle<ReadAnswer>,
  ): Settle<ReadAnswer> => ({
    resolve(answer) {
      if (scope.watchCount === 0) return resolve(answer)
      const { index } = answer.token
      const leave = (): void => resolve(answer)
      wiring.held.enter({ scope, index, deadline, timeoutMs, signal, resolve: leave, reject })
    },
    reject,
  })
  const ask: ReadSide['ask'] = (question, options, scope, settle) => {
    if (failure !== null) throw failure
    check(question, options, wiring)
    if (openCount >= OPEN_MAX) throw errorOf('overloaded', null)
    const deadline = nowMs() + (options.timeoutMs ?? TIMEOUT_MS)
    const behind = behindWatches(options, deadline, scope, settle)
    // A copy: it is sent when this turn is over, and again if a lease ends meanwhile.
    const own = question?.slice() ?? null
    const open = { question: own, options, deadline, settle: behind, isEnded: false }
    openCount += 1
    listen(open)
    enter(open)
  }
  const sweep = (): void => {
    const now = nowMs()
    if (openCount === 0 || now < sweepAt) return
    sweepAt = now + SWEEP_MS
    const late = (open: Open): void => {
      if (now < open.deadline) return
      const timeoutMs = open.options.timeoutMs ?? TIMEOUT_MS
      const message = `no answer within ${String(timeoutMs)} ms`
      reject(open, new ReplicaError('E_READ_TIMEOUT', message, { timeoutMs }))
    }
    for (const batch of unsent.values()) batch.reads.forEach(late)
    for (const [id, batch] of sent) {
      batch.reads.forEach(late)
      if (batch.reads.every(({ isEnded }) => isEnded)) sent.delete(id)
    }
  }
  return {
    ask,
    read: (query, options = {}, scope) =>
      promised((settle) => {
        checkBytes('query', query)
        ask(query, options, scope, settle)
      }),
    async sync(options = {}, scope) {
      const strict = { ...options, consistency: 'linearizable' } as const
      const { token } = await promised<ReadAnswer>((settle) => ask(null, strict, scope, settle))
      return { token }
    },
    onAnswers,
    doWork() {
      sweep()
      return unsent.size === 0 ? 0 : sendAll()
    },
    fail(error) {
      failure = error
      for (const batch of [...unsent.values(), ...sent.values()]) {
        for (const open of batch.reads) reject(open, error)
      }
      unsent.clear()
      sent.clear()
    },
  }
}

const placeOf = (options: ReadOptions): { mode: number; value: number } => {
  const { consistency = 'linearizable', token, maxStalenessMs = 0 } = options
  if (consistency === 'session') return { mode: -1, value: token!.index }
  const value = consistency === 'stale' ? maxStalenessMs : 0
  return { mode: reads.READ_MODES.indexOf(consistency), value }
}

const CONSISTENCIES: readonly string[] = ['linearizable', 'lease', 'session', 'stale']

/** @throws ReplicaError for what no answer could make good */
function check(question: Uint8Array | null, options: ReadOptions, wiring: ReadWiring): void {
  const { consistency = 'linearizable', token, maxStalenessMs, timeoutMs = TIMEOUT_MS } = options
  const missing = wiring.missing()
  if (missing !== null) throw notAvailable(missing)
  if (consistency === 'lease' && !wiring.hasLeases) throw notAvailable('leases (tuning.leaseMs)')
  checkSignal(options.signal)
  if (options.signal?.aborted === true) throw abortedError()
  const maxBytes = reads.PIECE_SIZE_MAX_BYTES - reads.ITEM_HEADER_SIZE_BYTES
  if (question !== null && question.length > maxBytes) {
    const detail = { sizeBytes: question.length, maxBytes }
    throw new ReplicaError('E_PAYLOAD_SIZE', `at most ${String(maxBytes)} bytes`, detail)
  }
  const problems: string[] = []
  if (!CONSISTENCIES.includes(consistency)) problems.push(`consistency=${consistency}: unknown`)
  if (!(timeoutMs > 0 && timeoutMs <= READ_TIMEOUT_MAX_MS)) {
    problems.push(`timeoutMs=${String(timeoutMs)}: want 1 to ${String(READ_TIMEOUT_MAX_MS)}`)
  }
  if (consistency === 'stale' && !(Number.isInteger(maxStalenessMs) && maxStalenessMs! >= 0)) {
    problems.push('maxStalenessMs: want a whole number of ms for a stale read')
  }
  if (consistency === 'session' && token === undefined) problems.push('token: a session has one')
  if (problems.length > 0) {
    throw new ReplicaError('E_CONFIG_INVALID', problems.join('; '), { problems })
  }
  if (token !== undefined) checkToken(token, wiring.history)
}

const notAvailable = (feature: string): ReplicaError =>
  new ReplicaError('E_NOT_AVAILABLE', `${feature}: not available here`, { feature })

const abortedError = (): ReplicaError =>
  new ReplicaError('E_ABORTED', 'the signal was aborted', { reason: 'signal' })

function errorOf(reason: reads.ReadFailure, bytes: Uint8Array | null): ReplicaError {
  switch (reason) {
    case 'no-query':
      return notAvailable('query (the state machine has none)')
    case 'no-state':
    case 'not-available':
      return notAvailable('reads')
    case 'query-threw':
    case 'answer-size': {
      const text = reason === 'query-threw' ? new TextDecoder().decode(bytes ?? NOTHING) : reason
      return new ReplicaError('E_QUERY_FAILED', text, { reason: text })
    }
    default:
      return new ReplicaError('E_READ_REFUSED', reason, { reason })
  }
}
