/**
 * The HTTP adapter over node:http, node:https and ws. Caller's thread.
 *
 * Invariants: a body is counted against the limits before its bytes are kept, and is let go of when
 * its request is answered; no handler of an event throws.
 */
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { ReplicaError } from '../../base/errors.ts'
import {
  type HttpHandler,
  type HttpListenOptions,
  type HttpListener,
  type HttpReply,
  type RequestHead,
  isReply,
  isStream,
} from './adapter.ts'
import { type BodyBudget, openBudget, readBody } from './body.ts'
import { serveSocket } from './node-socket.ts'
import { sinkOf } from './sink.ts'

interface Listening {
  readonly handler: HttpHandler
  readonly options: HttpListenOptions
  readonly budget: BodyBudget
  /** Of one connection: requests that are not answered yet. */
  readonly inflight: WeakMap<object, number>
  /** Ends of streams and WebSockets, for close. */
  readonly endings: AbortController
  readonly peers: Set<WebSocket>
  running: number
  isClosing: boolean
}

/** @throws ReplicaError E_LISTEN */
export async function listenNode(
  handler: HttpHandler,
  options: HttpListenOptions,
): Promise<HttpListener> {
  const { limits, tls } = options
  const own: Listening = {
    ...{ handler, options, running: 0, isClosing: false },
    budget: openBudget(limits),
    inflight: new WeakMap(),
    endings: new AbortController(),
    peers: new Set(),
  }
  const common = {
    maxHeaderSize: limits.headerSizeBytesMax,
    headersTimeout: limits.headTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.idleTimeoutMs,
    connectionsCheckingInterval: Math.min(1_000, limits.headTimeoutMs),
    noDelay: true,
  }
  const server: Server =
    tls === null ? createServer(common) : createTlsServer({ ...common, ...tls, minVersion: TLS })
  server.maxConnections = limits.connectionsMax
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: limits.messageSizeBytesMax,
  })
  server.on('request', (request, response) => {
    answer(own, request, response).catch((error: unknown) => {
      options.onError(error)
      if (response.headersSent) response.destroy()
      else send(own, response, FAILED)
    })
  })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    upgrade(own, sockets, request, socket, head)
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuseBytes(error, socket))
  await listen(server, options)
  let connections = 0
  server.on('connection', (socket: Socket) => {
    connections++
    socket.on('close', () => connections--)
  })
  const bound = server.address() as AddressInfo
  let closed: Promise<unknown> | null = null
  const stopAccepting = (): void => {
    own.isClosing = true
    closed ??= new Promise((resolve) => server.close(resolve))
  }
  return {
    address: { host: bound.address, port: bound.port },
    connections: () => connections,
    stopAccepting,
    async close(timeoutMs) {
      stopAccepting()
      own.endings.abort()
      const deadline = Date.now() + timeoutMs
      while (own.running + own.peers.size > 0 && Date.now() < deadline)
        await new Promise((next) => setTimeout(next, 5))
      for (const peer of own.peers) peer.terminate()
      server.closeAllConnections()
      await closed
    },
  }
}

const TLS = 'TLSv1.2'

function headOf(request: IncomingMessage): RequestHead {
  const url = request.url ?? '/'
  const mark = url.indexOf('?')
  return {
    method: request.method ?? '',
    path: mark < 0 ? url : url.slice(0, mark),
    query: mark < 0 ? '' : url.slice(mark + 1),
    header(name) {
      const value = request.headers[name]
      return typeof value === 'string' ? value : null
    },
    remote: request.socket.remoteAddress ?? '',
  }
}

async function answer(
  own: Listening,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { handler, options, inflight } = own
  const { socket } = request
  const open = (inflight.get(socket) ?? 0) + 1
  inflight.set(socket, open)
  own.running++
  response.on('error', () => response.destroy())
  const gone = new AbortController()
  response.on('close', () => {
    inflight.set(socket, inflight.get(socket)! - 1)
    own.running--
    gone.abort()
  })
  const head = headOf(request)
  const early = open > options.limits.inflightMax ? TOO_MANY : handler.admit(head)
  if (early !== null) return refuse(request, response, early)
  const body = await readBody(request, own.budget).catch(() => null)
  if (body === null) return void response.destroy() // the client left, or was too slow
  if ('status' in body) return refuse(request, response, body)
  try {
    const reply = await handler.handle({ ...head, body: body.bytes, signal: gone.signal })
    if (response.destroyed) return
    if (!isStream(reply)) return send(own, response, reply)
    writeHead(own, response, 200, reply.type, reply.headers)
    const signal = AbortSignal.any([gone.signal, own.endings.signal])
    const sink = sinkOf(response, signal, options.limits.drainTimeoutMs)
    await reply.run(sink).catch((error: unknown) => {
      if (!sink.signal.aborted && !response.destroyed) throw error
    })
    response.end()
  } finally {
    body.release()
  }
}

/** What is left of the request is not read: the connection ends behind the reply. */
function refuse(request: IncomingMessage, response: ServerResponse, reply: HttpReply): void {
  const isComplete = request.complete
  if (!isComplete) response.shouldKeepAlive = false
  response.writeHead(reply.status, headersOf(reply.type, reply.headers, reply.body))
  response.end(reply.body, () => {
    if (!isComplete) request.socket.destroySoon()
  })
}

function send(own: Listening, response: ServerResponse, reply: HttpReply): void {
  if (own.isClosing) response.shouldKeepAlive = false
  response.writeHead(reply.status, headersOf(reply.type, reply.headers, reply.body))
  response.end(reply.body)
}

function writeHead(
  own: Listening,
  response: ServerResponse,
  status: number,
  type: string,
  headers: HttpReply['headers'],
): void {
  if (own.isClosing) response.shouldKeepAlive = false
  response.writeHead(status, headersOf(type, headers))
  response.flushHeaders()
}

const headersOf = (
  type: string,
  more: HttpReply['headers'],
  body?: string,
): Record<string, string | number> => ({
  'content-type': type,
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }),
  ...more,
})

const errorReply = (status: number, code: string, message: string, outcome: string): HttpReply => ({
  status,
  type: 'application/json',
  body: JSON.stringify({ code, message, outcome }),
})
const FAILED = errorReply(500, 'E_INTERNAL', 'an error of this server', 'unknown')
const IN_FLIGHT = 'too many requests in flight on this connection'
const TOO_MANY = errorReply(503, 'E_OVERLOADED', IN_FLIGHT, 'not-proposed')

function upgrade(
  own: Listening,
  sockets: WebSocketServer,
  request: IncomingMessage,
  socket: Duplex,
  rest: Buffer,
): void {
  const head = headOf(request)
  const wanted = head.header('upgrade')?.toLowerCase() === 'websocket'
  const refused = own.isClosing || !wanted ? NO_UPGRADE : own.handler.admit(head)
  const made = refused ?? own.handler.socket(head)
  if (isReply(made)) {
    const { status, body } = made
    const line = `HTTP/1.1 ${String(status)} \r\nconnection: close\r\n`
    const length = Buffer.byteLength(body)
    socket.end(`${line}content-type: ${made.type}\r\ncontent-length: ${length}\r\n\r\n${body}`)
    return
  }
  const { limits, onError } = own.options
  sockets.handleUpgrade(request, socket, rest, (peer) => {
    own.peers.add(peer)
    peer.on('close', () => own.peers.delete(peer))
    serveSocket(peer, made, { limits, ending: own.endings.signal, onError })
  })
}

const NO_UPGRADE: HttpReply = { status: 400, type: 'text/plain', body: 'no such upgrade' }

function refuseBytes(error: NodeJS.ErrnoException, socket: Duplex): void {
  const status = STATUS_BY_CODE.get(error.code ?? '') ?? 400
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  socket.end(`HTTP/1.1 ${String(status)} \r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
}

const STATUS_BY_CODE = new Map([
  ['HPE_HEADER_OVERFLOW', 431],
  ['ERR_HTTP_REQUEST_TIMEOUT', 408],
])

function listen(server: Server, { host, port }: HttpListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const errno = error.code ?? error.message
      const where = `${host}:${String(port)}`
      reject(new ReplicaError('E_LISTEN', `${where}: ${errno}`, { port, errno }))
    })
    server.listen({ host, port, exclusive: true }, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}
