/** The API's JSON as the client's values and back (docs/api.md). Pure; also runs in a browser. */
import type { SessionToken } from './types.ts'
import type { Entry, Key, KeyRange, Operation, OperationAnswer, Guard } from './types.ts'
import type { Json } from './transport.ts'

export const bytesOf = (key: Key): Uint8Array => (typeof key === 'string' ? UTF8.encode(key) : key)
export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const UTF8 = new TextEncoder()

export function base64(given: Key): string {
  const bytes = bytesOf(given)
  let text = ''
  for (let at = 0; at < bytes.length; at += 8_192)
    text += String.fromCharCode(...bytes.subarray(at, at + 8_192))
  return btoa(text)
}

export const fromBase64 = (text: unknown): Uint8Array =>
  Uint8Array.from(atob(typeof text === 'string' ? text : ''), (letter) => letter.charCodeAt(0))

/** All keys that begin with `prefix`: up to the next text that does not; null: to the end. */
export function prefixEnd(prefix: Uint8Array): Uint8Array | null {
  let size = prefix.length
  while (size > 0 && prefix[size - 1] === 0xff) size--
  if (size === 0) return null
  const end = prefix.slice(0, size)
  end[size - 1]!++
  return end
}

const ZERO = Uint8Array.of(0)

export function rangeBody(range: KeyRange): object {
  if ('key' in range) return { key: base64(range.key) }
  const from = bytesOf('prefix' in range ? range.prefix : range.from)
  const end = 'prefix' in range ? prefixEnd(from) : range.to === null ? null : bytesOf(range.to)
  // The API has no empty key: the lowest one is a zero byte.
  return { key: base64(from.length === 0 ? ZERO : from), range_end: base64(end ?? ZERO) }
}

export function guardBody({ key, ...guard }: Guard): object {
  const result = RESULTS[guard.is ?? 'equal']
  const own = { key: base64(key), result }
  switch (guard.field) {
    case 'value':
      return { ...own, target: 'VALUE', value: base64(guard.value) }
    case 'version':
      return { ...own, target: 'VERSION', version: guard.value }
    case 'mod':
      return { ...own, target: 'MOD', mod_revision: guard.value }
    case 'create':
      return { ...own, target: 'CREATE', create_revision: guard.value }
  }
}

const RESULTS = {
  ...{ equal: 'EQUAL', greater: 'GREATER', less: 'LESS', 'not-equal': 'NOT_EQUAL' },
} as const

export function operationBody(operation: Operation): object {
  if ('put' in operation) {
    const { put, value, ttlMs } = operation
    return { request_put: putBody(put, value, { ...(ttlMs !== undefined && { ttlMs }) }) }
  }
  if ('delete' in operation) return { request_delete_range: rangeBody(operation.delete) }
  const { range, limit } = operation
  return { request_range: { ...rangeBody(range), ...(limit !== undefined && { limit }) } }
}

export const putBody = (
  key: Key,
  value: Key,
  options: {
    readonly ttlMs?: number
    readonly keepTtl?: boolean
    readonly only?: 'absent' | 'present'
    readonly previous?: boolean
  },
): object => ({
  ...{ key: base64(key), value: base64(value) },
  ...(options.ttlMs !== undefined && { ttl_ms: options.ttlMs }),
  ...(options.keepTtl === true && { keep_ttl: true }),
  ...(options.only !== undefined && { only: options.only }),
  ...(options.previous === true && { prev_kv: true }),
})

// ---- Replies: what a server of another version lacks reads as empty ----------------------------

const list = (value: unknown): readonly Json[] => (Array.isArray(value) ? (value as Json[]) : [])

export function entryOf(kv: Json): Entry {
  const value = fromBase64(kv['value'])
  return {
    key: fromBase64(kv['key']),
    value,
    text: textOf(value),
    createRevision: Number(kv['create_revision']),
    modRevision: Number(kv['mod_revision']),
    version: Number(kv['version']),
    ttlMs: kv['ttl_ms'] === undefined ? null : Number(kv['ttl_ms']),
  }
}

export const entriesOf = (body: Json): readonly Entry[] => list(body['kvs']).map(entryOf)

export function tokenOf(body: Json): SessionToken {
  const header = body['header'] as { readonly token: SessionToken }
  return header.token
}

export const answersOf = (body: Json): readonly OperationAnswer[] =>
  list(body['responses']).map((one) => {
    const range = one['response_range'] as Json | undefined
    if (range !== undefined)
      return { kind: 'range', entries: entriesOf(range), more: range['more'] === true }
    const removed = one['response_delete_range'] as Json | undefined
    if (removed !== undefined) return { kind: 'delete', deleted: Number(removed['deleted']) }
    return { kind: 'put' }
  })
