/**
 * The options of `serve`, without what checks them (serve-options.ts): defaults, and what they are
 * for. Help reads this table, so that it loads nothing else.
 */
interface Row {
  readonly fallback?: string
  /** What the value is, for help; absent: a switch. */
  readonly value?: string
  readonly why: string
  /** With --embedded it has no meaning. */
  readonly alone?: boolean
}

export const SERVE_OPTIONS = {
  dataDir: { value: 'dir', why: "everything that is kept; this process's alone" },
  embedded: {
    value: 'nodes',
    why: 'a whole cluster of so many nodes in this process, over memory links',
  },
  name: { fallback: 'n1', value: 'name', alone: true, why: "this node's name" },
  initialCluster: {
    value: 'n1=URL,...',
    alone: true,
    why: 'who the cluster begins with, the same at every node for ever (default: this node alone)',
  },
  initialClusterState: {
    fallback: 'new',
    value: 'state',
    alone: true,
    why: 'new: a founder; existing: a node that joins later, with --member-id',
  },
  memberId: {
    value: 'id',
    alone: true,
    why: 'with --initial-cluster-state existing: what `member add` printed',
  },
  initialClusterToken: {
    fallback: 'xpaxos',
    value: 'name',
    why: 'tells clusters apart: nodes of another one are refused',
  },
  listenPeerUrls: {
    fallback: 'tcp://127.0.0.1:7480',
    value: 'url',
    alone: true,
    why: 'where other nodes connect',
  },
  listenClientUrls: {
    fallback: 'http://127.0.0.1:7479',
    value: 'urls',
    why: 'HTTP and WebSocket for clients; https:// with --cert-file',
  },
  advertiseClientUrls: {
    value: 'urls',
    why: 'how clients reach this node (default: where it listens)',
  },
  listenResp: {
    fallback: 'tcp://127.0.0.1:7481',
    value: 'url',
    why: 'RESP2, for clients of Redis; none: not served',
  },
  listenMonitoringUrl: {
    fallback: 'http://127.0.0.1:7482',
    value: 'url',
    why: '/health /livez /readyz /metrics /status; none: not served',
  },
  heartbeatInterval: {
    fallback: '50',
    value: 'ms',
    why: 'how often a leader proves that it lives',
  },
  electionTimeout: {
    fallback: '500',
    value: 'ms',
    why: 'silence after which others stand; at least three heartbeats',
  },
  layout: {
    fallback: 'auto',
    value: 'name',
    why: 'which stages share a thread (docs/architecture.md); auto: by the number of cores',
  },
  snapshotEveryBytes: {
    fallback: '268435456',
    value: 'bytes',
    why: 'log applied from one snapshot of the state to the next; a start goes on from it; 0: none',
  },
  retainBytes: {
    fallback: '0',
    value: 'bytes',
    why: 'log kept behind the snapshots; 0: all of it, so that any node may join or lag',
  },
  certFile: { value: 'file', why: 'certificate chain (PEM) of the client listeners' },
  keyFile: { value: 'file', why: 'its key (PEM)' },
  tokenFile: {
    value: 'file',
    why: 'who may do what: lines `ROLE TOKEN`, roles read, write and admin',
  },
  allowedHosts: { value: 'hosts', why: 'further names that clients may call this server by' },
  allowedOrigins: { value: 'urls', why: 'origins of web pages that may call it (default: none)' },
  insecureClientNetwork: {
    fallback: 'false',
    why: 'listen beyond loopback without TLS or tokens: everybody who reaches it may do anything',
  },
  insecurePeerNetwork: {
    fallback: 'false',
    why: 'peers beyond loopback, without TLS: the network between them must be trusted',
  },
  logLevel: { fallback: 'info', value: 'level', why: 'JSON lines on stderr' },
} as const satisfies Readonly<Record<string, Row>>

export type ServeKey = keyof typeof SERVE_OPTIONS
export const SERVE_KEYS = Object.keys(SERVE_OPTIONS) as ServeKey[]
export const serveRow = (key: ServeKey): Row => SERVE_OPTIONS[key]

/** 'dataDir' -> '--data-dir'. */
export const flagOfKey = (key: string): string =>
  `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
export const variableOf = (key: string): string =>
  `XPAXOS_${flagOfKey(key).slice(2).replaceAll('-', '_').toUpperCase()}`
