/**
 * Bodies of requests in bounded memory: each counted by its announced length before a byte is kept,
 * all of them together against one budget. Caller's thread.
 */
import type { IncomingMessage } from 'node:http'
import type { HttpLimits, HttpReply } from './adapter.ts'

export interface BodyBudget {
  readonly limits: HttpLimits
  usedSizeBytes: number
}

export interface Body {
  readonly bytes: Uint8Array
  /** The request is answered: its bytes count no more. */
  release(): void
}

export const openBudget = (limits: HttpLimits): BodyBudget => ({ limits, usedSizeBytes: 0 })

/** The whole body, or why it is not taken; then the rest of it was not read. */
export async function readBody(
  request: IncomingMessage,
  budget: BodyBudget,
): Promise<Body | HttpReply> {
  const { bodySizeBytesMax, queuedSizeBytesMax } = budget.limits
  const announced = Number(request.headers['content-length'] ?? 0)
  if (announced > bodySizeBytesMax) return tooLarge(bodySizeBytesMax)
  let held = 0
  const release = (): void => {
    budget.usedSizeBytes -= held
    held = 0
  }
  const hold = (sizeBytes: number): boolean => {
    if (budget.usedSizeBytes + sizeBytes > queuedSizeBytesMax) return false
    held += sizeBytes
    budget.usedSizeBytes += sizeBytes
    return true
  }
  if (!hold(announced)) return FULL
  const chunks: Buffer[] = []
  let sizeBytes = 0
  try {
    // A refused one is answered first: leaving the loop must not end its socket.
    const iterator = request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>
    for await (const chunk of iterator) {
      sizeBytes += chunk.length
      const more = sizeBytes - held
      const problem =
        sizeBytes > bodySizeBytesMax
          ? tooLarge(bodySizeBytesMax)
          : more > 0 && !hold(more)
            ? FULL
            : null
      if (problem !== null) {
        release()
        return problem
      }
      chunks.push(chunk)
    }
  } catch (error) {
    release()
    throw error
  }
  return { bytes: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks), release }
}

const tooLarge = (max: number): HttpReply => ({
  status: 413,
  type: 'application/json',
  body: JSON.stringify({
    code: 'E_PAYLOAD_SIZE',
    message: `the body is larger than ${String(max)} bytes`,
    outcome: 'not-proposed',
  }),
})

const FULL: HttpReply = {
  status: 503,
  type: 'application/json',
  headers: { 'retry-after': '1' },
  body: JSON.stringify({
    code: 'E_OVERLOADED',
    message: 'too many bytes of requests wait here',
    outcome: 'not-proposed',
  }),
}
