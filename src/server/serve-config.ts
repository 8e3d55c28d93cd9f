/**
 * What a server process is told, checked as a whole: which nodes it runs, where it listens, and
 * what it may show to whom. The command line makes it (src/cli/serve-options.ts). Pure.
 */
import type { Auth } from './auth.ts'

export interface ListenAddress {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
}

export interface ClientAddress extends ListenAddress {
  /** https:// */
  readonly isSecure: boolean
}

export interface Founder {
  readonly name: string
  readonly peer: ListenAddress
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const

/** As the engine names them. */
export const LAYOUTS = ['auto', 'inline', 'joined', 'split', 'dedicated'] as const

export interface ServeConfig {
  /** A whole cluster in this process, of so many nodes; null: one node, `name`. */
  readonly embedded: number | null
  readonly name: string
  readonly dataDir: string
  /** Who the cluster began with, in byte order of names: the place is the id, from 1. */
  readonly founders: readonly Founder[]
  /** Of a node that came later (`member add`): its id; null: it is a founder. */
  readonly memberId: number | null
  readonly token: string
  readonly heartbeatMs: number
  readonly electionTimeoutMs: number
  /** As the engine's knobs of these names (docs/snapshots.md). */
  readonly snapshotEveryBytes: number
  readonly retainBytes: number
  readonly layout: (typeof LAYOUTS)[number]
  readonly logLevel: (typeof LOG_LEVELS)[number]
  readonly listenPeer: ListenAddress
  readonly listenClients: readonly ClientAddress[]
  /** Null: not served. */
  readonly listenResp: ListenAddress | null
  readonly listenMonitoring: ListenAddress | null
  /** As clients reach this node; empty: where it listens. */
  readonly advertiseClientUrls: readonly string[]
  readonly tls: { readonly cert: string; readonly key: string } | null
  readonly auth: Auth | null
  readonly allowedHosts: readonly string[]
  readonly allowedOrigins: readonly string[]
  readonly insecureClientNetwork: boolean
  readonly insecurePeerNetwork: boolean
}

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.[0-9]{1,3}){3}$/.test(host)

/** Addresses that others could reach without protection: refused, or warned of at every start. */
export interface Exposure {
  readonly flag: string
  readonly host: string
  readonly why: string
  readonly option: 'insecure-client-network' | 'insecure-peer-network'
}

export function exposuresOf(config: ServeConfig): Exposure[] {
  const { listenClients, listenResp, listenMonitoring, listenPeer, embedded, tls, auth } = config
  const client = 'insecure-client-network'
  const found: Exposure[] = []
  const add = (flag: string, { host }: ListenAddress, why: string, option: Exposure['option']) => {
    if (!isLoopback(host)) found.push({ flag, host, why, option })
  }
  const missing = [
    ...(tls === null ? ['no TLS (--cert-file, --key-file)'] : []),
    ...(auth === null ? ['no tokens (--token-file)'] : []),
  ].join(' and ')
  if (missing !== '')
    for (const one of listenClients) add('--listen-client-urls', one, missing, client)
  if (listenResp !== null) add('--listen-resp', listenResp, 'RESP has no TLS', client)
  if (listenMonitoring !== null)
    add('--listen-monitoring-url', listenMonitoring, 'it has no TLS and no tokens', client)
  if (embedded === null)
    add('--listen-peer-urls', listenPeer, 'peers have no TLS yet', 'insecure-peer-network')
  return found
}

/** Those that nobody has allowed by name. */
export function exposureProblems(config: ServeConfig): string[] {
  const { insecureClientNetwork, insecurePeerNetwork } = config
  const allowed = (option: Exposure['option']): boolean =>
    option === 'insecure-client-network' ? insecureClientNetwork : insecurePeerNetwork
  return exposuresOf(config)
    .filter(({ option }) => !allowed(option))
    .map(
      ({ flag, host, why, option }) =>
        `${flag}: ${host} is not loopback, and ${why}: protect it, or say --${option}`,
    )
}

/** Hosts that clients may name: loopback, where this node listens and is said to be. */
export function hostsOf(config: ServeConfig): Set<string> {
  const advertised = config.advertiseClientUrls.map((url) => new URL(url).hostname)
  const listened = [...config.listenClients, config.listenMonitoring].flatMap((one) =>
    one === null ? [] : [one.host.includes(':') ? `[${one.host}]` : one.host],
  )
  const names = [...LOOPBACK, ...advertised, ...listened, ...config.allowedHosts]
  return new Set(names.map((name) => name.toLowerCase()))
}

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]']
