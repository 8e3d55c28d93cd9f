/** What a node's process and its parent say to each other. Types only; all of it is JSON. */
import type { ErrorRecord } from '../../src/base/errors.ts'
import type { ApplyReport } from '../../src/engine/assemble.ts'
import type { CommonOptions, MemberOptions } from '../../src/engine/config.ts'
import type { NodeEvent } from '../../src/engine/node.ts'
import type { NodeLook } from './engine.ts'
import type { LoadResult, LoadSpec } from './load.ts'

export interface OpenCommand {
  readonly kind: 'open'
  readonly isLimit: boolean
  /** A file for what was acknowledged, when the process is to be killed; else null. */
  readonly journal: string | null
  readonly options: CommonOptions & {
    readonly id: number
    readonly members: readonly MemberOptions[]
    readonly dataDir: string
    readonly stateMachine: 'hash' | 'kv'
    readonly transport: {
      readonly port: number
      readonly peers: readonly {
        readonly id: number
        readonly host: string
        readonly port: number
      }[]
    }
  }
}

export type Command =
  | OpenCommand
  | { readonly kind: 'load'; readonly spec: Omit<LoadSpec, 'journal'> }
  | { readonly kind: 'look' }
  | { readonly kind: 'slow-disk'; readonly factor: number }
  | { readonly kind: 'close' }

export type PostedEvent =
  | Exclude<NodeEvent, { readonly kind: 'failed' }>
  | { readonly kind: 'failed'; readonly node: number; readonly error: ErrorRecord }

export type Answer =
  | {
      readonly kind: 'opened'
      readonly address: { readonly host: string; readonly port: number }
    }
  | { readonly kind: 'loaded'; readonly result: LoadResult }
  | { readonly kind: 'looked'; readonly look: NodeLook }
  | { readonly kind: 'slowed' }
  | { readonly kind: 'closed'; readonly report: ApplyReport | null }
  | { readonly kind: 'failed'; readonly error: ErrorRecord }
  | { readonly kind: 'event'; readonly event: PostedEvent }
