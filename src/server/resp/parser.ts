/**
 * RESP2 requests out of a stream of bytes: arrays of bulk strings, and inline commands. What has
 * come is kept as it came, until what is known to be missing is there: so a request costs memory by
 * what was received, never by what was announced, and each byte is looked at once.
 *
 * Invariants: a limit is checked when its number is read, before anything is kept for it; after a
 * protocol error the parser is done. Arguments are views of what was fed.
 */

export interface RequestLimits {
  /** Of one request: the command and its arguments. */
  readonly elementsMax: number
  /** Of one argument. */
  readonly bulkSizeMaxBytes: number
  /** Of all arguments of one request. */
  readonly requestSizeMaxBytes: number
  readonly inlineSizeMaxBytes: number
}

export type Request = readonly Uint8Array[]

export interface RespParser {
  /** The limits of the next request. */
  limits: RequestLimits
  /** Bytes that are here and belong to no request yet. */
  readonly sizeBytes: number
  feed(chunk: Uint8Array): void
  /** The next whole request; null: more bytes are needed. @throws ProtocolError */
  next(): Request | null
}

export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}

const [CR, LF, STAR, DOLLAR, SPACE, TAB] = [13, 10, 42, 36, 32, 9]
const [ZERO, NINE] = [48, 57]
/** A type, digits, CR and LF. */
const HEADER_SIZE_MAX_BYTES = 16
const NOTHING = new Uint8Array(0)

interface State {
  buffer: Uint8Array
  at: number
  queued: Uint8Array[]
  queuedSizeBytes: number
  /** So many bytes must be here before it is worth a look. */
  needBytes: number
  /** Of an inline command: looked at, no end in it. */
  scanned: number
  /** Elements of the array that are still to come; 0: between requests. */
  left: number
  /** Of the element that comes; -1: not read yet. */
  bulkSize: number
  args: Uint8Array[]
  argsSizeBytes: number
}

export function createParser(given: RequestLimits): RespParser {
  const state: State = {
    ...{ buffer: NOTHING, at: 0, queued: [], queuedSizeBytes: 0, needBytes: 1, scanned: 0 },
    ...{ left: 0, bulkSize: -1, args: [], argsSizeBytes: 0 },
  }
  const parser = {
    limits: given,
    get sizeBytes() {
      return state.buffer.length - state.at + state.queuedSizeBytes
    },
    feed(chunk: Uint8Array): void {
      if (chunk.length === 0) return
      state.queued.push(chunk)
      state.queuedSizeBytes += chunk.length
    },
    next(): Request | null {
      for (;;) {
        if (parser.sizeBytes < state.needBytes) return null
        gather(state)
        if (state.left === 0) {
          const request = begin(state, parser.limits)
          if (request === undefined) return null
          if (request !== null && request.length > 0) return request
        } else {
          if (!takeBulk(state, parser.limits)) return null
          if (state.left === 0) return finish(state)
        }
      }
    },
  }
  return parser
}

/** All that is here in one piece. */
function gather(state: State): void {
  if (state.queued.length === 0) return
  const rest = state.buffer.subarray(state.at)
  const isAlone = rest.length === 0 && state.queued.length === 1
  state.buffer = isAlone ? state.queued[0]! : Buffer.concat([rest, ...state.queued])
  state.at = 0
  state.queued = []
  state.queuedSizeBytes = 0
}

function finish(state: State): Request {
  const { args } = state
  state.args = []
  state.argsSizeBytes = 0
  return args
}

/** @returns an inline request, null: something was read, undefined: more bytes are needed */
function begin(state: State, limits: RequestLimits): Request | null | undefined {
  if (state.buffer[state.at] !== STAR) return takeInline(state, limits)
  const count = takeNumber(state)
  if (count === null) return undefined
  if (count > limits.elementsMax) {
    throw new ProtocolError(`${count} elements, at most ${limits.elementsMax}`)
  }
  state.left = count
  return null
}

function takeBulk(state: State, limits: RequestLimits): boolean {
  if (state.bulkSize < 0) {
    if (state.at < state.buffer.length && state.buffer[state.at] !== DOLLAR) {
      throw new ProtocolError("expected '$', the size of an argument")
    }
    const size = takeNumber(state)
    if (size === null) return false
    if (size > limits.bulkSizeMaxBytes) {
      throw new ProtocolError(`an argument of ${size} bytes, at most ${limits.bulkSizeMaxBytes}`)
    }
    if (state.argsSizeBytes + size > limits.requestSizeMaxBytes) {
      throw new ProtocolError(`a request of more than ${limits.requestSizeMaxBytes} bytes`)
    }
    state.bulkSize = size
    state.argsSizeBytes += size
  }
  const { buffer, at, bulkSize } = state
  state.needBytes = bulkSize + 2
  if (buffer.length - at < state.needBytes) return false
  const end = at + bulkSize
  if (buffer[end] !== CR || buffer[end + 1] !== LF) {
    throw new ProtocolError('an argument is longer than its size says')
  }
  state.args.push(buffer.subarray(at, end))
  state.at = end + 2
  state.needBytes = 1
  state.bulkSize = -1
  state.left -= 1
  return true
}

/** The digits behind a type byte, through CR and LF. @returns null: they are not all here */
function takeNumber(state: State): number | null {
  const { buffer, at } = state
  let value = 0
  for (let i = at + 1; ; i++) {
    if (i - at >= HEADER_SIZE_MAX_BYTES) throw new ProtocolError('a number that does not end')
    if (i >= buffer.length) return needMore(state)
    const byte = buffer[i]!
    if (byte >= ZERO && byte <= NINE) {
      value = value * 10 + byte - ZERO
      continue
    }
    if (byte !== CR || i === at + 1) throw new ProtocolError('expected a number')
    if (i + 1 >= buffer.length) return needMore(state)
    if (buffer[i + 1] !== LF) throw new ProtocolError('a number ends with CR and LF')
    state.at = i + 2
    state.needBytes = 1
    return value
  }
}

function needMore(state: State): null {
  state.needBytes = state.buffer.length - state.at + 1
  return null
}

/** Words of one line, without quotes. */
function takeInline(state: State, limits: RequestLimits): Request | undefined {
  const { buffer, at, scanned } = state
  const end = buffer.indexOf(LF, at + scanned)
  const size = (end < 0 ? buffer.length : end) - at
  if (size > limits.inlineSizeMaxBytes) {
    throw new ProtocolError(`an inline command of more than ${limits.inlineSizeMaxBytes} bytes`)
  }
  if (end < 0) {
    state.scanned = size
    needMore(state)
    return undefined
  }
  state.at = end + 1
  state.needBytes = 1
  state.scanned = 0
  const words = wordsOf(buffer.subarray(at, buffer[end - 1] === CR && end > at ? end - 1 : end))
  if (words.length > limits.elementsMax) {
    throw new ProtocolError(`${words.length} elements, at most ${limits.elementsMax}`)
  }
  return words
}

function wordsOf(line: Uint8Array): Uint8Array[] {
  const words: Uint8Array[] = []
  let from = 0
  for (let i = 0; i <= line.length; i++) {
    const byte = line[i]
    if (byte !== undefined && byte !== SPACE && byte !== TAB) continue
    if (i > from) words.push(line.subarray(from, i))
    from = i + 1
  }
  return words
}
