/**
 * The client of a server's HTTP API: the package export `xpaxos/client`. Needs `fetch` only, so it
 * runs in Node and in browsers alike.
 *
 * A write that fails says by `outcome` whether it may have had its effect; it was sent again only
 * where it had none. Reads are asked again freely. The client remembers the newest token it has
 * seen, for reads with consistency `session`.
 */
import { type CallOptions, type Json, type TransportOptions, openTransport } from './transport.ts'
import type * as types from './types.ts'
import { watchKeys } from './watch.ts'
import {
  answersOf,
  base64,
  entriesOf,
  entryOf,
  guardBody,
  operationBody,
  putBody,
  rangeBody,
  tokenOf,
} from './wire.ts'

export { ClientError } from './errors.ts'
export type { CallOptions, TransportOptions as ClientOptions } from './transport.ts'
export type * from './types.ts'

export interface Client {
  readonly endpoints: readonly string[]
  /** The newest that this client has seen or written; null: nothing yet. */
  readonly token: types.SessionToken | null
  /** `done` false: `only` did not hold. @throws ClientError */
  put(
    key: types.Key,
    value: types.Key,
    options?: types.PutOptions,
  ): Promise<types.Written & { readonly done: boolean; readonly previous: types.Entry | null }>
  /** Null: no such key. @throws ClientError */
  get(key: types.Key, options?: types.ReadOptions): Promise<types.Entry | null>
  /** Keys in order of their bytes. `more`: the answer was too long to be whole. */
  range(
    range: types.KeyRange,
    options?: types.ReadOptions & { readonly limit?: number },
  ): Promise<{ readonly entries: readonly types.Entry[]; readonly more: boolean }>
  /** A key alone says how many it was; of a range that has none, 0. */
  delete(
    key: types.Key | types.KeyRange,
    options?: CallOptions,
  ): Promise<types.Written & { readonly deleted: number }>
  /** Puts `value` if the key holds `expected`; null: if there is no such key. */
  cas(
    key: types.Key,
    expected: types.Key | null,
    value: types.Key,
    options?: CallOptions,
  ): Promise<types.Written & { readonly done: boolean }>
  /** Several operations that take effect together, under guards. */
  txn(
    txn: types.Txn,
    options?: CallOptions,
  ): Promise<
    types.Written & {
      readonly succeeded: boolean
      readonly answers: readonly types.OperationAnswer[]
    }
  >
  /** Changes of keys, in log order, each once; ends by `break`, the signal or an error. */
  watch(
    range: types.KeyRange,
    options?: types.WatchOptions,
  ): AsyncGenerator<types.Change, undefined>
  /** After it a `session` read, at any node, sees all that was acknowledged anywhere before it. */
  sync(options?: CallOptions): Promise<{ readonly token: types.SessionToken }>
  /** A path of the operator's API (docs/api.md); `write`: it changes something. */
  admin(path: AdminPath, body: object, options?: CallOptions): Promise<Json>
  /** What one endpoint says of its node. */
  statusOf(endpoint: string, options?: CallOptions): Promise<Json>
}

export type AdminPath =
  | `/v3/cluster/member/${'list' | 'address' | 'add' | 'remove' | 'promote' | 'set'}`
  | '/v3/maintenance/transfer-leadership'

/** @throws ClientError E_CONFIG_INVALID; nothing is connected yet */
export function openClient(options: TransportOptions): Client {
  const transport = openTransport(options)
  let newest: types.SessionToken | null = null
  const noted = (body: Json): types.SessionToken => {
    const token = tokenOf(body)
    const isNewer = newest === null || token.epoch > newest.epoch || token.index > newest.index
    if (isNewer) newest = token
    return token
  }
  const write = async (path: string, body: object, { signal, timeoutMs }: CallOptions) => {
    const own = { ...(signal && { signal }), ...(timeoutMs !== undefined && { timeoutMs }) }
    const answer = await transport.call({ path, body, isWrite: true, ...own })
    const token = noted(answer)
    return { answer, written: { revision: token.index, token } }
  }
  const read = async (path: string, body: object, given: types.ReadOptions): Promise<Json> => {
    const { signal, timeoutMs } = given
    const own = { ...(signal && { signal }), ...(timeoutMs !== undefined && { timeoutMs }) }
    const asked = { ...body, ...readBody(given, newest) }
    const answer = await transport.call({ path, body: asked, isWrite: false, ...own })
    noted(answer)
    return answer
  }
  return {
    endpoints: transport.endpoints,
    get token() {
      return newest
    },
    async put(key, value, given = {}) {
      const { answer, written } = await write('/v3/kv/put', putBody(key, value, given), given)
      const previous = answer['prev_kv'] as Json | undefined
      return {
        ...written,
        done: answer['done'] === true,
        previous: previous === undefined ? null : entryOf(previous),
      }
    },
    async get(key, given = {}) {
      return entriesOf(await read('/v3/kv/range', { key: base64(key) }, given))[0] ?? null
    },
    async range(range, given = {}) {
      const { limit } = given
      const body = { ...rangeBody(range), ...(limit !== undefined && { limit }) }
      const answer = await read('/v3/kv/range', body, given)
      return { entries: entriesOf(answer), more: answer['more'] === true }
    },
    async delete(given, options = {}) {
      const isKey = typeof given === 'string' || given instanceof Uint8Array
      const body = rangeBody(isKey ? { key: given } : given)
      const { answer, written } = await write('/v3/kv/deleterange', body, options)
      return { ...written, deleted: Number(answer['deleted']) }
    },
    async cas(key, expected, value, options = {}) {
      const guard: types.Guard =
        expected === null
          ? { key, field: 'create', value: 0 }
          : { key, field: 'value', value: expected }
      const body = { compare: [guardBody(guard)], success: [operationBody({ put: key, value })] }
      const { answer, written } = await write('/v3/kv/txn', body, options)
      return { ...written, done: answer['succeeded'] === true }
    },
    async txn(txn, options = {}) {
      const body = {
        compare: (txn.if ?? []).map(guardBody),
        success: txn.then.map(operationBody),
        failure: (txn.else ?? []).map(operationBody),
      }
      const { answer, written } = await write('/v3/kv/txn', body, options)
      return { ...written, succeeded: answer['succeeded'] === true, answers: answersOf(answer) }
    },
    watch: (range, given = {}) => watchKeys(transport, range, given),
    async sync(given = {}) {
      return { token: tokenOf(await read('/v3/kv/sync', {}, given)) }
    },
    admin: (path, body, given = {}) =>
      transport.call({ path, body, isWrite: !path.endsWith('/list'), ...given }),
    statusOf: (endpoint, given = {}) =>
      transport.callAt(endpoint, {
        ...{ path: '/v3/maintenance/status', body: {}, isWrite: false },
        ...given,
      }),
  }
}

function readBody(
  { consistency, token, maxStalenessMs, timeoutMs }: types.ReadOptions,
  newest: types.SessionToken | null,
): object {
  const own = token ?? (consistency === 'session' ? newest : null)
  // Nothing seen yet is seen by any answer that is not older than now.
  const asked = consistency === 'session' && own === null ? 'linearizable' : consistency
  return {
    ...(asked !== undefined && { consistency: asked }),
    ...(own !== null && asked === 'session' && { token: own }),
    ...(maxStalenessMs !== undefined && { max_staleness_ms: maxStalenessMs }),
    ...(timeoutMs !== undefined && { timeout_ms: timeoutMs }),
  }
}
