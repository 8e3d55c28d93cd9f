/**
 * The state of a hub: its options, the ways to its peers, its connections, and what it needs of a
 * socket. hub.ts is the one that changes it.
 */
import { assert } from '../base/assert.ts'
import { clusterHashOf, type Handshake, HANDSHAKE_SIZE_BYTES } from './handshake.ts'
import type { Inbox } from './inbox.ts'
import { createLinkCounters, type LinkCounters, type LinkEvent } from './link.ts'
import type { Wire } from './outbox.ts'
import { createPeer, type Peer } from './session.ts'

export interface HubOptions {
  readonly self: number
  readonly peers: readonly { readonly id: number; readonly host: string; readonly port: number }[]
  readonly clusterId: string | number
  readonly incarnation: number
  /** Drawn at random when the process starts; below 2^53. */
  readonly nonce: number
  /** The history epoch of this node; default 0. Peers of another one are refused. */
  readonly history?: number
  /** A code for the durability of this node; default 0. Peers of another one are refused (R5). */
  readonly durability?: number
  readonly inboxes: ReadonlyMap<number, Inbox>
  readonly sendBufferBytesMax?: number
  /** A peer's process that ends takes with it what it promised: no other one has its place. */
  readonly forgets?: boolean
  readonly reconnectMinMs?: number
  readonly reconnectMaxMs?: number
  /** A session without a byte for so long ends, and so does a handshake. */
  readonly idleTimeoutMs?: number
  readonly now?: () => number
  readonly onEvent?: (event: LinkEvent) => void
  /** Cells were delivered to the inbox of this peer. */
  readonly onDelivered?: (peer: number) => void
}

/** What the hub needs of a socket. `destroy` is followed by onClose, once, later. */
export interface HubSocket extends Wire {
  pause(): unknown
  resume(): unknown
  destroy(): unknown
}

/** What a socket tells the hub; onClose is the last. */
export interface SocketHandlers {
  onData(chunk: Uint8Array): void
  onError(errno: string): void
  onEnd(): void
  onClose(): void
}

export type Connect = (host: string, port: number) => HubSocket
export type Attach = (socket: HubSocket, handlers: SocketHandlers) => void

export interface Connection {
  readonly socket: HubSocket
  readonly isDialed: boolean
  /** handshake -> (waiting: for the close of the session before) -> up -> gone */
  state: 'handshake' | 'waiting' | 'up' | 'gone'
  route: Route | null
  hello: Handshake | null
  readonly handshake: Uint8Array
  handshakeFilled: number
  /** When it began, then when bytes last came. */
  heardMs: number
  isPaused: boolean
  problem: string
}

/** A peer and the ways to it. */
export interface Route {
  readonly peer: Peer
  host: string
  /** 0: not known; it dials in, or `setAddress` tells. */
  port: number
  readonly isDialer: boolean
  current: Connection | null
  /** Newer handshake that waits for the close of `current`. */
  candidate: Connection | null
  dialAtMs: number
  attempts: number
  proposed: number
  isClosed: boolean
}

export interface Hub {
  readonly options: HubOptions
  readonly connect: Connect
  readonly attach: Attach
  readonly cluster: number
  readonly bytesMax: number
  readonly reconnectMinMs: number
  readonly reconnectMaxMs: number
  readonly idleTimeoutMs: number
  readonly now: () => number
  readonly routes: ReadonlyMap<number, Route>
  readonly connections: Set<Connection>
  readonly counters: LinkCounters
  readonly chance: { random: number }
  /** When doWork ran last. */
  workedMs: number
  stallTimer: NodeJS.Timeout | undefined
  isClosed: boolean
}

export function createHub(options: HubOptions, connect: Connect, attach: Attach): Hub {
  const { self, peers, inboxes, nonce, now = () => performance.now() } = options
  const routes = new Map<number, Route>()
  for (const { id, host, port } of peers) {
    const inbox = inboxes.get(id)
    assert(id !== self && inbox !== undefined, 'every peer is another node and has an inbox')
    routes.set(id, {
      peer: createPeer(id, inbox),
      host,
      port,
      isDialer: self < id,
      current: null,
      candidate: null,
      dialAtMs: -Infinity,
      attempts: 0,
      proposed: 0,
      isClosed: false,
    })
  }
  return {
    options,
    connect,
    attach,
    cluster: clusterHashOf(options.clusterId),
    bytesMax: options.sendBufferBytesMax ?? 4 * 1024 * 1024,
    reconnectMinMs: options.reconnectMinMs ?? 50,
    reconnectMaxMs: options.reconnectMaxMs ?? 2_000,
    idleTimeoutMs: options.idleTimeoutMs ?? 5_000,
    now,
    routes,
    connections: new Set(),
    counters: createLinkCounters(),
    chance: { random: nonce ^ self },
    workedMs: now(),
    stallTimer: undefined,
    isClosed: false,
  }
}

export const createConnection = (
  socket: HubSocket,
  route: Route | null,
  now: number,
): Connection => ({
  socket,
  isDialed: route !== null,
  state: 'handshake',
  route,
  hello: null,
  handshake: new Uint8Array(HANDSHAKE_SIZE_BYTES),
  handshakeFilled: 0,
  heardMs: now,
  isPaused: false,
  problem: '',
})
