/**
 * One trial: open a cluster, load it through warm-up and measurement, kill what is to be killed,
 * let it converge, close it, read the logs again, judge. Everything a result says was measured
 * here.
 */
import { ReplicaError } from '../src/base/errors.ts'
import { makeDataFolder } from './engines/data-folder.ts'
import { type BenchNode, type Engine, KILLED, type NodeLook } from './engines/engine.ts'
import { wallMs } from './engines/clock.ts'
import type { LoadResult, LoadSpec } from './engines/load.ts'
import { openLocalEngine } from './engines/local-engine.ts'
import { openProcessEngine } from './engines/process-engine.ts'
import { trialResultOf } from './engines/trial-result.ts'
import { type NodeEnd, verdictOf } from './engines/verdict.ts'
import { BATCH_MIN_BYTES } from './option-checks.ts'
import type { BenchConfig, Failover, RunHooks, TrialResult } from './types.ts'

const LEADER_MS_MAX = 20_000
const CONVERGE_MS_MAX = 20_000
const POLL_MS = 10

/** What a trial has seen so far. */
export interface Trial {
  readonly config: BenchConfig
  readonly engine: Engine
  readonly fromMs: number
  readonly toMs: number
  readonly loads: { readonly node: number; readonly result: LoadResult }[]
  readonly failovers: Failover[]
  readonly before: Map<number, NodeLook>
  readonly after: Map<number, NodeLook>
  readonly warnings: string[]
}

/** @throws ReplicaError when the engine could not be opened or run; violations are in the result */
export async function runTrial(config: BenchConfig, hooks: RunHooks): Promise<TrialResult> {
  const folder = makeDataFolder(config.dataDir, config.keep)
  try {
    const open = config.transport === 'tcp' ? openProcessEngine : openLocalEngine
    const engine = await open(config, folder.dir)
    try {
      return await runOn(engine, config, hooks)
    } finally {
      await engine.release()
    }
  } finally {
    folder.remove()
  }
}

async function runOn(engine: Engine, config: BenchConfig, hooks: RunHooks): Promise<TrialResult> {
  const wanted = config.engine === 'basic-paxos' ? config.proposers : 1
  await until(() => leadersOf(engine).length >= wanted, LEADER_MS_MAX, 'no leader was elected')
  await slowDisk(engine, config.slowDisk, config.slowDisk?.factor ?? 1)
  const startMs = wallMs()
  const fromMs = startMs + config.warmup * 1_000
  const toMs = fromMs + config.duration * 1_000
  const trial: Trial = {
    ...{ config, engine, fromMs, toMs },
    loads: [],
    failovers: [],
    before: new Map(),
    after: new Map(),
    warnings: [],
  }
  const stopped = new AbortController()
  const signal = AbortSignal.any([hooks.signal, stopped.signal])
  const kills = scheduleKills(trial, startMs, signal)
  const loading = Promise.all(leadersOf(engine).map((node) => followLoad(trial, node, signal)))
  loading.catch(() => stopped.abort()) // there is nothing more to wait for
  await sleepUntil(fromMs, signal)
  await lookAll(engine, trial.before)
  await sleepUntil(toMs, signal)
  const endMs = wallMs()
  await lookAll(engine, trial.after)
  const partial = hooks.signal.aborted
  if (partial) throw interrupted()
  await loading
  stopped.abort()
  await kills
  await slowDisk(engine, config.slowDisk, 1)
  return judge(trial, endMs)
}

/** The fault ends with the load: what the node lacks it gets at the speed of its disk. */
async function slowDisk(
  { nodes }: Engine,
  slow: BenchConfig['slowDisk'],
  factor: number,
): Promise<void> {
  const node = slow === null ? undefined : nodes[slow.node - 1]
  if (node?.alive === true) await node.slowDisk(factor)
}

/** Ways of a load to end that another leader may go on from. */
const LEADERLESS: readonly string[] = [
  ...[KILLED, 'E_LEADERSHIP_LOST', 'E_NOT_LEADER', 'E_TRANSFERRING'],
  ...['E_CLOSED', 'E_STAGE_FAILED', 'E_DISK', 'E_LOG_FULL'],
]

const failed = (reason: string): ReplicaError =>
  new ReplicaError('E_STAGE_FAILED', reason, { stage: 'bench', reason })

const interrupted = (): ReplicaError =>
  new ReplicaError('E_ABORTED', 'interrupted', { reason: 'signal' }, 'unknown')

const leadersOf = (engine: Engine): BenchNode[] =>
  engine.nodes.filter(({ alive, leads }) => alive && leads)

/** Loads a leader; when it is gone, goes on at the next one, as its clients would. */
async function followLoad(trial: Trial, first: BenchNode, signal: AbortSignal): Promise<void> {
  const { engine, config } = trial
  const spec = loadSpecOf(trial)
  let node: BenchNode | null = first
  while (node !== null) {
    const result: LoadResult = await node.startLoad(spec)
    trial.loads.push({ node: node.id, result })
    noteFailover(trial)
    if (result.failure === '' || wallMs() >= trial.toMs || signal.aborted) return
    if (!LEADERLESS.includes(result.failure)) throw failed(`the load failed: ${result.failure}`)
    if (config.proposers > 1) return
    const gone: BenchNode = node
    node = null
    while (node === null && wallMs() < trial.toMs && !signal.aborted) {
      node = leadersOf(engine).find((one) => one !== gone || one.leads) ?? null
      if (node === null) await sleepUntil(wallMs() + 1, signal)
    }
  }
}

function loadSpecOf({ config, fromMs, toMs, engine }: Trial): Omit<LoadSpec, 'journal'> {
  const { api, payload, clients, inflight, rate, batchMaxBytes, batchMaxEntries } = config
  const { stateMachine } = config
  if (inflight === 'best') throw new Error('inflight is resolved before a trial')
  const leaders = config.engine === 'basic-paxos' ? leadersOf(engine).length : 1
  return {
    ...{ api, payload, stateMachine, clients, fromMs, toMs },
    inflight: inflight === null ? null : Math.max(1, Math.floor(inflight / leaders)),
    rate: rate === null ? null : rate / leaders,
    batchBytesMax: Math.max(BATCH_MIN_BYTES, batchMaxBytes),
    batchEntriesMax: batchMaxEntries === 0 ? Number.MAX_SAFE_INTEGER : batchMaxEntries,
  }
}

function noteFailover({ loads, failovers, fromMs }: Trial): void {
  const failover = failoverOf(loads.at(-2), loads.at(-1)!, fromMs)
  if (failover !== null) failovers.push(failover)
}

/**
 * The gap that clients saw: from the last acknowledgement of one leader to the first of the next.
 * null where there was no death, or one of them never acknowledged anything: it has no gap.
 */
export function failoverOf(
  before: Trial['loads'][number] | undefined,
  next: Trial['loads'][number],
  fromMs: number,
): Failover | null {
  if (before === undefined || before.result.failure === '') return null
  const { lastAckMs } = before.result
  const { firstAckMs } = next.result
  if (lastAckMs === 0 || firstAckMs === 0) return null
  return {
    atS: Math.max(0, (lastAckMs - fromMs) / 1_000),
    gapMs: firstAckMs - lastAckMs,
    fromNode: before.node,
    toNode: next.node,
  }
}

async function scheduleKills(trial: Trial, startMs: number, signal: AbortSignal): Promise<void> {
  const { engine, config } = trial
  const plans: { readonly atMs: number; readonly pick: () => BenchNode | undefined }[] = []
  if (config.killLeaderAfter !== null) {
    const atMs = startMs + config.killLeaderAfter * 1_000
    plans.push({ atMs, pick: () => leadersOf(engine)[0] })
  }
  if (config.killNode !== null) {
    const { node, atS } = config.killNode
    plans.push({ atMs: startMs + atS * 1_000, pick: () => engine.nodes[node - 1] })
  }
  for (const { atMs, pick } of plans.toSorted((a, b) => a.atMs - b.atMs)) {
    await sleepUntil(atMs, signal)
    if (signal.aborted) return
    await pick()?.kill()
  }
}

async function lookAll(engine: Engine, into: Map<number, NodeLook>): Promise<void> {
  const living = engine.nodes.filter(({ alive }) => alive)
  await Promise.all(
    living.map(async (node) => {
      const look = await node.look().catch(() => null)
      if (look !== null) into.set(node.id, look)
    }),
  )
}

/** Waits until every living node knows and has applied everything, then closes and judges. */
async function judge(trial: Trial, endMs: number): Promise<TrialResult> {
  const { engine, config, loads } = trial
  const looks = new Map<number, NodeLook>()
  let chosen = 0
  const hasLog = config.engine === 'xpaxos' || config.engine === 'multi-paxos'
  const hasConverged = async (): Promise<boolean> => {
    await lookAll(engine, looks)
    const living = engine.nodes.filter(({ alive }) => alive)
    const views = living.map(({ id, role }) => ({ role, status: looks.get(id)?.status }))
    const before = chosen
    chosen = Math.max(...views.map(({ status }) => status?.chosen ?? 0))
    return levelOf(views, hasLog) === before
  }
  const failures = [...engine.failures]
  if (!(await converge(hasConverged, looks))) failures.push('the nodes did not converge')
  const ends: NodeEnd[] = await Promise.all(
    engine.nodes.map(async ({ id, role, dataDir, alive }, place) => {
      const report = alive ? await engine.nodes[place]!.close() : null
      return { id, role, dataDir, report, alive }
    }),
  )
  const entries = loads.reduce((sum, { result }) => sum + result.entries, 0)
  const safety = verdictOf({
    nodes: ends,
    clients: loads.flatMap(({ result }) => result.clients),
    entries,
    chosen,
    basicPaxos: config.engine === 'basic-paxos',
    acceptQuorum: config.quorums?.accept ?? null,
    failures: [...new Set([...failures, ...engine.failures])],
  })
  return trialResultOf(trial, { endMs, looks, ends, safety, entries })
}

interface View {
  readonly role: BenchConfig['roles'][number]
  readonly status: Pick<NodeLook['status'], 'last' | 'chosen' | 'applied'> | undefined
}

/**
 * What all nodes have chosen and applied, if that is the same. Entries that were in flight when the
 * load ended go on to be chosen, and nodes are level for moments in between: a log is at its end
 * only when nothing lies behind what is chosen.
 *
 * @param hasLog the last index of a node is that of one log
 */
export function levelOf(views: readonly View[], hasLog: boolean): number | null {
  const chosen = Math.max(...views.map(({ status }) => status?.chosen ?? 0))
  const isLevel = views.every(
    ({ role, status }) =>
      status?.chosen === chosen &&
      (role === 'logger' || status.applied === chosen) &&
      (!hasLog || status.last === chosen),
  )
  return isLevel ? chosen : null
}

/** As long as some node still gets on, it is not late: a laggard may have gigabytes to fetch. */
async function converge(
  hasConverged: () => Promise<boolean>,
  looks: ReadonlyMap<number, NodeLook>,
): Promise<boolean> {
  const reached = (): number => {
    let sum = 0
    for (const { status } of looks.values()) sum += status.durable + status.chosen + status.applied
    return sum
  }
  for (let before = -1; before !== reached();) {
    before = reached()
    if (await becomes(hasConverged, CONVERGE_MS_MAX)) return true
  }
  return false
}

async function until(test: () => boolean, maxMs: number, problem: string): Promise<void> {
  if (await becomes(() => Promise.resolve(test()), maxMs)) return
  throw failed(problem)
}

async function becomes(test: () => Promise<boolean>, maxMs: number): Promise<boolean> {
  const limit = wallMs() + maxMs
  while (!(await test())) {
    if (wallMs() > limit) return false
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  return true
}

/** Ends at the time or at the abort, whichever is first. */
function sleepUntil(atMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, Math.max(0, atMs - wallMs()))
    signal.addEventListener('abort', end)
  })
}
