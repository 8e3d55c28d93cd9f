/**
 * The client listener: paths to routes, roles before bodies, errors to one shape. Caller's thread.
 *
 * Invariants: no request changes anything without a content type that a form cannot send; an error
 * that is no request's fault is logged, and its text is not sent.
 */
import { hasCode } from '../../base/errors.ts'
import type {
  HttpHandler,
  HttpReply,
  HttpRequest,
  HttpStream,
  RequestHead,
} from '../http/adapter.ts'
import { type Guard, isJson } from '../http/guard.ts'
import { fieldsOf, parseJson } from '../http/json.ts'
import { errorBodyOf, errorReply, jsonReply, refusal } from '../http/reply.ts'
import type { KvService } from '../kv-service.ts'
import type { Routes } from './routes.ts'
import { eventStream, lineStream, wantedOfBody, wantedOfQuery, watchSocket } from './watch.ts'

export const WATCH_PATH = '/v3/watch'

export interface GatewayParts {
  readonly guard: Guard
  readonly routes: Routes
  readonly kv: KvService
  /** How long a request waits for a leader, where the next one is in this process. */
  readonly patienceMs: number
  readonly onReply: (route: string, status: number) => void
  readonly onError: (error: unknown) => void
}

export function createGateway(parts: GatewayParts): HttpHandler {
  const { guard, routes: table, kv, onReply } = parts
  const routes = new Map(Object.entries(table))
  const refusalOf = (head: RequestHead): HttpReply | null => {
    if (head.method === 'OPTIONS') return preflight(guard, head)
    const isWatch = head.path === WATCH_PATH
    const role = isWatch ? 'read' : routes.get(head.path)?.role
    if (role === undefined)
      return guard.refusalOf(head, null) ?? refusal('E_NOT_FOUND', 'no such path: see docs/api.md')
    const refused = guard.refusalOf(head, role)
    if (refused !== null) return refused
    if (head.method === 'GET' && isWatch) return null
    if (head.method !== 'POST') return refusal('E_METHOD', 'want POST')
    return isJson(head) ? null : refusal('E_CONTENT_TYPE', 'want content-type: application/json')
  }
  const run = async (request: HttpRequest): Promise<HttpReply | HttpStream> => {
    const { path, method, body, signal } = request
    if (path === WATCH_PATH) {
      if (method === 'POST') return lineStream(kv, wantedOfBody(body))
      return eventStream(kv, wantedOfQuery(behindLastEvent(request)))
    }
    const route = routes.get(path)!
    const deadline = performance.now() + parts.patienceMs
    for (;;) {
      try {
        return jsonReply(await route.run(fieldsOf(parseJson(body)), signal))
      } catch (error) {
        if (!isBetweenLeaders(error) || performance.now() >= deadline) throw error
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
      }
    }
  }
  return {
    admit(head) {
      const refused = refusalOf(head)
      if (refused !== null) onReply('refused', refused.status)
      return refused
    },
    async handle(request) {
      const cors = guard.corsOf(request)
      try {
        const reply = await run(request)
        onReply(request.path, 200)
        return cors === undefined ? reply : { ...reply, headers: cors }
      } catch (error) {
        const body = errorBodyOf(error)
        if (body.code === 'E_INTERNAL') parts.onError(error)
        const reply = errorReply(body, cors)
        onReply(request.path, reply.status)
        return reply
      }
    },
    socket(head) {
      if (head.path !== WATCH_PATH) return refusal('E_NOT_FOUND', 'no WebSocket here')
      return watchSocket(kv)
    },
  }
}

const PAUSE_MS = 10

/** Nothing was proposed, and somebody is about to lead. */
const isBetweenLeaders = (error: unknown): boolean =>
  (hasCode(error, 'E_NOT_LEADER') || hasCode(error, 'E_TRANSFERRING')) &&
  error.outcome === 'not-proposed'

/** A browser that lost its connection says the last id it saw. */
function behindLastEvent(request: RequestHead): string {
  const last = Number(request.header('last-event-id') ?? NaN)
  if (!Number.isSafeInteger(last)) return request.query
  const query = new URLSearchParams(request.query)
  query.set('start_revision', String(last + 1))
  return query.toString()
}

/** What a browser asks before it lets a page of an allowed origin call. */
function preflight(guard: Guard, head: RequestHead): HttpReply {
  const refused = guard.refusalOf(head, null)
  if (refused !== null) return refused
  const cors = guard.corsOf(head)
  if (cors === undefined) return refusal('E_METHOD', 'want POST')
  const headers = {
    ...cors,
    'access-control-allow-methods': 'GET, POST',
    'access-control-allow-headers': 'authorization, content-type, last-event-id',
    'access-control-max-age': '600',
  }
  return { status: 204, type: 'text/plain', body: '', headers }
}
