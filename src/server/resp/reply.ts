/**
 * RESP2 replies to bytes. A reply is plain data; the writer keeps what one socket write will carry.
 */

/** A number is an integer, a string and bytes are bulk strings, null is the null bulk string. */
export type Reply =
  number | bigint | string | Uint8Array | null | Status | Failure | readonly Reply[]

export interface Status {
  readonly status: string
}
/** `error` begins with its code, in capitals. */
export interface Failure {
  readonly error: string
}

export const OK: Status = { status: 'OK' }

export interface ReplyWriter {
  readonly sizeBytes: number
  write(reply: Reply): void
  /** What was written: a copy of its own; the writer is empty again. */
  take(): Buffer
}

const CAPACITY_MIN_BYTES = 4_096
/** What a writer keeps for its next batch. */
const CAPACITY_KEPT_BYTES = 65_536

export function createReplyWriter(): ReplyWriter {
  let buffer = Buffer.alloc(CAPACITY_MIN_BYTES)
  let size = 0

  const room = (more: number): void => {
    if (size + more <= buffer.length) return
    const bigger = Buffer.alloc(2 * Math.max(buffer.length, size + more))
    buffer.copy(bigger, 0, 0, size)
    buffer = bigger
  }
  const latin1 = (text: string): void => {
    room(text.length)
    size += buffer.write(text, size, 'latin1')
  }
  const bulk = (bytes: Uint8Array): void => {
    latin1(`$${bytes.length}\r\n`)
    room(bytes.length + 2)
    buffer.set(bytes, size)
    size += bytes.length
    latin1('\r\n')
  }
  const write = (reply: Reply): void => {
    if (reply === null) return latin1('$-1\r\n')
    if (typeof reply === 'number' || typeof reply === 'bigint') return latin1(`:${reply}\r\n`)
    if (typeof reply === 'string') return bulk(Buffer.from(reply))
    if (reply instanceof Uint8Array) return bulk(reply)
    if ('status' in reply) return latin1(`+${lineOf(reply.status)}\r\n`)
    if ('error' in reply) return latin1(`-${lineOf(reply.error)}\r\n`)
    latin1(`*${reply.length}\r\n`)
    for (const one of reply) write(one)
  }
  return {
    get sizeBytes() {
      return size
    },
    write,
    take() {
      const taken = Buffer.from(buffer.subarray(0, size))
      size = 0
      if (buffer.length > CAPACITY_KEPT_BYTES) buffer = Buffer.alloc(CAPACITY_MIN_BYTES)
      return taken
    },
  }
}

/** One line, whatever a client sent that is named in it. */
const lineOf = (text: string): string =>
  /[\x00-\x1f\x7f-\uffff]/.test(text) ? text.replace(/[\x00-\x1f\x7f-\uffff]/g, '?') : text
