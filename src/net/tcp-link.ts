/**
 * Links over TCP: makes the sockets and the listener of a node's hub (hub.ts), and its timer. The
 * only file of the engine with node:net. docs/links.md has the handshake and the session rules.
 *
 * Runs on one thread with an event loop. Consumers of the inboxes may be on others: onDelivered
 * wakes them.
 */
import { connect, createServer, type Server, Socket } from 'node:net'
import { assert } from '../base/assert.ts'
import { ReplicaError } from '../base/errors.ts'
import { accept, doWork, linkOf, setAddress, shut } from './hub.ts'
import { createHub, type HubOptions, type HubSocket, type SocketHandlers } from './hub-state.ts'
import type { LinkCounters, PeerLink } from './link.ts'

export interface TcpHubOptions extends HubOptions {
  readonly listenHost: string
  /** 0: any free port; see `address`. */
  readonly listenPort: number
  /** How often the hub's own timer calls doWork. */
  readonly timerMs?: number
}

export interface TcpHub {
  readonly address: { readonly host: string; readonly port: number }
  readonly counters: Readonly<LinkCounters>
  linkTo(id: number): PeerLink
  /** Where a peer is that this node dials. False: not one of the peers. */
  setAddress(peer: { readonly id: number; readonly host: string; readonly port: number }): boolean
  /** Flushes sends, retries what found no room, checks time-outs, dials. Returns work done. */
  doWork(): number
  /** Resolves when every socket is closed, hence every ticket sent. */
  close(): Promise<void>
}

/** @throws ReplicaError E_LISTEN when the port cannot be had */
export async function openTcpHub(options: TcpHubOptions): Promise<TcpHub> {
  const open = (host: string, port: number) => connect({ host, port, noDelay: true })
  const hub = createHub(options, open, attach)
  const server = createServer({ noDelay: true }, (socket) => accept(hub, socket))
  await listen(server, options)
  server.on('error', (error) => {
    options.onEvent?.({ kind: 'listen-error', problem: errnoOf(error) })
  })
  doWork(hub)
  const timer = setInterval(() => doWork(hub), options.timerMs ?? 20)
  const bound = server.address()
  assert(bound !== null && typeof bound === 'object', 'a TCP server has an address')
  const links = new Map([...hub.routes].map(([id, route]) => [id, linkOf(hub, route)]))
  return {
    address: { host: bound.address, port: bound.port },
    counters: hub.counters,
    linkTo(id) {
      const link = links.get(id)
      assert(link !== undefined, 'a link goes to a configured peer')
      return link
    },
    setAddress: (peer) => setAddress(hub, peer),
    doWork: () => doWork(hub),
    async close() {
      hub.isClosed = true
      clearInterval(timer)
      clearTimeout(hub.stallTimer)
      const closed = new Promise((resolve) => server.close(resolve))
      for (const connection of hub.connections) shut(hub, connection, 'local')
      await closed
      while (hub.connections.size > 0) await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

function attach(socket: HubSocket, handlers: SocketHandlers): void {
  assert(socket instanceof Socket, 'this hub makes TCP sockets')
  socket.on('data', (chunk: Buffer) => handlers.onData(chunk))
  socket.on('error', (error) => handlers.onError(errnoOf(error)))
  socket.on('end', () => handlers.onEnd())
  socket.on('close', () => handlers.onClose())
}

const errnoOf = (error: Error): string =>
  'code' in error && typeof error.code === 'string' ? error.code : error.message

function listen(server: Server, { listenHost, listenPort }: TcpHubOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const errno = errnoOf(error)
      const where = `${listenHost}:${listenPort}`
      const detail = { port: listenPort, errno }
      const options = { cause: error }
      reject(new ReplicaError('E_LISTEN', `${where}: ${errno}`, detail, 'not-proposed', options))
    })
    server.listen({ host: listenHost, port: listenPort, exclusive: true }, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}
