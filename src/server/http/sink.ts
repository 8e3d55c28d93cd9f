/**
 * A stream's text to a client that may be slow: what it does not take makes the writer wait, and a
 * client that takes nothing for too long is cut. Caller's thread.
 */
import type { ServerResponse } from 'node:http'
import type { TextSink } from './adapter.ts'

export function sinkOf(
  response: ServerResponse,
  signal: AbortSignal,
  drainTimeoutMs: number,
): TextSink {
  return {
    signal,
    async write(text) {
      signal.throwIfAborted()
      if (response.write(text)) return
      await drained(response, signal, drainTimeoutMs)
    },
  }
}

function drained(response: ServerResponse, signal: AbortSignal, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void): void => {
      clearTimeout(late)
      response.off('drain', onDrain)
      signal.removeEventListener('abort', onAbort)
      settle()
    }
    const onDrain = (): void => end(resolve)
    const onAbort = (): void => end(() => reject(gone()))
    const late = setTimeout(() => {
      response.destroy() // its close aborts the signal
      end(() => reject(gone()))
    }, timeoutMs)
    response.once('drain', onDrain)
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
  })
}

const gone = (): Error => new Error('the client is gone')
