/**
 * Requests and replies of the key-value API, between JSON and the service's values. The shape is
 * that of etcd's v3 gateway: bytes as base64, 64-bit numbers as strings; docs/api.md says where it
 * differs. Pure.
 */
import type { SessionToken } from '../../engine/token.ts'
import {
  type Comparison,
  KEY_SIZE_MAX_BYTES,
  type KeyValue,
  type KvAnswer,
  type KvGuard,
  type KvOperation,
  OPERATIONS_MAX,
  RANGE_KEYS_MAX,
  type RangeCommand,
  REQUEST_SIZE_MAX_BYTES,
  TTL_MAX_MS,
} from '../../state-machines/key-value-commands.ts'
import type { KvReadOptions } from '../kv-service.ts'
import type { Fields } from '../http/json.ts'

const NOTHING = new Uint8Array(0)
const STALENESS_MS = 5_000
const MS_MAX = 600_000

export const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')

export interface Range {
  readonly from: Uint8Array
  /** Null: to the end. */
  readonly to: Uint8Array | null
  /** No `range_end`: the key alone. */
  readonly isOne: boolean
}

export function keyOf(fields: Fields): Uint8Array {
  const key = fields.bytes('key', KEY_SIZE_MAX_BYTES)
  const at = fields.path === '' ? 'key' : `${fields.path}.key`
  if (!fields.has('key')) fields.problems.push(`${at}: missing`)
  else if (key?.length === 0) fields.problems.push(`${at}: empty`)
  return key ?? NOTHING
}

/** etcd's rules: without an end the key alone; with the end 0x00 from the key to the last one. */
export function rangeOf(fields: Fields): Range {
  const from = keyOf(fields)
  const end = fields.bytes('range_end', KEY_SIZE_MAX_BYTES + 1) ?? NOTHING
  if (end.length > 0)
    return { from, to: end.length === 1 && end[0] === 0 ? null : end, isOne: false }
  return { from, to: Uint8Array.of(...from, 0), isOne: true }
}

const CONSISTENCIES = ['linearizable', 'lease', 'session', 'stale'] as const

/** Of a request that reads. */
export function readOptionsOf(fields: Fields): KvReadOptions {
  const isSerializable = fields.flag('serializable')
  const fallback = isSerializable ? 'stale' : 'linearizable'
  const consistency = fields.choice('consistency', CONSISTENCIES, fallback)
  const maxStalenessMs = fields.integer('max_staleness_ms', 0, MS_MAX, STALENESS_MS)
  const timeoutMs = fields.integer('timeout_ms', 1, MS_MAX, 5_000)
  const token = tokenFrom(fields)
  return {
    ...{ consistency, timeoutMs },
    ...(consistency === 'stale' && { maxStalenessMs }),
    ...(token !== null && { token }),
  }
}

export function tokenFrom(fields: Fields): SessionToken | null {
  const given = fields.object('token')
  if (given === null) return null
  return {
    cluster: given.text('cluster') ?? '',
    epoch: given.integer('epoch', 0, Number.MAX_SAFE_INTEGER, 0),
    index: given.integer('index', 0, Number.MAX_SAFE_INTEGER, 0),
  }
}

export function rangeCommandOf(fields: Fields): Omit<RangeCommand, 'kind'> {
  const { from, to } = rangeOf(fields)
  const limit = fields.integer('limit', 0, RANGE_KEYS_MAX, RANGE_KEYS_MAX)
  return {
    ...{ from, to },
    limit: limit === 0 ? RANGE_KEYS_MAX : limit,
    ...(fields.flag('keys_only') && { keysOnly: true }),
  }
}

export function putOf(fields: Fields) {
  const key = keyOf(fields)
  const value = fields.bytes('value', REQUEST_SIZE_MAX_BYTES) ?? NOTHING
  const ttlMs = fields.integer('ttl_ms', 1, TTL_MAX_MS, 0)
  const keepTtl = fields.flag('keep_ttl')
  if (ttlMs > 0 && keepTtl) fields.problems.push('ttl_ms, keep_ttl: want one of them')
  const only = fields.has('only') ? fields.choice('only', ['absent', 'present'], 'absent') : null
  return {
    ...{ key, value },
    ...(ttlMs > 0 && { ttlMs }),
    ...(keepTtl && { keepTtl }),
    ...(only !== null && { only }),
    ...(fields.flag('prev_kv') && { previous: true }),
  }
}

// ---- Transactions ----------------------------------------------------------------------------

const TARGETS = ['VERSION', 'CREATE', 'MOD', 'VALUE'] as const
const RESULTS = ['EQUAL', 'GREATER', 'LESS', 'NOT_EQUAL'] as const
const COMPARISONS: Readonly<Record<(typeof RESULTS)[number], Comparison>> = {
  ...{ EQUAL: 'equal', GREATER: 'greater', LESS: 'less', NOT_EQUAL: 'not-equal' },
}
const REVISION_FIELDS = {
  VERSION: { field: 'version', name: 'version' },
  CREATE: { field: 'create', name: 'create_revision' },
  MOD: { field: 'mod', name: 'mod_revision' },
} as const

export function txnOf(fields: Fields) {
  return {
    guards: fields.list('compare', OPERATIONS_MAX).map(guardOf),
    then: fields.list('success', OPERATIONS_MAX).flatMap(operationOf),
    else: fields.list('failure', OPERATIONS_MAX).flatMap(operationOf),
  }
}

function guardOf(fields: Fields): KvGuard {
  const key = keyOf(fields)
  const is = COMPARISONS[fields.choice('result', RESULTS, 'EQUAL')]
  const target = fields.choice('target', TARGETS, 'VERSION')
  if (target === 'VALUE') {
    const value = fields.bytes('value', REQUEST_SIZE_MAX_BYTES) ?? NOTHING
    return { key, field: 'value', is, value }
  }
  const { field, name } = REVISION_FIELDS[target]
  return { key, field, is, value: fields.integer(name, 0, Number.MAX_SAFE_INTEGER, 0) }
}

function operationOf(fields: Fields): KvOperation[] {
  const put = fields.object('request_put')
  const range = fields.object('request_range')
  const remove = fields.object('request_delete_range')
  const made: KvOperation[] = []
  if (put !== null) made.push({ kind: 'put', ...putOf(put) })
  if (range !== null) made.push({ kind: 'range', ...rangeCommandOf(range) })
  if (remove !== null) made.push(deleteOf(rangeOf(remove)))
  if (made.length !== 1) {
    const wanted = 'want one of request_put, request_range, request_delete_range'
    fields.problems.push(`${fields.path}: ${wanted}`)
  }
  return made
}

export const deleteOf = ({ from, to, isOne }: Range): KvOperation =>
  isOne ? { kind: 'delete', key: from } : { kind: 'delete-range', from, to }

// ---- Replies ---------------------------------------------------------------------------------

export const headerOf = (memberId: number, token: SessionToken) => ({
  cluster_id: token.cluster,
  member_id: String(memberId),
  revision: String(token.index),
  token,
})

export const kvOf = (entry: KeyValue) => ({
  key: base64(entry.key),
  create_revision: String(entry.createRevision),
  mod_revision: String(entry.modRevision),
  version: String(entry.version),
  ...(entry.value !== null && { value: base64(entry.value) }),
  ...(entry.ttlMs !== null && { ttl_ms: String(entry.ttlMs) }),
})

export const rangeReplyOf = (entries: readonly KeyValue[], more: boolean) => ({
  kvs: entries.map(kvOf),
  more,
  count: String(entries.length),
})

export function answerOf(answer: KvAnswer) {
  switch (answer.kind) {
    case 'put':
      return { response_put: putReplyOf(answer) }
    case 'range':
      return { response_range: rangeReplyOf(answer.entries, answer.more) }
    case 'delete':
      return { response_delete_range: { deleted: answer.done ? '1' : '0' } }
    case 'delete-range':
      return { response_delete_range: { deleted: String(answer.count) } }
    case 'refused':
      return { refused: answer.reason }
    case 'get':
    case 'cas':
    case 'expire':
    case 'incr':
      return {} // no request makes one
  }
}

export const putReplyOf = (answer: {
  readonly done: boolean
  readonly previous?: KeyValue | null
}) => ({
  done: answer.done,
  ...(answer.previous && { prev_kv: kvOf(answer.previous) }),
})
