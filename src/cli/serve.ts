/**
 * The body of `serve`: starts the server, says where it is, and ends it in order. SIGTERM or SIGINT
 * stops it (exit 0); a second signal ends the process where it stands. A node that fails ends it by
 * exit 1. Results go to stdout, logs to stderr.
 */
import { packageVersion } from '../../native-free-bench/environment.ts'
import { createLog } from '../server/log.ts'
import type { ServeConfig } from '../server/serve-config.ts'
import { type RunningServer, startServer } from '../server/server.ts'
import { type Exit, EXIT, UsageError } from './exit.ts'
import { serveConfigOf } from './serve-options.ts'

export type Flags = Readonly<Record<string, unknown>>

/** @throws UsageError with every problem at once; ReplicaError of what could not be opened */
export async function runServe(flags: Flags, unknown: readonly string[]): Promise<Exit> {
  const config = serveConfigOf({ flags, environment: process.env })
  const problems = [...unknown, ...(Array.isArray(config) ? config : [])]
  if (problems.length > 0 || Array.isArray(config)) throw new UsageError(problems)
  const signalled = firstSignal()
  const log = createLog(config)
  const server = await startServer(config, { log, version: packageVersion() })
  process.stdout.write(readyText(config, server))
  const reason = await Promise.race([signalled, server.failed])
  if (typeof reason !== 'string') {
    // Half a node is worse than none: what still runs is ended, and a supervisor starts it again.
    await server.stop()
    return EXIT.failed
  }
  log.info({ signal: reason }, 'signal')
  await server.stop()
  return EXIT.done
}

function firstSignal(): Promise<string> {
  return new Promise((resolve) => {
    let count = 0
    const onSignal = (signal: string): void => {
      if (++count > 1) process.exit(EXIT.interrupted)
      resolve(signal)
    }
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, onSignal)
  })
}

function readyText({ embedded, name, dataDir }: ServeConfig, { addresses }: RunningServer): string {
  const { clients, peers, resp, monitoring } = addresses
  const what = embedded === null ? `node ${name}` : `a cluster of ${String(embedded)}`
  const lines = [
    `xpaxos serves ${what}`,
    `  clients     ${clients.join(' ')}`,
    ...(resp === null ? [] : [`  RESP        ${resp}`]),
    ...(monitoring === null ? [] : [`  monitoring  ${monitoring}`]),
    ...(peers === null ? [] : [`  peers       ${peers}`]),
    `  data        ${dataDir}`,
  ]
  return `${lines.join('\n')}\n`
}
