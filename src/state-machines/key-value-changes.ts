/**
 * What an entry of the log did to the keys: for those who watch (`node.watch`). Pure.
 */
import { decodeAnswer, decodeTickAnswer, decodeTxnAnswer } from './key-value-answers.ts'
import { decodeCommand } from './key-value-codec.ts'
import type { KvAnswer, KvCommand, KvOperation } from './key-value-commands.ts'

export type KvChange =
  | { readonly kind: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: 'delete'; readonly key: Uint8Array; readonly expired: boolean }
  /** `to` null: to the end. */
  | { readonly kind: 'delete-range'; readonly from: Uint8Array; readonly to: Uint8Array | null }

export interface KvChanges {
  /** In the order in which they took effect; revision and fencing token: the entry's log index. */
  readonly changes: readonly KvChange[]
  /**
   * False: the answer is not known any more, and whether the entry changed something, or what,
   * hung on the state that it met; then `changes` is empty. Read the keys that matter.
   */
  readonly isCertain: boolean
}

const NOTHING_DONE: KvChanges = { changes: [], isCertain: true }
const UNCERTAIN: KvChanges = { changes: [], isCertain: false }

/**
 * @param payload, result as a watch tells them; `result` undefined: it was read back from the log.
 *   Values and keys of the changes are views of them.
 */
export function changesOf(payload: Uint8Array, result: Uint8Array | null | undefined): KvChanges {
  const command = decodeCommand(payload)
  if (command === null) return NOTHING_DONE
  if (result === undefined || result === null) return changesWithout(command)
  switch (command.kind) {
    case 'tick': {
      const expired = decodeTickAnswer(result)?.expired ?? []
      return certain(expired.map((key) => ({ kind: 'delete', key, expired: true })))
    }
    case 'txn': {
      const answer = decodeTxnAnswer(command, result)
      if (answer === null) return NOTHING_DONE
      const done = answer.succeeded ? command.then : command.else
      return certain(done.flatMap((one, i) => changesBy(one, answer.answers[i]!)))
    }
    default:
      return certain(changesBy(command, decodeAnswer(command, result)))
  }
}

const certain = (changes: readonly KvChange[]): KvChanges => ({ changes, isCertain: true })

/** What holds whatever state it met. */
function changesWithout(command: KvCommand): KvChanges {
  switch (command.kind) {
    case 'put':
      if (command.only !== undefined) return UNCERTAIN
      return certain([{ kind: 'put', key: command.key, value: command.value }])
    case 'delete':
      return certain([{ kind: 'delete', key: command.key, expired: false }])
    case 'delete-range':
      return certain([{ kind: 'delete-range', from: command.from, to: command.to }])
    case 'get':
    case 'range':
    case 'expire':
      return NOTHING_DONE
    case 'cas':
    case 'incr':
    case 'tick':
      return UNCERTAIN
    case 'txn': {
      if (command.guards.length > 0) return UNCERTAIN
      const each = command.then.map(changesWithout)
      if (each.some(({ isCertain }) => !isCertain)) return UNCERTAIN
      return certain(each.flatMap(({ changes }) => changes))
    }
  }
}

function changesBy(operation: KvOperation, answer: KvAnswer): KvChange[] {
  if (answer.kind === 'refused' || ('done' in answer && !answer.done)) return []
  switch (operation.kind) {
    case 'put':
    case 'cas':
      return [{ kind: 'put', key: operation.key, value: operation.value }]
    case 'incr': {
      const text = answer.kind === 'incr' ? answer.value.toString() : ''
      return [{ kind: 'put', key: operation.key, value: new TextEncoder().encode(text) }]
    }
    case 'delete':
      return [{ kind: 'delete', key: operation.key, expired: false }]
    case 'delete-range':
      return [{ kind: 'delete-range', from: operation.from, to: operation.to }]
    case 'get':
    case 'range':
    case 'expire':
      return []
  }
}
