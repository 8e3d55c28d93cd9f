/** What a node process is asked, over the IPC channel of its parent, and what it tells unasked. */
import type { ErrorRecord } from '../../../src/base/errors.ts'
import type { NodeOptions, NodeStatus } from '../../../src/engine/index.ts'
import type { Value } from '../../../src/check/operation.ts'
import type { Entry, Query } from './machine.ts'

export type OpenOptions = Omit<NodeOptions, 'stateMachine'>

/** Request -> what its answer holds. */
export interface Requests {
  open: { readonly asked: OpenOptions; readonly answer: { readonly port: number } }
  propose: { readonly asked: Entry; readonly answer: Answered }
  /** Opens a session. */
  session: { readonly asked: null; readonly answer: { readonly id: number } }
  'in-session': {
    readonly asked: { readonly id: number; readonly sequence: number; readonly entry: Entry }
    readonly answer: Answered
  }
  /** Linearizable. */
  read: { readonly asked: Query; readonly answer: Value }
  status: { readonly asked: null; readonly answer: NodeStatus & { readonly leads: boolean } }
  close: { readonly asked: null; readonly answer: null }
  /** The node ends as in a crash; the process lives on, and may open it again. */
  kill: { readonly asked: null; readonly answer: null }
}
export type Kind = keyof Requests

export interface Answered {
  readonly index: number
  readonly value: Value
}

export interface Asked<K extends Kind = Kind> {
  readonly n: number
  readonly kind: K
  readonly asked: Requests[K]['asked']
}

export type Told =
  | { readonly kind: 'hello'; readonly pid: number }
  | { readonly kind: 'answer'; readonly n: number; readonly answer: unknown }
  | { readonly kind: 'error'; readonly n: number; readonly error: ErrorRecord }
  /** The node has ended by itself; the process is about to, with exit status 1. */
  | { readonly kind: 'failed'; readonly error: ErrorRecord }
