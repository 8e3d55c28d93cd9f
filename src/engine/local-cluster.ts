/**
 * The embedded default: a whole cluster in one process. Every node has its own data directory, its
 * own WAL with real syncs and its own threads; the links are memory.
 */
import { join } from 'node:path'
import { ReplicaError } from '../base/errors.ts'
import type { StateMachine } from '../base/state-machine.ts'
import { startCallerLoop } from './caller-loop.ts'
import { type Writer, notLeader } from './client.ts'
import type { Proposed } from './proposals.ts'
import { type CommonOptions, type MemberOptions, SPARE_NODES, specOf } from './config.ts'
import { makesSnapshots, peerIdsOf } from './node-spec.ts'
import { type NodeEvent, type OpenParts, type ReplicaNode, openParts } from './node.ts'
import { makeDirs } from '../wal/storage-fs.ts'
import { createNodeMemory, threadMapOf } from './topology.ts'

/** Where a factory makes the machines: the spec needs to know no more. */
const NO_MACHINE: StateMachine = { apply: () => undefined } as unknown as StateMachine

export interface LocalClusterOptions extends CommonOptions {
  /**
   * How many voters, or the members themselves. Default 3. A member that was added later, and is
   * opened again with the rest, says `join`.
   */
  readonly nodes?: number | readonly MemberOptions[]
  /** Parent folder; each node has `node-<id>` in it. Not used with durability `none`. */
  readonly dataDir?: string
  /** Called once a node for objects; a URL or a built-in name runs on the apply thread. */
  readonly stateMachine: (() => StateMachine) | URL | 'kv' | 'hash'
  readonly onEvent?: (event: NodeEvent) => void
}

export interface LocalCluster {
  /** Those that were opened, also by `addNode`, in the order of opening. */
  readonly nodes: readonly ReplicaNode[]
  /**
   * Opens one more node, which talks to the others and belongs to the cluster once a change of the
   * membership says so. Default: the lowest id that was not opened yet.
   * @throws ReplicaError E_CONFIG_INVALID beyond `maxNodes`, and what opening a node throws
   */
  addNode(id?: number): Promise<ReplicaNode>
  /**
   * Resolves with the node that leads, waiting for an election if need be.
   * @throws ReplicaError E_CLOSED, E_ABORTED, or what most voters failed with
   */
  leader(options?: { readonly signal?: AbortSignal }): Promise<ReplicaNode>
  /** Proposes at the leader. Waits for a leader, never retries what was proposed. */
  propose(payload: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<Proposed>
  /** A batch writer at the present leader. @throws ReplicaError E_NOT_LEADER when there is none */
  writer(): Writer
  close(): Promise<void>
}

/**
 * Opens all nodes and waits until one leads.
 * @throws ReplicaError E_CONFIG_INVALID, E_DATA_DIR, E_WAL_CORRUPT, E_DISK
 */
export async function openLocalCluster(options: LocalClusterOptions): Promise<LocalCluster> {
  const members = membersOf(options.nodes ?? 3)
  const { stateMachine, dataDir = '' } = options
  const isFactory = typeof stateMachine === 'function'
  if (typeof (stateMachine as Partial<StateMachine>).apply === 'function' && !isFactory) {
    const problems = ['stateMachine: every node needs its own: want a function that makes one']
    throw new ReplicaError('E_CONFIG_INVALID', problems[0]!, { problems })
  }
  // Who may come later is known to everybody from the start, so that there is memory to talk to.
  const all = [...members, ...sparesOf(options, members)]
  const specs = all.map(({ id }) =>
    specOf({
      ...options,
      id,
      members: all,
      maxNodes: all.length,
      dataDir: dataDir === '' ? '' : join(dataDir, `node-${id}`),
      stateMachine: isFactory ? NO_MACHINE : stateMachine,
      transport: { kind: 'memory' },
    }),
  )
  const machines = members.map(() => (isFactory ? stateMachine() : null))
  if (dataDir !== '' && options.durability !== 'none') makeFolder(dataDir)
  const callerLoop = startCallerLoop()
  const waiting = new Set<() => void>()
  const wakeAll = (): void => {
    for (const wake of waiting) wake()
  }
  const failures = new Map<number, ReplicaError>()
  const onEvent = (event: NodeEvent): void => {
    if (event.kind === 'failed') failures.set(event.node, event.error)
    if (event.kind !== 'event') wakeAll()
    options.onEvent?.(event)
  }
  const wirings = specs.map((spec) => {
    const snapshots = makesSnapshots(spec)
    const threads = threadMapOf(spec.layout, { tcp: false, applyInCaller: isFactory, snapshots })
    const { ringSizeBytes } = spec.tuning
    const peers = peerIdsOf(spec)
    const callerBell = callerLoop.bell
    const memory = createNodeMemory({ peers, threads, ringSizeBytes, callerBell, snapshots })
    return { spec, threads, memory }
  })
  const open = (place: number, machine: StateMachine | null): Promise<ReplicaNode> => {
    const { spec, threads, memory } = wirings[place]!
    const parts: OpenParts = {
      ...{ spec, threads, memory, callerLoop, onEvent },
      ownsLoop: false,
      stateMachine: machine,
      peerInboxes: wirings.filter((other) => other.spec.id !== spec.id).map(inboxFor(spec.id)),
    }
    return openParts(parts)
  }
  const opened = await Promise.allSettled(machines.map((machine, place) => open(place, machine)))
  const nodes = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const begun = new Set(members.map(({ id }) => id))
  const addNode = async (given?: number): Promise<ReplicaNode> => {
    if (closing !== null) throw new ReplicaError('E_CLOSED', 'closed', { what: 'cluster' })
    const place = all.findIndex(({ id }) => (given === undefined ? !begun.has(id) : id === given))
    const { id } = all[place] ?? { id: 0 }
    if (place < 0 || begun.has(id)) throw notReserved(given, all.length)
    begun.add(id)
    const node = await open(place, isFactory ? stateMachine() : null)
    nodes.push(node)
    if (closing !== null) await node.close() // it came too late for closeAll
    return node
  }
  let closing: Promise<void> | null = null
  const closeAll = async (): Promise<void> => {
    wakeAll()
    await Promise.all(nodes.map((node) => node.close()))
    await callerLoop.close()
  }
  const close = (): Promise<void> => (closing ??= closeAll())
  const voters = specs[0]!.members.filter(({ role }) => role !== 'learner')
  /** Why there will be no leader any more, if so. */
  const hopeless = (): ReplicaError | null => {
    if (closing !== null) return new ReplicaError('E_CLOSED', 'closed', { what: 'cluster' })
    const failed = voters.flatMap(({ id }) => failures.get(id) ?? [])
    return failed.length * 2 < voters.length ? null : failed[0]!
  }
  const failed = opened.find((one) => one.status === 'rejected')
  if (failed !== undefined) {
    await close()
    throw failed.reason
  }
  const leader = async ({ signal }: { readonly signal?: AbortSignal } = {}) => {
    for (;;) {
      const found = nodes.find((node) => node.leads)
      if (found !== undefined) return found
      if (signal?.aborted === true) {
        throw new ReplicaError('E_ABORTED', 'no leader yet', { reason: 'signal' })
      }
      const reason = hopeless()
      if (reason !== null) throw reason
      await nextChange(waiting, signal)
    }
  }
  try {
    await leader()
  } catch (error) {
    await close()
    throw error
  }
  return {
    nodes,
    addNode,
    leader,
    async propose(payload, proposeOptions) {
      const node = await leader(proposeOptions)
      return node.propose(payload, proposeOptions)
    },
    writer() {
      const node = nodes.find((one) => one.leads)
      if (node === undefined) throw notLeader(0)
      return node.writer()
    },
    close,
  }
}

/** Ids above those that are given, so that none is used twice. */
function sparesOf(
  { maxNodes, engine }: LocalClusterOptions,
  members: readonly MemberOptions[],
): MemberOptions[] {
  const spare = engine === 'basic-paxos' ? 0 : SPARE_NODES
  const count = (maxNodes ?? members.length + spare) - members.length
  const highest = Math.max(0, ...members.map(({ id }) => id))
  return Array.from({ length: Math.max(0, count) }, (_, i) => ({ id: highest + 1 + i, join: true }))
}

function notReserved(id: number | undefined, count: number): ReplicaError {
  const which = id === undefined ? 'all nodes are' : `node ${String(id)} is`
  const problems = [`addNode: ${which} open already, or beyond maxNodes=${String(count)}`]
  return new ReplicaError('E_CONFIG_INVALID', problems[0]!, { problems })
}

function membersOf(nodes: number | readonly MemberOptions[]): readonly MemberOptions[] {
  if (typeof nodes !== 'number') return nodes
  if (Number.isInteger(nodes) && nodes >= 1 && nodes <= 9) {
    return Array.from({ length: nodes }, (_, place) => ({ id: place + 1 }))
  }
  const problems = [`nodes=${nodes}: want 1 to 9`]
  throw new ReplicaError('E_CONFIG_INVALID', problems[0]!, { problems })
}

/** The inbox that `from` fills at another node, and the bell of the thread that empties it. */
const inboxFor = (from: number) => (other: Pick<OpenParts, 'spec' | 'memory' | 'threads'>) => ({
  peer: other.spec.id,
  memory: other.memory.inboxes.find(({ peer }) => peer === from)!.memory,
  bell: other.memory.bells[other.threads.receive]!,
})

/** @throws ReplicaError E_DATA_DIR */
export function makeFolder(dir: string): void {
  try {
    makeDirs(dir)
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause)
    throw new ReplicaError('E_DATA_DIR', problem, { problem }, 'not-proposed', { cause })
  }
}

/** Woken by a change of leadership, or by the signal. */
function nextChange(waiting: Set<() => void>, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      waiting.delete(wake)
      signal?.removeEventListener('abort', wake)
      resolve()
    }
    waiting.add(wake)
    signal?.addEventListener('abort', wake)
  })
}
