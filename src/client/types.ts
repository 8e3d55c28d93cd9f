/** What callers of the client hand in and get. */
import type { CallOptions } from './transport.ts'

/** Text is UTF-8. */
export type Key = string | Uint8Array

/** What a client has seen: taken from one call to the next, at any node. Plain data. */
export interface SessionToken {
  readonly cluster: string
  readonly epoch: number
  readonly index: number
}

export interface Entry {
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** The value as UTF-8. */
  readonly text: string
  /** Log index of the entry that created it: the fencing token of a lock. */
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
  /** Left of its time to live; null: it stays. */
  readonly ttlMs: number | null
}

/** One key, all keys with a prefix, or keys from `from` up to `to`, not with it (null: all). */
export type KeyRange =
  { readonly key: Key } | { readonly prefix: Key } | { readonly from: Key; readonly to: Key | null }

export interface ReadOptions extends CallOptions {
  /**
   * Default linearizable. `session`: at least what this client has seen and written (or `token`);
   * `stale`: at most `maxStalenessMs` old (docs/reads.md).
   */
  readonly consistency?: 'linearizable' | 'lease' | 'session' | 'stale'
  readonly token?: SessionToken
  readonly maxStalenessMs?: number
}

export interface PutOptions extends CallOptions {
  /** The key is gone so long after it was put. */
  readonly ttlMs?: number
  readonly keepTtl?: boolean
  /** Does nothing (`done` false) unless the key is absent, or present. */
  readonly only?: 'absent' | 'present'
  /** Asks for what the key held before. */
  readonly previous?: boolean
}

export interface Written {
  /** Log index of the write. */
  readonly revision: number
  readonly token: SessionToken
}

/** What must hold of a key. `is` defaults to equal; an absent key has version and revisions 0. */
export type Guard = { readonly key: Key; readonly is?: Comparison } & (
  | { readonly field: 'version' | 'mod' | 'create'; readonly value: number }
  | { readonly field: 'value'; readonly value: Key }
)
export type Comparison = 'equal' | 'not-equal' | 'less' | 'greater'

export type Operation =
  | { readonly put: Key; readonly value: Key; readonly ttlMs?: number }
  | { readonly delete: KeyRange }
  | { readonly range: KeyRange; readonly limit?: number }

export type OperationAnswer =
  | { readonly kind: 'put' }
  | { readonly kind: 'delete'; readonly deleted: number }
  | { readonly kind: 'range'; readonly entries: readonly Entry[]; readonly more: boolean }

export interface Txn {
  readonly if?: readonly Guard[]
  readonly then: readonly Operation[]
  readonly else?: readonly Operation[]
}

export interface WatchOptions {
  /** Log index of the first change to be told. */
  readonly from?: number
  /** Instead: what is behind what this token has seen. Default: from now on. */
  readonly token?: SessionToken
  readonly signal?: AbortSignal
  /** How long it may be cut off from every endpoint before it fails. Default 30000. */
  readonly unreachableMs?: number
}

/** What one entry of the log did to the keys of a watch. */
export interface Change {
  readonly revision: number
  /** A watch with it goes on behind this change. */
  readonly token: SessionToken
  readonly events: readonly ChangeEvent[]
  /** True: the effect is not known any more (a watch into the past); read the keys that matter. */
  readonly uncertain: boolean
}

export type ChangeEvent =
  | {
      readonly kind: 'put'
      readonly key: Uint8Array
      readonly value: Uint8Array
      readonly text: string
    }
  | { readonly kind: 'delete'; readonly key: Uint8Array; readonly expired: boolean }
  /** `to` null: to the end. */
  | { readonly kind: 'delete-range'; readonly from: Uint8Array; readonly to: Uint8Array | null }
