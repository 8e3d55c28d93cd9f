/**
 * A RESP2 server on node:net over a key-value service: redis-cli, redis-benchmark and client
 * libraries for the commands that are here (docs/kv.md). Caller's thread.
 *
 * Invariants: every bound of `RespLimits` holds before memory is taken for what is beyond it; no
 * byte that comes in ends the process; `close` answers what is under way.
 */
import { type Server, type Socket, createServer, isIP } from 'node:net'
import { ReplicaError } from '../../base/errors.ts'
import type { Consistency } from '../../engine/index.ts'
import { REQUEST_SIZE_MAX_BYTES } from '../../state-machines/key-value-commands.ts'
import type { KvService } from '../kv-service.ts'
import { type RespAuth, createGuessLimit } from './auth.ts'
import {
  type Connection,
  type ConnectionLimits,
  type ConnectionWiring,
  openConnection,
} from './connection.ts'
import type { Client, Context } from './plan.ts'
import { createScanCursors } from './scan-cursors.ts'

export interface RespLimits extends ConnectionLimits {
  readonly connectionsMax: number
  /** Of requests that are under way, all connections together. */
  readonly queuedSizeMaxBytes: number
  /** Without a byte either way. */
  readonly idleTimeoutMs: number
  /** From the first byte of a request to its last. */
  readonly requestTimeoutMs: number
}

export const RESP_LIMITS: RespLimits = {
  // A MSET of 1,024 pairs.
  elementsMax: 2_049,
  bulkSizeMaxBytes: REQUEST_SIZE_MAX_BYTES,
  requestSizeMaxBytes: REQUEST_SIZE_MAX_BYTES + 65_536,
  inlineSizeMaxBytes: 16_384,
  inflightMax: 64,
  outputSizeMaxBytes: 64 * 1_024 * 1_024,
  connectionsMax: 10_000,
  queuedSizeMaxBytes: 64 * 1_024 * 1_024,
  idleTimeoutMs: 300_000,
  requestTimeoutMs: 30_000,
}

export interface RespOptions {
  readonly service: KvService
  /** Default 127.0.0.1. */
  readonly host?: string
  /** 0: any that is free. */
  readonly port: number
  readonly limits?: Partial<RespLimits>
  /** Default: whoever connects may do everything. See `authOf`. */
  readonly auth?: RespAuth
  /** Of GET and the other reads. Default `linearizable`. `stale` is not offered. */
  readonly consistency?: Exclude<Consistency, 'stale'>
  /**
   * Takes a host that others reach, although RESP has no encryption here: what is sent, secrets
   * too, can be read and changed on the way.
   */
  readonly allowInsecure?: boolean
}

export interface RespServer {
  readonly address: { readonly host: string; readonly port: number }
  readonly connections: number
  /** Takes no more connections or commands; resolves when those under way are answered, or late. */
  close(): Promise<void>
}

const SWEEP_MS = 1_000
/** How long clients have to read their last replies. */
const CLOSE_MS = 2_000

/** @throws ReplicaError E_CONFIG_INVALID, E_LISTEN */
export async function createRespServer(options: RespOptions): Promise<RespServer> {
  const { service, host = '127.0.0.1', port, auth = null } = options
  const limits: RespLimits = { ...RESP_LIMITS, ...options.limits }
  check(options, limits)
  const startedMs = performance.now()
  const open = new Map<Socket, Connection>()
  let nextId = 1
  let queuedSizeBytes = 0
  const wiring: ConnectionWiring = {
    limits,
    consistency: options.consistency,
    nowMs: () => performance.now(),
    reserve(sizeBytes) {
      if (queuedSizeBytes + sizeBytes > limits.queuedSizeMaxBytes) return false
      queuedSizeBytes += sizeBytes
      return true
    },
    release: (sizeBytes) => void (queuedSizeBytes -= sizeBytes),
  }
  const shared = {
    ...{ service, auth, cursors: createScanCursors() },
    guesses: createGuessLimit(wiring.nowMs),
    clients: () => open.size,
    uptimeS: () => Math.floor((performance.now() - startedMs) / 1_000),
  } satisfies Omit<Context, 'client'>
  const onSocket = (socket: Socket): void => {
    if (open.size >= limits.connectionsMax) {
      socket.on('error', () => undefined)
      socket.end('-ERR max number of clients reached\r\n')
      socket.destroySoon()
      return
    }
    const client: Client = {
      ...{ id: nextId++, address: socket.remoteAddress ?? '', name: '' },
      role: auth === null ? 'admin' : null,
      ...{ token: null, isLeaving: false },
    }
    socket.setNoDelay(true)
    socket.setTimeout(limits.idleTimeoutMs)
    open.set(socket, openConnection(socket, { ...shared, client }, wiring))
    socket.on('close', () => open.delete(socket))
  }
  const server = createServer({ allowHalfOpen: true }, onSocket)
  await listen(server, host, port)
  const sweep = setInterval(() => {
    const limit = performance.now() - limits.requestTimeoutMs
    for (const connection of open.values()) {
      if (connection.partialSinceMs < limit) connection.destroy()
    }
  }, SWEEP_MS)
  sweep.unref()
  let closing: Promise<void> | null = null
  const close = async (): Promise<void> => {
    clearInterval(sweep)
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const connection of open.values()) connection.finish()
    const late = setTimeout(() => {
      for (const connection of open.values()) connection.destroy()
    }, CLOSE_MS)
    await closed
    clearTimeout(late)
  }
  const bound = server.address() as { readonly address: string; readonly port: number }
  return {
    address: { host: bound.address, port: bound.port },
    get connections() {
      return open.size
    },
    close: () => (closing ??= close()),
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const errno = error.code ?? 'unknown'
      const message = `cannot listen on ${host}:${port}: ${errno}`
      reject(new ReplicaError('E_LISTEN', message, { port, errno }))
    })
    server.listen({ host, port, exclusive: true }, () => {
      server.removeAllListeners('error')
      server.on('error', () => undefined) // of one connection that could not be taken
      resolve()
    })
  })
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))

function check({ host = '127.0.0.1', port, ...options }: RespOptions, limits: RespLimits): void {
  const problems: string[] = []
  if (!(Number.isInteger(port) && port >= 0 && port < 65_536)) {
    problems.push(`port=${String(port)}: want 0 to 65535`)
  }
  if (!isLoopback(host) && (options.auth === undefined || options.allowInsecure !== true)) {
    problems.push(`host=${host}: others reach it; that needs auth, and allowInsecure`)
  }
  const { consistency = 'linearizable' } = options
  if (!['linearizable', 'lease', 'session'].includes(consistency)) {
    problems.push(`consistency=${consistency}: want linearizable, lease or session`)
  }
  for (const [name, value] of Object.entries(limits)) {
    if (!(name in RESP_LIMITS)) problems.push(`limits.${name}: no such limit`)
    else if (!(Number.isInteger(value) && value >= 1 && value <= LIMIT_MAX)) {
      problems.push(`limits.${name}=${String(value)}: want a whole number from 1 to ${LIMIT_MAX}`)
    }
  }
  if (problems.length === 0) return
  throw new ReplicaError('E_CONFIG_INVALID', problems.join('; '), { problems })
}

/** What a timer, and a length, can be. */
const LIMIT_MAX = 2 ** 31 - 1
