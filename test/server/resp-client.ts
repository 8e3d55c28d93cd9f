/** A RESP client for tests: sends words or raw bytes, and reads replies one by one. */
import { type Socket, connect } from 'node:net'
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import { openKvService } from '../../src/server/kv-service.ts'
import {
  type RespOptions,
  type RespServer,
  createRespServer,
} from '../../src/server/resp/server.ts'
import {
  type LocalCluster,
  type LocalClusterOptions,
  openLocalCluster,
} from '../../src/engine/index.ts'
import { encode } from './resp-words.ts'
import { CALM, TUNING, openStore, settled } from '../support/engine.ts'

/** A status is `+OK`, an error `-ERR ...`; a bulk string is its text, the null one null. */
export type Told = string | number | null | Told[]

export interface RespClient {
  readonly socket: Socket
  /** Sends one command and waits for its reply. */
  call(...words: (string | Uint8Array)[]): Promise<Told>
  /** Sends commands in one write and waits for their replies, in order. */
  pipeline(commands: readonly string[]): Promise<Told[]>
  /** Waits for the next `count` replies; fewer if the other side ends. */
  read(count: number): Promise<Told[]>
  readonly isClosed: boolean
  closed(): Promise<void>
}

export async function openClient({ address }: RespServer): Promise<RespClient> {
  const socket = connect({ ...address, noDelay: true })
  await new Promise<void>((resolve, reject) =>
    socket.once('connect', resolve).once('error', reject),
  )
  onTestFinished(() => void socket.destroy())
  let buffer = Buffer.alloc(0)
  let isClosed = false
  const told: Told[] = []
  let wake = (): void => undefined
  const onChange = (): void => wake()
  socket.on('data', (chunk: Buffer) => {
    buffer = Buffer.concat([buffer, chunk])
    for (let next = parseReply(buffer, 0); next !== null; next = parseReply(buffer, 0)) {
      told.push(next.told)
      buffer = buffer.subarray(next.end)
    }
    onChange()
  })
  socket.on('error', () => undefined)
  socket.on('close', () => {
    isClosed = true
    onChange()
  })
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) await new Promise<void>((resolve) => (wake = resolve))
  }
  const read = async (count: number): Promise<Told[]> => {
    await until(() => told.length >= count || isClosed)
    return told.splice(0, count)
  }
  return {
    socket,
    read,
    async call(...words) {
      socket.write(encode(...words))
      const [one] = await read(1)
      if (one === undefined) throw new Error('closed before it answered')
      return one
    },
    pipeline(commands) {
      socket.write(Buffer.concat(commands.map((one) => encode(...one.split(' ')))))
      return read(commands.length)
    },
    get isClosed() {
      return isClosed
    },
    closed: () => until(() => isClosed),
  }
}

function parseReply(buffer: Buffer, at: number): { told: Told; end: number } | null {
  const lineEnd = buffer.indexOf('\r\n', at)
  if (lineEnd < 0) return null
  const line = buffer.toString('latin1', at, lineEnd)
  const end = lineEnd + 2
  const count = Number(line.slice(1))
  switch (line[0]) {
    case '+':
    case '-':
      return { told: line, end }
    case ':':
      return { told: count, end }
    case '$':
      if (count < 0) return { told: null, end }
      if (buffer.length < end + count + 2) return null
      return { told: buffer.toString('latin1', end, end + count), end: end + count + 2 }
    case '*': {
      const told: Told[] = []
      let from = end
      for (let i = 0; i < count; i++) {
        const one = parseReply(buffer, from)
        if (one === null) return null
        told.push(one.told)
        from = one.end
      }
      return { told, end: from }
    }
    default:
      throw new Error(`no RESP: ${line}`)
  }
}

/** The store is emptied first. */
export async function openRespServer(
  cluster: LocalCluster,
  options: Partial<RespOptions> = {},
): Promise<RespServer> {
  const service = openKvService(cluster, { tickMs: 20 })
  await service.deleteRange({ from: new Uint8Array(0), to: null })
  const server = await createRespServer({ service, port: 0, ...options })
  onTestFinished(async () => {
    await server.close()
    service.close()
  })
  return server
}

/** Opened once for a file of tests, each of which begins with an empty store. */
let shared: LocalCluster | null = null

beforeAll(async () => {
  const tuning = { ...TUNING, ...CALM }
  const common = { stateMachine: 'kv', layout: 'inline', durability: 'none' } as const
  shared = await openLocalCluster({ nodes: 3, ...common, tuning })
  await settled(shared.nodes)
})
afterAll(() => shared?.close())

/** RESP in front of the cluster that the tests of a file share, or of one of the test's own. */
export async function openResp(
  options: Partial<RespOptions> = {},
  clusterOptions?: Partial<LocalClusterOptions>,
): Promise<{ cluster: LocalCluster; server: RespServer; client: RespClient }> {
  const cluster =
    clusterOptions === undefined
      ? shared!
      : await openStore({ layout: 'inline', ...clusterOptions })
  const server = await openRespServer(cluster, options)
  return { cluster, server, client: await openClient(server) }
}
