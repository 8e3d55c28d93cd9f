/**
 * Some node processes, a proxy between each two, and a folder with a data directory each. Nodes are
 * started, ended and started again one by one; nothing here knows why.
 */
import { join } from 'node:path'
import type { CommonOptions, MemberOptions } from '../../../src/engine/index.ts'
import { type NodeProcess, startProcess } from './process.ts'
import { type Proxy, openProxy } from './proxy.ts'
import { type Random, createRandom } from './random.ts'
import type { OpenOptions } from './requests.ts'

/** Small files open fast; elections end soon, and still outlast a machine that is busy. */
export const TUNING = {
  heartbeatMs: 50,
  electionTimeoutMs: 400,
  batchBytesMax: 64 * 1024,
  windowBytes: 512 * 1024,
  uncommittedBytesMax: 512 * 1024,
  ringSizeBytes: 2 ** 20,
  walSegmentSizeBytes: 2 ** 20,
} as const

export interface ClusterOptions extends Pick<CommonOptions, 'tuning' | 'layout'> {
  readonly folder: string
  readonly members: readonly MemberOptions[]
  readonly seed: number
}

export interface Cluster {
  readonly ids: readonly number[]
  /** Members that run now. */
  running(): NodeProcess[]
  processOf(id: number): NodeProcess | undefined
  dirOf(id: number): string
  /** Between two members. */
  proxyOf(a: number, b: number): Proxy
  readonly proxies: readonly Proxy[]
  /**
   * Opens a member's node in `given`, or in a process of its own.
   * @throws ReplicaError what the node was refused with; the process is ended then
   */
  start(id: number, given?: NodeProcess): Promise<NodeProcess>
  /** Ends the process; resolves when it is gone. */
  kill(id: number): Promise<void>
  /** Ends all processes and the proxies. */
  close(): Promise<void>
}

export async function createCluster(options: ClusterOptions): Promise<Cluster> {
  const { folder, members, seed, tuning, layout = 'split' } = options
  const ids = members.map(({ id }) => id)
  const processes = new Map<number, NodeProcess>()
  const proxies = await proxiesOf(ids, createRandom(seed))
  const dirOf = (id: number): string => join(folder, `node-${String(id)}`)
  const keyOf = (a: number, b: number): string => [a, b].sort((x, y) => x - y).join('-')
  const proxyOf = (a: number, b: number): Proxy => proxies.get(keyOf(a, b))!
  const optionsOf = (id: number): OpenOptions => {
    const higher = ids.filter((other) => other > id)
    const peers = higher.map((other) => ({
      ...{ id: other, host: '127.0.0.1' },
      port: proxyOf(id, other).port,
    }))
    return {
      ...{ id, members, layout, dataDir: dirOf(id), transport: { port: 0, peers } },
      tuning: { ...TUNING, seed, ...tuning },
    }
  }
  const kill = async (id: number): Promise<void> => {
    const process = processes.get(id)
    processes.delete(id)
    process?.signal('SIGKILL')
    await process?.exited
  }
  return {
    ids,
    running: () => [...processes.values()].filter(({ isAlive }) => isAlive),
    processOf: (id) => processes.get(id),
    dirOf,
    proxyOf,
    proxies: [...proxies.values()],
    async start(id, given) {
      const process = given ?? (await startProcess())
      processes.set(id, process)
      try {
        const { port } = await process.ask('open', optionsOf(id))
        for (const other of ids) if (other < id) proxyOf(other, id).target = port
        return process
      } catch (error) {
        await kill(id)
        throw error
      }
    },
    kill,
    async close() {
      await Promise.all(ids.map(kill))
      for (const proxy of proxies.values()) proxy.close()
    },
  }
}

async function proxiesOf(
  ids: readonly number[],
  random: Random,
): Promise<ReadonlyMap<string, Proxy>> {
  const pairs = ids.flatMap((a) => ids.filter((b) => b > a).map((b) => [a, b] as const))
  const proxies = new Map<string, Proxy>()
  for (const [a, b] of pairs) proxies.set(`${String(a)}-${String(b)}`, await openProxy(random))
  return proxies
}
