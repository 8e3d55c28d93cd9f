/** Logs of a server process: one JSON object a line, on stderr. Secrets are never handed to it. */
import { pino } from 'pino'
import type { ServeConfig } from './serve-config.ts'

/** What the server says; `fields` are data, so that control characters are escaped. */
export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

const STDERR = 2

export function createLog({ logLevel, name, embedded }: ServeConfig): Log {
  const base = embedded === null ? { node: name } : { embedded }
  const timestamp = pino.stdTimeFunctions.isoTime
  const destination = pino.destination({ fd: STDERR, sync: true })
  return pino({ level: logLevel, base, timestamp }, destination)
}
