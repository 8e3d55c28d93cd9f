/**
 * What the nodes under chaos keep: keys with JSON values. Entries and queries are JSON texts of
 * `Entry` and `Query`, answers are JSON values: so a history says the same as the log. Runs on the
 * apply thread of each node.
 */
import type { StateMachine } from '../../../src/engine/index.ts'
import type { Value } from '../../../src/check/operation.ts'

export interface Entry {
  readonly f: 'put' | 'delete' | 'cas' | 'incr'
  readonly key: string
  /** The value of a put, [old, new] of a cas, the step of an incr; null of a delete. */
  readonly value: Value
  /** Only makes the entry larger. */
  readonly pad?: string
}

/** Without a key: everything, sorted by key. */
export interface Query {
  readonly key?: string
}

const decoder = new TextDecoder()
const encoder = new TextEncoder()

export const bytesOf = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value))
export const valueOf = (bytes: Uint8Array | null): Value =>
  bytes === null ? null : (JSON.parse(decoder.decode(bytes)) as Value)

export function createStateMachine(): StateMachine {
  const values = new Map<string, Value>()
  return {
    apply(batch) {
      for (let i = 0; i < batch.count; i++) {
        const text = decoder.decode(batch.payload(i).slice())
        batch.reply(i, bytesOf(execute(values, JSON.parse(text) as Entry)))
      }
    },
    query(bytes) {
      const { key } = JSON.parse(decoder.decode(bytes.slice())) as Query
      return bytesOf(key === undefined ? sorted(values) : (values.get(key) ?? null))
    },
    snapshot: (sink) => Promise.resolve(void sink.write(bytesOf(sorted(values)))),
    restore(source) {
      values.clear()
      const chunks: Uint8Array[] = []
      for (let chunk = source.read(); chunk !== null; chunk = source.read()) chunks.push(chunk)
      for (const [key, value] of valueOf(Buffer.concat(chunks)) as [string, Value][]) {
        values.set(key, value)
      }
      return Promise.resolve()
    },
    hash: () => JSON.stringify(sorted(values)),
  }
}

/** @returns the sum of an incr, whether a cas found its old value, else null */
function execute(values: Map<string, Value>, { f, key, value }: Entry): Value {
  switch (f) {
    case 'put':
      values.set(key, value)
      return null
    case 'delete':
      values.delete(key)
      return null
    case 'incr': {
      const sum = Number(values.get(key) ?? 0) + Number(value)
      values.set(key, sum)
      return sum
    }
    case 'cas': {
      const [old, next] = value as readonly Value[]
      if ((values.get(key) ?? null) !== old) return false
      values.set(key, next!)
      return true
    }
  }
}

const sorted = (values: ReadonlyMap<string, Value>): [string, Value][] =>
  [...values].sort(([left], [right]) => (left < right ? -1 : 1))
