/**
 * One WebSocket of the node adapter: messages one after the other, sends that wait while the client
 * takes nothing, pings that find a dead one. Caller's thread.
 */
import type { RawData, WebSocket } from 'ws'
import type { HttpLimits, SocketSession } from './adapter.ts'

/** Sent and not taken by the client: beyond, a writer waits. */
const BUFFERED_SIZE_BYTES_MAX = 2 ** 20
const POLL_MS = 10
/** Messages of one client that wait to be handled. */
const WAITING_MAX = 64

export function serveSocket(
  peer: WebSocket,
  session: SocketSession,
  given: {
    readonly limits: HttpLimits
    readonly ending: AbortSignal
    readonly onError: (error: unknown) => void
  },
): void {
  const { limits, ending, onError } = given
  const gone = new AbortController()
  const ping = openPing(peer, limits.idleTimeoutMs / 2)
  const onEnding = (): void => peer.close(1001, 'the server closes')
  ending.addEventListener('abort', onEnding)
  peer.on('error', () => peer.terminate())
  peer.on('close', () => {
    clearInterval(ping)
    ending.removeEventListener('abort', onEnding)
    gone.abort()
  })
  const signal = AbortSignal.any([gone.signal, ending])
  session.open({
    signal,
    async write(text) {
      signal.throwIfAborted()
      peer.send(text)
      const deadline = Date.now() + limits.drainTimeoutMs
      while (peer.bufferedAmount > BUFFERED_SIZE_BYTES_MAX) {
        await new Promise((next) => setTimeout(next, POLL_MS))
        signal.throwIfAborted()
        if (Date.now() > deadline) peer.terminate() // its close aborts the signal
      }
    },
  })
  let waiting = 0
  let last = Promise.resolve()
  peer.on('message', (data: RawData, isBinary: boolean) => {
    if (isBinary) return peer.close(1003, 'want text')
    if (++waiting > WAITING_MAX) return peer.close(1008, 'too many messages wait')
    const text = (data as Buffer).toString('utf8')
    last = last
      .then(() => session.onMessage(text))
      .catch((error: unknown) => {
        if (!signal.aborted) onError(error)
        peer.close(1011, 'internal error')
      })
      .finally(() => waiting--)
  })
}

/** A client that answers no ping is gone. */
function openPing(peer: WebSocket, everyMs: number): NodeJS.Timeout {
  let isAlive = true
  peer.on('pong', () => {
    isAlive = true
  })
  return setInterval(() => {
    if (!isAlive) return peer.terminate()
    isAlive = false
    peer.ping()
  }, everyMs)
}
