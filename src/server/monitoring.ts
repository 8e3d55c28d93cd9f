/**
 * The monitoring listener: health, metrics and status, on a port of its own, loopback by default.
 * Reads only; takes no body. Caller's thread.
 */
import type { Health } from './health.ts'
import type { Hosted } from './hosted.ts'
import type { HttpHandler, HttpReply, RequestHead } from './http/adapter.ts'
import type { Guard } from './http/guard.ts'
import { jsonReply, refusal } from './http/reply.ts'
import type { Metrics } from './metrics.ts'

export interface MonitoringParts {
  readonly guard: Guard
  readonly health: Health
  readonly metrics: Metrics
  readonly hosted: Hosted
  readonly version: string
  /** What clients may be told of where this node is. */
  readonly addresses: () => Readonly<Record<string, unknown>>
}

const text = (body: string, status = 200): HttpReply => ({
  status,
  type: 'text/plain; charset=utf-8',
  body: `${body}\n`,
})

export function createMonitoring(parts: MonitoringParts): HttpHandler {
  const { guard, health, metrics } = parts
  const pages = new Map<string, () => HttpReply | Promise<HttpReply>>([
    // etcd's form, and its statuses.
    [
      '/health',
      async () =>
        (await health.isHealthy())
          ? jsonReply({ health: 'true', reason: '' })
          : jsonReply({ health: 'false', reason: 'QUORUM NOT REACHED' }, 503),
    ],
    ['/livez', () => text('ok')],
    ['/readyz', () => readiness(health)],
    ['/metrics', async () => ({ status: 200, type: metrics.type, body: await metrics.text() })],
    ['/status', () => jsonReply(statusOf(parts))],
  ])
  return {
    admit(head: RequestHead) {
      const refused = guard.refusalOf(head, null)
      if (refused !== null) return refused
      if (!pages.has(head.path)) return refusal('E_NOT_FOUND', 'no such page')
      return head.method === 'GET' || head.method === 'HEAD'
        ? null
        : refusal('E_METHOD', 'want GET')
    },
    handle: async ({ path }) => pages.get(path)!(),
    socket: () => refusal('E_NOT_FOUND', 'no WebSocket here'),
  }
}

function readiness(health: Health): HttpReply {
  const reason = health.unreadyReason()
  return reason === null ? text('ok') : text(`not ready: ${reason}`, 503)
}

function statusOf({ hosted, version, addresses }: MonitoringParts) {
  const nodes = hosted.nodes.map(({ name, node }) => {
    const status = node.status()
    return {
      name,
      ...status,
      leaderName: status.leader === 0 ? null : hosted.nameOf(status.leader),
    }
  })
  return { schema: 'xpaxos-status/1', version, runtime: process.version, nodes, ...addresses() }
}
