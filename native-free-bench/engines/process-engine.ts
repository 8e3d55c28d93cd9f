/**
 * One OS process a node, loopback sockets between them: the parent's side. Nodes open from the
 * highest id down, because a lower id dials a higher one; every port is the system's choice.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromRecord } from '../../src/base/errors.ts'
import { ReplicaError } from '../../src/base/errors.ts'
import type { BenchConfig } from '../types.ts'
import { ALARMS, type BenchNode, type Engine, killedLoad } from './engine.ts'
import { wallMs } from './clock.ts'
import type { ClientTally } from './load.ts'
import { engineOptions, membersOf } from './options-of.ts'
import type { Answer, Command, PostedEvent } from './process-messages.ts'

const CHILD_URL = new URL(
  import.meta.url.endsWith('.ts') ? './node-process.ts' : './node-process.js',
  import.meta.url,
)
const EXIT_MS_MAX = 10_000

interface Child {
  readonly process: ChildProcess
  readonly exited: Promise<void>
  ask<K extends Answer['kind']>(
    command: Command,
    kind: K,
  ): Promise<Extract<Answer, { readonly kind: K }>>
}

type KindOf<K extends Answer['kind']> = Extract<Answer, { readonly kind: K }>

function startChild(onEvent: (event: PostedEvent) => void): Child {
  const child = fork(CHILD_URL, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const waiting = new Map<number, { resolve: (a: Answer) => void; reject: (e: Error) => void }>()
  const exited = Promise.withResolvers<void>()
  let nextId = 1
  child.on('message', (message: { id?: number; answer?: Answer } & Answer) => {
    if (message.id === undefined) {
      if (message.kind === 'event') onEvent(message.event)
      return
    }
    const call = waiting.get(message.id)
    waiting.delete(message.id)
    const { answer } = message
    if (answer?.kind === 'failed') call?.reject(fromRecord(answer.error))
    else call?.resolve(answer!)
  })
  child.on('exit', () => {
    for (const { reject } of waiting.values()) reject(gone())
    waiting.clear()
    exited.resolve()
  })
  const ask = <K extends Answer['kind']>(command: Command, kind: K): Promise<KindOf<K>> =>
    new Promise((resolve, reject) => {
      if (!child.connected) return reject(gone())
      const id = nextId++
      const isKind = (answer: Answer): answer is KindOf<K> => answer.kind === kind
      const take = (answer: Answer): void => (isKind(answer) ? resolve(answer) : reject(gone()))
      waiting.set(id, { resolve: take, reject })
      child.send({ id, command })
    })
  return { process: child, exited: exited.promise, ask }
}

const gone = (): ReplicaError =>
  new ReplicaError('E_CLOSED', 'the node process is gone', { what: 'process' }, 'unknown')

export async function openProcessEngine(config: BenchConfig, dataDir: string): Promise<Engine> {
  const failures: string[] = []
  const children: Child[] = []
  const nodes: BenchNode[] = []
  const state = { onChange: (): void => undefined }
  const release = async (): Promise<void> => {
    for (const { process: child } of children) child.kill('SIGKILL')
    await Promise.all(children.map(({ exited }) => exited))
  }
  const onEvent = (event: PostedEvent): void => {
    if (event.kind === 'leads') {
      const node = nodes.find(({ id }) => id === event.node)
      if (node?.alive === true) node.leads = event.leads
      state.onChange()
    } else if (event.kind === 'failed') failures.push(`node ${event.node}: ${event.error.message}`)
    else if (ALARMS.has(event.name)) failures.push(`node ${event.node}: alarm ${event.name}`)
  }
  const killable = config.killLeaderAfter !== null || config.killNode !== null
  const members = membersOf(config)
  const peers: { id: number; host: string; port: number }[] = []
  try {
    for (const { id } of members.toReversed()) {
      const child = startChild(onEvent)
      children.push(child)
      const journal = killable ? join(dataDir, `acknowledged-${id}`) : null
      const nodeDir = join(dataDir, `node-${id}`)
      const options = { ...engineOptions(config), id, members, dataDir: nodeDir }
      const transport = { port: 0, peers: [...peers, ...lowerPeers(members, id)] }
      const { stateMachine, durability } = config
      const dir = durability === 'none' ? null : nodeDir
      // Known before it opens: its first events may come in one read with the answer.
      nodes.unshift(processNode(child, { id, role: config.roles[id - 1]!, dataDir: dir, journal }))
      const opened = await child.ask(
        {
          kind: 'open',
          isLimit: config.engine === 'limit',
          journal,
          options: { ...options, stateMachine, transport },
        },
        'opened',
      )
      peers.push({ id, ...opened.address })
    }
  } catch (error) {
    await release()
    throw error
  }
  return {
    nodes,
    sharesProcess: false,
    failures,
    get onChange() {
      return state.onChange
    },
    set onChange(call) {
      state.onChange = call
    },
    release,
  }
}

/** They dial in: their address is not needed, but the hub must know their ids. */
const lowerPeers = (members: readonly { readonly id: number }[], id: number) =>
  members.filter((one) => one.id < id).map((one) => ({ id: one.id, host: '127.0.0.1', port: 0 }))

function processNode(
  child: Child,
  what: Pick<BenchNode, 'id' | 'role' | 'dataDir'> & { readonly journal: string | null },
): BenchNode {
  const { id, role, dataDir, journal } = what
  return {
    id,
    role,
    dataDir,
    alive: true,
    leads: false,
    async startLoad(spec) {
      try {
        const { result } = await child.ask({ kind: 'load', spec }, 'loaded')
        return result
      } catch (error) {
        if (this.alive) throw error
        return killedLoad(journal === null ? [] : readJournal(journal), wallMs())
      }
    },
    look: async () => (await child.ask({ kind: 'look' }, 'looked')).look,
    slowDisk: async (factor) => void (await child.ask({ kind: 'slow-disk', factor }, 'slowed')),
    async close() {
      const { report } = await child.ask({ kind: 'close' }, 'closed')
      const late = setTimeout(() => child.process.kill('SIGKILL'), EXIT_MS_MAX)
      await child.exited
      clearTimeout(late)
      return report
    },
    async kill() {
      this.alive = false
      this.leads = false
      child.process.kill('SIGKILL')
      await child.exited
    },
  }
}

function readJournal(path: string): ClientTally[] {
  const bytes = readFileSync(path)
  const words = new Float64Array(
    bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
  )
  const clients: ClientTally[] = []
  for (let at = 0; at + 3 <= words.length; at += 3) {
    const [id, acknowledged, acknowledgedFold] = [words[at]!, words[at + 1]!, words[at + 2]!]
    // What else it had submitted died with it; -1: not known.
    if (id > 0)
      clients.push({ id, acknowledged, acknowledgedFold, submitted: -1, submittedFold: 0 })
  }
  return clients
}
