/**
 * The interface that a user's state machine implements. Every method runs in the apply thread (or
 * in the caller's thread by choice), one call at a time, in log order.
 */

/** Consecutive entries of the log, valid only during the call of `apply` that received it. */
export interface ApplyBatch {
  /** Log index of the first entry. */
  readonly first: number
  /** How many entries; entry i has the log index `first + i`. */
  readonly count: number
  /** Bytes of entry i: a view that is valid only during this call. Copy what you keep. */
  payload(i: number): Uint8Array
  /**
   * The walk that makes no object an entry: each `next()` moves on by one entry and is false behind
   * the last; then the entry is `bytes[offset .. offset + size)`. Starts before entry 0.
   */
  next(): boolean
  readonly bytes: Uint8Array
  readonly offset: number
  readonly size: number
  /**
   * Where the entries lie, for a loop of one's own that keeps its place in registers: from byte
   * `body` of `bytes` to byte `end`, each `lead` bytes of the log's own, a 32-bit length and the
   * payload padded to 4. `words` are the same bytes as 32-bit words.
   */
  readonly words: Int32Array
  readonly body: number
  readonly end: number
  readonly lead: number
  /**
   * Answers the proposer of entry i; the bytes are copied. Without it the result is null.
   * @throws RangeError beyond 2 MiB
   */
  reply(i: number, bytes: Uint8Array): void
}

/** Where a snapshot goes; each chunk comes back as one from `read`. The bytes are copied. */
export interface SnapshotSink {
  write(chunk: Uint8Array): void
}
/** The chunks of a snapshot, in order; null behind the last one. */
export interface SnapshotSource {
  read(): Uint8Array | null
}

/** The state as it was at one moment, read while entries are applied. */
export interface FrozenState {
  /** The next chunk, as it would be written to a sink; null behind the last one. */
  next(): Uint8Array | null
  /** Called once, behind the last chunk: what was kept for it may go. */
  close(): void
}

/**
 * Deterministic: the state is a function of the entries alone, never of the clock, of chance or of
 * the machine. A throw stops the node.
 */
export interface StateMachine {
  apply(batch: ApplyBatch): void
  /**
   * Answers a read; must change nothing. A throw fails that read alone. Without it only
   * `node.sync()` can be awaited. An answer has at most 2 MiB.
   */
  query?(question: Uint8Array): Uint8Array
  /** Writes all of the state. Nothing is applied, and no query asked, until it has settled. */
  snapshot(sink: SnapshotSink): Promise<void>
  /** Replaces the state by one that `snapshot` or `freeze` has written. A failure ends the node. */
  restore(source: SnapshotSource): Promise<void>
  /**
   * Instead of `snapshot`, where the state is large: a view of it as it is now. Must take no longer
   * than an `apply`, however large the state is. One at a time is open.
   */
  freeze?(): FrozenState
  /** Short text that is equal on two nodes exactly when their states are equal. */
  hash?(): string
}
