/**
 * Who may do what: bearer tokens with a role each, from a file that others may not read. A role
 * holds those below it: read < write < admin. Caller's thread.
 *
 * Invariants: a token is compared in constant time, with every one that there is; tokens are kept
 * as digests and never printed; an address that keeps failing is refused for a while unheard.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'

export const ACCESS_ROLES = ['read', 'write', 'admin'] as const
export type AccessRole = (typeof ACCESS_ROLES)[number]

export interface Auth {
  /** The role that a token has; null: none has it. */
  roleOf(token: string): AccessRole | null
}

export const allows = (role: AccessRole, wanted: AccessRole): boolean =>
  ACCESS_ROLES.indexOf(role) >= ACCESS_ROLES.indexOf(wanted)

const TOKEN_SIZE_MIN = 16
const TOKENS_MAX = 1_024

/**
 * Reads a token file: a line a token, `ROLE TOKEN`; empty lines and those with # are skipped.
 * @returns the problems instead, all of them, and no token in any
 */
export function readTokens(path: string): Auth | readonly string[] {
  try {
    if ((statSync(path).mode & 0o007) !== 0)
      return [`${path}: others may read it: chmod o-rwx, or better 600`]
    return authOf(readFileSync(path, 'utf8'), path)
  } catch {
    return [`${path}: cannot be read`]
  }
}

export function authOf(text: string, name: string): Auth | readonly string[] {
  const problems: string[] = []
  const tokens: { readonly digest: Buffer; readonly role: AccessRole }[] = []
  text.split('\n').forEach((line, i) => {
    if (line.trim() === '' || line.trimStart().startsWith('#')) return
    const [given = '', token = '', ...rest] = line.trim().split(/\s+/)
    const role = ACCESS_ROLES.find((one) => one === given)
    const at = `${name}:${String(i + 1)}`
    if (role === undefined) problems.push(`${at}: want a role first: ${ACCESS_ROLES.join(', ')}`)
    if (token.length < TOKEN_SIZE_MIN || rest.length > 0)
      problems.push(`${at}: want one token of at least ${String(TOKEN_SIZE_MIN)} characters`)
    if (role !== undefined) tokens.push({ digest: digestOf(token), role })
  })
  if (tokens.length === 0) problems.push(`${name}: no token in it`)
  if (tokens.length > TOKENS_MAX) problems.push(`${name}: at most ${String(TOKENS_MAX)} tokens`)
  if (problems.length > 0) return problems
  return {
    roleOf(token) {
      const digest = digestOf(token)
      let found: AccessRole | null = null
      for (const one of tokens) if (timingSafeEqual(one.digest, digest)) found = one.role
      return found
    },
  }
}

const digestOf = (token: string): Buffer => createHash('sha256').update(token).digest()

export interface FailureLimiter {
  /** False: this address has failed too often lately. */
  allows(remote: string): boolean
  failed(remote: string): void
}

/** Failures of one address in a window. */
const FAILURES_MAX = 20
const WINDOW_MS = 10_000
const ADDRESSES_MAX = 4_096

export function createFailureLimiter(nowMs: () => number): FailureLimiter {
  const failures = new Map<string, { count: number; since: number }>()
  const recent = (remote: string) => {
    const one = failures.get(remote)
    if (one !== undefined && nowMs() - one.since < WINDOW_MS) return one
    failures.delete(remote)
    return null
  }
  return {
    allows: (remote) => (recent(remote)?.count ?? 0) < FAILURES_MAX,
    failed(remote) {
      const one = recent(remote)
      if (one !== null) return void one.count++
      // The oldest goes first: a flood of addresses costs bounded memory.
      if (failures.size >= ADDRESSES_MAX) failures.delete(failures.keys().next().value!)
      failures.set(remote, { count: 1, since: nowMs() })
    },
  }
}
