/** A server in this process, on ports of the system's choice, and how tests talk to it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serveConfigOf } from '../../src/cli/serve-options.ts'
import { type RunningServer, type ServerParts, startServer } from '../../src/server/server.ts'

export const scratch = (): { readonly dir: string; readonly remove: () => void } => {
  const dir = mkdtempSync(join(tmpdir(), 'xpaxos-server-'))
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) }
}

export const FREE_PORTS = {
  listenClientUrls: 'http://127.0.0.1:0',
  listenResp: 'tcp://127.0.0.1:0',
  listenMonitoringUrl: 'http://127.0.0.1:0',
}

export interface Logged {
  readonly level: 'info' | 'warn' | 'error'
  readonly fields: object
  readonly message: string
}

export async function openServer(
  flags: Readonly<Record<string, unknown>>,
  parts: Partial<ServerParts> = {},
): Promise<RunningServer & { readonly logged: Logged[]; readonly url: string }> {
  const config = serveConfigOf({ flags: { ...FREE_PORTS, ...flags }, environment: {} })
  if (Array.isArray(config)) throw new Error(config.join('\n'))
  const logged: Logged[] = []
  const note = (level: Logged['level']) => (fields: object, message: string) =>
    void logged.push({ level, fields, message })
  const log = { info: note('info'), warn: note('warn'), error: note('error') }
  const server = await startServer(config, { log, version: '1.2.3', ...parts })
  return { ...server, logged, url: server.addresses.clients[0]! }
}

export const base64 = (text: string): string => Buffer.from(text).toString('base64')

export interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

export async function post(
  url: string,
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}
