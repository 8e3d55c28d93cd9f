/**
 * What the gateway asks of an HTTP server, whichever one it is: requests with a body that was
 * bounded while it came, replies, replies that go on (streams), and WebSockets with text messages.
 *
 * Rules that an adapter keeps: `admit` is asked before any byte of a body is kept; nothing of a
 * request is kept beyond the limits; a client that takes nothing for `drainTimeoutMs` is cut; a
 * handler that throws is answered 500 and ends nothing else. Runs on the caller's thread.
 */

export interface HttpLimits {
  /** Of one body; a larger one is refused by its announced length. */
  readonly bodySizeBytesMax: number
  readonly headerSizeBytesMax: number
  readonly connectionsMax: number
  /** Requests of one connection that are not answered yet. */
  readonly inflightMax: number
  /** Bodies of all connections together. */
  readonly queuedSizeBytesMax: number
  /** Until the head of a request is complete. */
  readonly headTimeoutMs: number
  /** Until the whole of a request is complete. */
  readonly requestTimeoutMs: number
  /** A connection between two requests. */
  readonly idleTimeoutMs: number
  /** A client that is sent to and takes nothing. */
  readonly drainTimeoutMs: number
  readonly messageSizeBytesMax: number
}

export const HTTP_LIMITS: HttpLimits = {
  bodySizeBytesMax: 1.5 * 2 ** 20,
  headerSizeBytesMax: 8 * 2 ** 10,
  connectionsMax: 10_000,
  inflightMax: 64,
  queuedSizeBytesMax: 64 * 2 ** 20,
  headTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  idleTimeoutMs: 60_000,
  drainTimeoutMs: 30_000,
  messageSizeBytesMax: 64 * 2 ** 10,
}

export interface RequestHead {
  readonly method: string
  /** Without the query. */
  readonly path: string
  /** Behind the question mark. */
  readonly query: string
  /** Of a header in lower case; null: there is none. */
  header(name: string): string | null
  /** The client's address, as text. */
  readonly remote: string
}

export interface HttpRequest extends RequestHead {
  readonly body: Uint8Array
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal
}

export interface HttpReply {
  readonly status: number
  readonly type: string
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Where a stream or a WebSocket writes. */
export interface TextSink {
  /** Resolves when there is room for more. @throws when the client is gone or was cut */
  write(text: string): Promise<void>
  /** Aborted when the client is gone, was cut, or the server closes. */
  readonly signal: AbortSignal
}

/** A reply that goes on until `run` resolves. */
export interface HttpStream {
  readonly type: string
  readonly headers?: Readonly<Record<string, string>>
  readonly run: (sink: TextSink) => Promise<void>
}

/** One WebSocket. A message that comes while `onMessage` runs waits. */
export interface SocketSession {
  /** Called once, at the beginning. */
  open(sink: TextSink): void
  onMessage(text: string): Promise<void>
}

export interface HttpHandler {
  /** Null: the body may come. */
  admit(head: RequestHead): HttpReply | null
  handle(request: HttpRequest): Promise<HttpReply | HttpStream>
  /** Asked for an upgrade to WebSocket, after `admit`. */
  socket(head: RequestHead): HttpReply | SocketSession
}

export interface HttpListenOptions {
  readonly host: string
  readonly port: number
  readonly limits: HttpLimits
  readonly tls: { readonly cert: string; readonly key: string } | null
  readonly onError: (error: unknown) => void
}

export interface HttpListener {
  readonly address: { readonly host: string; readonly port: number }
  readonly connections: () => number
  /** Takes no more connections and requests; what runs goes on. */
  stopAccepting(): void
  /** Ends streams, waits for what runs for at most `timeoutMs`, then cuts what is left. */
  close(timeoutMs: number): Promise<void>
}

/** @throws ReplicaError E_LISTEN */
export type HttpAdapter = (
  handler: HttpHandler,
  options: HttpListenOptions,
) => Promise<HttpListener>

export const isStream = (reply: HttpReply | HttpStream): reply is HttpStream => 'run' in reply
export const isReply = (reply: HttpReply | SocketSession): reply is HttpReply => 'status' in reply
