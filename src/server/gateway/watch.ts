/**
 * Watches of the API: changes of keys as a node applies them, as server-sent events, as JSON lines
 * (the shape of etcd's gateway) or over a WebSocket. A watch is pulled: a client that is slow makes
 * it wait and reads on from the log, and one that takes nothing is cut by the adapter.
 *
 * Invariant: nothing is left out in silence: a watch ends with an error, or says that the effect of
 * an entry is not known any more (`uncertain`). Caller's thread.
 */
import type { SessionToken } from '../../engine/token.ts'
import type { WatchEvent } from '../../engine/stretch.ts'
import type { WatchOptions } from '../../engine/watch.ts'
import { type KvChange, changesOf } from '../../state-machines/key-value-changes.ts'
import { decodeCommand } from '../../state-machines/key-value-codec.ts'
import type { HttpStream, SocketSession, TextSink } from '../http/adapter.ts'
import { type Fields, fieldsOf, invalid, parseJson } from '../http/json.ts'
import { errorBodyOf } from '../http/reply.ts'
import type { KvService } from '../kv-service.ts'
import { type Range, base64, headerOf, rangeOf, tokenFrom } from './kv-json.ts'

/** Of one WebSocket. */
const WATCHES_MAX = 64
/** A line that says nothing, so that a dead connection is noticed. */
const KEEP_ALIVE_MS = 15_000

interface Wanted {
  readonly range: Range
  readonly options: WatchOptions
}

/** What a request to watch says; its problems are told by the `done` of the whole request. */
function wantedOf(fields: Fields): Wanted {
  const range = rangeOf(fields)
  const from = fields.integer('start_revision', 0, Number.MAX_SAFE_INTEGER, 0)
  const token = tokenFrom(fields)
  if (from > 0 && token !== null) fields.problems.push('start_revision, token: want one of them')
  return { range, options: { ...(from > 0 && { from }), ...(token !== null && { token }) } }
}

/** Of a POST, in etcd's form: `{"create_request": {...}}`. */
export function wantedOfBody(body: Uint8Array): Wanted {
  const fields = fieldsOf(parseJson(body))
  const request = fields.object('create_request')
  if (request === null) throw invalid('create_request: missing')
  const wanted = wantedOf(request)
  fields.done()
  return wanted
}

/** Of a GET: the fields as parameters. */
export function wantedOfQuery(query: string): Wanted {
  const given = [...new URLSearchParams(query)]
  const names = new Set(given.map(([name]) => name))
  if (names.size !== given.length) throw invalid('query: every parameter once')
  const fields = fieldsOf(Object.fromEntries(given))
  const wanted = wantedOf(fields)
  fields.done()
  return wanted
}

/** @param form of one message of the stream */
function streamOf(
  kv: KvService,
  wanted: Wanted,
  form: { readonly type: string; readonly idle: string; readonly write: Write },
): HttpStream {
  return {
    type: form.type,
    async run(sink) {
      const idle = setInterval(
        () => void sink.write(form.idle).catch(() => undefined),
        KEEP_ALIVE_MS,
      )
      try {
        await follow(kv, wanted, sink.signal, (message) => sink.write(form.write(message)))
      } finally {
        clearInterval(idle)
      }
    },
  }
}

type Write = (message: Message) => string
type Message =
  | { readonly kind: 'created' | 'events'; readonly result: object; readonly revision: number }
  | { readonly kind: 'error'; readonly error: object }

const bodyOf = (message: Message): object =>
  message.kind === 'error' ? { error: message.error } : { result: message.result }

/** The id of an event is its revision: `Last-Event-ID` goes on behind it. */
export const eventStream = (kv: KvService, wanted: Wanted): HttpStream =>
  streamOf(kv, wanted, {
    type: 'text/event-stream',
    idle: ':\n\n',
    write: (message) => {
      const id = message.kind === 'events' ? `id: ${String(message.revision)}\n` : ''
      const name = message.kind === 'events' ? '' : `event: ${message.kind}\n`
      return `${id}${name}data: ${JSON.stringify(bodyOf(message))}\n\n`
    },
  })

export const lineStream = (kv: KvService, wanted: Wanted): HttpStream =>
  streamOf(kv, wanted, {
    type: 'application/json',
    idle: '\n',
    write: (message) => `${JSON.stringify(bodyOf(message))}\n`,
  })

/** Tells one watch until it fails or the signal comes; a failure is its last message. */
async function follow(
  kv: KvService,
  { range, options }: Wanted,
  signal: AbortSignal,
  tell: (message: Message) => Promise<void>,
): Promise<void> {
  const { node } = kv
  const header = (token: SessionToken) => ({ header: headerOf(node.id, token) })
  try {
    // A reader of its own: reads of other clients never wait for this watch.
    const watch = node.reader().watch({ ...options, signal })
    const { token } = watch
    await tell({
      ...{ kind: 'created', revision: token.index },
      result: { ...header(token), created: true },
    })
    for await (const event of watch) {
      const events = eventsOf(event, range)
      if (events === null) continue
      const result = { ...header({ ...token, index: event.index }), ...events }
      await tell({ kind: 'events', revision: event.index, result })
    }
  } catch (error) {
    if (!signal.aborted) await tell({ kind: 'error', error: errorBodyOf(error) })
  }
}

/** Null: nothing of the range changed. */
function eventsOf({ index, payload, result }: WatchEvent, range: Range): object | null {
  const { changes, isCertain } = changesOf(payload, result)
  if (!isCertain) return mayTouch(payload, range) ? { uncertain: true, events: [] } : null
  const events = changes.filter((one) => touches(one, range)).map((one) => eventOf(one, index))
  return events.length === 0 ? null : { events }
}

/** Whether an entry could have changed a key of the range, whatever the state was that it met. */
function mayTouch(payload: Uint8Array, range: Range): boolean {
  const command = decodeCommand(payload)
  if (command === null) return false
  if (command.kind === 'tick') return true // which keys it removed, its answer said
  const operations = command.kind === 'txn' ? [...command.then, ...command.else] : [command]
  return operations.some((one) => {
    if (one.kind === 'delete-range' || one.kind === 'range')
      return one.kind === 'delete-range' && touches(one, range)
    return one.kind !== 'get' && isIn(one.key, range.from, range.to)
  })
}

function touches(change: KvChange, { from, to }: Range): boolean {
  if (change.kind !== 'delete-range') return isIn(change.key, from, to)
  const beginsBefore = to === null || Buffer.compare(change.from, to) < 0
  return beginsBefore && (change.to === null || Buffer.compare(change.to, from) > 0)
}

const isIn = (key: Uint8Array, from: Uint8Array, to: Uint8Array | null): boolean =>
  Buffer.compare(key, from) >= 0 && (to === null || Buffer.compare(key, to) < 0)

function eventOf(change: KvChange, index: number): object {
  const mod_revision = String(index)
  switch (change.kind) {
    case 'put':
      return {
        type: 'PUT',
        kv: { key: base64(change.key), value: base64(change.value), mod_revision },
      }
    case 'delete':
      return {
        type: 'DELETE',
        ...(change.expired && { expired: true }),
        kv: { key: base64(change.key), mod_revision },
      }
    case 'delete-range': {
      const range_end = change.to === null ? base64(Uint8Array.of(0)) : base64(change.to)
      return { type: 'DELETE', range_end, kv: { key: base64(change.from), mod_revision } }
    }
  }
}

/**
 * Watches over one WebSocket: `{"create_request": {..., "watch_id": 7}}` begins one,
 * `{"cancel_request": {"watch_id": 7}}` ends it; each message out names its watch.
 */
export function watchSocket(kv: KvService): SocketSession {
  const running = new Map<number, AbortController>()
  let sink: TextSink | null = null
  let nextId = 1
  const send = (body: object): Promise<void> => sink!.write(JSON.stringify(body))
  const create = (fields: Fields, request: Fields): void => {
    const watch_id = request.integer('watch_id', 1, 2 ** 31, nextId)
    if (running.has(watch_id)) request.problems.push(`watch_id: ${String(watch_id)} runs already`)
    if (running.size >= WATCHES_MAX) request.problems.push(`at most ${String(WATCHES_MAX)} watches`)
    const wanted = wantedOf(request)
    fields.done()
    nextId = Math.max(nextId, watch_id) + 1
    const stop = new AbortController()
    running.set(watch_id, stop)
    const signal = AbortSignal.any([sink!.signal, stop.signal])
    const tell = (message: Message) => send({ watch_id, ...bodyOf(message) })
    // What is told to a client that is gone is of no use to anybody.
    void follow(kv, wanted, signal, tell)
      .catch(() => undefined)
      .finally(() => running.delete(watch_id))
  }
  return {
    open(given) {
      sink = given
    },
    async onMessage(text) {
      try {
        const fields = fieldsOf(parseJson(Buffer.from(text)))
        const request = fields.object('create_request')
        const cancel = fields.object('cancel_request')
        if ((request === null) === (cancel === null))
          fields.problems.push('want one of create_request, cancel_request')
        if (request !== null) return create(fields, request)
        if (cancel === null) return fields.done()
        const watch_id = cancel.integer('watch_id', 1, 2 ** 31, 0)
        fields.done()
        running.get(watch_id)?.abort()
        await send({ watch_id, result: { canceled: true } })
      } catch (error) {
        await send({ error: errorBodyOf(error) })
      }
    },
  }
}
