/** The key-value paths of the API, over the service. Caller's thread. */
import type { KvService, WriteOptions } from '../kv-service.ts'
import {
  answerOf,
  deleteOf,
  headerOf,
  putOf,
  putReplyOf,
  rangeCommandOf,
  rangeOf,
  rangeReplyOf,
  readOptionsOf,
  txnOf,
} from './kv-json.ts'
import type { Routes } from './routes.ts'

/** Beyond, a write's outcome is `unknown`: it may be chosen later. */
export const WRITE_TIMEOUT_MS = 10_000

const waiting = (): WriteOptions => ({ signal: AbortSignal.timeout(WRITE_TIMEOUT_MS) })

export function kvRoutes(kv: KvService): Routes {
  const header = (answer: { readonly token: Parameters<typeof headerOf>[1] }) => ({
    header: headerOf(kv.node.id, answer.token),
  })
  return {
    '/v3/kv/put': {
      role: 'write',
      async run(fields) {
        const { key, value, ...options } = putOf(fields)
        fields.done()
        const answer = await kv.put(key, value, { ...options, ...waiting() })
        return { ...header(answer), ...putReplyOf(answer) }
      },
    },
    '/v3/kv/range': {
      role: 'read',
      async run(fields, signal) {
        const range = rangeCommandOf(fields)
        const options = readOptionsOf(fields)
        fields.done()
        const answer = await kv.range(range, { ...options, signal })
        return { ...header(answer), ...rangeReplyOf(answer.entries, answer.more) }
      },
    },
    '/v3/kv/deleterange': {
      role: 'write',
      async run(fields) {
        const range = rangeOf(fields)
        fields.done()
        const command = deleteOf(range)
        if (command.kind === 'delete') {
          const answer = await kv.delete(command.key, waiting())
          return { ...header(answer), deleted: answer.done ? '1' : '0' }
        }
        const { from, to } = range
        const answer = await kv.deleteRange({ from, to }, waiting())
        return { ...header(answer), deleted: String(answer.count) }
      },
    },
    '/v3/kv/txn': {
      role: 'write',
      async run(fields) {
        const txn = txnOf(fields)
        fields.done()
        const answer = await kv.txn(txn, waiting())
        const { succeeded, answers } = answer
        return { ...header(answer), succeeded, responses: answers.map(answerOf) }
      },
    },
    '/v3/kv/sync': {
      role: 'read',
      async run(fields, signal) {
        const { timeoutMs } = readOptionsOf(fields)
        fields.done()
        const { token } = await kv.node.sync({ signal, ...(timeoutMs && { timeoutMs }) })
        return header({ token })
      },
    },
  }
}
