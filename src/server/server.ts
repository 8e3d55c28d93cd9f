/**
 * A server process: its nodes, the key-value service over them, and the listeners in front. Starts
 * in that order and stops in the other: nobody is let in before there is a node, and nobody is cut
 * who could still be answered. Caller's thread.
 */
import { type ReplicaError, toRecord } from '../base/errors.ts'
import type { NodeEvent } from '../engine/node.ts'
import type { Auth } from './auth.ts'
import { createGateway } from './gateway/gateway.ts'
import { clusterRoutes } from './gateway/cluster-routes.ts'
import { kvRoutes } from './gateway/kv-routes.ts'
import { type Health, createHealth } from './health.ts'
import { type Hosted, openHosted } from './hosted.ts'
import {
  HTTP_LIMITS,
  type HttpAdapter,
  type HttpLimits,
  type HttpListener,
} from './http/adapter.ts'
import { type Guard, createGuard } from './http/guard.ts'
import { listenNode } from './http/node-adapter.ts'
import { type KvService, openKvService } from './kv-service.ts'
import type { Log } from './log.ts'
import { type Metrics, createMetrics } from './metrics.ts'
import { createMonitoring } from './monitoring.ts'
import type { RespAuth } from './resp/auth.ts'
import { type RespServer, createRespServer } from './resp/server.ts'
import { type ListenAddress, type ServeConfig, exposuresOf, hostsOf } from './serve-config.ts'

export interface ServerAddresses {
  readonly clients: readonly string[]
  readonly peers: string | null
  readonly resp: string | null
  readonly monitoring: string | null
}

export interface RunningServer {
  readonly hosted: Hosted
  readonly kv: KvService
  readonly addresses: ServerAddresses
  /** Resolves with why, when a node fails; then the process is of no use any more. */
  readonly failed: Promise<ReplicaError>
  /** Takes nothing new, hands leadership over, answers what runs, and closes everything. */
  stop(): Promise<void>
}

export interface ServerParts {
  readonly log: Log
  readonly version: string
  readonly adapter?: HttpAdapter
  readonly limits?: Partial<HttpLimits>
}

const HAND_OVER_MS = 3_000
const DRAIN_MS = 5_000
/** An election of an embedded cluster is over by then. */
const PATIENCE_MS = 3_000

/** @throws ReplicaError as openHosted, and E_LISTEN; then nothing is left open */
export async function startServer(config: ServeConfig, parts: ServerParts): Promise<RunningServer> {
  const { log } = parts
  for (const { flag, host, why, option } of exposuresOf(config))
    log.warn({ flag, host, option }, `insecure: others can reach this address, and ${why}`)
  const failed = Promise.withResolvers<ReplicaError>()
  const heard: { metrics: Metrics | null } = { metrics: null }
  const hosted = await openHosted(config, 'kv', (event) => {
    heard.metrics?.onEvent(event)
    logEvent(log, event)
    if (event.kind === 'failed') failed.resolve(event.error)
  })
  const closers: (() => Promise<unknown>)[] = [() => hosted.close()]
  try {
    return await listenAll(config, parts, { hosted, closers, heard, failed: failed.promise })
  } catch (error) {
    for (const close of closers.reverse()) await close()
    throw error
  }
}

interface Opened {
  readonly hosted: Hosted
  /** What is open, in order of opening. */
  readonly closers: (() => Promise<unknown>)[]
  readonly heard: { metrics: Metrics | null }
  readonly failed: Promise<ReplicaError>
}

async function listenAll(
  config: ServeConfig,
  parts: ServerParts,
  { hosted, closers, heard, failed }: Opened,
): Promise<RunningServer> {
  const { log } = parts
  const kv = openKvService(hosted.target)
  closers.push(async () => kv.close())
  const listeners: HttpListener[] = []
  const connections = (): number => listeners.reduce((sum, one) => sum + one.connections(), 0)
  const metrics = createMetrics(hosted, connections)
  heard.metrics = metrics
  const health = createHealth(hosted, () => performance.now())
  const listen = listenerOf(parts, (close) => closers.push(close))
  const shared: Shared = { config, parts, hosted, kv, metrics, health }
  const addresses = { clients: [] as string[], resp: null as string | null }
  const monitoring = await listenMonitoring(shared, listen, () => addresses)
  const guard = guardOf(config)
  const gateway = gatewayOf(shared, guard, () => addresses.clients)
  for (const one of config.listenClients) {
    const listener = await listen(one, gateway, config.tls)
    listeners.push(listener)
    addresses.clients.push(urlOf(one.isSecure ? 'https' : 'http', listener.address))
  }
  const resp = await listenResp(shared)
  if (resp !== null) closers.push(() => resp.close())
  addresses.resp = resp === null ? null : urlOf('tcp', resp.address)
  const peer = config.embedded === null ? hosted.nodes[0]!.node.address : null
  const stop = async (): Promise<void> => {
    health.leave()
    for (const one of listeners) one.stopAccepting()
    const handedOver = await hosted.handOver(HAND_OVER_MS)
    log.info({ handedOver }, 'stopping')
    for (const close of closers.reverse()) await close()
    log.info({}, 'stopped')
  }
  let stopped: Promise<void> | null = null
  return {
    ...{ hosted, kv, failed },
    addresses: {
      ...{ clients: addresses.clients, resp: addresses.resp, monitoring },
      peers: peer === null ? null : urlOf('tcp', peer),
    },
    stop: () => (stopped ??= stop()),
  }
}

interface Shared {
  readonly config: ServeConfig
  readonly parts: ServerParts
  readonly hosted: Hosted
  readonly kv: KvService
  readonly metrics: Metrics
  readonly health: Health
}

type Listen = (
  address: ListenAddress,
  handler: Parameters<HttpAdapter>[0],
  tls: ServeConfig['tls'],
) => Promise<HttpListener>

function listenerOf(
  { adapter = listenNode, limits, log }: ServerParts,
  onOpen: (close: () => Promise<void>) => void,
): Listen {
  return async ({ host, port }, handler, tls) => {
    const onError = (error: unknown) => log.error({ err: error }, 'an error of the HTTP side')
    const options = { host, port, tls, limits: { ...HTTP_LIMITS, ...limits }, onError }
    const listener = await adapter(handler, options)
    onOpen(() => listener.close(DRAIN_MS))
    return listener
  }
}

const guardOf = (config: ServeConfig): Guard =>
  createGuard({
    hosts: hostsOf(config),
    origins: new Set(config.allowedOrigins),
    auth: config.auth,
    nowMs: () => performance.now(),
  })

function gatewayOf(shared: Shared, guard: Guard, urls: () => readonly string[]) {
  const { config, parts, hosted, kv, metrics } = shared
  const advertised = config.advertiseClientUrls
  const clientUrls = () => (advertised.length > 0 ? advertised : urls())
  return createGateway({
    ...{ guard, kv, patienceMs: config.embedded === null ? 0 : PATIENCE_MS },
    routes: { ...kvRoutes(kv), ...clusterRoutes({ hosted, version: parts.version, clientUrls }) },
    onReply: (route, status) => metrics.onRequest(route, status),
    onError: (error) => parts.log.error({ err: error }, 'an error of the gateway'),
  })
}

async function listenMonitoring(
  { config, parts, hosted, metrics, health }: Shared,
  listen: Listen,
  addresses: () => Readonly<Record<string, unknown>>,
): Promise<string | null> {
  if (config.listenMonitoring === null) return null
  const guard = guardOf({ ...config, auth: null })
  const { version } = parts
  const handler = createMonitoring({ guard, health, metrics, hosted, version, addresses })
  const listener = await listen(config.listenMonitoring, handler, null)
  return urlOf('http', listener.address)
}

async function listenResp({ config, kv }: Shared): Promise<RespServer | null> {
  const { listenResp: address, auth, insecureClientNetwork } = config
  if (address === null) return null
  const own = { ...address, service: kv, allowInsecure: insecureClientNetwork }
  return createRespServer(auth === null ? own : { ...own, auth: respAuthOf(auth) })
}

/** `AUTH token`, or `AUTH default token`: the same tokens as over HTTP. */
const respAuthOf = (auth: Auth): RespAuth => ({
  roleOf: (name, secret) =>
    name === 'default' ? auth.roleOf(Buffer.from(secret).toString('utf8')) : null,
})

/** 'http', { host: '::1', port: 7479 } -> 'http://[::1]:7479'. */
const urlOf = (scheme: string, { host, port }: ListenAddress): string =>
  `${scheme}://${host.includes(':') ? `[${host}]` : host}:${String(port)}`

function logEvent(log: Log, event: NodeEvent): void {
  const { kind, node } = event
  if (kind === 'failed') return log.error({ nodeId: node, ...toRecord(event.error) }, 'node failed')
  if (kind === 'leads') return log.info({ nodeId: node, leads: event.leads }, 'leadership')
  log.info({ nodeId: node, event: event.name, value: event.value }, 'event')
}
