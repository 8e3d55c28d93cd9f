/**
 * Calls to one of several endpoints: finds the leader, goes on to another endpoint where that is
 * safe, and gives up at the deadline.
 *
 * Invariant: a write is sent again only if the attempt before it has no effect and never will: the
 * server said `not-proposed`, or no connection was made. A read may always be asked again.
 */
import type { Outcome } from '../base/errors.ts'
import { ClientError } from './errors.ts'

export interface TransportOptions {
  /** `http://HOST:PORT` of the nodes, as many as are known. */
  readonly endpoints: readonly string[]
  /** Bearer token. */
  readonly token?: string
  /** Of a whole call, with everything that is tried. Default 5000. */
  readonly timeoutMs?: number
}

export interface CallOptions {
  /** Ends the call with E_ABORTED. */
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
}

export interface Call extends CallOptions {
  readonly path: string
  readonly body: object
  /** It changes something. */
  readonly isWrite: boolean
}

export interface Transport {
  readonly endpoints: readonly string[]
  readonly timeoutMs: number
  /** The reply's JSON. @throws ClientError */
  call(call: Call): Promise<Json>
  /** One endpoint, once. @throws ClientError */
  callAt(endpoint: string, call: Call): Promise<Json>
  /** A reply that goes on. @throws ClientError */
  open(endpoint: string, path: string, body: object, signal: AbortSignal): Promise<Response>
  /** The endpoint that is asked first, and the ones behind it. */
  order(): readonly string[]
  /** The first one did not do: another one is asked first from now on. */
  passOver(endpoint: string): void
}

export type Json = Readonly<Record<string, unknown>>

const TIMEOUT_MS = 5_000
/** One attempt of a read: a node that hangs must not use up the whole time. */
const READ_ATTEMPT_MS = 2_000
const PROBE_MS = 500
const BACKOFF_MIN_MS = 20
const BACKOFF_MAX_MS = 500
const TIMEOUT_MAX_MS = 600_000

/** @throws ClientError E_CONFIG_INVALID */
export function openTransport(options: TransportOptions): Transport {
  const { token, timeoutMs = TIMEOUT_MS } = options
  const endpoints = [...new Set(options.endpoints.map((one) => one.replace(/\/+$/, '')))]
  checkOptions(endpoints, timeoutMs)
  const order = [...endpoints]
  /** Node id -> endpoint, as replies have told. */
  const byNode = new Map<number, string>()
  const headers = {
    'content-type': 'application/json',
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
  }
  const prefer = (endpoint: string): void => {
    order.splice(order.indexOf(endpoint), 1)
    order.unshift(endpoint)
  }
  const passOver = (endpoint: string): void => {
    if (order[0] !== endpoint) return
    order.push(order.shift()!)
  }
  const send = (endpoint: string, path: string, body: object, signal: AbortSignal) =>
    fetch(`${endpoint}${path}`, { method: 'POST', headers, body: JSON.stringify(body), signal })
  const attempt = async (endpoint: string, call: Call, signal: AbortSignal): Promise<Json> => {
    const sent = call.isWrite ? 'unknown' : 'not-proposed'
    let response: Response
    let text: string
    try {
      response = await send(endpoint, call.path, call.body, signal)
      text = await response.text()
    } catch (cause) {
      throw networkError(endpoint, cause, sent)
    }
    const body = jsonOf(text)
    if (!response.ok || body === null) throw answerError(response.status, body, sent)
    const node = nodeOf(body)
    if (node !== null) byNode.set(node, endpoint)
    return body
  }
  /** Who says that it leads; asked of all at once. */
  const findLeader = async (wanted: number, signal: AbortSignal): Promise<void> => {
    if (!byNode.has(wanted)) {
      const probe = AbortSignal.any([signal, AbortSignal.timeout(PROBE_MS)])
      const call: Call = { path: '/v3/maintenance/status', body: {}, isWrite: false }
      await Promise.allSettled(endpoints.map((one) => attempt(one, call, probe)))
    }
    const endpoint = byNode.get(wanted)
    if (endpoint !== undefined) prefer(endpoint)
  }
  const callAt = (endpoint: string, call: Call): Promise<Json> =>
    guarded(call, timeoutMs, (signal) => attempt(endpoint, call, signal))
  const callAny = (call: Call): Promise<Json> =>
    guarded(call, timeoutMs, async (signal) => {
      for (let tries = 0; ; tries++) {
        const endpoint = order[0]!
        const limit = AbortSignal.timeout(READ_ATTEMPT_MS)
        const own = call.isWrite ? signal : AbortSignal.any([signal, limit])
        try {
          return await attempt(endpoint, call, own)
        } catch (error) {
          if (signal.aborted || !isRetried(error, call)) throw error
          const leader = leaderOf(error)
          passOver(endpoint)
          if (leader > 0) await findLeader(leader, signal)
          // A round of all of them is over, or nobody leads: somebody has to be elected first.
          const isRound = (tries + 1) % endpoints.length === 0
          if (leader <= 0 && isRound) await pause(tries, signal, error)
        }
      }
    })
  return {
    ...{ endpoints, timeoutMs, callAt, passOver, call: callAny },
    order: () => [...order],
    open: (endpoint, path, body, signal) =>
      openStream(endpoint, () => send(endpoint, path, body, signal)),
  }
}

async function openStream(endpoint: string, send: () => Promise<Response>): Promise<Response> {
  const response = await send().catch((cause: unknown) => {
    throw networkError(endpoint, cause, 'not-proposed')
  })
  if (response.ok) return response
  throw answerError(response.status, jsonOf(await response.text()), 'not-proposed')
}

function checkOptions(endpoints: readonly string[], timeoutMs: number): void {
  const problems = endpoints
    .filter((one) => !/^https?:$/.test(URL.parse(one)?.protocol ?? ''))
    .map((one) => `endpoints: ${one}: want http://HOST:PORT or https://HOST:PORT`)
  if (endpoints.length === 0) problems.push('endpoints: want one at least')
  if (!(timeoutMs > 0 && timeoutMs <= TIMEOUT_MAX_MS))
    problems.push(`timeoutMs=${String(timeoutMs)}: want 1 to ${String(TIMEOUT_MAX_MS)}`)
  if (problems.length === 0) return
  throw new ClientError('E_CONFIG_INVALID', problems.join('; '), 'not-proposed', {
    detail: { problems },
  })
}

/** Runs with a signal that is the caller's or the deadline's, whichever comes first. */
async function guarded(
  { signal, timeoutMs, isWrite }: Call,
  fallbackMs: number,
  run: (signal: AbortSignal) => Promise<Json>,
): Promise<Json> {
  if (isAborted(signal)) throw new ClientError('E_ABORTED', ABORTED, 'not-proposed')
  const limit = AbortSignal.timeout(timeoutMs ?? fallbackMs)
  const both = signal === undefined ? limit : AbortSignal.any([signal, limit])
  try {
    return await run(both)
  } catch (error) {
    if (!both.aborted) throw error
    // What ended on the way may have arrived; a refusal that was heard before is what it says.
    const known = error instanceof ClientError && error.status !== null ? error.outcome : null
    const outcome = known ?? (isWrite && !isUnsent(error) ? 'unknown' : 'not-proposed')
    const cause = { cause: error }
    if (isAborted(signal)) throw new ClientError('E_ABORTED', ABORTED, outcome, cause)
    throw new ClientError('E_TIMEOUT', `no answer in time (${reasonOf(error)})`, outcome, cause)
  }
}

const ABORTED = 'the signal was aborted'
const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true

/** Waits a little longer each time; the deadline ends it with what was wrong. */
async function pause(tries: number, signal: AbortSignal, error: unknown): Promise<void> {
  const most = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(tries, 10))
  await new Promise((resolve) => setTimeout(resolve, most * (0.5 + Math.random() / 2)))
  if (signal.aborted) throw error
}

/** Statuses by which a server says: not now, or not here. */
const isElsewhere = (status: number | null): boolean =>
  status === null || status === 503 || status === 504 || status === 429

function isRetried(error: unknown, { isWrite }: Call): boolean {
  if (!(error instanceof ClientError)) return false
  if (isWrite && error.outcome === 'unknown') return false
  return isElsewhere(error.status)
}

const isUnsent = (error: unknown): boolean =>
  error instanceof ClientError && error.code === 'E_UNREACHABLE' && error.outcome !== 'unknown'

/** Before a connection is there, nothing can have been sent. */
const UNSENT = new Set([
  ...['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL'],
  'UND_ERR_CONNECT_TIMEOUT',
])

function networkError(endpoint: string, cause: unknown, sent: Outcome): ClientError {
  const code = codeOf(cause)
  const outcome = UNSENT.has(code) ? 'not-proposed' : sent
  return new ClientError('E_UNREACHABLE', `${endpoint}: ${code}`, outcome, { cause })
}

/** fetch wraps what happened, and what happened may be several at once. */
function codeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined
  const inner = cause instanceof AggregateError ? (cause.errors[0] as unknown) : cause
  for (const one of [inner, cause, error]) {
    if (one instanceof Error && 'code' in one && typeof one.code === 'string') return one.code
  }
  return error instanceof Error ? error.name : 'unknown'
}

function answerError(status: number, body: Json | null, sent: Outcome): ClientError {
  const code = body?.['code']
  // A proxy in between, say: nothing is known of what it did.
  if (typeof code !== 'string')
    return new ClientError('E_ANSWER', `status ${String(status)} without a code`, sent, { status })
  const outcome = body!['outcome'] === 'unknown' ? sent : 'not-proposed'
  const message = typeof body!['message'] === 'string' ? body!['message'] : code
  return new ClientError(code, message, outcome, { status, detail: body!['detail'] })
}

function jsonOf(text: string): Json | null {
  try {
    const parsed: unknown = JSON.parse(text)
    return typeof parsed === 'object' && parsed !== null ? (parsed as Json) : null
  } catch {
    return null
  }
}

function nodeOf(body: Json): number | null {
  const header = body['header'] as { readonly member_id?: unknown } | undefined
  const id = Number(header?.member_id)
  return Number.isSafeInteger(id) && id > 0 ? id : null
}

/** -1: it is no matter of who leads. */
function leaderOf(error: unknown): number {
  if (!(error instanceof ClientError)) return -1
  const detail = error.detail as { readonly leader?: unknown } | undefined
  return typeof detail?.leader === 'number' ? detail.leader : -1
}

const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)
