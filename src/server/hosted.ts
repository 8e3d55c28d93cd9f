/**
 * The nodes of this process: one that talks to its peers over TCP, or a whole cluster over memory
 * links. Says who leads as far as this process knows, and leaves in order. Caller's thread.
 *
 * Invariant: a data directory is one process's: each node's own folder in it is locked by its WAL.
 */
import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { ReplicaError } from '../base/errors.ts'
import type { CommonOptions, StateMachineOption } from '../engine/config.ts'
import { type LocalCluster, makeFolder, openLocalCluster } from '../engine/local-cluster.ts'
import { type NodeEvent, type ReplicaNode, openNode } from '../engine/node.ts'
import { type LaterMember, openLaterMembers } from './later-members.ts'
import type { ServeConfig } from './serve-config.ts'

export interface HostedNode {
  readonly name: string
  readonly node: ReplicaNode
}

export interface Hosted {
  /** What the key-value service stands on. */
  readonly target: ReplicaNode | LocalCluster
  readonly nodes: readonly HostedNode[]
  /** Of those that are known here, by id; of others their id as text. */
  nameOf(id: number): string
  /**
   * Where a member is that comes later; kept over restarts.
   * @throws ReplicaError E_CONFIG_INVALID, E_DATA_DIR; E_NOT_AVAILABLE of an embedded cluster
   */
  learn(member: LaterMember): void
  /** The one that clients' calls go to: who leads, if it is here. */
  serving(): HostedNode
  /** Hands leadership to another process, if there is one that takes it; true: it did. */
  handOver(timeoutMs: number): Promise<boolean>
  close(): Promise<void>
}

/** What is a founder's everywhere: names in byte order. */
const clusterIdOf = ({ token, embedded, founders }: ServeConfig): string => {
  if (embedded !== null) return `${token}-embedded-${String(embedded)}`
  const names = founders.map(({ name }) => name).join(',')
  return `${token}-${createHash('sha256').update(names).digest('hex').slice(0, 12)}`
}

/**
 * Opens the nodes; an embedded cluster has a leader then.
 * @throws ReplicaError E_CONFIG_INVALID, E_DATA_DIR, E_WAL_CORRUPT, E_DISK, E_LISTEN
 */
export async function openHosted(
  config: ServeConfig,
  stateMachine: Extract<StateMachineOption, URL | string>,
  onEvent: (event: NodeEvent) => void,
): Promise<Hosted> {
  const { heartbeatMs, electionTimeoutMs, snapshotEveryBytes, retainBytes } = config
  const { layout, dataDir } = config
  const common: CommonOptions = {
    ...{ clusterId: clusterIdOf(config), layout },
    tuning: {
      ...{ heartbeatMs, electionTimeoutMs, snapshotEveryBytes, retainBytes },
      batchBytesMax: BATCH_SIZE_MAX_BYTES,
    },
  }
  checkDataDir(config)
  makeFolder(dataDir)
  return config.embedded === null
    ? openOne(config, common, stateMachine, onEvent)
    : openAll(config.embedded, { ...common, dataDir, stateMachine, onEvent })
}

async function openOne(
  config: ServeConfig,
  common: CommonOptions,
  stateMachine: Extract<StateMachineOption, URL | string>,
  onEvent: (event: NodeEvent) => void,
): Promise<Hosted> {
  const { founders, name, listenPeer, dataDir } = config
  const id = idOf(config)
  const later = openLaterMembers(dataDir)
  const known = [
    ...founders.map((one, i) => ({ id: i + 1, ...one })),
    ...later.all().filter((one) => one.id > founders.length),
  ]
  const joins = id > founders.length
  const node = await openNode({
    ...common,
    ...{ id, stateMachine, onEvent },
    members: [...founders.map((_, i) => ({ id: i + 1 })), ...(joins ? [{ id, join: true }] : [])],
    maxNodes: NODES_MAX,
    dataDir: folderOf(dataDir, id),
    transport: {
      ...listenPeer,
      peers: known.filter((one) => one.id !== id).map((one) => ({ id: one.id, ...one.peer })),
    },
  })
  const own: HostedNode = { name, node }
  return {
    target: node,
    nodes: [own],
    nameOf: (wanted) =>
      wanted === id
        ? name
        : ([...known, ...later.all()].findLast((one) => one.id === wanted)?.name ?? String(wanted)),
    serving: () => own,
    learn(member) {
      node.addPeer({ id: member.id, ...member.peer })
      later.add(member)
    },
    handOver: (timeoutMs) => handOver(node, timeoutMs),
    close: async () => void (await node.close()),
  }
}

async function openAll(
  count: number,
  options: Omit<Parameters<typeof openLocalCluster>[0], 'nodes'>,
): Promise<Hosted> {
  const cluster = await openLocalCluster({ ...options, nodes: count })
  const nameOf = (id: number): string => `n${String(id)}`
  const nodes = cluster.nodes.map((node) => ({ name: nameOf(node.id), node }))
  return {
    ...{ target: cluster, nodes, nameOf },
    serving: () => nodes.find(({ node }) => node.leads) ?? nodes[0]!,
    learn() {
      const feature = 'members that come later in an embedded cluster'
      throw new ReplicaError('E_NOT_AVAILABLE', `${feature}: not available`, { feature })
    },
    handOver: () => Promise.resolve(false),
    close: () => cluster.close(),
  }
}

/** The largest request of a client is one entry, and has to fit into one batch. */
const BATCH_SIZE_MAX_BYTES = 2 * 2 ** 20

/** Members of a cluster in all its life, since ids are not used again: memory to talk to each. */
const NODES_MAX = 16

/** Of a founder its place; one that came later was told its id by `member add`. */
const idOf = ({ founders, name, memberId }: ServeConfig): number =>
  memberId ?? founders.findIndex((one) => one.name === name) + 1

const folderOf = (dataDir: string, id: number): string => `${dataDir}/node-${String(id)}`

/**
 * Folders of other nodes mean that another process, or another cluster, lives here.
 * @throws ReplicaError E_DATA_DIR
 */
function checkDataDir(config: ServeConfig): void {
  const { dataDir, embedded } = config
  const count = embedded ?? 1
  const first = embedded === null ? idOf(config) : 1
  const own = new Set(Array.from({ length: count }, (_, i) => `node-${String(first + i)}`))
  const found = namesIn(dataDir).filter((one) => /^node-[0-9]+$/.test(one))
  const other = found.find((one) => !own.has(one))
  if (other === undefined) return
  const wanted = [...own].join(', ')
  const problem = `holds ${other}, and this process is ${wanted}: want its own --data-dir`
  throw new ReplicaError('E_DATA_DIR', `${dataDir}: ${problem}`, { problem })
}

function namesIn(dir: string): readonly string[] {
  try {
    return readdirSync(dir)
  } catch {
    return [] // made when the nodes open, or refused then
  }
}

/** Asks the others in turn: who lags or is away does not take it. */
async function handOver(node: ReplicaNode, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  const members = node.status().membership?.members ?? []
  const targets = members.filter(({ id, role, weight }) => {
    return id !== node.id && role === 'voter' && weight > 0
  })
  for (const { id } of targets.sort((a, b) => b.weight - a.weight)) {
    if (!node.leads || Date.now() >= deadline) break
    try {
      await within(node.transfer(id), deadline - Date.now())
      return true
    } catch {
      // It stays the leader; the next one is asked.
    }
  }
  return false
}

function within(promise: Promise<void>, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('too late')), timeoutMs)
    promise.then(resolve, reject).finally(() => clearTimeout(late))
  })
}
