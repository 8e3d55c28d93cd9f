/**
 * What a request must show before its body is read: a host that is ours (against DNS rebinding), an
 * origin that is allowed (against foreign pages), a content type that a form cannot send, a token.
 * Caller's thread.
 */
import {
  type AccessRole,
  type Auth,
  type FailureLimiter,
  allows,
  createFailureLimiter,
} from '../auth.ts'
import type { HttpReply, RequestHead } from './adapter.ts'
import { errorReply, refusal } from './reply.ts'

export interface GuardOptions {
  /** Names and addresses that clients may call this server by, in lower case, without a port. */
  readonly hosts: ReadonlySet<string>
  /** Origins of pages that may call it, as browsers send them. */
  readonly origins: ReadonlySet<string>
  /** Null: everybody is admin. */
  readonly auth: Auth | null
  readonly nowMs: () => number
}

export interface Guard {
  /** Null: the request may do what needs `wanted`; null as `wanted`: anybody may. */
  refusalOf(head: RequestHead, wanted: AccessRole | null): HttpReply | null
  /** Of an allowed origin: what lets its page read the reply. */
  corsOf(head: RequestHead): Readonly<Record<string, string>> | undefined
}

export function createGuard({ hosts, origins, auth, nowMs }: GuardOptions): Guard {
  const limiter = createFailureLimiter(nowMs)
  return {
    refusalOf(head, wanted) {
      const host = hostOf(head.header('host') ?? '')
      if (!hosts.has(host)) return refusal('E_HOST', 'this host is not served here')
      const origin = head.header('origin')
      if (origin !== null && !origins.has(origin))
        return refusal('E_ORIGIN', 'pages of this origin may not call this server')
      if (wanted === null || auth === null) return null
      return tokenRefusal(head, wanted, auth, limiter)
    },
    corsOf(head) {
      const origin = head.header('origin')
      if (origin === null || !origins.has(origin)) return undefined
      return { 'access-control-allow-origin': origin, vary: 'origin' }
    },
  }
}

/** 'Example:7479' -> 'example'; '[::1]:7479' -> '[::1]'. */
export const hostOf = (host: string): string => host.toLowerCase().replace(/:[0-9]*$/, '')

function tokenRefusal(
  head: RequestHead,
  wanted: AccessRole,
  auth: Auth,
  limiter: FailureLimiter,
): HttpReply | null {
  if (!limiter.allows(head.remote))
    return refusal('E_RATE_LIMITED', 'too many wrong tokens from this address')
  const given = head.header('authorization') ?? ''
  const token = given.startsWith('Bearer ') ? given.slice('Bearer '.length) : null
  const role = token === null ? null : auth.roleOf(token)
  if (role === null) {
    if (token !== null) limiter.failed(head.remote)
    const message = token === null ? 'want a bearer token' : 'no such token'
    const body = { code: 'E_UNAUTHENTICATED', message, outcome: 'not-proposed' } as const
    return errorReply(body, { 'www-authenticate': 'Bearer' })
  }
  return allows(role, wanted) ? null : refusal('E_FORBIDDEN', `the token's role is ${role}`)
}

/** What a form of a foreign page cannot send without asking first. */
export const isJson = (head: RequestHead): boolean =>
  /^application\/json\s*(;|$)/i.test(head.header('content-type') ?? '')
