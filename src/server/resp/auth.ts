/**
 * Who may do what over RESP: secrets that are compared in constant time, and a bound on how often
 * an address may guess.
 */
import { createHash, timingSafeEqual } from 'node:crypto'

/** Each may do what those before it may. */
export type Role = 'read' | 'write' | 'admin'

export interface RespAuth {
  /** @returns the role of who has that name and secret; null: nobody has. Takes constant time. */
  roleOf(name: string, secret: Uint8Array): Role | null
}

export interface Secret {
  /** Default `default`, which is who `AUTH secret` means. */
  readonly name?: string
  readonly secret: string
  readonly role: Role
}

/** Hashes are compared: they have one length, and where they differ says nothing of the secret. */
export function authOf(secrets: readonly Secret[]): RespAuth {
  const digest = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest()
  const known = secrets.map(({ name = 'default', secret, role }) => ({
    ...{ name: digest(name), secret: digest(secret), role },
  }))
  return {
    roleOf(name, secret) {
      const [givenName, given] = [digest(name), digest(secret)]
      let role: Role | null = null
      for (const one of known) {
        const isName = timingSafeEqual(one.name, givenName)
        if (timingSafeEqual(one.secret, given) && isName) role = one.role
      }
      return role
    },
  }
}

export interface GuessLimit {
  /** Whether the address may try now. */
  mayTry(address: string): boolean
  failed(address: string): void
}

const FAILURES_MAX = 10
const WINDOW_MS = 10_000
const ADDRESSES_MAX = 10_000

/** At most ten failures an address in ten seconds; what is beyond is refused unread. */
export function createGuessLimit(nowMs: () => number): GuessLimit {
  const failures = new Map<string, { count: number; readonly endsMs: number }>()
  const current = (address: string) => {
    const found = failures.get(address)
    if (found === undefined || nowMs() < found.endsMs) return found
    failures.delete(address)
    return undefined
  }
  return {
    mayTry: (address) => (current(address)?.count ?? 0) < FAILURES_MAX,
    failed(address) {
      const found = current(address)
      if (found !== undefined) return void (found.count += 1)
      // The oldest goes: who fills the table has not spared itself by it.
      const [oldest] = failures.keys()
      if (failures.size >= ADDRESSES_MAX && oldest !== undefined) failures.delete(oldest)
      failures.set(address, { count: 1, endsMs: nowMs() + WINDOW_MS })
    },
  }
}
