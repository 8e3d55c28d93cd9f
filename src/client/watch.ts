/**
 * A watch that outlives connections: it goes on at another endpoint behind what it told, without
 * a gap and without a repeat, and fails with an error instead of hanging: when no endpoint can be
 * reached for a while, or when the next change is not in any log any more (E_COMPACTED).
 */
import { ClientError } from './errors.ts'
import type { Json, Transport } from './transport.ts'
import type { Change, ChangeEvent, KeyRange, SessionToken, WatchOptions } from './types.ts'
import { fromBase64, rangeBody, textOf, tokenOf } from './wire.ts'

const UNREACHABLE_MS = 30_000
/** The server says something every 15 s; a connection that is silent for longer is dead. */
const SILENCE_MS = 40_000
const PAUSE_MS = 100

/** Errors that asking elsewhere does not cure. */
const FINAL = new Set([
  ...['E_COMPACTED', 'E_TOKEN', 'E_REQUEST_INVALID', 'E_CONFIG_INVALID', 'E_NOT_AVAILABLE'],
  ...['E_UNAUTHENTICATED', 'E_FORBIDDEN', 'E_NOT_FOUND', 'E_HOST', 'E_ORIGIN'],
])

export async function* watchKeys(
  transport: Transport,
  range: KeyRange,
  options: WatchOptions,
): AsyncGenerator<Change, undefined> {
  const { signal, unreachableMs = UNREACHABLE_MS } = options
  const place: Place = { from: options.from ?? null, token: options.token ?? null }
  let failingSince: number | null = null
  for (;;) {
    const endpoint = transport.order()[0]!
    const stop = new AbortController()
    const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal])
    try {
      for await (const change of follow(transport, endpoint, range, {
        place,
        signal: both,
        stop,
      })) {
        failingSince = null
        if (change !== null) yield change
      }
    } catch (error) {
      if (signal?.aborted === true)
        throw new ClientError('E_ABORTED', 'the signal was aborted', 'not-proposed')
      const known = error instanceof ClientError ? error : brokenOff(endpoint, error)
      if (FINAL.has(known.code)) throw known
      failingSince ??= Date.now()
      if (Date.now() - failingSince >= unreachableMs) throw known
    } finally {
      stop.abort()
    }
    transport.passOver(endpoint)
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
}

interface Place {
  from: number | null
  token: SessionToken | null
}

/** One connection; null: it stands. */
async function* follow(
  transport: Transport,
  endpoint: string,
  range: KeyRange,
  given: { readonly place: Place; readonly signal: AbortSignal; readonly stop: AbortController },
): AsyncGenerator<Change | null> {
  const { place, signal, stop } = given
  const { from, token } = place
  const start = token !== null ? { token } : from !== null ? { start_revision: from } : {}
  const body = { create_request: { ...rangeBody(range), ...start } }
  const silence = setTimeout(() => stop.abort(), SILENCE_MS)
  try {
    const response = await transport.open(endpoint, '/v3/watch', body, signal)
    for await (const line of linesOf(response, () => silence.refresh())) {
      const { result, error } = JSON.parse(line) as { result?: Json; error?: Json }
      if (error !== undefined) throw errorOf(error)
      const told = tokenOf(result!)
      place.token = told
      if (result!['created'] === true) yield null
      else yield { revision: told.index, token: told, ...eventsOf(result!) }
    }
    throw brokenOff(endpoint, undefined)
  } finally {
    clearTimeout(silence)
  }
}

async function* linesOf(response: Response, onBytes: () => void): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  // The types of fetch here know no async iteration of a body; every runtime does.
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    onBytes()
    const lines = `${rest}${decoder.decode(chunk, { stream: true })}`.split('\n')
    rest = lines.pop()!
    for (const line of lines) if (line !== '') yield line
  }
  if (rest !== '') yield rest
}

function eventsOf(result: Json): Pick<Change, 'events' | 'uncertain'> {
  const events = (result['events'] as readonly Json[]).map((event): ChangeEvent => {
    const kv = event['kv'] as Json
    const key = fromBase64(kv['key'])
    if (event['type'] === 'PUT') {
      const value = fromBase64(kv['value'])
      return { kind: 'put', key, value, text: textOf(value) }
    }
    if (event['range_end'] === undefined)
      return { kind: 'delete', key, expired: event['expired'] === true }
    const end = fromBase64(event['range_end'])
    const isOpen = end.length === 1 && end[0] === 0
    return { kind: 'delete-range', from: key, to: isOpen ? null : end }
  })
  return { events, uncertain: result['uncertain'] === true }
}

function errorOf(error: Json): ClientError {
  const [code, message] = [error['code'], error['message']].map(String)
  return new ClientError(code!, message!, 'not-proposed', { detail: error['detail'] })
}

/** A stream never ends in order: its last message is an error. */
const brokenOff = (endpoint: string, cause: unknown): ClientError =>
  new ClientError('E_UNREACHABLE', `${endpoint}: the watch broke off`, 'not-proposed', { cause })
